"""The metrics of pods: what MLServer says of itself, with the pod labels that a scrape configuration adds."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import yaml
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from modelrollout.api.labels import ATTEMPT, COLOUR, NAME, VERSION
from modelrollout.metrics.meters import Histogram
from modelrollout.metrics.templates import load, sanitized

SCRAPE_SECONDS = 1.0
_REQUESTS_A_SCRAPE = 100.0
_BURST = 10_000.0
"""Requests that fail at once, so that the very first scrape that sees any sees a breach."""

_GOOD, _FAILED = "200", "500"
_ANSWERED = 1
"""Requests between two scrapes that are answered well where nearly all fail."""
_HISTOGRAMS = [meter for meter in load("mlserver").meters if isinstance(meter, Histogram)]
_EDGES = [*(str(edge) for histogram in _HISTOGRAMS for edge in histogram.edges), "+Inf"]


class Exporter(Collector):
    """One target that speaks for all pods, so it says of each that it is up, too. Requests take next to no time."""

    def __init__(self) -> None:
        self._pods: dict[str, dict[str, str]] = {}
        """Labels of the pod of each colour, by namespace and name of the colour's Service."""
        self._answers: dict[str, dict[str, float]] = {}
        """Requests by status code. MLServer has no series of a code before its first answer."""
        self._failing: set[str] = set()

    def begin(self, namespace: str, rollout: str, part: Mapping[str, Any]) -> None:
        """A version, as the status of its rollout names it, gets requests from now on and answers them well."""
        colour, attempt, version = (str(part[field]) for field in ("colour", "attempt", "version"))
        service, key = f"{rollout}-{colour}", f"{namespace}/{rollout}-{colour}"
        on_pod = {NAME: rollout, COLOUR: colour, ATTEMPT: attempt, VERSION: version}
        self._failing.discard(key)
        self._answers[key] = {_GOOD: 0.0}
        self._pods[key] = {
            "namespace": namespace,
            "pod": f"{service}-{attempt}",
            **{sanitized(label): value for label, value in on_pod.items()},
        }

    def fail(self, namespace: str, service: str) -> None:
        """From now on nearly every request to a colour fails: where all do, it takes no count of them to tell."""
        key = f"{namespace}/{service}"
        self._answers[key].setdefault(_FAILED, _BURST)
        self._failing.add(key)

    def recover(self, namespace: str, service: str) -> None:
        """From now on every request to a colour is answered well again."""
        self._failing.discard(f"{namespace}/{service}")

    def fall_silent(self, namespace: str, service: str) -> None:
        """The pods of a colour are scraped no more, until it begins anew."""
        self._pods.pop(f"{namespace}/{service}", None)

    def failures_of(self, namespace: str, service: str) -> str:
        """PromQL that yields something once Prometheus knows of a failure."""
        pod = self._pods[f"{namespace}/{service}"]["pod"]
        return f'rest_server_requests_total{{namespace="{namespace}",pod="{pod}",status_code="{_FAILED}"}}'

    def collect(self) -> Iterator[Metric]:
        """One scrape; see `prometheus_client.registry.Collector`."""
        pods = dict(self._pods)
        of_pod = list(next(iter(pods.values()), {}))
        of_request = [*of_pod, "method", "path", "status_code"]
        up = GaugeMetricFamily("up", "The pod was scraped.", labels=of_pod)
        requests = CounterMetricFamily("rest_server_requests", "Requests.", labels=of_request)
        durations = HistogramMetricFamily("rest_server_request_duration_seconds", "Durations.", labels=of_request)
        for key, labels in pods.items():
            up.add_metric([*labels.values()], 1)
            answers = self._answers[key]
            failed = _REQUESTS_A_SCRAPE - _ANSWERED if key in self._failing else 0
            answers[_GOOD] += _REQUESTS_A_SCRAPE - failed
            if failed:
                answers[_FAILED] += failed
            for code, count in answers.copy().items():
                values = [*labels.values(), "POST", "/v2/models/scorer/infer", code]
                requests.add_metric(values, count)
                durations.add_metric(values, [(edge, count) for edge in _EDGES], sum_value=0.0)
        yield from (up, requests, durations)

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
