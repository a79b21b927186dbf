"""What the operator says of itself on /metrics."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

from modelrollout import __version__
from modelrollout.api.status import Phase
from modelrollout.controller.client import Answered
from modelrollout.controller.kinds import Key

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class OwnMetrics:
    """All metrics of the operator, in a registry of their own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._gauge("build_info", "Version of the operator.", "version").labels(__version__).set(1)
        self.leading = self._gauge("leading", "1 in the process that acts, 0 in one that stands by.")
        self.reconcile_seconds = self._histogram(
            "reconcile_seconds",
            "From taking a rollout off the queue to having carried out what was decided.",
            "result",
        )
        self.queue_depth = self._gauge("queue_depth", "Rollouts that wait for a worker.")
        self.transitions = self._counter(
            "transitions", "What happened to rollouts, by the reason given in their events.", "reason"
        )
        self.rollouts = self._gauge("rollouts", "Rollouts by phase.", "phase")
        self.verdicts = self._counter(
            "verdicts",
            "Readings of SLOs that say something else than the one before, or see a breach on newer samples.",
            *("verdict", "reason"),
        )
        self.breach_to_route_seconds = self._histogram(
            "breach_to_route_seconds",
            "From the first poll that saw the breach that takes a candidate back to the route being written.",
        )
        self.query_seconds = self._histogram(
            "prometheus_query_seconds",
            "Time that a Prometheus took for an answer, by kind of question and what came of it.",
            *("source", "question", "result"),
        )
        self.scrape_seconds = self._histogram(
            "direct_scrape_seconds", "Time that pods took for direct scrapes, by what came of them.", "result"
        )
        self.api_requests = self._counter(
            "api_requests",
            "Requests to the API server by answer; code 0 is none. Watches are not counted.",
            *("verb", "kind", "code"),
        )
        self.missed_by_watch = self._counter(
            "missed_by_watch", "Changes that the periodic LIST found before the watch told of them.", "kind"
        )
        self.events_dropped = self._counter("events_dropped", "Events that could not be posted.")
        self._phases: dict[Key, Phase] = {}
        for phase in Phase:
            self.rollouts.labels(phase).set(0)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"modelrollout_{name}", text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"modelrollout_{name}", text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(f"modelrollout_{name}", text, labels, buckets=_FAST, registry=self._registry)

    def count_answer(self, answered: Answered) -> None:
        """One request to the API server is over."""
        self.api_requests.labels(answered.verb, answered.kind.kind, str(answered.code)).inc()

    def time_scrape(self, result: str, seconds: float) -> None:
        """One direct scrape is over."""
        self.scrape_seconds.labels(result).observe(seconds)

    def note_phase(self, key: Key, phase: Phase | None) -> None:
        """The rollout is in this phase now; None when it is gone."""
        before = self._phases.get(key)
        if before is phase:
            return
        if before is not None:
            self.rollouts.labels(before).dec()
            del self._phases[key]
        if phase is not None:
            self.rollouts.labels(phase).inc()
            self._phases[key] = phase

    def watch_leading(self, leads: Callable[[], bool]) -> None:
        """Ask whenever somebody wants to know."""
        self.leading.set_function(leads)

    def watch_queue(self, depth: Callable[[], int]) -> None:
        """Read the depth of the queue whenever somebody asks."""
        self.queue_depth.set_function(depth)

    def exposition(self) -> bytes:
        """All metrics in the text format of Prometheus."""
        return generate_latest(self._registry)
