"""The evidence of many rollouts at once: what `judge.evidence.Book` keeps of one, in arrays.

A test holds the two against each other, look by look.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from modelrollout.api.evidence import GRID
from modelrollout.api.quantities import parse_number
from modelrollout.api.slo import Baseline, SharedIncident, Slo
from modelrollout.judge.eprocess import (
    BETTER,
    SUSPICIOUS,
    WORSE,
    Array,
    Tally,
    against_limit,
    against_stable,
    log_evidence,
    most_against_limit,
    most_against_stable,
)
from modelrollout.judge.evidence import CERTAIN, PROOF_MARGIN
from modelrollout.judge.thresholds import ROUNDING
from modelrollout.simulation.requests import Counts, Rows

Which = NDArray[np.bool_]


class Weighed(NamedTuple):
    """What the counts of some rollouts say by now, as logarithms of evidence."""

    over_limit: Array
    worse: Array


class _Test:
    """One sequential test: what the blocks said that are over, by grid point, and as evidence."""

    def __init__(self, against: Callable[[Rows], Array], runs: int) -> None:
        self._against, self._sums = against, np.zeros((runs, GRID))
        self.closed = np.zeros(runs)

    def weigh(self, rows: Rows, closing: Which) -> Array:
        """The evidence with the block that is under way, which is over for some."""
        sums = self._sums[rows] + self._against(rows)
        evidence = log_evidence(sums)
        self._sums[rows[closing]], self.closed[rows[closing]] = sums[closing], evidence[closing]
        return evidence


class Books:
    """Counts of an SLO in many attempts, and the sequential tests on them."""

    def __init__(self, slo: Slo, *, variation: Array, block: NDArray[np.int64], proves: bool = False) -> None:
        """`proves`: somebody will ask whether a candidate is proven not to be twice as bad."""
        runs = len(variation)
        self._variation, self._block = variation, 60.0 * block
        self._limit = 0.0 if slo.limit is None else parse_number(slo.limit)
        self._waits = slo.shared_incident is SharedIncident.HOLD
        self._baseline = slo.baseline or Baseline()
        self._open = np.zeros((4, runs))
        self._begun = np.zeros(runs)
        self._over_limit = _Test(self._against_limit, runs) if slo.limit is not None else None
        self._worse = _Test(self._against_stable, runs) if slo.baseline else None
        self._not_twice = _Test(self._against_twice, runs) if slo.baseline and proves else None

    def count(self, counted: Array | Counts, rows: Rows) -> None:
        """Take in what was counted of these rollouts since the last time."""
        self._open[:, rows] += counted

    def is_over(self, rows: Rows, *, at: float) -> Which:
        """Whose block is over, so many seconds after their stage began."""
        over: Which = at - self._begun[rows] >= self._block[rows]
        return over

    def most(self, rows: Rows) -> Array:
        """What the evidence of these rollouts is not above, at a fraction of what it costs to weigh it."""
        ours, theirs = self._tallies(rows)
        variation, most = self._variation[rows], np.full(len(rows), -np.inf)
        if self._over_limit:
            ratio = most_against_limit(ours, limit=self._limit, variation=variation)
            if self._limit == 0:
                ratio = np.maximum(ratio, CERTAIN)
            most = self._over_limit.closed[rows] + np.maximum(ratio, 0)  # 0: nothing counts that stable shares
        if self._worse:
            ratio = most_against_stable(
                ours,
                theirs,
                tolerated=self._baseline.tolerated,
                variation=variation,
                less_is_worse=self._baseline.less_is_worse,
            )
            most = np.maximum(most, self._worse.closed[rows] + ratio)
        return most

    def weigh(self, rows: Rows, *, at: float) -> Weighed:
        """What these rollouts' counts say; blocks that are over are closed."""
        return self._weigh(rows, self.is_over(rows, at=at), at)

    def not_twice_as_bad(self, rows: Rows) -> Array:
        """The evidence that these rollouts' candidates are not twice as bad as stable, if anybody was to ask."""
        return _evidence(self._not_twice, rows, np.zeros(len(rows), dtype=bool))

    def turn(self, rows: Rows) -> None:
        """Their stage is over, and its last block with it."""
        self._weigh(rows, np.ones(len(rows), dtype=bool), 0.0)

    def _weigh(self, rows: Rows, closing: Which, at: float) -> Weighed:
        weighed = Weighed(_evidence(self._over_limit, rows, closing), _evidence(self._worse, rows, closing))
        over = rows[closing]
        _evidence(self._not_twice, over, np.ones(len(over), dtype=bool))
        self._open[:, over] = 0
        self._begun[over] = at
        return weighed

    def _against_limit(self, rows: Rows) -> Array:
        ours, theirs = self._tallies(rows)
        logs = against_limit(ours, limit=self._limit, variation=self._variation[rows])
        if self._limit == 0:
            logs[np.asarray(ours.bad) > 0] = CERTAIN
        if self._waits:
            logs[exceeds(shares(theirs), self._limit)] = 0
        return logs

    def _against_stable(self, rows: Rows) -> Array:
        grid = BETTER if self._baseline.less_is_worse else WORSE
        return self._compared(rows, self._baseline.tolerated, grid)

    def _against_twice(self, rows: Rows) -> Array:
        if self._baseline.less_is_worse:
            return self._compared(rows, 1 / PROOF_MARGIN, WORSE)
        return self._compared(rows, PROOF_MARGIN, BETTER)

    def _compared(self, rows: Rows, tolerated: float, grid: Array) -> Array:
        ours, theirs = self._tallies(rows)
        return against_stable(ours, theirs, tolerated=tolerated, variation=self._variation[rows], grid=grid)

    def _tallies(self, rows: Rows) -> tuple[Tally, Tally]:
        bad, total, their_bad, their_total = self._open[:, rows]
        return Tally(bad, total), Tally(their_bad, their_total)


def weighed(books: Mapping[str, Books], rows: Rows, *, at: float) -> dict[str, Weighed]:
    """What the counts of these rollouts say, by SLO; 0 of those of which it is known that no SLO is even suspicious.

    Most rollouts are healthy, most of the time.
    """
    if not books:
        return {}
    doubtful = np.max([one.most(rows) for one in books.values()], axis=0) >= SUSPICIOUS
    said = {}
    for name, one in books.items():
        which = doubtful | one.is_over(rows, at=at)
        said[name] = Weighed(np.zeros(len(rows)), np.zeros(len(rows)))
        said[name].over_limit[which], said[name].worse[which] = one.weigh(rows[which], at=at)
    return said


def _evidence(test: _Test | None, rows: Rows, closing: Which) -> Array:
    """None without a test."""
    return test.weigh(rows, closing) if test else np.zeros(len(rows))


def shares(tally: Tally) -> Array:
    """Of the bad ones; 0 without any request."""
    bad, total = np.asarray(tally.bad, dtype=np.float64), np.asarray(tally.total, dtype=np.float64)
    return np.divide(bad, total, out=np.zeros_like(bad), where=total > 0)


def exceeds(values: Array, limit: float) -> Which:
    """Which are above a limit, but for rounding; as `judge.thresholds.exceeds`."""
    beyond: Which = values - limit > ROUNDING * np.maximum(values, limit)
    return beyond
