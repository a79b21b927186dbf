"""Verdicts of the sequential tests: what the counts of a whole attempt are evidence of, and what they are not."""

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Protocol

from scipy.special import rel_entr

from modelrollout.api.evidence import Comparison
from modelrollout.api.quantities import parse_number
from modelrollout.api.slo import OnBreach, Slo, Verdict
from modelrollout.api.status import SloStatus
from modelrollout.judge.eprocess import ENOUGH, PROVEN, SUSPICIOUS
from modelrollout.judge.evidence import Weighed, ratio_interval
from modelrollout.judge.ledger import Coverage
from modelrollout.judge.split import Mismatch
from modelrollout.judge.thresholds import (
    Counts,
    VerdictReason,
    count_message,
    down,
    every_request_fails,
    exceeds,
    is_shared,
    least_samples,
    looked_at,
    nothing_to_judge,
    passing,
    shared_words,
    status,
)

_STRONGEST = 1e9
"""Evidence that is shown as it is; more is this much."""


def judge_evidence(
    slo: Slo,
    counts: Counts,
    weighed: Weighed,
    coverage: Coverage,
    *,
    pooled: float,
    now: datetime,
    mismatch: Mismatch | None = None,
) -> SloStatus:
    """Verdict of an SLO by the evidence of the attempt; `pooled` is that of all that are compared with stable.

    Of several comparisons the one with the strongest evidence answers for all. Where the requests are not split as
    declared there is none: the limit alone decides then.
    """
    if unknown := nothing_to_judge(slo, counts, coverage, now):
        return unknown
    comparison = _comparison(slo, counts, weighed, now)
    limit = None if slo.limit is None else parse_number(slo.limit)
    evidence = {
        "value": counts.share,
        "limit": limit,
        "samples": round(counts.total),
        "at": looked_at(coverage, now),
        "comparison": comparison,
    }

    def say(verdict: Verdict, reason: VerdictReason, further: str = "") -> SloStatus:
        return status(slo, verdict, reason, f"{explained(slo, counts, comparison)}{further}", **evidence)

    if every_request_fails(slo, counts):
        return say(Verdict.BREACH, VerdictReason.EVERY_REQUEST_FAILS)
    if weighed.over_limit >= ENOUGH and not (limit is not None and is_shared(slo, counts.stable, limit)):
        return say(Verdict.BREACH, VerdictReason.ABOVE_LIMIT)
    if mismatch:
        return say(Verdict.INCONCLUSIVE, VerdictReason.SPLIT_MISMATCH, f"; {mismatch.words}")
    if weighed.worse >= pooled >= ENOUGH:
        return say(Verdict.BREACH, VerdictReason.WORSE_THAN_STABLE)
    if limit is not None and exceeds(counts.share, limit) and is_shared(slo, counts.stable, limit):
        return say(Verdict.INCONCLUSIVE, VerdictReason.SHARED_INCIDENT, f"; {shared_words(counts)}")
    least, seen = least_samples(slo), weighed.stage.candidate.total
    if seen < least:
        return say(Verdict.INCONCLUSIVE, VerdictReason.TOO_FEW_SAMPLES, f"; {seen} of {least} requests in this stage")
    if max(weighed.over_limit, weighed.worse) >= SUSPICIOUS:
        return say(Verdict.INCONCLUSIVE, VerdictReason.SUSPICIOUS)
    if coverage.down:
        return say(Verdict.INCONCLUSIVE, VerdictReason.TARGET_DOWN, f", but {down(coverage)}")
    return say(
        Verdict.PASS,
        passing(slo, counts.share, VerdictReason.NO_WORSE if limit is None else VerdictReason.WITHIN_LIMIT),
    )


class Compared(Protocol):
    """Whatever is compared with stable."""

    @property
    def worse(self) -> float:
        """Logarithm of the evidence that the candidate is worse than is tolerated."""


def pool(slos: Mapping[str, Slo], weighed: Mapping[str, Compared]) -> dict[str, float]:
    """By SLO: the logarithm of the evidence that decides it.

    Those that take a candidate back for being worse than stable share one chance of being wrong: it is the mean of
    theirs that has to be enough, and the strongest is told. The others stand for themselves.
    """
    shared = [name for name, slo in slos.items() if name in weighed and shares_chance(slo)]
    if not shared:
        return {name: one.worse for name, one in weighed.items()}
    strongest = max(shared, key=lambda name: weighed[name].worse)
    highest = weighed[strongest].worse
    mean = highest + math.log(sum(math.exp(weighed[name].worse - highest) for name in shared) / len(shared))
    return {
        name: (mean if name == strongest else math.inf) if name in shared else one.worse
        for name, one in weighed.items()
    }


def explained(slo: Slo, counts: Counts, comparison: Comparison) -> str:
    """What was counted just now and what is known of the whole attempt, in a sentence for people."""
    alone = slo.baseline is not None and not comparison.stable.total
    beside = "; stable has no requests to compare with" if alone else ""
    return f"{count_message(slo, counts)}; in this attempt {comparison.in_words}{beside}"


def _comparison(slo: Slo, counts: Counts, weighed: Weighed, now: datetime) -> Comparison:
    ratio, low, high = ratio_interval(weighed.attempt)
    needed = _samples_needed(slo, weighed)
    rate = counts.total / max(counts.span.total_seconds(), 1.0)
    return Comparison(
        candidate=weighed.attempt.candidate,
        stable=weighed.attempt.stable,
        ratio=_short(ratio),
        ratio_low=_short(low),
        ratio_high=_short(high),
        evidence=_short(min(math.exp(min(max(weighed.over_limit, weighed.worse), 50.0)), _STRONGEST)) or 0.0,
        samples_needed=needed,
        decision_at=now + timedelta(seconds=needed / rate) if needed and needed / rate < _FORESEEABLE else None,
        proven=slo.baseline is not None and weighed.not_twice_as_bad >= PROVEN,
    )


_FORESEEABLE = timedelta(days=30).total_seconds()


def _samples_needed(slo: Slo, weighed: Weighed) -> int | None:
    """Further requests of the candidate until the evidence is enough, if what was seen so far is the truth.

    Each adds the relative entropy between what is seen and what is tolerated, on average.
    """
    needed = [
        (ENOUGH - log) / gain
        for log, gain in ((weighed.over_limit, _gain_on_limit(slo, weighed)), (weighed.worse, _gain(slo, weighed)))
        if gain > 0
    ]
    return max(0, math.ceil(min(needed))) if needed and min(needed) < _MANY else None


_MANY = 1e12


def _gain_on_limit(slo: Slo, weighed: Weighed) -> float:
    share, limit = weighed.attempt.candidate.share, slo.limit
    if share is None or limit is None or share <= parse_number(limit) or parse_number(limit) == 0:
        return 0.0
    return _entropy(share, parse_number(limit))


def _gain(slo: Slo, weighed: Weighed) -> float:
    ours, theirs = weighed.attempt.candidate, weighed.attempt.stable
    bad = ours.bad + theirs.bad
    if slo.baseline is None or not (ours.total and theirs.total and bad):
        return 0.0
    odds = slo.baseline.tolerated * ours.total / theirs.total
    share, tolerated = ours.bad / bad, odds / (1 + odds)
    is_worse = share < tolerated if slo.baseline.less_is_worse else share > tolerated
    return _entropy(share, tolerated) * bad / ours.total if is_worse else 0.0


def _entropy(seen: float, tolerated: float) -> float:
    """Of a yes or no, in nats."""
    return float(rel_entr(seen, tolerated) + rel_entr(1 - seen, 1 - tolerated))


def _short(number: float | None) -> float | None:
    """To four digits: more say nothing, and would make each look a change."""
    return None if number is None else float(f"{number:.4g}")


def shares_chance(slo: Slo) -> bool:
    """Whether it shares one chance of a false alarm with others of the kind: it takes back who is worse than stable."""
    return slo.baseline is not None and slo.on_breach is OnBreach.REVERT and not slo.dry_run
