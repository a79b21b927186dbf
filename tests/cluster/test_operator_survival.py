"""The operator dies, the API server goes away: the rollout goes on where it was."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes.client import ApiClient

import testbed
from cluster.operator_process import OperatorProcess, eventually, grant, running
from cluster.rollout import Object, Rollout

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
    bed: testbed.Bed, operator: OperatorProcess, rollout: Rollout, tmp_path: Path
) -> None:
    at = _in_second_stage(rollout)
    operator.kill()
    assert rollout.status()["stage"] == at["stage"], "nobody else moves it"
    with running(bed, tmp_path):
        after = rollout.wait_for(lambda status: status.get("stage", {}).get("name") != "canary-50", "the next stage")
        assert after["attempt"] == at["attempt"]
        assert after.get("stage", {}).get("name") in ("canary-100", None)
        rollout.serves("2.0.0")


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


def _in_second_stage(rollout: Rollout) -> Object:
    rollout.apply("1.0.0")
    rollout.serves("1.0.0")
    rollout.apply("2.0.0")
    return rollout.wait_for(
        lambda status: status.get("stage", {}).get("name") == "canary-50" and "reachedAt" in status["stage"],
        "the second stage",
    )
