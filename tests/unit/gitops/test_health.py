"""What GitOps tools take a ModelRollout for: Argo CD by our Lua, Flux and others by the kstatus library itself."""

import json
import subprocess

import pytest

from modelrollout.api.status import Verdict
from support import argocd
from testbed import gobuild
from unit.gitops.states import COMPLETE, STATES, Object, paused, staged, story


def kstatus(*rollouts: Object) -> list[str]:
    """The status of each, computed by the Go library."""
    documents = "\n".join(map(json.dumps, rollouts))
    printed = subprocess.run([gobuild.program("kstatus")], input=documents, capture_output=True, text=True, check=True)
    return [line.partition("\t")[0] for line in printed.stdout.splitlines()]


@pytest.mark.parametrize("name", STATES)
def test_argo_cd(name: str) -> None:
    rollout, _, expected = STATES[name]
    assert argocd.health(rollout())["status"] == expected


@pytest.mark.parametrize("name", STATES)
def test_kstatus(name: str) -> None:
    rollout, expected, _ = STATES[name]
    assert kstatus(rollout()) == [expected]


@pytest.mark.parametrize("verdict", [Verdict.PASS, Verdict.BREACH])
@pytest.mark.parametrize("spec", [{}, COMPLETE], ids=["Serving", "Complete"])
def test_they_never_disagree_over_a_whole_rollout(spec: Object, verdict: Verdict) -> None:
    states = list(story(spec, verdict=verdict))
    told = list(zip(kstatus(*states), (argocd.health(state)["status"] for state in states), strict=True))
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
    message = argocd.health(staged())["message"]
    assert message.startswith("version 1.0.0 serves; version 2.0.0: stage canary-10 holds until ")
    assert "paused in stage canary-10" in argocd.health(paused())["message"]
