"""Two operators look after the same rollout, and neither knows of the other."""

from concurrent.futures import ThreadPoolExecutor

from faults.scene import Ground
from faults.stories import ABORTED, DELETED, PROMOTED, REVERTED, SUPERSEDED, Story
from faults.telling import look_back, set_up, tell


def test_two_at_once_do_no_harm(ground: Ground) -> None:
    def run(story: Story) -> list[str]:
        with (
            set_up(ground, story) as scene,
            ground.proxies.proxy() as beside,
            ground.operator(scene.rollout.namespace, beside, name="beside") as other,
        ):
            other.wait_until_ready()
            tell(scene, story)
            told = look_back(scene, story)
        idle = [] if beside.writes and scene.proxy.writes else ["one of them wrote nothing"]
        return [*told.complaints, *(f"nobody was told of {one}" for one in told.missing_events), *idle]

    stories = (PROMOTED, REVERTED, ABORTED, SUPERSEDED, DELETED)
    with ThreadPoolExecutor(len(stories)) as pool:
        told = list(pool.map(run, stories))
    said = [f"{story.name}: {one}" for story, these in zip(stories, told, strict=True) for one in these]
    assert not said, "\n".join(said)
