"""Whatever dies, nothing moves wrongly, no request fails, and the rollout goes on."""

import json
import time
from typing import Any

from e2e.telling import ERRORS, in_stage
from stack import Serve
from stack.evidence import ROUTING_TAKES, by_version, describe, failed, not_the_candidates_own
from stack.history import Object
from stack.install import NAMESPACE, RELEASE, helm_upgrade
from stack.operator_process import eventually
from stack.served import NAME, Served, condition, status_of, steps, steps_held
from support.admission_webhook import TIMEOUT, AdmissionWebhook
from testbed import helm

SPEC: dict[str, Any] = {"slos": [ERRORS], "replicas": 1}
OPERATOR = f"system:serviceaccount:{NAMESPACE}:{RELEASE}"
SLOWLY = {**ERRORS, "minSamples": 60}
"""Nothing is known of a candidate until it has answered for some seconds."""
TAKEN_BACK = ["AttemptStarted", "StageEntered", "AboveLimit", "Reverting", "Reverted"]


def test_prometheus_the_operator_the_api_server_and_etcd_die_in_the_middle_of_a_stage(serve: Serve) -> None:
    served = serve("beset", strategy=steps_held((20, "15s"), (50, "5s"), (100, "5s")), **SPEC)
    with in_stage("canary-20", served) as (model, load):
        model.bed.stop("prometheus")
        try:
            kill_operator(model)
            wait_for_another_leader(model)
            model.bed.stop("kube-apiserver")
            model.bed.start("kube-apiserver")
            kill_operator(model)
            model.bed.stop("etcd")
            model.bed.start("etcd")
            model.wait(is_without_prometheus, what="the stage held beyond its hold, undecided", timeout=90)
            assert {window.weight for window in model.windows()} == {0, 20}
        finally:
            model.bed.start("prometheus")
        model.wait_serving("1.1.0")
        answers = load.stop()
        assert not failed(answers), describe(failed(answers))
        assert stages_of(model) == ["canary-20", "canary-50", "canary-100"]
        assert model.status["stable"]["attempt"] == 2
        assert timeline_of(model, attempt=2) == ["AttemptStarted", *["StageEntered"] * 3, "Promoted"]


def test_a_bad_version_goes_back_though_prometheus_hangs_writes_are_slow_and_the_lease_is_lost(serve: Serve) -> None:
    served = serve("harmed", strategy=steps(10, 100, hold="2s"), slos=[SLOWLY], replicas=1)
    with in_stage("canary-10", served, version="1.2.0-failing") as (model, load):
        webhook = AdmissionWebhook(model.bed, lambda _: 0.6 * TIMEOUT)
        with webhook.asked(namespace=model.namespace, user=OPERATOR):
            with model.bed.hanging("prometheus"):
                model.wait(is_without_prometheus, what="the stage held beyond its hold, undecided", timeout=90)
            model.wait(is_going_back, what="the way back begun", timeout=60)
            take_lease(model)
            taken_back = model.wait_taken_back("1.2.0-failing").at
            model.wait_reverted("1.2.0-failing")
            wait_for_another_leader(model)
        model.wait_for_requests(load, 100, sent_after=taken_back + ROUTING_TAKES)
        answers = load.stop()
        assert failed(answers)
        others = not_the_candidates_own(answers)
        assert not others, describe(others)
        late = [answer for answer in answers if answer.sent_at > taken_back + ROUTING_TAKES]
        assert by_version(late).keys() == {"1.0.0"}
        assert {window.weight for window in model.windows()} == {0, 10}
        assert timeline_of(model, attempt=2) == TAKEN_BACK
        assert webhook.calls > 5


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


def take_lease(model: Served) -> None:
    """Somebody who will never renew it holds it from now on."""
    spec = {"holderIdentity": "somebody-else"}
    where = ("lease", RELEASE, f"--namespace={NAMESPACE}")
    model.bed.kubectl("patch", *where, "--type=merge", f"--patch={json.dumps({'spec': spec})}")


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


def is_without_prometheus(status: Object) -> bool:
    """The hold is over, and an SLO says nothing because Prometheus does not."""
    is_undecided = condition(status, "Progressing").get("reason") == "Undecided" and bool(status["stage"])
    return is_undecided and status["slos"][0]["reason"] == "PrometheusUnavailable"


def is_going_back(status: Object) -> bool:
    """The candidate is being taken back."""
    return status.get("phase") == "Reverting"


def stages_of(model: Served) -> list[str]:
    """The names of the stages in which the rollout was, one after another."""
    names: list[str] = []
    for state in model.history.states:
        stage = status_of(state.object).get("stage")
        if stage and names[-1:] != [stage["name"]]:
            names.append(stage["name"])
    return names
