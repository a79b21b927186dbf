"""The operator is killed before and after every single write of a story; the next one brings the story to its end."""

import os
import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from faults.injection import Kill, Point, points
from faults.scene import Ground
from faults.stories import STORIES, Story
from faults.telling import PATIENCE, Told, look_back, set_up, tell, undisturbed
from stack.history import NotReachedError
from support.watching import Object

AT_ONCE = 6
SAMPLE = None if os.environ.get("FAULTS_ALL") else 6
"""Points of a story that are tried; None: all of them."""

LOST_WITH_ITS_PROCESS = 2
"""Events behind one write of the status: `Reverted` and `AttemptStarted` when one version follows another. What a
process has written down and not told yet is in the status, and told by nobody else."""


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_killed_at_a_write_it_ends_as_if_nothing_had_happened(ground: Ground, story: Story) -> None:
    usual = undisturbed(ground, story)
    assert not usual.complaints
    assert not usual.missing_events
    chosen = points(usual.writes)
    if SAMPLE:
        chosen = random.Random(story.name).sample(chosen, SAMPLE)  # noqa: S311
    with ThreadPoolExecutor(AT_ONCE) as pool:
        complaints = list(pool.map(lambda point: _complaints(ground, story, point, usual), chosen))
    said = [f"{point}: {one}" for point, these in zip(chosen, complaints, strict=True) for one in these]
    assert not said, f"{len(said)} complaints over {len(chosen)} kills:\n" + "\n".join(said)


def _complaints(ground: Ground, story: Story, point: Point, usual: Told) -> list[str]:
    """What is wrong after the operator was killed at a point of a story."""
    with set_up(ground, story) as scene:
        kill = Kill(point, scene.operator.kill)
        try:
            tell(scene, story, kill)
        except NotReachedError as error:
            return [f"{error}; killed: {kill.happened.is_set()}"]
        if not kill.happened.wait(PATIENCE):
            return [f"never came; the writes were {scene.proxy.writes}"]
        scene.operator.wait_until_ready()
        told = look_back(scene, story)
    complaints = list(told.complaints)
    if told.missing_events.total() > LOST_WITH_ITS_PROCESS:
        complaints.append(f"nobody was told of {dict(told.missing_events)}")
    return complaints + _otherwise(told.status or {}, usual.status or {})


def _otherwise(status: Object, usual: Object) -> list[str]:
    """What of a status is not as it is without a kill."""
    names = sorted(name for name in status | usual if status.get(name) != usual.get(name))
    return [f"{name} is {status.get(name)!r} and not {usual.get(name)!r}" for name in names]
