"""The judge as the controller uses it: a poller for each Prometheus, and a look at queries and metrics beforehand."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from time import perf_counter
from typing import TypeVar

from modelrollout.api.evidence import SloEvidence
from modelrollout.api.owner import Rollout
from modelrollout.api.spec import ModelRolloutSpec
from modelrollout.api.status import ModelRolloutStatus
from modelrollout.controller.kinds import Key
from modelrollout.controller.own_metrics import OwnMetrics
from modelrollout.controller.readings import ReadingsBoard
from modelrollout.engine.effects import Watch
from modelrollout.engine.snapshot import Obstacle, Readings
from modelrollout.metrics import preflight
from modelrollout.metrics.access import DEFAULT
from modelrollout.metrics.poller import Poller
from modelrollout.metrics.prometheus import Matrix, Single, Source, Trouble, Unavailable
from modelrollout.metrics.queries import Scope
from modelrollout.metrics.scrapes import Scraper
from modelrollout.metrics.watched import Target

T = TypeVar("T")

_NOWHERE = ""
"""In place of a name that none has; names are never empty."""

_STUCK_AFTER = timedelta(seconds=60)
"""The poller says something every few seconds while it watches anything, also when Prometheus does not answer."""


class MeasuredSource:
    """A source of samples, with every question counted in the operator's own metrics."""

    def __init__(self, source: Source, metrics: OwnMetrics, name: str) -> None:
        self._source = source
        self._metrics = metrics
        self._name = name

    async def matrix(self, promql: str) -> Matrix | Trouble:
        """See `Source.matrix`."""
        return await self._measured("batched", self._source.matrix(promql))

    async def value(self, promql: str, at: datetime | None = None) -> Single:
        """See `Source.value`."""
        return await self._measured("free", self._source.value(promql, at))

    async def names(self) -> frozenset[str] | Trouble:
        """See `Source.names`."""
        return await self._measured("names", self._source.names())

    async def _measured(self, question: str, asked: Awaitable[T]) -> T:
        started = perf_counter()
        answer = await asked
        result = type(answer).__name__ if isinstance(answer, Trouble) else "Answer"
        self._metrics.query_seconds.labels(self._name, question, result).observe(perf_counter() - started)
        return answer


class Nowhere:
    """Stands in where a name is none of a source: it says so, which like any other silence holds."""

    def __init__(self, names: Iterable[str]) -> None:
        known = ", ".join(names) or "none"
        self._answer = Unavailable(f"there is no such Prometheus: see spec.prometheus; the operator knows {known}")

    async def matrix(self, promql: str) -> Matrix | Trouble:  # noqa: ARG002
        """See `Source.matrix`."""
        return self._answer

    async def value(self, promql: str, at: datetime | None = None) -> Single:  # noqa: ARG002
        """See `Source.value`."""
        return self._answer

    async def names(self) -> frozenset[str] | Trouble:
        """See `Source.names`."""
        return self._answer


@dataclass(kw_only=True)
class _Desk:
    """What is watched by the same Prometheus; one that hangs keeps no other desk waiting."""

    poller: Poller
    heard_at: datetime
    watched: set[Key] = field(default_factory=set)

    def take(self, key: Key, target: Target, written: Sequence[SloEvidence], now: datetime) -> None:
        """Look at a rollout from now on."""
        if not self.watched:
            self.heard_at = now
        self.watched.add(key)
        self.poller.watch(key, target, written)

    def leave(self, key: Key) -> None:
        """Look at a rollout no more; no matter if nobody did."""
        if key in self.watched:
            self.watched.remove(key)
            self.poller.unwatch(key)


class Judging:
    """Hands rollouts to the pollers and their readings to the board."""

    def __init__(
        self,
        sources: Mapping[str, Source],
        *,
        controllers: Callable[[Rollout], frozenset[str]],
        readings: ReadingsBoard,
        interval: timedelta,
        scraper: Scraper | None = None,
        now: Callable[[], datetime],
    ) -> None:
        """`sources` are by name; where the operator knows no Prometheus the preflight says so, and nothing is read.

        `controllers` names those that serve a rollout's route.
        """
        self._sources = sources
        self._controllers = controllers
        self._board = readings
        self._now = now
        every = {**sources, _NOWHERE: Nowhere(sources)}
        self._desks = {
            name: _Desk(
                poller=Poller(source, partial(self._post, name), interval=interval, scraper=scraper), heard_at=now()
            )
            for name, source in every.items()
        }

    async def run(self) -> None:
        """Poll while anything is watched, forever."""
        async with asyncio.TaskGroup() as tasks:
            for name, desk in self._desks.items():
                tasks.create_task(desk.poller.run(), name=f"poller of {name}")

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
        source = self._sources.get(_wanted(rollout.spec))
        return await preflight.check(
            source,
            rollout.spec,
            scope,
            serving_for=serving_for,
            known=tuple(self._sources),
            controllers=self._controllers(rollout),
        )

    def watch(self, rollout: Rollout, watch: Watch, written: Sequence[SloEvidence] = ()) -> None:
        """See `reconcile.Judge`."""
        key, spec = Key(rollout.namespace, rollout.name), rollout.spec
        chosen = self._desks.get(_wanted(spec), self._desks[_NOWHERE])
        for desk in self._desks.values():
            if desk is not chosen or not spec.slos:
                desk.leave(key)
        if spec.slos:
            judged = tuple(slo for slo in spec.slos if slo.applies_in(watch.name))
            target = Target(
                watch=watch,
                slos=judged,
                server=spec.server,
                controllers=self._controllers(rollout),
                direct=spec.direct_scrapes,
            )
            chosen.take(key, target, written, self._now())

    def unwatch(self, key: Key) -> None:
        """See `reconcile.Judge`."""
        for desk in self._desks.values():
            desk.leave(key)

    def is_stuck(self) -> bool:
        """Whether nothing was heard of a poller for much longer than it takes."""
        return any(desk.watched and self._now() - desk.heard_at > _STUCK_AFTER for desk in self._desks.values())

    def _post(self, name: str, key: tuple[str, str], readings: Readings) -> None:
        self._desks[name].heard_at = self._now()
        self._board.post(Key(*key), readings)


def _wanted(spec: ModelRolloutSpec) -> str:
    return spec.prometheus or DEFAULT
