"""What is watched beside the candidate: stable, its past, counters of the user's own, and what was written before."""

import math
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from modelrollout.api.evidence import Means, SloEvidence
from modelrollout.api.slo import Baseline, BuiltInMetric, Counter, Query, Slo, Test
from modelrollout.api.spec import ServerKind
from modelrollout.judge.evidence import Book, Weighed
from modelrollout.judge.means import log_evidence
from modelrollout.judge.noise import UNKNOWN, Noise
from modelrollout.metrics import calibration
from modelrollout.metrics.prometheus import RawSeries, Single, Value
from modelrollout.metrics.templates import load, of_counter
from modelrollout.metrics.watched import Target
from unit.metrics.test_poller import FRAUD, START, Bench, requests, target

RELATIVE = Slo(name="errors", metric=BuiltInMetric.ERROR_RATIO, baseline=Baseline(), min_samples=1)
DISMISSED = Slo(
    name="dismissed",
    counter=Counter(bad='alerts_total{action="dismiss",team!="x"}', total='alerts_total{team!="x"}'),
    limit="5%",
    min_samples=1,
)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with Bench().polling() as bench:
        yield bench


def of_stable(series: RawSeries) -> RawSeries:
    labels = {
        **series.labels,
        "modelrollout_io_colour": "blue",
        "modelrollout_io_attempt": "2",
        "instance": "10.0.0.2:8082",
    }
    return RawSeries(labels, series.samples)


def serving_for(some: Target, length: timedelta) -> Target:
    return replace(some, watch=replace(some.watch, stable_since=some.watch.since - length))


def written(bench: Bench) -> SloEvidence:
    return bench.told[-1][1].evidence["errors"]


async def test_stable_is_counted_at_the_same_time(bench: Bench) -> None:
    bench.now = START + timedelta(seconds=31)
    bench.source.series = [
        *(requests(200, 0, 80, 160), requests(500, 0, 20, 40)),
        *(of_stable(requests(200, 0, 990, 1980)), of_stable(requests(500, 0, 10, 20))),
    ]
    bench.poller.watch(FRAUD, target(RELATIVE))
    await bench.until(lambda: bench.reasons() == {"errors": "WorseThanStable"}, "WorseThanStable")
    comparison = bench.told[-1][1].by_slo["errors"].comparison
    assert comparison
    assert (comparison.candidate.bad, comparison.candidate.total) == (40, 200)
    assert (comparison.stable.bad, comparison.stable.total) == (20, 2000)


async def test_cohorts_are_not_compared_with_the_public(bench: Bench) -> None:
    bench.now = START + timedelta(seconds=31)
    bench.source.series = [
        *(requests(200, 0, 80, 160), requests(500, 0, 20, 40)),
        *(of_stable(requests(200, 0, 990, 1980)), of_stable(requests(500, 0, 10, 20))),
    ]
    ring = target(RELATIVE)
    bench.poller.watch(FRAUD, replace(ring, watch=replace(ring.watch, comparable=False)))
    await bench.until(lambda: bench.reasons() == {"errors": "NoWorse"}, "NoWorse")
    assert "stable has no requests to compare with" in bench.told[-1][1].by_slo["errors"].message


async def test_an_operator_that_starts_anew_asks_back_to_the_last_block_and_goes_on_from_there(bench: Bench) -> None:
    bench.now = START + timedelta(minutes=12)
    before = SloEvidence(
        name="errors",
        question=RELATIVE.question,
        counted_to=START + timedelta(minutes=10),
        variation=0.05,
        block=5,
        baseline=[4.0] * 24,
    )
    bench.poller.watch(FRAUD, target(RELATIVE), [before])
    await bench.until(lambda: bool(bench.told) and "errors" in bench.told[-1][1].evidence, "told")
    assert written(bench) == before.model_copy(update={"proof": [0.0] * 24})
    assert bench.source.asked[0].endswith("[180s]")


async def test_evidence_on_another_question_is_no_evidence(bench: Bench) -> None:
    before = SloEvidence(
        name="errors", question="another", counted_to=START, variation=0.05, block=5, baseline=[4.0] * 24
    )
    bench.poller.watch(FRAUD, target(RELATIVE), [before])
    await bench.until(lambda: bool(bench.told) and "errors" in bench.told[-1][1].evidence, "told")
    assert written(bench).baseline == [0.0] * 24


async def test_noise_is_read_off_stables_past_once(bench: Bench) -> None:
    """Four hours at most, minute by minute: here of a version whose rate does not vary beyond chance."""
    start = START - timedelta(hours=4)
    counted = [(start + timedelta(minutes=minute)).timestamp() for minute in range(240)]
    good = RawSeries(of_stable(requests(200)).labels, [(at, str(2970 * place)) for place, at in enumerate(counted)])
    bad = RawSeries(of_stable(requests(500)).labels, [(at, str(30 * place)) for place, at in enumerate(counted)])
    bench.source.series = [good, bad]
    bench.poller.watch(FRAUD, serving_for(target(RELATIVE), timedelta(days=1)))
    await bench.until(lambda: bool(bench.told) and written(bench).variation < 0.2, "calibrated")
    past = [question for question in bench.source.asked if question.endswith("[240m:1m]")]
    assert len(past) == 1
    assert 'modelrollout_io_colour="blue"' in past[0]


async def test_as_long_as_there_is_no_answer_much_noise_is_assumed(bench: Bench) -> None:
    bench.source.hangs = lambda promql: promql.endswith(":1m]")
    bench.poller.watch(FRAUD, serving_for(target(RELATIVE), timedelta(days=1)))
    await bench.until(lambda: bool(bench.told) and "errors" in bench.told[-1][1].evidence, "told")
    assert (written(bench).variation, written(bench).block) == (UNKNOWN.variation, UNKNOWN.block)


async def test_a_past_that_cannot_be_read_hurts_nobody(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it is that cannot be: there is one poller for all."""

    def overflow(*_: object) -> Noise:
        raise OverflowError("a past that nobody has thought of")

    monkeypatch.setattr(calibration, "calibrate", overflow)
    bench.poller.watch(FRAUD, serving_for(target(RELATIVE), timedelta(days=1)))
    await bench.until(lambda: any(question.endswith(":1m]") for question in bench.source.asked), "asked for the past")
    await bench.polls(10)
    assert written(bench).variation == UNKNOWN.variation


async def test_counts_that_cannot_be_weighed_hurt_nobody(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def overflow(*_: object, **__: object) -> Weighed:
        raise OverflowError("counts that nobody has thought of")

    monkeypatch.setattr(Book, "weigh", overflow)
    bench.now = START + timedelta(seconds=31)
    bench.source.series = [requests(200, 0, 80, 160)]
    bench.poller.watch(FRAUD, target(RELATIVE))
    await bench.until(lambda: bench.reasons() == {"errors": "Pending"}, "Pending")
    await bench.polls(10)


async def test_counters_of_the_users_own_are_counted_in_the_same_question(bench: Bench) -> None:
    bench.now = START + timedelta(seconds=31)
    labels = {key: value for key, value in requests(200).labels.items() if key not in {"status_code", "method"}}

    def alerts(action: str, team: str, *values: int) -> RawSeries:
        samples = [(START.timestamp() + 15 * step, str(value)) for step, value in enumerate(values)]
        return RawSeries({**labels, "__name__": "alerts_total", "action": action, "team": team}, samples)

    bench.source.series = [
        *(alerts("dismiss", "a", 0, 10, 30), alerts("accept", "a", 0, 40, 70)),
        alerts("dismiss", "x", 0, 500, 900),
    ]
    bench.poller.watch(FRAUD, replace(target(DISMISSED), server=None))
    await bench.until(lambda: bench.reasons() == {"dismissed": "AboveLimit"}, "AboveLimit")
    assert (
        bench.told[-1][1]
        .by_slo["dismissed"]
        .message.startswith('30 of 100 of alerts_total{team!="x"} are bad (30.00%), limit 5%, last 31s')
    )
    assert "alerts_total" in bench.source.asked[0]


async def test_a_counter_that_does_not_parse_is_told_and_hurts_nobody_else(bench: Bench) -> None:
    broken = DISMISSED.model_copy(update={"counter": Counter(bad="rate(x[5m])", total="x")})
    bench.poller.watch(FRAUD, target(broken, RELATIVE))
    await bench.until(lambda: bench.reasons().get("dismissed") == "QueryError", "told of the one")
    assert bench.reasons()["errors"] == "TargetDown"


MAE = Slo(name="mae", query=Query(value='mae{colour="$arm"}'), baseline=Baseline(max_increase="25%"))
MEMORY = Slo(name="memory", query=Query(value='mem{c="$arm"}'), baseline=Baseline(max_increase="25%"), test=Test.PLAIN)


def three_times(promql: str, at: datetime) -> Single:
    """Values that move to and fro, the candidate's three times stable's."""
    if promql.startswith("max(timestamp("):
        return Value(at.timestamp())
    return Value((at.minute * 4 % 7 + 20) * (3 if "green" in promql else 1))


async def go_on(bench: Bench, minutes: int) -> None:
    """Time goes by, a point at a time."""
    for _ in range(minutes):
        bench.now += timedelta(minutes=1)
        await bench.polls(4)


def points(bench: Bench) -> int:
    means = bench.told[-1][1].evidence["mae"].means
    return means.points if means else 0


async def test_values_beside_stables_are_evidence_of_the_attempt_over_stages_and_restarts(bench: Bench) -> None:
    bench.source.past = three_times
    bench.now = START + timedelta(seconds=25)
    bench.poller.watch(FRAUD, target(MAE))
    await go_on(bench, 12)
    await bench.until(lambda: points(bench) == 12, "12 points")
    assert bench.reasons() == {"mae": "TooFewSamples"}
    later = START + timedelta(minutes=12)
    bench.poller.watch(FRAUD, target(MAE, stage=1, since=later))
    await go_on(bench, 4)
    await bench.until(lambda: points(bench) == 16, "16 points")
    stored = [bench.told[-1][1].evidence["mae"]]
    bench.poller.unwatch(FRAUD)
    bench.poller.watch(FRAUD, target(MAE, stage=1, since=later), stored)
    await go_on(bench, 4)
    await bench.until(lambda: bench.reasons() == {"mae": "WorseThanStable"}, "WorseThanStable")
    assert points(bench) == 20
    bench.poller.watch(FRAUD, target(MAE, attempt=4, since=bench.now))
    await bench.until(lambda: bench.told[-1][1].attempt == 4, "told of the next attempt")
    assert bench.told[-1][1].evidence == {}
    assert bench.reasons() == {"mae": "TooFewSamples"}


@pytest.mark.parametrize(("beside", "reason"), [((), "WorseThanStable"), ((RELATIVE,), "Suspicious")])
async def test_they_share_the_chance_of_a_false_alarm_with_counts(
    bench: Bench, beside: tuple[Slo, ...], reason: str
) -> None:
    """Evidence of 150 is enough alone, and not where another comparison says nothing."""
    bench.now = START + timedelta(seconds=31)
    bench.source.series = [requests(200, 0, 80, 160), of_stable(requests(200, 0, 990, 1980))]
    means = Means(points=40, candidate=1.8, stable=1, excess=0.6, squares=40, steps=160)
    assert math.exp(log_evidence(means)) == pytest.approx(150, rel=0.05)
    written = SloEvidence(name="mae", question=MAE.question, counted_to=START, block=1, means=means)
    bench.poller.watch(FRAUD, target(MAE, *beside), [written])
    await bench.until(lambda: bench.reasons() == {"mae": reason} | {slo.name: "NoWorse" for slo in beside}, reason)


@pytest.mark.parametrize("slo", [MAE, MEMORY])
async def test_values_are_not_compared_with_the_publics_either(bench: Bench, slo: Slo) -> None:
    ring = target(slo)
    bench.poller.watch(FRAUD, replace(ring, watch=replace(ring.watch, comparable=False)))
    await bench.until(lambda: bench.reasons() == {slo.name: "NoWorse"}, "NoWorse")
    assert bench.source.asked == []


async def test_a_gauge_is_compared_at_each_look(bench: Bench) -> None:
    bench.source.past = three_times
    bench.poller.watch(FRAUD, target(MEMORY))
    await bench.until(lambda: bench.reasons() == {"memory": "WorseThanStable"}, "WorseThanStable")


def test_a_selector_is_read_like_prometheus_reads_it() -> None:
    template = of_counter(Counter(bad='x_total{a="b.c",d=~"e|f",g!~"h.*"}', total="x_total"))
    (meter,) = template.meters
    labels = {"__name__": "x_total", "a": "b.c", "d": "e", "g": "i"}
    assert meter.tallies(labels) == {meter.everything, "failed in x_total"}
    for changed in ({"a": "bxc"}, {"d": "ef"}, {"g": "hat"}):
        assert meter.tallies({**labels, **changed}) == {meter.everything}
    assert load(ServerKind.MLSERVER.value).name != template.name
