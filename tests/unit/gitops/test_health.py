"""What GitOps tools take a ModelRollout for: Argo CD by our Lua, Flux and others by the kstatus library itself."""

import pytest

from modelrollout.api.slo import Verdict
from support import argocd
from unit.gitops.conftest import Statuses
from unit.gitops.states import COMPLETE, STATES, Object, as_object, paused, staged, story


@pytest.mark.parametrize("name", STATES)
def test_argo_cd(name: str) -> None:
    world, _, expected = STATES[name]
    assert argocd.health(as_object(world()))["status"] == expected


@pytest.mark.parametrize("name", STATES)
def test_kstatus(name: str, kstatus: Statuses) -> None:
    world, expected, _ = STATES[name]
    assert kstatus([as_object(world())]) == [expected]


@pytest.mark.parametrize("name", [name for name in STATES if f"Complete: {name}" in STATES])
def test_expressions_of_flux_wait_for_the_whole_rollout_whatever_ready_when_says(name: str, flux: Statuses) -> None:
    world, _, _ = STATES[name]
    _, expected, _ = STATES[f"Complete: {name}"]
    assert flux([as_object(world())]) == [expected]


def test_expressions_of_flux_wait_for_an_operator(flux: Statuses) -> None:
    world, expected, _ = STATES["seen by no operator"]
    assert flux([as_object(world())]) == [expected]


@pytest.mark.parametrize("verdict", [Verdict.PASS, Verdict.BREACH])
@pytest.mark.parametrize("spec", [{}, COMPLETE], ids=["Serving", "Complete"])
def test_they_never_disagree_over_a_whole_rollout(spec: Object, verdict: Verdict, kstatus: Statuses) -> None:
    states = list(story(spec, verdict=verdict))
    told = list(zip(kstatus(states), (argocd.health(state)["status"] for state in states), strict=True))
    assert set(told) <= {("Current", "Healthy"), ("InProgress", "Progressing"), ("Failed", "Degraded")}
    assert told[0] == ("InProgress", "Progressing")
    assert told[-1] == (("Current", "Healthy") if verdict is Verdict.PASS else ("Failed", "Degraded"))


@pytest.mark.parametrize(("spec", "meanwhile"), [({}, "Healthy"), (COMPLETE, "Progressing")])
def test_a_long_canary_holds_no_wave_unless_somebody_wants_to_wait(spec: Object, meanwhile: str) -> None:
    states = story(spec, verdict=Verdict.PASS)
    on_trial = [one for one in states if {"stable", "candidate"} <= one["status"].keys()]
    assert len(on_trial) > 30
    assert {argocd.health(one)["status"] for one in on_trial} == {meanwhile}


def test_the_message_says_what_is_under_way() -> None:
    message = argocd.health(as_object(staged()))["message"]
    assert message.startswith("version 1.0.0 serves; version 2.0.0: stage canary-10 holds until ")
    assert "paused by spec.paused, in stage canary-10" in argocd.health(as_object(paused()))["message"]
