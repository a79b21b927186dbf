"""Approvals and checklists, before a stage is left: nobody who goes on passes over those who have to say yes."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from modelrollout.api.spec import ModelRolloutSpec
from modelrollout.api.status import Colour, Phase
from unit.engine.simulation import START, World, make_spec
from unit.engine.worlds import MINUTE, applied, condition, in_stage, reasons, refused, serving

GATED: dict[str, Any] = {
    "strategy": {
        "canary": {
            "steps": [
                {
                    "weight": 10,
                    "hold": "1m",
                    "require": {
                        "approvals": [{"role": "security", "count": 2}, {"role": "executive", "when": "Major"}],
                        "checklist": ["runbook"],
                    },
                },
                {"weight": 100, "hold": "1m"},
            ]
        }
    }
}


def test_a_stage_is_left_once_everybody_has_said_yes() -> None:
    world = in_stage("canary-10", **GATED)
    world.run_for(10 * MINUTE)
    assert condition(world, "Progressing")[1] == "AwaitingApproval"
    assert condition(world, "Ready")[1] == "AwaitingApproval"
    assert reasons(world).count("AwaitingApproval") == 1
    for by, role in (("ada", "security"), ("ada", "security"), ("bob", "executive")):
        applied(world, "Approve", stage="canary-10", role=role, by=by)
    applied(world, "SignOff", stage="canary-10", item="runbook")
    assert "security (1 of 2)" in waits_for(world), "one person counts once"
    applied(world, "Approve", stage="canary-10", role="security", by="eve")
    world.run_for(timedelta(seconds=5))
    assert world.status.stage
    assert world.status.stage.name == "canary-100"


def test_a_minor_version_needs_no_approval_that_is_for_major_ones() -> None:
    world = serving(make_spec(**GATED))
    world.change(make_spec("1.1.0", **GATED))
    world.run_for(10 * MINUTE)
    assert "security" in waits_for(world)
    assert "executive" not in waits_for(world)


def test_nobody_who_goes_on_passes_over_those_who_have_to_say_yes() -> None:
    world = in_stage("canary-10", **GATED)
    applied(world, "Advance", stage="canary-10")
    applied(world, "Promote")
    world.run_for(10 * MINUTE)
    assert world.status.stage
    assert world.status.stage.name == "canary-10"


def may_serve(world: World) -> None:
    """Nobody has any requests of the candidate before everybody has said yes, and then it serves."""
    world.run_for(10 * MINUTE)
    assert condition(world, "Progressing")[1] == "AwaitingApproval"
    assert "stage canary-10 waits for approval by security (0 of 2)" in waits_for(world)
    assert world.status.phase is Phase.PREPARING
    assert world.share_of(Colour.GREEN) == 0
    for by, role in (("ada", "security"), ("eve", "security"), ("bob", "executive")):
        applied(world, "Approve", stage="canary-10", role=role, by=by)
    applied(world, "SignOff", stage="canary-10", item="runbook")
    world.run_for(timedelta(seconds=20))
    assert world.status.stable
    assert world.status.stable.version == "2.0.0"


def test_who_promotes_before_the_first_stage_passes_over_nobody() -> None:
    world = serving(make_spec(**GATED))
    world.change(make_spec("2.0.0", **GATED))
    world.reconcile()
    applied(world, "Promote")
    assert reasons(world).count("AwaitingApproval") == 1
    may_serve(world)
    assert reasons(world).count("AwaitingApproval") == 1


def test_who_promotes_what_was_aborted_passes_over_nobody() -> None:
    world = in_stage("canary-10", **GATED)
    for role in ("security", "executive"):
        applied(world, "Approve", stage="canary-10", role=role)
    applied(world, "Abort")
    world.run_for(MINUTE)
    applied(world, "Promote")
    may_serve(world)


def test_an_edit_of_the_strategy_lets_nobody_who_promotes_pass() -> None:
    world = in_stage("canary-10", **GATED)
    applied(world, "Promote")
    edited = make_spec("2.0.0", **GATED).to_wire()
    edited["strategy"]["canary"]["steps"].insert(0, {"weight": 5, "hold": "1m"})
    edited["strategy"]["canary"]["steps"][1]["weight"] = 20
    world.change(ModelRolloutSpec.model_validate(edited))
    world.run_for(MINUTE)
    assert "stage canary-20 waits for approval by security (0 of 2)" in waits_for(world)
    assert world.share_of(Colour.GREEN) == 0


def test_stable_gives_up_no_pod_ahead_for_a_candidate_that_waits_for_a_yes() -> None:
    world = World(spec=make_spec(replicas=1, capacity={"noRoom": "Recreate"}, **GATED), room=1)
    world.settle()
    world.change(make_spec("2.0.0", replicas=1, capacity={"noRoom": "Recreate"}, **GATED))
    world.run_for(5 * MINUTE)
    assert "stage canary-10 waits for approval by security" in waits_for(world), "it is out of reach for one pod"
    assert world.workloads[Colour.BLUE].ready == 1


def test_a_stage_that_is_out_of_reach_is_agreed_upon_all_the_same() -> None:
    plan = GATED | {"traffic": {"replicas": {}}}
    world = serving(make_spec(**plan))
    world.change(make_spec("1.1.0", **plan))
    world.run_for(MINUTE)
    assert "stage canary-10 waits for approval by security (0 of 2)" in waits_for(world)
    for by in ("ada", "eve"):
        applied(world, "Approve", stage="canary-10", role="security", by=by)
    applied(world, "SignOff", stage="canary-10", item="runbook")
    assert world.status.stage
    assert world.status.stage.name == "canary-100"


def test_approvals_that_nobody_looks_at_are_refused() -> None:
    world = in_stage("canary-10", **GATED)
    world.guarded = False
    assert "ValidatingAdmissionPolicy" in refused(world, "Approve", stage="canary-10", role="security")


def test_an_approval_from_before_anybody_looked_is_refused() -> None:
    world = in_stage("canary-10", **GATED)
    world.ask("Approve", stage="canary-10", role="security")
    world.asked = [replace(one, created=START - MINUTE) for one in world.asked]
    world.settle()
    assert not world.status.consents
    assert world.status.actions[-1].message.endswith("ask again")


def test_what_the_stage_does_not_ask_for_is_refused() -> None:
    world = in_stage("canary-10", **GATED)
    assert "but by security, executive" in refused(world, "Approve", stage="canary-10", role="legal")
    assert "the stages: canary-10, canary-100" in refused(world, "Approve", stage="canary-5", role="security")
    assert "but runbook" in refused(world, "SignOff", stage="canary-10", item="backup")


def test_an_approval_is_for_one_attempt() -> None:
    world = in_stage("canary-10", **GATED)
    applied(world, "Approve", stage="canary-10", role="security")
    world.change(make_spec("3.0.0", **GATED))
    world.run_for(MINUTE)
    assert world.status.attempt == 3
    assert not world.status.consents


def waits_for(world: World) -> str:
    return next(one.message for one in world.status.conditions if one.type == "Progressing")
