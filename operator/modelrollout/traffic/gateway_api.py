"""The Gateway API router: an HTTPRoute with a weight for each colour, owned whole.

Its rules are found by their number, which Envoy's metrics are named by. The first one splits by weight. Those behind it
look at a header and so win over it; of two that match, the earlier one wins:

0. everybody: both colours, by weight;
1. who asks for stable, and who is excluded: stable alone, which has nothing to lose by a change of its weight;
2. cohorts that are let in: the candidate. This rule stands as long as the candidate is in the first one, and matches
   nobody while nobody is let in: what the rule before it takes. Requests are lost that match a rule of which the proxy
   does not know the backends yet, or any more: measured, 38 of 3,591 in 48 changes, and none of 3,101 so.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from modelrollout.api.labels import ATTEMPT, attempt_of, colour_name
from modelrollout.api.manifests import fence_of, fenced
from modelrollout.api.objects import Live, Manifest, Objects
from modelrollout.api.owner import Rollout
from modelrollout.api.status import Colour
from modelrollout.api.traffic import VARIANT_HEADER, GatewayApiRouter, HeaderMatch, ParentRef
from modelrollout.engine.effects import SetTraffic
from modelrollout.engine.snapshot import Obstacle, Route, Workload
from modelrollout.traffic.gateway_status import controllers_of, look_for_obstacles

_API_VERSION = "gateway.networking.k8s.io/v1"


WHOLE = 1_000_000
"""What the weights of both colours add up to: the most that the Gateway API takes for one of them."""

_BY_WEIGHT, _TO_STABLE, _LET_IN = range(3)
"""Places of the rules."""


class GatewayApi:
    """Weights in the HTTPRoute NAME. Beside it the Service NAME selects stable, for callers inside the cluster."""

    def render(self, rollout: Rollout, traffic: SetTraffic) -> list[Manifest]:
        """The HTTPRoute with both colours, then the Service of stable."""
        router = _router_of(rollout)
        spec = {
            "parentRefs": _parents(rollout),
            "hostnames": list(router.hostnames),
            "rules": _rules(rollout, router, traffic),
        }
        labels = {ATTEMPT: str(traffic.attempt)}
        route = rollout.manifest(_API_VERSION, "HTTPRoute", rollout.name, spec=spec, labels=labels)
        return [fenced(route, traffic.token), rollout.service(rollout.name, selects=traffic.stable)]

    def observe(self, rollout: Rollout, objects: Objects, workloads: Mapping[Colour, Workload]) -> Route | None:  # noqa: ARG002
        """The weights as written, whether or not there are pods behind them."""
        route = objects.get("HTTPRoute", rollout.namespace, rollout.name)
        if route is None:
            return None
        return _seen(rollout, _router_of(rollout), route)

    def obstacles(self, rollout: Rollout, objects: Objects) -> tuple[Obstacle, ...]:
        """Gateways, listeners and classes that are missing, and what their controllers say against the HTTPRoute."""
        return tuple(look_for_obstacles(rollout, _parents(rollout), objects))

    def controllers(self, rollout: Rollout, objects: Objects) -> frozenset[str]:
        """Those that say in the HTTPRoute that they serve it; before that, those of its Gateways' classes."""
        return frozenset(controllers_of(rollout, _parents(rollout), objects))

    def leftovers(self, rollout: Rollout, objects: Objects) -> list[Live]:  # noqa: ARG002
        """None: the Service of the other router is used here as well."""
        return []


def parent_ref(parent: ParentRef, rollout: Rollout) -> dict[str, Any]:
    """A parent with its namespace named, as the HTTPRoute says it and as its status repeats it."""
    return {"namespace": rollout.namespace, **parent.to_wire()}


def _parents(rollout: Rollout) -> list[dict[str, Any]]:
    return [parent_ref(parent, rollout) for parent in _router_of(rollout).parent_refs]


def _router_of(rollout: Rollout) -> GatewayApiRouter:
    router = rollout.spec.traffic.gateway_api
    if router is None:
        raise ValueError(f"{rollout.namespace}/{rollout.name} does not name traffic.gatewayAPI")
    return router


def _rules(rollout: Rollout, router: GatewayApiRouter, traffic: SetTraffic) -> list[dict[str, Any]]:
    to_stable = dict.fromkeys((router.stable_header, *traffic.excluded))
    rules = [
        {
            "matches": [_match(router)],
            "backendRefs": _both(rollout, traffic, _candidate_part(traffic)),
        },
        {
            "matches": [_match(router, header) for header in to_stable],
            "backendRefs": [_backend(rollout, traffic.stable, "stable", WHOLE)],
        },
    ]
    if traffic.candidate and rollout.spec.strategy.names_cohorts:
        let_in = {
            "matches": [_match(router, header) for header in traffic.cohort or (router.stable_header,)],
            "backendRefs": _both(rollout, traffic, WHOLE - 1),
        }
        rules.append(let_in)
    return [{**rule, **_patience(rollout)} for rule in rules]


def _patience(rollout: Rollout) -> dict[str, Any]:
    """How long the proxy waits for an answer; by default as long as it does by itself, Envoy Gateway 15 s."""
    longest = rollout.spec.service.longest_answer
    return {"timeouts": {"request": longest}} if longest else {}


def _match(router: GatewayApiRouter, header: HeaderMatch | None = None) -> dict[str, Any]:
    match: dict[str, Any] = {"path": {"type": "PathPrefix", "value": router.path_prefix}}
    if header:
        match["headers"] = [{"type": "Exact", "name": header.header, "value": header.value}]
    return match


def _both(rollout: Rollout, traffic: SetTraffic, candidate_part: int) -> list[dict[str, Any]]:
    """Both colours in a constant order, whatever their weights: proxies that hash callers move as few as they can."""
    parts = {traffic.stable: ("stable", WHOLE - candidate_part), traffic.stable.other: ("candidate", candidate_part)}
    return [_backend(rollout, colour, *parts[colour]) for colour in Colour]


def _backend(rollout: Rollout, colour: Colour, variant: str, weight: int) -> dict[str, Any]:
    """One colour.

    The header tells callers which variant answered. It has a second use: Envoy Gateway keeps metrics for each backend
    of a rule only if the backends have filters.
    """
    return {
        "group": "",
        "kind": "Service",
        "name": colour_name(rollout.name, colour),
        "port": rollout.spec.service.port,
        "weight": weight,
        "filters": [
            {
                "type": "ResponseHeaderModifier",
                "responseHeaderModifier": {"set": [{"name": VARIANT_HEADER, "value": variant}]},
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


def _seen(rollout: Rollout, router: GatewayApiRouter, route: Live) -> Route:
    """What a live HTTPRoute does, as far as its rules are where we put them."""
    rules = dict(enumerate(route["spec"].get("rules") or []))
    shares = _shares(rollout, rules.get(_BY_WEIGHT, {}))
    to_stable = frozenset(_headers(rules.get(_TO_STABLE, {})))
    let_in = frozenset(_headers(rules.get(_LET_IN, {}))) - to_stable
    of_rule = _shares(rollout, rules.get(_LET_IN, {}))
    return Route(
        shares=shares,
        cohorts={colour: let_in for colour, share in of_rule.items() if let_in and share > 0},
        excluded=to_stable - {router.stable_header},
        attempt=attempt_of(route),
        token=fence_of(route),
    )


def _headers(rule: Mapping[str, Any]) -> Iterator[HeaderMatch]:
    for match in rule.get("matches") or []:
        for header in match.get("headers") or []:
            # others may have written what is none of ours
            yield HeaderMatch.model_construct(header=header["name"].lower(), value=header["value"])


def _shares(rollout: Rollout, rule: Mapping[str, Any]) -> dict[Colour, float]:
    """Per cent of the weights of a rule, to a hundredth; one without weights serves neither colour."""
    weights = {backend["name"]: backend.get("weight", 1) for backend in rule.get("backendRefs") or []}
    total = sum(weights.values())
    names = {colour: colour_name(rollout.name, colour) for colour in Colour}
    return {colour: round(100 * weights.get(name, 0) / total, 2) if total else 0.0 for colour, name in names.items()}
