"""From a breach to the route: by the operator, and by a plain client, which shows what is possible at the least."""

import random
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import httpx
from kubernetes.client import ApiClient, CustomObjectsApi

from stack import History
from stack.exporter import SCRAPE_SECONDS, Exporter
from stack.history import Object
from stack.rollout import Rollout

from .fleet import NAMESPACE, ROUTES

POLL_SECONDS = 0.5
"""How often operator and plain client ask Prometheus."""

_PROBE_SECONDS = 0.02
"""How often the stopwatch does, and so how exactly it knows since when a breach was to be seen."""

_PLAIN, _PLAIN_CANDIDATE = "plain", "plain-green"


class Run(NamedTuple):
    """Seconds until a watch told of the route that gives the candidate nothing."""

    from_visible: float
    """Since Prometheus was first asked for the failures with success."""
    from_failing: float
    """Since the candidate began to fail; this holds the wait for a scrape."""


class Stopwatch:
    """Has candidates fail, and takes the time until somebody has reacted."""

    def __init__(self, client: ApiClient, exporter: Exporter, prometheus_url: str) -> None:
        self._client, self._exporter = client, exporter
        self._routes = CustomObjectsApi(client)
        self._prometheus = httpx.Client(base_url=prometheus_url, trust_env=False)

    def operator(self, rollout: Rollout) -> Run:
        """The operator takes a candidate back that is in a stage."""
        return self._time(rollout.name, candidate=f"{rollout.name}-{rollout.status()['candidate']['colour']}")

    def plain(self, run: str) -> Run:
        """A client takes a candidate back that does nothing but ask for failures and write the route."""
        self._exporter.begin(NAMESPACE, _PLAIN, {"colour": "green", "attempt": run, "version": run})
        self._write_plain_route(10)
        with ThreadPoolExecutor(1) as client:
            return self._time(_PLAIN, candidate=_PLAIN_CANDIDATE, begin=lambda: client.submit(self._react))

    def _time(self, name: str, *, candidate: str, begin: Callable[[], Future[None] | None] = lambda: None) -> Run:
        """It begins at any moment between two scrapes: all runs would be alike if that was always the same one."""
        with History(self._client, **ROUTES, name=name) as route:
            route.wait(lambda seen: _weight(seen, candidate) > 0, what=f"requests to {candidate}", timeout=10)
            reaction = begin()
            time.sleep(random.uniform(0, SCRAPE_SECONDS))  # noqa: S311
            failing = time.time()
            self._exporter.fail(NAMESPACE, candidate)
            visible = self._ask_for_failures(candidate, every=_PROBE_SECONDS)
            if reaction:
                reaction.result()
            routed = route.wait(lambda seen: not _weight(seen, candidate), what=f"none to {candidate}", timeout=60)
        return Run(from_visible=routed.at - visible, from_failing=routed.at - failing)

    def _react(self) -> None:
        self._ask_for_failures(_PLAIN_CANDIDATE, every=POLL_SECONDS)
        self._write_plain_route(0)

    def _ask_for_failures(self, candidate: str, *, every: float) -> float:
        """When Prometheus was asked for failures of a candidate and, for the first time, knew of some."""
        query = {"query": self._exporter.failures_of(NAMESPACE, candidate)}
        for _ in range(round(30 / every)):
            asked = time.time()
            answer = self._prometheus.get("/api/v1/query", params=query).raise_for_status()
            if answer.json()["data"]["result"]:
                return asked
            time.sleep(max(0.0, asked + every - time.time()))
        raise TimeoutError(f"Prometheus never knew of {query}")

    def _write_plain_route(self, weight: int) -> None:
        shares = {"blue": 100 - weight, "green": weight}
        backends = [{"name": f"{_PLAIN}-{colour}", "port": 80, "weight": share} for colour, share in shares.items()]
        changes = {"spec": {"rules": [{"backendRefs": backends}]}}
        content_type = "application/merge-patch+json"
        self._routes.patch_namespaced_custom_object(**ROUTES, name=_PLAIN, body=changes, _content_type=content_type)


def _weight(route: Object | None, backend: str) -> int:
    """Per cent, rounded down: what a backend gets only so that the proxies know it is nothing."""
    backends: list[Object] = route["spec"]["rules"][0]["backendRefs"] if route else []
    whole = sum(one["weight"] for one in backends)
    return next((100 * int(one["weight"]) // whole for one in backends if one["name"] == backend), 0)
