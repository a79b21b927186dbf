"""Containers that crash or run out of memory while a candidate comes up, or takes requests."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from modelrollout.api.status import Colour, Phase
from modelrollout.engine import effects as fx
from modelrollout.engine.snapshot import Crash, Snapshot
from unit.engine.simulation import World, make_spec
from unit.engine.worlds import MINUTE, condition, in_stage, reasons, serving, taking_back

BLUE: dict[str, Any] = {"colour": Colour.BLUE, "attempt": 1, "pod": "scorer-blue-x"}
KILLED: dict[str, Any] = {"reason": "OOMKilled", "exit_code": 137}
HOUR = timedelta(hours=1)
LONG = {"canary": {"steps": [{"weight": 10, "hold": "1m"}, {"weight": 50, "hold": "3h"}, {"weight": 100}]}}


def crash(world: World, *, ago: timedelta = timedelta(), **changes: Any) -> Crash:
    """A container of green that has ended so long ago and was started again."""
    ended = Crash(
        colour=Colour.GREEN,
        attempt=2,
        pod="scorer-green-x",
        container="server",
        restarts=1,
        restarts_since_ready=1,
        was_ready=True,
        looping=False,
        reason="Error",
        exit_code=1,
        ended_at=world.now - ago,
    )
    return replace(ended, **changes)


def decide_on(world: World, *crashes: Crash) -> fx.Decision:
    """What is decided, and done, as long as this is seen of the pods."""
    seen = replace(world.snapshot(), crashes=crashes)
    return world.carry_out(seen, world.status_version)


def settle_on(world: World, *crashes: Crash) -> None:
    for _ in range(5):
        decide_on(world, *crashes)


def coming_up(**changes: Any) -> World:
    """A world in which version 2.0.0 has its pods, and none of them is ready."""
    world = serving(make_spec(**changes))
    world.change(make_spec("2.0.0", **changes))
    world.reconcile()
    world.now += timedelta(seconds=30)
    return world


@pytest.mark.parametrize(
    ("seen", "reason", "words"),
    [
        ({"looping": True, "restarts": 2}, "CandidateCrashLooping", "crashes again and again: restarts 2"),
        ({"restarts_since_ready": 3, "restarts": 7}, "CandidateCrashLooping", "last state Error, exit code 1, at 20"),
        (KILLED, "CandidateOutOfMemory", "ran out of memory: restarts 1, last state OOMKilled, exit code 137, at 20"),
        (KILLED | {"looping": True}, "CandidateOutOfMemory", "OOMKilled"),
    ],
    ids=str,
)
def test_a_candidate_with_requests_that_breaks_is_taken_back_with_one_route_write_before_anything_else(
    seen: dict[str, Any], reason: str, words: str
) -> None:
    world = in_stage("canary-10")
    taken_back = taking_back(world)
    decision = decide_on(world, crash(world, **seen))
    assert decision.effects[0] == taken_back
    assert isinstance(decision.effects[1], fx.WriteStatus)
    revert = world.status.last_revert
    assert revert
    assert (revert.reason, revert.stage) == (reason, "canary-10")
    assert revert.message.startswith("container server of pod scorer-green-x ")
    assert words in revert.message
    world.run_for(MINUTE)
    assert world.status.phase is Phase.REVERTED


@pytest.mark.parametrize(
    "seen",
    [
        {},
        {"restarts_since_ready": 2, "restarts": 9},
        {"restarts_since_ready": 3, "ago": 11 * MINUTE},
        KILLED | {"ago": 11 * MINUTE},
        KILLED | {"ended_at": None},
        KILLED | {"attempt": 3},
        KILLED | {"looping": True, "colour": Colour.BLUE},
        {"looping": True, "was_ready": False, "restarts": 4},
        KILLED | {"was_ready": False, "looping": True, "restarts": 1},
    ],
    ids=str,
)
def test_a_crash_or_two_what_is_long_over_and_what_is_not_its_own_takes_nobody_back(seen: dict[str, Any]) -> None:
    world = in_stage("canary-50", strategy=LONG)
    world.now += timedelta(minutes=20)
    settle_on(world, crash(world, **seen))
    assert world.status.phase is Phase.PROGRESSING


def test_memory_that_ran_out_before_the_first_requests_is_told_by_nobody_again() -> None:
    world = in_stage("canary-10")
    settle_on(world, crash(world, ago=MINUTE, **KILLED))
    assert world.status.phase is Phase.PROGRESSING


def test_a_crash_at_the_end_of_a_stage_counts_in_the_next_one() -> None:
    world = in_stage("canary-50")
    settle_on(world, crash(world, ago=timedelta(seconds=5), **KILLED))
    assert world.status.phase is Phase.REVERTING


@pytest.mark.parametrize("seen", [KILLED, {"looping": True}], ids=str)
def test_what_stable_suffers_from_as_well_holds_the_stage_until_the_candidate_is_well_again(
    seen: dict[str, Any],
) -> None:
    world = in_stage("canary-10")
    broke_at = world.now
    both = crash(world, **seen), crash(world, **BLUE, **seen)
    world.now += 5 * MINUTE
    settle_on(world, *both)
    assert world.status.stage
    assert world.status.stage.name == "canary-10"
    assert condition(world, "Progressing")[1] == "SharedIncident"
    decision = decide_on(world, *both)
    assert decision.wake_at == broke_at + 10 * MINUTE
    world.now = decision.wake_at
    settle_on(world, *(replace(one, looping=False) for one in both))
    assert world.status.stage.name == "canary-50"


def test_a_crash_of_stable_excuses_no_lack_of_memory_and_no_crash_from_before_excuses_anything() -> None:
    world = in_stage("canary-50", strategy=LONG)
    world.now += HOUR
    settle_on(world, crash(world, **KILLED), crash(world, **BLUE, looping=True))
    assert world.status.last_revert
    assert world.status.last_revert.reason == "CandidateOutOfMemory"
    world = in_stage("canary-50", strategy=LONG)
    world.now += HOUR
    settle_on(world, crash(world, **KILLED), crash(world, **BLUE, **KILLED, ago=2 * HOUR))
    assert world.status.phase is Phase.REVERTING


def test_a_candidate_that_loops_for_want_of_memory_is_taken_back_where_stable_was_killed_once() -> None:
    world = in_stage("canary-10")
    settle_on(world, crash(world, **KILLED, looping=True), crash(world, **BLUE, **KILLED))
    assert world.status.last_revert
    assert world.status.last_revert.reason == "CandidateCrashLooping"


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        ({"looping": True, "restarts": 5}, "CandidateCrashLooping"),
        (KILLED | {"looping": True, "restarts": 2}, "CandidateOutOfMemory"),
    ],
    ids=str,
)
def test_a_candidate_that_does_not_come_up_is_taken_back_long_before_its_deadline(
    seen: dict[str, Any], reason: str
) -> None:
    world = coming_up()
    decide_on(world, crash(world, was_ready=False, **seen))
    assert world.status.phase is Phase.REVERTED
    assert world.status.last_revert
    assert (world.status.last_revert.reason, world.status.last_revert.stage) == (reason, "")
    world.run_for(MINUTE)
    assert world.weights == {Colour.BLUE: 100, Colour.GREEN: 0}
    assert "StageEntered" not in reasons(world)[reasons(world).index("Promoted") :]


def test_a_first_version_that_does_not_come_up_is_taken_back_too() -> None:
    world = World(spec=make_spec())
    world.reconcile()
    world.reconcile()
    only = crash(world, was_ready=False, looping=True, restarts=5, colour=Colour.BLUE, attempt=1)
    decide_on(world, only)
    assert world.status.last_revert
    assert world.status.last_revert.reason == "CandidateCrashLooping"


@pytest.mark.parametrize(
    "seen",
    [
        {"looping": True, "restarts": 4},
        {"looping": True, "restarts": 4, "was_ready": True},
        {"restarts": 9},
        KILLED | {"looping": True, "restarts": 1},
        KILLED | {"restarts": 3},
    ],
    ids=str,
)
def test_a_candidate_that_needs_a_few_starts_comes_up(seen: dict[str, Any]) -> None:
    world = coming_up()
    decide_on(world, crash(world, **{"was_ready": False} | seen))
    assert world.status.phase is Phase.PREPARING
    world.settle()
    assert world.status.phase is Phase.PROGRESSING


@pytest.mark.parametrize("shares", [{"looping": True}, {"restarts_since_ready": 3}], ids=str)
def test_while_stable_crashes_too_a_candidate_has_until_its_deadline_to_come_up(shares: dict[str, Any]) -> None:
    world = coming_up()
    decide_on(world, crash(world, was_ready=False, looping=True, restarts=6), crash(world, **BLUE, **shares))
    assert world.status.phase is Phase.PREPARING


def test_who_pauses_may_look_at_pods_that_do_not_come_up() -> None:
    world = coming_up()
    world.change(make_spec("2.0.0", paused=True))
    decide_on(world, crash(world, was_ready=False, looping=True, restarts=6))
    assert world.status.phase is Phase.PREPARING


def test_a_gradual_way_back_goes_on_at_once() -> None:
    world = in_stage("canary-50", rollback={"mode": "Gradual", "hold": "10m"})
    world.ask("Revert", mode="Gradual")
    world.settle()
    assert world.status.way_back
    settle_on(world, crash(world, **KILLED))
    assert world.weights == {Colour.BLUE: 100, Colour.GREEN: 0}
    assert any(event.reason == "GoingBack" and "ran out of memory" in event.message for event in world.events)


def test_a_stage_without_requests_asks_no_more_than_that_it_comes_up() -> None:
    stages = [{"name": "look", "traffic": {"weight": 0}, "hold": "10m"}, {"name": "all", "traffic": {"weight": 100}}]
    world = in_stage("look", strategy={"stages": stages})
    settle_on(world, crash(world, **KILLED), crash(world, looping=True, restarts=3))
    assert world.status.phase is Phase.PROGRESSING
    settle_on(world, crash(world, looping=True, restarts=5))
    assert world.status.last_revert


def test_nothing_that_is_seen_of_pods_matters_while_nobody_is_on_trial() -> None:
    world = serving()
    before: Snapshot = world.snapshot()
    settle_on(world, crash(world, **BLUE, **KILLED, looping=True))
    assert world.snapshot().status == before.status
