"""Values of a query compared with stable's: means of many things, scores, gauges.

A point is what the query yields for both versions at the same moment, and its *excess* how much worse than tolerated
the candidate is there. Evidence is that the mean excess is above zero, in a form that holds however often one looks: a
mixture over how far above it may be of likelihood ratios, in which the unknown variance is integrated out. Of
independent normal differences that is exact from the second point on; of others it is what the asymptotic confidence
sequences of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas ("Time-uniform central limit theory and asymptotic
confidence sequences", 2021) come to as points get more. Three things keep it honest before that:

- Fewer than `ENOUGH_POINTS` decide nothing.
- Points that are like the one before them say less, as in an autoregression of the first order, of their mean and of
  their variance (Bayley and Hammersley, "The effective number of independent observations in an autocorrelated time
  series", 1946). How much alike they are is read off their changes from one to the next, and reckoned with more.
- Where differences are skewed, so that rare good moments make up for many that are a little worse, the few that were
  seen mislead. Hall's transformation ("On the removal of skewness by transformation", 1992) takes that off.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from scipy.special import stdtr

from modelrollout.api.evidence import Comparison, Means
from modelrollout.api.slo import Baseline, Slo, Verdict
from modelrollout.api.status import SloStatus
from modelrollout.judge.eprocess import ENOUGH, SUSPICIOUS
from modelrollout.judge.thresholds import VerdictReason, describe, exceeds, status

ENOUGH_POINTS = 20
"""With fewer, the mean of anything may be far from normal, and what it varies by is hardly known."""

_SPREAD = 0.25
"""Variance of the mixture, of differences in standard deviations: those of about a half are found soonest."""

_ERROR = 0.05
"""Of the interval that is shown."""

_SURE = 1.5
"""Standard errors by which points are reckoned to be more alike than they look."""

_MOST_ALIKE = 0.99

_FARTHEST = 1e6
"""Standard deviations; beyond, such as without any deviation at all, it makes no difference."""

_STRONGEST = math.log(1e9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Both:
    """What a query yields for either version at one moment."""

    candidate: float
    stable: float


def with_point(means: Means, both: Both, baseline: Baseline) -> Means:
    """The sums with one point more; raises OverflowError for numbers of which there is no mean.

    A point at which neither value has moved is none: whatever they are made of was not measured anew.
    """
    if means.points and (both.candidate, both.stable) == (means.last_candidate, means.last_stable):
        return means
    points, excess = means.points + 1, _excess(both, baseline)
    off = excess - means.excess
    change = excess - _excess(Both(candidate=means.last_candidate, stable=means.last_stable), baseline)
    taken = Means(
        points=points,
        candidate=means.candidate + (both.candidate - means.candidate) / points,
        stable=means.stable + (both.stable - means.stable) / points,
        excess=means.excess + off / points,
        squares=means.squares + off**2 * means.points / points,
        cubes=means.cubes + off**3 * means.points * (points - 2) / points**2 - 3 * off * means.squares / points,
        steps=means.steps + (change**2 if means.points else 0.0),
        last_candidate=both.candidate,
        last_stable=both.stable,
    )
    if not math.isfinite(taken.squares + taken.cubes + taken.steps):
        raise OverflowError(f"{both.candidate:g} and {both.stable:g} are too far apart to be compared")
    return taken


def log_evidence(means: Means) -> float:
    """Logarithm of the evidence that the candidate is worse than tolerated; none as long as there are few points."""
    if means.points < 2:
        return 0.0
    alike = _alike(means)
    points, effect = _independent(means, alike), _unskewed(means) / _wider(alike)
    growth = 1 + points * _SPREAD
    likelihood = points * (math.log1p(effect**2) - math.log1p(effect**2 / growth)) - math.log(growth)
    toward = points * effect / math.sqrt((points + 1 / _SPREAD) * (1 + effect**2 / growth))
    one_sided = math.log(max(2 * float(stdtr(points, toward)), 1e-300))
    log = likelihood / 2 + one_sided
    return log if means.points >= ENOUGH_POINTS else min(log, 0.0)


def uncertainty(means: Means) -> float | None:
    """Half the width of an interval around the mean excess that holds the true one, at whatever moment; None: any."""
    if means.points < 2:
        return None
    alike = _alike(means)
    points = _independent(means, alike)
    growth = 1 + points * _SPREAD
    least = (math.sqrt(growth) / _ERROR) ** (2 / points)
    if least >= growth:
        return None
    return _wider(alike) * math.sqrt((least - 1) / (1 - least / growth) * means.squares / means.points)


def judge_means(
    slo: Slo, means: Means, baseline: Baseline, *, pooled: float, every: timedelta, at: datetime
) -> SloStatus:
    """Verdict by all points of the attempt; `pooled` is the evidence of all that are compared with stable.

    `every` is how long it is from one point to the next.
    """
    log = log_evidence(means)
    comparison = _comparison(means, log, every=every, at=at)

    def say(verdict: Verdict, reason: VerdictReason, message: str) -> SloStatus:
        value = means.last_candidate if means.points else None
        return status(slo, verdict, reason, message, value=value, at=at, comparison=comparison)

    if means.points < ENOUGH_POINTS:
        message = (
            f"{means.points} of {ENOUGH_POINTS} points, one every {describe(every)} in which either value moves; "
            "fewer decide nothing"
        )
        return say(Verdict.INCONCLUSIVE, VerdictReason.TOO_FEW_SAMPLES, message)
    explained = _explained(means, baseline, comparison)
    if log >= pooled >= ENOUGH:
        return say(Verdict.BREACH, VerdictReason.WORSE_THAN_STABLE, explained)
    if log >= SUSPICIOUS:
        return say(Verdict.INCONCLUSIVE, VerdictReason.SUSPICIOUS, explained)
    return say(Verdict.PASS, VerdictReason.NO_WORSE, explained)


def judge_both(slo: Slo, both: Both, baseline: Baseline, *, at: datetime) -> SloStatus:
    """Verdict by one point alone, as of the newest sample that both have."""
    tolerated = _tolerated(both.stable, baseline)
    allowed = f"at {'least' if baseline.less_is_worse else 'most'} {tolerated:.6g} is tolerated"
    message = f"the query yields {both.candidate:.6g}, and of stable {both.stable:.6g}: {allowed}"
    evidence: dict[str, Any] = {"value": both.candidate, "limit": tolerated, "at": at}
    worse = (tolerated, both.candidate) if baseline.less_is_worse else (both.candidate, tolerated)
    if exceeds(*worse):
        return status(slo, Verdict.BREACH, VerdictReason.WORSE_THAN_STABLE, message, **evidence)
    return status(slo, Verdict.PASS, VerdictReason.NO_WORSE, message, **evidence)


def judge_uncompared(slo: Slo, *, at: datetime) -> SloStatus:
    """What is said where others call the candidate than stable."""
    message = "callers are let in by header here: they are others than stable's, so nothing is compared"
    return status(slo, Verdict.PASS, VerdictReason.NO_WORSE, message, at=at)


def _excess(both: Both, baseline: Baseline) -> float:
    tolerated = _tolerated(both.stable, baseline)
    return tolerated - both.candidate if baseline.less_is_worse else both.candidate - tolerated


def _tolerated(stable: float, baseline: Baseline) -> float:
    """The worst that is tolerated. Of a value below zero, too, more than it is more."""
    return stable + (baseline.tolerated - 1) * abs(stable)


def _alike(means: Means) -> float:
    """Correlation of a point's excess with that of the one before, as von Neumann's ratio has it, and some more."""
    seen = 1 - means.steps / (2 * means.squares) if means.squares else 0.0
    return min(max(seen + _SURE / math.sqrt(means.points), 0.0), _MOST_ALIKE)


def _independent(means: Means, alike: float) -> float:
    """So many independent points tell as much of the variance as these."""
    return means.points * (1 - alike**2) / (1 + alike**2)


def _wider(alike: float) -> float:
    """How many times as far off the mean of these points is as that of so many independent ones."""
    return (1 + alike) / math.sqrt(1 + alike**2)


def _unskewed(means: Means) -> float:
    """The mean excess in standard deviations, less what it may owe to a skew towards rare good moments."""
    deviation = math.sqrt(means.squares / means.points)
    if deviation * _FARTHEST <= abs(means.excess):
        return math.copysign(_FARTHEST, means.excess) if means.excess else 0.0
    effect = means.excess / deviation
    skew = min(means.cubes / means.points / deviation**3, 0.0)
    return effect + skew * effect**2 / 3 + skew**2 * effect**3 / 27 + skew / (6 * means.points)


def _comparison(means: Means, log: float, *, every: timedelta, at: datetime) -> Comparison:
    missing = max(0, ENOUGH_POINTS - means.points)
    ratio, low, high = _ratio(means)
    return Comparison(
        points=means.points,
        points_needed=missing or None,
        ratio=ratio,
        ratio_low=low,
        ratio_high=high,
        evidence=_short(math.exp(min(log, _STRONGEST))),
        decision_at=at + missing * every if missing else None,
    )


def _ratio(means: Means) -> tuple[float | None, float | None, float | None]:
    """The candidate's mean in times of stable's, and the ends of its interval; of means below zero there is none."""
    if means.stable <= 0:
        return None, None, None
    ratio, half = means.candidate / means.stable, uncertainty(means)
    if half is None:
        return _short(ratio), None, None
    return _short(ratio), _short(ratio - half / means.stable), _short(ratio + half / means.stable)


def _short(number: float) -> float:
    return float(f"{number:.4g}")


def _explained(means: Means, baseline: Baseline, comparison: Comparison) -> str:
    allowed = f"{'least' if baseline.less_is_worse else 'most'} {baseline.tolerated:.4g} times that is tolerated"
    beside = f"{means.candidate:.4g} on average, {means.stable:.4g} of stable: at {allowed}"
    return f"{beside}; in this attempt {comparison.in_words}"
