"""The buttons of Argo CD: which can be pressed when, and what comes of it."""

import copy
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from generate.argocd import ACTIONS
from modelrollout.api.action import ActionKind, ActionOutcome, RolloutAction
from modelrollout.engine.effects import AnswerAction
from support import argocd
from unit.engine.simulation import World
from unit.gitops import states
from unit.gitops.states import STATES, as_object

DONE_TWICE_IS_DONE_ONCE = {ActionKind.PAUSE, ActionKind.KILL}

UNDER_WAY = {"pause", "promote", "abort", "revert", "kill"}

RBAC = Path(__file__).parents[3] / "integrations" / "argocd" / "rbac.yaml"


@pytest.mark.parametrize(
    ("world", "expected"),
    [
        (states.new, set()),
        (states.coming_up, UNDER_WAY),
        (states.serves, {"pause", "kill"}),
        (states.preparing, UNDER_WAY),
        (states.staged, UNDER_WAY | {"advance"}),
        (states.paused_by_somebody, UNDER_WAY - {"pause"} | {"advance", "resume"}),
        (states.draining, {"pause", "kill"}),
        (states.going_back_by_steps, {"pause", "abort", "revert", "kill"}),
        (states.reverted, {"pause", "promote", "retry", "kill"}),
        (states.paused_before_the_start, {"pause", "promote", "kill"}),
        (states.killed, {"pause", "retry", "lift"}),
        (states.promoted, {"pause", "revert", "kill"}),
    ],
)
def test_what_makes_sense_can_be_asked_for(world: Callable[[], World], expected: set[str]) -> None:
    shown = argocd.discovered(as_object(world()))
    assert {name for name, action in shown.items() if not action["disabled"]} == expected


@pytest.mark.parametrize("name", [name for name in STATES if name != "seen by no operator"])
def test_a_button_can_be_pressed_where_the_operator_would_do_it(name: str) -> None:
    found = STATES[name][0]()
    shown = argocd.discovered(as_object(found))
    for kind in ACTIONS:
        enabled = not shown[kind.lower()]["disabled"]
        if kind is ActionKind.ADVANCE and not found.status.stage:
            assert not enabled
            continue
        if not enabled and kind in DONE_TWICE_IS_DONE_ONCE:
            continue
        answer = answered(copy.deepcopy(found), kind)
        assert (answer.outcome is ActionOutcome.APPLIED) is enabled, f"{kind}: {answer.message}"


def answered(world: World, kind: ActionKind) -> AnswerAction:
    """What the operator makes of a button that is pressed."""
    spec = argocd.ask(kind.lower(), as_object(world))["spec"]
    uid = world.ask(kind, stage=spec.get("stage"), by=spec["by"])
    world.reconcile()
    return next(one for one in world.answered if one.uid == uid)


def test_every_button_is_named_and_does_something() -> None:
    shown = argocd.discovered(as_object(states.staged()))
    assert shown.keys() == argocd.defined().keys() == {kind.lower() for kind in ACTIONS}
    assert all(action["displayName"] and action["iconClass"] for action in shown.values())


def test_nothing_is_asked_for_that_only_a_person_can_say_or_name() -> None:
    assert set(ActionKind) - set(ACTIONS) == {
        ActionKind.APPROVE,
        ActionKind.SIGN_OFF,
        ActionKind.EXCLUDE,
        ActionKind.INCLUDE,
    }


@pytest.mark.parametrize("kind", ACTIONS)
def test_a_button_asks_for_what_it_says(kind: ActionKind) -> None:
    rollout = as_object(states.staged())
    created = argocd.ask(kind.lower(), rollout)
    asked = RolloutAction.model_validate(created)
    assert (asked.spec.action, asked.spec.rollout, asked.spec.attempt) == (kind, "scorer", 2)
    assert asked.spec.by == "system:serviceaccount:argocd:argocd-server"
    assert asked.spec.stage == ("canary-10" if kind is ActionKind.ADVANCE else None)
    assert created["spec"].items() <= asked.spec.to_wire().items(), "every field is one of the API"
    assert asked.metadata["namespace"] == "ml"
    (owner,) = asked.metadata["ownerReferences"]
    assert owner == {"apiVersion": "modelrollout.io/v1alpha1", "kind": "ModelRollout", "name": "scorer", "uid": "uid-1"}


def test_names_tell_who_is_meant_what_is_asked_and_when() -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    name = argocd.ask("pause", as_object(states.staged()))["metadata"]["name"]
    found = re.fullmatch(r"scorer-pause-(\d{14})", name)
    assert found
    assert before <= datetime.strptime(found[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC) <= datetime.now(UTC)


def test_argo_cd_gets_the_rights_that_its_buttons_need_and_no_more() -> None:
    role, binding = yaml.safe_load_all(RBAC.read_text())
    asking, acting = role["rules"]
    assert (asking["resources"], asking["verbs"]) == (["rolloutactions"], ["create"])
    assert acting["resources"] == ["modelrollouts"]
    assert acting["verbs"] == [kind.lower() for kind in ACTIONS]
    (subject,) = binding["subjects"]
    assert f"system:serviceaccount:{subject['namespace']}:{subject['name']}" in argocd.defined()["pause"]
