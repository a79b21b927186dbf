"""What the two routers can do with a number of pods.

The `replicas` router has no weights of its own: the Service spreads requests over all ready pods that it selects, so
the candidate's share is its part of them. Stable keeps its full size (it must be able to take everything back at once)
and the candidate never has more pods than stable: hence the weights c/(c+n) for c = 1..n, and 100 by switching the
selector. Where both do not fit, stable has fewer pods in a stage: see `room` and `sizing`.
"""

import math
from datetime import timedelta

from modelrollout.api.capacity import CandidateSize
from modelrollout.api.quantities import parse_number
from modelrollout.api.spec import ModelRolloutSpec
from modelrollout.api.status import MOST_REACHABLE_WEIGHTS
from modelrollout.api.traffic import Unreachable

_HEADROOM = "25%"

ROUTE_SETTLES = timedelta(seconds=2)
"""How long proxies may take to learn of a backend, or to forget it."""


def splits_by_pods(spec: ModelRolloutSpec) -> bool:
    """Whether the router splits requests by numbers of pods instead of weights."""
    return spec.traffic.gateway_api is None


def candidate_replicas(spec: ModelRolloutSpec, weight: int, room: int | None = None) -> int:
    """Pods that the candidate needs for a stage of this weight; 0 when the weight is too small to be reached.

    A stage of weight 0 looks at the whole version without traffic, so it needs all of them. With `room` for so many
    pods of both colours it needs its share of spec.replicas and no more, and leaves room for a pod of stable.
    """
    if room is not None:
        return _replicas_that_fit(spec, weight, room)
    if splits_by_pods(spec):
        full = weight in (0, 100)
        return spec.replicas if full else min(spec.replicas, weight * spec.replicas // (100 - weight))
    return spec.replicas if weight == 100 else _replicas_for_share(spec, weight)


def _replicas_for_share(spec: ModelRolloutSpec, weight: int) -> int:
    """Pods for a share of the requests that the router can give exactly; nobody knows the size of a cohort."""
    capacity = spec.capacity
    if capacity.candidate is CandidateSize.FIXED:
        return min(spec.replicas, capacity.pods or 1)
    if capacity.candidate is CandidateSize.FULL or weight == 0 or spec.strategy.names_cohorts:
        return spec.replicas
    headroom = parse_number(capacity.headroom or _HEADROOM)
    return min(spec.replicas, math.ceil(spec.replicas * weight / 100 * (1 + headroom)))


def _replicas_that_fit(spec: ModelRolloutSpec, weight: int, room: int) -> int:
    if weight == 100:
        return spec.replicas
    most = max(min(spec.replicas, room - 1), 0)
    if weight == 0 or not splits_by_pods(spec):
        return min(max(math.ceil(spec.replicas * weight / 100), 1), most)
    beside_all = weight * spec.replicas // (100 - weight)
    if beside_all <= room - spec.replicas:
        return min(beside_all, most)
    return min(weight * max(room, spec.replicas) // 100, most)


def stable_replicas(spec: ModelRolloutSpec, pods: int, room: int | None = None) -> int:
    """Pods of stable beside so many of a candidate that is ready: all of them, or as many as there is room for."""
    if room is None:
        return spec.replicas
    return max(min(room - pods, spec.replicas), spec.replicas - pods)


def is_reachable(spec: ModelRolloutSpec, weight: int, room: int | None = None) -> bool:
    """Whether the router can give the candidate anything at a stage of this weight."""
    return candidate_replicas(spec, weight, room) > 0


def skips_unreachable(spec: ModelRolloutSpec) -> bool:
    """Whether stages that cannot be reached are left out rather than refused."""
    router = spec.traffic.replicas
    return router is None or router.unreachable is Unreachable.SKIP


def reachable_weight(spec: ModelRolloutSpec, weight: int, room: int | None = None) -> float:
    """The share in per cent that the candidate gets of a declared weight when all pods are ready; never more."""
    if weight in (0, 100):
        return float(weight)
    pods = candidate_replicas(spec, weight, room)
    if splits_by_pods(spec):
        return share(candidate=pods, stable=stable_replicas(spec, pods, room))
    return float(weight) if room is None else float(min(weight, carried(spec, pods)))


def reachable_weights(spec: ModelRolloutSpec, room: int | None = None) -> list[float]:
    """The smallest weights that the router can reach, ascending, and 100; empty when it can reach every one."""
    if not splits_by_pods(spec):
        return []
    pods = range(1, min(candidate_replicas(spec, 99, room), MOST_REACHABLE_WEIGHTS - 1) + 1)
    return [*(share(candidate=one, stable=stable_replicas(spec, one, room)) for one in pods), 100.0]


def carried(spec: ModelRolloutSpec, pods: int) -> int:
    """Per cent of the requests that so many pods carry."""
    return 100 * min(pods, spec.replicas) // spec.replicas


def share(*, candidate: int, stable: int) -> float:
    """Per cent of the ready pods that are the candidate's; 0 when there are none."""
    total = candidate + stable
    return round(100 * candidate / total, 2) if total else 0.0
