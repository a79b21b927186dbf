"""Templates against the metrics that real servers gave after requests whose outcome is known."""

from collections import defaultdict
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import promql_parser
import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from modelrollout.api.slo import BuiltInMetric, Slo
from modelrollout.api.spec import ServerKind
from modelrollout.api.status import Colour
from modelrollout.metrics import proxies, templates
from modelrollout.metrics.batch import Feed, questions
from modelrollout.metrics.exposed import identify
from modelrollout.metrics.templates import Arm, Template, load, template_for
from unit.metrics.meters import durations, ratio

FIXTURES = Path(__file__).parent / "fixtures"
FOLDER = files(templates.__package__).joinpath("templates")
NAMES = sorted(path.name.removesuffix(".yaml") for path in FOLDER.iterdir())
READ_OFF = {
    "mlserver": "mlserver-1.7.1.txt",
    "envoy-gateway": "envoy-1.40.txt",
    "bentoml": "bentoml-1.4.40.txt",
    "kserve": "kserve-0.21.0.txt",
    "ray-serve": "ray-serve-2.60.0.txt",
}
"""What real servers exposed. The names of all others are parsed, and held against the table that their file has."""

GREEN = Arm(namespace="ml", rollout="fraud", colour=Colour.GREEN, attempt=3)
BLUE = Arm(namespace="ml", rollout="fraud", colour=Colour.BLUE, attempt=2)

ERRORS = Slo(name="errors", metric=BuiltInMetric.ERROR_RATIO, limit="1%")


def latency(slower_than: str) -> Slo:
    return Slo(name="latency", metric=BuiltInMetric.LATENCY, slower_than=slower_than, limit="5%")


def wanted(name: str, slo: Slo) -> frozenset[str]:
    return load(name).wanted(slo)


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
            for tally in template.tallies({"__name__": sample.name, **sample.labels}):
                totals[tally] += sample.value
    return totals


def requests(template: str, fixture: str, **labels: str) -> tuple[float, float]:
    """All requests and those that failed."""
    totals = counted(load(template), fixture, **labels)
    return totals[ratio(template).everything], totals[ratio(template).bad]


def timed(template: str, fixture: str, *edges: float, **labels: str) -> list[float]:
    """All that were timed, and those that took longer than each of these edges."""
    totals, histogram = counted(load(template), fixture, **labels), durations(template)
    everything = totals[histogram.everything]
    return [everything, *(everything - totals[histogram.within(edge)] for edge in edges)]


def test_mlserver_counts_inferences_and_only_its_own_failures() -> None:
    """25 inference requests of which 5 were answered 500.

    The caller's mistakes (twice 400, twice 404 and a 422) are not failures; three GETs of metadata and readiness, and
    health probes, are no requests to the model.
    """
    assert requests("mlserver", "mlserver-1.7.1.txt") == (25, 5)


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
    assert timed("mlserver", "mlserver-1.7.1.txt", 0.5, 0.75) == [25, 2, 0]


@pytest.mark.parametrize("name", ["bentoml", "ray-serve"])
def test_servers_count_inferences_and_only_their_own_failures(name: str) -> None:
    """21 requests: five were answered 500 and one, the caller's mistake, 4xx. Probes are none."""
    assert requests(name, READ_OFF[name]) == (21, 5)


@pytest.mark.parametrize(
    ("name", "edges", "slower"),
    [("bentoml", (0.5, 1), [3, 0]), ("kserve", (0.5, 0.75), [3, 0]), ("ray-serve", (500, 1000, 5000), [4, 1, 0])],
)
def test_servers_count_slow_requests_at_a_bucket_edge(name: str, edges: tuple[float, ...], slower: list[float]) -> None:
    """Three of 21 slept for 0.6 s, and Ray's first one waited for a replica as well."""
    assert timed(name, READ_OFF[name], *edges) == [21, *slower]


def test_envoy_counts_final_answers_of_each_backend() -> None:
    """Ten requests to the first backend: 500, 500 and a 504 after a time-out failed, a 404 did not.

    Two to the second, of which one failed after two retries, which are no requests of their own. One that no host was
    there for: a 503.
    """
    backends = ["fraud/rule/0/backend/0", "fraud/rule/0/backend/1", "none/rule/0/backend/1"]
    clusters = [f"httproute/ml/{backend}" for backend in backends]
    found = [requests("envoy-gateway", "envoy-1.40.txt", envoy_cluster_name=cluster) for cluster in clusters]
    assert found == [(10, 3), (2, 1), (1, 1)]


def test_envoy_counts_slow_requests_at_a_bucket_edge() -> None:
    """One of the nine that were answered slept for 0.3 s; the one that timed out has no duration."""
    cluster = "httproute/ml/fraud/rule/0/backend/0"
    assert timed("envoy-gateway", "envoy-1.40.txt", 250, 500, envoy_cluster_name=cluster) == [9, 1, 0]


@pytest.mark.parametrize(("name", "fixture"), READ_OFF.items())
def test_edges_are_those_of_the_server(name: str, fixture: str) -> None:
    histogram = durations(name)
    labels = {sample.labels["le"] for sample in page(fixture) if sample.name == f"{histogram.histogram}_bucket"}
    assert {float(label) for label in labels} == {*histogram.edges, float("inf")}
    assert labels - {"+Inf"} <= histogram.edge_labels({histogram.within(edge) for edge in histogram.edges})


@pytest.mark.parametrize(("name", "fixture"), [item for item in READ_OFF.items() if item[0] in set(ServerKind)])
def test_a_server_is_found_by_what_it_exposes(name: str, fixture: str) -> None:
    assert identify({sample.name for sample in page(fixture)}) == name


@pytest.mark.parametrize("name", [name for name in NAMES if name not in READ_OFF])
def test_what_was_not_read_off_a_server_is_listed_beside_its_source(name: str) -> None:
    """Names change unnoticed when nothing real holds them: so they are written down twice, and where they are from."""
    text = FOLDER.joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    table = [line for line in text.splitlines() if line.startswith("# |")]
    assert "not run here" in text
    for series in load(name).series_names({tally for slo in slos_of(name) for tally in wanted(name, slo)}) - {"up"}:
        family = series.removesuffix("_bucket").removesuffix("_count")
        assert any(family in line for line in table) or f"it was {family}" in text, f"{series} is not in the table"


def slos_of(name: str) -> list[Slo]:
    """One of each metric that a template has."""
    return [
        ERRORS if metric is BuiltInMetric.ERROR_RATIO else latency("100ms").model_copy(update={"metric": metric})
        for metric in load(name).metrics
    ]


@pytest.mark.parametrize("name", NAMES)
def test_every_series_that_a_tally_needs_is_asked_for_in_a_question_that_parses(name: str) -> None:
    template = load(name)
    for slo in slos_of(name):
        feed = Feed(template=template, arm=GREEN, wanted=template.wanted(slo), since=0, window=120)
        (question,) = questions([feed], now=60)
        assert isinstance(promql_parser.parse(question.promql), promql_parser.MatrixSelector)
        for meter in template.metrics[slo.metric or BuiltInMetric.ERROR_RATIO]:
            names = {pattern.partition("=~")[2].strip('"') for pattern in question.promql.split(",")[:1]}
            (asked,) = (set(name.split("|")) for name in names)
            assert meter.series_names(meter.wanted(slo)) | meter.proof | template.heartbeats <= asked


@pytest.mark.parametrize("name", [name for name in NAMES if BuiltInMetric.ERROR_RATIO in load(name).metrics])
def test_what_counts_is_selected_by_promql_that_parses(name: str) -> None:
    for counter in (*ratio(name).requests, *ratio(name).failed):
        selected = promql_parser.parse(counter.selector('namespace="ml"'))
        assert isinstance(selected, promql_parser.VectorSelector)
        values = {matcher.name: matcher.value for matcher in selected.matchers.matchers}
        assert values == {**counter.where, **counter.unless, "namespace": "ml"}


@pytest.mark.parametrize("name", NAMES)
def test_a_template_says_what_to_use_for_a_usual_metric_that_it_lacks(name: str) -> None:
    template = load(name)
    assert {BuiltInMetric.ERROR_RATIO, BuiltInMetric.LATENCY} <= template.metrics.keys() | template.instead.keys()


@pytest.mark.parametrize(
    ("name", "slower_than", "edge"),
    [
        ("mlserver", "250ms", 0.25),
        ("mlserver", "1s", 1),
        ("mlserver", "120ms", 0.12),
        ("envoy-gateway", "250ms", 250),
        ("envoy-gateway", "1h", 3_600_000),
        ("tensorflow-serving", "708ms", 708235),
        ("tgi", "499ms", 0.49878850951194753),
    ],
)
def test_thresholds_are_matched_with_edges_across_units_and_to_the_millisecond(
    name: str, slower_than: str, edge: float
) -> None:
    """One that is no edge stands for itself: the server may have been set up with it."""
    histogram = durations(name)
    assert wanted(name, latency(slower_than)) == {histogram.everything, histogram.within(edge)}


@pytest.mark.parametrize(
    ("name", "slower_than", "nearest"),
    [
        ("mlserver", "120ms", ["100ms", "250ms"]),
        ("mlserver", "1ms", ["5ms"]),
        ("mlserver", "11s", ["10s"]),
        ("mlserver", "2s", ["1s", "2500ms"]),
        ("envoy-gateway", "120ms", ["100ms", "250ms"]),
        ("envoy-gateway", "2h", ["3600s"]),
        ("tensorflow-serving", "500ms", ["393ms", "708ms"]),
        ("tgi", "500ms", ["499ms", "748ms"]),
    ],
)
def test_a_threshold_between_edges_has_neighbours(name: str, slower_than: str, nearest: list[str]) -> None:
    histogram = durations(name)
    assert histogram.nearest(slower_than, histogram.edges) == nearest
    assert all(histogram.edge(edge, histogram.edges) in histogram.edges for edge in nearest)


def test_edges_are_asked_for_in_every_spelling() -> None:
    def labels(name: str, edge: float) -> set[str]:
        return load(name).edge_labels({durations(name).within(edge)})

    assert labels("mlserver", 1) == {"1", "1.0"}
    assert labels("envoy-gateway", 3_600_000) == {"3600000", "3600000.0", "3.6e+06"}
    assert {"708235", "708235.0"} <= labels("tensorflow-serving", 708235)


def test_counters_add_up() -> None:
    """Triton counts successes and failures apart; a caller who left is neither."""
    model = {"model": "scorer", "version": "1"}
    counts = [
        {"__name__": "nv_inference_request_success", **model},
        {"__name__": "nv_inference_request_failure", "reason": "BACKEND", **model},
        {"__name__": "nv_inference_request_failure", "reason": "CANCELED", **model},
    ]
    everything, bad = ratio("triton").everything, ratio("triton").bad
    assert [load("triton").tallies(series) for series in counts] == [{everything}, {everything, bad}, set()]


def test_a_metric_under_two_names_has_tallies_of_its_own_for_each() -> None:
    tokens = [latency("100ms").model_copy(update={"metric": BuiltInMetric.TIME_PER_OUTPUT_TOKEN})]
    template = load("vllm")
    new, old = template.metrics[BuiltInMetric.TIME_PER_OUTPUT_TOKEN]
    assert template.wanted(tokens[0]) == new.wanted(tokens[0]) | old.wanted(tokens[0])
    assert new.wanted(tokens[0]).isdisjoint(old.wanted(tokens[0]))
    assert template.meter(tokens[0], ()) is new
    assert template.meter(tokens[0], {old.everything}) is old
    assert template.meter(tokens[0], {old.everything, new.everything}) is new


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
    assert template_for(slo, server, load("envoy-gateway")).name == name


def test_the_page_on_metrics_says_who_has_what() -> None:
    page = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text(encoding="utf-8")
    table = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("|")]
    header, told = table[0], {row[0]: row[1:] for row in table if len(row) == len(table[0])}
    for name in NAMES:
        row = told[name]
        assert {metric for metric, cell in zip(header[1:-1], row, strict=False) if cell == "yes"} == set(
            load(name).metrics
        )
        version = READ_OFF.get(name, "").removesuffix(".txt").rpartition("-")[2]
        assert row[-1].startswith("read off" if version else "documented")
        assert row[-1].endswith(version)


def test_the_page_on_metrics_says_how_proxies_are_known() -> None:
    page = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text(encoding="utf-8")
    for proxy in proxies.known():
        assert f"| `{proxy.name}` | {', '.join(f'`{one}`' for one in proxy.controllers)} |" in page


def test_there_is_a_template_for_every_server() -> None:
    assert [load(name).name for name in NAMES] == NAMES
    assert {*ServerKind} - {ServerKind.AUTO} == set(NAMES) - {proxy.name for proxy in proxies.known()}
