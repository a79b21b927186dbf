"""Queries that are compared with stable: asked for both versions at the same moments."""

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from modelrollout.api.evidence import Means, SloEvidence
from modelrollout.api.quantities import parse_duration
from modelrollout.api.slo import Baseline, Slo
from modelrollout.api.status import SloStatus
from modelrollout.engine.effects import Watch
from modelrollout.judge.means import Both, judge_both, judge_means, log_evidence, with_point
from modelrollout.judge.thresholds import VerdictReason, describe, undecided
from modelrollout.metrics.prometheus import NoData, QueryError, Single, Source, Value
from modelrollout.metrics.queries import (
    OLDEST_LOOK,
    STALE_AFTER,
    FreeQuery,
    OutOfRange,
    Scope,
    basis,
    judge_single,
    newest_sample,
    not_looked_at,
)

SETTLES = timedelta(seconds=20)
"""After this long no scrape shows up any more that began before: the longest time-out of a scrape, and some more."""

_MINUTE = timedelta(minutes=1)

_FARTHEST_BACK = timedelta(minutes=20)
"""Points that were missed longer ago are not asked for any more, so that what a restart costs is bounded."""


class PlainPair(FreeQuery):
    """A query whose value is held against stable's at each look at new samples."""

    def __init__(self, slo: Slo, baseline: Baseline, scope: Scope, since: datetime) -> None:
        super().__init__(slo, scope, since)
        self._baseline = baseline

    async def _newest(self, source: Source, now: datetime) -> Single | OutOfRange:
        return await _newest_of_both(source, _of_both(self._slo, self._scope, self._window), now)

    async def _said(self, source: Source, at: datetime, now: datetime) -> SloStatus:
        asked = _of_both(self._slo, self._scope, min(self._window, now - self._since))
        said = await _value_of_both(source, self._slo, asked, now)
        return said if isinstance(said, SloStatus) else judge_both(self._slo, said, self._baseline, at=at)


class Points:
    """A query that is compared with stable by the evidence of the whole attempt.

    A point is taken at fixed moments, whenever somebody looks: at the end of each minute, or of as many as the longest
    range in the query has, so that no two points are made of the same samples. So neither an extra look nor a restart
    changes anything, and what was missed meanwhile is asked for later.
    """

    def __init__(
        self, slo: Slo, baseline: Baseline, scope: Scope, since: datetime, resumed: SloEvidence | None = None
    ) -> None:
        """`resumed` is what was written down last in the same attempt; of another question it says nothing."""
        self.due = 0.0
        """Of time.monotonic(): when to look next; infinite while a look is under way."""
        self._slo = slo
        self._baseline = baseline
        self._asked = _of_both(slo, scope, parse_duration(slo.window))
        self._every = _MINUTE * max(1, *(math.ceil(basis(promql).reach / _MINUTE) for promql in self._asked))
        self._written = resumed if resumed and resumed.question == slo.question else None
        self._means = (self._written and self._written.means) or Means()
        begun = _edge_after(since, self._every)
        self._looked_to = max(begun, self._written.counted_to) if self._written else begun
        self._trouble: SloStatus | None = None

    @property
    def worse(self) -> float:
        """Logarithm of the evidence that the candidate is worse than tolerated."""
        return log_evidence(self._means)

    def read(self, now: datetime, *, pooled: float) -> SloStatus:
        """What all points say, unless the last of them could not be taken; see `judge_means` for `pooled`."""
        if self._trouble:
            return self._trouble
        if now - self._looked_to > self._every + SETTLES + OLDEST_LOOK:
            return not_looked_at(self._slo, self._looked_to, now)
        at = min(self._looked_to, now)
        return judge_means(self._slo, self._means, self._baseline, pooled=pooled, every=self._every, at=at)

    def written(self) -> SloEvidence | None:
        """All that is needed to go on from the newest point; None before the first."""
        return self._written

    def fail(self, trouble: QueryError, now: datetime) -> None:
        """The look came to nothing."""
        self._trouble = judge_single(self._slo, trouble, at=now)

    async def look(self, source: Source, now: datetime) -> None:
        """Take the next point, once no scrape can change it any more."""
        at = self._next(now)
        if at is None:
            return
        said = await self._ask(source, at)
        self._trouble = said if isinstance(said, SloStatus) else None
        if self._trouble and self._trouble.reason == VerdictReason.PROMETHEUS_UNAVAILABLE:
            return
        self._looked_to = at
        if isinstance(said, Both):
            self._take(said, at)

    def _next(self, now: datetime) -> datetime | None:
        missed = (now - _FARTHEST_BACK - self._looked_to) // self._every
        self._looked_to += max(0, missed) * self._every
        following = self._looked_to + self._every
        return following if following <= now - SETTLES else None

    async def _ask(self, source: Source, at: datetime) -> Both | SloStatus | None:
        """What both versions yield at the end of a block; nothing if one of them has no sample in it."""
        newest = await _newest_of_both(source, self._asked, at)
        if isinstance(newest, OutOfRange):
            message = "no series that the query selects has a current sample for both versions, only older ones"
            return undecided(self._slo, VerdictReason.STALE_SCRAPE, message, at=at)
        if not isinstance(newest, Value | NoData):
            return judge_single(self._slo, newest, at=at)
        age = at - datetime.fromtimestamp(newest.value, tz=UTC) if isinstance(newest, Value) else timedelta()
        if age > STALE_AFTER:
            message = f"the newest sample that either version has was {describe(age)} old"
            return undecided(self._slo, VerdictReason.STALE_SCRAPE, message, at=at)
        return await _value_of_both(source, self._slo, self._asked, at) if age < self._every else None

    def _take(self, both: Both, at: datetime) -> None:
        means = with_point(self._means, both, self._baseline)
        if means != self._means:
            self._means = means
            self._written = SloEvidence(
                name=self._slo.name,
                question=self._slo.question,
                counted_to=at,
                block=self._every // _MINUTE,
                means=means,
            )


Asked = FreeQuery | Points
"""What is asked of Prometheus by itself, one after the other."""


def plain_queries(slos: Iterable[Slo], scope: Scope, watch: Watch) -> dict[str, FreeQuery]:
    """By SLO: queries that are judged by one look, but for those that have nothing to be compared with."""
    queries: dict[str, FreeQuery] = {}
    for slo in slos:
        if slo.query and slo.baseline is None:
            queries[slo.name] = FreeQuery(slo, scope, watch.since)
        elif slo.query and slo.baseline and not slo.is_sequential and watch.comparable:
            queries[slo.name] = PlainPair(slo, slo.baseline, scope, watch.since)
    return queries


def points_of(slos: Iterable[Slo], scope: Scope, watch: Watch, resumed: Mapping[str, SloEvidence]) -> dict[str, Points]:
    """By SLO: queries that are judged by all points of the attempt, where there is something to be compared with."""
    return {
        slo.name: Points(slo, slo.baseline, scope, watch.since, resumed.get(slo.name))
        for slo in slos
        if slo.query and slo.baseline and slo.is_sequential and watch.comparable
    }


def _of_both(slo: Slo, scope: Scope, window: timedelta) -> tuple[str, str]:
    """The query filled in for the candidate, and for stable."""
    written = slo.query.value if slo.query else ""
    return scope.fill(written, window, arm=scope.candidate), scope.fill(written, window, arm=scope.stable)


async def _newest_of_both(source: Source, asked: Iterable[str], at: datetime) -> Single | OutOfRange:
    """Time of the newest sample behind either query, whichever is older."""
    times = []
    for promql in asked:
        newest = await newest_sample(source, basis(promql), at)
        if not isinstance(newest, Value):
            return newest
        times.append(newest.value)
    return Value(min(times))


async def _value_of_both(source: Source, slo: Slo, asked: tuple[str, str], at: datetime) -> Both | SloStatus:
    """What both versions yield at a moment, or why there is nothing to compare."""
    values = []
    for version, promql in zip(("the candidate", "stable"), asked, strict=True):
        answer = await source.value(promql, at)
        if not isinstance(answer, Value):
            said = judge_single(slo, answer, at=at)
            return said.model_copy(update={"message": f"{version}: {said.message}"})
        values.append(answer.value)
    candidate, stable = values
    return Both(candidate=candidate, stable=stable)


def _edge_after(moment: datetime, every: timedelta) -> datetime:
    """The next moment at which points are taken: all operators agree on them."""
    seconds = every.total_seconds()
    return datetime.fromtimestamp(math.ceil(moment.timestamp() / seconds) * seconds, tz=UTC)
