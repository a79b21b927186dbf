"""The metrics of candidates: what MLServer says of itself, with the pod labels that a scrape configuration adds."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import yaml
from modelrollout.api.labels import ATTEMPT, COLOUR, NAME, VERSION
from modelrollout.metrics.templates import load, sanitized
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

SCRAPE_SECONDS = 1.0
_REQUESTS_A_SCRAPE = 100.0
_BURST = 10_000.0
"""Requests that fail at once, so that the very first scrape that sees any sees a breach."""

_GOOD, _FAILED = "200", "500"
_EDGES = [*(str(edge) for edge in load("mlserver").durations.edges), "+Inf"]


class Exporter(Collector):
    """One pod for each rollout that has, or had, a candidate; every request takes next to no time."""

    def __init__(self) -> None:
        self._pods: dict[str, dict[str, str]] = {}
        """Labels of the pod by rollout."""
        self._answers: dict[str, dict[str, float]] = {}
        """Requests by rollout and status code. MLServer has no series of a code before its first answer."""

    def begin(self, namespace: str, rollout: str, candidate: Mapping[str, Any]) -> None:
        """A candidate, as its status names it, gets requests from now on and answers them well."""
        colour, attempt, version = (str(candidate[field]) for field in ("colour", "attempt", "version"))
        on_pod = {NAME: rollout, COLOUR: colour, ATTEMPT: attempt, VERSION: version}
        self._answers[rollout] = {_GOOD: 0.0}
        self._pods[rollout] = {
            "namespace": namespace,
            "pod": f"{rollout}-{colour}-{attempt}",
            **{sanitized(label): value for label, value in on_pod.items()},
            "method": "POST",
            "path": f"/v2/models/{rollout}/infer",
        }

    def fail(self, rollout: str) -> None:
        """From now on every request to the candidate fails."""
        self._answers[rollout][_FAILED] = _BURST

    def failures_of(self, rollout: str) -> str:
        """PromQL that yields something once Prometheus knows of a failure of the candidate."""
        return f'rest_server_requests_total{{pod="{self._pods[rollout]["pod"]}",status_code="{_FAILED}"}}'

    def collect(self) -> Iterator[Metric]:
        """One scrape; see `prometheus_client.registry.Collector`."""
        pods = dict(self._pods)
        names = [*next(iter(pods.values()), {}), "status_code"]
        requests = CounterMetricFamily("rest_server_requests", "Requests.", labels=names)
        durations = HistogramMetricFamily("rest_server_request_duration_seconds", "Durations.", labels=names)
        for rollout, labels in pods.items():
            answers = self._answers[rollout]
            answers[_FAILED if _FAILED in answers else _GOOD] += _REQUESTS_A_SCRAPE
            for code, count in answers.items():
                requests.add_metric([*labels.values(), code], count)
                durations.add_metric([*labels.values(), code], [(edge, count) for edge in _EDGES], sum_value=0.0)
        yield from (requests, durations)

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Serve on loopback; yields the configuration of a Prometheus that scrapes it."""
        registry = CollectorRegistry()
        registry.register(self)
        server, thread = start_http_server(0, "127.0.0.1", registry)
        target, interval = f"127.0.0.1:{server.server_port}", f"{SCRAPE_SECONDS:g}s"
        job = {"job_name": "pods", "honor_labels": True, "static_configs": [{"targets": [target]}]}
        limits = {"scrape_interval": interval, "scrape_timeout": interval}
        try:
            yield yaml.safe_dump({"global": limits, "scrape_configs": [job]})
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
