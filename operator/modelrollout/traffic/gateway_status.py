"""Why an HTTPRoute may not work: what is missing, and what the controllers of its parents say.

Silence is not an obstacle. A Gateway outside of the namespaces that the operator may read, or a GatewayClass that does
not publish its features, is unknown; the status of the HTTPRoute tells the rest.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from modelrollout.api.objects import Live, Objects
from modelrollout.api.owner import Rollout
from modelrollout.engine.snapshot import Obstacle

_GATEWAY_GROUP = "gateway.networking.k8s.io"
_FIELD = "spec.traffic.gatewayAPI"
_NEEDED_FEATURE = "HTTPRouteResponseHeaderModification"
"""The header that tells stable from candidate, and Envoy Gateway's metrics per variant, need it."""

_Parent = dict[str, Any]


def look_for_obstacles(rollout: Rollout, parents: Sequence[_Parent], objects: Objects) -> Iterator[Obstacle]:
    """Everything in the way of the HTTPRoute of this rollout, parent by parent, as `RouteReady` obstacles."""
    if not objects.watches("HTTPRoute", rollout.namespace):
        yield _obstacle(
            "GatewayAPINotInstalled",
            f"{_FIELD}: the cluster does not serve HTTPRoute of {_GATEWAY_GROUP}/v1; install the Gateway API, or use "
            "spec.traffic.replicas",
        )
        return
    for index, parent in enumerate(parents):
        missing = tuple(_of_gateway(f"{_FIELD}.parentRefs[{index}]", parent, objects))
        yield from missing or _of_route(rollout, parent, objects)


def controllers_of(rollout: Rollout, parents: Sequence[_Parent], objects: Objects) -> Iterator[str]:
    """Names of the controllers of these parents, as they report on the HTTPRoute, or else as the classes name them."""
    route = objects.get("HTTPRoute", rollout.namespace, rollout.name)
    reports = _parent_reports(route) if route else []
    for parent in parents:
        said = [report["controllerName"] for report in reports if _is_about(report["parentRef"], parent, rollout)]
        yield from said or _controller_of_class(parent, objects)


def _controller_of_class(parent: _Parent, objects: Objects) -> Iterator[str]:
    if (parent["group"], parent["kind"]) != (_GATEWAY_GROUP, "Gateway"):
        return
    gateway = objects.get("Gateway", parent["namespace"], parent["name"])
    gateway_class = gateway and objects.get("GatewayClass", "", gateway["spec"]["gatewayClassName"])
    if gateway_class:
        yield gateway_class["spec"]["controllerName"]


def _of_gateway(field: str, parent: _Parent, objects: Objects) -> Iterator[Obstacle]:
    """A parent of another kind, such as the Service of a mesh, has no Gateway to look at."""
    if (parent["group"], parent["kind"]) != (_GATEWAY_GROUP, "Gateway"):
        return
    gateway = objects.get("Gateway", parent["namespace"], parent["name"])
    if gateway is None:
        if objects.watches("Gateway", parent["namespace"]):
            yield _obstacle(
                "GatewayNotFound", f"{field}: there is no Gateway {_name(parent)}; create it or correct the reference"
            )
        return
    yield from _of_listeners(field, parent, gateway)
    yield from _of_class(field, gateway, objects)


def _of_listeners(field: str, parent: _Parent, gateway: Live) -> Iterator[Obstacle]:
    listeners = gateway["spec"].get("listeners") or []
    section, port = parent.get("sectionName"), parent.get("port")
    if section and section not in {listener["name"] for listener in listeners}:
        known = ", ".join(listener["name"] for listener in listeners)
        yield _obstacle(
            "ListenerNotFound",
            f"{field}.sectionName: Gateway {_name(parent)} has no listener {section}; its listeners: {known}",
        )
    if port and port not in {listener["port"] for listener in listeners}:
        known = ", ".join(str(listener["port"]) for listener in listeners)
        yield _obstacle(
            "ListenerNotFound",
            f"{field}.port: Gateway {_name(parent)} has no listener on port {port}; its ports: {known}",
        )


def _of_class(field: str, gateway: Live, objects: Objects) -> Iterator[Obstacle]:
    name = gateway["spec"]["gatewayClassName"]
    gateway_class = objects.get("GatewayClass", "", name)
    if gateway_class is None:
        if objects.watches("GatewayClass", ""):
            yield _obstacle(
                "GatewayClassNotFound",
                f"{field}: there is no GatewayClass {name}, which Gateway {_name(gateway['metadata'])} asks for; "
                "install its controller",
            )
        return
    status = gateway_class.get("status") or {}
    accepted = _condition(status, "Accepted", gateway_class)
    if accepted and accepted["status"] != "True":
        yield _obstacle(
            "GatewayClassNotAccepted",
            f"{field}: no controller has accepted GatewayClass {name} ({_said(accepted)}); is it running?",
        )
    features = {feature["name"] if isinstance(feature, dict) else feature for feature in _features(status)}
    if features and _NEEDED_FEATURE not in features:
        yield _obstacle(
            "GatewayFeatureMissing",
            f"{field}: GatewayClass {name} does not list {_NEEDED_FEATURE} among its features, and the route needs it "
            "to tell stable from candidate; use another GatewayClass",
        )


def _of_route(rollout: Rollout, parent: _Parent, objects: Objects) -> Iterator[Obstacle]:
    """What the parent's controller says of the HTTPRoute; nothing before the HTTPRoute is there."""
    route = objects.get("HTTPRoute", rollout.namespace, rollout.name)
    if route is None:
        return
    where = f"HTTPRoute {rollout.namespace}/{rollout.name} on {parent['kind']} {_name(parent)}"
    reports = [report for report in _parent_reports(route) if _is_about(report["parentRef"], parent, rollout)]
    accepted = [_condition(report, "Accepted", route) for report in reports]
    if not any(accepted):
        yield _obstacle("RoutePending", f"{where}: its controller has not looked at it yet; is it running?")
    resolved = [_condition(report, "ResolvedRefs", route) for report in reports]
    for condition in (*accepted, *resolved):
        if condition and condition["status"] == "False":
            yield _obstacle(
                condition["reason"], f"{where}: {condition.get('message') or condition['type'] + ' is False'}"
            )


def _parent_reports(route: Live) -> list[dict[str, Any]]:
    return (route.get("status") or {}).get("parents") or []


def _is_about(reported: dict[str, Any], parent: _Parent, rollout: Rollout) -> bool:
    defaults = {"group": _GATEWAY_GROUP, "kind": "Gateway", "namespace": rollout.namespace}
    full = {**defaults, **reported}
    return all(
        full.get(field) == parent.get(field) for field in ("group", "kind", "namespace", "name", "sectionName", "port")
    )


def _condition(status: dict[str, Any], kind: str, subject: Live) -> dict[str, Any] | None:
    """The condition of a type; None when it is absent or speaks of an older version of the object."""
    generation = subject["metadata"].get("generation", 0)
    for condition in status.get("conditions") or []:
        if condition["type"] == kind and condition.get("observedGeneration", generation) >= generation:
            return dict(condition)
    return None


def _features(status: dict[str, Any]) -> list[Any]:
    """Published features: objects with a name, plain names in older versions of the API, often nothing at all."""
    return status.get("supportedFeatures") or []


def _said(condition: dict[str, Any]) -> str:
    return ": ".join(part for part in (condition["reason"], condition.get("message")) if part)


def _name(identity: Live) -> str:
    return f"{identity['namespace']}/{identity['name']}"


def _obstacle(reason: str, message: str) -> Obstacle:
    return Obstacle(condition="RouteReady", reason=reason, message=message)
