"""Rollouts at random, where what they come to can be worked out in another way."""

from datetime import timedelta
from math import floor, sqrt
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom, poisson

from modelrollout.api.slo import Baseline, BuiltInMetric, OnBreach, Slo, Test
from modelrollout.api.strategy import OnDeadline
from modelrollout.api.traffic import HeaderMatch
from modelrollout.engine.stages import Stage
from modelrollout.simulation.requests import Rate, Traffic
from modelrollout.simulation.schedule import Leg, judging, legs, looks
from modelrollout.simulation.trials import Ended, tried
from unit.engine.simulation import make_spec

PLAIN = Slo(
    name="errors",
    metric=BuiltInMetric.ERROR_RATIO,
    limit="2%",
    test=Test.PLAIN,
    window="5s",
    min_samples=1,
    consecutive_breaches=1,
)
RELATIVE = Slo(name="errors", metric=BuiltInMetric.ERROR_RATIO, baseline=Baseline())


def leg(weight: int = 50, seconds: int = 60, **stage: Any) -> Leg:
    made = Stage(name=f"canary-{weight}", weight=weight, hold=timedelta(seconds=seconds), **stage)
    return Leg(stage=made, share=weight / 100)


def run(
    *planned: Leg, slo: Slo = RELATIVE, base: float = 0.01, times: float = 1.0, per_second: float = 50, runs: int = 50
) -> Ended:
    return tried(planned, [slo], {"errors": Rate(base=base, times=times)}, per_second=per_second, runs=runs, seed=1)


def breached(limit: float, base: float, mean: float) -> float:
    """Chance that of Poisson numbers of requests more than a share is bad of the candidate's, and not of stable's."""
    numbers = np.arange(1, 60)
    beyond = [binom.sf(floor(limit * number), number, base) for number in numbers]
    above = float((poisson.pmf(numbers, mean) * beyond).sum())
    return above * (1 - above)


@pytest.mark.parametrize("number_of_looks", [1, 3])
def test_how_often_a_plain_limit_takes_a_healthy_candidate_back(number_of_looks: int) -> None:
    """Windows of one look each do not overlap, so it is a product."""
    runs, (base, limit) = 20_000, (0.01, 0.02)
    ended = run(leg(seconds=5 * number_of_looks), slo=PLAIN, base=base, per_second=4, runs=runs)
    wanted = 1 - (1 - breached(limit, base, mean=10)) ** number_of_looks
    found = np.isfinite(ended.taken_back).mean()
    assert found == pytest.approx(wanted, abs=4 * sqrt(wanted * (1 - wanted) / runs))


def test_two_breaches_in_a_row() -> None:
    runs, twice = 20_000, PLAIN.model_copy(update={"consecutive_breaches": 2})
    ended = run(leg(seconds=10), slo=twice, per_second=4, runs=runs)
    once = breached(0.02, 0.01, mean=10)
    by_the_hold = np.isfinite(ended.taken_back) & (ended.taken_back <= 10 / 60)
    assert by_the_hold.mean() == pytest.approx(once**2, abs=4 * once / sqrt(runs))


def test_a_healthy_candidate_is_promoted_when_its_holds_are_over() -> None:
    ended = run(leg(25, 120), leg(50, 120), leg(100, 60))
    assert np.isinf(ended.taken_back).all()
    assert ended.promoted == pytest.approx(np.full(50, 5.0))


def test_a_healthy_canary_takes_its_holds_and_a_tenth_more_at_most() -> None:
    """One that says nothing else, at fifty requests a second; docs/figures.md has it over more of them."""
    ended = run(*legs(make_spec(strategy={})), runs=300)
    assert np.quantile(ended.promoted, 0.95, method="inverted_cdf") <= 30 * 1.1
    assert ended.promoted.min() == pytest.approx(30)


def test_one_that_is_worse_is_taken_back_and_not_promoted() -> None:
    ended = run(leg(25, 300), leg(100, 60), times=10)
    assert np.isfinite(ended.taken_back).all()
    assert np.isinf(ended.promoted).all()
    assert np.median(ended.taken_back) < 2


def test_others_see_the_same_whatever_is_decided() -> None:
    """The requests of the schedule do not depend on who still is under way."""
    strict = RELATIVE.model_copy(update={"baseline": Baseline(max_increase="400%"), "min_samples": 10_000})
    plans = leg(25, 120), leg(100, 60)
    one, other = run(*plans, times=5), run(*plans, times=5, slo=strict)
    assert not np.array_equal(one.taken_back, other.taken_back)
    assert np.array_equal(one.by_minute["errors"], other.by_minute["errors"])
    assert one.by_minute["errors"].shape == (3, 4, 50)
    assert one.by_minute["errors"][2, 3].sum() == 0, "stable has no requests where the candidate has all"


def test_with_too_few_requests_it_waits() -> None:
    """A hundred requests at ten a second take ten seconds, the hold is five."""
    ended = run(leg(50, 5), slo=RELATIVE.model_copy(update={"min_samples": 100}), per_second=20)
    assert ended.promoted.min() >= 10 / 60
    assert ended.promoted.max() <= 25 / 60


@pytest.mark.parametrize(
    ("policy", "promoted", "taken_back"),
    [(OnDeadline.ADVANCE, 0.5, np.inf), (OnDeadline.REVERT, np.inf, 0.5), (OnDeadline.HOLD, np.inf, np.inf)],
)
def test_what_a_deadline_does_to_the_undecided(policy: OnDeadline, promoted: float, taken_back: float) -> None:
    never = RELATIVE.model_copy(update={"min_samples": 1_000_000})
    stage = leg(50, 5, deadline=timedelta(seconds=30), on_deadline=policy)
    ended = run(stage, slo=never, runs=3)
    assert ended.promoted.tolist() == [promoted] * 3
    assert ended.taken_back.tolist() == [taken_back] * 3


def test_a_breach_that_holds_takes_back_after_a_while_if_at_all() -> None:
    holds = PLAIN.model_copy(update={"on_breach": OnBreach.HOLD})
    ended = run(leg(50, 20), slo=holds, times=50, per_second=1000, runs=5)
    assert np.isinf(ended.promoted).all()
    assert np.isinf(ended.taken_back).all()
    later = run(leg(50, 20), slo=holds.model_copy(update={"revert_after": "30s"}), times=50, per_second=1000, runs=5)
    assert later.taken_back == pytest.approx(np.full(5, 35 / 60))


def test_proof_takes_longer_than_the_hold() -> None:
    ended = run(leg(50, 30, proof=True), runs=20)
    assert np.isfinite(ended.promoted).all()
    assert np.median(ended.promoted) > 1


def test_stages_in_which_nobody_judges_are_left_when_their_hold_is_over() -> None:
    elsewhere = RELATIVE.model_copy(update={"stages": ["bake"]})
    assert run(leg(50, 60), slo=elsewhere, times=10).promoted == pytest.approx(np.ones(50))
    assert run(leg(0, 60), times=10).promoted == pytest.approx(np.ones(50))


def test_who_is_let_in_by_header_is_not_compared() -> None:
    cohort = leg(50, 120, match=(HeaderMatch(header="x-ring", value="internal"),))
    assert np.isinf(run(cohort, times=10).taken_back).all()


def test_requests_have_the_rates_that_were_asked_for() -> None:
    incident = Rate(base=0.1, times=3, incident=(1, 2, 0.2))
    traffic = Traffic({"errors": incident}, per_second=100, runs=500, minutes=2, seed=1)
    for minute, base in ((0, 0.1), (1, 0.2)):
        bad, total, their_bad, their_total = traffic.scheduled(share=0.25, minute=minute, seconds=60)["errors"].sum(1)
        assert total / 500 == pytest.approx(1500, rel=0.01)
        assert their_total / 500 == pytest.approx(4500, rel=0.01)
        assert (bad / total, their_bad / their_total) == pytest.approx((3 * base, base), rel=0.02)


def test_looks_cover_the_hold() -> None:
    for seconds in (0, 3, 5, 42, 300, 301, 3600):
        for closely in (True, False):
            seen = list(looks(seconds, closely=closely))
            assert sum(length for _, length in seen) == seconds
            assert [at for at, _ in seen][-1:] == ([seconds] if seconds else [])
    assert max(length for _, length in looks(3600, closely=True)) == 5
    assert len(list(looks(3600, closely=False))) == 60 + 55


def test_stages_that_pods_cannot_reach_are_left_out_or_refused() -> None:
    steps = {"canary": {"steps": [{"weight": 5}, {"weight": 50}, {"weight": 100}]}}
    found = legs(make_spec(traffic={"replicas": {}}, strategy=steps))
    assert [(one.stage.weight, one.share) for one in found] == [(50, 0.5), (100, 1.0)]
    with pytest.raises(ValueError, match="4 pods cannot reach stage canary-5"):
        legs(make_spec(traffic={"replicas": {"unreachable": "Refuse"}}, strategy=steps))


def test_what_only_tells_or_asks_does_not_judge() -> None:
    spec = make_spec(
        slos=[
            {"name": "errors", "metric": "error-ratio", "limit": "1%"},
            {"name": "told", "metric": "error-ratio", "limit": "1%", "onBreach": "Notify"},
            {"name": "tried", "metric": "error-ratio", "limit": "1%", "dryRun": True},
            {"name": "drift", "query": {"value": "max(drift)"}, "limit": "0.3"},
        ]
    )
    assert [slo.name for slo in judging(spec.slos)] == ["errors"]
