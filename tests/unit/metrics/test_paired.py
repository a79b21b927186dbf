"""Queries that are compared with stable: at which moments they are asked, and what counts as a point."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

import pytest

from modelrollout.api.evidence import Means, SloEvidence
from modelrollout.api.slo import Baseline, Query, Slo, Test
from modelrollout.api.status import Colour, SloStatus
from modelrollout.metrics.paired import PlainPair, Points
from modelrollout.metrics.prometheus import ManySeries, NoData, NotANumber, QueryError, Single, Value
from modelrollout.metrics.queries import Scope
from unit.metrics.fake_source import FakeSource

START = datetime(2026, 3, 1, 12, 0, 13, tzinfo=UTC)
"""Somewhere in a minute: points are taken at the end of whole ones."""

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
BASELINE = Baseline(max_increase="25%")
SCOPE = Scope(namespace="ml", rollout="fraud", stable=Colour.BLUE, candidate=Colour.GREEN)


def slo(promql: str = 'mae{colour="$arm"}', test: Test | None = None, window: str = "2m") -> Slo:
    return Slo(name="mae", query=Query(value=promql), baseline=BASELINE, test=test, window=window)


class Story:
    """Values of both versions that change all the time, scraped all the time unless told otherwise."""

    def __init__(self, promql: str = 'mae{colour="$arm"}', *, window: str = "2m") -> None:
        self.slo = slo(promql, window=window)
        self.source = FakeSource()
        self.source.past = self._answer
        self.scraped: Callable[[str, datetime], datetime] = lambda _, at: at - timedelta(seconds=5)
        self.value: Callable[[str, datetime], Single] = self._moving
        self.points = Points(self.slo, BASELINE, SCOPE, START)
        self.at: list[datetime] = []
        """For which moments values were asked."""

    async def look(self, *minutes: float) -> None:
        """So many minutes after noon."""
        for minute in minutes:
            await self.points.look(self.source, NOON + minute * MINUTE)

    def begin_anew(self) -> None:
        """Another operator, which knows what was written down."""
        written = self.points.written()
        stored = SloEvidence.model_validate(written.to_wire()) if written else None
        self.points = Points(self.slo, BASELINE, SCOPE, START, stored)

    def read(self, minute: float) -> SloStatus:
        return self.points.read(NOON + minute * MINUTE, pooled=0.0)

    @property
    def means(self) -> Means:
        written = self.points.written()
        return written.means if written and written.means else Means()

    def _moving(self, colour: str, at: datetime) -> Single:
        minute = (at - NOON) / MINUTE
        return Value(10 + minute % 7 if colour == "green" else 9 + minute % 5)

    def _answer(self, promql: str, at: datetime) -> Single:
        colour = "green" if "green" in promql else "blue"
        if promql.startswith("max(timestamp("):
            return Value(self.scraped(colour, at).timestamp())
        if promql.startswith("count(last_over_time("):
            return NoData()
        if colour == "green":
            self.at.append(at)
        return self.value(colour, at)


def minutes(moments: Iterable[datetime]) -> list[float]:
    return [(moment - NOON) / MINUTE for moment in moments]


async def test_a_point_is_taken_at_the_end_of_each_whole_minute_once_it_is_settled() -> None:
    story = Story()
    await story.look(1, 2, 2.3, 2.34, 2.5, 3, 3.4, 3.5)
    assert minutes(story.at) == [2, 3]
    assert story.means.points == 2
    assert [promql for promql in story.source.asked if "timestamp" not in promql][:2] == [
        'mae{colour="green"}',
        'mae{colour="blue"}',
    ]


@pytest.mark.parametrize("restarted_at", [3, 7, 11])
async def test_neither_extra_looks_nor_a_restart_change_anything(restarted_at: int) -> None:
    steady, other = Story(), Story()
    await steady.look(*(minute + 0.4 for minute in range(30)))
    await other.look(*(0.1 * step for step in range(10 * restarted_at)))
    other.begin_anew()
    await other.look(*(restarted_at + 8 + 0.25 * step for step in range(4 * (22 - restarted_at))))
    assert other.means == steady.means
    assert other.points.written() == steady.points.written()
    assert steady.means.points == 28


async def test_what_was_missed_long_ago_is_not_asked_for() -> None:
    story = Story()
    await story.look(2.4)
    await story.look(*[300.4] * 30)
    assert minutes(story.at) == [2, *range(281, 301)]


@pytest.mark.parametrize(
    ("promql", "window", "every"),
    [
        ('mae{colour="$arm"}', "2m", 1),
        ('avg_over_time(mae{colour="$arm"}[$window])', "2m", 2),
        ('avg_over_time(mae{colour="$arm"}[$window])', "30s", 1),
        ('max(rate(a{c="$arm"}[90s])) / max(rate(b{c="$arm"}[5m]))', "2m", 5),
    ],
)
async def test_no_two_points_are_made_of_the_same_samples(promql: str, window: str, every: int) -> None:
    story = Story(promql, window=window)
    await story.look(*(minute + 0.4 for minute in range(32)))
    assert minutes(story.at)[:3] == [2 * every, 3 * every, 4 * every]
    written = story.points.written()
    assert written
    assert written.block == every


@pytest.mark.parametrize(
    ("answer", "reason", "words"),
    [
        (NoData(), "NoData", "stable: the query yields nothing"),
        (NotANumber(float("nan")), "NotANumber", "stable: the query yields nan"),
        (ManySeries(2), "ManySeries", "stable: the query yields 2 series"),
        (QueryError("only a partial answer"), "QueryError", "stable: only a partial answer"),
    ],
)
async def test_a_minute_without_a_value_of_either_version_is_no_point(answer: Single, reason: str, words: str) -> None:
    story = Story()
    await story.look(2.4)
    story.value = lambda colour, at: answer if colour == "blue" else Value(1 + at.minute)
    await story.look(3.4)
    assert (story.means.points, story.read(3.4).reason) == (1, reason)
    assert words in story.read(3.4).message
    story.value = story._moving
    await story.look(4.4)
    assert (story.means.points, story.read(4.4).reason) == (2, "TooFewSamples")


async def test_nor_is_one_in_which_one_of_them_was_not_scraped() -> None:
    story = Story()
    await story.look(2.4)
    story.scraped = lambda colour, at: NOON + 2.1 * MINUTE if colour == "green" else at
    await story.look(3.4, 4.4, 5.4)
    assert (story.means.points, story.read(5.4).reason) == (2, "TooFewSamples")
    await story.look(6.4)
    assert (story.means.points, story.read(6.4).reason) == (2, "StaleScrape")


async def test_nor_is_one_in_which_nothing_moved() -> None:
    """Such as of labels that come once an hour: what is scraped again is not measured again."""
    story = Story()
    story.value = lambda colour, at: Value((5 if colour == "green" else 1) + at.minute // 10)
    await story.look(*(minute + 0.4 for minute in range(35)))
    assert story.means.points == 4
    assert "in which either value moves" in story.read(35).message


async def test_while_prometheus_does_not_answer_a_point_is_waited_for() -> None:
    story = Story()
    await story.look(2.4)
    story.source.down = True
    await story.look(3.4, 3.5, 4.4)
    assert (story.means.points, story.read(4.4).reason) == (1, "PrometheusUnavailable")
    story.source.down = False
    await story.look(5.0, 5.1, 5.2)
    assert minutes(story.at) == [2, 3, 4]
    assert story.means.points == 3


async def test_numbers_that_cannot_be_compared_are_left_behind() -> None:
    story = Story()
    await story.look(2.4, 3.4)
    story.value = lambda _, __: Value(1e300)
    with pytest.raises(OverflowError):
        await story.look(4.4)
    story.value = story._moving
    await story.look(4.5, 5.4)
    assert story.means.points == 3


async def test_what_was_said_long_ago_says_nothing() -> None:
    story = Story()
    await story.look(2.4)
    assert [story.read(minute).reason for minute in (4.05, 4.1)] == ["TooFewSamples", "NotLookedAt"]


async def test_of_another_question_nothing_is_known() -> None:
    story = Story()
    await story.look(2.4, 3.4)
    written = story.points.written()
    for changed in (slo('mse{colour="$arm"}'), slo(window="1m"), story.slo.model_copy(update={"baseline": Baseline()})):
        assert Points(changed, BASELINE, SCOPE, START, written).written() is None


async def test_a_worse_candidate_is_found_out_and_the_next_operator_knows_at_once() -> None:
    story = Story()
    story.value = lambda colour, at: Value((30 if colour == "green" else 10) + at.minute % 3)
    await story.look(*(minute + 0.4 for minute in range(22)))
    story.begin_anew()
    said = story.points.read(NOON + 22 * MINUTE, pooled=story.points.worse)
    assert (said.verdict, said.reason) == ("Breach", "WorseThanStable")
    assert story.source.asked[-1] == 'mae{colour="blue"}'


class TestPlain:
    """A gauge whose value is held against stable's at each look."""

    def test_needs_breaches_in_a_row(self) -> None:
        assert slo(test=Test.PLAIN).breaches_needed == 2
        assert slo().breaches_needed == 1

    async def test_is_judged_once_there_is_a_new_sample_of_both(self) -> None:
        scraped = {"green": 0.0, "blue": 0.0}
        values = {"green": 12.4, "blue": 10.0}

        def answer(promql: str, at: datetime) -> Single:
            colour = "green" if "green" in promql else "blue"
            if promql.startswith("max(timestamp("):
                return Value(START.timestamp() + scraped[colour])
            return Value(values[colour])

        source = FakeSource()
        source.past = answer
        pair = PlainPair(slo('max_over_time(mem{c="$arm"}[$window])', Test.PLAIN), BASELINE, SCOPE, START)

        async def look(seconds: float) -> tuple[str, float, float]:
            now = START + timedelta(seconds=seconds)
            await pair.look(source, now)
            said = pair.read(now)
            return said.reason, said.value or 0.0, (said.at - START).total_seconds()

        assert await look(20) == ("NoWorse", 12.4, 0)
        assert [promql for promql in source.asked if promql.startswith("max_over")] == [
            'max_over_time(mem{c="green"}[20s])',
            'max_over_time(mem{c="blue"}[20s])',
        ]
        values["green"], scraped["green"] = 12.6, 15
        assert await look(21) == ("NoWorse", 12.4, 0)
        scraped["blue"] = 16
        assert await look(22) == ("WorseThanStable", 12.6, 15)
