"""One poller for all rollouts: it asks Prometheus while something is watched, and tells what every SLO says."""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

from modelrollout.api.evidence import SloEvidence
from modelrollout.api.spec import ServerKind
from modelrollout.engine.snapshot import Readings
from modelrollout.metrics.batch import absorb, questions
from modelrollout.metrics.calibration import read_noise
from modelrollout.metrics.direct import Direct
from modelrollout.metrics.exposed import find_server
from modelrollout.metrics.paired import Asked
from modelrollout.metrics.prometheus import Matrix, QueryError, Source
from modelrollout.metrics.queries import LONGEST_REST
from modelrollout.metrics.scrapes import Scraper, Wanted
from modelrollout.metrics.watched import Key, Target, Uncalibrated, Watched

_log = logging.getLogger(__name__)

_LONGEST_BACKOFF = 5.0
_FIND_AGAIN = 10
"""Polls after which a server that was not found is looked for again."""

_QUERY_LOAD = 0.25
"""Share of one core that free queries may cost Prometheus, all of them together, as far as the longest rest allows."""

_QUERIES_AT_ONCE = 4

_SCRAPE_TICK = 0.1
"""Seconds: how late a scrape may begin."""

_CALIBRATE_AGAIN = 10.0
"""Seconds until stable's past is asked for again when there was no answer."""


class Poller:
    """Watches rollouts and tells `on_readings` what their SLOs say: when that changes, and each second.

    Everything happens on the event loop that `run` is on; `watch` and `unwatch` are called from there. However many
    rollouts are watched, built-in metrics cost at most three queries a poll, and one more for each further kind of
    proxy. Free queries are asked one by one beside them, so that a slow or wrong one hurts only its owner.
    """

    def __init__(
        self,
        source: Source,
        on_readings: Callable[[Key, Readings], None],
        *,
        interval: timedelta = timedelta(seconds=0.5),
        scraper: Scraper | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Without a `scraper` no pods are asked, whatever a target says."""
        self._source = source
        self._on_readings = on_readings
        self._interval = interval.total_seconds()
        self._scraper = scraper
        self._clock = clock
        self._watched: dict[Key, Watched] = {}
        self._busy = asyncio.Event()
        self._turns = asyncio.Semaphore(_QUERIES_AT_ONCE)

    def watch(self, key: Key, target: Target, written: Iterable[SloEvidence] = ()) -> None:
        """Look at a rollout from now on; what was counted so far is kept where the new target needs the same.

        Where this process has counted nothing of the attempt yet, it goes on from the evidence that was written down.
        """
        before = self._watched.get(key)
        if before is not None and before.target == target:
            return
        self._watched[key] = Watched.of(key, target, before=before, written=written, now=self._clock())
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
            if self._scraper:
                tasks.create_task(self._follow_pods(self._scraper, tasks))

    async def _follow_templates(self) -> None:
        backoff = 0.0
        while True:
            await self._busy.wait()
            started = time.monotonic()
            backoff = 0.0 if await self._poll() else min(_LONGEST_BACKOFF, max(2 * backoff, self._interval))
            for key, watched in list(self._watched.items()):
                if watched.has_news(self._clock()):
                    self._tell(key)
                    await asyncio.sleep(0)  # who acts on it need not wait until all the others are weighed
            took = time.monotonic() - started
            await asyncio.sleep(max(self._interval - took, took, backoff))  # at most half of the time is spent asking

    async def _poll(self) -> bool:
        """Ask for everything that the templates need, at once; whether there was an answer to all of it."""
        now = self._clock().timestamp()
        asked = questions((feed for watched in self._watched.values() for feed in watched.feeds), now=now)
        answers = await asyncio.gather(*(self._source.matrix(question.promql) for question in asked))
        for question, answer in zip(asked, answers, strict=True):
            absorb(question, answer, now=now)
        return all(isinstance(answer, Matrix) for answer in answers)

    async def _follow_pods(self, scraper: Scraper, tasks: asyncio.TaskGroup) -> None:
        """Scrape pods directly, each rollout by itself: neither Prometheus nor the pods of another keep it waiting."""
        while True:
            await self._busy.wait()
            for key, watched in self._watched.items():
                direct = watched.direct
                if direct and direct.due <= time.monotonic() and (wanted := watched.wanted_of_pods):
                    direct.due = math.inf
                    tasks.create_task(self._scrape(scraper, key, direct, wanted))
            await asyncio.sleep(_SCRAPE_TICK)

    async def _scrape(self, scraper: Scraper, key: Key, direct: Direct, wanted: Wanted) -> None:
        due = time.monotonic() + direct.interval(self._clock().timestamp())
        try:
            scraped = await direct.look(scraper, wanted, clock=lambda: self._clock().timestamp())
            watched = self._watched.get(key)
            if watched and watched.direct is direct:
                watched.take_scrapes(scraped, self._clock())
                self._tell(key)
        except Exception:
            _log.exception("the pods of %s/%s cannot be scraped", *key)
        finally:
            direct.due = due

    async def _follow_servers(self) -> None:
        """Find out what `server: auto` stands for, one rollout after the other, so that polls need not wait for it."""
        while True:
            await self._busy.wait()
            for key, watched in list(self._watched.items()):
                if watched.lacks_server and watched.find_at <= time.monotonic():
                    await self._find_server(key, watched)
            await asyncio.sleep(self._interval)

    async def _find_server(self, key: Key, watched: Watched) -> None:
        found = await find_server(self._source, *key)
        if isinstance(found, ServerKind):
            watched.read_from(found)
        else:
            watched.unfound, watched.find_at = found, time.monotonic() + _FIND_AGAIN * self._interval
        watched.told_at = None

    async def _follow_queries(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            await self._busy.wait()
            now = time.monotonic()
            for key, watched in self._watched.items():
                for query in watched.asked:
                    if query.due <= now:
                        query.due = math.inf
                        tasks.create_task(self._ask(key, query))
                for uncalibrated in watched.uncalibrated:
                    if uncalibrated.due <= now:
                        uncalibrated.due = math.inf
                        tasks.create_task(self._calibrate(watched, uncalibrated))
            await asyncio.sleep(self._interval)

    async def _ask(self, key: Key, query: Asked) -> None:
        async with self._turns:
            started = time.monotonic()
            now = self._clock()
            try:
                await query.look(self._source, now)
            except Exception as error:
                _log.exception("a query of %s/%s cannot be judged", *key)
                query.fail(QueryError(f"the answer of Prometheus cannot be judged: {error!r}"), now)
            ended = time.monotonic()
        queries = sum(len(watched.asked) for watched in self._watched.values())
        rest = (ended - started) * queries / _QUERY_LOAD
        query.due = ended + min(LONGEST_REST.total_seconds(), max(self._interval, rest))
        self._tell(key)

    async def _calibrate(self, watched: Watched, uncalibrated: Uncalibrated) -> None:
        """Read off stable's past how much its rates vary; until then, and without an answer, much is assumed."""
        noise = None
        async with self._turns:
            try:
                noise = await read_noise(
                    self._source,
                    uncalibrated.slos,
                    uncalibrated.stable,
                    serving_since=watched.target.watch.stable_since,
                    now=self._clock(),
                )
            except Exception:
                _log.exception("the past of stable cannot be read: %s", watched.target.watch)
        if noise is None:
            uncalibrated.due = time.monotonic() + _CALIBRATE_AGAIN
        else:
            watched.calibrated(uncalibrated, noise)

    def _tell(self, key: Key) -> None:
        """Hand over what the SLOs say now."""
        if watched := self._watched.get(key):
            self._on_readings(key, watched.readings(self._clock()))
