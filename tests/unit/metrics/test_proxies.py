"""Templates of proxies against what their documentation or source says that they expose."""

import re
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta

import promql_parser
import pytest
from prometheus_client.parser import text_string_to_metric_families

from modelrollout.api.slo import BuiltInMetric, Slo
from modelrollout.api.status import Colour
from modelrollout.metrics import proxies
from modelrollout.metrics.batch import Feed, questions
from modelrollout.metrics.exposed import NotFound
from modelrollout.metrics.prometheus import RawSeries
from modelrollout.metrics.templates import Arm, ArmKey, Template, load
from modelrollout.metrics.watched import Target
from unit.metrics.meters import durations, ratio
from unit.metrics.test_poller import ERRORS, FRAUD, START, Bench, target

ENVOY = """
envoy_cluster_upstream_rq_completed{envoy_cluster_name="CLUSTER"} 100
envoy_cluster_upstream_rq_xx{envoy_response_code_class="2",envoy_cluster_name="CLUSTER"} 93
envoy_cluster_upstream_rq_xx{envoy_response_code_class="4",envoy_cluster_name="CLUSTER"} 2
envoy_cluster_upstream_rq_xx{envoy_response_code_class="5",envoy_cluster_name="CLUSTER"} 5
envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="CLUSTER",le="250"} 90
envoy_cluster_upstream_rq_time_count{envoy_cluster_name="CLUSTER"} 99
"""

_ISTIO_TO = 'destination_service_namespace="ml",destination_service_name="SERVICE"'
ISTIO = f"""
istio_requests_total{{reporter="source",{_ISTIO_TO},response_code="200",grpc_response_status=""}} 80
istio_requests_total{{reporter="source",{_ISTIO_TO},response_code="404",grpc_response_status=""}} 2
istio_requests_total{{reporter="source",{_ISTIO_TO},response_code="503",grpc_response_status=""}} 3
istio_requests_total{{reporter="source",{_ISTIO_TO},response_code="0",grpc_response_status=""}} 40
istio_requests_total{{reporter="source",{_ISTIO_TO},response_code="200",grpc_response_status="5"}} 1
istio_requests_total{{reporter="waypoint",{_ISTIO_TO},response_code="200",grpc_response_status="14"}} 2
istio_requests_total{{reporter="waypoint",{_ISTIO_TO},response_code="200",grpc_response_status="0"}} 12
istio_requests_total{{reporter="destination",{_ISTIO_TO},response_code="500",grpc_response_status=""}} 900
istio_request_duration_milliseconds_bucket{{reporter="source",{_ISTIO_TO},response_code="200",le="250"}} 90
istio_request_duration_milliseconds_count{{reporter="source",{_ISTIO_TO},response_code="200"}} 99
istio_request_duration_milliseconds_count{{reporter="source",{_ISTIO_TO},response_code="0"}} 40
istio_request_duration_milliseconds_count{{reporter="destination",{_ISTIO_TO},response_code="200"}} 900
"""

_LINKERD_TO = (
    'parent_kind="Service",parent_namespace="ml",parent_name="fraud",route_group="gateway.networking.k8s.io",'
    'route_kind="HTTPRoute",route_namespace="ml",route_name="fraud",backend_kind="Service",backend_namespace="ml",'
    'backend_name="SERVICE",backend_port="80"'
)
LINKERD = f"""
outbound_http_route_backend_response_statuses_total{{{_LINKERD_TO},http_status="200",error=""}} 90
outbound_http_route_backend_response_statuses_total{{{_LINKERD_TO},http_status="404",error=""}} 2
outbound_http_route_backend_response_statuses_total{{{_LINKERD_TO},http_status="200",error="UNKNOWN"}} 3
outbound_http_route_backend_response_statuses_total{{{_LINKERD_TO},http_status="503",error=""}} 1
outbound_http_route_backend_response_statuses_total{{{_LINKERD_TO},http_status="",error="UNKNOWN"}} 1
outbound_http_route_backend_response_statuses_total{{{_LINKERD_TO},http_status="",error="FAIL_FAST"}} 1
outbound_http_route_backend_response_statuses_total{{{_LINKERD_TO},http_status="",error="RESPONSE_HEADERS_TIMEOUT"}} 1
outbound_http_route_backend_response_statuses_total{{{_LINKERD_TO},http_status="200",error="RESET"}} 1
outbound_http_route_backend_response_statuses_total{{{_LINKERD_TO},http_status="",error="CANCEL"}} 40
outbound_http_route_backend_response_duration_seconds_bucket{{le="0.25",{_LINKERD_TO}}} 90
outbound_http_route_backend_response_duration_seconds_count{{{_LINKERD_TO}}} 99
"""

TRAEFIK = """
traefik_service_requests_total{code="200",method="POST",protocol="http",service="SERVICE@kubernetesgateway"} 90
traefik_service_requests_total{code="404",method="POST",protocol="http",service="SERVICE@kubernetesgateway"} 2
traefik_service_requests_total{code="502",method="POST",protocol="http",service="SERVICE@kubernetesgateway"} 3
traefik_service_requests_total{code="499",method="POST",protocol="http",service="SERVICE@kubernetesgateway"} 40
traefik_service_requests_total{code="0",method="POST",protocol="grpc",service="SERVICE@kubernetesgateway"} 3
traefik_service_requests_total{code="14",method="POST",protocol="grpc",service="SERVICE@kubernetesgateway"} 2
traefik_service_request_duration_seconds_bucket{code="200",service="SERVICE@kubernetesgateway",le="0.3"} 90
traefik_service_request_duration_seconds_count{code="200",service="SERVICE@kubernetesgateway"} 99
traefik_service_request_duration_seconds_count{code="499",service="SERVICE@kubernetesgateway"} 40
"""

_HASH = "1c0cf64bde37d9d0df06"
_RULE = f"httproute-ml-fraud-gw-infra-public-ep-web-{{}}-{_HASH}-svc-ml-fraud-{{}}-{{}}".format
_HUNDRED_OF_WHICH_FIVE_FAILED = [
    ("contour", ENVOY.replace("CLUSTER", "ml_fraud-green_80")),
    ("kgateway", ENVOY.replace("CLUSTER", "kube_ml_fraud-green_80")),
    ("istio", ISTIO.replace("SERVICE", "fraud-green")),
    ("linkerd", LINKERD.replace("SERVICE", "fraud-green")),
    ("traefik", TRAEFIK.replace("SERVICE", "ml-fraud-green-http-80")),
    ("traefik", TRAEFIK.replace("SERVICE", _RULE(0, "green", 1))),
    ("traefik", TRAEFIK.replace("SERVICE", _RULE(2, "green", 1))),
]

GREEN = Arm(namespace="ml", rollout="fraud", colour=Colour.GREEN, attempt=3)
BLUE = Arm(namespace="ml", rollout="fraud", colour=Colour.BLUE, attempt=2)
SLOW = Slo(name="slow", metric=BuiltInMetric.LATENCY, slower_than="100ms", limit="1%", min_samples=1)

Labels = dict[str, str]


def series(text: str) -> list[tuple[Labels, float]]:
    return [
        ({"__name__": sample.name, **sample.labels}, sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]


def counted(template: Template, text: str) -> Mapping[ArmKey, Mapping[str, float]]:
    """What is counted in a page of metrics, by arm and tally."""
    totals: dict[ArmKey, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for labels, value in series(text):
        for tally in template.tallies(labels):
            totals[template.attribution.key_in(labels)][tally] += value
    return totals


def is_asked_for(template: Template, labels: Labels, *arms: Arm) -> bool:
    """Whether a series is one that the question for these arms selects."""
    wanted = frozenset().union(*(template.wanted(slo) for slo in (ERRORS, SLOW)))
    feeds = [Feed(template=template, arm=arm, wanted=wanted, since=0, window=120) for arm in arms]
    (question,) = questions(feeds, now=60)
    selector = promql_parser.parse(question.promql)
    assert isinstance(selector, promql_parser.MatrixSelector)
    matchers = [one for one in selector.vector_selector.matchers.matchers if one.name != "le"]
    return all(re.fullmatch(one.value, labels.get(one.name, "")) for one in matchers)


@pytest.mark.parametrize(("name", "text"), _HUNDRED_OF_WHICH_FIVE_FAILED)
def test_what_the_route_takes_the_blame_for_has_failed(name: str, text: str) -> None:
    """Of a hundred requests five failed; a 404 did not, and callers who leave have not been answered."""
    (green,) = load(name).attribution.keys(GREEN)
    everything = counted(load(name), text)
    assert list(everything) == [green]
    assert (everything[green][ratio(name).everything], everything[green][ratio(name).bad]) == (100, 5)


@pytest.mark.parametrize(("name", "text"), _HUNDRED_OF_WHICH_FIVE_FAILED)
def test_what_is_slow_is_counted_at_a_bucket_edge(name: str, text: str) -> None:
    (green,) = load(name).attribution.keys(GREEN)
    totals = counted(load(name), text)[green]
    edge = {"ms": 250, "s": 0.25}[durations(name).unit] if name != "traefik" else 0.3
    assert (totals[durations(name).everything], totals[durations(name).within(edge)]) == (99, 90)


@pytest.mark.parametrize(("name", "text"), _HUNDRED_OF_WHICH_FIVE_FAILED)
def test_colours_namespaces_and_rollouts_are_told_apart(name: str, text: str) -> None:
    template = load(name)
    (green,), (blue,) = template.attribution.keys(GREEN), template.attribution.keys(BLUE)
    others = [("fraud-green", "fraud-blue"), ("ml", "search"), ("fraud", "afraud"), ("fraud", "fraud-green")]
    of_blue = {template.attribution.key_in(labels) for labels, _ in series(text.replace(*others[0]))}
    assert of_blue == {blue}
    for ours, theirs in others:
        for labels, _ in series(text.replace(ours, theirs)):
            assert template.attribution.key_in(labels) != green, labels
            assert not is_asked_for(template, labels, GREEN)


@pytest.mark.parametrize(("name", "text"), _HUNDRED_OF_WHICH_FIVE_FAILED)
def test_what_counts_is_asked_for_in_one_question_for_all_rollouts(name: str, text: str) -> None:
    template = load(name)
    many = [Arm(namespace="search", rollout=f"r{number}", colour=Colour.BLUE, attempt=1) for number in range(100)]
    for labels, _ in series(text):
        if template.tallies(labels):
            assert is_asked_for(template, labels, GREEN, BLUE, *many)


def test_those_whom_traefik_sends_to_stable_by_a_header_are_left_out_where_it_tells_rules_apart() -> None:
    traefik = load("traefik")
    (blue,) = traefik.attribution.keys(BLUE)
    for rule, counts in ((0, True), (1, False), (2, True)):
        service = f"{_RULE(rule, 'blue', 0)}@kubernetesgateway"
        labels = {"__name__": "traefik_service_requests_total", "service": service}
        assert (traefik.attribution.key_in(labels) == blue) is counts
        assert is_asked_for(traefik, labels, BLUE) is counts


@pytest.mark.parametrize(
    ("controllers", "name"),
    [
        ({"gateway.envoyproxy.io/gatewayclass-controller"}, "envoy-gateway"),
        ({"gateway.envoyproxy.io/eu"}, "envoy-gateway"),
        ({"istio.io/gateway-controller", "istio.io/mesh-controller"}, "istio"),
        ({"traefik.io/gateway-controller"}, "traefik"),
        ({"linkerd.io/policy-controller"}, "linkerd"),
        ({"projectcontour.io/gateway-controller"}, "contour"),
        ({"kgateway.dev/kgateway"}, "kgateway"),
        ({"kgateway.dev/agentgateway"}, None),
        ({"gateway.nginx.org/nginx-gateway-controller"}, None),
        ({"istio.io/gateway-controller", "traefik.io/gateway-controller"}, None),
        ({"istio.io/gateway-controller", "example.com/nobody"}, None),
        (set(), None),
    ],
)
def test_proxies_are_known_by_the_controllers_that_set_them_up(controllers: set[str], name: str | None) -> None:
    found = proxies.find(frozenset(controllers))
    assert isinstance(found, NotFound) if name is None else found == load(name)


def test_every_proxy_tells_errors_and_latency() -> None:
    """The API refuses what no proxy tells; so it must not be that only some do."""
    for proxy in proxies.known():
        assert set(proxy.metrics) == {BuiltInMetric.ERROR_RATIO, BuiltInMetric.LATENCY}


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with Bench().polling() as bench:
        bench.now = START + timedelta(seconds=31)
        yield bench


def served_by(*controllers: str) -> Target:
    return Target(watch=target().watch, slos=(ERRORS,), controllers=frozenset(controllers))


def istio(code: str, *values: int) -> RawSeries:
    labels = {
        "__name__": "istio_requests_total",
        "instance": "10.0.0.9:15020",
        "reporter": "source",
        "destination_service_namespace": "ml",
        "destination_service_name": "fraud-green",
        "response_code": code,
    }
    return RawSeries(labels, [(START.timestamp() + 15 * step, str(value)) for step, value in enumerate(values)])


async def test_a_rollout_is_judged_by_what_its_own_proxies_count(bench: Bench) -> None:
    bench.source.series = [istio("200", 0, 90, 180), istio("503", 0, 10, 20)]
    bench.poller.watch(FRAUD, served_by("istio.io/gateway-controller"))
    await bench.until(lambda: bench.reasons() == {"errors": "AboveLimit"}, "AboveLimit")
    assert bench.told[-1][1].by_slo["errors"].message.startswith("20 of 200 requests failed")


async def test_nothing_is_read_off_proxies_that_nobody_knows_until_somebody_says_whose_they_are(bench: Bench) -> None:
    bench.source.series = [istio("200", 0, 90, 180), istio("503", 0, 10, 20)]
    bench.poller.watch(FRAUD, served_by())
    await bench.until(lambda: bench.reasons() == {"errors": "NoData"}, "NoData")
    assert "nobody knows whose proxies count" in bench.told[-1][1].by_slo["errors"].message
    bench.poller.watch(FRAUD, served_by("istio.io/gateway-controller"))
    await bench.until(lambda: bench.reasons() == {"errors": "AboveLimit"}, "AboveLimit")


async def test_a_backend_without_series_is_told_as_a_selector(bench: Bench) -> None:
    bench.poller.watch(FRAUD, served_by("istio.io/gateway-controller"))
    await bench.until(lambda: bench.reasons() == {"errors": "NoData"}, "NoData")
    message = bench.told[-1][1].by_slo["errors"].message
    assert 'destination_service_namespace=~"ml",destination_service_name=~"fraud-green"' in message
