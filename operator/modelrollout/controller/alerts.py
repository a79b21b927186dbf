"""Alerts that fire now, by rollout. They are kept in memory only: Prometheus tells of each again every minute."""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime

from modelrollout.controller.kinds import Key
from modelrollout.controller.logs import RolloutLog
from modelrollout.controller.queue import Priority
from modelrollout.engine.snapshot import Alert
from modelrollout.metrics.alerts import Pushed

_log = logging.getLogger(__name__)

_MOST_ALERTS = 10_000

_Labels = frozenset[tuple[str, str]]
"""What tells one alert from another."""


class AlertBoard:
    """What fires, and a call for a look at its rollout when that changes."""

    def __init__(self, *, enqueue: Callable[[Key, Priority], None], now: Callable[[], datetime]) -> None:
        self._enqueue = enqueue
        self._now = now
        self._alerts: dict[Key, dict[_Labels, Alert]] = defaultdict(dict)

    def take(self, pushed: Iterable[Pushed]) -> None:
        """Note what fires and what does no longer; what was heard before wakes nobody."""
        for one in pushed:
            key, alert = Key(*one.rollout), one.alert
            labels = frozenset(alert.labels.items())
            before = self._alerts[key].get(labels) if key in self._alerts else None
            if alert.ends_at <= self._now():
                self._resolve(key, labels, before)
            elif before or self._has_room():
                self._alerts[key][labels] = alert
                if before is None or before.starts_at != alert.starts_at:
                    RolloutLog(_log, key).info("alert %s fires", alert.name)
                    self._enqueue(key, Priority.BREACH)

    def get(self, key: Key) -> tuple[Alert, ...]:
        """What fires about a rollout."""
        self._sweep(key)
        return tuple(self._alerts[key].values()) if key in self._alerts else ()

    def _resolve(self, key: Key, labels: _Labels, before: Alert | None) -> None:
        if before:
            del self._alerts[key][labels]
            self._sweep(key)
            RolloutLog(_log, key).info("alert %s fires no longer", before.name)
            self._enqueue(key, Priority.CHANGE)

    def _sweep(self, key: Key) -> None:
        """Forget what was not heard of again in time, and a rollout that nothing is left of."""
        now, known = self._now(), self._alerts.pop(key, {})
        if left := {labels: alert for labels, alert in known.items() if alert.ends_at > now}:
            self._alerts[key] = left

    def _has_room(self) -> bool:
        if sum(map(len, self._alerts.values())) < _MOST_ALERTS:
            return True
        for key in tuple(self._alerts):
            self._sweep(key)
        if sum(map(len, self._alerts.values())) < _MOST_ALERTS:
            return True
        _log.warning("more than %d alerts name a rollout: further ones are left out", _MOST_ALERTS)
        return False
