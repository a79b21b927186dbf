"""What the Gateway API router says is in the way, before any traffic moves."""

from typing import Any

import pytest

from modelrollout.api.owner import Rollout
from modelrollout.api.status import Colour
from modelrollout.engine.effects import SetTraffic
from modelrollout.traffic.gateway_api import GatewayApi
from modelrollout.traffic.replicas import Replicas
from support.rendering import GATEWAY_API, Cluster, live, rollout

PARENT = {"name": "public", "namespace": "infra"}
FEATURES = [{"name": "HTTPRouteResponseHeaderModification"}, {"name": "Gateway"}]

Object = dict[str, Any]


def routed(**parent: Any) -> Rollout:
    return rollout(traffic={"gatewayAPI": {"parentRefs": [PARENT | parent]}})


def condition(kind: str, status: str = "True", **fields: Any) -> Object:
    return {"type": kind, "status": status, "reason": kind, "message": "", **fields}


def gateway() -> Object:
    return {
        "kind": "Gateway",
        "metadata": {"name": "public", "namespace": "infra"},
        "spec": {"gatewayClassName": "envoy", "listeners": [{"name": "http", "port": 80}]},
    }


def gateway_class(*conditions: Object, **status: Any) -> Object:
    conditions = conditions or (condition("Accepted"),)
    return {
        "kind": "GatewayClass",
        "metadata": {"name": "envoy", "generation": 1},
        "spec": {"controllerName": "example.com/of-class"},
        "status": {"conditions": list(conditions), **status},
    }


def route(*conditions: Object, generation: int = 2, **parent: Any) -> Object:
    conditions = conditions or (condition("Accepted"), condition("ResolvedRefs"))
    rendered = GatewayApi().render(routed(), SetTraffic(stable=Colour.BLUE, attempt=1))[0]
    reports = [{"parentRef": PARENT | parent, "controllerName": "example.com/reports", "conditions": list(conditions)}]
    return live(rendered, generation=generation) | {"status": {"parents": reports}}


def found(*objects: Object, subject: Rollout | None = None, **cluster: Any) -> list[tuple[str, str]]:
    obstacles = GatewayApi().obstacles(subject or routed(), Cluster(*objects, **cluster))
    assert all(obstacle.condition == "RouteReady" for obstacle in obstacles)
    return [(obstacle.reason, obstacle.message) for obstacle in obstacles]


def test_nothing_is_in_the_way_of_an_accepted_route() -> None:
    assert found(gateway(), gateway_class(), route()) == []


def test_a_route_that_is_not_written_yet_is_not_in_the_way() -> None:
    assert found(gateway(), gateway_class()) == []


def test_the_replicas_router_needs_nobody() -> None:
    assert Replicas().obstacles(rollout(), Cluster()) == ()


def test_a_cluster_without_the_gateway_api_is_named() -> None:
    ((reason, message),) = found(hidden=frozenset({("HTTPRoute", "ml")}))
    assert reason == "GatewayAPINotInstalled"
    assert "spec.traffic.replicas" in message


def test_a_missing_gateway_is_named_with_the_field() -> None:
    ((reason, message),) = found(gateway_class(), route())
    assert reason == "GatewayNotFound"
    assert message.startswith("spec.traffic.gatewayAPI.parentRefs[0]: there is no Gateway infra/public")


def test_a_gateway_where_the_operator_may_not_look_is_left_to_the_status_of_the_route() -> None:
    hidden = frozenset({("Gateway", "infra"), ("GatewayClass", "")})
    assert found(route(), hidden=hidden) == []
    rejected = route(condition("Accepted", "False", reason="NotAllowedByListeners"))
    assert [reason for reason, _ in found(rejected, hidden=hidden)] == ["NotAllowedByListeners"]


@pytest.mark.parametrize(("field", "missing", "there"), [("sectionName", "https", "http"), ("port", 443, "80")])
def test_a_listener_that_the_gateway_lacks_is_named_with_those_it_has(field: str, missing: Any, there: str) -> None:
    subject = routed(**{field: missing})
    ((reason, message),) = found(gateway(), gateway_class(), subject=subject)
    assert reason == "ListenerNotFound"
    assert f"parentRefs[0].{field}" in message
    assert str(missing) in message
    assert message.endswith(there)


def test_a_listener_that_the_gateway_has_is_fine() -> None:
    subject = routed(sectionName="http", port=80)
    assert found(gateway(), gateway_class(), route(sectionName="http", port=80), subject=subject) == []


def test_a_missing_gateway_class_is_named() -> None:
    ((reason, message),) = found(gateway(), route())
    assert reason == "GatewayClassNotFound"
    assert "GatewayClass envoy" in message


@pytest.mark.parametrize("status", ["False", "Unknown"])
def test_a_gateway_class_that_no_controller_took_is_in_the_way(status: str) -> None:
    pending = condition("Accepted", status, reason="Pending", message="Waiting for controller")
    ((reason, message),) = found(gateway(), gateway_class(pending), route())
    assert reason == "GatewayClassNotAccepted"
    assert "Pending: Waiting for controller" in message


@pytest.mark.parametrize("features", [None, [], FEATURES, ["HTTPRouteResponseHeaderModification"]])
def test_features_that_are_published_or_unknown_are_fine(features: Any) -> None:
    assert found(gateway(), gateway_class(supportedFeatures=features), route()) == []


@pytest.mark.parametrize("features", [[{"name": "Gateway"}], ["Gateway"]])
def test_a_gateway_class_that_lists_features_without_ours_is_in_the_way(features: Any) -> None:
    ((reason, message),) = found(gateway(), gateway_class(supportedFeatures=features), route())
    assert reason == "GatewayFeatureMissing"
    assert "HTTPRouteResponseHeaderModification" in message


@pytest.mark.parametrize("kind", ["Accepted", "ResolvedRefs"])
def test_what_a_controller_says_against_the_route_is_carried_over(kind: str) -> None:
    accepted = condition("Accepted")
    against = condition(kind, "False", reason="BackendNotFound", message="no Service fraud-green")
    ((reason, message),) = found(
        gateway(), gateway_class(), route(*({"Accepted": accepted} | {kind: against}).values())
    )
    assert reason == "BackendNotFound"
    assert message == "HTTPRoute ml/fraud on Gateway infra/public: no Service fraud-green"


def test_a_verdict_on_an_older_version_of_the_route_counts_for_nothing() -> None:
    stale = condition("Accepted", "False", reason="NoMatchingParent", observedGeneration=1)
    assert [reason for reason, _ in found(gateway(), gateway_class(), route(stale))] == ["RoutePending"]


def test_a_verdict_on_this_version_of_the_route_counts() -> None:
    fresh = condition("Accepted", "False", reason="NoMatchingParent", observedGeneration=2)
    assert [reason for reason, _ in found(gateway(), gateway_class(), route(fresh))] == ["NoMatchingParent"]


def test_a_verdict_for_another_parent_counts_for_nothing() -> None:
    other = route(condition("Accepted", "False", reason="NotAllowedByListeners"), name="private")
    assert [reason for reason, _ in found(gateway(), gateway_class(), other)] == ["RoutePending"]


def test_a_route_that_no_controller_looked_at_is_pending() -> None:
    silent = route() | {"status": {}}
    assert [reason for reason, _ in found(gateway(), gateway_class(), silent)] == ["RoutePending"]


def test_the_service_of_a_mesh_has_no_gateway_to_look_at() -> None:
    mesh: Object = {"group": "", "kind": "Service", "name": "fraud", "namespace": "ml"}
    subject = rollout(traffic={"gatewayAPI": {"parentRefs": [mesh]}})
    assert found(route(**mesh), subject=subject) == []


def test_the_namespace_of_a_parent_defaults_to_that_of_the_rollout() -> None:
    subject = rollout(traffic={"gatewayAPI": {"parentRefs": [{"name": "public"}]}})
    ((_, message),) = found(subject=subject)
    assert "Gateway ml/public" in message


def test_each_parent_is_looked_at_by_itself() -> None:
    parents = [*GATEWAY_API["gatewayAPI"]["parentRefs"], {"name": "private", "namespace": "infra"}]
    subject = rollout(traffic={"gatewayAPI": {"parentRefs": parents}})
    ((reason, message),) = found(gateway(), gateway_class(), route(), subject=subject)
    assert reason == "GatewayNotFound"
    assert "parentRefs[1]" in message


def controllers(*objects: Object, subject: Rollout | None = None) -> frozenset[str]:
    return GatewayApi().controllers(subject or routed(), Cluster(*objects))


def test_controllers_are_those_that_report_on_the_route_or_else_those_of_the_classes() -> None:
    assert controllers(gateway(), gateway_class(), route()) == {"example.com/reports"}
    assert controllers(gateway(), gateway_class()) == {"example.com/of-class"}
    assert controllers(gateway(), gateway_class(), route(namespace="elsewhere")) == {"example.com/of-class"}
    assert controllers(gateway()) == controllers() == frozenset()


def test_a_mesh_has_no_class_and_reports_on_the_route() -> None:
    mesh: dict[str, Any] = {"group": "", "kind": "Service", "namespace": "ml", "name": "public"}
    assert controllers(subject=routed(**mesh)) == frozenset()
    assert controllers(route(**mesh), subject=routed(**mesh)) == {"example.com/reports"}


def test_each_parent_may_have_another_controller() -> None:
    both = rollout(traffic={"gatewayAPI": {"parentRefs": [PARENT, {"group": "", "kind": "Service", "name": "fraud"}]}})
    mesh = route(group="", kind="Service", namespace="ml", name="fraud")
    names = controllers(gateway(), gateway_class(), mesh, subject=both)
    assert names == {"example.com/of-class", "example.com/reports"}


def test_behind_one_service_there_is_no_proxy() -> None:
    assert Replicas().controllers(rollout(), Cluster()) == frozenset()
