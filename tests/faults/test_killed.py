"""The operator is killed before and after every single write of a story; the next one brings the story to its end."""

import random
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from faults.injection import Crash, Point, points
from faults.sampling import ONE, some
from faults.scene import Ground
from faults.stories import STORIES, Story, named
from faults.telling import Told, look_back, set_up, tell, undisturbed, wait_until_quiet
from stack.history import NotReachedError
from support.watching import Object

AT_ONCE = 6
FEW = 5
LOST_WITH_ITS_PROCESS = 2
"""Events behind one write of the status: `Reverted` and `AttemptStarted` when one version follows another. What a
process has written down and not told yet is in the status, and told by nobody else."""


@pytest.mark.parametrize("story", STORIES, ids=named)
def test_killed_at_a_write_it_ends_as_if_nothing_had_happened(ground: Ground, story: Story) -> None:
    usual = undisturbed(ground, story)
    assert not usual.said
    every = [point for point in points(usual.writes) if point.ordinal == 1 or not ONE]
    tried = some(random.Random(story.name).sample(every, len(every)), FEW)  # noqa: S311
    with ThreadPoolExecutor(AT_ONCE) as pool:
        endings = list(pool.map(lambda point: _ending(ground, story, point, usual), tried))
    ground.tally.add(f"killed in {story.name} (of {len(every)} points)", sum(one.was_killed for one in endings))
    said = [f"{point}: {one}" for point, ending in zip(tried, endings, strict=True) for one in ending.complaints]
    assert not said, f"{len(said)} complaints over {len(tried)} kills:\n" + "\n".join(said)
    assert sum(one.was_killed for one in endings) > len(tried) / 2, "most points come each time"


class _Ending(NamedTuple):
    """How a story ended at a point of which the operator was to be killed."""

    was_killed: bool
    """Not every run has the same writes: what several changes call for may be one write, or two. Each has the first."""
    complaints: list[str]


def _ending(ground: Ground, story: Story, point: Point, usual: Told) -> _Ending:
    with set_up(ground, story) as scene:
        kill = Crash(point, scene.operator.kill)
        try:
            tell(scene, story, kill)
        except NotReachedError as error:
            return _Ending(kill.happened.is_set(), [str(error)])
        wait_until_quiet(scene, story, or_until=kill.happened.is_set)
        scene.operator.wait_until_ready()
        told = look_back(scene, story)
    complaints = list(told.complaints)
    if told.missing_events.total() > LOST_WITH_ITS_PROCESS:
        complaints.append(f"nobody was told of {dict(told.missing_events)}")
    return _Ending(kill.happened.is_set(), complaints + _otherwise(told.status or {}, usual.status or {}))


def _otherwise(status: Object, usual: Object) -> list[str]:
    """What of a status is not as it is without a kill."""
    names = sorted(name for name in status | usual if status.get(name) != usual.get(name))
    return [f"{name} is {status.get(name)!r} and not {usual.get(name)!r}" for name in names]
