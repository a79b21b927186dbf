"""The Gateway API router: the HTTPRoute it owns whole, and what it reads back."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelrollout.api.manifests import covers
from modelrollout.api.owner import Rollout
from modelrollout.api.status import Colour
from modelrollout.api.traffic import HeaderMatch
from modelrollout.engine.effects import SetTraffic
from modelrollout.traffic.gateway_api import WHOLE, GatewayApi
from modelrollout.traffic.router import router_for
from support.rendering import GATEWAY_API, Cluster, live, rollout

BLUE, GREEN = Colour.BLUE, Colour.GREEN
colours = st.sampled_from(Colour)
RING = {"ring": {"rings": [{"name": "internal", "match": [{"header": "x-ring", "value": "internal"}]}]}}
INTERNAL, BETA = (HeaderMatch(header="x-ring", value=value) for value in ("internal", "beta"))


def routed(**gateway_api: Any) -> Rollout:
    return rollout(traffic={"gatewayAPI": GATEWAY_API["gatewayAPI"] | gateway_api})


def ringed(**spec: Any) -> Rollout:
    return rollout(traffic=GATEWAY_API, strategy=RING, **spec)


def matched(rule: dict[str, Any]) -> list[str]:
    """What a rule wants of the headers, one line a match; all of them below one path."""
    assert all(match["path"] == {"type": "PathPrefix", "value": "/"} for match in rule["matches"])
    headers = [match.get("headers", []) for match in rule["matches"]]
    return [" and ".join(f"{one['name']}: {one['value']}" for one in wanted) for wanted in headers]


def weights(rule: dict[str, Any]) -> dict[str, int]:
    return {backend["name"]: backend["weight"] for backend in rule["backendRefs"]}


def route_of(traffic: SetTraffic, **gateway_api: Any) -> dict[str, Any]:
    return GatewayApi().render(routed(**gateway_api), traffic)[0]


def backends(traffic: SetTraffic) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = route_of(traffic)["spec"]["rules"][0]["backendRefs"]
    return found


def variant(backend: dict[str, Any]) -> str:
    (only,) = backend["filters"]
    (header,) = only["responseHeaderModifier"]["set"]
    assert header["name"] == "x-model-variant"
    return str(header["value"])


def test_it_is_the_router_when_the_spec_names_it() -> None:
    assert isinstance(router_for(routed().spec), GatewayApi)


@given(stable=colours, weight=st.integers(0, 100))
def test_both_colours_are_always_there_in_one_order_and_weigh_a_million(stable: Colour, weight: int) -> None:
    written = backends(SetTraffic(stable=stable, attempt=1, candidate=stable.other, weight=weight))
    assert [backend["name"] for backend in written] == ["fraud-blue", "fraud-green"]
    assert sum(backend["weight"] for backend in written) == WHOLE
    assert {variant(backend): backend["weight"] for backend in written} == {
        "stable": min(max(WHOLE - weight * WHOLE // 100, 1), WHOLE - 1),
        "candidate": min(max(weight * WHOLE // 100, 1), WHOLE - 1),
    }


@given(stable=colours, weight=st.integers(0, 100))
def test_what_is_written_is_what_is_read_back(stable: Colour, weight: int) -> None:
    traffic = SetTraffic(stable=stable, attempt=1, candidate=stable.other, weight=weight)
    seen = GatewayApi().observe(routed(), Cluster(live(route_of(traffic))), {})
    assert seen is not None
    assert seen.shares == {stable: 100 - weight, stable.other: weight}
    assert seen.token == "uid-9/41"


def test_the_route_without_a_candidate_leads_to_stable_alone() -> None:
    assert [backend["weight"] for backend in backends(SetTraffic(stable=GREEN, attempt=1))] == [0, WHOLE]


def test_the_route_is_written_before_the_service_and_only_the_route_is_fenced() -> None:
    rise = SetTraffic(stable=BLUE, attempt=1, candidate=GREEN, weight=10, token="uid-9/7")
    route, service = GatewayApi().render(routed(), rise)
    assert (route["kind"], service["kind"]) == ("HTTPRoute", "Service")
    assert route["metadata"]["resourceVersion"] == "7"
    assert "resourceVersion" not in service["metadata"]


def test_callers_inside_the_cluster_get_stable() -> None:
    _, service = GatewayApi().render(routed(), SetTraffic(stable=GREEN, attempt=1, candidate=BLUE, weight=50))
    assert service["metadata"]["name"] == "fraud"
    assert service["spec"]["selector"] == {"modelrollout.io/name": "fraud", "modelrollout.io/colour": "green"}


def test_parents_hostnames_and_path_are_those_of_the_spec() -> None:
    route = route_of(
        SetTraffic(stable=BLUE, attempt=1),
        parentRefs=[
            {"name": "public", "namespace": "infra", "sectionName": "https"},
            {"group": "", "kind": "Service", "name": "fraud"},
        ],
        hostnames=["fraud.example.com"],
        pathPrefix="/v2",
    )
    group = "gateway.networking.k8s.io"
    assert route["spec"]["parentRefs"] == [
        {"group": group, "kind": "Gateway", "namespace": "infra", "name": "public", "sectionName": "https"},
        {"group": "", "kind": "Service", "namespace": "ml", "name": "fraud"},
    ]
    assert route["spec"]["hostnames"] == ["fraud.example.com"]
    assert route["spec"]["rules"][0]["matches"] == [{"path": {"type": "PathPrefix", "value": "/v2"}}]


def test_the_proxy_waits_for_the_longest_answer_by_every_rule_if_that_is_given() -> None:
    subject = ringed(service={"longestAnswer": "10m"})
    rules = GatewayApi().render(subject, SetTraffic(stable=BLUE, attempt=1, candidate=GREEN))[0]["spec"]["rules"]
    assert [rule["timeouts"] for rule in rules] == [{"request": "10m"}] * 3
    assert not any("timeouts" in rule for rule in route_of(SetTraffic(stable=BLUE, attempt=1))["spec"]["rules"])


@pytest.mark.parametrize(
    "before",
    [
        {"hostnames": ["fraud.example.com"]},
        {"parentRefs": [{"name": "public", "namespace": "infra", "sectionName": "https"}]},
    ],
)
def test_what_is_taken_out_of_the_spec_is_taken_out_of_the_route(before: dict[str, Any]) -> None:
    """It leaves no trace in the rendered object, whose fields are all to be found in the old one."""
    traffic = SetTraffic(stable=BLUE, attempt=1)
    assert not covers(route_of(traffic), live(route_of(traffic, **before)))


def test_there_is_no_route_before_there_is_an_httproute() -> None:
    assert GatewayApi().observe(routed(), Cluster(), {}) is None


@pytest.mark.parametrize("spec", [{}, {"rules": []}, {"rules": [{}]}, {"rules": [{"backendRefs": []}]}])
def test_a_route_that_somebody_emptied_gives_nothing_to_either(spec: dict[str, Any]) -> None:
    route = live(route_of(SetTraffic(stable=BLUE, attempt=1))) | {"spec": spec}
    seen = GatewayApi().observe(routed(), Cluster(route), {})
    assert seen is not None
    assert seen.shares == {BLUE: 0, GREEN: 0}


def test_a_weight_that_is_not_said_counts_as_one() -> None:
    route = live(route_of(SetTraffic(stable=BLUE, attempt=1)))
    route["spec"] = {"rules": [{"backendRefs": [{"name": "fraud-blue", "weight": 3}, {"name": "fraud-green"}]}]}
    seen = GatewayApi().observe(routed(), Cluster(route), {})
    assert seen is not None
    assert seen.shares == {BLUE: 75, GREEN: 25}


@given(stable=colours, weight=st.integers(0, 100))
def test_callers_who_ask_for_stable_get_it_at_every_weight(stable: Colour, weight: int) -> None:
    """By a rule of its own, which has one backend and so nothing to lose."""
    _, to_stable = route_of(SetTraffic(stable=stable, attempt=1, candidate=stable.other, weight=weight))["spec"][
        "rules"
    ]
    assert matched(to_stable) == ["x-model-variant: stable"]
    assert weights(to_stable) == {f"fraud-{stable}": WHOLE}
    assert variant(to_stable["backendRefs"][0]) == "stable"


def test_the_header_by_which_callers_ask_for_stable_can_be_another_one() -> None:
    traffic = SetTraffic(stable=BLUE, attempt=1)
    _, to_stable = route_of(traffic, stableHeader={"header": "X-Safe", "value": "yes"})["spec"]["rules"]
    assert matched(to_stable) == ["x-safe: yes"]


def test_who_is_let_in_gets_the_candidate_and_who_is_excluded_stable() -> None:
    traffic = SetTraffic(stable=BLUE, attempt=1, candidate=GREEN, weight=0, cohort=(INTERNAL, BETA), excluded=(BETA,))
    by_weight, to_stable, let_in = GatewayApi().render(ringed(), traffic)[0]["spec"]["rules"]
    assert matched(by_weight) == [""]
    assert matched(to_stable) == ["x-model-variant: stable", "x-ring: beta"], "before the rule of the cohorts"
    assert matched(let_in) == ["x-ring: internal", "x-ring: beta"]
    assert weights(let_in) == {"fraud-blue": 1, "fraud-green": WHOLE - 1}
    assert [variant(backend) for backend in let_in["backendRefs"]] == ["stable", "candidate"]


@pytest.mark.parametrize("weight", [0, 50, 100])
def test_a_rule_for_cohorts_is_known_to_the_proxy_before_and_after_anybody_is_let_in(weight: int) -> None:
    """It matches what the rule before it takes."""
    traffic = SetTraffic(stable=BLUE, attempt=1, candidate=GREEN, weight=weight)
    *_, to_stable, let_in = GatewayApi().render(ringed(), traffic)[0]["spec"]["rules"]
    assert let_in["matches"] == to_stable["matches"]
    assert weights(let_in) == {"fraud-blue": 1, "fraud-green": WHOLE - 1}


@pytest.mark.parametrize(
    ("model", "traffic"),
    [
        (ringed(), SetTraffic(stable=BLUE, attempt=1)),
        (routed(), SetTraffic(stable=BLUE, attempt=1, candidate=GREEN, weight=50)),
    ],
    ids=["nobody on trial", "no cohorts in the strategy"],
)
def test_there_is_no_rule_for_cohorts_without_need(model: Rollout, traffic: SetTraffic) -> None:
    assert len(GatewayApi().render(model, traffic)[0]["spec"]["rules"]) == 2


@given(
    stable=colours,
    cohort=st.sets(st.sampled_from([INTERNAL, BETA])),
    excluded=st.sets(st.sampled_from([INTERNAL, BETA])),
)
def test_who_is_let_in_and_who_is_excluded_is_read_back(
    stable: Colour, cohort: set[HeaderMatch], excluded: set[HeaderMatch]
) -> None:
    traffic = SetTraffic(
        stable=stable, attempt=1, candidate=stable.other, cohort=tuple(cohort), excluded=tuple(excluded)
    )
    seen = GatewayApi().observe(ringed(), Cluster(live(GatewayApi().render(ringed(), traffic)[0])), {})
    assert seen is not None
    assert seen.cohorts.get(stable.other, frozenset()) == cohort - excluded, "excluded ones get nothing"
    assert not seen.cohorts.get(stable)
    assert seen.excluded == excluded


def test_what_others_write_into_the_route_is_read_as_it_is() -> None:
    route = live(route_of(SetTraffic(stable=BLUE, attempt=1)))
    matches = [{"headers": [{"name": "X-Odd", "value": "ö\n"}, {"name": "y", "value": " "}]}]
    route["spec"]["rules"][1] = {"matches": matches}
    seen = GatewayApi().observe(routed(), Cluster(route), {})
    assert seen is not None
    assert {one.header for one in seen.excluded} == {"x-odd", "y"}
