"""Telling a story on a scene, with or without faults, and saying what was not as it should be."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from faults.evidence import differences, events_of, lasting, violations
from faults.scene import ERRORS, Ground, Scene, series_of
from faults.stories import FIRST, Story
from stack.operator_process import eventually
from support.api_proxy import Fault

PATIENCE = 90
"""Seconds that a story may take to end; most of it is the machine's, when ten of them are told at once."""
_QUIET = 3.0
"""Seconds without a write, after which none is expected: longer than anything that a story waits for in the end."""

_EVENTS_TAKE = 5.0
"""Seconds that events may take after what they are about."""


@dataclass(frozen=True)
class Told:
    """What came of a story."""

    complaints: list[str]
    missing_events: Counter[str]
    """Reasons that nobody was told of, and how often they should have been."""
    writes: list[str]
    status: Any
    """What lasts of it."""

    @property
    def said(self) -> list[str]:
        """All that is not as it should be."""
        return [*self.complaints, *(f"nobody was told of {reason}" for reason in self.missing_events.elements())]


@contextmanager
def set_up(ground: Ground, story: Story, *, leased: bool = False) -> Iterator[Scene]:
    """A scene on which the story can begin: what happened before is forgotten."""
    with ground.scene(leased=leased, slos=list(story.slos)) as scene:
        scene.measure(ERRORS, 0)
        if story.slos:
            series = series_of(ERRORS, scene.rollout.namespace)
            eventually(lambda: ground.prometheus.knows(series), f"the first scrape of {series}", seconds=PATIENCE)
        if story.begins_serving:
            FIRST.tell(scene)
            _wait_for_end(scene, FIRST)
            scene.trail.wait(lambda: events_of(scene.trail) == FIRST.events, seconds=PATIENCE)
        scene.proxy.writes.clear()
        yield scene


def tell(scene: Scene, story: Story, fault: Fault | None = None) -> None:
    """Let the story happen, with a fault on the way to the API server; raises NotReachedError when it gets stuck."""
    scene.proxy.fault = fault
    story.tell(scene)


def look_back(scene: Scene, story: Story, *, may_end_by_itself: bool = False) -> Told:
    """Wait for the end of a story, and look at everything that it left."""
    complaints = _wait_for_end(scene, story)
    scene.trail.wait(lambda: not story.events - events_of(scene.trail), seconds=_EVENTS_TAKE)
    seen = events_of(scene.trail)
    complaints += [f"told {times} times too often: {reason}" for reason, times in (seen - story.events).items()]
    complaints += sorted(set(violations(scene.trail)))
    if not may_end_by_itself:
        complaints += [f"an operator ended by itself: {log[-2000:]}" for log in scene.operator.ended_by_themselves]
    return Told(complaints, story.events - seen, list(scene.proxy.writes), lasting(scene.status()))


def undisturbed(ground: Ground, story: Story) -> Told:
    """The story without a fault, until nothing is written any more."""
    with set_up(ground, story) as scene:
        tell(scene, story)
        wait_until_quiet(scene, story)
        return look_back(scene, story)


def wait_until_quiet(scene: Scene, story: Story, *, or_until: Callable[[], bool] = lambda: False) -> None:
    """Wait until a story has come to its end and nothing is written any more."""
    scene.trail.wait(lambda: or_until() or not differences(scene.trail, story), seconds=PATIENCE)
    written = -1
    while written < len(scene.proxy.writes) and not or_until():
        written = len(scene.proxy.writes)
        time.sleep(_QUIET)


def _wait_for_end(scene: Scene, story: Story) -> list[str]:
    """What is missing to the end of a story, if it does not come."""
    scene.trail.wait(lambda: not differences(scene.trail, story), seconds=PATIENCE)
    return differences(scene.trail, story)
