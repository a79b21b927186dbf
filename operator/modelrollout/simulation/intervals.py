"""Intervals that others judge by, and those of what a simulation finds.

Each is held against values that its authors, or users, have published: tests/unit/simulation/test_published.py.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri
from scipy.stats import binomtest

from modelrollout.judge.eprocess import Array

TUNING = 5000
"""Requests for which the sequential interval is narrowest: GrowthBook's usual value."""


class Interval(NamedTuple):
    """An estimate, or several, with the ends of the interval around each."""

    estimate: Array
    low: Array
    high: Array


def mann_whitney(ours: Array, theirs: Array, *, confidence: float) -> Interval | None:
    """By how much values of ours are greater than theirs: Hodges and Lehmann's estimate, and its interval.

    From the normal approximation with corrections for continuity and for ties, as R's wilcox.test and Kayenta have it.
    Both look for the end as a root of a function of the shift; as that leaps at differences alone, it is one of them.
    None where nothing differs.
    """
    ours, theirs = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    differences = np.sort(np.subtract.outer(ours, theirs), axis=None)
    pairs, values = len(differences), len(ours) + len(theirs)
    ties = _ties(ours) + _ties(theirs)
    variance = pairs / 12 * (values + 1 - ties / (values * (values - 1)))
    if variance <= 0 or differences[0] == differences[-1]:
        return None
    reach = pairs / 2 + 0.5 + float(ndtri((1 + confidence) / 2)) * math.sqrt(variance)
    outer = max(math.ceil(pairs - reach), 1)
    return Interval(np.median(differences), differences[outer - 1], differences[pairs - outer])


def _ties(values: Array) -> int:
    _, times = np.unique(values, return_counts=True)
    return int((times**3 - times).sum())


def sequential_lift(bad: Array, total: Array, their_bad: Array, their_total: Array, *, error: float = 0.05) -> Interval:
    """By how much our share of bad ones is greater than theirs, relative to it, at whatever moment one looks.

    The asymptotic confidence sequence of Waudby-Smith and others (arXiv:2103.06476, equations 9 and 161), as GrowthBook
    judges by it. Nothing is said (not a number) as long as either has no request, or they have nothing bad.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ours, theirs = bad / total, their_bad / their_total
        lift = ours / theirs - 1
        of_ours, of_theirs = ours * (1 - ours) / total, theirs * (1 - theirs) / their_total
        variance = of_ours / theirs**2 + of_theirs * ours**2 / theirs**4
        requests = total + their_total
        most = -2 * math.log(error)
        grown = requests * (most + math.log(most + 1)) / TUNING + 1
        halfwidth = np.sqrt(variance * 2 * grown / (grown - 1) * np.log(np.sqrt(grown) / error))
        return Interval(lift, lift - halfwidth, lift + halfwidth)


def share_interval(count: int, of: int) -> tuple[float, float]:
    """Wilson's 95 per cent interval of a share."""
    interval = binomtest(count, of).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)
