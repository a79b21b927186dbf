"""A free query over a source of the test's own making: what it asks, and what it makes of old samples and of none."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from modelrollout.api.slo import Query, Slo
from modelrollout.api.status import Colour, SloStatus
from modelrollout.metrics.prometheus import NoData, QueryError, Single, Value
from modelrollout.metrics.queries import Basis, FreeQuery, Scope, basis
from unit.metrics.fake_source import FakeSource

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
LOOKBACK = 300
"""Seconds for which Prometheus takes the newest sample of a series for current."""


class Story:
    """A query with limit 0.3 that yields 0.5, and when the only series behind it was last scraped."""

    def __init__(self, promql: str, *, reach: int = 0, value: float = 0.5) -> None:
        """`reach` is how many seconds the ranges in the query go back."""
        slo = Slo(name="drift", query=Query(value=promql), limit="0.3")
        scope = Scope(namespace="ml", rollout="fraud", stable=Colour.BLUE, candidate=Colour.GREEN)
        self.scraped = 0.0
        self.source = FakeSource()
        self.source.values = self._answer
        self._reach = reach
        self._value = value
        self._query = FreeQuery(slo, scope, START)
        self._now = 0.0

    async def look(self, seconds: float) -> SloStatus:
        """What the query says after a look so many seconds after the start."""
        self._now = seconds
        await self._query.look(self.source, START + timedelta(seconds=seconds))
        return self.read(seconds)

    def read(self, seconds: float) -> SloStatus:
        return self._query.read(START + timedelta(seconds=seconds))

    async def said(self, *looks: float) -> list[str]:
        return [(await self.look(seconds)).reason for seconds in looks]

    def _answer(self, promql: str) -> Single:
        age = self._now - self.scraped
        if promql.startswith("max(timestamp("):
            return Value(START.timestamp() + self.scraped) if age < LOOKBACK else NoData()
        if promql.startswith("count(last_over_time("):
            return Value(1) if age < self._reach else NoData()
        return Value(self._value)


async def test_a_value_gets_old_though_it_was_judged() -> None:
    story = Story("max(drift)")
    assert await story.said(1, 60, 180, 181, 299) == ["AboveLimit"] * 3 + ["StaleScrape"] * 2
    story.scraped = 300
    assert await story.said(301) == ["AboveLimit"]


async def test_what_a_range_remembers_of_a_silence_is_no_new_breach() -> None:
    """Nothing is current after the lookback, but the range reaches further and so the query still has a value."""
    story = Story("max_over_time(drift[10m])", reach=600)
    assert await story.said(1, 200, 301, 316, 599) == ["AboveLimit"] + ["StaleScrape"] * 4


@pytest.mark.parametrize("promql", ["absent(drift)", "max(rate(drift[2m])) or vector(0.5)", "vector(0.5)"])
async def test_a_value_that_is_meant_for_silence_counts_every_15_seconds(promql: str) -> None:
    story = Story(promql, reach=120)
    first, same, second = [await story.look(seconds) for seconds in (600, 614, 615)]
    assert [one.reason for one in (first, same, second)] == ["AboveLimit"] * 3
    assert (same.at - first.at, second.at - first.at) == (timedelta(), timedelta(seconds=15))


async def test_a_time_that_cannot_be_asked_for_decides_nothing() -> None:
    """Such as that of several metrics at once: without their names their series are the same."""
    story = Story('max({__name__=~"drift.*"})')
    story.source.values = lambda promql: QueryError("same labelset") if "timestamp" in promql else Value(0.5)
    assert await story.said(1, 16) == ["QueryError"] * 2


async def test_what_was_said_long_ago_says_nothing() -> None:
    story = Story("max(drift)")
    assert story.read(3600).reason == "Pending"
    await story.look(1)
    assert [story.read(seconds).reason for seconds in (46, 47)] == ["AboveLimit", "NotLookedAt"]
    assert "46s ago" in story.read(47).message
    assert await story.said(48) == ["AboveLimit"]


async def test_what_a_query_is_based_on_stays_while_its_window_grows() -> None:
    story = Story("max(rate(drift[$window] offset $window))")
    await story.said(1, 20, 40)
    asked = [promql for promql in story.source.asked if "timestamp" in promql]
    assert asked == ["max(timestamp(drift offset 2m))"] * 3


@pytest.mark.parametrize(
    ("promql", "selectors", "ranges"),
    [
        ("sum(x) + 1", ["x"], []),
        ("(x + on() -y) / x", ["x", "y"], []),
        ("topk(scalar(k), x)", ["k", "x"], []),
        ('rate(x{a="b"}[5m] offset 1h)', ['x{a="b"} offset 1h'], ['x{a="b"}[5m] offset 1h']),
        ("max_over_time(rate(x[5m])[1h:1m])", ["x"], ["x[5m]", "rate(x[5m])[1h:1m]"]),
        ("clamp_max(x, 1) or vector(0)", ["x"], []),
        ("1", [], []),
        ("sum(x", [], []),
    ],
)
def test_what_a_query_is_based_on(promql: str, selectors: list[str], ranges: list[str]) -> None:
    found = basis(promql)
    assert (sorted(found.selectors), sorted(found.ranges)) == (sorted(selectors), sorted(ranges))


def test_a_query_of_the_greatest_length_is_read_in_no_time() -> None:
    """It is read on the event loop that all rollouts share."""
    promql = "(x+" * 510 + "x" + ")" * 510
    before = time.process_time()
    assert basis(promql) == Basis(selectors=("x",), ranges=(), names=("x",), reach=timedelta())
    assert time.process_time() - before < 1
