"""From an exporter over a real Prometheus to readings: counts, faults of one SLO, and faults of Prometheus itself."""

import asyncio
import random
import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from modelrollout.api.slo import Baseline, BuiltInMetric, Query, Slo, Test, Verdict
from modelrollout.api.spec import ModelRolloutSpec
from modelrollout.api.status import Colour, SloStatus
from modelrollout.metrics.access import Access
from modelrollout.metrics.preflight import check
from modelrollout.metrics.prometheus import NoData, Prometheus, Value
from modelrollout.metrics.queries import Scope
from support.prometheus_server import Exporter, PrometheusServer
from support.terminal import Shown
from support.watched_model import (
    FRAUD,
    PATIENCE,
    answered,
    begin,
    eventually,
    free,
    pod_labels,
    polling,
    scraped,
    server_has,
    target,
    timed,
)

ERRORS = Slo(name="errors", metric=BuiltInMetric.ERROR_RATIO, limit="1%", min_samples=1, test=Test.PLAIN)
SLOW = Slo(name="slow", metric=BuiltInMetric.LATENCY, slower_than="250ms", limit="5%", min_samples=1, test=Test.PLAIN)
RELATIVE = Slo(name="relative", metric=BuiltInMetric.ERROR_RATIO, baseline=Baseline(), min_samples=1)


_MOST = 20
_ATTEMPTS = iter(range(1, _MOST + 1))
TARGETS = {
    **{f"pod-{attempt}": pod_labels(attempt) for attempt in range(1, _MOST + 1)},
    **{f"stable-{attempt}": pod_labels(attempt - 1, Colour.BLUE) for attempt in range(1, _MOST + 1)},
    "lost": {"namespace": "ml", "pod": "lost-green-5d8f7c6b9-abcde"},
    "down": pod_labels(0) | {"modelrollout_io_name": "down"},
    "llm": pod_labels(21) | {"modelrollout_io_name": "llm"},
}


@pytest.fixture(scope="module")
def exporter() -> Iterator[Exporter]:
    with Exporter().serving() as exporter:
        yield exporter


@pytest.fixture(scope="module")
def server(exporter: Exporter, tmp_path_factory: pytest.TempPathFactory, shown: Shown) -> Iterator[PrometheusServer]:
    """Knows a target for each attempt from the start: it takes Prometheus five seconds to hear of others."""
    server = PrometheusServer(tmp_path_factory.mktemp("prometheus"), exporter)
    server.scrape(TARGETS)
    with shown():
        server.start()
    yield server
    server.kill()


@pytest.fixture
def attempt() -> int:
    """Each test has an attempt of its own, so that one never sees the series of another."""
    return next(_ATTEMPTS)


async def test_counts_equal_the_truth(server: PrometheusServer, exporter: Exporter, attempt: int) -> None:
    """Requests at random while Prometheus scrapes, over a restart between two scrapes that are waited for."""
    since = await begin(server, exporter, attempt)
    pod, truth = f"pod-{attempt}", {200: 0, 404: 0, 500: 0}
    dice = random.Random(attempt)  # noqa: S311
    async with polling(server.url) as (poller, listener):
        poller.watch(FRAUD, target(attempt, since, ERRORS))
        for life in range(3):
            for _ in range(150):
                code = dice.choice([200, 200, 200, 404, 500])
                exporter.add(pod, answered(code))
                truth[code] += 1
                await asyncio.sleep(0.005)
            await listener.counts(ERRORS, truth[500], sum(truth.values()))
            if life < 2:
                exporter.restart(pod)
                exporter.set(pod, answered(200), 0)
                await server_has(server, attempt, answered(200), 0)


async def test_first_errors_are_seen_at_once(server: PrometheusServer, exporter: Exporter, attempt: int) -> None:
    """The series of the errors does not exist before; increase() would show none of the first ones."""
    since = await begin(server, exporter, attempt, answered(200))
    async with polling(server.url) as (poller, listener):
        poller.watch(FRAUD, target(attempt, since, ERRORS))
        await listener.reason(ERRORS, "NoTraffic")
        exporter.add(f"pod-{attempt}", answered(200), 97)
        await listener.counts(ERRORS, 0, 97)
        exporter.add(f"pod-{attempt}", answered(500), 3)
        status = await listener.counts(ERRORS, 3, 100)
        assert (status.verdict, status.reason) == (Verdict.BREACH, "AboveLimit")
        exporter.add(f"pod-{attempt}", answered(500))
        assert (await listener.counts(ERRORS, 4, 101)).at > status.at


async def test_both_versions_are_counted_and_compared(
    server: PrometheusServer, exporter: Exporter, attempt: int
) -> None:
    """An incident that both suffer from is none of the candidate's; what it alone suffers from is."""
    pods = candidate, stable = f"pod-{attempt}", f"stable-{attempt}"
    for pod in pods:
        exporter.set(pod, answered(200), 0)
        exporter.set(pod, answered(500), 0)
    since = await begin(server, exporter, attempt)
    async with polling(server.url) as (poller, listener):
        poller.watch(FRAUD, target(attempt, since, RELATIVE))
        await listener.reason(RELATIVE, "NoTraffic")
        for pod, requests, failures in ((candidate, 180, 20), (stable, 1800, 200)):
            exporter.add(pod, answered(200), requests)
            exporter.add(pod, answered(500), failures)
        alike = await listener.until(RELATIVE, lambda status: _compared(status) == (20, 200, 200, 2000), "both counted")
        assert (alike.verdict, alike.reason) == (Verdict.PASS, "NoWorse")
        exporter.add(stable, answered(200), 2000)
        exporter.add(candidate, answered(500), 100)
        worse = await listener.reason(RELATIVE, "WorseThanStable")
        assert worse.verdict is Verdict.BREACH
        evidence = listener.latest[FRAUD].evidence["relative"]
        assert (evidence.candidate.total, evidence.counted_to) == (0, since)  # no block is over
    async with polling(server.url) as (poller, listener):
        poller.watch(FRAUD, target(attempt, since, RELATIVE), [evidence])
        again = await listener.reason(RELATIVE, "WorseThanStable")
        assert again.comparison == worse.comparison


def _compared(status: SloStatus) -> tuple[int, int, int, int] | None:
    both = status.comparison
    return (both.candidate.bad, both.candidate.total, both.stable.bad, both.stable.total) if both else None


async def test_requests_before_the_stage_do_not_count(
    server: PrometheusServer, exporter: Exporter, attempt: int
) -> None:
    """Neither those of earlier stages, nor a warm-up that one scrape saw together with the first requests."""
    exporter.set(f"pod-{attempt}", answered(200), 1000)
    exporter.set(f"pod-{attempt}", answered(500), 500)
    await scraped(server.url, attempt)
    since = datetime.now(UTC)
    exporter.add(f"pod-{attempt}", answered(500), 7)
    async with polling(server.url) as (poller, listener):
        poller.watch(FRAUD, target(attempt, since, ERRORS))
        await listener.until(ERRORS, lambda status: status.at > since, "a scrape later than the start of the stage")
        exporter.add(f"pod-{attempt}", answered(200), 10)
        assert (await listener.counts(ERRORS, 0, 10)).verdict is Verdict.PASS


async def test_slow_requests_are_counted_at_the_edge(
    server: PrometheusServer, exporter: Exporter, attempt: int
) -> None:
    since = await begin(server, exporter, attempt)
    async with polling(server.url) as (poller, listener):
        poller.watch(FRAUD, target(attempt, since, SLOW))
        await listener.reason(SLOW, "NoTraffic")
        for suffix, edge, count in [("bucket", "0.1", 60), ("bucket", "0.25", 90), ("bucket", "+Inf", 100)]:
            exporter.set(f"pod-{attempt}", timed(suffix, edge), count)
        exporter.set(f"pod-{attempt}", timed("count"), 100)
        status = await listener.counts(SLOW, 10, 100)
        assert (status.verdict, status.value) == (Verdict.BREACH, 0.1)


async def test_the_gateway_counts_for_the_candidate(server: PrometheusServer, exporter: Exporter, attempt: int) -> None:
    proxy, route = f"pod-{attempt}", f"httproute/ml/fraud-{attempt}/rule/0/backend"

    def total(backend: int) -> str:
        return f'envoy_cluster_upstream_rq_completed{{envoy_cluster_name="{route}/{backend}"}}'

    def errors(backend: int) -> str:
        cluster = f'envoy_cluster_name="{route}/{backend}"'
        return f'envoy_cluster_upstream_rq_xx{{envoy_response_code_class="5",{cluster}}}'

    since = datetime.now(UTC)
    for backend in (0, 1):
        exporter.set(proxy, total(backend), 0)
    await scraped(server.url, attempt)
    key = ("ml", f"fraud-{attempt}")
    async with polling(server.url) as (poller, listener):
        served_by = frozenset({"gateway.envoyproxy.io/gatewayclass-controller"})
        poller.watch(key, replace(target(attempt, since, ERRORS, server=None), controllers=served_by))
        await listener.reason(ERRORS, "NoTraffic", key)
        exporter.add(proxy, total(0), 900)
        exporter.add(proxy, errors(0), 900)
        exporter.add(proxy, total(1), 100)
        exporter.add(proxy, errors(1), 7)
        beginning = "7 of 100 requests failed"
        await listener.until(ERRORS, lambda status: status.message.startswith(beginning), beginning, key)


async def test_silence_has_names(server: PrometheusServer, exporter: Exporter, attempt: int) -> None:
    """A pod that is not scraped, one that cannot be, one without requests, and one that is scraped no more."""
    since, pod, unknown = datetime.now(UTC), f"pod-{attempt}", ("ml", "unknown")
    async with polling(server.url) as (poller, listener):
        poller.watch(unknown, target(attempt, since, ERRORS))
        assert "scrapes no pod of the candidate" in (await listener.reason(ERRORS, "TargetDown", unknown)).message
        poller.watch(FRAUD, target(attempt, since, ERRORS))
        wanted = f"ml/fraud-green-5d8f7c6b9-{attempt}"
        await listener.until(ERRORS, lambda status: wanted in status.message, "TargetDown naming the pod")
        exporter.set(pod, answered(200), 0)
        await listener.reason(ERRORS, "NoTraffic")
        exporter.stop(pod)
        await listener.reason(ERRORS, "TargetDown")
        exporter.set(pod, answered(200), 0)
        await listener.reason(ERRORS, "NoTraffic")
        server.scrape({other: labels for other, labels in TARGETS.items() if other != pod})
        await listener.reason(ERRORS, "StaleScrape")
        server.scrape(TARGETS)


async def test_a_faulty_query_hurts_only_its_owner(server: PrometheusServer, exporter: Exporter, attempt: int) -> None:
    since = await begin(server, exporter, attempt)
    pod, labels = f"pod-{attempt}", f'modelrollout_io_attempt="{attempt}"'
    for part, value in (("a", 0.1), ("b", 0.5)):
        exporter.set(pod, f'drift{{part="{part}"}}', value)
    exporter.set(pod, "ratio", float("nan"))
    await server_has(server, attempt, 'drift{part="b"}', 0.5)
    slos = {
        "WithinLimit": free("good", f'max(drift{{part="a",{labels},modelrollout_io_colour="$candidate"}})'),
        "AboveLimit": free("bad", f"max(drift{{{labels}}})"),
        "ManySeries": free("many", f"drift{{{labels}}}"),
        "NotANumber": free("nan", f"max(ratio{{{labels}}})"),
        "NoData": free("none", 'drift{part="no such"}'),
        "QueryError": free("broken", "max(drift"),
    }
    async with polling(server.url) as (poller, listener):
        poller.watch(FRAUD, target(attempt, since, ERRORS, *slos.values()))
        for reason, slo in slos.items():
            await listener.reason(slo, reason)
        await listener.reason(ERRORS, "NoTraffic")
        exporter.add(pod, answered(200), 10)
        await listener.counts(ERRORS, 0, 10)
        exporter.set(pod, 'drift{part="a"}', 0.31)
        exporter.set(pod, 'drift{part="b"}', 0.2)
        await listener.reason(slos["WithinLimit"], "AboveLimit")


async def test_one_scrape_of_a_query_is_one_piece_of_evidence(
    server: PrometheusServer, exporter: Exporter, attempt: int
) -> None:
    """A value stands as of its newest sample, however often it is looked at."""
    since = await begin(server, exporter, attempt)
    pod = f"pod-{attempt}"
    exporter.set(pod, "drift", 0.5)
    slo = free("drift", f'max(drift{{modelrollout_io_attempt="{attempt}"}})')
    async with polling(server.url) as (poller, listener):
        poller.watch(FRAUD, target(attempt, since, slo))
        first = await listener.reason(slo, "AboveLimit")
        second = await listener.until(slo, lambda status: status.at > first.at, "judged by a newer scrape")
        assert (second.at - first.at).total_seconds() >= 0.2
        exporter.stop(pod)
        gone = await listener.reason(slo, "NoData")
        assert gone.verdict is Verdict.INCONCLUSIVE


async def test_a_gauge_is_compared_with_stables_at_the_same_moment(
    server: PrometheusServer, exporter: Exporter, attempt: int
) -> None:
    """Also of a moment that is over."""
    since = await begin(server, exporter, attempt)
    candidate, stable = f"pod-{attempt}", f"stable-{attempt}"
    exporter.set(candidate, "memory", 12)
    exporter.set(stable, "memory", 10)
    slo = Slo(
        name="memory",
        query=Query(value='max(memory{modelrollout_io_colour="$arm"})'),
        baseline=Baseline(max_increase="25%"),
        test=Test.PLAIN,
    )
    async with polling(server.url) as (poller, listener):
        poller.watch(FRAUD, target(attempt, since, slo))
        await listener.reason(slo, "NoWorse")
        fine_at = datetime.now(UTC)
        exporter.set(candidate, "memory", 13)
        assert (await listener.reason(slo, "WorseThanStable")).value == 13
    source = Prometheus(Access(url=server.url))
    promql = 'max(memory{modelrollout_io_colour="green"})'
    assert (await source.value(promql, fine_at), await source.value(promql)) == (Value(12), Value(13))
    source.close()


@pytest.mark.parametrize("promql", ["max_over_time(drift{{{}}}[10m])", "max_over_time(max(drift{{{}}})[10m:250ms])"])
async def test_what_a_range_remembers_is_no_evidence(
    server: PrometheusServer, exporter: Exporter, attempt: int, promql: str
) -> None:
    """The query has a value for ten minutes after the last scrape; a silence that is meant has one for ever."""
    since = await begin(server, exporter, attempt)
    pod, labels = f"pod-{attempt}", f'modelrollout_io_attempt="{attempt}"'
    exporter.set(pod, "drift", 0.5)
    old, silent = free("old", promql.format(labels)), free("silent", f"max(rate(none{{{labels}}}[2m])) or vector(0)")
    async with polling(server.url) as (poller, listener):
        poller.watch(FRAUD, target(attempt, since, old, silent))
        await listener.reason(old, "AboveLimit")
        exporter.stop(pod)
        assert (await listener.reason(old, "StaleScrape")).verdict is Verdict.INCONCLUSIVE
        await listener.reason(silent, "WithinLimit")


async def test_prometheus_that_hangs_delays_nothing_else(
    server: PrometheusServer, exporter: Exporter, attempt: int
) -> None:
    """One poller hangs on a socket that never answers; another one, on the same loop, goes through a whole story."""
    since = await begin(server, exporter, attempt, answered(200))
    drift = free("drift", "max(drift)")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        async with polling(url, timeout=3 * PATIENCE) as (hanging, unheard), polling(server.url) as (poller, listener):
            hanging.watch(FRAUD, target(attempt, since, ERRORS, drift))
            poller.watch(FRAUD, target(attempt, since, ERRORS))
            await listener.reason(ERRORS, "NoTraffic")
            exporter.add(f"pod-{attempt}", answered(200), 5)
            await listener.counts(ERRORS, 0, 5)
            assert not unheard.latest
            silent.close()


async def test_prometheus_that_hangs_is_unavailable_after_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        drift = free("drift", "max(drift)")
        async with polling(url, timeout=0.3) as (poller, listener):
            poller.watch(FRAUD, target(1, datetime.now(UTC), ERRORS, drift))
            for slo in (ERRORS, drift):
                status = await listener.reason(slo, "PrometheusUnavailable")
                assert "did not answer within 0.3 s" in status.message


async def test_prometheus_down_then_up(tmp_path_factory: pytest.TempPathFactory, exporter: Exporter) -> None:
    """What happened while it was down counts once it is back: the counters went on."""
    attempt = next(_ATTEMPTS)
    server = PrometheusServer(tmp_path_factory.mktemp("prometheus"), exporter)
    server.scrape(TARGETS)
    server.start()
    try:
        since, pod = await begin(server, exporter, attempt, answered(200)), f"pod-{attempt}"
        async with polling(server.url) as (poller, listener):
            poller.watch(FRAUD, target(attempt, since, ERRORS))
            await listener.reason(ERRORS, "NoTraffic")
            exporter.add(pod, answered(200), 50)
            await listener.counts(ERRORS, 0, 50)
            server.kill()
            down = await listener.reason(ERRORS, "PrometheusUnavailable")
            assert (down.verdict, down.samples) == (Verdict.INCONCLUSIVE, None)
            exporter.add(pod, answered(200), 30)
            exporter.add(pod, answered(500), 20)
            await asyncio.to_thread(server.start)
            await listener.counts(ERRORS, 20, 100)
    finally:
        server.kill()


async def test_a_new_poller_counts_the_same(server: PrometheusServer, exporter: Exporter, attempt: int) -> None:
    """The operator was restarted in the middle of a stage."""
    since = await begin(server, exporter, attempt, answered(200))
    for code, amount in ((200, 90), (500, 10)):
        exporter.add(f"pod-{attempt}", answered(code), amount)
        async with polling(server.url) as (poller, listener):
            poller.watch(FRAUD, target(attempt, since, ERRORS))
            await listener.counts(ERRORS, 0 if code == 200 else 10, 90 if code == 200 else 100)


def spec(*slos: Slo, server: str = "mlserver") -> ModelRolloutSpec:
    return ModelRolloutSpec.model_validate(
        {
            "model": {"version": "2"},
            "template": {"spec": {"containers": [{"name": "server", "image": "scorer"}]}},
            "server": server,
            "slos": [slo.to_wire() for slo in slos],
        }
    )


async def test_preflight_asks_the_real_parser_and_the_real_names(
    server: PrometheusServer, exporter: Exporter, attempt: int
) -> None:
    """A query without data is fine as long as its metric exists; what was mistyped is told from what has no traffic."""
    for series in ("model_drift_score", 'part{of="a"}', 'part{of="b"}', answered(200)):
        exporter.set(f"pod-{attempt}", series, 0.1)
    await scraped(server.url, attempt)
    source = Prometheus(Access(url=server.url))
    slos = [
        free("no-traffic-yet", 'model_drift_score{modelrollout_io_colour="$candidate"}'),
        free("mistyped", "max(model_drift_scores)"),
        free("broken", "max(model_drift_score"),
        free("senseless", "part + on() part"),
        free("many", "part"),
        SLOW.model_copy(update={"slower_than": "120ms"}),
    ]
    scope = Scope(namespace="ml", rollout="fraud", stable=Colour.GREEN, candidate=Colour.BLUE)
    found = await check(source, spec(ERRORS, *slos), scope, serving_for=timedelta(hours=1))
    source.close()
    by_slo = {obstacle.message.split('"')[1]: obstacle for obstacle in found}
    assert {name: obstacle.reason for name, obstacle in by_slo.items()} == {
        "mistyped": "MetricNotFound",
        "broken": "QueryInvalid",
        "senseless": "QueryInvalid",
        "many": "QueryInvalid",
        "slow": "ThresholdNotOnBucketEdge",
    }
    assert "did you mean model_drift_score?" in by_slo["mistyped"].message
    assert "1:22: parse error" in by_slo["broken"].message
    assert "2 series" in by_slo["many"].message
    assert "100ms or 250ms" in by_slo["slow"].message


async def test_preflight_tells_lost_labels_from_missing_targets(
    server: PrometheusServer, exporter: Exporter, attempt: int
) -> None:
    exporter.set(f"pod-{attempt}", answered(200), 0)
    await scraped(server.url, attempt)
    source = Prometheus(Access(url=server.url))

    async def found(rollout: str, served: timedelta) -> list[tuple[str, str]]:
        scope = Scope(namespace="ml", rollout=rollout, stable=Colour.GREEN, candidate=Colour.BLUE)
        return [(one.reason, one.message) for one in await check(source, spec(ERRORS), scope, serving_for=served)]

    hour, moment = timedelta(hours=1), timedelta(seconds=1)
    assert await found("fraud", hour) == []
    assert await found("missing", moment) == []
    ((reason, message),) = await found("missing", hour)
    assert (reason, "that finds the pods is missing" in message) == ("MetricNotFound", True)
    ((reason, message),) = await found("lost", moment)
    assert (reason, "carry the pod labels over" in message) == ("MetricNotFound", True)
    ((reason, message),) = await found("down", hour)
    assert (reason, "failed to scrape every stable pod of ml/down" in message) == ("TargetDown", True)
    source.close()


async def test_preflight_reads_server_and_edges_off_the_real_series(
    server: PrometheusServer, exporter: Exporter
) -> None:
    """Of a server that is not named, and whose edges are not the usual ones."""
    first_token = "vllm:time_to_first_token_seconds"
    for series in ("vllm:num_requests_running", f"{first_token}_count", f'{first_token}_bucket{{le="0.3"}}'):
        exporter.set("llm", series, 0)
    source = Prometheus(Access(url=server.url))
    scope = Scope(namespace="ml", rollout="llm", stable=Colour.GREEN, candidate=Colour.BLUE)

    async def found(slower_than: str, server: str = "auto") -> list[str]:
        first = {
            "name": "first",
            "metric": BuiltInMetric.TIME_TO_FIRST_TOKEN,
            "limit": "5%",
            "slower_than": slower_than,
        }
        asked = spec(Slo.model_validate(first), server=server)
        return [one.message for one in await check(source, asked, scope, serving_for=timedelta(hours=1))]

    await eventually(lambda: found("300ms"), [], "found by its series")
    (message,) = await found("250ms")
    assert message.endswith("the nearest edges are 300ms")
    (message,) = await found("300ms", server="sglang")
    assert message.endswith("by their series they are vllm: correct spec.server")
    exporter.stop("llm")
    lately = f"count(last_over_time({first_token}_count[6s]))"
    await eventually(lambda: source.value(lately), NoData(), "scrapes that fail")
    (message,) = await found("250ms")
    assert message.endswith("the nearest edges are 300ms")
    source.close()
