"""The poller over a source of the test's own making: what it asks when, and what it tells."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from modelrollout.api.slo import BuiltInMetric, Query, Slo, Test, Verdict
from modelrollout.api.spec import ServerKind
from modelrollout.api.status import Colour
from modelrollout.engine.effects import Watch
from modelrollout.engine.snapshot import Readings
from modelrollout.metrics.poller import Poller
from modelrollout.metrics.prometheus import RawSeries, Single, Value
from modelrollout.metrics.watched import Key, Target
from unit.metrics.fake_source import FakeSource

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
FRAUD: Key = ("ml", "fraud")
ERRORS = Slo(name="errors", metric=BuiltInMetric.ERROR_RATIO, limit="1%", min_samples=1)
PLAIN = ERRORS.model_copy(update={"test": Test.PLAIN})
SLOW = Slo(name="slow", metric=BuiltInMetric.LATENCY, slower_than="250ms", limit="1%", min_samples=1)
DRIFT = Slo(name="drift", query=Query(value="max(drift)"), limit="0.3")


class Bench:
    """A poller that runs, its source, its clock, and what it has told."""

    def __init__(self) -> None:
        self.source = FakeSource()
        self.now = START
        self.told: list[tuple[Key, Readings]] = []
        self.poller = Poller(
            self.source,
            lambda key, readings: self.told.append((key, readings)),
            interval=timedelta(milliseconds=1),
            clock=lambda: self.now,
        )

    @asynccontextmanager
    async def polling(self) -> AsyncIterator["Bench"]:
        """The poller runs meanwhile."""
        running = asyncio.create_task(self.poller.run())
        yield self
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    def reasons(self, key: Key = FRAUD) -> dict[str, str]:
        """The newest reason of each SLO."""
        for told_key, readings in reversed(self.told):
            if told_key == key:
                return {name: status.reason for name, status in readings.by_slo.items()}
        return {}

    async def until(self, wanted: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(10):
                while True:
                    if wanted():
                        return
                    await asyncio.sleep(0.001)
        except TimeoutError:
            raise AssertionError(f"not {what}; last told: {self.told[-1:]}") from None

    async def polls(self, count: int) -> list[str]:
        """What is asked in so many polls from now on."""
        begin = len(self.source.asked)
        await self.until(lambda: len(self.source.asked) >= begin + count, f"{count} more questions")
        return self.source.asked[begin:]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with Bench().polling() as bench:
        yield bench


def target(*slos: Slo, attempt: int = 3, stage: int = 0, since: datetime = START) -> Target:
    watch = Watch(
        attempt=attempt,
        stage=stage,
        stable=Colour.BLUE,
        candidate=Colour.GREEN,
        since=since,
        stable_attempt=attempt - 1,
        stable_since=since,
    )
    return Target(watch=watch, slos=slos, server=ServerKind.MLSERVER)


def requests(code: int, *values: float, attempt: int = 3, since: datetime = START) -> RawSeries:
    """MLServer's counter in scrapes of every 15 s from `since` on."""
    labels = {
        "__name__": "rest_server_requests_total",
        "instance": "10.0.0.1:8082",
        "method": "POST",
        "modelrollout_io_attempt": str(attempt),
        "modelrollout_io_colour": "green",
        "modelrollout_io_name": "fraud",
        "namespace": "ml",
        "status_code": str(code),
    }
    return RawSeries(labels, [(since.timestamp() + 15 * step, str(value)) for step, value in enumerate(values)])


async def test_nothing_is_asked_while_nothing_is_watched(bench: Bench) -> None:
    await asyncio.sleep(0.05)
    assert bench.source.asked == []
    bench.poller.watch(FRAUD, target(ERRORS))
    await bench.until(lambda: len(bench.source.asked) > 3, "a few polls")
    bench.poller.unwatch(FRAUD)
    await asyncio.sleep(0.05)  # the poll that is under way may go on to its end
    asked = len(bench.source.asked)
    await asyncio.sleep(0.05)
    assert len(bench.source.asked) == asked


async def test_rollouts_without_slos_cost_no_question_and_are_told_of(bench: Bench) -> None:
    bench.poller.watch(FRAUD, target())
    await bench.until(lambda: bool(bench.told), "told")
    assert bench.told[0][1].by_slo == {}
    assert bench.source.asked == []


async def test_many_rollouts_share_a_question(bench: Bench) -> None:
    for number in range(50):
        bench.poller.watch(("ml", f"rollout-{number}"), target(ERRORS, SLOW))
    asked = [question.partition("[")[0] for question in await bench.polls(6)]
    assert all(f"rollout-{number}" in question for question in asked for number in range(50))
    assert set(asked[:2]) == set(asked[2:4]) == set(asked[4:6])  # one for the pods of each colour
    await bench.until(lambda: len({key for key, _ in bench.told}) == 50, "all of them told")


async def test_whoever_acts_on_readings_need_not_wait_for_those_of_others() -> None:
    """Many rollouts take a while to weigh, and a candidate may have to be taken back."""
    done: list[str] = []
    both = asyncio.Event()

    def act(name: str) -> None:
        done.append(f"acted on {name}")
        if name == "b":
            both.set()

    def tell(key: Key, _: Readings) -> None:
        done.append(f"told of {key[1]}")
        asyncio.get_running_loop().call_soon(act, key[1])

    poller = Poller(FakeSource(), tell, clock=lambda: START)
    for name in ("a", "b"):
        poller.watch(("ml", name), target(ERRORS))
    polling = asyncio.create_task(poller.run())
    await asyncio.wait_for(both.wait(), 10)
    polling.cancel()
    assert done == ["told of a", "acted on a", "told of b", "acted on b"]


async def test_a_verdict_on_counts(bench: Bench) -> None:
    bench.now = START + timedelta(seconds=31)
    bench.source.series = [requests(200, 10, 100, 200), requests(500, 0, 5, 10)]
    bench.poller.watch(FRAUD, target(ERRORS))
    await bench.until(lambda: bench.reasons() == {"errors": "AboveLimit"}, "AboveLimit")
    (key, readings) = bench.told[-1]
    assert (key, readings.attempt, readings.stage, readings.looked_at) == (FRAUD, 3, 0, bench.now)
    errors = readings.by_slo["errors"]
    assert (errors.verdict, errors.samples, errors.at) == (Verdict.BREACH, 200, START + timedelta(seconds=30))
    assert errors.message.startswith("10 of 200 requests failed (5.00%), limit 1%, last 31s; in this attempt ")
    assert "; evidence of harm 192 of 100" in errors.message


async def test_the_next_stage_counts_anew_on_the_same_ledger(bench: Bench) -> None:
    """The first scrape of the new stage has its base in what is known already, so nothing is fetched again."""
    bench.now = START + timedelta(seconds=46)
    bench.source.series = [requests(200, 10, 100, 200, 300), requests(500, 0, 5, 10, 10)]
    bench.poller.watch(FRAUD, target(PLAIN))
    await bench.until(lambda: bench.reasons() == {"errors": "AboveLimit"}, "AboveLimit")
    bench.source.series = []
    bench.poller.watch(FRAUD, target(PLAIN, stage=1, since=START + timedelta(seconds=30)))
    await bench.until(lambda: bench.told[-1][1].stage == 1, "told of the next stage")
    errors = bench.told[-1][1].by_slo["errors"]
    assert (errors.reason, errors.samples) == ("WithinLimit", 100)
    assert all(question.endswith("[3s]") for question in (await bench.polls(3))[1:])


async def test_another_attempt_has_another_ledger(bench: Bench) -> None:
    bench.now = START + timedelta(seconds=31)
    bench.source.series = [requests(200, 10, 100, 200), requests(200, 0, 3, 4, attempt=4)]
    bench.poller.watch(FRAUD, target(ERRORS))
    await bench.until(lambda: bench.reasons() == {"errors": "WithinLimit"}, "WithinLimit")
    bench.poller.watch(FRAUD, target(ERRORS, attempt=4))
    await bench.until(lambda: bench.told[-1][1].by_slo["errors"].samples == 4, "the requests of the other attempt")


async def test_an_slo_that_needs_other_series_starts_a_ledger_that_has_them_all(bench: Bench) -> None:
    """Series that were not asked for so far are not new; taken for new they would count whole."""
    bench.now = START + timedelta(seconds=31)
    labels = requests(200).labels
    histogram = "rest_server_request_duration_seconds"
    times = [START.timestamp() + 15 * step for step in range(3)]
    bench.source.series = [
        requests(200, 1000, 1010, 1020),
        RawSeries({**labels, "__name__": f"{histogram}_count"}, [(time, "1000") for time in times]),
        RawSeries({**labels, "__name__": f"{histogram}_bucket", "le": "0.25"}, [(time, "900") for time in times]),
    ]
    bench.poller.watch(FRAUD, target(ERRORS))
    await bench.until(lambda: bench.reasons() == {"errors": "WithinLimit"}, "WithinLimit")
    bench.poller.watch(FRAUD, target(ERRORS, SLOW))
    await bench.until(lambda: bench.reasons().get("slow") == "NoTraffic", "no old durations counted")
    assert bench.reasons()["errors"] == "WithinLimit"


async def test_what_does_not_change_is_told_again_each_second(bench: Bench) -> None:
    bench.poller.watch(FRAUD, target(ERRORS))
    await bench.until(lambda: bench.reasons() == {"errors": "TargetDown"}, "TargetDown")
    told = len(bench.told)
    await bench.polls(20)
    assert len(bench.told) == told
    bench.now += timedelta(seconds=1)
    await bench.until(lambda: len(bench.told) == told + 1, "told once more")
    assert bench.told[-1][1].looked_at == bench.now


async def test_prometheus_goes_and_comes_back(bench: Bench) -> None:
    bench.source.values = lambda _: Value(START.timestamp() if "timestamp" in _ else 0.1)
    bench.poller.watch(FRAUD, target(ERRORS, DRIFT))
    await bench.until(lambda: bench.reasons() == {"errors": "TargetDown", "drift": "WithinLimit"}, "answers")
    bench.source.down = True
    both = {"errors": "PrometheusUnavailable", "drift": "PrometheusUnavailable"}
    await bench.until(lambda: bench.reasons() == both, "both unavailable")
    bench.source.down = False
    await bench.until(lambda: bench.reasons() == {"errors": "TargetDown", "drift": "WithinLimit"}, "answers again")


async def test_a_free_query_that_hangs_holds_up_nobody_else(bench: Bench) -> None:
    other = DRIFT.model_copy(update={"name": "other", "query": Query(value="max(other)")})
    bench.source.values = lambda _: Value(START.timestamp() if "timestamp" in _ else 0.1)
    bench.source.hangs = lambda promql: "drift" in promql
    bench.poller.watch(FRAUD, target(ERRORS, DRIFT, other))
    wanted = {"errors": "TargetDown", "drift": "Pending", "other": "WithinLimit"}
    await bench.until(lambda: bench.reasons() == wanted, "all but the one that hangs")


async def test_the_last_word_of_a_query_that_hangs_is_not_told_for_long(bench: Bench) -> None:
    bench.source.values = lambda _: Value(START.timestamp() if "timestamp" in _ else 0.1)
    bench.poller.watch(FRAUD, target(ERRORS, DRIFT))
    await bench.until(lambda: bench.reasons() == {"errors": "TargetDown", "drift": "WithinLimit"}, "answers")
    bench.source.hangs = lambda promql: "drift" in promql
    await bench.until(lambda: "drift" in bench.source.asked[-1] or "drift" in bench.source.asked[-2], "it hangs")
    bench.now += timedelta(minutes=1)
    await bench.until(lambda: bench.reasons() == {"errors": "TargetDown", "drift": "NotLookedAt"}, "NotLookedAt")


@pytest.mark.parametrize("absurd", ["NaN", "+Inf"])
async def test_samples_that_are_no_count_are_left_out(bench: Bench, absurd: str) -> None:
    bench.now = START + timedelta(seconds=46)
    broken = requests(200, 10, 100, 200, 300)
    broken.samples[2] = (broken.samples[2][0], absurd)
    bench.source.series = [broken]
    bench.poller.watch(FRAUD, target(ERRORS))
    await bench.until(lambda: bench.reasons() == {"errors": "WithinLimit"}, "WithinLimit")
    assert bench.told[-1][1].by_slo["errors"].samples == 290


async def test_numbers_that_cannot_be_judged_hurt_nobody_else(bench: Bench) -> None:
    """Sums that overflow, and a time that no calendar has."""

    def answer(promql: str) -> Single:
        return Value((1e300 if "drift" in promql else START.timestamp()) if "timestamp" in promql else 0.1)

    bench.now = START + timedelta(seconds=31)
    bench.source.series = [requests(200, 0, 1.7e308), requests(404, 0, 1.7e308), requests(200, 0, 9, attempt=4)]
    bench.source.values = answer
    other = DRIFT.model_copy(update={"name": "other", "query": Query(value="max(other)")})
    bench.poller.watch(FRAUD, target(ERRORS, DRIFT, other))
    wanted = {"errors": "NotANumber", "drift": "QueryError", "other": "WithinLimit"}
    await bench.until(lambda: bench.reasons() == wanted, "told of what is wrong")
    bench.poller.watch(FRAUD, target(ERRORS, attempt=4))
    await bench.until(lambda: bench.reasons() == {"errors": "WithinLimit"}, "polling on")


async def test_a_batch_that_hangs_holds_up_no_free_query(bench: Bench) -> None:
    bench.source.values = lambda _: Value(START.timestamp() if "timestamp" in _ else 0.1)
    bench.source.hangs = lambda promql: "rest_server" in promql
    bench.poller.watch(FRAUD, target(ERRORS, DRIFT))
    await bench.until(lambda: bench.reasons() == {"errors": "Pending", "drift": "WithinLimit"}, "the free query")


async def test_a_costly_query_is_carried_out_once_a_scrape(bench: Bench) -> None:
    """As long as no series behind it has a newer sample, the cheap question for that is all that is asked."""
    scraped = [START.timestamp()]
    bench.source.values = lambda promql: Value(scraped[-1] if "timestamp" in promql else 0.5)
    bench.poller.watch(FRAUD, target(DRIFT))
    await bench.until(lambda: bench.source.asked.count("max(timestamp(drift))") > 10, "looked at often")
    assert bench.source.asked.count("max(drift)") == 1
    assert bench.told[-1][1].by_slo["drift"].at == START
    scraped.append(START.timestamp() + 5)
    await bench.until(lambda: bench.source.asked.count("max(drift)") == 2, "carried out after the next scrape")
    await bench.until(
        lambda: bench.told[-1][1].by_slo["drift"].at == START + timedelta(seconds=5), "as of the next scrape"
    )


async def test_the_variables_of_a_query_are_filled_in(bench: Bench) -> None:
    """The window never goes back further than the stage."""
    query = Query(value="sum(rate(x{ns='$namespace',c='$candidate',s='$service_stable'}[$window]))")
    slo = Slo(name="filled", query=query, limit="1", window="2m")
    bench.poller.watch(FRAUD, target(slo))
    bench.now = START + timedelta(seconds=40)
    filled = "sum(rate(x{{ns='ml',c='green',s='fraud-blue'}}[{}]))".format
    await bench.until(lambda: filled("40s") in bench.source.asked, "the window so far")
    bench.now = START + timedelta(minutes=10)
    await bench.until(lambda: filled("120s") in bench.source.asked, "the whole window")
