"""Templates against the metrics that real servers gave after requests whose outcome is known."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from modelrollout.api.slo import BuiltInMetric, Slo
from modelrollout.api.spec import ServerKind
from modelrollout.api.status import Colour
from modelrollout.metrics.templates import FAILED, REQUESTS, TIMED, Arm, Template, load, template_for, within

FIXTURES = Path(__file__).parent / "fixtures"
NAMES = ["mlserver", "envoy-gateway"]

GREEN = Arm(namespace="ml", rollout="fraud", colour=Colour.GREEN, attempt=3)
BLUE = Arm(namespace="ml", rollout="fraud", colour=Colour.BLUE, attempt=2)

ERRORS = Slo(name="errors", metric=BuiltInMetric.ERROR_RATIO, limit="1%")


def latency(slower_than: str) -> Slo:
    return Slo(name="latency", metric=BuiltInMetric.LATENCY, slower_than=slower_than, limit="5%")


def page(fixture: str) -> Iterator[Sample]:
    """The samples of a page of metrics; without its comments, by which the parser would rename counters."""
    lines = (FIXTURES / fixture).read_text(encoding="utf-8").splitlines(keepends=True)
    text = "".join(line for line in lines if not line.startswith("#"))
    return (sample for family in text_string_to_metric_families(text) for sample in family.samples)


def counted(template: Template, fixture: str, **labels: str) -> dict[str, float]:
    """What the template counts in a page of metrics, of the series with these labels."""
    totals: dict[str, float] = defaultdict(float)
    for sample in page(fixture):
        if labels.items() <= sample.labels.items():
            for tally in template.tallies({"__name__": sample.name, **sample.labels}) or ():
                totals[tally] += sample.value
    return totals


def test_mlserver_counts_inferences_and_only_its_own_failures() -> None:
    """25 inference requests of which 5 were answered 500.

    The caller's mistakes (twice 400, twice 404 and a 422) are not failures; three GETs of metadata and readiness, and
    health probes, are no requests to the model.
    """
    totals = counted(load("mlserver"), "mlserver-1.7.1.txt")
    assert (totals[REQUESTS], totals[FAILED], totals[TIMED]) == (25, 5, 25)


def test_loading_a_model_is_no_request_to_it() -> None:
    """What a person or a controller does through MLServer's repository API."""
    load_a_model = {
        "__name__": "rest_server_requests_total",
        "method": "POST",
        "path": "/v2/repository/models/{model_name}/load",
        "status_code": "500",
    }
    assert load("mlserver").tallies(load_a_model) == frozenset()


def test_mlserver_counts_slow_requests_at_a_bucket_edge() -> None:
    """Two requests slept for 0.6 s; the first one of a kind takes long as well, but not half a second."""
    totals = counted(load("mlserver"), "mlserver-1.7.1.txt")
    assert totals[TIMED] - totals[within(0.5)] == 2
    assert totals[within(0.75)] == totals[TIMED]


def test_envoy_counts_final_answers_of_each_backend() -> None:
    """Ten requests to the first backend: 500, 500 and a 504 after a time-out failed, a 404 did not.

    Two to the second, of which one failed after two retries, which are no requests of their own. One that no host was
    there for: a 503.
    """
    template = load("envoy-gateway")
    cluster = "httproute/ml/fraud/rule/0/backend/{}".format
    blue = counted(template, "envoy-1.40.txt", envoy_cluster_name=cluster(0))
    green = counted(template, "envoy-1.40.txt", envoy_cluster_name=cluster(1))
    lost = counted(template, "envoy-1.40.txt", envoy_cluster_name="httproute/ml/none/rule/0/backend/1")
    assert [(counts[REQUESTS], counts[FAILED]) for counts in (blue, green, lost)] == [(10, 3), (2, 1), (1, 1)]


def test_envoy_counts_slow_requests_at_a_bucket_edge() -> None:
    """One of the nine that were answered slept for 0.3 s; the one that timed out has no duration."""
    totals = counted(load("envoy-gateway"), "envoy-1.40.txt", envoy_cluster_name="httproute/ml/fraud/rule/0/backend/0")
    assert (totals[TIMED], totals[TIMED] - totals[within(250)], totals[TIMED] - totals[within(500)]) == (9, 1, 0)


@pytest.mark.parametrize(("name", "fixture"), [("mlserver", "mlserver-1.7.1.txt"), ("envoy-gateway", "envoy-1.40.txt")])
def test_edges_are_those_of_the_server(name: str, fixture: str) -> None:
    template = load(name)
    bucket = f"{template.durations.histogram}_bucket"
    found = {float(sample.labels["le"]) for sample in page(fixture) if sample.name == bucket}
    assert found == {*template.durations.edges, float("inf")}


@pytest.mark.parametrize("name", NAMES)
def test_every_series_that_a_tally_needs_is_asked_for(name: str) -> None:
    template = load(name)
    edge = template.durations.edges[3]
    asked = template.series_names({REQUESTS, FAILED, TIMED, within(edge)})
    assert {template.requests.series, template.failed.series} < asked
    assert {f"{template.durations.histogram}_count", f"{template.durations.histogram}_bucket"} < asked
    assert template.requests.series in template.series_names({TIMED})


def test_thresholds_are_matched_with_edges_across_units() -> None:
    assert load("mlserver").wanted(latency("250ms")) == {TIMED, within(0.25)}
    assert load("mlserver").wanted(latency("1s")) == {TIMED, within(1)}
    assert load("envoy-gateway").wanted(latency("250ms")) == {TIMED, within(250)}
    assert load("envoy-gateway").wanted(latency("1h")) == {TIMED, within(3_600_000)}


@pytest.mark.parametrize(
    ("name", "slower_than", "nearest"),
    [
        ("mlserver", "120ms", ["100ms", "250ms"]),
        ("mlserver", "1ms", ["5ms"]),
        ("mlserver", "11s", ["10s"]),
        ("mlserver", "2s", ["1s", "2500ms"]),
        ("envoy-gateway", "120ms", ["100ms", "250ms"]),
        ("envoy-gateway", "2h", ["3600s"]),
    ],
)
def test_a_threshold_between_edges_counts_nothing_and_has_neighbours(
    name: str, slower_than: str, nearest: list[str]
) -> None:
    template = load(name)
    assert template.wanted(latency(slower_than)) == frozenset()
    assert template.durations.nearest(slower_than) == nearest
    assert all(template.wanted(latency(edge)) for edge in nearest)


def test_edges_are_asked_for_in_every_spelling() -> None:
    assert load("mlserver").edge_labels({within(1)}) == {"1", "1.0"}
    assert load("envoy-gateway").edge_labels({within(3_600_000)}) == {"3600000", "3600000.0", "3.6e+06"}


def test_pods_are_known_by_the_labels_that_the_scrape_configuration_carries_over() -> None:
    attribution = load("mlserver").attribution
    carried = {
        "namespace": "ml",
        "modelrollout_io_name": "fraud",
        "modelrollout_io_colour": "green",
        "modelrollout_io_attempt": "3",
    }
    (green,) = attribution.keys(GREEN)
    assert attribution.key_in(carried) == green
    assert attribution.key_in(carried | {"modelrollout_io_attempt": "2"}) != green
    assert attribution.key_in({"namespace": "ml"}) != green


def test_backends_of_a_route_are_known_by_their_constant_order_in_the_rules_that_lead_to_both() -> None:
    attribution = load("envoy-gateway").attribution
    cluster = "httproute/ml/fraud/rule/{}/backend/{}".format
    assert attribution.keys(BLUE) == ((cluster(0, 0),), (cluster(2, 0),))
    assert attribution.keys(GREEN) == ((cluster(0, 1),), (cluster(2, 1),))
    assert attribution.key_in({"envoy_cluster_name": cluster(2, 1)}) in attribution.keys(GREEN)
    assert attribution.key_in({"envoy_cluster_name": cluster(1, 0)}) not in attribution.keys(BLUE)


@pytest.mark.parametrize(
    ("source", "server", "name"),
    [
        (None, ServerKind.MLSERVER, "mlserver"),
        (None, None, "envoy-gateway"),
        ("Server", ServerKind.MLSERVER, "mlserver"),
        ("Gateway", ServerKind.MLSERVER, "envoy-gateway"),
        ("Gateway", None, "envoy-gateway"),
    ],
)
def test_the_server_comes_before_the_gateway_unless_said_otherwise(
    source: str | None, server: ServerKind | None, name: str
) -> None:
    slo = Slo.model_validate({"name": "errors", "metric": "error-ratio", "limit": "1%", "source": source})
    assert template_for(slo, server).name == name


def test_there_is_a_template_for_every_server() -> None:
    assert {load(server.value).name for server in ServerKind} == {server.value for server in ServerKind}
