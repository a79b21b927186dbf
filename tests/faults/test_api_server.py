"""The API server answers badly, late, or not at all; what is written in the end is the same."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from faults.injection import (
    ArrivingLate,
    Concerns,
    Instead,
    Moment,
    Once,
    Point,
    Sometimes,
    be_unavailable,
    break_down,
    conflict,
    fenced_writes,
    lose_answer,
    take_long,
    throttle,
    writes,
)
from faults.meddler import Meddler
from faults.sampling import some
from faults.scene import NAME, Ground, Scene
from faults.stories import GRADUAL, ON_THE_WAY, PROMOTED, REVERTED, SUPERSEDED, Story, named
from faults.telling import PATIENCE, look_back, set_up, tell
from stack.operator_process import eventually
from support.api_proxy import Answer, status_answer
from support.watching import Object

GONE = {
    "type": "ERROR",
    "object": {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": "Expired",
        "code": 410,
        "message": "",
    },
}
STORM_SECONDS = 20
LONGER_THAN_ANYBODY_WAITS = 35
"""Seconds; the operator gives an answer up after 30."""


@pytest.mark.parametrize(
    ("instead", "concerns", "share"),
    [
        (lose_answer, writes, 0.4),
        (conflict, fenced_writes, 0.6),
        (throttle, writes, 0.4),
        (break_down, writes, 0.4),
        (be_unavailable, writes, 0.4),
        (take_long, writes, 0.3),
    ],
    ids=lambda part: getattr(part, "__name__", ""),
)
@pytest.mark.parametrize("story", some(ON_THE_WAY, 3), ids=named)
def test_whatever_it_answers_to_a_share_of_the_writes(
    ground: Ground, story: Story, instead: Instead, concerns: Concerns, share: float
) -> None:
    fault = Sometimes(share, story.name, instead, concerns)
    with set_up(ground, story) as scene:
        tell(scene, story, fault)
        told = look_back(scene, story)
    ground.tally.add(instead.__name__, fault.times)
    assert fault.times >= 2
    # What was written down without an answer is seen as done by the next look, and told by nobody.
    assert not (told.complaints if instead is lose_answer else told.said)


@pytest.mark.parametrize(
    ("target", "ordinal"),
    [
        (f"PUT modelrollouts/{NAME}/status", 3),
        (f"PUT modelrollouts/{NAME}/status", 6),
        (f"PATCH httproutes/{NAME}", 2),
        (f"PATCH deployments/{NAME}-green", 1),
    ],
)
@pytest.mark.parametrize("story", some([REVERTED, PROMOTED, GRADUAL], 1), ids=named)
def test_a_write_that_is_admitted_when_the_operator_has_given_it_up(
    ground: Ground, story: Story, target: str, ordinal: int
) -> None:
    late = ArrivingLate(LONGER_THAN_ANYBODY_WAITS)
    slow = Once(Point(target, ordinal, Moment.BEFORE), late)
    with set_up(ground, story) as scene:
        tell(scene, story, slow)
        assert slow.happened.wait(PATIENCE)
        look_back(scene, story)
        eventually(lambda: not late.under_way, "the end of the write", seconds=LONGER_THAN_ANYBODY_WAITS)
        told = look_back(scene, story)
    ground.tally.add("admitted too late")
    assert not told.complaints


@pytest.mark.parametrize("story", some(ON_THE_WAY, 3), ids=named)
def test_watches_that_are_cut_again_and_again(ground: Ground, story: Story) -> None:
    with set_up(ground, story) as scene, _again_and_again(lambda: _cut(scene), every=0.7):
        tell(scene, story)
        told = look_back(scene, story)
    ground.tally.add("watches cut", scene.proxy.cuts)
    assert scene.proxy.cuts >= 10
    assert not told.said


@pytest.mark.parametrize("farewell", [None, GONE], ids=["cut", "gone"])
def test_what_changes_while_nothing_can_be_watched_is_seen_once_it_can(ground: Ground, farewell: Object | None) -> None:
    with set_up(ground, PROMOTED) as scene:
        _change_unseen(scene, farewell, status_answer(503, "ServiceUnavailable"))
        told = look_back(scene, PROMOTED)
    assert not told.said


def test_a_watch_that_is_gone_before_it_begins_ends_the_process_and_the_next_one_goes_on(ground: Ground) -> None:
    """API servers say `410 Gone` in the stream; what says it in the status of the answer ends kopf's watches."""
    with set_up(ground, PROMOTED) as scene:
        _change_unseen(scene, None, status_answer(410, "Expired"))
        told = look_back(scene, PROMOTED, may_end_by_itself=True)
        assert scene.operator.ended_by_themselves
    assert not told.said


def _change_unseen(scene: Scene, farewell: Object | None, refusal: Answer) -> None:
    """Ask for another version while no watch can be kept."""
    scene.proxy.refuse_watches = refusal
    assert scene.proxy.cut_watches(farewell) >= 4
    tell(scene, PROMOTED)
    eventually(lambda: scene.proxy.refused_watches >= 4, "watches that are refused")
    scene.proxy.refuse_watches = None


@pytest.mark.parametrize("story", some([PROMOTED, REVERTED, GRADUAL, SUPERSEDED], 2), ids=named)
def test_somebody_else_writes_everything_all_the_time(ground: Ground, story: Story) -> None:
    with set_up(ground, story) as scene:
        until = time.monotonic() + STORM_SECONDS
        meddler = Meddler(scene.client, scene.rollout.namespace)
        with _again_and_again(meddler.touch, every=0.1), _again_and_again(meddler.touch_status, every=0.3):
            tell(scene, story)
            look_back(scene, story)
            _wait_until(until)
        conflicts = scene.proxy.answers[409]
        told = look_back(scene, story)
    ground.tally.add("conflicts in a storm", conflicts)
    assert conflicts, "nobody came too late"
    assert not told.said


def _cut(scene: Scene) -> None:
    """Every other time the API server says that what was watched from is gone."""
    scene.proxy.cut_watches(GONE if scene.proxy.cuts // 5 % 2 else None)


@contextmanager
def _again_and_again(act: Callable[[], object], *, every: float) -> Iterator[None]:
    """Something happens every so many seconds as long as the context lasts; raises what kept it from that."""
    stop = threading.Event()

    def go_on() -> None:
        while not stop.wait(every):
            act()

    with ThreadPoolExecutor(1) as thread:
        acting = thread.submit(go_on)
        try:
            yield
        finally:
            stop.set()
        acting.result()


def _wait_until(moment: float) -> None:
    time.sleep(max(moment - time.monotonic(), 0))
