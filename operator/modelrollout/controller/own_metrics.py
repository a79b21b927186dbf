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
        registry = self._registry = CollectorRegistry()
        Gauge("modelrollout_build_info", "Version of the operator.", ["version"], registry=registry).labels(
            __version__
        ).set(1)
        self.reconcile_seconds = Histogram(
            "modelrollout_reconcile_seconds",
            "From taking a rollout off the queue to having carried out what was decided.",
            ["result"],
            buckets=_FAST,
            registry=registry,
        )
        self.queue_depth = Gauge("modelrollout_queue_depth", "Rollouts that wait for a worker.", registry=registry)
        self.transitions = Counter(
            "modelrollout_transitions",
            "What happened to rollouts, by the reason given in their events.",
            ["reason"],
            registry=registry,
        )
        self.rollouts = Gauge("modelrollout_rollouts", "Rollouts by phase.", ["phase"], registry=registry)
        self.verdicts = Counter(
            "modelrollout_verdicts",
            "Readings of SLOs that differ from the one before, by verdict and reason.",
            ["verdict", "reason"],
            registry=registry,
        )
        self.breach_to_route_seconds = Histogram(
            "modelrollout_breach_to_route_seconds",
            "From the poll that saw the breach that takes a candidate back to the route being written.",
            buckets=_FAST,
            registry=registry,
        )
        self.query_seconds = Histogram(
            "modelrollout_prometheus_query_seconds",
            "Time that Prometheus took for an answer, by kind of question and what came of it.",
            ["question", "result"],
            buckets=_FAST,
            registry=registry,
        )
        self.api_requests = Counter(
            "modelrollout_api_requests",
            "Requests to the API server by answer; code 0 is none. Watches are not counted.",
            ["verb", "kind", "code"],
            registry=registry,
        )
        self.missed_by_watch = Counter(
            "modelrollout_missed_by_watch",
            "Changes that the periodic LIST found before the watch told of them.",
            ["kind"],
            registry=registry,
        )
        self.events_dropped = Counter(
            "modelrollout_events_dropped",
            "Events that could not be posted.",
            registry=registry,
        )
        self._phases: dict[Key, Phase] = {}
        for phase in Phase:
            self.rollouts.labels(phase).set(0)

    def count_answer(self, answered: Answered) -> None:
        """One request to the API server is over."""
        self.api_requests.labels(answered.verb, answered.kind.kind, str(answered.code)).inc()

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

    def watch_queue(self, depth: Callable[[], int]) -> None:
        """Read the depth of the queue whenever somebody asks."""
        self.queue_depth.set_function(depth)

    def exposition(self) -> bytes:
        """All metrics in the text format of Prometheus."""
        return generate_latest(self._registry)
