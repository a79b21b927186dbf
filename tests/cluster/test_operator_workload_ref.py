"""Moving in from a Deployment, on a real API server: what is taken over, handed over, and left alone."""

import json
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client import ApiClient

import testbed
from stack.operator_process import OperatorProcess, eventually, grant, running
from stack.rollout import Rollout

AT_ONCE = {"canary": {"steps": [{"weight": 100, "hold": "0s"}]}}


class Moving(Rollout):
    """A ModelRollout that takes its pods from the Deployment `old`, which its people write as they always have."""

    def __init__(self, bed: testbed.Bed, client: ApiClient, namespace: str, name: str = "scorer", **spec: Any) -> None:
        super().__init__(bed, client, namespace, name, **{"template": None, "workloadRef": {"name": "old"}} | spec)

    def write_old(self, image: str, *, replicas: int | None = 4) -> None:
        """As `kubectl apply`; without replicas the number of its pods is somebody else's."""
        pods = {
            "metadata": {"labels": {"app": "old"}},
            "spec": {"containers": [{"name": "server", "image": image, "ports": [{"containerPort": 8080}]}]},
        }
        spec = {"selector": {"matchLabels": {"app": "old"}}, "template": pods}
        deployment = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "old", "namespace": self.namespace},
            "spec": spec | ({} if replicas is None else {"replicas": replicas}),
        }
        self.bed.apply(json.dumps(deployment))

    def old(self) -> Any:
        return self.get("deployment", "old")

    def image_of(self, colour: str) -> str:
        pods = self.get("deployment", f"{self.name}-{colour}")["spec"]["template"]["spec"]
        image: str = pods["containers"][0]["image"]
        return image

    def told(self) -> list[str]:
        """What the report of the first attempt tells, in words."""
        return [entry["reason"] for entry in self.get("mrr", f"{self.name}-1")["status"]["timeline"]]

    def hands_over(self) -> Any:
        return self.wait_for(lambda status: "workload" in status, "the hand-over")

    def says(self, reason: str) -> Any:
        return self.wait_for(
            lambda status: any(one["reason"] == reason for one in status["conditions"]), f"the reason {reason}"
        )


@pytest.fixture
def rollout(bed: testbed.Bed, client: ApiClient, namespace: str) -> Moving:
    return Moving(bed, client, namespace, strategy=AT_ONCE)


def kubectl(rollout: Moving, *args: str) -> None:
    rollout.bed.kubectl("-n", rollout.namespace, *args)


def test_it_takes_over_hands_over_and_follows_the_image(operator: OperatorProcess, rollout: Moving) -> None:
    rollout.write_old("server:1")
    rollout.apply("1.0.0")
    status = rollout.hands_over()
    assert rollout.old()["spec"]["replicas"] == 0
    assert status["workload"]["uid"] == rollout.old()["metadata"]["uid"]
    assert rollout.image_of("blue") == "server:1"
    assert status["stable"]["colour"] == "blue"
    eventually(lambda: rollout.events()[-1] == "HandedOver", "the event")
    eventually(lambda: rollout.told()[-2:] == ["Promoted", "HandedOver"], "the entry in the report")
    kubectl(rollout, "set", "image", "deployment/old", "server=server:2")
    status = rollout.wait_for(lambda status: status.get("stable", {}).get("attempt") == 2, "the change to be promoted")
    assert rollout.image_of(status["stable"]["colour"]) == "server:2"
    assert rollout.old()["spec"]["replicas"] == 0


def test_a_restart_other_replicas_and_annotations_are_no_attempt(operator: OperatorProcess, rollout: Moving) -> None:
    rollout.write_old("server:1", replicas=2)
    rollout.apply("1.0.0", workloadRef={"name": "old", "scaleDown": "Never"})
    rollout.serves("1.0.0")
    kubectl(rollout, "rollout", "restart", "deployment/old")
    kubectl(rollout, "scale", "deployment/old", "--replicas=3")
    kubectl(rollout, "annotate", "deployment/old", "team=risk")
    rollout.apply("1.0.0", replicas=5)
    rollout.wait_for(lambda status: status["readyReplicas"] == 5, "the operator to have looked at it since")
    assert rollout.status()["attempt"] == 1
    assert rollout.old()["spec"]["replicas"] == 3


def test_who_scales_it_up_again_is_not_fought(operator: OperatorProcess, rollout: Moving) -> None:
    rollout.write_old("server:1")
    rollout.apply("1.0.0")
    rollout.hands_over()
    rollout.write_old("server:1")
    kubectl(rollout, "scale", "deployment/old", "--replicas=3")
    rollout.says("ScaledUpAgain")
    rollout.apply("1.0.0", replicas=5)
    rollout.wait_for(lambda status: status["readyReplicas"] == 5, "the operator to have looked at it since")
    assert rollout.old()["spec"]["replicas"] == 3
    writers = [
        entry["manager"]
        for entry in rollout.get("deployment", "old", "--show-managed-fields")["metadata"]["managedFields"]
        if "f:replicas" in entry["fieldsV1"].get("f:spec", {})
    ]
    assert "modelrollout" not in writers, "it is somebody else's field again"
    eventually(lambda: rollout.events().count("ScaledUpAgain") == 1, "the warning")


def test_without_the_deployment_what_serves_goes_on_and_can_be_gone_back_from(
    operator: OperatorProcess, rollout: Moving
) -> None:
    rollout.write_old("server:1")
    rollout.apply("1.0.0", rollback={"keepWarm": "0s"})
    rollout.hands_over()
    rollout.write_old("server:2", replicas=None)
    rollout.apply("2.0.0")
    rollout.serves("2.0.0")
    rollout.wait_for(lambda status: "previous" not in status, "the first version to be parked", seconds=60)
    kubectl(rollout, "delete", "deployment", "old")
    status = rollout.says("WorkloadUnusable")
    assert (status["phase"], status["readyReplicas"]) == ("Idle", 4)
    assert rollout.image_of(status["stable"]["colour"]) == "server:2"
    revert = {
        "apiVersion": "modelrollout.io/v1alpha1",
        "kind": "RolloutAction",
        "metadata": {"name": "back", "namespace": rollout.namespace},
        "spec": {
            "rollout": "scorer",
            "attempt": status["attempt"],
            "action": "Revert",
            "to": "1.0.0",
            "by": "jane",
            "reason": "it was better",
        },
    }
    rollout.bed.apply(json.dumps(revert))
    status = rollout.serves("1.0.0")
    assert rollout.image_of(status["stable"]["colour"]) == "server:1"


def test_what_does_not_exist_is_said_and_waited_for(operator: OperatorProcess, rollout: Moving) -> None:
    rollout.apply("1.0.0")
    rollout.says("WorkloadUnusable")
    assert rollout.get("deployments")["items"] == []
    rollout.write_old("server:1")
    rollout.hands_over()


def test_it_waits_where_there_is_no_deployment_at_all(bed: testbed.Bed, rollout: Moving, tmp_path: Path) -> None:
    """An operator of one namespace, in which the list of Deployments is empty."""
    grant(bed, namespace=rollout.namespace)
    rollout.apply("1.0.0")
    with running(bed, tmp_path, f"--namespace={rollout.namespace}") as operator:
        rollout.says("WorkloadUnusable")
        listed = "modelrollout_api_requests_total"
        eventually(lambda: operator.metric(listed, verb="list", kind="Deployment") >= 2, "a list of the Deployments")
        rollout.write_old("server:1")
        rollout.hands_over()
        assert operator.process.poll() is None


def test_one_of_our_own_is_refused(
    operator: OperatorProcess, bed: testbed.Bed, client: ApiClient, rollout: Moving
) -> None:
    rollout.write_old("server:1")
    rollout.apply("1.0.0")
    rollout.hands_over()
    borrower = Moving(bed, client, rollout.namespace, "borrower", workloadRef={"name": "scorer-blue"})
    borrower.apply("1.0.0")
    status = borrower.says("WorkloadUnusable")
    assert "one that the operator made for ModelRollout scorer" in json.dumps(status["conditions"])
    assert rollout.get("deployment", "scorer-blue")["spec"]["replicas"] == 4


def test_a_deleted_rollout_leaves_stable_serving_and_the_deployment_at_0(
    operator: OperatorProcess, rollout: Moving
) -> None:
    rollout.write_old("server:1")
    rollout.apply("1.0.0")
    rollout.hands_over()
    kubectl(rollout, "delete", "mr", "scorer", "--timeout=30s")
    assert rollout.old()["spec"]["replicas"] == 0
    assert rollout.get("deployment", "scorer-blue")["spec"]["replicas"] == 4
