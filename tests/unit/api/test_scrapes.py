"""Where pods are scraped directly: what the spec, the annotations and the container ports say."""

from typing import Any

import pytest

from modelrollout.api.scrapes import DirectScrapes


def pod(*ports: tuple[str, int], **annotations: str) -> dict[str, Any]:
    """A pod whose sidecar, not its first container, has the ports."""
    named = {f"prometheus.io/{name}": value for name, value in annotations.items()}
    sidecar = {"name": "exporter", "ports": [{"name": name, "containerPort": number} for name, number in ports]}
    return {"metadata": {"annotations": named}, "spec": {"containers": [{"name": "server"}, sidecar]}}


@pytest.mark.parametrize(
    ("scrapes", "found", "endpoint"),
    [
        (DirectScrapes(), pod(("http", 8080), ("metrics", 8082)), (8082, "/metrics")),
        (DirectScrapes(), pod(("metrics", 8082), port="9000", path="/prom"), (9000, "/prom")),
        (DirectScrapes(), pod(("metrics", 8082), path="prom"), (8082, "/prom")),
        (DirectScrapes(port="http"), pod(("http", 8080), port="9000"), (8080, "/metrics")),
        (DirectScrapes(port=7000, path="/stats"), pod(port="9000", path="/prom"), (7000, "/stats")),
    ],
)
def test_where_a_pod_exposes_its_metrics(
    scrapes: DirectScrapes, found: dict[str, Any], endpoint: tuple[int, str]
) -> None:
    assert scrapes.endpoint(found) == endpoint


@pytest.mark.parametrize(
    ("scrapes", "found", "words"),
    [
        (DirectScrapes(), pod(("http", 8080)), "no port named metrics, but http: set spec.directScrapes.port"),
        (DirectScrapes(port="grpc"), pod(), "no port named grpc, but none with a name"),
        (DirectScrapes(), pod(("metrics", 8082), port="http"), "prometheus.io/port is 'http', and no port"),
        (DirectScrapes(), pod(port="70000"), "prometheus.io/port is '70000'"),
    ],
)
def test_where_there_is_no_saying_the_field_and_the_fix_are_named(
    scrapes: DirectScrapes, found: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=r"spec\.directScrapes") as refused:
        scrapes.endpoint(found)
    assert words in str(refused.value)
