"""Whatever dies, nothing moves wrongly, no request fails, and the rollout goes on."""

import time
from typing import Any

from e2e.telling import ERRORS, in_stage
from stack import Serve
from stack.evidence import by_version, describe, failed
from stack.history import Object
from stack.install import NAMESPACE, RELEASE, helm_upgrade
from stack.operator_process import eventually
from stack.served import NAME, Served, condition, status_of, steps_held
from testbed import helm

SPEC: dict[str, Any] = {"slos": [ERRORS], "replicas": 1}


def test_prometheus_the_operator_and_the_api_server_die_in_the_middle_of_a_stage(serve: Serve) -> None:
    served = serve("beset", strategy=steps_held((20, "15s"), (50, "5s"), (100, "5s")), **SPEC)
    with in_stage("canary-20", served) as (model, load):
        model.bed.stop("prometheus")
        try:
            kill_operator(model)
            wait_for_another_leader(model)
            model.bed.stop("kube-apiserver")
            model.bed.start("kube-apiserver")
            kill_operator(model)
            held = model.wait(is_undecided, what="the stage held beyond its hold, undecided", timeout=90)
            assert status_of(held.object)["slos"][0]["reason"] == "PrometheusUnavailable"
            assert {window.weight for window in model.windows()} == {0, 20}
        finally:
            model.bed.start("prometheus")
        model.wait_serving("1.1.0")
        answers = load.stop()
        assert not failed(answers), describe(failed(answers))
        assert stages_of(model) == ["canary-20", "canary-50", "canary-100"]
        assert model.status["stable"]["attempt"] == 2
        assert timeline_of(model, attempt=2) == ["AttemptStarted", *["StageEntered"] * 3, "Promoted"]


def test_helm_uninstall_in_the_middle_of_a_stage_and_install_again(serve: Serve) -> None:
    served = serve("left", strategy=steps_held((20, "20s"), (50, "2s"), (100, "2s")), **SPEC)
    with in_stage("canary-20", served) as (model, load):
        helm.helm(model.bed, "uninstall", RELEASE, f"--namespace={NAMESPACE}", "--wait", "--timeout=2m")
        try:
            uninstalled = time.time()
            model.wait_for_requests(load, 300, sent_after=uninstalled)
            assert model.status["stage"]["name"] == "canary-20"
        finally:
            installed = time.time()
            helm_upgrade(model.bed)
        model.wait_serving("1.1.0")
        answers = load.stop()
        assert not failed(answers), describe(failed(answers))
        alone = by_version(answer for answer in answers if uninstalled < answer.sent_at < installed)
        assert alone.keys() == {"1.0.0", "1.1.0"}, "both go on with what they had"


def kill_operator(model: Served) -> None:
    """End the pod of the operator that acts, at once; another one is made by its Deployment."""
    lease = model.bed.get("lease", RELEASE, f"--namespace={NAMESPACE}")
    pod = lease["spec"]["holderIdentity"].partition("_")[0]
    model.bed.kubectl("delete", "pod", pod, f"--namespace={NAMESPACE}", "--grace-period=0", "--force")


def wait_for_another_leader(model: Served) -> None:
    """Wait until the Lease is held by a pod that there is."""

    def is_there() -> bool:
        lease = model.bed.get("lease", RELEASE, f"--namespace={NAMESPACE}")
        pods = model.bed.get("pods", f"--namespace={NAMESPACE}")["items"]
        holder = lease["spec"].get("holderIdentity", "").partition("_")[0]
        return holder in {pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]}

    eventually(is_there, "another leader", seconds=60)


def timeline_of(model: Served, *, attempt: int) -> list[str]:
    """What the RolloutReport of an attempt says."""
    report = model.bed.get("rolloutreport", f"{NAME}-{attempt}", f"--namespace={model.namespace}")
    return [entry["reason"] for entry in report["status"]["timeline"]]


def is_undecided(status: Object) -> bool:
    """The hold is over, and an SLO does not say yes."""
    return condition(status, "Progressing").get("reason") == "Undecided" and bool(status["stage"])


def stages_of(model: Served) -> list[str]:
    """The names of the stages in which the rollout was, one after another."""
    names: list[str] = []
    for state in model.history.states:
        stage = status_of(state.object).get("stage")
        if stage and names[-1:] != [stage["name"]]:
            names.append(stage["name"])
    return names
