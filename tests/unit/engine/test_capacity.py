"""What a number of pods can do as a weight."""

import pytest

from modelrollout.api.spec import ModelRolloutSpec
from modelrollout.api.status import Colour, ModelRolloutStatus
from modelrollout.engine.capacity import candidate_replicas, reachable_weight, reachable_weights, share
from unit.engine.simulation import make_spec
from unit.engine.worlds import MINUTE, in_stage


def by_pods(replicas: int) -> ModelRolloutSpec:
    return make_spec(traffic={"replicas": {}}, replicas=replicas)


def test_few_replicas_reach_few_weights() -> None:
    assert reachable_weights(by_pods(1)) == [50, 100]
    assert reachable_weights(by_pods(3)) == [25, 40, 50, 100]


def test_a_router_with_weights_reaches_all_of_them() -> None:
    assert reachable_weights(make_spec()) == []


@pytest.mark.parametrize("replicas", [127, 128, 396, 10_000])
def test_of_many_reachable_weights_the_status_lists_the_smallest_and_100(replicas: int) -> None:
    weights = reachable_weights(by_pods(replicas))
    assert ModelRolloutStatus(reachable_weights=weights).reachable_weights == weights
    assert len(weights) == 128
    assert weights[0] == share(candidate=1, stable=replicas)
    assert weights[126] == share(candidate=127, stable=replicas)
    assert weights[127] == 100
    assert weights == sorted(weights)


@pytest.mark.parametrize("replicas", [1, 4, 10, 127, 10_000])
@pytest.mark.parametrize("weight", [1, 5, 10, 33, 50, 99])
def test_a_stage_never_gets_more_than_it_declares(replicas: int, weight: int) -> None:
    pods = candidate_replicas(by_pods(replicas), weight)
    assert pods <= replicas
    assert reachable_weight(by_pods(replicas), weight) <= weight
    assert pods == replicas or 100 * (pods + 1) > weight * (pods + 1 + replicas)


@pytest.mark.parametrize(
    ("weight", "headroom", "pods"),
    [
        (0, None, 8),
        (1, None, 1),
        (10, "0%", 1),
        (25, "0%", 2),
        (25, None, 3),
        (50, "50%", 6),
        (90, "50%", 8),
        (100, "0%", 8),
    ],
)
def test_a_proportional_candidate_has_the_pods_that_its_share_needs(
    weight: int, headroom: str | None, pods: int
) -> None:
    capacity = {"candidate": "Proportional"} | ({"headroom": headroom} if headroom else {})
    assert candidate_replicas(make_spec(replicas=8, capacity=capacity), weight) == pods


def test_a_proportional_candidate_gets_its_pods_before_its_requests() -> None:
    proportional = {"capacity": {"candidate": "Proportional", "headroom": "0%"}, "replicas": 10}
    world = in_stage("canary-10", **proportional)
    assert world.workloads[Colour.GREEN].desired == 1
    world.now += MINUTE
    world.reconcile()
    assert (world.workloads[Colour.GREEN].desired, world.share_of(Colour.GREEN)) == (5, 10)
    world.pods_ready(Colour.GREEN, 4)
    world.now += MINUTE
    world.reconcile()
    assert world.share_of(Colour.GREEN) == 10
    world.pods_ready(Colour.GREEN, 5)
    world.reconcile()
    assert world.share_of(Colour.GREEN) == 50


def test_shares_are_per_cent_with_two_places() -> None:
    assert share(candidate=1, stable=2) == 33.33
    assert share(candidate=0, stable=0) == 0
