"""The judge of a simulation, in arrays, is the operator's, rollout by rollout and look by look."""

from datetime import UTC, datetime, timedelta
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelrollout.api.evidence import Counted
from modelrollout.api.slo import Baseline, BuiltInMetric, Counter, OnBreach, SharedIncident, Slo, Test, Verdict
from modelrollout.judge.eprocess import SUSPICIOUS, Array
from modelrollout.judge.evidence import Book, Pair
from modelrollout.judge.guardrail import judge_evidence, pool
from modelrollout.judge.ledger import Coverage
from modelrollout.judge.noise import Noise
from modelrollout.judge.thresholds import Counts, judge_counts
from modelrollout.simulation.books import Books, weighed
from modelrollout.simulation.verdicts import Verdicts, by_evidence, by_limit, pooled

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
LOOK = timedelta(seconds=30)
RUNS, LOOKS = 3, 10
EVERYBODY = np.arange(RUNS)
SLOS = (
    Slo(name="limit", limit="5%", metric=BuiltInMetric.ERROR_RATIO),
    Slo(name="none", limit="0%", metric=BuiltInMetric.ERROR_RATIO),
    Slo(name="strict", limit="5%", shared_incident=SharedIncident.IGNORE, metric=BuiltInMetric.ERROR_RATIO),
    Slo(name="worse", baseline=Baseline(), metric=BuiltInMetric.ERROR_RATIO),
    Slo(
        name="both",
        limit="30%",
        baseline=Baseline(max_increase="50%"),
        min_samples=400,
        metric=BuiltInMetric.ERROR_RATIO,
    ),
    Slo(name="held", baseline=Baseline(), on_breach=OnBreach.HOLD, metric=BuiltInMetric.ERROR_RATIO),
    Slo(
        name="good",
        counter=Counter(good="bought_total", total="sessions_total"),
        baseline=Baseline(max_decrease="10%"),
    ),
)
PLAIN = tuple(one.model_copy(update={"test": Test.PLAIN, "min_samples": 20}) for one in SLOS if one.limit)


def counts(seed: int, candidate: float, stable: float) -> Array:
    """By look: four rows, with the rollouts as columns; some looks bring nothing."""
    random = np.random.default_rng(seed)
    total = random.poisson(random.choice([0, 5, 60], size=(2, LOOKS, RUNS)))
    bad = random.binomial(total, np.array([candidate, stable])[:, np.newaxis, np.newaxis])
    return np.stack([bad[0], total[0], bad[1], total[1]], axis=1).astype(np.float64)


def pair(counted: Array) -> Pair:
    bad, total, their_bad, their_total = (int(one) for one in counted)
    return Pair(candidate=Counted(bad=bad, total=total), stable=Counted(bad=their_bad, total=their_total))


def between(seen: Array, run: int, after: datetime, until: datetime) -> Pair:
    first, last = ((moment - START) // LOOK for moment in (after, until))
    return pair(seen[first:last, :, run].sum(axis=0))


def in_window(counted: Pair) -> Counts:
    ours = counted.candidate
    return Counts(bad=ours.bad, total=ours.total, span=timedelta(minutes=2), stable=counted.stable)


def told(verdicts: Verdicts, run: int) -> Verdict:
    if verdicts.breached[run]:
        return Verdict.BREACH
    return Verdict.PASS if verdicts.passes[run] else Verdict.INCONCLUSIVE


def window_at(seen: Array, look: int) -> Array:
    window: Array = seen[max(look - 3, 0) : look + 1].sum(axis=0)
    return window


SHARES = st.sampled_from([0.0, 0.01, 0.05, 0.1, 0.4, 1.0])


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 10**6), SHARES, SHARES, st.sampled_from([0.02, 0.3, 1.0]), st.integers(1, 4))
def test_by_evidence(seed: int, candidate: float, stable: float, variation: float, block: int) -> None:
    """Blocks of some minutes, a stage that ends in the middle, and the verdict of each SLO at each look."""
    seen, noise = counts(seed, candidate, stable), Noise(variation=variation, block=block)
    coverage = Coverage(known=1, current=1, newest=START.timestamp())
    slos = {slo.name: slo for slo in SLOS}
    scalar = {(name, run): Book(slo, noise=noise, since=START) for name, slo in slos.items() for run in range(RUNS)}
    arrays = {
        name: Books(slo, variation=np.full(RUNS, variation), block=np.full(RUNS, block), proves=True)
        for name, slo in slos.items()
    }
    turned = 0
    for look in range(LOOKS):
        now = START + (look + 1) * LOOK
        for books in arrays.values():
            books.count(seen[look], EVERYBODY)
        said = weighed(arrays, EVERYBODY, at=(look + 1 - turned) * LOOK.total_seconds())
        decides, window = pooled(slos, said), window_at(seen, look)
        in_stage = seen[turned : look + 1, 1].sum(axis=0)
        for run in range(RUNS):
            by_name = {
                name: scalar[name, run].weigh(partial(between, seen, run), settled=now, now=now) for name in slos
            }
            one_pool = pool(slos, by_name)
            for name, slo in slos.items():
                wanted = judge_evidence(
                    slo, in_window(pair(window[:, run])), by_name[name], coverage, pooled=one_pool[name], now=now
                )
                verdicts = by_evidence(slo, window, in_stage, said[name], decides[name])
                assert told(verdicts, run) is wanted.verdict, (look, run, wanted)
                if max(by_name[name].over_limit, by_name[name].worse) >= SUSPICIOUS:
                    assert said[name].over_limit[run] == pytest.approx(by_name[name].over_limit, abs=1e-6)
                    assert said[name].worse[run] == pytest.approx(by_name[name].worse, abs=1e-6)
                proof = arrays[name].not_twice_as_bad(EVERYBODY)[run]
                assert proof == pytest.approx(by_name[name].not_twice_as_bad, abs=1e-6)
        if look == LOOKS // 2:
            turned = look + 1
            for (_, run), book in scalar.items():
                book.turn(partial(between, seen, run), now=now, since=now)
            for books in arrays.values():
                books.turn(EVERYBODY)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6), SHARES, SHARES)
def test_by_a_plain_limit(seed: int, candidate: float, stable: float) -> None:
    seen = counts(seed, candidate, stable)
    coverage = Coverage(known=1, current=1, newest=START.timestamp())
    for slo in PLAIN:
        for look in range(LOOKS):
            window = window_at(seen, look)
            verdicts = by_limit(slo, window)
            for run in range(RUNS):
                wanted = judge_counts(slo, in_window(pair(window[:, run])), coverage, now=START)
                assert told(verdicts, run) is wanted.verdict, (slo.name, look, run, wanted)
