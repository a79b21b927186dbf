"""Free queries: what users write, filled in and asked one by one."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from string import Template

import promql_parser

from modelrollout.api.labels import colour_name
from modelrollout.api.quantities import parse_duration
from modelrollout.api.slo import QUERY_VARIABLES, Slo
from modelrollout.api.status import Colour, SloStatus
from modelrollout.judge.thresholds import Reason, describe, judge_value, undecided
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
"""How often a value without any current sample behind it (`absent(…)`, `vector(0)`) counts as a new look."""


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What the variables of a query stand for."""

    namespace: str
    rollout: str
    stable: Colour
    candidate: Colour

    def fill(self, query: str, window: timedelta) -> str:
        """The query with its variables filled in; other dollar signs are left as they are."""
        values = {
            "namespace": self.namespace,
            "rollout": self.rollout,
            "stable": self.stable.value,
            "candidate": self.candidate.value,
            "service_stable": colour_name(self.rollout, self.stable),
            "service_candidate": colour_name(self.rollout, self.candidate),
            "window": f"{max(1, round(window.total_seconds()))}s",
        }
        return Template(query).safe_substitute({name: values[name] for name in QUERY_VARIABLES})


class FreeQuery:
    """One free query and what it said last."""

    def __init__(self, slo: Slo, scope: Scope, since: datetime) -> None:
        self.status = undecided(slo, Reason.PENDING, "not asked yet", at=since)
        self.due = 0.0
        """Of time.monotonic(): when to look next; infinite while a look is under way."""
        self._slo = slo
        self._scope = scope
        self._since = since
        self._judged: datetime | None = None

    async def look(self, source: Source, now: datetime) -> None:
        """Ask for the newest sample behind the query, and for its value only if that has moved.

        So a costly query is carried out once a scrape, and one scrape looked at twice is not new evidence.
        """
        window = min(parse_duration(self._slo.window), now - self._since)
        promql = self._scope.fill(self._slo.query.value if self._slo.query else "", window)
        newest = await newest_sample(source, promql)
        at = _time_of(newest, now)
        if at == self._judged and not isinstance(newest, Unavailable):
            return
        answer = newest if isinstance(newest, Unavailable) else await source.value(promql)
        self._judged = None if isinstance(answer, QueryError | Unavailable) else at
        if now - at > STALE_AFTER:
            message = f"the newest sample behind the query is {describe(now - at)} old"
            self.status = undecided(self._slo, Reason.STALE_SCRAPE, message, at=at)
        else:
            self.status = judge_single(self._slo, answer, at=at)


def judge_single(slo: Slo, answer: Single, *, at: datetime) -> SloStatus:
    """The verdict on an answer as of the newest sample behind it."""
    match answer:
        case Value(value) | NotANumber(value):
            return judge_value(slo, value, at=at)
        case NoData():
            return undecided(slo, Reason.NO_DATA, "the query yields nothing", at=at)
        case ManySeries(count):
            message = f"the query yields {count} series where one is wanted; aggregate them"
            return undecided(slo, Reason.MANY_SERIES, message, at=at)
        case QueryError(message):
            return undecided(slo, Reason.QUERY_ERROR, message, at=at)
        case Unavailable(message):
            return undecided(slo, Reason.PROMETHEUS_UNAVAILABLE, message, at=at)


async def newest_sample(source: Source, promql: str) -> Single:
    """Time of the newest current sample of any series that a query selects, as seconds since the epoch."""
    selected = selectors(promql)
    if not selected:
        return NoData()
    return await source.value(f"max({' or '.join(f'timestamp({selector})' for selector in selected)})")


def selectors(promql: str) -> list[str]:
    """The vector selectors in a query, those of range vectors without their range; none when it does not parse here."""
    return list(dict.fromkeys(selector.prettify() for selector in _vector_selectors(promql)))


def metric_names(promql: str) -> list[str]:
    """Names of the metrics that a query asks for by name; none when it does not parse here."""
    named = [_name(selector) for selector in _vector_selectors(promql)]
    return list(dict.fromkeys(name for name in named if name))


def _name(selector: promql_parser.VectorSelector) -> str | None:
    """The metric that a selector names, before its braces or inside them."""
    inside = [
        matcher.value
        for matcher in selector.matchers.matchers
        if matcher.name == "__name__" and matcher.op == promql_parser.MatchOp.Equal
    ]
    return next(iter(inside), selector.name)


def _vector_selectors(promql: str) -> list[promql_parser.VectorSelector]:
    found: list[promql_parser.VectorSelector] = []

    def note(node: object) -> bool:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)
        return True

    try:
        promql_parser.walk(promql_parser.parse(promql), note)
    except ValueError:
        return []
    return found


def _time_of(newest: Single, now: datetime) -> datetime:
    """When the newest sample was taken; without one, looks count in steps."""
    if isinstance(newest, Value):
        return datetime.fromtimestamp(newest.value, tz=UTC)
    if isinstance(newest, Unavailable):
        return now
    return datetime.fromtimestamp(now.timestamp() // _STEP.total_seconds() * _STEP.total_seconds(), tz=UTC)
