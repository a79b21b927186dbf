"""One look at one rollout: observe, decide, apply, and when to come back."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from time import perf_counter
from typing import Protocol

from modelrollout.api.evidence import SloEvidence
from modelrollout.api.labels import FINALIZER
from modelrollout.api.owner import Rollout
from modelrollout.api.status import ModelRolloutStatus, Phase
from modelrollout.controller.apply import Applier, Outcome
from modelrollout.controller.background import Background
from modelrollout.controller.client import ConflictError, RefusedError
from modelrollout.controller.events import EventRecorder
from modelrollout.controller.kinds import Key
from modelrollout.controller.logs import RolloutLog
from modelrollout.controller.observe import Observer, Seen, UnreadableError, preflight_subject
from modelrollout.controller.own_metrics import OwnMetrics
from modelrollout.controller.queue import ClosedError, WorkQueue
from modelrollout.controller.readings import ReadingsBoard
from modelrollout.engine.effects import Decision, Emit, Watch
from modelrollout.engine.reasons import Reason
from modelrollout.engine.snapshot import Obstacle, Snapshot

_log = logging.getLogger(__name__)

Decide = Callable[[Snapshot, datetime], Decision]
_LEAST_WAIT = 0.1
"""Seconds: a time to come back that is over already must not keep a worker busy."""
_AFTER_CONFLICT = 0.1
"""Seconds. What changed has been read again by then, and a version that does harm must not wait for others to stop."""

Preflight = Callable[[Rollout, ModelRolloutStatus], Awaitable[tuple[Obstacle, ...]]]


class Judge(Protocol):
    """Looks at the SLOs of what it is told to watch, and posts readings."""

    def watch(self, rollout: Rollout, watch: Watch, written: Sequence[SloEvidence]) -> None:
        """Look at the SLOs of this stage from now on, and no longer at those of another.

        Who has counted nothing of the attempt yet goes on from the evidence that was `written`.
        """

    def unwatch(self, key: Key) -> None:
        """Look at this rollout no longer."""


class Reconciler:
    """Works the queue off: every rollout in it is looked at and brought a step further."""

    def __init__(
        self,
        queue: WorkQueue[Key],
        *,
        observer: Observer,
        decide: Decide,
        applier: Applier,
        events: EventRecorder,
        judge: Judge,
        readings: ReadingsBoard,
        preflight: Preflight,
        preflights: Background[tuple[Obstacle, ...]],
        metrics: OwnMetrics,
        now: Callable[[], datetime],
    ) -> None:
        self._queue = queue
        self._observer = observer
        self._decide = decide
        self._applier = applier
        self._events = events
        self._judge = judge
        self._readings = readings
        self._preflight = preflight
        self._preflights = preflights
        self._metrics = metrics
        self._now = now

    async def work(self) -> None:
        """Reconcile what the queue gives until it is closed. After an error of ours the rollout is tried again."""
        while True:
            try:
                key = await self._queue.get()
            except ClosedError:
                return
            try:
                await self.reconcile(key)
            except Exception:
                RolloutLog(_log, key).exception("trying again in %.1f s, because of an error", self._queue.retry(key))
            finally:
                self._queue.done(key)

    async def reconcile(self, key: Key) -> None:
        """Bring one rollout a step further, as far as can be done now."""
        started = perf_counter()
        try:
            seen = self._observer.look(key)
        except UnreadableError as error:
            self._leave_alone(key, error)
            return
        if seen is None:
            self._forget(key)
            return
        decision = self._decide(seen.snapshot, self._now())
        outcome = await self._applier.carry_out(seen, decision.effects)
        self._follow(seen, decision, outcome)
        self._come_back(seen, decision, outcome)
        result = type(outcome.error).__name__ if outcome.error else "ok"
        self._metrics.reconcile_seconds.labels(result).observe(perf_counter() - started)

    def _follow(self, seen: Seen, decision: Decision, outcome: Outcome) -> None:
        """What is watched and looked at beside the reconcile path follows the status that the cluster has."""
        if not outcome.status_stands:
            return
        status = outcome.status
        self._metrics.note_phase(seen.key, status.phase)
        self._time_revert(seen, status, outcome)
        if decision.watch:
            self._judge.watch(seen.owner, decision.watch, status.evidence)
        else:
            self._judge.unwatch(seen.key)
            self._readings.forget(seen.key)
        if decision.preflight:
            subject = preflight_subject(seen.rollout, status)
            self._preflights.ensure(seen.key, subject, lambda: self._preflight(seen.owner, status))

    def _come_back(self, seen: Seen, decision: Decision, outcome: Outcome) -> None:
        """When this rollout is looked at again, unless something changes before."""
        key, log = seen.key, RolloutLog(_log, seen.key, outcome.status.attempt)
        if outcome.error and not isinstance(outcome.error, RefusedError):
            is_conflict = isinstance(outcome.error, ConflictError)
            delay = self._queue.retry(key, after=_AFTER_CONFLICT if is_conflict else None)
            level = logging.DEBUG if is_conflict else logging.WARNING
            log.log(level, "not everything was written; trying again in %.1f s: %s", delay, outcome.error)
            return
        self._queue.forget(key)
        if outcome.changed:
            self._queue.add(key)
        if outcome.again_at:
            log.warning("the API server refuses a write: %s", outcome.error)
            self._queue.retry(key, after=self._seconds_until(outcome.again_at))
        if decision.wake_at and (decision.wake_at > self._now() or not outcome.again_at):
            self._queue.add_after(key, self._seconds_until(decision.wake_at))

    def _seconds_until(self, moment: datetime) -> float:
        return max((moment - self._now()).total_seconds(), _LEAST_WAIT)

    def _time_revert(self, seen: Seen, status: ModelRolloutStatus, outcome: Outcome) -> None:
        """How long it took from the first poll that saw the breach to the route."""
        readings, record = seen.snapshot.readings, status.last_revert
        breach_seen_at = self._readings.answer(seen.key, readings) if readings else None
        begins = status.phase is Phase.REVERTING and seen.snapshot.status.phase is not Phase.REVERTING
        is_breach = begins and record is not None and record.reason == Reason.SLO_BREACHED
        if is_breach and breach_seen_at and outcome.traffic_moved_at:
            took = outcome.traffic_moved_at - breach_seen_at
            self._metrics.breach_to_route_seconds.observe(took.total_seconds())

    def _leave_alone(self, key: Key, error: UnreadableError) -> None:
        """Its spec cannot be read: what serves goes on serving, and nothing is looked at until it is changed."""
        self._look_at_nothing(key)
        metadata, status = error.rollout["metadata"], error.rollout.get("status") or {}
        if "deletionTimestamp" in metadata:
            waits = f"its deletion waits until it is corrected, or until the finalizer {FINALIZER} is removed by hand"
        else:
            waits = "it is left as it is until it is corrected"
        message = f"It does not fit the API of this operator; {waits}: {error}"
        self._events.emit(
            metadata, Emit(type="Warning", reason="Unreadable", message=message), attempt=status.get("attempt", 0)
        )

    def _look_at_nothing(self, key: Key) -> None:
        self._judge.unwatch(key)
        self._readings.forget(key)
        self._preflights.forget(key)

    def _forget(self, key: Key) -> None:
        """The rollout is gone, and with it all that was remembered of it."""
        self._look_at_nothing(key)
        self._observer.forget(key)
        self._applier.forget(key)
        self._metrics.note_phase(key, None)
        self._queue.forget(key)
