"""Two operators look after the same rollout, and neither knows of the other."""

from dataclasses import replace

import pytest

from faults.sampling import some
from faults.scene import Ground
from faults.stories import ABORTED, ASKED, DELETED, GRADUAL, PROMOTED, REVERTED, SLO, SUPERSEDED, Story, named
from faults.telling import look_back, set_up, tell

BREACHED = replace(REVERTED, name="breached", slos=({**SLO, "consecutiveBreaches": 1},))
"""Two who ask Prometheus at different moments may count a breach that takes two in a row more than once."""
STORIES = (PROMOTED, BREACHED, ABORTED, GRADUAL, SUPERSEDED, DELETED, ASKED)


@pytest.mark.parametrize("story", some(STORIES, 4), ids=named)
def test_two_at_once_do_no_harm_and_nothing_twice(ground: Ground, story: Story) -> None:
    with (
        set_up(ground, story) as scene,
        ground.proxies.proxy() as proxy,
        ground.beside(scene, proxy) as other,
    ):
        other.wait_until_ready()
        tell(scene, story)
        told = look_back(scene, story)
        assert proxy.writes
        assert scene.proxy.writes
    ground.tally.add("two operators at once")
    assert not told.said
