"""What a preflight finds wrong, over a source of the test's own making; the real Prometheus has tests of its own."""

from datetime import timedelta
from typing import Any

import pytest

from modelrollout.api.slo import BuiltInMetric, Query, Slo
from modelrollout.api.spec import ModelRolloutSpec
from modelrollout.api.status import Colour
from modelrollout.metrics.preflight import check
from modelrollout.metrics.prometheus import ManySeries, NoData, NotANumber, QueryError, Single, Unavailable, Value
from modelrollout.metrics.queries import Scope
from unit.metrics.fake_source import FakeSource

SCOPE = Scope(namespace="ml", rollout="fraud", stable=Colour.BLUE, candidate=Colour.GREEN)
SERVED_LONG = timedelta(hours=1)
ERRORS = Slo(name="errors", metric=BuiltInMetric.ERROR_RATIO, limit="1%")
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


async def found(source: FakeSource | None, given: ModelRolloutSpec, served: timedelta = SERVED_LONG) -> dict[str, str]:
    """Messages of the obstacles by reason."""
    obstacles = await check(source, given, SCOPE, serving_for=served)
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


async def test_the_gateway_is_asked_for_the_clusters_of_the_route() -> None:
    source = FakeSource()
    gateway = spec(ERRORS, server=None)
    assert await found(source, gateway, timedelta(seconds=10)) == {}
    assert "httproute/ml/fraud/rule/[0-9]+/backend/" in (await found(source, gateway))["MetricNotFound"]
    source.values = lambda _: Value(2)
    assert await found(source, gateway) == {}
