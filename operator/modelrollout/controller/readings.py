"""What the judge said last of each rollout, and whether it is worth another look at it."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from modelrollout.api.status import SloStatus, Verdict
from modelrollout.controller.kinds import Key
from modelrollout.controller.own_metrics import OwnMetrics
from modelrollout.controller.queue import Priority
from modelrollout.engine.slos import REFRESH_AFTER
from modelrollout.engine.snapshot import Readings


@dataclass(frozen=True)
class _Call:
    """What somebody was called for, and when it is time again even without news."""

    readings: Readings
    again_at: datetime


class ReadingsBoard:
    """The newest readings by rollout.

    Most say what the last ones said, twice a second for every rollout in progress; those are kept for whoever looks
    next, but nobody is called for them until the values in the status are old. That time is spread, or rollouts that
    began together would all be written at once, again and again, and a breach in the middle of it would be late.
    """

    def __init__(
        self,
        *,
        enqueue: Callable[[Key, Priority], None],
        metrics: OwnMetrics,
        spread: Callable[[], float] = lambda: random.uniform(1.0, 1.5),  # noqa: S311
    ) -> None:
        self._enqueue = enqueue
        self._metrics = metrics
        self._spread = spread
        self._newest: dict[Key, Readings] = {}
        self._last_calls: dict[Key, _Call] = {}

    def post(self, key: Key, readings: Readings) -> None:
        """Take in the readings of one poll."""
        self._newest[key] = readings
        last = self._last_calls.get(key)
        if last and readings.looked_at < last.again_at and not _is_news(last.readings, readings):
            return
        self._last_calls[key] = _Call(readings, again_at=readings.looked_at + REFRESH_AFTER * self._spread())
        self._enqueue(key, _priority(readings))
        for slo in readings.by_slo.values():
            self._metrics.verdicts.labels(slo.verdict, slo.reason).inc()

    def get(self, key: Key) -> Readings | None:
        """The newest readings."""
        return self._newest.get(key)

    def forget(self, key: Key) -> None:
        """Nobody looks at this rollout any more."""
        self._newest.pop(key, None)
        self._last_calls.pop(key, None)


def _priority(readings: Readings) -> Priority:
    breach = any(slo.verdict is Verdict.BREACH for slo in readings.by_slo.values())
    return Priority.BREACH if breach else Priority.CHANGE


def _is_news(before: Readings, now: Readings) -> bool:
    if (before.attempt, before.stage, before.by_slo.keys()) != (now.attempt, now.stage, now.by_slo.keys()):
        return True
    return any(_says_something_else(before.by_slo[name], slo) for name, slo in now.by_slo.items())


def _says_something_else(before: SloStatus, now: SloStatus) -> bool:
    another_breach = now.verdict is Verdict.BREACH and now.at > before.at
    return another_breach or (before.verdict, before.reason) != (now.verdict, now.reason)
