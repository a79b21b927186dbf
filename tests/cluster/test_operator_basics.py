"""The operator against a real API server, with pods that are ready at once and do nothing."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from kubernetes.client import ApiClient

import testbed
from cluster.gateway_controller import accepting_routes
from stack.history import Object
from stack.operator_process import OperatorProcess, eventually
from stack.rollout import Rollout

FOREVER_PENDING = {"testbed/stays-pending": "x"}


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


def test_the_version_before_is_back_in_one_write_while_it_is_warm(
    bed: testbed.Bed, operator: OperatorProcess, rollout: Rollout, gateway: None
) -> None:
    rollout.apply(
        "1.0.0", traffic={"gatewayAPI": {"parentRefs": [{"name": "public"}]}}, rollback={"keepWarm": KEPT_WARM}
    )
    before = rollout.serves("1.0.0")["stable"]
    rollout.apply("2.0.0")
    losing = rollout.serves("2.0.0")["stable"]
    eventually(lambda: _route_shows(rollout, losing), "the route to show the promotion")
    pods, begun = _pods(rollout), datetime.now(UTC)
    rollout.apply("1.0.0")
    assert rollout.serves("1.0.0")["stable"] | {"since": before["since"]} == before
    eventually(lambda: _route_shows(rollout, before), "the route to lead back")
    assert len(_route_writes(bed, rollout, since=begun)) == 1
    assert _pods(rollout) == pods
    parked = f"scorer-{losing['colour']}"
    eventually(lambda: rollout.get("deployment", parked)["spec"]["replicas"] == 0, "the other one to be parked")
    eventually(lambda: len(_pods(rollout)) == 4, "its pods to go")
    assert rollout.events().count("AttemptStarted") == 2


KEPT_WARM = "5s"


def _route_shows(rollout: Rollout, stable: Object) -> bool:
    """Whether the route leads to this version, and says that it is stable."""
    route = rollout.get("httproute", "scorer")
    weights = {backend["name"]: backend["weight"] for backend in route["spec"]["rules"][0]["backendRefs"]}
    attempt = route["metadata"]["labels"]["modelrollout.io/attempt"]
    return bool(weights[f"scorer-{stable['colour']}"] >= 999_999 and attempt == str(stable["attempt"]))


def _pods(rollout: Rollout) -> set[str]:
    return {pod["metadata"]["uid"] for pod in rollout.get("pods")["items"]}


def _route_writes(bed: testbed.Bed, rollout: Rollout, *, since: datetime) -> list[str]:
    """What the operator has written to the route."""
    entries: list[Object] = [json.loads(line) for line in bed.audit_log.read_text().splitlines()]
    return [
        f"{entry['verb']} {entry['requestURI']}"
        for entry in entries
        if entry["user"]["username"] == "operator"
        and f"/namespaces/{rollout.namespace}/httproutes/scorer" in entry["requestURI"]
        and entry["verb"] not in ("get", "list", "watch")
        and datetime.fromisoformat(entry["requestReceivedTimestamp"]) >= since
    ]


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
    rollout.bed.kubectl("-n", rollout.namespace, "delete", "mr", "scorer", "--cascade=foreground", "--timeout=60s")
    deployment = rollout.get("deployment", f"scorer-{colour}")
    assert deployment["status"]["readyReplicas"] == 4
    assert "ownerReferences" not in deployment["metadata"]
    assert rollout.get("service", "scorer")["spec"]["selector"]["modelrollout.io/colour"] == colour


def test_deleting_a_rollout_with_the_policy_delete_leaves_nothing(operator: OperatorProcess, rollout: Rollout) -> None:
    rollout.apply("1.0.0", deletionPolicy="Delete")
    rollout.serves("1.0.0")
    rollout.bed.kubectl("-n", rollout.namespace, "delete", "mr", "scorer", "--timeout=60s")
    eventually(lambda: not rollout.get("deployments,services")["items"], "everything to be deleted")


def test_a_namespace_can_be_deleted_with_a_rollout_in_it(
    bed: testbed.Bed, client: ApiClient, operator: OperatorProcess
) -> None:
    bed.kubectl("create", "namespace", "ending")
    rollout = Rollout(bed, client, "ending")
    rollout.apply("1.0.0")
    rollout.serves("1.0.0")
    bed.kubectl("delete", "namespace", "ending", "--timeout=60s")


def test_a_namespace_can_be_deleted_with_a_rollout_in_the_middle_of_a_stage(
    bed: testbed.Bed, client: ApiClient, operator: OperatorProcess
) -> None:
    bed.kubectl("create", "namespace", "ending-early")
    endless = {"canary": {"steps": [{"weight": 50, "hold": "1h"}, {"weight": 100}]}}
    rollout = Rollout(bed, client, "ending-early", strategy=endless)
    with accepting_routes(bed, client, "ending-early"):
        rollout.apply("1.0.0", traffic={"gatewayAPI": {"parentRefs": [{"name": "public"}]}})
        rollout.serves("1.0.0")
        rollout.apply("2.0.0")
        rollout.wait_for(lambda status: "reachedAt" in status.get("stage", {}), "the first stage")
        logged = len(operator.log.read_text())
        bed.kubectl("delete", "namespace", "ending-early", "--timeout=60s")
    assert " ERROR " not in operator.log.read_text()[logged:]
    assert operator.metric("modelrollout_rollouts", phase="Progressing") == 0


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


def test_an_object_that_has_lost_our_label_is_ours_again(operator: OperatorProcess, rollout: Rollout) -> None:
    rollout.apply("1.0.0")
    rollout.serves("1.0.0")
    label = "app.kubernetes.io/managed-by"
    rollout.bed.kubectl("-n", rollout.namespace, "label", "service", "scorer", f"{label}-")
    eventually(lambda: label in rollout.get("service", "scorer")["metadata"]["labels"], "the label to be back")
