"""The judge as the controller uses it: one poller for all rollouts, and a look at queries and metrics beforehand."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from time import perf_counter
from typing import TypeVar

from modelrollout.api.owner import Rollout
from modelrollout.api.status import ModelRolloutStatus
from modelrollout.controller.kinds import Key
from modelrollout.controller.own_metrics import OwnMetrics
from modelrollout.controller.readings import ReadingsBoard
from modelrollout.engine.effects import Watch
from modelrollout.engine.snapshot import Obstacle, Readings
from modelrollout.metrics import preflight
from modelrollout.metrics.poller import Poller, Target
from modelrollout.metrics.prometheus import Matrix, Single, Source, Trouble
from modelrollout.metrics.queries import Scope

T = TypeVar("T")

_STUCK_AFTER = timedelta(seconds=60)
"""The poller says something every few seconds while it watches anything, also when Prometheus does not answer."""


class MeasuredSource:
    """A source of samples, with every question counted in the operator's own metrics."""

    def __init__(self, source: Source, metrics: OwnMetrics) -> None:
        self._source = source
        self._metrics = metrics

    async def matrix(self, promql: str) -> Matrix | Trouble:
        """See `Source.matrix`."""
        return await self._measured("batched", self._source.matrix(promql))

    async def value(self, promql: str) -> Single:
        """See `Source.value`."""
        return await self._measured("free", self._source.value(promql))

    async def names(self) -> frozenset[str] | Trouble:
        """See `Source.names`."""
        return await self._measured("names", self._source.names())

    async def _measured(self, question: str, asked: Awaitable[T]) -> T:
        started = perf_counter()
        answer = await asked
        result = type(answer).__name__ if isinstance(answer, Trouble) else "Answer"
        self._metrics.query_seconds.labels(question, result).observe(perf_counter() - started)
        return answer


class Judging:
    """Hands rollouts to the poller and its readings to the board."""

    def __init__(
        self, source: Source | None, *, readings: ReadingsBoard, interval: timedelta, now: Callable[[], datetime]
    ) -> None:
        """`source` is None when the operator knows no Prometheus: then the preflight says so, and nothing is read."""
        self._source = source
        self._board = readings
        self._now = now
        self._poller = Poller(source, self._post, interval=interval) if source else None
        self._watched: set[Key] = set()
        self._heard_at = now()

    async def run(self) -> None:
        """Poll while anything is watched, forever."""
        if self._poller:
            await self._poller.run()
        await asyncio.Event().wait()

    async def preflight(self, rollout: Rollout, status: ModelRolloutStatus) -> tuple[Obstacle, ...]:
        """What a person has to mend before the SLOs can be judged."""
        stable, candidate = status.stable, status.candidate
        if candidate is None:
            return ()
        scope = Scope(
            namespace=rollout.namespace,
            rollout=rollout.name,
            stable=candidate.colour.other,
            candidate=candidate.colour,
        )
        serving_for = self._now() - stable.since if stable else timedelta()
        return await preflight.check(self._source, rollout.spec, scope, serving_for=serving_for)

    def watch(self, rollout: Rollout, watch: Watch) -> None:
        """See `reconcile.Judge`."""
        key, spec = Key(rollout.namespace, rollout.name), rollout.spec
        if not spec.slos or not self._poller:
            self.unwatch(key)
            return
        if not self._watched:
            self._heard_at = self._now()
        self._watched.add(key)
        self._poller.watch(key, Target(watch=watch, slos=tuple(spec.slos), server=spec.server))

    def unwatch(self, key: Key) -> None:
        """See `reconcile.Judge`."""
        if self._poller and key in self._watched:
            self._watched.remove(key)
            self._poller.unwatch(key)

    def is_stuck(self) -> bool:
        """Whether nothing was heard of the poller for much longer than it takes."""
        return bool(self._watched) and self._now() - self._heard_at > _STUCK_AFTER

    def _post(self, key: tuple[str, str], readings: Readings) -> None:
        self._heard_at = self._now()
        self._board.post(Key(*key), readings)
