"""A rollout that is looked at: what is asked for it, what was counted, and what its SLOs say of that."""

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from modelrollout.api.evidence import Counted, SloEvidence
from modelrollout.api.quantities import parse_duration
from modelrollout.api.scrapes import DirectScrapes
from modelrollout.api.slo import Slo
from modelrollout.api.spec import ServerKind
from modelrollout.api.status import SloStatus
from modelrollout.engine.effects import Watch
from modelrollout.engine.snapshot import Readings
from modelrollout.judge.evidence import NOTHING, Book, Pair, Weighed
from modelrollout.judge.guardrail import judge_evidence, pool
from modelrollout.judge.means import judge_uncompared
from modelrollout.judge.noise import UNKNOWN, Noise
from modelrollout.judge.thresholds import MESSAGE_LENGTH, VerdictReason, judge_counts, undecided
from modelrollout.metrics import proxies
from modelrollout.metrics.batch import Feed
from modelrollout.metrics.direct import Direct
from modelrollout.metrics.exposed import NotFound
from modelrollout.metrics.paired import SETTLES, Asked, Points, plain_queries, points_of
from modelrollout.metrics.prometheus import RawSeries, Trouble
from modelrollout.metrics.queries import FreeQuery, Scope
from modelrollout.metrics.readings import Arms, between, counts, unknown_source, unreadable
from modelrollout.metrics.scrapes import Wanted
from modelrollout.metrics.splits import Splits
from modelrollout.metrics.templates import Arm, PodLabels, Template, is_of_server, template_for
from modelrollout.metrics.ways import Ways

_log = logging.getLogger(__name__)

Key = tuple[str, str]
"""Namespace and name of a rollout."""

_REFRESH = timedelta(seconds=1)
"""Readings that do not change are told again this often, so that the engine knows that somebody looks."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """What to look at for a rollout: the stage that it is in, and the part of its spec that says how."""

    watch: Watch
    slos: tuple[Slo, ...]
    server: ServerKind | None = None
    controllers: frozenset[str] = frozenset()
    """Those that serve the route, by which its proxies are known."""
    direct: DirectScrapes | None = None


@dataclass(kw_only=True, eq=False)
class Uncalibrated:
    """SLOs of one template of which it is not known yet how much stable's rates vary."""

    slos: Sequence[Slo]
    stable: Feed
    due: float = 0.0
    """Of time.monotonic(): when to ask; infinite while that is under way."""


@dataclass(kw_only=True)
class Watched:
    """A rollout that is looked at."""

    key: Key
    target: Target
    server: ServerKind | None
    """That of the target; with `auto` the one that was found, and AUTO until then."""
    ways: Mapping[str, Ways]
    """By the name of their template."""
    queries: Mapping[str, FreeQuery]
    """By the name of their SLO."""
    points: Mapping[str, Points]
    """By the name of their SLO: queries that are compared with stable by the evidence of the attempt."""
    books: Mapping[str, Book]
    """By the name of their SLO: those that are judged by the evidence of the attempt."""
    splits: Splits
    direct: Direct | None = None
    """None: the pods are not scraped directly."""
    uncalibrated: list[Uncalibrated] = field(default_factory=list)
    unfound: NotFound | Trouble | None = None
    """Why the server was not found when it was last looked for."""
    find_at: float = 0.0
    """Of time.monotonic(): when to look for it again."""
    told_at: datetime | None = None
    _weighed: dict[str, Weighed] = field(default_factory=dict)

    @classmethod
    def of(
        cls, key: Key, target: Target, *, before: "Watched | None", written: Iterable[SloEvidence], now: datetime
    ) -> "Watched":
        """What is to be looked at, with what was counted so far as far as it is about the same."""
        books = dict(before.turned_over(target, now)) if before else {}
        resumed = {one.name: one for one in written}
        if before and before.target.watch.attempt == target.watch.attempt:
            resumed |= before.pointed()
        fresh = [slo for slo in target.slos if slo.counts and slo.is_sequential and slo.name not in books]
        for slo in fresh:
            books[slo.name] = _book(slo, target.watch, resumed.get(slo.name))
        found = before is not None and _looks_at_the_same(before.target, target)
        scope = _scope(key, target.watch)
        watched = cls(
            key=key,
            target=target,
            server=before.server if before and found else target.server,
            ways=before.ways if before else {},
            queries=plain_queries(target.slos, scope, target.watch),
            points=points_of(target.slos, scope, target.watch, resumed),
            books=books,
            splits=Splits(target.watch, target.slos, books, before=before.splits if before else None),
            direct=_direct(key, target, before.direct if before else None),
            _weighed=before.weighed_of(books, target) if before else {},
        )
        watched._look_at_arms()
        return watched

    def read_from(self, server: ServerKind) -> None:
        """It is known now which server `auto` stands for."""
        self.server = server
        self._look_at_arms()

    @property
    def lacks_server(self) -> bool:
        """Whether something is to be read from a server that nobody knows yet."""
        return any(_is_unfound(slo, self.server) for slo in self.target.slos)

    @property
    def proxy(self) -> Template | NotFound:
        """How the proxies of the route count."""
        return proxies.find(self.target.controllers)

    @property
    def feeds(self) -> Iterable[Feed]:
        """All that has to be asked for together with others."""
        for ways in self.ways.values():
            yield from (ways.prometheus.candidate, ways.prometheus.stable)

    @property
    def wanted_of_pods(self) -> Wanted | None:
        """What pods are scraped for; None when it is nothing."""
        feeds = [feed for ways in self.ways.values() if ways.direct for feed in ways.feeds]
        names = frozenset[str]().union(*(feed.template.series_names(feed.wanted) for feed in feeds))
        edges = frozenset[str]().union(*(feed.template.edge_labels(feed.wanted) for feed in feeds))
        return Wanted(names=names, edges=edges) if feeds else None

    def take_scrapes(self, scraped: Mapping[Arm, Sequence[RawSeries]], now: datetime) -> None:
        """Book what pods have said of themselves."""
        for ways in self.ways.values():
            for feed in (ways.direct.candidate, ways.direct.stable) if ways.direct else ():
                feed.absorb(scraped.get(feed.arm, ()), now.timestamp())

    @property
    def asked(self) -> tuple[Asked, ...]:
        """All that is asked by itself."""
        return (*self.queries.values(), *self.points.values())

    def has_news(self, now: datetime) -> bool:
        """Whether there is something new to tell, or the last telling is a while ago."""
        late = self.told_at is None or abs(now - self.told_at) >= _REFRESH
        return late or any(ways.has_news for ways in self.ways.values())

    def readings(self, now: datetime) -> Readings:
        """What the SLOs say, taken as told."""
        for ways in self.ways.values():
            ways.choose(now.timestamp(), lasts=self.direct.lasts(now.timestamp()) if self.direct else 0.0)
        if any(ways.has_news for ways in self.ways.values()):
            self._weighed = self._weigh(now)
            self._look_at_splits(now)
        self.told_at = now
        for feed in (feed for ways in self.ways.values() for feed in ways.feeds):
            feed.news = False
        comparable = [slo for slo in self.target.slos if not self.splits.mismatch(slo)]
        pooled = pool({slo.name: slo for slo in comparable}, {**self._weighed, **self.points})
        return Readings(
            attempt=self.target.watch.attempt,
            stage=self.target.watch.stage,
            looked_at=now,
            by_slo={slo.name: self._read(slo, pooled, now) for slo in self.target.slos},
            evidence={name: book.written() for name, book in self.books.items()} | self.pointed(),
        )

    def turned_over(self, target: Target, now: datetime) -> Iterable[tuple[str, Book]]:
        """The books that go on with another target of the same attempt, and what was counted for this one in them."""
        watch = target.watch
        if watch.attempt != self.target.watch.attempt:
            return
        before = {slo.name: slo for slo in self.target.slos}
        for slo in target.slos:
            book = self.books.get(slo.name)
            if book is None or before.get(slo.name) != slo:
                continue
            if watch.since != self.target.watch.since:
                book.turn(partial(self._between, slo), now=now, since=watch.since)
            yield slo.name, book

    def weighed_of(self, books: Mapping[str, Book], target: Target) -> dict[str, Weighed]:
        """What was weighed of books that go on in the same stage: it holds until the next look."""
        goes_on = target.watch.since == self.target.watch.since
        return {name: one for name, one in self._weighed.items() if goes_on and books.get(name) is self.books[name]}

    def pointed(self) -> dict[str, SloEvidence]:
        """Where the points stand."""
        return {name: written for name, points in self.points.items() if (written := points.written())}

    def calibrated(self, uncalibrated: Uncalibrated, noise: Mapping[str, Noise]) -> None:
        """It is known how much stable's rates vary."""
        for name, one in noise.items():
            self.books[name].assume(one)
        if uncalibrated in self.uncalibrated:
            self.uncalibrated.remove(uncalibrated)

    def _look_at_arms(self) -> None:
        """What the SLOs that count need, by template; arms that go on keep their ledgers."""
        slos = self._by_template()
        self.ways = {template.name: self._ways(template, chosen) for template, chosen in slos}
        fresh = {template.name: [slo for slo in chosen if self._is_uncalibrated(slo)] for template, chosen in slos}
        self.uncalibrated = [
            Uncalibrated(slos=some, stable=self.ways[name].prometheus.stable) for name, some in fresh.items() if some
        ]

    def _ways(self, template: Template, slos: Sequence[Slo]) -> Ways:
        """How what some SLOs of one template count is found out."""
        before = self.ways.get(template.name)

        def both(old: Arms | None) -> Arms:
            return _both(self.key, self.target.watch, template=template, slos=slos, before=old, books=self.books)

        ways = Ways(prometheus=both(before.prometheus if before else None))
        is_scraped = self.direct is not None and isinstance(template.attribution, PodLabels)
        if is_scraped or (before and before.is_direct):  # what only pods have told counts until Prometheus takes over
            ways.direct = both(before.direct if before else None)
            ways.is_direct = before is not None and before.goes_on_in(ways)
        return ways

    def _is_uncalibrated(self, slo: Slo) -> bool:
        return slo.name in self.books and not self.books[slo.name].is_calibrated

    def _weigh(self, now: datetime) -> dict[str, Weighed]:
        """What the books say, with everything in them that was counted until now."""
        weighed = {}
        for slo in self.target.slos:
            arms = self._arms_of(slo)
            if slo.name in self.books and arms and arms.looked_at and not unreadable(slo, arms.candidate, now):
                settled = datetime.fromtimestamp(arms.looked_at, tz=now.tzinfo) - SETTLES
                try:
                    said = self.books[slo.name].weigh(partial(self._between, slo), settled=settled, now=now)
                except Exception:
                    _log.exception("the counts of SLO %s cannot be weighed: %s", slo.name, self.target.watch)
                else:
                    weighed[slo.name] = said
        self._count_from_there()
        return weighed

    def _look_at_splits(self, now: datetime) -> None:
        for slo in self.target.slos:
            arms, weighed = self._arms_of(slo), self._weighed.get(slo.name)
            if arms and weighed:
                coverages = [feed.ledger.coverage(now.timestamp()) for feed in (arms.candidate, arms.stable)]
                self.splits.look(slo, weighed, coverages, now)

    def _count_from_there(self) -> None:
        """What is not in the books for good yet must stay in the ledgers."""
        for template, slos in self._by_template():
            counted_to = [self.books[slo.name].counted_to.timestamp() for slo in slos if slo.name in self.books]
            for feed in self.ways[template.name].feeds:
                feed.counts_from = min(counted_to, default=math.inf)

    def _between(self, slo: Slo, after: datetime, until: datetime) -> Pair:
        arms = self._arms_of(slo)
        pair = between(slo, arms, after, until) if arms else NOTHING
        return pair if self.target.watch.comparable else Pair(candidate=pair.candidate, stable=Counted())

    def _arms_of(self, slo: Slo) -> Arms | None:
        ways = self._ways_of(slo)
        return ways.arms if ways else None

    def _ways_of(self, slo: Slo) -> Ways | None:
        template = self._template(slo)
        return self.ways.get(template.name) if template else None

    def _by_template(self) -> list[tuple[Template, list[Slo]]]:
        found: dict[str, tuple[Template, list[Slo]]] = {}
        for slo in self.target.slos:
            if template := self._template(slo):
                found.setdefault(template.name, (template, []))[1].append(slo)
        return list(found.values())

    def _template(self, slo: Slo) -> Template | None:
        """How an SLO is counted; None when it does not count, or nobody can tell how."""
        if slo.query or _is_unfound(slo, self.server):
            return None
        try:
            found = template_for(slo, self.server, self.proxy)
        except ValueError:  # a selector of the user's that does not parse: the look at it says so
            return None
        return found if isinstance(found, Template) else None

    def _read(self, slo: Slo, pooled: Mapping[str, float], now: datetime) -> SloStatus:
        """What one SLO says; numbers that cannot be judged hurt no other."""
        try:
            if slo.name in self.queries:
                return self.queries[slo.name].read(now)
            if slo.name in self.points:
                return self.points[slo.name].read(now, pooled=pooled[slo.name])
            if slo.query:
                return judge_uncompared(slo, at=now)
            if _is_unfound(slo, self.server):
                return unknown_source(slo, self.unfound, now)
            return self._with_server(slo, self._with_way(slo, self._judge(slo, pooled, now)))
        except Exception as error:
            _log.exception("SLO %s cannot be judged: %s", slo.name, self.target.watch)
            message = f"the answer of Prometheus cannot be judged: {error!r}"
            return undecided(slo, VerdictReason.QUERY_ERROR, message, at=now)

    def _with_way(self, slo: Slo, status: SloStatus) -> SloStatus:
        """With the reason why it is judged by Prometheus although the pods were to be asked."""
        ways = self._ways_of(slo)
        if not (self.direct and self.direct.problem and ways and ways.direct) or ways.is_direct:
            return status
        message = f"{status.message}; direct scrapes do not work, so Prometheus is read: {self.direct.problem}"
        return status.model_copy(update={"message": message[:MESSAGE_LENGTH]})

    def _with_server(self, slo: Slo, status: SloStatus) -> SloStatus:
        """With the server that was found, for those who did not name it."""
        if self.target.server is not ServerKind.AUTO or not is_of_server(slo, self.server):
            return status
        return status.model_copy(update={"message": f"{status.message}; the server is {self.server}"})

    def _judge(self, slo: Slo, pooled: Mapping[str, float], now: datetime) -> SloStatus:
        template = template_for(slo, self.server, self.proxy)
        if isinstance(template, NotFound):
            return unknown_source(slo, template, now)
        arms = self.ways[template.name].arms
        if unknown := unreadable(slo, arms.candidate, now):
            return unknown
        coverage, in_window = arms.candidate.ledger.coverage(now.timestamp()), counts(slo, arms, now)
        if slo.name not in self.books:
            return judge_counts(slo, in_window, coverage, now=now)
        if slo.name not in self._weighed:
            return undecided(slo, VerdictReason.PENDING, "the counts of both versions were not weighed yet", at=now)
        weighed = self._weighed[slo.name]
        return judge_evidence(
            slo,
            in_window,
            weighed,
            coverage,
            pooled=pooled[slo.name],
            now=now,
            mismatch=self.splits.mismatch(slo),
        )


def _book(slo: Slo, watch: Watch, resumed: SloEvidence | None) -> Book:
    same = resumed if resumed and resumed.question == slo.question else None
    return Book(slo, noise=UNKNOWN, since=watch.since, resumed=same)


def _is_unfound(slo: Slo, server: ServerKind | None) -> bool:
    """Whether the SLO is read from a server, and nobody knows yet which it is."""
    return server is ServerKind.AUTO and slo.metric is not None and is_of_server(slo, server)


def _looks_at_the_same(before: Target, target: Target) -> bool:
    """Whether what was found out about the server still holds: only the stage or the SLOs have changed."""
    return (before.server, before.watch.attempt) == (target.server, target.watch.attempt)


def _arms(key: Key, watch: Watch) -> tuple[Arm, Arm]:
    """The candidate and stable."""
    namespace, rollout = key
    return (
        Arm(namespace=namespace, rollout=rollout, colour=watch.candidate, attempt=watch.attempt),
        Arm(namespace=namespace, rollout=rollout, colour=watch.stable, attempt=watch.stable_attempt),
    )


def _direct(key: Key, target: Target, before: Direct | None) -> Direct | None:
    """Which pods are scraped; those of the same attempt go on as before."""
    if target.direct is None:
        return None
    arms, since = _arms(key, target.watch), target.watch.since.timestamp()
    if before and (before.wanted, tuple(before.arms)) == (target.direct, arms):
        before.since = since
        return before
    return Direct(target.direct, arms, since)


def _both(
    key: Key, watch: Watch, *, template: Template, slos: Sequence[Slo], before: Arms | None, books: Mapping[str, Book]
) -> Arms:
    begun = [books[slo.name].begun.timestamp() for slo in slos if slo.name in books]
    wanted: frozenset[str] = frozenset().union(*(template.wanted(slo) for slo in slos))
    since, window = watch.since.timestamp(), max(parse_duration(slo.window).total_seconds() for slo in slos)

    def feed(arm: Arm, old: Feed | None) -> Feed:
        if old and (old.arm, old.wanted) == (arm, wanted) and window <= old.window:
            old.since, old.window = since, window
            return old
        fresh = Feed(template=template, arm=arm, wanted=wanted, since=since, window=window)
        fresh.counts_from = min(begun, default=fresh.counts_from)
        return fresh

    candidate, stable = _arms(key, watch)
    return Arms(
        candidate=feed(candidate, before.candidate if before else None),
        stable=feed(stable, before.stable if before else None),
    )


def _scope(key: Key, watch: Watch) -> Scope:
    namespace, rollout = key
    return Scope(namespace=namespace, rollout=rollout, stable=watch.stable, candidate=watch.candidate)
