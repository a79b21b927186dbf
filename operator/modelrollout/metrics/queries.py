"""Free queries: what users write, filled in and asked one by one."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from string import Template

import promql_parser

from modelrollout.api.labels import colour_name
from modelrollout.api.quantities import parse_duration
from modelrollout.api.slo import QUERY_VARIABLES, Slo
from modelrollout.api.status import Colour, SloStatus
from modelrollout.judge.thresholds import VerdictReason, describe, judge_value, undecided
from modelrollout.metrics.prometheus import (
    ManySeries,
    NoData,
    NotANumber,
    QueryError,
    Single,
    Source,
    Unavailable,
    Value,
)

STALE_AFTER = timedelta(minutes=3)
"""A value whose newest sample is older says nothing; three scrapes at Prometheus's default interval."""

_STEP = timedelta(seconds=15)
"""How often a value without any sample behind it (`absent(…)`, `vector(0)`) counts as a new look."""

LONGEST_REST = timedelta(seconds=30)
"""Between two looks of a query, so that what they cost is bounded."""

OLDEST_LOOK = LONGEST_REST + timedelta(seconds=15)
"""Longer ago, a query waits for a Prometheus that is too slow: what it said then is not known to hold."""


_NO_ANSWER = {VerdictReason.QUERY_ERROR, VerdictReason.PROMETHEUS_UNAVAILABLE}


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What the variables of a query stand for."""

    namespace: str
    rollout: str
    stable: Colour
    candidate: Colour

    def fill(self, query: str, window: timedelta, *, arm: Colour | None = None) -> str:
        """The query with its variables filled in, for an arm (the candidate's when left out).

        Other dollar signs are left as they are.
        """
        arm = arm or self.candidate
        values = {
            "namespace": self.namespace,
            "rollout": self.rollout,
            "stable": self.stable.value,
            "candidate": self.candidate.value,
            "service_stable": colour_name(self.rollout, self.stable),
            "service_candidate": colour_name(self.rollout, self.candidate),
            "arm": arm.value,
            "service_arm": colour_name(self.rollout, arm),
            "window": f"{max(1, round(window.total_seconds()))}s",
        }
        return Template(query).safe_substitute({name: values[name] for name in QUERY_VARIABLES})


@dataclass(frozen=True, slots=True)
class OutOfRange:
    """Samples are behind the query, but none that Prometheus still holds for current."""


@dataclass(frozen=True, slots=True)
class Basis:
    """What a query takes its value from, as PromQL."""

    selectors: tuple[str, ...]
    """Vector selectors; those of range vectors without their range."""
    ranges: tuple[str, ...]
    """Range vector selectors and subqueries."""
    names: tuple[str, ...]
    """Metrics that it asks for by name."""
    reach: timedelta
    """How far back the longest of the ranges goes."""


class FreeQuery:
    """One free query and what it said last."""

    def __init__(self, slo: Slo, scope: Scope, since: datetime) -> None:
        self.due = 0.0
        """Of time.monotonic(): when to look next; infinite while a look is under way."""
        self._slo = slo
        self._query = slo.query.value if slo.query else ""
        self._scope = scope
        self._since = since
        self._window = parse_duration(slo.window)
        self._status = undecided(slo, VerdictReason.PENDING, "not asked yet", at=since)
        self._looked_at: datetime | None = None
        self._judged: datetime | None = None

    def read(self, now: datetime) -> SloStatus:
        """What the last look said, unless that is too long ago."""
        if self._looked_at is None or abs(now - self._looked_at) <= OLDEST_LOOK:
            return self._status
        return not_looked_at(self._slo, self._looked_at, now)

    def fail(self, trouble: QueryError, now: datetime) -> None:
        """The look came to nothing."""
        self._status, self._looked_at, self._judged = judge_single(self._slo, trouble, at=now), now, None

    async def look(self, source: Source, now: datetime) -> None:
        """Ask for the newest sample behind the query, and for its value only if that is current and has moved.

        So a costly query is carried out once a scrape, one scrape looked at twice is not new evidence, and what was
        scraped last before a silence is none at all.
        """
        newest = await self._newest(source, now)
        if isinstance(newest, QueryError | Unavailable):
            self._status, self._judged = judge_single(self._slo, newest, at=now), None
        elif isinstance(newest, OutOfRange):
            message = "no series that the query selects has a current sample, only older ones"
            self._status, self._judged = undecided(self._slo, VerdictReason.STALE_SCRAPE, message, at=now), None
        else:
            await self._judge(source, _time_of(newest, now), now)
        self._looked_at = now

    async def _judge(self, source: Source, at: datetime, now: datetime) -> None:
        """Judge the value as of its newest sample."""
        if now - at > STALE_AFTER:
            message = f"the newest sample behind the query is {describe(now - at)} old"
            self._status, self._judged = undecided(self._slo, VerdictReason.STALE_SCRAPE, message, at=at), None
        elif at != self._judged:
            self._status = await self._said(source, at, now)
            self._judged = None if self._status.reason in _NO_ANSWER else at

    async def _newest(self, source: Source, now: datetime) -> Single | OutOfRange:  # noqa: ARG002 - see PlainPair
        """When the newest sample was taken behind the query with its whole window: the same while that still grows."""
        return await newest_sample(source, basis(self._scope.fill(self._query, self._window)))

    async def _said(self, source: Source, at: datetime, now: datetime) -> SloStatus:
        """The verdict on the value as of its newest sample."""
        answer = await source.value(self._scope.fill(self._query, min(self._window, now - self._since)))
        return judge_single(self._slo, answer, at=at)


def judge_single(slo: Slo, answer: Single, *, at: datetime) -> SloStatus:
    """The verdict on an answer as of the newest sample behind it."""
    match answer:
        case Value(value) | NotANumber(value):
            return judge_value(slo, value, at=at)
        case NoData():
            return undecided(slo, VerdictReason.NO_DATA, "the query yields nothing", at=at)
        case ManySeries(count):
            message = f"the query yields {count} series where one is wanted; aggregate them"
            return undecided(slo, VerdictReason.MANY_SERIES, message, at=at)
        case QueryError(message):
            return undecided(slo, VerdictReason.QUERY_ERROR, message, at=at)
        case Unavailable(message):
            return undecided(slo, VerdictReason.PROMETHEUS_UNAVAILABLE, message, at=at)


def not_looked_at(slo: Slo, looked_at: datetime, now: datetime) -> SloStatus:
    """The status of an SLO whose last look is too long ago."""
    message = f"Prometheus was last asked {describe(now - looked_at)} ago: it is slow, or has too many queries"
    return undecided(slo, VerdictReason.NOT_LOOKED_AT, message, at=looked_at)


async def newest_sample(source: Source, behind: Basis, at: datetime | None = None) -> Single | OutOfRange:
    """Time of the newest current sample of any series behind a query, as seconds since the epoch; now or at a moment.

    Ranges reach further back than samples are current: a value may be made of old ones alone. NoData is the answer only
    when there are none of these either, so that whatever value there is was meant for silence.
    """
    if not behind.selectors:
        return NoData()
    newest = await source.value(f"max({' or '.join(f'timestamp({selector})' for selector in behind.selectors)})", at)
    if isinstance(newest, QueryError):
        return QueryError(f"how old its samples are cannot be told: {newest.message}")
    if not behind.ranges or not isinstance(newest, NoData):
        return newest
    older = await source.value(f"count({' or '.join(f'last_over_time({reach})' for reach in behind.ranges)})", at)
    return OutOfRange() if isinstance(older, Value) else older


@lru_cache(maxsize=4096)
def basis(promql: str) -> Basis:
    """What a query takes its value from; nothing when it does not parse here.

    The children are followed by hand: `promql_parser.walk` copies the subtree at each step, which takes seconds for a
    query of a few hundred terms.
    """
    try:
        nodes = [promql_parser.parse(promql)]
    except ValueError:
        nodes = []
    for node in nodes:  # which grows meanwhile
        nodes += _children(node)
    selectors = [node for node in nodes if isinstance(node, promql_parser.VectorSelector)]
    ranges = [node for node in nodes if isinstance(node, promql_parser.MatrixSelector | promql_parser.SubqueryExpr)]
    names = [_name(selector) for selector in selectors]
    return Basis(
        selectors=tuple(dict.fromkeys(selector.prettify() for selector in selectors)),
        ranges=tuple(dict.fromkeys(reach.prettify() for reach in ranges)),
        names=tuple(dict.fromkeys(name for name in names if name)),
        reach=max((reach.range for reach in ranges if reach.range), default=timedelta()),
    )


def _children(node: promql_parser.Expr) -> list[promql_parser.Expr]:
    match node:
        case promql_parser.BinaryExpr():
            return [node.lhs, node.rhs]
        case promql_parser.AggregateExpr():
            return [node.expr] if node.param is None else [node.expr, node.param]
        case promql_parser.Call():
            return node.args
        case promql_parser.MatrixSelector():
            return [node.vector_selector]
        case promql_parser.ParenExpr() | promql_parser.UnaryExpr() | promql_parser.SubqueryExpr():
            return [node.expr]
        case _:
            return []


def _name(selector: promql_parser.VectorSelector) -> str | None:
    """The metric that a selector names, before its braces or inside them."""
    inside = [
        matcher.value
        for matcher in selector.matchers.matchers
        if matcher.name == "__name__" and matcher.op == promql_parser.MatchOp.Equal
    ]
    return next(iter(inside), selector.name)


def _time_of(newest: Single, now: datetime) -> datetime:
    """When the newest sample was taken; without one, looks count in steps."""
    if isinstance(newest, Value):
        return datetime.fromtimestamp(newest.value, tz=UTC)
    return datetime.fromtimestamp(now.timestamp() // _STEP.total_seconds() * _STEP.total_seconds(), tz=UTC)
