"""What is kept of the attempts of a rollout, and what is forgotten."""

from datetime import timedelta

import pytest

from modelrollout.api.slo import Verdict
from modelrollout.api.status import ModelRolloutStatus, Phase
from modelrollout.engine import effects as fx
from unit.engine.simulation import World, make_spec
from unit.engine.worlds import MINUTE, breach, in_stage, serving


def outcomes(world: World) -> list[tuple[int, str, str, str]]:
    return [(one.attempt, one.version, one.outcome, one.reason) for one in world.status.history]


def roll_out(world: World, version: str, **changes: object) -> None:
    world.change(make_spec(version, **changes))
    world.run_for(5 * MINUTE, step=timedelta(seconds=10))
    assert world.status.stable
    assert world.status.stable.version == version


def test_the_history_tells_what_became_of_each_attempt_the_newest_first() -> None:
    world = in_stage("canary-50")
    assert outcomes(world) == [(2, "2.0.0", "OnTrial", ""), (1, "1.0.0", "Promoted", "")]
    breach(world, times=3)
    world.verdict = Verdict.PASS
    roll_out(world, "3.0.0")
    assert outcomes(world) == [
        (3, "3.0.0", "Promoted", ""),
        (2, "2.0.0", "Reverted", "SLOBreached"),
        (1, "1.0.0", "Promoted", ""),
    ]
    assert world.status.stable
    assert world.status.history[0].promoted_at == world.status.stable.since
    assert world.status.history[1].promoted_at is None


def test_a_version_that_is_restored_began_to_serve_then() -> None:
    world = serving()
    first_time = world.status.history[0].promoted_at
    roll_out(world, "2.0.0")
    world.change(make_spec("1.0.0"))
    world.settle()
    first = world.status.history[-1]
    assert first.attempt == 1
    assert first_time
    assert first.promoted_at
    assert first.promoted_at > first_time


@pytest.mark.parametrize(("limit", "kept"), [(0, [5, 4]), (1, [5, 4, 3]), (10, [5, 4, 3, 2, 1])])
def test_no_more_is_kept_than_asked_for_and_what_is_in_use(limit: int, kept: list[int]) -> None:
    world = serving(make_spec(revisionHistoryLimit=limit))
    for version in ("2.0.0", "3.0.0", "4.0.0", "5.0.0"):
        roll_out(world, version, revisionHistoryLimit=limit)
    assert [entry.attempt for entry in world.status.history] == kept
    assert sorted(world.recorded, reverse=True) == kept


def test_a_lower_limit_forgets_at_once() -> None:
    world = serving()
    for version in ("2.0.0", "3.0.0", "4.0.0"):
        roll_out(world, version)
    world.change(make_spec("4.0.0", revisionHistoryLimit=0))
    decision = world.reconcile()
    assert fx.Forget(attempts=(1, 2)) in decision.effects
    assert [entry.attempt for entry in world.status.history] == [4, 3]


def test_a_record_is_only_deleted_on_a_view_that_holds() -> None:
    world = serving()
    for version in ("2.0.0", "3.0.0"):
        roll_out(world, version)
    world.change(make_spec("3.0.0", revisionHistoryLimit=0))
    seen, version_seen = world.snapshot(), world.status_version
    world.change(make_spec("1.0.0"))
    world.status_version += 1
    world.carry_out(seen, version_seen)
    assert sorted(world.recorded) == [1, 2, 3]


def test_a_lost_status_is_made_up_for_by_the_records() -> None:
    world = serving()
    for version in ("2.0.0", "3.0.0"):
        roll_out(world, version)
    world.status, world.status_version = ModelRolloutStatus(), world.status_version + 1
    world.settle()
    assert outcomes(world) == [
        (3, "3.0.0", "Promoted", ""),
        (2, "2.0.0", "Unknown", ""),
        (1, "1.0.0", "Unknown", ""),
    ]


def test_the_number_of_a_record_is_never_given_again() -> None:
    """What it says cannot be changed, whatever became of the pods and of the status."""
    world = serving()
    roll_out(world, "2.0.0")
    world.status, world.status_version = ModelRolloutStatus(), world.status_version + 1
    world.workloads, world.weights = {}, None
    world.reconcile()
    assert world.status.phase is Phase.PREPARING
    assert world.status.attempt == 3
