"""Servers of many kinds, over a source of the test's own making: names old and new, other edges, `server: auto`."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from modelrollout.api.slo import BuiltInMetric, Slo, Verdict
from modelrollout.api.spec import ServerKind
from modelrollout.metrics.prometheus import RawSeries
from modelrollout.metrics.watched import Target
from unit.metrics.test_poller import ERRORS, FRAUD, START, Bench, requests, target

AUTO = ServerKind.AUTO
TOKENS = Slo(name="tokens", metric=BuiltInMetric.TIME_PER_OUTPUT_TOKEN, slower_than="50ms", limit="1%", min_samples=1)
FIRST = Slo(name="first", metric=BuiltInMetric.TIME_TO_FIRST_TOKEN, slower_than="500ms", limit="1%", min_samples=1)
SLOW = Slo(name="slow", metric=BuiltInMetric.LATENCY, slower_than="120ms", limit="1%", min_samples=1)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with Bench().polling() as bench:
        bench.now = START + timedelta(seconds=31)
        yield bench


def watched(server: ServerKind, *slos: Slo, stage: int = 0, attempt: int = 3) -> Target:
    named = target(*slos, stage=stage, attempt=attempt)
    return Target(watch=named.watch, slos=named.slos, server=server)


def histogram(name: str, total: float, **within: float) -> list[RawSeries]:
    """A histogram that had nothing at the start of the stage, and 15 s later has so much in all and within edges."""
    amounts = {"": total} | {edge.removeprefix("le_").replace("_", "."): amount for edge, amount in within.items()}
    return [
        RawSeries(
            {**requests(200).labels, "__name__": f"{name}_{'bucket' if le else 'count'}"} | ({"le": le} if le else {}),
            [(START.timestamp(), "0"), (START.timestamp() + 15, str(amount))],
        )
        for le, amount in amounts.items()
    ]


OLD, NEW = "vllm:time_per_output_token_seconds", "vllm:inter_token_latency_seconds"


@pytest.mark.parametrize("shown", [[OLD], [NEW], [OLD, NEW]], ids=["old", "new", "both"])
async def test_a_histogram_under_an_old_and_a_new_name_counts_once(bench: Bench, shown: list[str]) -> None:
    bench.source.series = [series for name in shown for series in histogram(name, 1000, le_0_05=970)]
    bench.poller.watch(FRAUD, watched(ServerKind.VLLM, TOKENS))
    await bench.until(lambda: bench.reasons() == {"tokens": "AboveLimit"}, "AboveLimit")
    message = bench.told[-1][1].by_slo["tokens"].message
    assert message.startswith("30 of 1,000 samples took longer than 50ms a token (3.00%)")


async def test_metrics_of_one_server_are_counted_apart(bench: Bench) -> None:
    bench.source.series = [
        *histogram(NEW, 1000, le_0_05=1000),
        *histogram("vllm:time_to_first_token_seconds", 100, le_0_5=40),
    ]
    bench.poller.watch(FRAUD, watched(ServerKind.VLLM, TOKENS, FIRST))
    await bench.until(lambda: bench.reasons() == {"tokens": "WithinLimit", "first": "AboveLimit"}, "one of them")
    message = bench.told[-1][1].by_slo["first"].message
    assert message.startswith("60 of 100 first tokens took longer than 500ms (60.00%)")


async def test_counters_add_up(bench: Bench) -> None:
    labels = {**requests(200).labels, "model": "scorer"}
    success, failure = ({**labels, "__name__": f"nv_inference_request_{end}"} for end in ("success", "failure"))
    times = START.timestamp(), START.timestamp() + 15
    bench.source.series = [
        RawSeries(success, list(zip(times, ("0", "90"), strict=True))),
        RawSeries({**failure, "reason": "BACKEND"}, list(zip(times, ("0", "10"), strict=True))),
        RawSeries({**failure, "reason": "CANCELED"}, list(zip(times, ("0", "500"), strict=True))),
    ]
    bench.poller.watch(FRAUD, watched(ServerKind.TRITON, ERRORS))
    await bench.until(lambda: bench.reasons() == {"errors": "AboveLimit"}, "AboveLimit")
    assert bench.told[-1][1].by_slo["errors"].message.startswith("10 of 100 requests failed")


async def test_an_edge_that_the_server_was_set_up_with_counts(bench: Bench) -> None:
    bench.source.series = histogram("rest_server_request_duration_seconds", 100, le_0_12=80)
    for series in bench.source.series:
        assert series.labels["method"] == "POST"
    bench.poller.watch(FRAUD, watched(ServerKind.MLSERVER, SLOW))
    await bench.until(lambda: bench.reasons() == {"slow": "AboveLimit"}, "AboveLimit")
    assert bench.told[-1][1].by_slo["slow"].message.startswith("20 of 100 requests took longer than 120ms")


async def test_a_bucket_that_is_not_there_is_no_empty_one(bench: Bench) -> None:
    """Otherwise all requests would be slow, and a good version taken back."""
    usual = SLOW.model_copy(update={"slower_than": "100ms"})
    bench.source.series = histogram("rest_server_request_duration_seconds", 100, le_0_12=80)
    bench.poller.watch(FRAUD, watched(ServerKind.MLSERVER, usual))
    await bench.until(lambda: bench.reasons() == {"slow": "ThresholdNotOnBucketEdge"}, "told that it has none")
    assert bench.told[-1][1].by_slo["slow"].verdict is Verdict.INCONCLUSIVE


async def test_a_server_is_found_and_named(bench: Bench) -> None:
    bench.source.exposed = {"up", "rest_server_requests_total"}
    bench.source.series = [requests(200, 10, 100, 200)]
    bench.poller.watch(FRAUD, watched(AUTO, ERRORS))
    await bench.until(lambda: bench.reasons() == {"errors": "WithinLimit"}, "WithinLimit")
    assert bench.told[-1][1].by_slo["errors"].message.endswith("; the server is mlserver")


async def test_a_server_is_looked_for_once_an_attempt(bench: Bench) -> None:
    bench.source.exposed = {"rest_server_requests_total"}
    bench.source.series = [requests(200, 10, 100, 200)]
    for stage in (0, 1):
        bench.poller.watch(FRAUD, watched(AUTO, ERRORS, stage=stage))
        await bench.until(lambda: bench.reasons() == {"errors": "WithinLimit"}, "WithinLimit")
        await bench.until(lambda stage=stage: bench.told[-1][1].stage == stage, "told of the stage")  # type: ignore[misc]
    assert sum(question.startswith("group by") for question in bench.source.asked) == 1
    bench.poller.watch(FRAUD, watched(AUTO, ERRORS, attempt=4))
    await bench.until(lambda: sum(one.startswith("group by") for one in bench.source.asked) == 2, "looked for again")


async def test_a_server_that_shows_late_is_found_then(bench: Bench) -> None:
    """A stage whose operator has just restarted, while Prometheus is away."""
    bench.source.down = True
    bench.poller.watch(FRAUD, watched(AUTO, ERRORS))
    await bench.until(lambda: bench.reasons() == {"errors": "PrometheusUnavailable"}, "PrometheusUnavailable")
    bench.source.down = False
    await bench.until(lambda: bench.reasons() == {"errors": "NoData"}, "not found")
    assert "expose none of bentoml_service_request_total" in bench.told[-1][1].by_slo["errors"].message
    bench.source.exposed = {"rest_server_requests_total"}
    await bench.until(lambda: bench.reasons() == {"errors": "TargetDown"}, "found")


async def test_a_metric_that_the_server_that_was_found_lacks_is_said(bench: Bench) -> None:
    bench.source.exposed = {"ts_inference_requests_total"}
    bench.source.series = [requests(200, 0, 1)]
    bench.poller.watch(FRAUD, watched(AUTO, SLOW))
    await bench.until(lambda: bench.reasons() == {"slow": "NoData"}, "NoData")
    await bench.until(lambda: "no histogram of durations" in bench.told[-1][1].by_slo["slow"].message, "why")
