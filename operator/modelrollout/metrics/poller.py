"""One poller for all rollouts: it asks Prometheus while something is watched, and tells what every SLO says."""

import asyncio
import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from modelrollout.api.quantities import parse_duration
from modelrollout.api.slo import Slo
from modelrollout.api.spec import ServerKind
from modelrollout.api.status import SloStatus
from modelrollout.engine.effects import Watch
from modelrollout.engine.snapshot import Readings
from modelrollout.judge.thresholds import VerdictReason, undecided
from modelrollout.metrics.batch import Feed, absorb, questions
from modelrollout.metrics.exposed import NotFound, find_server
from modelrollout.metrics.prometheus import Matrix, QueryError, Source, Trouble
from modelrollout.metrics.queries import LONGEST_REST, FreeQuery, Scope
from modelrollout.metrics.readings import read, unknown_server
from modelrollout.metrics.templates import Arm, is_of_server, load, template_for

_log = logging.getLogger(__name__)

Key = tuple[str, str]
"""Namespace and name of a rollout."""

_REFRESH = timedelta(seconds=1)
"""Readings that do not change are told again this often, so that the engine knows that somebody looks."""

_LONGEST_BACKOFF = 5.0
_FIND_AGAIN = 10
"""Polls after which a server that was not found is looked for again."""

_QUERY_LOAD = 0.25
"""Share of one core that free queries may cost Prometheus, all of them together, as far as the longest rest allows."""

_QUERIES_AT_ONCE = 4


@dataclass(frozen=True, kw_only=True)
class Target:
    """What to look at for a rollout: the stage that it is in, and the part of its spec that says how."""

    watch: Watch
    slos: tuple[Slo, ...]
    server: ServerKind | None = None


@dataclass(kw_only=True)
class _Watched:
    """A rollout that is looked at."""

    target: Target
    feeds: dict[str, Feed]
    """By the name of their template."""
    queries: dict[str, FreeQuery]
    """By the name of their SLO."""
    server: ServerKind | None
    """That of the target; with `auto` the one that was found, and AUTO until then."""
    unfound: NotFound | Trouble | None = None
    """Why it was not found when it was last looked for."""
    find_at: float = 0.0
    """Of time.monotonic(): when to look for it again."""
    told_at: datetime | None = None

    def has_news(self, now: datetime) -> bool:
        """Whether there is something new to tell, or the last telling is a while ago."""
        late = self.told_at is None or abs(now - self.told_at) >= _REFRESH
        return late or any(feed.news for feed in self.feeds.values())

    def readings(self, now: datetime) -> Readings:
        """What the SLOs say, taken as told."""
        self.told_at = now
        for feed in self.feeds.values():
            feed.news = False
        return Readings(
            attempt=self.target.watch.attempt,
            stage=self.target.watch.stage,
            looked_at=now,
            by_slo={slo.name: self._read(slo, now) for slo in self.target.slos},
        )

    def _read(self, slo: Slo, now: datetime) -> SloStatus:
        """What one SLO says; numbers that cannot be judged hurt no other."""
        try:
            if slo.name in self.queries:
                return self.queries[slo.name].read(now)
            if _is_unfound(slo, self.server):
                return unknown_server(slo, self.unfound, now)
            status = read(slo, self.feeds[template_for(slo, self.server).name], now)
            return self._with_server(slo, status)
        except Exception as error:
            _log.exception("SLO %s cannot be judged: %s", slo.name, self.target.watch)
            message = f"the answer of Prometheus cannot be judged: {error!r}"
            return undecided(slo, VerdictReason.QUERY_ERROR, message, at=now)

    def _with_server(self, slo: Slo, status: SloStatus) -> SloStatus:
        """With the server that was found, for those who did not name it."""
        if self.target.server is not ServerKind.AUTO or not is_of_server(slo, self.server):
            return status
        return status.model_copy(update={"message": f"{status.message}; the server is {self.server}"})


class Poller:
    """Watches rollouts and tells `on_readings` what their SLOs say: when that changes, and each second.

    Everything happens on the event loop that `run` is on; `watch` and `unwatch` are called from there. However many
    rollouts are watched, built-in metrics cost at most three queries a poll. Free queries are asked one by one beside
    them, so that a slow or wrong one hurts only its owner.
    """

    def __init__(
        self,
        source: Source,
        on_readings: Callable[[Key, Readings], None],
        *,
        interval: timedelta = timedelta(seconds=0.5),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._source = source
        self._on_readings = on_readings
        self._interval = interval.total_seconds()
        self._clock = clock
        self._watched: dict[Key, _Watched] = {}
        self._busy = asyncio.Event()
        self._turns = asyncio.Semaphore(_QUERIES_AT_ONCE)

    def watch(self, key: Key, target: Target) -> None:
        """Look at a rollout from now on; what was counted so far is kept where the new target needs the same."""
        before = self._watched.get(key)
        if before is not None and before.target == target:
            return
        found = before is not None and _looks_at_the_same(before.target, target)
        server = before.server if before and found else target.server
        feeds = _feeds(key, target, server, before.feeds if before else {})
        self._watched[key] = _Watched(target=target, server=server, feeds=feeds, queries=_queries(key, target))
        self._busy.set()

    def unwatch(self, key: Key) -> None:
        """Look at a rollout no more; no matter if nobody did."""
        self._watched.pop(key, None)
        if not self._watched:
            self._busy.clear()

    async def run(self) -> None:
        """Poll until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_templates())
            tasks.create_task(self._follow_queries(tasks))
            tasks.create_task(self._follow_servers())

    async def _follow_templates(self) -> None:
        backoff = 0.0
        while True:
            await self._busy.wait()
            started = time.monotonic()
            backoff = 0.0 if await self._poll() else min(_LONGEST_BACKOFF, max(2 * backoff, self._interval))
            for key, watched in list(self._watched.items()):
                if watched.has_news(self._clock()):
                    self._tell(key)
            took = time.monotonic() - started
            await asyncio.sleep(max(self._interval - took, took, backoff))  # at most half of the time is spent asking

    async def _poll(self) -> bool:
        """Ask for everything that the templates need, at once; whether there was an answer to all of it."""
        now = self._clock().timestamp()
        asked = questions((feed for watched in self._watched.values() for feed in watched.feeds.values()), now=now)
        answers = await asyncio.gather(*(self._source.matrix(question.promql) for question in asked))
        for question, answer in zip(asked, answers, strict=True):
            absorb(question, answer, now=now)
        return all(isinstance(answer, Matrix) for answer in answers)

    async def _follow_servers(self) -> None:
        """Find out what `server: auto` stands for, one rollout after the other, so that polls need not wait for it."""
        while True:
            await self._busy.wait()
            for key, watched in list(self._watched.items()):
                unfound = any(_is_unfound(slo, watched.server) for slo in watched.target.slos)
                if unfound and watched.find_at <= time.monotonic():
                    await self._find_server(key, watched)
            await asyncio.sleep(self._interval)

    async def _find_server(self, key: Key, watched: _Watched) -> None:
        found = await find_server(self._source, *key)
        if isinstance(found, ServerKind):
            watched.server = found
            watched.feeds = _feeds(key, watched.target, found, watched.feeds)
        else:
            watched.unfound, watched.find_at = found, time.monotonic() + _FIND_AGAIN * self._interval
        watched.told_at = None

    async def _follow_queries(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            await self._busy.wait()
            now = time.monotonic()
            for key, watched in self._watched.items():
                for query in watched.queries.values():
                    if query.due <= now:
                        query.due = math.inf
                        tasks.create_task(self._ask(key, query))
            await asyncio.sleep(self._interval)

    async def _ask(self, key: Key, query: FreeQuery) -> None:
        async with self._turns:
            started = time.monotonic()
            now = self._clock()
            try:
                await query.look(self._source, now)
            except Exception as error:
                _log.exception("a query of %s/%s cannot be judged", *key)
                query.fail(QueryError(f"the answer of Prometheus cannot be judged: {error!r}"), now)
            ended = time.monotonic()
        queries = sum(len(watched.queries) for watched in self._watched.values())
        rest = (ended - started) * queries / _QUERY_LOAD
        query.due = ended + min(LONGEST_REST.total_seconds(), max(self._interval, rest))
        self._tell(key)

    def _tell(self, key: Key) -> None:
        """Hand over what the SLOs say now."""
        if watched := self._watched.get(key):
            self._on_readings(key, watched.readings(self._clock()))


def _is_unfound(slo: Slo, server: ServerKind | None) -> bool:
    """Whether the SLO is read from a server, and nobody knows yet which it is."""
    return server is ServerKind.AUTO and slo.metric is not None and is_of_server(slo, server)


def _looks_at_the_same(before: Target, target: Target) -> bool:
    """Whether what was found out about the server still holds: only the stage or the SLOs have changed."""
    return (before.server, before.watch.attempt) == (target.server, target.watch.attempt)


def _feeds(key: Key, target: Target, server: ServerKind | None, before: Mapping[str, Feed]) -> dict[str, Feed]:
    """What the SLOs with built-in metrics need, one feed for each template; those that go on keep their ledger."""
    slos: dict[str, list[Slo]] = defaultdict(list)
    for slo in target.slos:
        if slo.metric and not _is_unfound(slo, server):
            slos[template_for(slo, server).name].append(slo)
    return {name: _feed(key, target.watch, name, chosen, before.get(name)) for name, chosen in slos.items()}


def _feed(key: Key, watch: Watch, name: str, slos: Iterable[Slo], before: Feed | None) -> Feed:
    template = load(name)
    namespace, rollout = key
    arm = Arm(namespace=namespace, rollout=rollout, colour=watch.candidate, attempt=watch.attempt)
    wanted = frozenset().union(*(template.wanted(slo) for slo in slos))
    since, window = watch.since.timestamp(), max(parse_duration(slo.window).total_seconds() for slo in slos)
    if before and (before.arm, before.wanted) == (arm, wanted) and window <= before.window:
        before.since, before.window = since, window
        return before
    return Feed(template=template, arm=arm, wanted=wanted, since=since, window=window)


def _queries(key: Key, target: Target) -> dict[str, FreeQuery]:
    namespace, rollout = key
    watch = target.watch
    scope = Scope(namespace=namespace, rollout=rollout, stable=watch.stable, candidate=watch.candidate)
    return {slo.name: FreeQuery(slo, scope, watch.since) for slo in target.slos if slo.query}
