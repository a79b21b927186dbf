"""Evidence that may be looked at at any time: what it may never do, and values worked out in other ways."""

from fractions import Fraction
from math import comb, exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import betabinom, binom

from modelrollout.judge.eprocess import (
    BETTER,
    WORSE,
    Tally,
    against_limit,
    against_stable,
    log_evidence,
    most_against_limit,
    most_against_stable,
)

EXACT = 1e-3
"""So small a variation that counts are as good as binomial."""


def test_without_noise_a_comparison_is_the_exact_conditional_binomial() -> None:
    ours, theirs = Tally(bad=7, total=1000), Tally(bad=40, total=19000)
    ratios = against_stable(ours, theirs, tolerated=1.25, variation=EXACT)
    for delta, ratio in zip(WORSE, ratios, strict=True):
        tolerated, worse = (odds / (1 + odds) for odds in (1.25 / 19, 1.25 * exp(delta) / 19))
        wanted = binom.logpmf(7, 47, worse) - binom.logpmf(7, 47, tolerated)
        assert ratio == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize("variation", [0.1, 0.3, 0.5])
def test_with_noise_counts_are_beta_binomial(variation: float) -> None:
    """Held against scipy's distribution, with the variance of the log odds of both versions together."""
    ratios = against_stable(Tally(bad=9, total=500), Tally(bad=20, total=4500), tolerated=1.0, variation=variation)

    def likelihood(odds: float) -> float:
        share = odds / (1 + odds)
        size = 1 / (2 * variation**2 * share * (1 - share)) - 1
        return float(betabinom.logpmf(9, 29, share * size, (1 - share) * size))

    for delta, ratio in zip(WORSE, ratios, strict=True):
        assert ratio == pytest.approx(likelihood(exp(delta) / 9) - likelihood(1 / 9), abs=1e-9)


@pytest.mark.parametrize("variation", [0.01, 0.3])
@pytest.mark.parametrize("share", [0.001, 0.02, 0.3])
def test_evidence_against_a_limit_is_not_expected_to_grow_where_it_is_kept(share: float, variation: float) -> None:
    """Summed over everything that may be counted, a likelihood ratio has the mean 1 at the limit, and less below."""
    total, counts = 60, np.arange(61)
    evidence = np.exp(
        log_evidence(against_limit(Tally(bad=counts, total=np.full(61, total)), limit=share, variation=variation))
    )
    size = 1 / (variation**2 * share * (1 - share)) - 1
    at_limit = betabinom.pmf(counts, total, share * size, (1 - share) * size)
    assert (evidence * at_limit).sum() == pytest.approx(1, abs=1e-6)
    below = betabinom.pmf(counts, total, share / 2 * size, (1 - share / 2) * size)
    assert (evidence * below).sum() < 1


def test_nothing_counted_is_no_evidence() -> None:
    nothing = Tally(bad=0, total=0)
    assert log_evidence(against_stable(nothing, nothing, tolerated=1.25, variation=0.3)) == pytest.approx(0)
    assert log_evidence(against_limit(nothing, limit=0.01, variation=0.3)) == pytest.approx(0)


def test_nothing_to_compare_with_is_no_evidence() -> None:
    """As in the bake, where stable has no requests."""
    alone = against_stable(Tally(bad=50, total=100), Tally(bad=0, total=0), tolerated=1.25, variation=0.3)
    assert float(log_evidence(alone)) == pytest.approx(0, abs=1e-6)


def test_what_is_better_than_tolerated_is_evidence_on_the_other_grid() -> None:
    ours, theirs = Tally(bad=10, total=10_000), Tally(bad=1000, total=190_000)
    assert log_evidence(against_stable(ours, theirs, tolerated=2.0, variation=0.05, grid=BETTER)) > log(20)
    assert log_evidence(against_stable(ours, theirs, tolerated=2.0, variation=0.05, grid=WORSE)) < 0


def test_sign_test_by_hand() -> None:
    """Ten failures, all of them the candidate's, at equal shares: 2^10 under the hypothesis of no difference."""
    ratios = against_stable(Tally(bad=10, total=100), Tally(bad=0, total=100), tolerated=1.0, variation=EXACT)
    at_most = Fraction(2) ** 10
    assert max(np.exp(ratios)) < at_most
    farthest = float(np.exp(WORSE[-1]))
    wanted = comb(10, 10) * (farthest / (1 + farthest)) ** 10 / (1 / 2) ** 10
    assert np.exp(ratios[-1]) == pytest.approx(wanted, rel=1e-3)


@given(
    st.integers(0, 400),
    st.integers(0, 400),
    st.integers(0, 5000),
    st.integers(0, 5000),
    st.sampled_from([1e-3, 0.1, 0.7]),
)
def test_no_ratio_is_above_what_is_said_to_be_the_most(
    bad: int, their_bad: int, good: int, their_good: int, variation: float
) -> None:
    ours, theirs = Tally(bad, bad + good), Tally(their_bad, their_bad + their_good)
    most = most_against_limit(ours, limit=0.02, variation=variation)
    assert against_limit(ours, limit=0.02, variation=variation).max() <= most + 1e-4
    for tolerated, grid in ((1.25, WORSE), (0.9, BETTER)):
        ratios = against_stable(ours, theirs, tolerated=tolerated, variation=variation, grid=grid)
        most = most_against_stable(ours, theirs, tolerated=tolerated, variation=variation, less_is_worse=grid is BETTER)
        assert ratios.max() <= most + 1e-4


def test_of_what_is_no_harm_the_most_says_so() -> None:
    healthy, stable = Tally(bad=10, total=1000), Tally(bad=190, total=19_000)
    assert most_against_stable(healthy, stable, tolerated=1.25, variation=0.05) < 1
    assert most_against_limit(healthy, limit=0.02, variation=0.05) < 1
    assert most_against_limit(healthy, limit=0.02, variation=2.0) == np.inf, "beyond all measure nothing is promised"
