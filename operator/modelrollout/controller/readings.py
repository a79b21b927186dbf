"""What the judge said last of each rollout, and whether it is worth another look at it."""

from collections.abc import Callable

from modelrollout.api.status import SloStatus, Verdict
from modelrollout.controller.kinds import Key
from modelrollout.controller.own_metrics import OwnMetrics
from modelrollout.controller.queue import Priority
from modelrollout.engine.slos import REFRESH_AFTER
from modelrollout.engine.snapshot import Readings


class ReadingsBoard:
    """The newest readings by rollout.

    Most say what the last ones said, twice a second for every rollout in progress; those are kept for whoever looks
    next, but nobody is called for them.
    """

    def __init__(self, *, enqueue: Callable[[Key, Priority], None], metrics: OwnMetrics) -> None:
        self._enqueue = enqueue
        self._metrics = metrics
        self._newest: dict[Key, Readings] = {}
        self._called_for: dict[Key, Readings] = {}

    def post(self, key: Key, readings: Readings) -> None:
        """Take in the readings of one poll."""
        self._newest[key] = readings
        before = self._called_for.get(key)
        if not _is_news(before, readings):
            return
        self._called_for[key] = readings
        self._enqueue(key, Priority.READINGS)
        for slo in readings.by_slo.values():
            self._metrics.verdicts.labels(slo.verdict, slo.reason).inc()

    def get(self, key: Key) -> Readings | None:
        """The newest readings."""
        return self._newest.get(key)

    def forget(self, key: Key) -> None:
        """Nobody looks at this rollout any more."""
        self._newest.pop(key, None)
        self._called_for.pop(key, None)


def _is_news(before: Readings | None, now: Readings) -> bool:
    if before is None or (before.attempt, before.stage) != (now.attempt, now.stage):
        return True
    if before.by_slo.keys() != now.by_slo.keys() or now.looked_at - before.looked_at >= REFRESH_AFTER:
        return True
    return any(_says_something_else(before.by_slo[name], slo) for name, slo in now.by_slo.items())


def _says_something_else(before: SloStatus, now: SloStatus) -> bool:
    another_breach = now.verdict is Verdict.BREACH and now.at > before.at
    return another_breach or (before.verdict, before.reason) != (now.verdict, now.reason)
