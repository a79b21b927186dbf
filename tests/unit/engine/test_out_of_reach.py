"""A stage that fewer pods cannot reach any more is left without its hold, and without nothing else that it asks for."""

from typing import Any

import pytest

from modelrollout.api.slo import Verdict
from modelrollout.api.status import ConditionStatus
from unit.engine.simulation import World, make_spec
from unit.engine.worlds import MINUTE, applied, condition, in_stage

ERRORS = {"name": "errors", "metric": "error-ratio", "limit": "1%", "test": "Plain", "consecutiveBreaches": 2}


def scaled_down(verdict: Verdict = Verdict.PASS, *, slo: dict[str, Any] | None = None, **first: Any) -> World:
    """Four pods reached the stage of 20 per cent, and now there are to be two."""
    steps = [{"weight": 20, "hold": "1h", **first}, {"weight": 50, "hold": "1h"}, {"weight": 100, "hold": "1h"}]
    plan = {"traffic": {"replicas": {}}, "strategy": {"canary": {"steps": steps}}, "slos": [ERRORS | (slo or {})]}
    world = in_stage("canary-20", **plan)
    world.verdict = verdict
    world.change(make_spec("2.0.0", replicas=2, **plan))
    world.run_for(MINUTE)
    return world


def stage(world: World) -> str:
    assert world.status.stage
    return world.status.stage.name


def serves(world: World) -> str:
    assert world.status.stable
    return world.status.stable.version


def test_it_is_left_before_its_hold_is_over() -> None:
    assert stage(scaled_down()) == "canary-50"


def test_silence_does_not_leave_it_and_a_person_may() -> None:
    world = scaled_down(Verdict.INCONCLUSIVE)
    assert stage(world) == "canary-20"
    assert condition(world, "Ready") == (ConditionStatus.FALSE, "Undecided")
    assert world.status.conditions[0].message == (
        "stage canary-20 waits for SLOs: errors (SimulatedInconclusive); "
        "2 pods cannot reach it: raise spec.replicas, or ask to advance"
    )
    applied(world, "Advance", stage="canary-20")
    assert stage(world) == "canary-50"


def test_silence_does_not_leave_it_before_its_requests_have_come_either() -> None:
    plan: dict[str, Any] = {
        "traffic": {"replicas": {}},
        "strategy": {"canary": {"steps": [{"weight": 20}, {"weight": 100}]}},
    }
    world = World(spec=make_spec(**plan))
    world.settle()
    world.verdict = Verdict.INCONCLUSIVE
    world.change(make_spec("2.0.0", **plan))
    while not world.status.stage:
        world.reconcile()
        world.pods_follow()
    assert world.status.stage.reached_at is None
    world.change(make_spec("2.0.0", replicas=2, **plan))
    world.run_for(10 * MINUTE)
    assert stage(world) == "canary-20"
    applied(world, "Promote")
    assert serves(world) == "2.0.0"


def test_a_breach_that_holds_holds_it() -> None:
    world = scaled_down(Verdict.BREACH, slo={"onBreach": "Hold"})
    assert stage(world) == "canary-20"
    assert condition(world, "Ready") == (ConditionStatus.FALSE, "SLOBreached")


def test_nobody_passes_over_its_approvals() -> None:
    world = scaled_down(require={"approvals": [{"role": "security"}]})
    assert (stage(world), condition(world, "Progressing")[1]) == ("canary-20", "AwaitingApproval")
    applied(world, "Approve", stage="canary-20", role="security")
    assert stage(world) == "canary-50"


def test_nobody_who_promotes_passes_over_its_approvals() -> None:
    world = scaled_down(require={"approvals": [{"role": "security"}]})
    applied(world, "Promote")
    assert (stage(world), condition(world, "Progressing")[1]) == ("canary-20", "AwaitingApproval")
    applied(world, "Approve", stage="canary-20", role="security")
    assert serves(world) == "2.0.0"


@pytest.mark.parametrize(("policy", "name"), [("Hold", "canary-20"), ("Advance", "canary-50")])
def test_its_deadline_does_what_the_user_chose(policy: str, name: str) -> None:
    world = scaled_down(Verdict.INCONCLUSIVE, deadline="2h", onDeadline=policy)
    assert stage(world) == "canary-20"
    world.run_for(120 * MINUTE, step=5 * MINUTE)
    assert stage(world) == name


def test_a_pause_keeps_it() -> None:
    world = scaled_down(Verdict.INCONCLUSIVE)
    applied(world, "Pause")
    world.verdict = Verdict.PASS
    world.run_for(MINUTE)
    assert stage(world) == "canary-20"
