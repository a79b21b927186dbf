"""Another release of the operator takes over in the middle of a stage, or there is none for a while."""

import json
import uuid
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client import ApiClient, ApiException, CustomObjectsApi
from kubernetes.config import new_client_from_config

import testbed
from cluster.gateway_controller import accepting_routes
from stack.history import History, Object
from stack.operator_process import eventually, running
from stack.rollout import Rollout
from stack.served import steps
from support import previous_release
from support.previous_release import NAME, NAMESPACE, RELEASE, RELEASED_IN
from testbed.helm import helm
from testbed.paths import CHART

OPERATORS = f"--namespace={RELEASED_IN}"
OVERLAPPING = "overlapping"
"""Namespace of a rollout that both operators look after for a while."""
KINDS = ("modelrollouts", "rolloutactions", "rolloutreports")
MODEL_ROLLOUTS: dict[str, Any] = {"group": "modelrollout.io", "version": "v1alpha1", "plural": "modelrollouts"}
CRDS = [f"crd/{kind}.modelrollout.io" for kind in KINDS]


@pytest.fixture(scope="module")
def fresh() -> Iterator[testbed.Bed]:
    """A bed that has never heard of our kinds, whose user `operator` has the role of whatever release is installed."""
    with testbed.temporary("light", "upgrading") as bed:
        for namespace in (RELEASED_IN, NAMESPACE, OVERLAPPING):
            bed.kubectl("create", "namespace", namespace)
        bed.kubectl("create", "clusterrolebinding", "operator", f"--clusterrole={RELEASE}", "--user=operator")
        yield bed


@pytest.fixture(scope="module")
def administrator(fresh: testbed.Bed) -> Iterator[ApiClient]:
    with new_client_from_config(str(fresh.kubeconfig)) as client, accepting_routes(fresh, client, NAMESPACE):
        yield client


@pytest.fixture(scope="module")
def released(fresh: testbed.Bed, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The previous release."""
    chart = previous_release.chart(tmp_path_factory.mktemp("previous") / RELEASE)
    helm(fresh, "install", RELEASE, str(chart), OPERATORS, "--wait", "--timeout=1m")
    fresh.kubectl("wait", "--for=condition=Established", CRDS[0])


@pytest.fixture(scope="module")
def left(fresh: testbed.Bed, administrator: ApiClient, released: None) -> Rollout:
    """What the operator of the previous release has left in the first of three stages."""
    return leave(fresh, administrator, NAMESPACE)


@pytest.fixture(scope="module")
def shared(fresh: testbed.Bed, administrator: ApiClient, released: None) -> Rollout:
    """The same, of a rollout in whose stages there is time for what the old operator still writes."""
    gateway = {"name": "public", "namespace": NAMESPACE}
    unhurried = {"traffic": {"gatewayAPI": {"parentRefs": [gateway]}}, "strategy": steps(20, 50, 100, hold="15s")}
    return leave(fresh, administrator, OVERLAPPING, **unhurried)


def leave(bed: testbed.Bed, client: ApiClient, namespace: str, **spec: Any) -> Rollout:
    """The rollout as its operator has left it in a namespace."""
    for child in previous_release.children():
        apply(bed, child, namespace, by="modelrollout")
    recorded = previous_release.rollout()
    recorded["spec"] |= spec
    status = json.dumps({"status": recorded.pop("status")})
    apply(bed, recorded, namespace, by="test")
    bed.kubectl("-n", namespace, "patch", "mr", NAME, "--subresource=status", "--type=merge", f"--patch={status}")
    rollout = Rollout(bed, client, namespace, NAME, **recorded["spec"])
    eventually(lambda: ready_pods(rollout) == {"scorer-blue": 4, "scorer-green": 4}, "the pods of both versions")
    return rollout


def test_the_previous_release_knows_nothing_of_what_came_after_it(fresh: testbed.Bed, left: Rollout) -> None:
    assert fresh.kubectl("get", "crds", "-o=name").count("modelrollout.io") == 1
    status = left.status()
    assert (status["phase"], status["stage"]["name"]) == ("Progressing", "canary-20")
    assert "records" not in status
    assert left.get("controllerrevisions")["items"] == []


def test_helm_upgrade_in_the_middle_of_a_stage_goes_on_with_it(
    fresh: testbed.Bed, administrator: ApiClient, left: Rollout, tmp_path: Path
) -> None:
    before, pods = left.status(), pods_of(left)
    helm(fresh, "upgrade", RELEASE, str(CHART), OPERATORS, "--wait", "--timeout=1m")
    fresh.kubectl("wait", "--for=condition=Established", *CRDS)
    with history_of(left, administrator) as history, running(fresh, tmp_path):
        after = left.serves("2.0.0")
        assert pods_of(left) == pods, "no pod of either version is started again"
        assert (before["attempt"], after["attempt"], after["stable"]["attempt"]) == (2, 2, 2)
        entered = stages_in(history)
        assert [name for name, _ in entered] == ["canary-20", "canary-50", "canary-100"]
        assert entered[0][1] == moment(before["stage"]["enteredAt"]), "the stage is not begun anew"
        assert left.events() == ["StageEntered", "StageEntered", "Promoted"]
        left.apply("3.0.0", strategy=steps(100, hold="1s"))
        left.serves("3.0.0")
        eventually(lambda: left.get("mrr", "scorer-3")["status"]["outcome"] == "Promoted", "the report of what is new")
        assert left.status()["history"][0]["version"] == "3.0.0"


def test_an_old_operator_that_does_not_end_in_time_has_nothing_begin_anew(
    fresh: testbed.Bed, administrator: ApiClient, shared: Rollout, tmp_path: Path
) -> None:
    """It writes the whole status, with what it knows of it, whenever it has seen what the new one wrote."""
    before, pods = shared.status(), pods_of(shared)
    helm(fresh, "upgrade", RELEASE, str(CHART), OPERATORS, "--wait", "--timeout=1m")
    fresh.kubectl("wait", "--for=condition=Established", *CRDS)
    with history_of(shared, administrator) as history, running(fresh, tmp_path):
        for stage in ("canary-20", "canary-50"):
            eventually(partial(write_as_before, administrator, shared, stage), f"the old operator's write in {stage}")
        after = shared.serves("2.0.0")
    assert pods_of(shared) == pods, "no pod of either version is started again"
    assert (before["attempt"], after["attempt"], after["stable"]["attempt"]) == (2, 2, 2)
    entered = stages_in(history)
    assert [name for name, _ in entered] == ["canary-20", "canary-50", "canary-100"]
    assert entered[0][1] == moment(before["stage"]["enteredAt"]), "the stage is not begun anew"


@pytest.fixture
def in_stage(fresh: testbed.Bed, administrator: ApiClient, tmp_path: Path) -> Rollout:
    """A release of today, whose operator has just ended in the middle of a stage."""
    helm(fresh, "upgrade", "--install", RELEASE, str(CHART), OPERATORS, "--wait", "--timeout=1m")
    fresh.kubectl("wait", "--for=condition=Established", *CRDS)
    rollout = Rollout(
        fresh, administrator, NAMESPACE, f"model-{uuid.uuid4().hex[:6]}", strategy=steps(50, 100, hold="3s")
    )
    with running(fresh, tmp_path) as operator:
        rollout.apply("1.0.0")
        rollout.serves("1.0.0")
        rollout.apply("2.0.0")
        rollout.wait_for(lambda status: "reachedAt" in status.get("stage", {}), "the first stage")
        assert operator.end() == 0
    return rollout


def test_helm_uninstall_in_the_middle_of_a_stage_leaves_it_as_it_is_for_the_next_release(
    fresh: testbed.Bed, in_stage: Rollout, tmp_path: Path
) -> None:
    before, serving, pods = in_stage.status(), what_serves(in_stage), pods_of(in_stage)
    helm(fresh, "uninstall", RELEASE, OPERATORS, "--wait")
    assert (in_stage.status(), what_serves(in_stage), pods_of(in_stage)) == (before, serving, pods)
    helm(fresh, "install", RELEASE, str(CHART), OPERATORS, "--wait", "--timeout=1m")
    with running(fresh, tmp_path):
        assert in_stage.serves("2.0.0")["attempt"] == before["attempt"] == 2


def test_without_an_operator_a_rollout_can_be_deleted_by_hand_and_the_models_stay(
    fresh: testbed.Bed, in_stage: Rollout
) -> None:
    serving, pods = what_serves(in_stage), pods_of(in_stage)
    helm(fresh, "uninstall", RELEASE, OPERATORS, "--wait")
    fresh.kubectl("-n", NAMESPACE, "delete", "mr", in_stage.name, "--wait=false")
    assert "deletionTimestamp" in in_stage.get("mr", in_stage.name)["metadata"]
    let_go = '--patch={"metadata":{"finalizers":null}}'
    fresh.kubectl("-n", NAMESPACE, "patch", "mr", in_stage.name, "--type=merge", let_go)
    fresh.kubectl("-n", NAMESPACE, "wait", "--for=delete", f"mr/{in_stage.name}", "--timeout=30s")
    assert (what_serves(in_stage), pods_of(in_stage)) == (serving, pods)


def apply(bed: testbed.Bed, one: Object, namespace: str, *, by: str) -> None:
    """Server-side apply in the name of a field manager."""
    bed.kubectl("-n", namespace, "apply", "--server-side", f"--field-manager={by}", "-f", "-", stdin=json.dumps(one))


def write_as_before(client: ApiClient, rollout: Rollout, stage: str) -> bool:
    """In a stage, write what the operator of today has written as the previous release would; False where it cannot."""
    where = {**MODEL_ROLLOUTS, "namespace": rollout.namespace, "name": rollout.name}
    live: Any = CustomObjectsApi(client).get_namespaced_custom_object(**where)
    status = previous_release.known(live["status"])
    if status.get("stage", {}).get("name") != stage or status == live["status"]:
        return False
    try:
        CustomObjectsApi(client).replace_namespaced_custom_object_status(**where, body={**live, "status": status})
    except ApiException as error:
        if error.status != 409:
            raise
        return False
    return True


def ready_pods(rollout: Rollout) -> dict[str, int]:
    """By Deployment."""
    deployments = rollout.get("deployments")["items"]
    return {one["metadata"]["name"]: one["status"].get("readyReplicas", 0) for one in deployments}


def pods_of(rollout: Rollout) -> set[str]:
    """The uids of all its pods."""
    pods = rollout.get("pods", f"--selector=modelrollout.io/name={rollout.name}")["items"]
    return {pod["metadata"]["uid"] for pod in pods}


def what_serves(rollout: Rollout) -> list[Object]:
    """The specs of its Deployments and Services."""
    found = rollout.get("deployments,services", f"--selector=modelrollout.io/name={rollout.name}")["items"]
    return [one["spec"] for one in found]


def history_of(rollout: Rollout, client: ApiClient) -> History:
    """All states of the ModelRollout from now on."""
    return History(client, **MODEL_ROLLOUTS, namespace=rollout.namespace, name=rollout.name)


def stages_in(history: History) -> list[tuple[str, datetime]]:
    """The stages from state to state, each with when it was entered."""
    statuses = (state.object["status"] for state in history.states if state.object)
    stages = (status["stage"] for status in statuses if status.get("stage"))
    return [at for at, _ in groupby((stage["name"], moment(stage["enteredAt"])) for stage in stages)]


def moment(written: str) -> datetime:
    return datetime.fromisoformat(written)
