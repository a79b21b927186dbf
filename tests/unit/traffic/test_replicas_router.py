"""The replicas router: which pods the Service selects, and what that gives each colour."""

import pytest

from modelrollout.api.manifests import covers
from modelrollout.api.status import Colour
from modelrollout.engine.effects import SetTraffic
from modelrollout.traffic.replicas import Replicas
from modelrollout.traffic.router import router_for
from support.rendering import Cluster, live, rollout, workload

BLUE, GREEN = Colour.BLUE, Colour.GREEN
BOTH = {"modelrollout.io/name": "fraud"}


def selecting(colour: Colour) -> dict[str, str]:
    return BOTH | {"modelrollout.io/colour": colour.value}


def test_it_is_the_router_when_none_is_named() -> None:
    assert isinstance(router_for(rollout().spec), Replicas)


@pytest.mark.parametrize(
    ("traffic", "selector"),
    [
        (SetTraffic(stable=GREEN, attempt=1), selecting(GREEN)),
        (SetTraffic(stable=GREEN, attempt=1, candidate=BLUE, weight=0), selecting(GREEN)),
        (SetTraffic(stable=GREEN, attempt=1, candidate=BLUE, weight=1), BOTH),
        (SetTraffic(stable=GREEN, attempt=1, candidate=BLUE, weight=99), BOTH),
        (SetTraffic(stable=GREEN, attempt=1, candidate=BLUE, weight=100), selecting(BLUE)),
    ],
)
def test_the_service_selects_the_colours_that_may_answer(traffic: SetTraffic, selector: dict[str, str]) -> None:
    (service,) = Replicas().render(rollout(), traffic)
    assert service["spec"]["selector"] == selector


def test_the_service_carries_the_name_of_the_rollout_and_its_ports() -> None:
    (service,) = Replicas().render(
        rollout(service={"port": 8000, "targetPort": 9000}), SetTraffic(stable=BLUE, attempt=1)
    )
    assert service["metadata"]["name"] == "fraud"
    assert service["spec"]["ports"] == [{"name": "http", "port": 8000, "protocol": "TCP", "targetPort": 9000}]


def test_the_service_is_fenced_by_what_was_seen() -> None:
    known = SetTraffic(stable=BLUE, attempt=1, candidate=GREEN, weight=50, token="uid-9/7")
    new = SetTraffic(stable=BLUE, attempt=1)
    metadata = Replicas().render(rollout(), known)[0]["metadata"]
    assert (metadata["uid"], metadata["resourceVersion"]) == ("uid-9", "7")
    assert "resourceVersion" not in Replicas().render(rollout(), new)[0]["metadata"]


def test_the_service_shows_which_attempt_is_stable() -> None:
    (before,) = Replicas().render(rollout(), SetTraffic(stable=BLUE, attempt=1, candidate=GREEN, weight=100))
    (after,) = Replicas().render(rollout(), SetTraffic(stable=GREEN, attempt=2))
    assert before["spec"]["selector"] == after["spec"]["selector"]
    assert [one["metadata"]["labels"]["modelrollout.io/attempt"] for one in (before, after)] == ["1", "2"]


@pytest.mark.parametrize(
    ("weight", "ready", "shares"),
    [
        (0, {BLUE: 0, GREEN: 0}, {BLUE: 100, GREEN: 0}),
        (100, {BLUE: 4, GREEN: 4}, {BLUE: 0, GREEN: 100}),
        (25, {BLUE: 3, GREEN: 1}, {BLUE: 75, GREEN: 25}),
        (33, {BLUE: 2, GREEN: 1}, {BLUE: 66.67, GREEN: 33.33}),
        (25, {BLUE: 3, GREEN: 0}, {BLUE: 100, GREEN: 0}),
        (25, {BLUE: 0, GREEN: 2}, {BLUE: 0, GREEN: 100}),
        (25, {BLUE: 0, GREEN: 0}, {BLUE: 0, GREEN: 0}),
        (25, {BLUE: 3}, {BLUE: 100, GREEN: 0}),
    ],
)
def test_shares_follow_the_selector_and_the_ready_pods(
    weight: int, ready: dict[Colour, int], shares: dict[Colour, float]
) -> None:
    router, subject = Replicas(), rollout()
    (service,) = router.render(subject, SetTraffic(stable=BLUE, attempt=1, candidate=GREEN, weight=weight))
    workloads = {colour: workload(ready=pods) for colour, pods in ready.items()}
    route = router.observe(subject, Cluster(live(service)), workloads)
    assert route is not None
    assert route.shares == shares
    assert route.token == "uid-9/41"


def test_there_is_no_route_before_there_is_a_service() -> None:
    assert Replicas().observe(rollout(), Cluster(), {}) is None


def test_a_candidate_admitted_without_ready_pods_is_still_seen_by_the_write() -> None:
    """Its share is 0, so that only comparing the Service itself tells that a revert has to be written."""
    router, subject = Replicas(), rollout()
    (mixed,) = router.render(subject, SetTraffic(stable=BLUE, attempt=1, candidate=GREEN, weight=25))
    (reverted,) = router.render(subject, SetTraffic(stable=BLUE, attempt=1, candidate=GREEN, weight=0))
    assert not covers(reverted, live(mixed))
