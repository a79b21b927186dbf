"""What the two routers can do with a number of pods.

The `replicas` router has no weights of its own: the Service spreads requests over all ready pods that it selects, so
the candidate's share is its part of them. Stable keeps its full size (it must be able to take everything back at once)
and the candidate never has more pods than stable: hence the weights c/(c+n) for c = 1..n, and 100 by switching the
selector.
"""

import math
from datetime import timedelta

from modelrollout.api.quantities import parse_number
from modelrollout.api.spec import CandidateSize, ModelRolloutSpec
from modelrollout.api.status import MOST_REACHABLE_WEIGHTS
from modelrollout.api.traffic import Unreachable

_HEADROOM = "25%"

ROUTE_SETTLES = timedelta(seconds=2)
"""How long proxies may take to learn of a backend, or to forget it."""


def splits_by_pods(spec: ModelRolloutSpec) -> bool:
    """Whether the router splits requests by numbers of pods instead of weights."""
    return spec.traffic.gateway_api is None


def candidate_replicas(spec: ModelRolloutSpec, weight: int) -> int:
    """Pods that the candidate needs for a stage of this weight; 0 when the weight is too small to be reached.

    A stage of weight 0 looks at the whole version without traffic, so it needs all of them.
    """
    if weight in (0, 100):
        return spec.replicas
    if not splits_by_pods(spec):
        return _replicas_for_share(spec, weight)
    return min(spec.replicas, weight * spec.replicas // (100 - weight))


def _replicas_for_share(spec: ModelRolloutSpec, weight: int) -> int:
    """Pods for a share of the requests that the router can give exactly; nobody knows the size of a cohort."""
    if spec.capacity.candidate is CandidateSize.FULL or spec.strategy.names_cohorts:
        return spec.replicas
    headroom = parse_number(spec.capacity.headroom or _HEADROOM)
    return min(spec.replicas, math.ceil(spec.replicas * weight / 100 * (1 + headroom)))


def is_reachable(spec: ModelRolloutSpec, weight: int) -> bool:
    """Whether the router can give the candidate anything at a stage of this weight."""
    return candidate_replicas(spec, weight) > 0


def skips_unreachable(spec: ModelRolloutSpec) -> bool:
    """Whether stages that cannot be reached are left out rather than refused."""
    router = spec.traffic.replicas
    return router is None or router.unreachable is Unreachable.SKIP


def reachable_weight(spec: ModelRolloutSpec, weight: int) -> float:
    """The share in per cent that the candidate gets of a declared weight when all pods are ready; never more."""
    if not splits_by_pods(spec) or weight in (0, 100):
        return float(weight)
    pods = candidate_replicas(spec, weight)
    return share(candidate=pods, stable=spec.replicas)


def reachable_weights(spec: ModelRolloutSpec) -> list[float]:
    """The smallest weights that the router can reach, ascending, and 100; empty when it can reach every one."""
    if not splits_by_pods(spec):
        return []
    pods = range(1, min(spec.replicas, MOST_REACHABLE_WEIGHTS - 1) + 1)
    return [*(share(candidate=candidate, stable=spec.replicas) for candidate in pods), 100.0]


def share(*, candidate: int, stable: int) -> float:
    """Per cent of the ready pods that are the candidate's; 0 when there are none."""
    total = candidate + stable
    return round(100 * candidate / total, 2) if total else 0.0
