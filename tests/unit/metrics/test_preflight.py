"""What a preflight finds wrong, over a source of the test's own making; the real Prometheus has tests of its own."""

from datetime import timedelta
from typing import Any

import promql_parser
import pytest

from modelrollout.api.scrapes import DirectScrapes
from modelrollout.api.slo import Baseline, BuiltInMetric, MetricSource, Query, Slo
from modelrollout.api.spec import ModelRolloutSpec
from modelrollout.api.status import Colour
from modelrollout.metrics.preflight import check
from modelrollout.metrics.prometheus import ManySeries, NoData, NotANumber, QueryError, Single, Unavailable, Value
from modelrollout.metrics.queries import Scope
from unit.metrics.fake_source import FakeSource

SCOPE = Scope(namespace="ml", rollout="fraud", stable=Colour.BLUE, candidate=Colour.GREEN)
SERVED_LONG = timedelta(hours=1)
ERRORS = Slo(name="errors", metric=BuiltInMetric.ERROR_RATIO, limit="1%")
ENVOY = "gateway.envoyproxy.io/gatewayclass-controller"
BETWEEN_EDGES = Slo(name="latency", metric=BuiltInMetric.LATENCY, slower_than="120ms", limit="1%")


def query(promql: str) -> Slo:
    return Slo(name="drift", query=Query(value=promql), limit="0.3")


def spec(*slos: Slo, server: str | None = "mlserver") -> ModelRolloutSpec:
    given: dict[str, Any] = {
        "model": {"version": "2"},
        "template": {"spec": {"containers": [{"name": "server", "image": "scorer"}]}},
        "traffic": {"gatewayAPI": {"parentRefs": [{"name": "public"}]}},
        "slos": [slo.to_wire() for slo in slos],
    }
    return ModelRolloutSpec.model_validate(given | ({"server": server} if server else {}))


async def found(
    source: FakeSource | None, given: ModelRolloutSpec, served: timedelta = SERVED_LONG, *, controllers: str = ENVOY
) -> dict[str, str]:
    """Messages of the obstacles by reason."""
    obstacles = await check(source, given, SCOPE, serving_for=served, controllers=frozenset(controllers.split()))
    assert all(obstacle.condition == "MetricsReady" for obstacle in obstacles)
    return {obstacle.reason: obstacle.message for obstacle in obstacles}


async def test_without_slos_nothing_is_asked() -> None:
    source = FakeSource()
    assert await found(source, spec()) == {}
    assert await found(None, spec()) == {}
    assert source.asked == []


async def test_slos_need_a_prometheus() -> None:
    messages = await found(None, spec(ERRORS, BETWEEN_EDGES, query("max(drift")))
    assert list(messages) == ["PrometheusNotConfigured", "ThresholdNotOnBucketEdge", "QueryInvalid"]
    assert "--prometheus-url" in messages["PrometheusNotConfigured"]


async def test_pods_of_which_nobody_can_tell_where_they_are_to_be_scraped() -> None:
    """The template may come from a Deployment that spec.workloadRef names, which nobody has checked before."""
    source, scraped = FakeSource(), spec(ERRORS).model_copy(update={"direct_scrapes": DirectScrapes()})
    words = "spec.directScrapes: the pods have no port named metrics, but none with a name"
    assert words in (await found(source, scraped))["ScrapePortUnknown"]
    assert words in (await found(None, scraped))["ScrapePortUnknown"]
    numbered = scraped.model_copy(update={"direct_scrapes": DirectScrapes(port=8082)})
    assert "ScrapePortUnknown" not in await found(source, numbered)


async def test_a_name_that_no_prometheus_has_is_told_with_those_there_are() -> None:
    named = spec(ERRORS).model_copy(update={"prometheus": "uk"})
    (obstacle,) = await check(None, named, SCOPE, serving_for=SERVED_LONG, known=("default", "eu"))
    assert (obstacle.condition, obstacle.reason) == ("MetricsReady", "PrometheusUnknown")
    assert obstacle.message == "spec.prometheus: the operator knows no Prometheus named uk; it knows default, eu"
    (obstacle,) = await check(None, spec(ERRORS), SCOPE, serving_for=SERVED_LONG, known=("eu", "us"))
    assert obstacle.reason == "PrometheusNotConfigured"
    assert "set spec.prometheus to one of eu, us" in obstacle.message


async def test_prometheus_that_does_not_answer_is_named_once() -> None:
    source = FakeSource()
    source.down = True
    messages = await found(source, spec(ERRORS, query("max(drift)")))
    assert messages == {"PrometheusUnavailable": "it is down"}


async def test_a_threshold_between_edges_names_its_neighbours() -> None:
    source = FakeSource()
    source.values = lambda _: Value(1)
    messages = await found(source, spec(BETWEEN_EDGES))
    assert "100ms or 250ms" in messages["ThresholdNotOnBucketEdge"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Value(0.1), None),
        (NotANumber(float("nan")), None),
        (ManySeries(3), "QueryInvalid"),
        (QueryError("1:4: parse error: no"), "QueryInvalid"),
        (NoData(), "MetricNotFound"),
    ],
)
async def test_what_a_free_query_answers(answer: Single, reason: str | None) -> None:
    source = FakeSource()
    source.values = lambda _: answer
    source.known = frozenset({"drift_score", "other"})
    assert list(await found(source, spec(query("max(drift_scores)")))) == ([reason] if reason else [])


async def test_what_is_compared_with_stable_is_asked_for_stable() -> None:
    """Of the candidate there is nothing yet, which would hide what is wrong."""
    source = FakeSource()
    source.values = lambda promql: ManySeries(3) if "blue" in promql else NoData()
    compared = Slo(name="mae", query=Query(value='mae{colour="$arm"}'), baseline=Baseline(max_increase="5%"))
    assert "it yields 3 series" in (await found(source, spec(compared)))["QueryInvalid"]


@pytest.mark.parametrize(
    ("promql", "known"),
    [
        ("max(drift)", {"drift"}),
        ("rate(drift_total[5m])", {"drift"}),
        ("sum(rate(drift_bucket{le='1'}[5m]))", {"drift"}),
        ("max({__name__='drift'})", {"drift"}),
        ("max({__name__=~'drift.*'})", set()),
        ("drift / on() drift_count", {"drift"}),
    ],
)
async def test_a_metric_that_exists_may_have_no_traffic_yet(promql: str, known: set[str]) -> None:
    """Its name may come from its metadata, which is without the endings of the series."""
    source = FakeSource()
    source.known = frozenset(known)
    assert await found(source, spec(query(promql))) == {}


@pytest.mark.parametrize(
    "promql", ["max(drft)", "max({__name__='drft'})", "drift / on() drft", "rate(drft[5m] offset 1m)"]
)
async def test_a_metric_that_exists_nowhere_is_told_with_the_nearest(promql: str) -> None:
    source = FakeSource()
    source.known = frozenset({"drift", "up"})
    messages = await found(source, spec(query(promql)))
    assert messages["MetricNotFound"] == 'slo "drift": Prometheus knows no metric named drft; did you mean drift?'


async def test_the_age_of_what_a_query_asks_for_has_to_be_known() -> None:
    source = FakeSource()
    source.values = lambda promql: QueryError("the same labelset") if "timestamp" in promql else Value(0.1)
    messages = await found(source, spec(query("max({__name__=~'drift.*'})")))
    assert "how old its samples are cannot be told: the same labelset" in messages["QueryInvalid"]


async def test_names_that_cannot_be_had_are_no_obstacle() -> None:
    """Not everything that speaks Prometheus's API has metadata."""
    source = FakeSource()
    source.known = Unavailable("it answers 404 Not Found")
    assert await found(source, spec(query("max(drift)"))) == {}


MLSERVER = {"up", "rest_server_requests_total", "rest_server_request_duration_seconds_count"}
FIRST = Slo(name="first", metric=BuiltInMetric.TIME_TO_FIRST_TOKEN, slower_than="500ms", limit="1%")


def scraping(*exposed: str, edges: tuple[str, ...] = ()) -> FakeSource:
    """A Prometheus that scrapes pods which expose these series, and knows no other metrics."""
    source = FakeSource()
    source.values = lambda _: Value(1)
    source.exposed, source.known, source.edges = set(exposed), frozenset(exposed), set(edges)
    return source


@pytest.mark.parametrize("edges", [("0.05", "0.12", "1.0", "+Inf"), ("0.12",)])
async def test_edges_that_the_pods_show_count_instead_of_the_usual_ones(edges: tuple[str, ...]) -> None:
    assert await found(scraping(*MLSERVER, edges=edges), spec(BETWEEN_EDGES)) == {}


async def test_a_usual_edge_that_the_pods_do_not_show_is_none() -> None:
    usual = BETWEEN_EDGES.model_copy(update={"slower_than": "100ms"})
    messages = await found(scraping(*MLSERVER, edges=("0.05", "0.12", "+Inf")), spec(usual))
    assert messages["ThresholdNotOnBucketEdge"].endswith("the nearest edges are 50ms or 120ms")


async def test_edges_are_those_of_the_rollout() -> None:
    source = scraping(*MLSERVER, edges=("0.12",))
    await found(source, spec(BETWEEN_EDGES))
    assert source.asked[-1] == (
        'group by (le) (last_over_time({__name__="rest_server_request_duration_seconds_bucket",namespace="ml",'
        'modelrollout_io_name="fraud"}[1m]))[5s:5s]'
    )


async def test_the_gateway_may_have_other_edges_too() -> None:
    source = scraping(edges=("120.0", "+Inf"))
    assert await found(source, spec(BETWEEN_EDGES, server=None)) == {}


async def test_pods_that_are_another_server_are_told_by_their_series() -> None:
    source = scraping(*MLSERVER)
    messages = await found(source, spec(FIRST, server="vllm"), timedelta(seconds=10))
    assert list(messages) == ["ServerNotFound"]
    assert "expose none of vllm:num_requests_running" in messages["ServerNotFound"]
    assert messages["ServerNotFound"].endswith("by their series they are mlserver: correct spec.server")


async def test_a_histogram_that_is_missing_where_requests_are_counted_is_told_with_the_nearest() -> None:
    """Triton has it when it was started with histogram_latencies=true."""
    source = scraping("nv_inference_request_success", "nv_inference_first_response_summary_ms_count")
    messages = await found(source, spec(FIRST, server="triton"))
    assert messages["MetricNotFound"] == (
        'slo "first": the pods expose no series named nv_inference_first_response_histogram_ms_count; '
        "did you mean nv_inference_first_response_summary_ms_count?"
    )
    (asked,) = (question for question in source.asked if "nv_inference_request_failure" in question)
    assert asked == (
        'count(nv_inference_request_success{namespace="ml",modelrollout_io_name="fraud"} > 0 or '
        'nv_inference_request_failure{reason!~"CANCELED",namespace="ml",modelrollout_io_name="fraud"} > 0)'
    )
    promql_parser.parse(asked)
    source.exposed.add("nv_inference_first_response_histogram_ms_count")
    assert await found(source, spec(FIRST, server="triton")) == {}


async def test_series_that_come_with_the_first_request_are_waited_for() -> None:
    """As long as Prometheus knows such servers, or cannot tell."""
    source = scraping("up", "process_cpu_seconds_total")
    assert list(await found(source, spec(ERRORS))) == ["MetricNotFound"]
    assert await found(source, spec(ERRORS), timedelta(seconds=10)) == {}
    source.known = frozenset({"rest_server_requests"})
    source.values = lambda promql: NoData() if "> 0" in promql else Value(1)
    assert await found(source, spec(ERRORS)) == {}
    source.known = Unavailable("it answers 404 Not Found")
    assert await found(source, spec(ERRORS)) == {}


async def test_probes_are_no_requests_after_which_a_metric_could_be_missed() -> None:
    """SGLang counts every answer from its start, and has no time to a first token before there is one."""
    source = scraping("sglang:num_running_reqs", "sglang:http_responses_total")
    first = FIRST.model_copy(update={"slower_than": "600ms"})
    assert list(await found(source, spec(first, server="sglang"))) == ["MetricNotFound"]
    source.values = lambda promql: NoData() if "endpoint=~" in promql else Value(1)
    assert await found(source, spec(first, server="sglang")) == {}


async def test_a_server_is_found_by_itself_when_it_is_the_only_one() -> None:
    auto = spec(ERRORS, BETWEEN_EDGES, server="auto")
    assert list(await found(scraping(*MLSERVER), auto)) == ["ThresholdNotOnBucketEdge"]
    assert await found(scraping(*MLSERVER, edges=("0.12",)), auto) == {}


async def test_of_two_servers_one_has_to_be_named() -> None:
    source = scraping(*MLSERVER, "vllm:num_requests_waiting")
    messages = await found(source, spec(ERRORS, server="auto"), timedelta(seconds=10))
    assert messages == {
        "ServerNotFound": "the pods expose series of mlserver and vllm: name one of them as spec.server"
    }


async def test_when_no_server_is_found_what_was_looked_for_is_said() -> None:
    source = scraping("up", "my_requests_total")
    auto = spec(ERRORS, server="auto")
    assert await found(source, auto, timedelta(seconds=10)) == {}
    (message,) = (await found(source, auto)).values()
    assert "rest_server_requests_total" in message
    assert "vllm:num_requests_running" in message
    assert message.endswith("name the server as spec.server, or use source Gateway, or a query")


async def test_the_server_that_was_found_may_lack_the_metric() -> None:
    messages = await found(scraping("request_predict_seconds_count"), spec(ERRORS, server="auto"))
    assert messages["MetricNotFound"].startswith('slo "errors": metric error-ratio: kserve counts no failures')
    messages = await found(scraping(*MLSERVER), spec(FIRST, server="auto"))
    assert messages["MetricNotFound"] == (
        'slo "first": metric time-to-first-token: mlserver has error-ratio and latency; use one of them, or a query'
    )


async def test_the_gateway_needs_no_server_to_be_found() -> None:
    gateway = ERRORS.model_copy(update={"source": MetricSource.GATEWAY})
    source = scraping("my_requests_total")
    assert await found(source, spec(gateway, server="auto")) == {}
    assert not any("__name__" in question for question in source.asked)


async def test_the_gateway_is_asked_for_the_clusters_of_the_route() -> None:
    source = FakeSource()
    gateway = spec(ERRORS, server=None)
    assert await found(source, gateway, timedelta(seconds=10)) == {}
    message = (await found(source, gateway))["MetricNotFound"]
    assert message.startswith(
        "Prometheus has no series envoy_cluster_upstream_rq_completed with "
        'envoy_cluster_name=~"httproute/ml/fraud/rule/0/backend/0|httproute/ml/fraud/rule/0/backend/1|'
    )
    source.values = lambda _: Value(2)
    assert await found(source, gateway) == {}


ISTIO = "istio.io/gateway-controller"


@pytest.mark.parametrize("source", [FakeSource(), None], ids=["with Prometheus", "without"])
async def test_a_controller_whose_proxies_nobody_knows_is_told_with_those_that_are_known(
    source: FakeSource | None,
) -> None:
    gateway = spec(ERRORS, ERRORS.model_copy(update={"name": "again"}), server=None)
    messages = await found(source, gateway, timedelta(), controllers="example.com/nobody")
    message = messages["ProxyNotKnown"]
    assert message.startswith("what the proxies of example.com/nobody call their metrics is not known; known are ")
    assert "traefik (traefik.io/gateway-controller)" in message
    assert message.endswith("name the model server as spec.server, without source Gateway, or use a query")


async def test_of_two_kinds_of_proxies_neither_counts_everything() -> None:
    messages = await found(FakeSource(), spec(ERRORS, server=None), controllers=f"{ENVOY} {ISTIO}")
    assert messages["ProxyNotKnown"].startswith("the HTTPRoute is served by envoy-gateway and istio, of which each ")


async def test_a_controller_that_says_nothing_is_waited_for() -> None:
    gateway = spec(ERRORS, server=None)
    assert await found(FakeSource(), gateway, timedelta(seconds=10), controllers="") == {}
    assert list(await found(FakeSource(), gateway, controllers="")) == ["ProxyNotKnown"]


async def test_whose_proxies_there_are_does_not_matter_to_what_the_server_tells() -> None:
    assert await found(scraping(*MLSERVER), spec(ERRORS), controllers="example.com/nobody") == {}


async def test_proxies_that_count_from_the_first_request_on_are_missed_where_nobody_ever_had_one() -> None:
    """A stable version that nobody has asked anything since the proxy began has no series, and nothing is wrong."""
    source = FakeSource()
    gateway = spec(ERRORS, server=None)
    message = (await found(source, gateway, controllers=ISTIO))["MetricNotFound"]
    assert message == (
        "Prometheus has no series istio_requests_total with "
        'destination_service_namespace=~"ml",destination_service_name=~"fraud-blue|fraud-green": '
        "it does not scrape the proxies of istio, or the HTTPRoute is not in use there"
    )
    source.known = frozenset({"istio_requests_total"})
    assert await found(source, gateway, controllers=ISTIO) == {}


async def test_the_few_edges_of_a_proxy_are_told_before_any_traffic_moves() -> None:
    source = FakeSource()
    source.values = lambda _: Value(2)
    slow = BETWEEN_EDGES.model_copy(update={"slower_than": "500ms"})
    for prometheus in (source, None):
        messages = await found(prometheus, spec(slow, server=None), controllers="traefik.io/gateway-controller")
        assert messages["ThresholdNotOnBucketEdge"].endswith("the nearest edges are 300ms or 1200ms")
