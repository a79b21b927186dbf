"""Values beside stable's: how often healthy ones are called worse, how soon worse ones are, and what is said of it."""

import math
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import integrate
from scipy.stats import binom, nct, norm
from scipy.stats import t as student_t

from modelrollout.api.evidence import Means
from modelrollout.api.slo import Baseline, Query, Slo, Verdict
from modelrollout.judge.eprocess import ENOUGH, SUSPICIOUS
from modelrollout.judge.means import (
    ENOUGH_POINTS,
    Both,
    judge_both,
    judge_means,
    judge_uncompared,
    log_evidence,
    uncertainty,
    with_point,
)
from modelrollout.judge.thresholds import VerdictReason

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
MORE = Baseline(max_increase="25%")
LESS = Baseline(max_decrease="5%")
MAE = Slo(name="mae", query=Query(value='mae{colour="$arm"}'), baseline=MORE)
DAY = 24 * 60

Values = NDArray[np.float64]


def of(points: Iterable[tuple[float, float]], baseline: Baseline = MORE) -> Means:
    """The sums of pairs of the candidate's value and stable's."""
    pairs = (Both(candidate=candidate, stable=stable) for candidate, stable in points)
    return reduce(lambda means, both: with_point(means, both, baseline), pairs, Means())


def attempts(candidate: Values, stable: Values, *, until: int) -> list[int | None]:
    """At which point each of many attempts is taken back, looked at at each point; None: never."""

    def taken_back(ours: Values, theirs: Values) -> int | None:
        means = Means()
        for point in range(until):
            means = with_point(means, Both(candidate=float(ours[point]), stable=float(theirs[point])), MORE)
            if log_evidence(means) >= ENOUGH:
                return point + 1
        return None

    return [taken_back(*rows) for rows in zip(candidate, stable, strict=True)]


def alarms(noise: Callable[[np.random.Generator, tuple[int, int]], Values], *, runs: int, until: int) -> float:
    """Share of candidates that are just as bad as is tolerated and are taken back all the same."""
    rng = np.random.default_rng(20_260_301)
    stable = 10 + rng.normal(0, 1, (runs, until))
    excess = noise(rng, (runs, until))
    taken_back = attempts(1.25 * stable + excess, stable, until=until)
    return sum(point is not None for point in taken_back) / runs


def most_alarms(runs: int) -> float:
    """What one in a hundred comes to at most in so many runs, but for one time of a thousand."""
    return float(binom.ppf(0.999, runs, 0.01)) / runs


def normal(rng: np.random.Generator, shape: tuple[int, int]) -> Values:
    return rng.normal(0, 1, shape)


def lasting(rng: np.random.Generator, shape: tuple[int, int]) -> Values:
    """Each is four fifths of the one before, and something new."""
    values = rng.normal(0, 1, shape)
    for place in range(1, shape[1]):
        values[:, place] = 0.8 * values[:, place - 1] + 0.6 * values[:, place]
    return values


def skewed(rng: np.random.Generator, shape: tuple[int, int]) -> Values:
    """Rare good moments make up for many that are a little worse."""
    values: Values = np.exp(0.5) - rng.lognormal(0, 1, shape)
    return values


def test_a_healthy_candidate_that_is_looked_at_each_minute_of_a_day_stays() -> None:
    assert alarms(normal, runs=80, until=DAY) <= most_alarms(80)


@pytest.mark.parametrize("noise", [lasting, skewed])
def test_nor_do_differences_that_last_or_are_skewed_take_it_back(
    noise: Callable[[np.random.Generator, tuple[int, int]], Values],
) -> None:
    """Taken for independent and normal they would, in one of two and in one of ten attempts."""
    assert alarms(noise, runs=200, until=DAY // 8) <= most_alarms(200)


def test_what_is_a_standard_deviation_worse_is_found_within_an_hour() -> None:
    rng = np.random.default_rng(7)
    stable = 10 + rng.normal(0, 0.1, (200, 60))
    found = [point or math.inf for point in attempts(1.25 * stable + rng.normal(1, 1, (200, 60)), stable, until=60)]
    assert min(found) >= ENOUGH_POINTS
    assert np.median(found) <= 30
    assert np.quantile(found, 0.95) <= 60


def mixture(means: Means, least: float) -> float:
    """Evidence by Student's distribution: of normal effects with variance 1/4 from `least` on, over none at all."""
    points = means.points
    student = means.excess / math.sqrt(means.squares / (points - 1) / points)

    def density(effect: float) -> float:
        return float(norm.pdf(effect, 0, 0.5) * nct.pdf(student, points - 1, effect * math.sqrt(points)))

    whole: float = integrate.quad(density, least, 5, points=[student / math.sqrt(points)])[0]
    return whole / float(norm.sf(least, 0, 0.5)) / float(student_t.pdf(student, points - 1))


def unlike(points: int, excess: float) -> Means:
    """Points with a standard deviation of 1 that are in no way alike, and not skewed."""
    return Means(points=points, excess=excess, stable=1, candidate=1, squares=points, steps=4 * points)


@pytest.mark.parametrize(("points", "excess"), [(20, 0.1), (20, 0.9), (40, -0.1), (60, 0.3)])
def test_evidence_is_the_mixture_of_likelihood_ratios_of_students_t(points: int, excess: float) -> None:
    means = unlike(points, excess)
    assert log_evidence(means) == pytest.approx(math.log(mixture(means, 0.0)), abs=1e-5)


@pytest.mark.parametrize("points", [20, 60])
def test_the_interval_ends_where_evidence_of_either_side_is_one_in_twenty(points: int) -> None:
    half = uncertainty(unlike(points, 0.0))
    assert half is not None
    assert mixture(unlike(points, half), -5.0) == pytest.approx(20, rel=1e-5)


VALUES = st.floats(-1e6, 1e6).map(lambda value: round(value, 3))


@given(st.lists(st.tuples(VALUES, VALUES), min_size=2, max_size=60))
def test_sums_are_those_of_all_points_whatever_was_written_down_between(points: list[tuple[float, float]]) -> None:
    means = Means()
    for candidate, stable in points:
        written = Means.model_validate_json(means.model_dump_json(by_alias=True))
        means = with_point(written, Both(candidate=candidate, stable=stable), MORE)
    kept = np.array([point for place, point in enumerate(points) if not place or point != points[place - 1]])
    excess = kept[:, 0] - kept[:, 1] - 0.25 * np.abs(kept[:, 1])
    off = excess - excess.mean()
    assert means.points == len(kept)
    assert (means.candidate, means.stable) == pytest.approx(tuple(kept.mean(axis=0)), rel=1e-9, abs=1e-6)
    scale = float(np.abs(excess).max()) + 1
    assert means.excess == pytest.approx(excess.mean(), abs=1e-9 * scale)
    assert means.squares == pytest.approx(np.sum(off**2), rel=1e-6, abs=1e-9 * scale**2)
    assert means.cubes == pytest.approx(np.sum(off**3), rel=1e-6, abs=1e-9 * scale**3)
    assert means.steps == pytest.approx(np.sum(np.diff(excess) ** 2), rel=1e-6, abs=1e-9 * scale**2)


def varying(candidate: float, stable: float, points: int = 40) -> list[tuple[float, float]]:
    """Values around these, whose differences vary by a tenth."""
    rng = np.random.default_rng(3)
    return [(candidate + off, stable) for off in rng.normal(0, 0.1, points).tolist()]


@pytest.mark.parametrize(
    ("candidate", "stable", "baseline", "worse"),
    [
        (1.5, 1.0, MORE, True),
        (1.2, 1.0, MORE, False),
        (0.2, 1.0, MORE, False),
        (0.85, 1.0, LESS, True),
        (1.0, 1.0, LESS, False),
        (5.0, 1.0, LESS, False),
        (0.2, 0.0, MORE, True),
        (-1.0, -2.0, MORE, True),
        (-1.6, -2.0, MORE, False),
        (-2.3, -2.0, LESS, True),
    ],
)
def test_worse_is_more_or_less_than_stable_by_more_than_tolerated(
    candidate: float, stable: float, baseline: Baseline, worse: bool
) -> None:
    log = log_evidence(of(varying(candidate, stable), baseline))
    assert log >= ENOUGH if worse else log < 0


def test_few_points_are_no_evidence_however_much_worse_they_are() -> None:
    worse = varying(9.0, 1.0)
    assert log_evidence(of(worse[: ENOUGH_POINTS - 1])) <= 0
    assert log_evidence(of(worse[:ENOUGH_POINTS])) > ENOUGH


def test_what_is_always_worse_by_the_same_is_worse() -> None:
    """As where both are asked the same by a test: what one yields is then known from the other."""
    always = [(2.0 * stable, float(stable)) for stable in range(1, 30)]
    assert log_evidence(of(always, Baseline(max_increase="100%"))) <= 0
    assert log_evidence(of([(stable + 1.0, stable) for _, stable in always], Baseline(max_increase="0%"))) > ENOUGH


def test_numbers_of_which_there_is_no_mean_are_told_from_those_that_have_one() -> None:
    with pytest.raises(OverflowError):
        of([(1e200, 1.0), (-1e200, 2.0), (1e200, 3.0)])


def judged(means: Means, *, pooled: float | None = None) -> tuple[Verdict, str, str]:
    said = judge_means(MAE, means, MORE, pooled=log_evidence(means) if pooled is None else pooled, every=MINUTE, at=NOW)
    return said.verdict, said.reason, said.message


def test_verdicts_by_all_points() -> None:
    assert judged(of(varying(1.5, 1.0)))[:2] == (Verdict.BREACH, VerdictReason.WORSE_THAN_STABLE)
    assert judged(of(varying(1.0, 1.0)))[:2] == (Verdict.PASS, VerdictReason.NO_WORSE)
    suspicious = of(varying(1.32, 1.0, 30))
    assert SUSPICIOUS <= log_evidence(suspicious) < ENOUGH
    assert judged(suspicious)[:2] == (Verdict.INCONCLUSIVE, VerdictReason.SUSPICIOUS)


def test_where_another_answers_for_all_that_are_compared_it_does_not() -> None:
    assert judged(of(varying(1.5, 1.0)), pooled=math.inf)[0] is Verdict.INCONCLUSIVE


def test_what_is_said_has_the_difference_its_interval_and_the_points() -> None:
    verdict = judge_means(MAE, of(varying(1.5, 1.0)), MORE, pooled=math.inf, every=MINUTE, at=NOW)
    both = verdict.comparison
    assert both
    assert both.ratio is not None
    assert both.ratio_low is not None
    assert both.ratio_high is not None
    assert (both.points, both.points_needed, both.decision_at) == (40, None, None)
    assert both.ratio == pytest.approx(1.5, abs=0.03)
    assert 1.4 < both.ratio_low < both.ratio < both.ratio_high < 1.6
    assert verdict.message == (
        "1.496 on average, 1 of stable: at most 1.25 times that is tolerated; in this attempt 40 points "
        "(1.5 times, 95% 1.43 to 1.56); evidence of harm 1,000,000,000 of 100"
    )


def test_with_few_points_it_says_how_many_are_missing_and_until_when() -> None:
    said = judge_means(MAE, of(varying(9.0, 1.0, 12)), MORE, pooled=0.0, every=2 * MINUTE, at=NOW)
    assert (said.verdict, said.reason) == (Verdict.INCONCLUSIVE, VerdictReason.TOO_FEW_SAMPLES)
    assert said.message.startswith("12 of 20 points, one every 2m")
    assert said.comparison
    assert (said.comparison.points_needed, said.comparison.decision_at) == (8, NOW + 16 * MINUTE)


@pytest.mark.parametrize(
    ("baseline", "candidate", "verdict", "words"),
    [
        (Baseline(max_increase="20%"), 12.1, Verdict.BREACH, "at most 12 is tolerated"),
        (Baseline(max_increase="20%"), 12.0, Verdict.PASS, "at most 12 is tolerated"),
        (Baseline(max_decrease="20%"), 7.9, Verdict.BREACH, "at least 8 is tolerated"),
        (Baseline(max_decrease="20%"), 8.0, Verdict.PASS, "at least 8 is tolerated"),
    ],
)
def test_verdicts_by_one_point(baseline: Baseline, candidate: float, verdict: Verdict, words: str) -> None:
    said = judge_both(MAE, Both(candidate=candidate, stable=10.0), baseline, at=NOW)
    assert (said.verdict, said.value) == (verdict, candidate)
    assert words in said.message


def test_where_callers_differ_nothing_is_compared() -> None:
    assert judge_uncompared(MAE, at=NOW).verdict is Verdict.PASS
