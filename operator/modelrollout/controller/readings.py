"""What the judge said last of each rollout, and whether it is worth another look at it."""

import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from modelrollout.api.slo import Verdict
from modelrollout.api.status import SloStatus
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
        self._unanswered: dict[Key, list[datetime]] = defaultdict(list)

    def post(self, key: Key, readings: Readings) -> None:
        """Take in the readings of one poll."""
        self._newest[key] = readings
        last = self._last_calls.get(key)
        same = last is not None and _are_of_the_same(last.readings, readings)
        before = last.readings.by_slo if last and same else {}
        news = [slo for slo in readings.by_slo.values() if _is_news(before.get(slo.name), slo)]
        for slo in news:
            self._metrics.verdicts.labels(slo.verdict, slo.reason).inc()
        if any(slo.verdict is Verdict.BREACH for slo in news):
            self._unanswered[key].append(readings.looked_at)
        if last and same and not news and readings.looked_at < last.again_at:
            return
        self._last_calls[key] = _Call(readings, again_at=readings.looked_at + REFRESH_AFTER * self._spread())
        self._enqueue(key, _priority(readings))

    def get(self, key: Key) -> Readings | None:
        """The newest readings."""
        return self._newest.get(key)

    def answer(self, key: Key, readings: Readings) -> datetime | None:
        """These readings have been acted on; when the first breach was seen that nobody had acted on before.

        The poll that is acted on tells of a breach again, and may be much later: how long that took is the question.
        """
        seen = self._unanswered.pop(key, [])
        if later := [at for at in seen if at > readings.looked_at]:
            self._unanswered[key] = later
        return min((at for at in seen if at <= readings.looked_at), default=None)

    def forget(self, key: Key) -> None:
        """Nobody looks at this rollout any more."""
        self._newest.pop(key, None)
        self._last_calls.pop(key, None)
        self._unanswered.pop(key, None)


def _priority(readings: Readings) -> Priority:
    breach = any(slo.verdict is Verdict.BREACH for slo in readings.by_slo.values())
    return Priority.BREACH if breach else Priority.CHANGE


def _are_of_the_same(before: Readings, now: Readings) -> bool:
    return (before.attempt, before.stage, before.by_slo.keys()) == (now.attempt, now.stage, now.by_slo.keys())


def _is_news(before: SloStatus | None, now: SloStatus) -> bool:
    """Another verdict, another reason, or a breach on newer samples."""
    if before is None or (before.verdict, before.reason) != (now.verdict, now.reason):
        return True
    return now.verdict is Verdict.BREACH and now.at > before.at
