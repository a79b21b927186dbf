"""Every series that a template reads is in Prometheus, scraped from the real server, with the labels it relies on."""

import httpx
import pytest

from e2e.telling import Story, failing_version
from modelrollout.metrics import templates
from modelrollout.metrics.meters import Counter, Histogram, Ratio
from modelrollout.metrics.templates import ATTEMPT_LABEL, COLOUR_LABEL, NAME_LABEL, PodLabels, Template
from stack.served import NAME, Served

TEMPLATES = ["envoy-gateway", "mlserver"]
Labels = dict[str, str]


pytestmark = pytest.mark.story(told_by=failing_version)


@pytest.fixture
def model(story: Story) -> Served:
    """A rollout of which both versions have given good answers, and one of them failures."""
    return story.model


@pytest.fixture(params=TEMPLATES)
def template(request: pytest.FixtureRequest) -> Template:
    return templates.load(request.param)


def test_counters_have_series_of_both_versions(model: Served, template: Template) -> None:
    (ratio,) = (meter for meter in template.meters if isinstance(meter, Ratio))
    for counter in (*ratio.requests, *ratio.failed):
        counted = [labels for labels in series_of(model, template, counter.series) if counter.matches(labels)]
        assert counted, f"{counter.series} has no series that counts"
        assert all(selectors(counter) <= labels.keys() for labels in counted)
    requests = [labels for counter in ratio.requests for labels in series_of(model, template, counter.series)]
    assert len({arm_of(template, labels) for labels in requests}) == 2


def test_histogram_has_every_edge(model: Served, template: Template) -> None:
    (histogram,) = (meter for meter in template.meters if isinstance(meter, Histogram))
    assert series_of(model, template, f"{histogram.histogram}_count")
    buckets = [
        labels for labels in series_of(model, template, f"{histogram.histogram}_bucket") if histogram.matches(labels)
    ]
    edges = {float(labels["le"]) for labels in buckets} - {float("inf")}
    assert edges == set(histogram.edges)
    asked = template.edge_labels({histogram.within(edge) for edge in histogram.edges})
    assert {labels["le"] for labels in buckets} - {"+Inf"} <= asked
    assert all(selectors(histogram) <= labels.keys() for labels in buckets)


def test_heartbeats_are_there(model: Served, template: Template) -> None:
    for name in template.attribution.heartbeat:
        assert series_of(model, template, name)


def selectors(filtered: Counter | Histogram) -> set[str]:
    """Labels by which a template tells what counts."""
    return set(filtered.where) | set(filtered.unless)


def arm_of(template: Template, labels: Labels) -> tuple[str, ...]:
    return template.attribution.key_in(labels)


def series_of(model: Served, template: Template, name: str) -> list[Labels]:
    """The label sets of a metric that are of this rollout."""
    answer = httpx.get(
        f"{model.bed.prometheus_url}/api/v1/series",
        params={"match[]": f"{name}{{{ours(model, template)}}}"},
        trust_env=False,
        timeout=10,
    )
    found: list[Labels] = answer.raise_for_status().json()["data"]
    return found


def ours(model: Served, template: Template) -> str:
    if isinstance(template.attribution, PodLabels):
        return (
            f'namespace="{model.namespace}",{NAME_LABEL}="{NAME}",{COLOUR_LABEL}=~"blue|green",{ATTEMPT_LABEL}=~"[12]"'
        )
    return f'envoy_cluster_name=~"httproute/{model.namespace}/{NAME}/rule/0/backend/[01]"'
