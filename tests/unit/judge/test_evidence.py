"""The evidence of an SLO in an attempt: blocks, looks, stages, restarts, and what stable suffers from as well."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from modelrollout.api.evidence import Counted
from modelrollout.api.slo import Baseline, BuiltInMetric, Counter, SharedIncident, Slo
from modelrollout.judge.eprocess import ENOUGH, PROVEN
from modelrollout.judge.evidence import NOTHING, Book, Pair, Weighed, ratio_interval
from modelrollout.judge.noise import Noise

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LIMIT = Slo(name="errors", metric=BuiltInMetric.ERROR_RATIO, limit="2%")
RELATIVE = Slo(name="errors", metric=BuiltInMetric.ERROR_RATIO, baseline=Baseline())
QUIET = Noise(variation=0.05, block=1)

Minutes = Callable[[int], Pair]


def pair(bad: int, total: int, their_bad: int, their_total: int) -> Pair:
    return Pair(candidate=Counted(bad=bad, total=total), stable=Counted(bad=their_bad, total=their_total))


class Traffic:
    """What is counted, at the end of each minute since the start."""

    def __init__(self, minutes: Minutes) -> None:
        self._minutes = minutes

    def between(self, after: datetime, until: datetime) -> Pair:
        first, last = ((moment - START) // MINUTE for moment in (after, until))
        counted = NOTHING
        for minute in range(first, last):
            counted += self._minutes(minute)
        return counted


def weighed(book: Book, traffic: Traffic, now: datetime) -> Weighed:
    return book.weigh(traffic.between, settled=now, now=now)


def after(minutes: int, traffic: Traffic, slo: Slo = RELATIVE, noise: Noise = QUIET) -> Weighed:
    book = Book(slo, noise=noise, since=START)
    return weighed(book, traffic, START + minutes * MINUTE)


HEALTHY = Traffic(lambda _: pair(2, 150, 28, 2850))
FIVE_TIMES = Traffic(lambda _: pair(8, 150, 28, 2850))
BOTH = Traffic(lambda _: pair(8, 150, 142, 2850))


def test_a_healthy_candidate_is_not_evidence_and_one_that_is_worse_is() -> None:
    assert after(20, HEALTHY).worse < 1
    assert after(5, FIVE_TIMES).worse > ENOUGH


def test_an_incident_that_both_suffer_from_is_evidence_of_neither() -> None:
    assert after(20, BOTH).worse < 1
    assert after(20, BOTH, LIMIT).over_limit == pytest.approx(0)


def test_unless_the_slo_says_that_an_incident_is_no_excuse() -> None:
    strict = LIMIT.model_copy(update={"shared_incident": SharedIncident.IGNORE})
    assert after(20, BOTH, strict).over_limit > ENOUGH


def test_nor_is_it_once_it_is_over() -> None:
    incident = Traffic(lambda minute: pair(8, 150, 142, 2850) if 5 <= minute < 15 else pair(2, 150, 28, 2850))
    assert max(after(minute, incident, LIMIT).over_limit for minute in range(40)) < 1


def test_more_than_the_limit_with_a_healthy_stable_is() -> None:
    assert after(6, FIVE_TIMES, LIMIT).over_limit > ENOUGH


def test_where_nothing_is_allowed_one_is_enough() -> None:
    none = LIMIT.model_copy(update={"limit": "0%"})
    assert after(1, Traffic(lambda _: pair(1, 1000, 0, 9000)), none).over_limit > ENOUGH


def test_proof_is_that_it_is_not_twice_as_bad() -> None:
    busy = Traffic(lambda _: pair(30, 3000, 30, 3000))
    assert after(10, busy).not_twice_as_bad > PROVEN
    assert after(10, Traffic(lambda _: pair(60, 3000, 30, 3000))).not_twice_as_bad < 1


def test_of_what_is_good_less_is_worse() -> None:
    bought = Slo(
        name="bought",
        counter=Counter(good="purchases_total", total="sessions_total"),
        baseline=Baseline(max_decrease="5%"),
    )
    assert after(20, Traffic(lambda _: pair(100, 2000, 200, 2000)), bought).worse > ENOUGH
    assert after(20, Traffic(lambda _: pair(200, 2000, 100, 2000)), bought).worse < 0


@given(st.lists(st.integers(1, 30), unique=True, min_size=1, max_size=12))
def test_extra_looks_change_nothing(looks: list[int]) -> None:
    book = Book(RELATIVE, noise=Noise(variation=0.2, block=3), since=START)
    for minute in sorted(looks):
        said = weighed(book, FIVE_TIMES, START + minute * MINUTE)
    assert said.worse == pytest.approx(after(max(looks), FIVE_TIMES, noise=Noise(variation=0.2, block=3)).worse)
    assert said.attempt == FIVE_TIMES.between(START, START + max(looks) * MINUTE)


def test_what_scrapes_bring_late_is_counted() -> None:
    """Only what is settled is taken in for good; the rest is asked for again."""
    late = {0: NOTHING}
    traffic = Traffic(lambda minute: late.get(minute, pair(1, 100, 1, 100)))
    book = Book(RELATIVE, noise=QUIET, since=START)
    book.weigh(traffic.between, settled=START, now=START + 2 * MINUTE)
    late.clear()
    said = book.weigh(traffic.between, settled=START + 2 * MINUTE, now=START + 2 * MINUTE)
    assert said.attempt == pair(2, 200, 2, 200)


@pytest.mark.parametrize("restarted_at", [1, 4, 7, 11])
def test_an_operator_that_starts_anew_goes_on_from_what_was_written(restarted_at: int) -> None:
    noise = Noise(variation=0.2, block=3)
    book = Book(RELATIVE, noise=noise, since=START)
    weighed(book, FIVE_TIMES, START + restarted_at * MINUTE)
    anew = Book(RELATIVE, noise=QUIET, since=START, resumed=book.written())
    said = weighed(anew, FIVE_TIMES, START + 12 * MINUTE)
    whole = after(12, FIVE_TIMES, noise=noise)
    assert said.worse == pytest.approx(whole.worse, abs=1e-2)
    assert said.attempt == whole.attempt


def test_stages_are_one_attempt_and_each_begins_with_a_block_of_its_own() -> None:
    book = Book(RELATIVE, noise=Noise(variation=0.05, block=10), since=START)
    weighed(book, FIVE_TIMES, START + 4 * MINUTE)
    book.turn(FIVE_TIMES.between, now=START + 5 * MINUTE, since=START + 5 * MINUTE)
    said = weighed(book, FIVE_TIMES, START + 8 * MINUTE)
    assert said.attempt == FIVE_TIMES.between(START, START + 8 * MINUTE)
    assert said.stage == said.block == FIVE_TIMES.between(START, START + 3 * MINUTE)


def test_what_is_written_changes_when_a_block_is_over_and_not_before() -> None:
    book = Book(RELATIVE, noise=Noise(variation=0.05, block=5), since=START)
    written = []
    for minute in range(1, 12):
        weighed(book, FIVE_TIMES, START + minute * MINUTE)
        written.append(book.written())
    changed = [minute for minute, (one, other) in enumerate(pairwise(written), start=2) if one != other]
    assert changed == [5, 10]


def test_noise_that_is_known_late_counts_as_long_as_no_block_is_over() -> None:
    book = Book(RELATIVE, noise=Noise(variation=0.3, block=10), since=START)
    weighed(book, FIVE_TIMES, START + 5 * MINUTE)
    book.assume(QUIET)
    said = weighed(book, FIVE_TIMES, START + 8 * MINUTE)
    assert said.attempt == FIVE_TIMES.between(START, START + 8 * MINUTE)
    assert said.worse > ENOUGH
    book.assume(Noise(variation=1.0, block=15))
    assert book.written().block == QUIET.block


def test_the_interval_of_a_ratio_is_clopper_and_pearsons() -> None:
    """Conditional on 48 bad ones; the ends are those of the beta distribution that their paper derives."""
    ratio, low, high = ratio_interval(pair(8, 150, 40, 2850))
    scale = 2850 / 150
    assert ratio == pytest.approx(8 / 40 * scale)
    ends = beta.ppf(0.025, 8, 41), beta.ppf(0.975, 9, 40)
    assert (low, high) == pytest.approx(tuple(end / (1 - end) * scale for end in ends))


@pytest.mark.parametrize("counted", [NOTHING, pair(0, 100, 0, 100), pair(3, 100, 0, 0)])
def test_without_anything_to_compare_there_is_no_ratio(counted: Pair) -> None:
    assert ratio_interval(counted) == (None, None, None)


def test_a_ratio_to_nothing_has_a_lower_end_only() -> None:
    ratio, low, high = ratio_interval(pair(5, 100, 0, 100))
    assert (ratio, high) == (None, None)
    assert low is not None
    assert np.isclose(low, 0.025**0.2 / (1 - 0.025**0.2))
