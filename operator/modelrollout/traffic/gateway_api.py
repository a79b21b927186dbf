"""The Gateway API router: an HTTPRoute with a weight for each colour, owned whole."""

from collections.abc import Mapping
from typing import Any

from modelrollout.api.labels import ATTEMPT, VARIANT_HEADER, attempt_of, colour_name
from modelrollout.api.manifests import fence_of, fenced
from modelrollout.api.objects import Live, Manifest, Objects
from modelrollout.api.owner import Rollout
from modelrollout.api.status import Colour
from modelrollout.api.traffic import GatewayApiRouter, ParentRef
from modelrollout.engine.effects import SetTraffic
from modelrollout.engine.snapshot import Obstacle, Route, Workload
from modelrollout.traffic.gateway_status import look_for_obstacles

_API_VERSION = "gateway.networking.k8s.io/v1"


WHOLE = 1_000_000
"""What the weights of both colours add up to: the most that the Gateway API takes for one of them."""


class GatewayApi:
    """Weights in the HTTPRoute NAME. Beside it the Service NAME selects stable, for callers inside the cluster."""

    def render(self, rollout: Rollout, traffic: SetTraffic) -> list[Manifest]:
        """The HTTPRoute with both colours, then the Service of stable."""
        router = _router_of(rollout)
        spec = {
            "parentRefs": [parent_ref(parent, rollout) for parent in router.parent_refs],
            "hostnames": list(router.hostnames),
            "rules": [
                {
                    "matches": [{"path": {"type": "PathPrefix", "value": router.path_prefix}}],
                    "backendRefs": [_backend(rollout, traffic, colour) for colour in Colour],
                }
            ],
        }
        labels = {ATTEMPT: str(traffic.attempt)}
        route = rollout.manifest(_API_VERSION, "HTTPRoute", rollout.name, spec=spec, labels=labels)
        return [fenced(route, traffic.token), rollout.service(rollout.name, selects=traffic.stable)]

    def observe(self, rollout: Rollout, objects: Objects, workloads: Mapping[Colour, Workload]) -> Route | None:  # noqa: ARG002
        """The weights as written, whether or not there are pods behind them."""
        route = objects.get("HTTPRoute", rollout.namespace, rollout.name)
        if route is None:
            return None
        return Route(shares=_shares(rollout, route), attempt=attempt_of(route), token=fence_of(route))

    def obstacles(self, rollout: Rollout, objects: Objects) -> tuple[Obstacle, ...]:
        """Gateways, listeners and classes that are missing, and what their controllers say against the HTTPRoute."""
        parents = [parent_ref(parent, rollout) for parent in _router_of(rollout).parent_refs]
        return tuple(look_for_obstacles(rollout, parents, objects))

    def leftovers(self, rollout: Rollout, objects: Objects) -> list[Live]:  # noqa: ARG002
        """None: the Service of the other router is used here as well."""
        return []


def parent_ref(parent: ParentRef, rollout: Rollout) -> dict[str, Any]:
    """A parent with its namespace named, as the HTTPRoute says it and as its status repeats it."""
    return {"namespace": rollout.namespace, **parent.to_wire()}


def _router_of(rollout: Rollout) -> GatewayApiRouter:
    router = rollout.spec.traffic.gateway_api
    if router is None:
        raise ValueError(f"{rollout.namespace}/{rollout.name} does not name traffic.gatewayAPI")
    return router


def _backend(rollout: Rollout, traffic: SetTraffic, colour: Colour) -> dict[str, Any]:
    """One colour in its constant place, whatever its weight: proxies that hash callers then move as few as they can.

    The header tells callers which variant answered. It has a second use: Envoy Gateway keeps metrics for each backend
    of a rule only if the backends have filters.
    """
    serves = colour is traffic.stable
    part = _candidate_part(traffic)
    return {
        "group": "",
        "kind": "Service",
        "name": colour_name(rollout.name, colour),
        "port": rollout.spec.service.port,
        "weight": WHOLE - part if serves else part,
        "filters": [
            {
                "type": "ResponseHeaderModifier",
                "responseHeaderModifier": {
                    "set": [{"name": VARIANT_HEADER, "value": "stable" if serves else "candidate"}]
                },
            }
        ],
    }


def _candidate_part(traffic: SetTraffic) -> int:
    """The candidate's part of the whole. As long as it is in the route, neither colour has nothing, but a millionth.

    Proxies learn of backends and of routes in steps of their own. Envoy Gateway leaves a backend of weight 0 out, so
    that one which gets its first requests, or its last, is unknown to the proxy for up to 200 ms: measured, 19 of 5,832
    requests failed in 60 changes between 0 and 50 per cent, and none between a millionth and 50 per cent.
    """
    if traffic.candidate is None:
        return 0
    return min(max(traffic.weight * WHOLE // 100, 1), WHOLE - 1)


def _shares(rollout: Rollout, route: Live) -> dict[Colour, float]:
    """Per cent of the weights of the first rule, to a hundredth; a route without weights serves neither colour."""
    rules = route["spec"].get("rules") or [{}]
    weights = {backend["name"]: backend.get("weight", 1) for backend in rules[0].get("backendRefs") or []}
    total = sum(weights.values())
    names = {colour: colour_name(rollout.name, colour) for colour in Colour}
    return {colour: round(100 * weights.get(name, 0) / total, 2) if total else 0.0 for colour, name in names.items()}
