"""`retry`: a version that was taken back is tried again, so many times, and no more."""

from datetime import timedelta

import pytest

from modelrollout.api.slo import Verdict
from modelrollout.api.status import ConditionStatus, Phase
from unit.engine.simulation import World, make_spec
from unit.engine.worlds import MINUTE, applied, condition, in_stage

RETRY = {"limit": 2, "after": "10m"}


def fail(world: World) -> None:
    """The candidate is taken back and has drained."""
    world.verdict = Verdict.BREACH
    world.run_for(timedelta(seconds=30), step=timedelta(seconds=1))
    world.verdict = Verdict.PASS
    assert world.status.phase is Phase.REVERTED


def test_a_version_is_tried_again_as_often_as_it_may_be_and_then_a_person_has_to_act() -> None:
    world = in_stage("canary-10", retry=RETRY)
    for attempt in (3, 4):
        fail(world)
        assert condition(world, "Stalled") == (ConditionStatus.FALSE, "NoProblem")
        assert condition(world, "Ready") == (ConditionStatus.TRUE, "Serving")
        world.run_for(9 * MINUTE)
        assert world.status.candidate is None
        world.run_for(2 * MINUTE)
        assert world.status.candidate
        assert (world.status.candidate.version, world.status.candidate.attempt) == ("2.0.0", attempt)
    fail(world)
    world.run_for(timedelta(hours=1), step=MINUTE)
    assert world.status.candidate is None
    assert condition(world, "Stalled") == (ConditionStatus.TRUE, "Reverted")


def test_it_wakes_up_for_the_next_try() -> None:
    world = in_stage("canary-10", retry=RETRY)
    fail(world)
    assert world.status.last_revert
    assert world.reconcile().wake_at == world.status.last_revert.at + 10 * MINUTE


def test_nothing_is_tried_again_while_paused() -> None:
    world = in_stage("canary-10", retry=RETRY)
    fail(world)
    world.change(make_spec("2.0.0", retry=RETRY, paused=True))
    world.run_for(timedelta(hours=1), step=MINUTE)
    assert world.status.candidate is None


@pytest.mark.parametrize("action", ["Abort", "Revert", "Kill"])
def test_what_a_person_took_back_only_a_person_tries_again(action: str) -> None:
    world = in_stage("canary-10", retry=RETRY)
    applied(world, action)
    world.run_for(MINUTE)
    if action == "Kill":
        applied(world, "Lift")
    world.run_for(timedelta(hours=1), step=MINUTE)
    assert world.status.candidate is None
    assert condition(world, "Stalled") == (ConditionStatus.TRUE, "Reverted")
    applied(world, "Retry")
    world.run_for(MINUTE)
    assert world.status.candidate


def test_a_promotion_that_a_person_took_back_is_not_tried_again() -> None:
    world = in_stage("canary-100", retry=RETRY)
    world.run_for(2 * MINUTE)
    assert world.status.previous
    applied(world, "Revert")
    world.run_for(timedelta(hours=1), step=MINUTE)
    assert (world.status.candidate, world.status.phase) == (None, Phase.REVERTED)


def test_another_version_has_all_its_tries() -> None:
    world = in_stage("canary-10", retry={"limit": 1, "after": "10m"})
    fail(world)
    world.change(make_spec("3.0.0", retry={"limit": 1, "after": "10m"}))
    world.run_for(timedelta(seconds=20))
    fail(world)
    assert world.status.last_revert
    assert world.status.last_revert.times == 1
    world.run_for(11 * MINUTE)
    assert world.status.candidate
    assert world.status.candidate.version == "3.0.0"
