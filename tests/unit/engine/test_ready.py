"""What the condition Ready says over a whole rollout, to those who wait for it."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from modelrollout.api.slo import Verdict
from modelrollout.api.status import Condition, ConditionStatus, Phase
from unit.engine.simulation import World, make_spec
from unit.engine.worlds import MINUTE, condition, in_stage, serving

TRUE, FALSE = ConditionStatus.TRUE, ConditionStatus.FALSE
COMPLETE: dict[str, Any] = {"readyWhen": "Complete"}


def ready(world: World) -> Condition:
    return next(one for one in world.status.conditions if one.type == "Ready")


def until_idle(world: World) -> Iterator[tuple[Phase, ConditionStatus]]:
    """The phase and what Ready says at each look, until there is nothing more to do."""
    for _ in range(200):
        world.reconcile()
        world.pods_follow()
        yield world.status.phase, ready(world).status
        if world.status.phase is Phase.IDLE:
            return
        world.now += timedelta(seconds=5)
    raise AssertionError(f"not idle: {world.status.phase}")


@pytest.mark.parametrize(("ready_when", "meanwhile"), [("Serving", TRUE), ("Complete", FALSE)])
def test_an_attempt_is_waited_for_by_those_who_asked_for_it(ready_when: str, meanwhile: ConditionStatus) -> None:
    world = serving(make_spec(readyWhen=ready_when))
    assert ready(world).status is TRUE
    world.change(make_spec("2.0.0", readyWhen=ready_when))
    *on_the_way, arrived = until_idle(world)
    assert {phase for phase, _ in on_the_way} == {Phase.PREPARING, Phase.PROGRESSING}
    assert {status for _, status in on_the_way} == {meanwhile}
    assert arrived == (Phase.IDLE, TRUE)


@pytest.mark.parametrize("ready_when", ["Serving", "Complete"])
def test_the_first_version_is_waited_for_in_any_case(ready_when: str) -> None:
    world = World(spec=make_spec(readyWhen=ready_when))
    world.reconcile()
    world.reconcile()
    assert condition(world, "Ready") == (FALSE, "WaitingForPods")
    world.settle()
    assert condition(world, "Ready") == (TRUE, "Serving")


def test_what_it_waits_for_is_in_the_message() -> None:
    world = in_stage("canary-10", **COMPLETE)
    assert condition(world, "Ready") == (FALSE, "Incomplete")
    assert ready(world).message.startswith("version 2.0.0 does not serve everybody yet: stage canary-10 holds until")


def test_what_needs_a_person_is_named_before_what_is_incomplete() -> None:
    slo = {"name": "errors", "metric": "error-ratio", "limit": "1%", "onBreach": "Hold"}
    world = in_stage("canary-10", slos=[slo], **COMPLETE)
    world.verdict = Verdict.BREACH
    world.run_for(timedelta(seconds=10), step=timedelta(seconds=1))
    assert condition(world, "Ready") == (FALSE, "SLOBreached")


@pytest.mark.parametrize("ready_when", ["Serving", "Complete"])
def test_a_version_that_was_taken_back_is_not_ready_until_somebody_acts(ready_when: str) -> None:
    world = in_stage("canary-10", readyWhen=ready_when)
    world.verdict = Verdict.BREACH
    world.run_for(MINUTE)
    assert condition(world, "Ready") == (FALSE, "Reverted")
    assert condition(world, "Stalled") == (TRUE, "Reverted")
    world.change(make_spec("1.0.0", readyWhen=ready_when))
    world.settle()
    assert condition(world, "Ready") == (TRUE, "Serving")


@pytest.mark.parametrize(("ready_when", "meanwhile"), [("Serving", TRUE), ("Complete", FALSE)])
def test_a_version_that_is_tried_again_by_itself_needs_nobody(ready_when: str, meanwhile: ConditionStatus) -> None:
    world = in_stage("canary-10", readyWhen=ready_when, retry={"limit": 1, "after": "1h"})
    world.verdict = Verdict.BREACH
    world.run_for(MINUTE)
    assert world.status.phase is Phase.REVERTED
    assert ready(world).status is meanwhile
    assert condition(world, "Stalled")[0] is FALSE


@pytest.mark.parametrize(("ready_when", "meanwhile"), [("Serving", TRUE), ("Complete", FALSE)])
def test_a_pause_before_the_start_is_waited_for_as_well(ready_when: str, meanwhile: ConditionStatus) -> None:
    world = serving(make_spec(readyWhen=ready_when))
    world.change(make_spec("2.0.0", readyWhen=ready_when, paused=True))
    world.settle()
    assert world.status.phase is Phase.IDLE
    assert ready(world).status is meanwhile


def test_going_back_to_what_serves_is_complete_once_the_candidate_has_left() -> None:
    world = in_stage("canary-50", **COMPLETE)
    world.change(make_spec("1.0.0", **COMPLETE))
    *leaving, back = until_idle(world)
    assert set(leaving) == {(Phase.REVERTING, FALSE)}
    assert back == (Phase.IDLE, TRUE)


def test_changing_what_is_waited_for_is_no_other_try() -> None:
    world = in_stage("canary-10")
    world.verdict = Verdict.BREACH
    world.run_for(MINUTE)
    world.verdict = Verdict.PASS
    world.change(make_spec("2.0.0", **COMPLETE))
    world.run_for(MINUTE)
    assert world.status.phase is Phase.REVERTED
