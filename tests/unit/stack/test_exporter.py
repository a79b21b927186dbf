"""What Prometheus is told of simulated pods."""

from collections.abc import Mapping
from typing import Any

import pytest

from stack.exporter import Exporter

PART: Mapping[str, Any] = {"colour": "green", "attempt": 2, "version": "2.0.0"}


@pytest.fixture
def exporter() -> Exporter:
    exporter = Exporter()
    exporter.begin("ml", "scorer", PART)
    return exporter


def scrape(exporter: Exporter, namespace: str = "ml") -> dict[str, float]:
    """One scrape: requests by status code, of the pods of a namespace."""
    requests = next(metric for metric in exporter.collect() if metric.name == "rest_server_requests")
    samples = [sample for sample in requests.samples if sample.labels["namespace"] == namespace]
    return {sample.labels["status_code"]: sample.value for sample in samples}


def test_a_version_answers_well_until_it_fails(exporter: Exporter) -> None:
    assert scrape(exporter) == {"200": 100}
    exporter.fail("ml", "scorer-green")
    assert scrape(exporter) == {"200": 101, "500": 10_099}
    exporter.recover("ml", "scorer-green")
    assert scrape(exporter) == {"200": 201, "500": 10_099}


def test_a_version_that_has_fallen_silent_is_not_told_of(exporter: Exporter) -> None:
    exporter.fall_silent("ml", "scorer-green")
    assert scrape(exporter) == {}
    exporter.begin("ml", "scorer", PART)
    assert scrape(exporter) == {"200": 100}


def test_the_next_version_of_a_colour_begins_well_and_at_nothing(exporter: Exporter) -> None:
    exporter.fail("ml", "scorer-green")
    exporter.begin("ml", "scorer", {**PART, "attempt": 3})
    assert scrape(exporter) == {"200": 100}


def test_two_namespaces_have_nothing_to_do_with_each_other(exporter: Exporter) -> None:
    exporter.begin("other", "scorer", PART)
    exporter.fail("other", "scorer-green")
    assert scrape(exporter) == {"200": 100}
    assert "500" in scrape(exporter, "other")


def test_failures_can_be_asked_for(exporter: Exporter) -> None:
    assert exporter.failures_of("ml", "scorer-green") == (
        'rest_server_requests_total{namespace="ml",pod="scorer-green-2",status_code="500"}'
    )
