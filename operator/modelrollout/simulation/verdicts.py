"""Verdicts on many rollouts at once: those of `judge.guardrail` and `judge.thresholds` as arrays.

A test holds them against those, with every reason that a simulation can meet.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from modelrollout.api.quantities import parse_number
from modelrollout.api.slo import BuiltInMetric, SharedIncident, Slo
from modelrollout.judge.eprocess import ENOUGH, SUSPICIOUS, Array, Tally
from modelrollout.judge.guardrail import shares_chance
from modelrollout.judge.thresholds import BEYOND_DOUBT, least_samples
from modelrollout.simulation.books import Weighed, Which, exceeds, shares


class Verdicts(NamedTuple):
    """Which rollouts pass, which are breached, and which of those beyond doubt; the others are inconclusive."""

    passes: Which
    breached: Which
    beyond_doubt: Which


def pooled(slos: Mapping[str, Slo], weighed: Mapping[str, Weighed]) -> dict[str, Array]:
    """By SLO: the logarithm of the evidence that decides it; as `judge.guardrail.pool`."""
    shared = [name for name in weighed if shares_chance(slos[name])]
    if not shared:
        return {name: one.worse for name, one in weighed.items()}
    worse = np.array([weighed[name].worse for name in shared])
    mean = np.logaddexp.reduce(worse, axis=0) - math.log(len(shared))
    strongest = worse.argmax(axis=0)
    return {
        name: np.where(strongest == shared.index(name), mean, np.inf) if name in shared else one.worse
        for name, one in weighed.items()
    }


def by_evidence(slo: Slo, window: Array, in_stage: Array, weighed: Weighed, decides: Array) -> Verdicts:
    """`window` is what was counted lately, `in_stage` the candidate's requests in this stage."""
    ours, theirs = Tally(*window[:2]), Tally(*window[2:])
    seen, doubtless = window[1] > 0, _all_fail(slo, ours, theirs)
    over_limit = weighed.over_limit >= ENOUGH
    shared = np.zeros_like(seen)
    if slo.limit is not None:
        limit = parse_number(slo.limit)
        stable_too = _is_shared(slo, theirs, limit)
        over_limit &= ~stable_too
        shared = stable_too & exceeds(shares(ours), limit)
    worse = (weighed.worse >= decides) & (decides >= ENOUGH)
    breached = seen & (doubtless | over_limit | worse)
    suspicious = np.maximum(weighed.over_limit, weighed.worse) >= SUSPICIOUS
    passes = seen & ~breached & ~shared & ~suspicious & (in_stage >= least_samples(slo))
    return Verdicts(passes, breached, seen & doubtless)


def by_limit(slo: Slo, window: Array) -> Verdicts:
    """Of a plain limit, from what was counted in its window."""
    ours, theirs, limit = Tally(*window[:2]), Tally(*window[2:]), parse_number(slo.limit or "")
    seen, doubtless = window[1] > 0, _all_fail(slo, ours, theirs)
    enough, above = window[1] >= least_samples(slo), exceeds(shares(ours), limit)
    breached = seen & (doubtless | (enough & above & ~_is_shared(slo, theirs, limit)))
    return Verdicts(seen & ~doubtless & enough & ~above, breached, seen & doubtless)


def _all_fail(slo: Slo, ours: Tally, theirs: Tally) -> Which:
    bad, total, their_bad, their_total = (np.asarray(one) for one in (*ours, *theirs))
    if slo.metric is not BuiltInMetric.ERROR_RATIO:
        return np.zeros(bad.shape, dtype=bool)
    which: Which = (bad == total) & (total >= BEYOND_DOUBT) & ~((their_total > 0) & (their_bad == their_total))
    return which


def _is_shared(slo: Slo, theirs: Tally, limit: float) -> Which:
    which: Which = exceeds(shares(theirs), limit)
    return which if slo.shared_incident is SharedIncident.HOLD else np.zeros_like(which)
