"""Verdicts of the sequential tests: three values, each with a reason and a sentence with the evidence."""

from datetime import UTC, datetime, timedelta
from math import inf, log

import pytest

from modelrollout.api.evidence import Counted
from modelrollout.api.slo import Baseline, BuiltInMetric, OnBreach, SharedIncident, Slo, Verdict
from modelrollout.api.status import SloStatus
from modelrollout.judge.eprocess import ENOUGH, PROVEN, SUSPICIOUS
from modelrollout.judge.evidence import Pair, Weighed
from modelrollout.judge.guardrail import judge_evidence, pool
from modelrollout.judge.ledger import Coverage
from modelrollout.judge.split import Mismatch, Requests
from modelrollout.judge.thresholds import Counts, VerdictReason

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SEEN = Coverage(known=2, current=2, newest=NOW.timestamp())
LIMIT = Slo(name="errors", metric=BuiltInMetric.ERROR_RATIO, limit="2%", warning="1%")
RELATIVE = Slo(name="errors", metric=BuiltInMetric.ERROR_RATIO, baseline=Baseline())
ATTEMPT = Pair(candidate=Counted(bad=8, total=1000), stable=Counted(bad=150, total=19_000))


def weighed(attempt: Pair = ATTEMPT, **logs: float) -> Weighed:
    return Weighed(attempt=attempt, stage=attempt, block=attempt, **logs)


def judged(
    slo: Slo,
    said: Weighed,
    *,
    bad: float = 2,
    total: float = 250,
    stable: Counted = Counted(bad=37, total=4750),  # noqa: B008 - immutable
    coverage: Coverage = SEEN,
    pooled: float | None = None,
    mismatch: Mismatch | None = None,
) -> SloStatus:
    counts = Counts(bad=bad, total=total, span=timedelta(minutes=2), stable=stable)
    pooled = said.worse if pooled is None else pooled
    return judge_evidence(slo, counts, said, coverage, pooled=pooled, now=NOW, mismatch=mismatch)


def outcome(status: SloStatus) -> tuple[Verdict, str]:
    return status.verdict, status.reason


@pytest.mark.parametrize(
    ("slo", "said", "wanted"),
    [
        (LIMIT, weighed(), (Verdict.PASS, VerdictReason.WITHIN_LIMIT)),
        (RELATIVE, weighed(), (Verdict.PASS, VerdictReason.NO_WORSE)),
        (LIMIT, weighed(over_limit=ENOUGH), (Verdict.BREACH, VerdictReason.ABOVE_LIMIT)),
        (RELATIVE, weighed(worse=ENOUGH), (Verdict.BREACH, VerdictReason.WORSE_THAN_STABLE)),
        (LIMIT, weighed(over_limit=SUSPICIOUS), (Verdict.INCONCLUSIVE, VerdictReason.SUSPICIOUS)),
        (RELATIVE, weighed(worse=SUSPICIOUS), (Verdict.INCONCLUSIVE, VerdictReason.SUSPICIOUS)),
        (LIMIT, weighed(over_limit=SUSPICIOUS - 0.01), (Verdict.PASS, VerdictReason.WITHIN_LIMIT)),
    ],
)
def test_what_evidence_means(slo: Slo, said: Weighed, wanted: tuple[Verdict, VerdictReason]) -> None:
    assert outcome(judged(slo, said)) == wanted


def test_the_value_alone_decides_nothing() -> None:
    """Three of fifty are above 2 %, and may well be chance."""
    assert judged(LIMIT, weighed(over_limit=0.5), bad=3, total=50).verdict is Verdict.PASS


def test_above_the_warning_people_are_told_and_it_passes() -> None:
    assert outcome(judged(LIMIT, weighed(), bad=4)) == (Verdict.PASS, VerdictReason.ABOVE_WARNING)


def test_where_requests_are_not_split_as_declared_nothing_is_compared_and_the_limit_goes_on() -> None:
    other = Mismatch(declared=0.05, requests=Requests(candidate=200, stable=1800), since=NOW)
    both = LIMIT.model_copy(update={"baseline": Baseline()})
    held = judged(both, weighed(worse=ENOUGH), mismatch=other)
    assert outcome(held) == (Verdict.INCONCLUSIVE, VerdictReason.SPLIT_MISMATCH)
    assert "10.00% of the requests went to the candidate (200 of 2,000 since 12:00:00Z)" in held.message
    assert outcome(judged(both, weighed(), mismatch=other)) == outcome(held)
    over = judged(both, weighed(worse=ENOUGH, over_limit=ENOUGH), mismatch=other)
    assert outcome(over) == (Verdict.BREACH, VerdictReason.ABOVE_LIMIT)
    failing = judged(both, weighed(), bad=20, total=20, mismatch=other)
    assert outcome(failing) == (Verdict.BREACH, VerdictReason.EVERY_REQUEST_FAILS)


BROKEN = Counted(bad=240, total=4750)


def test_where_stable_is_above_the_limit_as_well_it_waits() -> None:
    said = judged(LIMIT, weighed(over_limit=ENOUGH), bad=13, stable=BROKEN)
    assert outcome(said) == (Verdict.INCONCLUSIVE, VerdictReason.SHARED_INCIDENT)
    assert "so are 5.05% of stable's" in said.message


def test_unless_that_is_to_be_ignored() -> None:
    slo = LIMIT.model_copy(update={"shared_incident": SharedIncident.IGNORE})
    assert judged(slo, weighed(over_limit=ENOUGH), bad=13, stable=BROKEN).verdict is Verdict.BREACH


@pytest.mark.parametrize(
    ("total", "stable", "verdict"),
    [
        (9, Counted(bad=0, total=100), Verdict.INCONCLUSIVE),
        (10, Counted(bad=0, total=100), Verdict.BREACH),
        (10, Counted(), Verdict.BREACH),
        (10, Counted(bad=100, total=100), Verdict.INCONCLUSIVE),
    ],
)
def test_ten_requests_that_all_fail_need_no_statistics(total: int, stable: Counted, verdict: Verdict) -> None:
    attempt = Pair(candidate=Counted(bad=total, total=total), stable=stable)
    assert judged(LIMIT, weighed(attempt), bad=total, total=total, stable=stable).verdict is verdict


def test_few_requests_in_the_stage_do_not_pass() -> None:
    few = Pair(candidate=Counted(bad=0, total=49), stable=Counted(bad=3, total=900))
    said = judged(LIMIT, weighed(few), bad=0, total=49)
    assert outcome(said) == (Verdict.INCONCLUSIVE, VerdictReason.TOO_FEW_SAMPLES)
    assert said.message.endswith("49 of 50 requests in this stage")


def test_nothing_counted_is_silence() -> None:
    assert outcome(judged(LIMIT, weighed(), bad=0, total=0)) == (Verdict.INCONCLUSIVE, VerdictReason.NO_TRAFFIC)


def test_a_target_that_is_down_hides_health_but_not_harm() -> None:
    down = Coverage(known=2, current=2, newest=NOW.timestamp(), down=("ml/b",))
    assert outcome(judged(LIMIT, weighed(), coverage=down)) == (Verdict.INCONCLUSIVE, VerdictReason.TARGET_DOWN)
    assert judged(LIMIT, weighed(over_limit=ENOUGH), coverage=down).verdict is Verdict.BREACH


def test_a_status_carries_the_comparison_and_says_it() -> None:
    worse = Pair(candidate=Counted(bad=40, total=1000), stable=Counted(bad=190, total=19_000))
    said = judged(RELATIVE, weighed(worse, worse=log(30)), bad=10)
    assert said.comparison
    assert said.comparison.ratio == pytest.approx(4.0)
    assert said.comparison.evidence == pytest.approx(30)
    assert said.comparison.samples_needed
    rate = 250 / 120
    assert said.comparison.decision_at == NOW + timedelta(seconds=said.comparison.samples_needed / rate)
    about = float(f"{said.comparison.samples_needed:.2g}")
    assert said.message == (
        "10 of 250 requests failed (4.00%), last 2m; in this attempt 4.00% of 1,000 against stable's 1.00% of 19,000 "
        "(4 times, 95% 2.77 to 5.65); evidence of harm 30 of 100; "
        f"about {about:.0f} more requests like these decide (about {said.comparison.decision_at:%Y-%m-%d %H:%MZ})"
    )


def test_where_there_is_no_harm_no_decision_is_expected() -> None:
    said = judged(RELATIVE, weighed())
    assert said.comparison
    assert (said.comparison.samples_needed, said.comparison.decision_at) == (None, None)


def test_where_nothing_can_be_compared_it_says_so() -> None:
    alone = Pair(candidate=Counted(bad=8, total=1000), stable=Counted())
    said = judged(RELATIVE, weighed(alone), stable=Counted())
    assert said.message == (
        "2 of 250 requests failed (0.80%), last 2m; in this attempt 0.80% of 1,000; evidence of harm 1 of 100; "
        "stable has no requests to compare with"
    )
    assert "compare" not in judged(LIMIT, weighed(alone), stable=Counted()).message


@pytest.mark.parametrize(("log_proof", "proven"), [(PROVEN, True), (PROVEN - 0.01, False)])
def test_proof_is_told(log_proof: float, proven: bool) -> None:
    said = judged(RELATIVE, weighed(not_twice_as_bad=log_proof))
    assert said.comparison
    assert said.comparison.proven is proven


class TestPool:
    def test_one_stands_for_itself(self) -> None:
        assert pool({"a": RELATIVE}, {"a": weighed(worse=3.0)}) == {"a": pytest.approx(3.0)}

    def test_several_share_one_chance_of_being_wrong(self) -> None:
        """The mean of their evidence decides, and the strongest answers for it."""
        slos = {name: RELATIVE.model_copy(update={"name": name}) for name in "abc"}
        pooled = pool(slos, {"a": weighed(worse=log(150)), "b": weighed(worse=log(30)), "c": weighed(worse=log(3))})
        assert pooled == {"a": pytest.approx(log((150 + 30 + 3) / 3)), "b": inf, "c": inf}

    def test_those_that_decide_nothing_have_no_part_in_it(self) -> None:
        held = RELATIVE.model_copy(update={"name": "held", "on_breach": OnBreach.HOLD})
        dry = RELATIVE.model_copy(update={"name": "dry", "dry_run": True})
        logs = {"a": weighed(worse=log(150)), "held": weighed(worse=1.0), "dry": weighed(worse=2.0)}
        assert pool({"a": RELATIVE, "held": held, "dry": dry}, logs) == {
            "a": pytest.approx(log(150)),
            "held": 1.0,
            "dry": 2.0,
        }
