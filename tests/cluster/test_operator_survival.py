"""The operator dies, the API server goes away: the rollout goes on where it was."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client import ApiClient, CoreV1Api

import testbed
from cluster.gateway_controller import accepting_routes
from stack.history import History, Object
from stack.operator_process import OperatorProcess, eventually, grant, running
from stack.rollout import Rollout

SLOW = {
    "canary": {"steps": [{"weight": 20, "hold": "1s"}, {"weight": 50, "hold": "4s"}, {"weight": 100, "hold": "1s"}]}
}


@pytest.fixture
def rollout(bed: testbed.Bed, client: ApiClient, namespace: str) -> Rollout:
    grant(bed)
    return Rollout(bed, client, namespace, strategy=SLOW)


@pytest.fixture
def operator(bed: testbed.Bed, rollout: Rollout, tmp_path: Path) -> Iterator[OperatorProcess]:
    with running(bed, tmp_path) as operator:
        yield operator


def test_killed_in_the_middle_of_a_stage_it_goes_on_from_there(
    bed: testbed.Bed, client: ApiClient, operator: OperatorProcess, rollout: Rollout, tmp_path: Path
) -> None:
    at = _in_second_stage(rollout)
    operator.kill()
    assert rollout.status()["stage"] == at["stage"], "nobody else moves it"
    with _history_of(rollout, client) as history, running(bed, tmp_path):
        assert rollout.serves("2.0.0")["attempt"] == at["attempt"]
        history.wait(lambda one: one is not None and one["status"]["phase"] == "Idle", what="the end", timeout=10)
    assert _stages(history) == [("Progressing", "canary-50"), ("Progressing", "canary-100"), ("Idle", None)]


def test_told_to_end_it_does_so_in_order_and_the_next_one_goes_on(
    bed: testbed.Bed, operator: OperatorProcess, rollout: Rollout, tmp_path: Path
) -> None:
    _in_second_stage(rollout)
    assert operator.end() == 0
    with running(bed, tmp_path):
        rollout.serves("2.0.0")


def test_an_api_server_that_is_restarted_is_outlived(
    bed: testbed.Bed, operator: OperatorProcess, rollout: Rollout
) -> None:
    at = _in_second_stage(rollout)
    bed.stop("kube-apiserver")
    try:
        eventually(lambda: operator.metric("modelrollout_api_requests_total", code="0") > 0, "a request that fails")
    finally:
        bed.start("kube-apiserver")
    assert rollout.serves("2.0.0")["attempt"] == at["attempt"]
    assert operator.process.poll() is None, "the operator must not need a restart for that"
    rollout.apply("3.0.0")
    rollout.wait_for(lambda status: status["version"] == "3.0.0", "the watches to tell of changes again", seconds=60)


def test_with_no_stable_pod_ready_a_candidate_keeps_its_requests_until_one_is(
    bed: testbed.Bed, client: ApiClient, operator: OperatorProcess, rollout: Rollout
) -> None:
    with accepting_routes(bed, client, rollout.namespace):
        rollout.apply("1.0.0", traffic={"gatewayAPI": {"parentRefs": [{"name": "public"}]}}, strategy=ENDLESS)
        stable = rollout.serves("1.0.0")["stable"]["colour"]
        rollout.apply("2.0.0")
        rollout.wait_for(lambda status: "reachedAt" in status.get("stage", {}), "the first stage")
        pods = CoreV1Api(client)
        _set_ready(pods, rollout, stable, "False")
        rollout.wait_for(lambda status: _reason(status, "Ready") == "StableUnavailable", "the alarm")
        rollout.apply("1.0.0")
        rollout.wait_for(
            lambda status: status["phase"] == "Reverting" and _reason(status, "Progressing") == "StableUnavailable",
            "the revert to wait for stable",
        )
        assert _weights(rollout)[stable] == 500_000
        _set_ready(pods, rollout, stable, "True")
        eventually(lambda: _weights(rollout)[stable] >= 999_999, "stable to have its requests again")
        rollout.serves("1.0.0")


ENDLESS = {"canary": {"steps": [{"weight": 50, "hold": "1h"}, {"weight": 100, "hold": "1s"}]}}


def _set_ready(pods: CoreV1Api, rollout: Rollout, colour: str, ready: str) -> None:
    """Have the pods of a colour answer, or not, as a kubelet would say it."""
    selector = f"modelrollout.io/name={rollout.name},modelrollout.io/colour={colour}"
    found: list[Any] = pods.list_namespaced_pod(rollout.namespace, label_selector=selector).items
    for pod in found:
        conditions = [{"type": "Ready", "status": ready}]
        pods.patch_namespaced_pod_status(pod.metadata.name, rollout.namespace, {"status": {"conditions": conditions}})


def _reason(status: Object, kind: str) -> str:
    return next((str(one["reason"]) for one in status["conditions"] if one["type"] == kind), "")


def _weights(rollout: Rollout) -> dict[str, int]:
    backends = rollout.get("httproute", rollout.name)["spec"]["rules"][0]["backendRefs"]
    return {backend["name"].removeprefix(f"{rollout.name}-"): backend["weight"] for backend in backends}


def _history_of(rollout: Rollout, client: ApiClient) -> History:
    return History(
        client,
        group="modelrollout.io",
        version="v1alpha1",
        plural="modelrollouts",
        namespace=rollout.namespace,
        name=rollout.name,
    )


def _stages(history: History) -> list[tuple[str, str | None]]:
    """Phase and stage from state to state, each once in a row."""
    statuses = [state.object["status"] for state in history.states if state.object]
    each = [(status["phase"], status.get("stage", {}).get("name")) for status in statuses]
    return [at for at, _ in groupby(each)]


def _in_second_stage(rollout: Rollout) -> Object:
    rollout.apply("1.0.0")
    rollout.serves("1.0.0")
    rollout.apply("2.0.0")
    return rollout.wait_for(
        lambda status: status.get("stage", {}).get("name") == "canary-50" and "reachedAt" in status["stage"],
        "the second stage",
    )
