"""The evidence of one SLO in one attempt: counts go in block by block, and what they say of harm comes out.

Blocks that are over are folded into sums by grid point and into totals, so that what is kept does not grow, and an
operator that starts anew goes on from what was written down last. The block that is under way is looked at as often as
anybody likes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from scipy.special import betaincinv

from modelrollout.api.evidence import GRID, Counted, SloEvidence
from modelrollout.api.quantities import parse_number
from modelrollout.api.slo import Baseline, Slo
from modelrollout.judge.eprocess import BETTER, WORSE, Array, Tally, against_limit, against_stable, log_evidence
from modelrollout.judge.noise import Noise
from modelrollout.judge.thresholds import is_shared

PROOF_MARGIN = 2.0
"""How many times as bad as stable a candidate is proven not to be."""

_DIGITS = 4
"""Of log likelihood ratios that are written down."""

_CERTAINTY = 0.95

CERTAIN = 50.0
"""Log likelihood ratio of what cannot be: a bad one where none is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """What was counted of both versions in one stretch of time."""

    candidate: Counted
    stable: Counted

    def __add__(self, other: "Pair") -> "Pair":
        return Pair(candidate=self.candidate + other.candidate, stable=self.stable + other.stable)


NOTHING = Pair(candidate=Counted(), stable=Counted())

Between = Callable[[datetime, datetime], Pair]
"""What scrapes later than the first moment and not later than the second have counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """What the counts of an attempt say by now, as logarithms of evidence: 0 is none."""

    attempt: Pair
    """All that was counted."""
    stage: Pair
    """What of it was counted in this stage, as far as this process saw it."""
    block: Pair
    """What was counted in the block that is under way."""
    over_limit: float = 0.0
    """That more than the limit is bad, and not with stable as well."""
    worse: float = 0.0
    """That it is worse than stable by more than is tolerated."""
    not_twice_as_bad: float = 0.0


class Book:
    """Counts of an SLO in an attempt, and the sequential tests on them."""

    def __init__(self, slo: Slo, *, noise: Noise, since: datetime, resumed: SloEvidence | None = None) -> None:
        """`resumed` is what was written down last of the same SLO in the same attempt; its noise holds then."""
        self._slo = slo
        self._limit = None if slo.limit is None else parse_number(slo.limit)
        self._baseline = slo.baseline
        self._begun = since if resumed is None else max(since, resumed.counted_to)
        self._counted_to = self._begun
        self._noise = noise if resumed is None else Noise(variation=resumed.variation, block=resumed.block)
        self._closed = NOTHING if resumed is None else Pair(candidate=resumed.candidate, stable=resumed.stable)
        self._is_calibrated = resumed is not None
        self._stage = NOTHING
        self._open = NOTHING
        self._over_limit = _sums(resumed.limit if resumed else [])
        self._worse = _sums(resumed.baseline if resumed else [])
        self._not_twice = _sums(resumed.proof if resumed else [])
        self._written: SloEvidence | None = None

    @property
    def is_calibrated(self) -> bool:
        """Whether the noise is final."""
        return self._is_calibrated

    def assume(self, noise: Noise) -> None:
        """Reckon with this noise from now on, unless a block is over by then: evidence must not depend on looks."""
        if not self._is_calibrated:
            self._noise, self._is_calibrated, self._written = noise, True, None

    @property
    def counted_to(self) -> datetime:
        """Up to when counts were taken in for good; what came later is asked for again."""
        return self._counted_to

    @property
    def begun(self) -> datetime:
        """When the block began that is under way: an operator that starts anew counts from there."""
        return self._begun

    def weigh(self, between: Between, *, settled: datetime, now: datetime) -> Weighed:
        """Take in what was counted; until `settled` nothing is added any more by scrapes that come late."""
        while settled >= self._begun + self._length:
            end = max(self._begun + self._length, self._counted_to)  # blocks may be shorter than was assumed
            self._take(between(self._counted_to, end), end)
            self._close()
        if settled > self._counted_to:
            self._take(between(self._counted_to, settled), settled)
        block = self._open + between(self._counted_to, now)
        return Weighed(
            attempt=self._closed + block,
            stage=self._stage + block,
            block=block,
            over_limit=_log(self._over_limit + self._against_limit(block)),
            worse=_log(self._worse + self._against_stable(block)),
            not_twice_as_bad=_log(self._not_twice + self._against_twice(block)),
        )

    def turn(self, between: Between, *, now: datetime, since: datetime) -> None:
        """A stage is over: its last block with it. What comes until `since`, around the change, is left out."""
        self._take(between(self._counted_to, now), now)
        self._close()
        self._begun = self._counted_to = max(since, now)
        self._written = None
        self._stage = NOTHING

    def written(self) -> SloEvidence:
        """All that is needed to go on from the end of the last block that is over."""
        if self._written is None:  # asked for at every look, and another one only once a block
            self._written = self._as_of_the_last_block()
        return self._written

    def _as_of_the_last_block(self) -> SloEvidence:
        return SloEvidence(
            name=self._slo.name,
            question=self._slo.question,
            counted_to=self._begun,
            candidate=self._closed.candidate,
            stable=self._closed.stable,
            variation=round(self._noise.variation, _DIGITS),
            block=self._noise.block,
            limit=_rounded(self._over_limit) if self._limit is not None else [],
            baseline=_rounded(self._worse) if self._baseline else [],
            proof=_rounded(self._not_twice) if self._baseline else [],
        )

    @property
    def _length(self) -> timedelta:
        return timedelta(minutes=self._noise.block)

    def _take(self, pair: Pair, until: datetime) -> None:
        self._open += pair
        self._counted_to = until

    def _close(self) -> None:
        self._over_limit = self._over_limit + self._against_limit(self._open)
        self._worse = self._worse + self._against_stable(self._open)
        self._not_twice = self._not_twice + self._against_twice(self._open)
        self._closed += self._open
        self._stage += self._open
        self._open, self._begun, self._written = NOTHING, self._counted_to, None
        self._is_calibrated = True

    def _against_limit(self, block: Pair) -> Array:
        """Nothing, in an incident that both share: what stable suffers from as well says nothing of the candidate.

        Whether a block counts depends on stable's requests alone, and so favours neither side.
        """
        if self._limit is None or is_shared(self._slo, block.stable, self._limit):
            return np.zeros(GRID)
        if self._limit == 0 and block.candidate.bad:
            return np.full(GRID, CERTAIN)
        return against_limit(_tally(block.candidate), limit=self._limit, variation=self._noise.variation)

    def _against_stable(self, block: Pair) -> Array:
        if self._baseline is None:
            return np.zeros(GRID)
        return self._compared(block, self._baseline.tolerated, _worse(self._baseline))

    def _against_twice(self, block: Pair) -> Array:
        """Against being as bad as the margin: twice as many bad ones, or half as many good ones."""
        if self._baseline is None:
            return np.zeros(GRID)
        margin = 1 / PROOF_MARGIN if self._baseline.less_is_worse else PROOF_MARGIN
        return self._compared(block, margin, -_worse(self._baseline))

    def _compared(self, block: Pair, tolerated: float, grid: Array) -> Array:
        candidate, stable = _tally(block.candidate), _tally(block.stable)
        return against_stable(candidate, stable, tolerated=tolerated, variation=self._noise.variation, grid=grid)


def ratio_interval(pair: Pair) -> tuple[float | None, float | None, float | None]:
    """The candidate's share of bad ones in times of stable's, and the ends of its 95 per cent interval.

    Given how many are bad in all, those of the candidate are binomial (Clopper and Pearson's exact interval). It speaks
    of chance alone, at one moment: decisions are made on the evidence.
    """
    ours, theirs = pair.candidate, pair.stable
    if not (ours.total and theirs.total and ours.bad + theirs.bad):
        return None, None, None
    scale, tail = theirs.total / ours.total, (1 - _CERTAINTY) / 2
    low = float(betaincinv(ours.bad, theirs.bad + 1, tail)) if ours.bad else 0.0
    high = float(betaincinv(ours.bad + 1, theirs.bad, 1 - tail)) if theirs.bad else 1.0
    ratio = ours.bad / theirs.bad * scale if theirs.bad else None
    return ratio, _odds(low) * scale, _odds(high) * scale if high < 1 else None


def _odds(share: float) -> float:
    return share / (1 - share)


def _worse(baseline: Baseline) -> Array:
    return BETTER if baseline.less_is_worse else WORSE


def _tally(counted: Counted) -> Tally:
    return Tally(bad=counted.bad, total=counted.total)


def _sums(written: list[float]) -> Array:
    return np.array(written) if len(written) == GRID else np.zeros(GRID)


def _rounded(sums: Array) -> list[float]:
    return [round(float(one), _DIGITS) for one in sums]


def _log(sums: Array) -> float:
    return float(log_evidence(sums))
