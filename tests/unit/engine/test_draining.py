"""A version that gets no more requests keeps its pods until its last answers are given, told as stories."""

from datetime import timedelta
from typing import Any

import pytest

from modelrollout.api.status import Colour, Phase
from modelrollout.engine import effects as fx
from modelrollout.engine.draining import drain_time
from unit.engine.simulation import World, make_spec
from unit.engine.worlds import MINUTE, breach, in_stage, serving

SECOND = timedelta(seconds=1)
LONG: dict[str, Any] = {"service": {"longestAnswer": "10m"}}


def waits_for(world: World) -> str:
    return next(one.message for one in world.status.conditions if one.type == "Progressing")


def promoted(**changes: object) -> World:
    """A world in which version 2.0.0 serves, since a moment ago."""
    world = in_stage("canary-100", **changes)
    while world.status.candidate:
        world.run_for(SECOND, step=SECOND)
    return world


@pytest.mark.parametrize(
    ("longest", "drain"), [(None, 10), ("10m", 602), ("1500ms", 3.5)], ids=["by default", "long", "short"]
)
def test_it_lasts_for_the_longest_answer_of_the_last_request_that_a_proxy_may_send(
    longest: str | None, drain: float
) -> None:
    assert drain_time(make_spec(service={"longestAnswer": longest})) == timedelta(seconds=drain)


def test_a_version_taken_back_keeps_its_pods_for_the_longest_answer_and_says_until_when() -> None:
    world = in_stage("canary-50", **LONG)
    breach(world, times=2)
    left_at = world.now
    world.settle()
    assert waits_for(world) == f"version 2.0.0 finishes its answers until {left_at + timedelta(seconds=602):%F %TZ}"
    world.run_for(10 * MINUTE)
    assert world.workloads[Colour.GREEN].desired == 4
    world.run_for(10 * SECOND)
    assert world.workloads[Colour.GREEN].desired == 0


def test_the_operator_comes_back_when_it_has_drained() -> None:
    world = in_stage("canary-50", **LONG)
    breach(world, times=2)
    left_at, world.now = world.now, world.now + 3 * SECOND
    assert world.settle().wake_at == left_at + timedelta(seconds=602)


def test_a_third_version_waits_for_the_colour_in_which_answers_are_finished() -> None:
    world = in_stage("canary-50", **LONG)
    world.change(make_spec("3.0.0", **LONG))
    world.run_for(10 * MINUTE)
    assert (world.status.phase, world.status.attempt) == (Phase.REVERTING, 2)
    world.run_for(10 * SECOND)
    assert world.status.candidate
    assert (world.status.candidate.version, world.status.candidate.colour) == ("3.0.0", Colour.GREEN)


def test_a_version_after_a_promotion_waits_for_the_one_before_to_finish() -> None:
    world = promoted(**LONG)
    serves_since = world.status.stable.since if world.status.stable else world.now
    world.change(make_spec("3.0.0", **LONG))
    world.settle()
    drained = f"{serves_since + timedelta(seconds=602):%F %TZ}"
    assert waits_for(world) == f"version 1.0.0 finishes its answers in blue until {drained}"
    world.run_for(10 * MINUTE)
    assert world.status.candidate is None
    world.run_for(10 * SECOND)
    assert world.status.candidate
    assert (world.status.candidate.version, world.status.candidate.colour) == ("3.0.0", Colour.BLUE)


@pytest.mark.parametrize(("keep_warm", "seconds"), [("0s", 602), ("1h", 3600)])
def test_the_version_before_is_parked_when_nobody_needs_it_any_more_in_either_way(keep_warm: str, seconds: int) -> None:
    world = promoted(rollback={"keepWarm": keep_warm}, **LONG)
    world.run_for(timedelta(seconds=seconds - 10), step=timedelta(seconds=30))
    assert world.workloads[Colour.BLUE].desired == 4
    world.run_for(timedelta(seconds=20))
    assert world.workloads[Colour.BLUE].desired == 0


def test_a_version_that_is_undone_finishes_its_answers() -> None:
    world = promoted(**LONG)
    world.ask("Revert")
    world.run_for(10 * MINUTE)
    assert world.workloads[Colour.GREEN].desired == 4
    world.run_for(10 * SECOND)
    assert world.workloads[Colour.GREEN].desired == 0


def test_deleting_in_mid_stage_waits_for_the_answers_of_the_candidate() -> None:
    world = in_stage("canary-50", **LONG)
    world.deleting = True
    world.run_for(10 * MINUTE)
    assert not world.gone
    assert world.workloads[Colour.GREEN].desired == 4
    world.run_for(10 * SECOND)
    assert (world.gone, world.kept) == (True, Colour.BLUE)


def test_deleting_after_a_promotion_waits_for_the_answers_of_the_version_before() -> None:
    world = promoted(**LONG)
    world.deleting = True
    decision = world.reconcile()
    assert not world.gone
    assert decision.wake_at
    world.now = decision.wake_at
    world.reconcile()
    assert (world.gone, world.kept) == (True, Colour.GREEN)


def test_deleting_waits_for_a_candidate_that_was_put_back_to_the_first_stage() -> None:
    world = in_stage("canary-50", **LONG)
    steps = [{"weight": 20, "hold": "1m"}, {"weight": 100}]
    world.preflighted = False
    world.change(make_spec("2.0.0", strategy={"canary": {"steps": steps}}, **LONG))
    world.reconcile()
    assert (world.status.phase, world.share_of(Colour.GREEN)) == (Phase.PREPARING, 0)
    world.deleting = True
    world.run_for(MINUTE)
    assert not world.gone
    world.run_for(10 * MINUTE)
    assert (world.gone, world.kept) == (True, Colour.BLUE)


def test_answers_are_waited_for_from_the_write_of_the_route_that_a_crash_delays() -> None:
    world = in_stage("canary-50", **LONG)
    steps = [{"weight": 20, "hold": "1m"}, {"weight": 100}]
    world.preflighted = False
    world.change(make_spec("2.0.0", strategy={"canary": {"steps": steps}}, **LONG))
    world.reconcile(crash_after=1)
    assert (world.status.phase, world.share_of(Colour.GREEN)) == (Phase.PREPARING, 50)
    world.now += 5 * MINUTE
    world.reconcile()
    assert world.share_of(Colour.GREEN) == 0
    world.deleting = True
    world.run_for(10 * MINUTE)
    assert not world.gone
    world.run_for(10 * SECOND)
    assert (world.gone, world.kept) == (True, Colour.BLUE)


def test_answers_are_waited_for_when_stable_dies_between_the_write_of_the_route_and_that_of_the_status() -> None:
    world = in_stage("canary-50", **LONG)
    world.ask("Abort")
    world.reconcile(crash_after=1)
    assert (world.status.phase, world.share_of(Colour.GREEN)) == (Phase.PROGRESSING, 0)
    world.pods_ready(Colour.BLUE, 0)
    world.reconcile()
    world.now += 10 * MINUTE
    world.reconcile()
    assert world.workloads[Colour.GREEN].desired == 4
    world.run_for(10 * SECOND)
    assert world.workloads[Colour.GREEN].desired == 0


def test_a_version_that_serves_again_is_followed_when_the_other_has_finished_what_a_crash_left_to_it() -> None:
    world = promoted(**LONG)
    world.run_for(11 * MINUTE, step=MINUTE)
    world.change(make_spec("1.0.0", **LONG))
    world.reconcile(crash_after=1)
    assert world.status.stable
    assert (world.status.stable.version, world.share_of(Colour.GREEN)) == ("1.0.0", 100)
    world.now += 5 * MINUTE
    world.reconcile()
    assert world.share_of(Colour.GREEN) == 0
    world.change(make_spec("3.0.0", **LONG))
    world.run_for(10 * MINUTE)
    assert world.status.candidate is None
    world.run_for(10 * SECOND)
    assert world.status.candidate


def test_deleting_everything_waits_for_nobody() -> None:
    world = in_stage("canary-50", deletionPolicy="Delete", **LONG)
    world.deleting = True
    world.reconcile()
    assert (world.gone, world.kept) == (True, None)


def test_another_longest_answer_restarts_nothing_and_begins_nothing() -> None:
    world = promoted()
    world.change(make_spec("2.0.0", **LONG))
    before = len(world.log)
    world.run_for(MINUTE)
    assert world.status.attempt == 2
    applied = [effect for effect in world.log[before:] if isinstance(effect, fx.ApplyWorkload)]
    assert {(one.attempt, one.replicas) for one in applied} == {(2, 4)}


def test_another_longest_answer_does_not_try_again_what_was_taken_back_or_gone_back_from() -> None:
    world = in_stage("canary-50")
    breach(world, times=2)
    world.run_for(MINUTE)
    world.change(make_spec("2.0.0", **LONG))
    world.run_for(MINUTE)
    assert (world.status.phase, world.status.attempt) == (Phase.REVERTED, 2)


def test_a_longer_answer_than_was_said_at_first_is_waited_for_in_the_middle_of_a_drain() -> None:
    world = in_stage("canary-50")
    breach(world, times=2)
    world.change(make_spec("2.0.0", **LONG))
    world.run_for(MINUTE)
    assert world.status.phase is Phase.REVERTING
    assert world.workloads[Colour.GREEN].desired == 4


def test_nothing_waits_for_a_candidate_that_never_had_a_request() -> None:
    world = serving(make_spec(**LONG))
    world.change(make_spec("2.0.0", **LONG))
    world.reconcile()
    world.change(make_spec("3.0.0", **LONG))
    world.settle()
    assert world.status.candidate
    assert world.status.candidate.version == "3.0.0"
