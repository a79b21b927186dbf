"""Verdicts of absolute limits: three values, each with a reason and a sentence."""

from datetime import UTC, datetime, timedelta
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelrollout.api.slo import BuiltInMetric, Query, Slo, Verdict
from modelrollout.api.status import SloStatus
from modelrollout.judge.ledger import Coverage
from modelrollout.judge.thresholds import Counts, VerdictReason, describe, judge_counts, judge_value, undecided

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SCRAPED = NOW - timedelta(seconds=4)
TWO_PODS = Coverage(known=2, current=2, newest=SCRAPED.timestamp())

ENOUGH = 50
ERRORS = Slo(name="errors", metric=BuiltInMetric.ERROR_RATIO, limit="0.5%", window="2m", min_samples=ENOUGH)
LATENCY = Slo(name="latency", metric=BuiltInMetric.LATENCY, slower_than="250ms", limit="5%")
DRIFT = Slo(name="drift", query=Query(value="max(drift)"), limit="0.3")


def judged(
    bad: float,
    total: float,
    *,
    slo: Slo = ERRORS,
    coverage: Coverage = TWO_PODS,
    span: timedelta = timedelta(minutes=2),
) -> SloStatus:
    return judge_counts(slo, Counts(bad=bad, total=total, span=span), coverage, now=NOW)


def outcome(status: SloStatus) -> tuple[Verdict, str]:
    return status.verdict, status.reason


@pytest.mark.parametrize(
    ("bad", "total", "verdict", "reason"),
    [
        (0, 50, Verdict.PASS, VerdictReason.WITHIN_LIMIT),
        (1, 200, Verdict.PASS, VerdictReason.WITHIN_LIMIT),
        (2, 399, Verdict.BREACH, VerdictReason.ABOVE_LIMIT),
        (49, 50, Verdict.BREACH, VerdictReason.ABOVE_LIMIT),
        (10, 10, Verdict.BREACH, VerdictReason.EVERY_REQUEST_FAILS),
        (9, 9, Verdict.INCONCLUSIVE, VerdictReason.TOO_FEW_SAMPLES),
        (0, 49, Verdict.INCONCLUSIVE, VerdictReason.TOO_FEW_SAMPLES),
        (0, 0, Verdict.INCONCLUSIVE, VerdictReason.NO_TRAFFIC),
    ],
)
def test_counts_against_a_limit(bad: int, total: int, verdict: Verdict, reason: VerdictReason) -> None:
    assert outcome(judged(bad, total)) == (verdict, reason)


def test_a_status_carries_its_evidence() -> None:
    status = judged(3, 214)
    assert status.message == "3 of 214 requests failed (1.40%), limit 0.5%, last 2m"
    assert (status.value, status.limit, status.samples) == (3 / 214, 0.005, 214)
    assert (status.at, status.breaches) == (SCRAPED, 0)


def test_messages_say_what_was_slow_and_how_far_back_it_was_counted() -> None:
    status = judged(12, 200, slo=LATENCY, span=timedelta(seconds=42))
    assert status.message == "12 of 200 requests took longer than 250ms (6.00%), limit 5%, last 42s"


@pytest.mark.parametrize(("total", "verdict"), [(49, Verdict.INCONCLUSIVE), (50, Verdict.PASS)])
def test_fifty_requests_are_enough_unless_the_slo_says_otherwise(total: int, verdict: Verdict) -> None:
    assert judged(0, total, slo=LATENCY).verdict is verdict


def test_too_few_samples_say_how_many_are_needed() -> None:
    assert "fewer than 50 requests decide nothing" in judged(1, 20).message


DOWN = Coverage(known=2, current=2, newest=SCRAPED.timestamp(), down=("ml/b",))


def test_a_target_that_is_down_hides_health_but_not_harm() -> None:
    assert outcome(judged(0, 200, coverage=DOWN)) == (Verdict.INCONCLUSIVE, VerdictReason.TARGET_DOWN)
    assert outcome(judged(9, 200, coverage=DOWN)) == (Verdict.BREACH, VerdictReason.ABOVE_LIMIT)
    assert outcome(judged(0, 0, coverage=DOWN)) == (Verdict.INCONCLUSIVE, VerdictReason.TARGET_DOWN)
    assert "ml/b" in judged(0, 200, coverage=DOWN).message


def test_counts_that_nobody_refreshes_say_nothing() -> None:
    stale = Coverage(known=2, current=0, newest=(NOW - timedelta(minutes=6)).timestamp())
    status = judged(200, 200, coverage=stale)
    assert outcome(status) == (Verdict.INCONCLUSIVE, VerdictReason.STALE_SCRAPE)
    assert "6m ago" in status.message


def test_a_candidate_that_never_answered_a_scrape_was_not_scraped_a_moment_ago() -> None:
    status = judged(0, 0, coverage=Coverage(known=1, current=0))
    assert outcome(status) == (Verdict.INCONCLUSIVE, VerdictReason.TARGET_DOWN)
    assert status.message == "Prometheus never got an answer from the candidate, and scrapes it no more"
    assert status.at == NOW


@pytest.mark.parametrize("counts", [(nan, 200), (0, nan), (nan, nan), (nan, 20), (inf, 200), (0, inf), (inf, inf)])
@pytest.mark.parametrize("coverage", [TWO_PODS, DOWN])
def test_counts_that_are_no_numbers_say_nothing(counts: tuple[float, float], coverage: Coverage) -> None:
    status = judged(*counts, coverage=coverage)
    assert outcome(status) == (Verdict.INCONCLUSIVE, VerdictReason.NOT_A_NUMBER)
    assert f"{counts[0]:g} of {counts[1]:g}" in status.message
    assert status.value is None


@pytest.mark.parametrize(
    ("value", "verdict", "reason"),
    [
        (0.3, Verdict.PASS, VerdictReason.WITHIN_LIMIT),
        (-1.0, Verdict.PASS, VerdictReason.WITHIN_LIMIT),
        (0.31, Verdict.BREACH, VerdictReason.ABOVE_LIMIT),
        (nan, Verdict.INCONCLUSIVE, VerdictReason.NOT_A_NUMBER),
        (inf, Verdict.INCONCLUSIVE, VerdictReason.NOT_A_NUMBER),
    ],
)
def test_a_value_against_a_limit(value: float, verdict: Verdict, reason: VerdictReason) -> None:
    status = judge_value(DRIFT, value, at=SCRAPED)
    assert outcome(status) == (verdict, reason)
    assert status.at == SCRAPED


def test_long_messages_fit_into_the_status() -> None:
    assert len(undecided(DRIFT, VerdictReason.QUERY_ERROR, "x" * 5000, at=NOW).message) == 1024


@given(st.integers(1, 10**9), st.integers(1, 9999))
def test_exactly_the_limit_is_within_it(hundreds: int, hundredths: int) -> None:
    """Whatever rounding does to the share and to the limit as written."""
    slo = Slo(name="errors", metric=BuiltInMetric.ERROR_RATIO, limit=f"{hundredths / 100:.2f}%", min_samples=1)
    assert judged(hundredths * hundreds, 10_000 * hundreds, slo=slo).verdict is Verdict.PASS


@given(bad=st.integers(0, 1000), good=st.integers(0, 100_000))
def test_more_bad_requests_never_look_better(bad: int, good: int) -> None:
    gravity = [Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.BREACH]
    fewer, more = judged(bad, bad + good), judged(bad + 1, bad + good + 1)
    if fewer.samples is not None and fewer.samples >= ENOUGH:
        assert gravity.index(more.verdict) >= gravity.index(fewer.verdict)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (-3, "0s"), (40, "40s"), (120, "2m"), (5400, "1h30m"), (3661, "1h1m1s")]
)
def test_lengths_of_time_for_people(seconds: int, text: str) -> None:
    assert describe(timedelta(seconds=seconds)) == text
