"""The operator against a real API server, with pods that are ready at once and do nothing."""

import json
from collections.abc import Iterator

import pytest
from kubernetes.client import ApiClient

import testbed
from cluster.gateway_controller import accepting_routes
from cluster.operator_process import OperatorProcess, eventually, grant, running
from cluster.rollout import Rollout

FOREVER_PENDING = {"testbed/stays-pending": "x"}


@pytest.fixture(scope="module")
def operator(bed: testbed.Bed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    grant(bed)
    with running(bed, tmp_path_factory.mktemp("operator")) as operator:
        yield operator


@pytest.fixture
def rollout(bed: testbed.Bed, client: ApiClient, namespace: str) -> Rollout:
    return Rollout(bed, client, namespace)


@pytest.fixture
def gateway(bed: testbed.Bed, client: ApiClient, namespace: str) -> Iterator[None]:
    """A Gateway `public`, and a controller that accepts every route on it."""
    with accepting_routes(bed, client, namespace):
        yield


def test_the_first_version_serves_as_soon_as_it_is_ready(operator: OperatorProcess, rollout: Rollout) -> None:
    rollout.apply("1.0.0")
    status = rollout.serves("1.0.0")
    colour = status["stable"]["colour"]
    assert rollout.get("deployment", f"scorer-{colour}")["status"]["readyReplicas"] == 4
    assert rollout.get("service", "scorer")["spec"]["selector"]["modelrollout.io/colour"] == colour
    assert rollout.get("mr", "scorer")["metadata"]["finalizers"] == ["modelrollout.io/release"]


def test_a_new_version_goes_through_its_stages_with_the_replicas_router(
    operator: OperatorProcess, rollout: Rollout
) -> None:
    rollout.apply("1.0.0")
    before = rollout.serves("1.0.0")["stable"]["colour"]
    rollout.apply("2.0.0")
    after = rollout.serves("2.0.0")["stable"]["colour"]
    assert after != before
    assert rollout.get("service", "scorer")["spec"]["selector"]["modelrollout.io/colour"] == after
    eventually(lambda: rollout.events()[-1:] == ["Promoted"], "the event of the promotion")
    stages = ["StageEntered"] * 3
    assert rollout.events() == ["AttemptStarted", "Promoted", "AttemptStarted", *stages, "Promoted"]


def test_a_new_version_goes_through_its_stages_with_the_gateway_api(
    operator: OperatorProcess, rollout: Rollout, gateway: None
) -> None:
    rollout.apply("1.0.0", traffic={"gatewayAPI": {"parentRefs": [{"name": "public"}]}})
    rollout.serves("1.0.0")
    rollout.apply("2.0.0")
    after = rollout.serves("2.0.0")["stable"]["colour"]
    backends = rollout.get("httproute", "scorer")["spec"]["rules"][0]["backendRefs"]
    assert {backend["name"]: backend["weight"] for backend in backends}[f"scorer-{after}"] == 999_999


def test_a_version_that_does_not_come_up_is_taken_back(operator: OperatorProcess, rollout: Rollout) -> None:
    rollout.apply("1.0.0")
    before = rollout.serves("1.0.0")["stable"]["colour"]
    pending = {"metadata": {"labels": FOREVER_PENDING}, "spec": {"containers": [{"name": "server", "image": "scorer"}]}}
    rollout.apply("2.0.0", template=pending, progressDeadline="2s")
    status = rollout.wait_for(lambda status: status["phase"] == "Reverted", "the new version to be taken back")
    assert status["lastRevert"]["reason"] == "ProgressDeadlineExceeded"
    assert status["stable"] | {"colour": before, "version": "1.0.0"} == status["stable"]
    losing = f"scorer-{'green' if before == 'blue' else 'blue'}"
    eventually(lambda: rollout.get("deployment", losing)["spec"]["replicas"] == 0, "its pods to go")


def test_deleting_a_rollout_leaves_its_version_serving(operator: OperatorProcess, rollout: Rollout) -> None:
    rollout.apply("1.0.0")
    colour = rollout.serves("1.0.0")["stable"]["colour"]
    rollout.bed.kubectl("-n", rollout.namespace, "delete", "mr", "scorer", "--cascade=foreground", "--timeout=30s")
    deployment = rollout.get("deployment", f"scorer-{colour}")
    assert deployment["status"]["readyReplicas"] == 4
    assert "ownerReferences" not in deployment["metadata"]
    assert rollout.get("service", "scorer")["spec"]["selector"]["modelrollout.io/colour"] == colour


def test_deleting_a_rollout_with_the_policy_delete_leaves_nothing(operator: OperatorProcess, rollout: Rollout) -> None:
    rollout.apply("1.0.0", deletionPolicy="Delete")
    rollout.serves("1.0.0")
    rollout.bed.kubectl("-n", rollout.namespace, "delete", "mr", "scorer", "--timeout=30s")
    eventually(lambda: not rollout.get("deployments,services")["items"], "everything to be deleted")


def test_a_namespace_can_be_deleted_with_a_rollout_in_it(
    bed: testbed.Bed, client: ApiClient, operator: OperatorProcess
) -> None:
    bed.kubectl("create", "namespace", "ending")
    rollout = Rollout(bed, client, "ending")
    rollout.apply("1.0.0")
    rollout.serves("1.0.0")
    bed.kubectl("delete", "namespace", "ending", "--timeout=60s")


def test_a_template_that_the_api_server_refuses_is_reported_with_its_words(
    operator: OperatorProcess, rollout: Rollout
) -> None:
    broken = {"spec": {"containers": [{"name": "server", "image": "scorer", "resources": {"requests": {"cpu": "-1"}}}]}}
    rollout.apply("1.0.0", template=broken)
    rollout.wait_for(
        lambda status: "must be greater than or equal to 0" in json.dumps(status.get("conditions", [])),
        "the API server's words in a condition",
    )


def test_a_service_of_somebody_else_is_not_taken_over(operator: OperatorProcess, rollout: Rollout) -> None:
    rollout.bed.kubectl("-n", rollout.namespace, "create", "service", "clusterip", "scorer", "--tcp=80:8080")
    rollout.apply("1.0.0")
    rollout.wait_for(
        lambda status: "exists and is not ours" in json.dumps(status.get("conditions", [])),
        "the Service to be named in a condition",
    )
    assert rollout.get("service", "scorer")["spec"]["selector"] == {"app": "scorer"}
