"""Intervals held against values that others have published."""

import math

import numpy as np
import pytest

from modelrollout.api.evidence import Counted
from modelrollout.judge.evidence import Pair, ratio_interval
from modelrollout.simulation.intervals import mann_whitney, sequential_lift, share_interval

EXACT = 1e-5

KAYENTA_CONTROL = """
1.5 6.0 5.0 2.5 2.5 2.0 2.0 3.5 3.0 3.0 3.0 2.0 3.0 8.0 4.0 2.5 3.0 2.5 2.5 2.0 2.5 2.0 2.0 2.5 3.5 3.0 1.5 5.0 2.5 5.5
2.0 2.5 3.5 2.0 2.5 4.0 2.0 2.0 2.0 2.0 5.5 4.5 4.0 3.0 3.0 3.5 2.5 3.0 2.5 4.0 6.0 2.0 5.0 6.0 3.5 3.0 54.5 3.0 5.0 6.0
3.5 4.5 2.5 2.0 6.0 5.0 2.5 3.5 2.0 3.0 2.5 3.5 3.5 2.5 3.0 4.5 3.0 15.5 5.0 2.5 3.0 4.0 3.5 4.0 4.0 2.0 4.5 2.5 4.0 3.0
"""
KAYENTA_EXPERIMENT = """
2.5 2.5 2.0 2.5 3.5 2.0 3.5 1.5 3.0 3.0 2.5 3.5 2.0 2.5 2.0 2.0 5.0 3.0 2.0 1.5 2.0 4.0 3.0 2.5 3.0 2.0 2.0 2.0 2.5 3.5
1.5 1.5 3.5 2.0 2.5 2.5 3.0 3.5 2.5 6.5 2.5 4.0 2.5 3.0 2.5 6.5 2.5 3.0 1.5 2.0 2.5 3.0 7.5 1.5 2.0 4.0 2.5 2.0 2.5 3.5
4.0 2.5 3.0 2.5 2.0 3.5 3.0 16.5 3.0 3.0 7.0 4.5 5.0 2.0 3.5 6.0 1.5 3.0 2.5 4.0 3.0 1.5 5.0 3.0 2.5 5.5 3.0 1.5 2.5 6.0
"""


def test_mann_whitney_of_kayentas_first_example() -> None:
    """spinnaker/kayenta, MannWhitneySuite: "Mann-Whitney Confidence Interval & Estimate"."""
    interval = mann_whitney(np.array([10.0, 20, 30, 40]), np.array([1.0, 2, 3, 4]), confidence=0.95)
    assert interval == pytest.approx((22.5, 6.0, 39.0), abs=EXACT)


def test_mann_whitney_with_ties() -> None:
    """The same suite, "Tie out with R Version".

    R looks for a root where the function leaps, and stops 1e-4 beside it: it says -0.4999394, -0.5000025, -0.0000349.
    """
    ours, theirs = (np.array([float(one) for one in text.split()]) for text in (KAYENTA_EXPERIMENT, KAYENTA_CONTROL))
    interval = mann_whitney(ours, theirs, confidence=0.95)
    assert interval == pytest.approx((-0.4999393907, -0.5000025217, -0.0000348629), abs=1e-4)


def test_sequential_interval_of_a_relative_change() -> None:
    """growthbook/growthbook, packages/stats/tests/frequentist/test_tests.py: test_sequential_test_runs_prop."""
    interval = sequential_lift(*np.array([[2422.0], [3461], [1396], [3000]]))
    assert np.concatenate(interval) == pytest.approx((0.50386, 0.40098, 0.60675), abs=EXACT)


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_interval(count: int, of: int, low: float, high: float) -> None:
    """R. G. Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3: to the four digits that it gives."""
    assert share_interval(count, of) == pytest.approx((low, high), abs=5.1e-5)


def test_wilsons_intervals_make_newcombes_of_a_difference() -> None:
    """56 of 70 against 48 of 80: the same, 873-890, table II (a), method 10; seven digits as in R's presize."""
    (low, high), (their_low, their_high) = share_interval(56, 70), share_interval(48, 80)
    ours, theirs = 56 / 70, 48 / 80
    difference = ours - theirs
    lower = difference - math.hypot(ours - low, their_high - theirs)
    upper = difference + math.hypot(high - ours, theirs - their_low)
    assert (lower, upper) == pytest.approx((0.0524315, 0.3338727), abs=EXACT)


def test_exact_interval_of_a_ratio() -> None:
    """R's help on poisson.test: 11 in 800 person-years against 21 in 3011, given the sum."""
    pair = Pair(candidate=Counted(bad=11, total=800), stable=Counted(bad=21, total=3011))
    assert ratio_interval(pair) == pytest.approx((1.971488, 0.8584264, 4.2772659), abs=EXACT)
