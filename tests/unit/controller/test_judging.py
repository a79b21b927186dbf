import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from modelrollout.api.owner import Rollout
from modelrollout.api.rollout import ModelRollout
from modelrollout.api.slo import Verdict
from modelrollout.api.status import Colour, ColourStatus, ModelRolloutStatus, SloStatus
from modelrollout.controller.judging import Judging, MeasuredSource
from modelrollout.controller.kinds import Key
from modelrollout.controller.own_metrics import OwnMetrics
from modelrollout.controller.readings import ReadingsBoard
from modelrollout.engine.effects import Watch
from modelrollout.metrics.access import LONGEST_TIMEOUT, Access
from modelrollout.metrics.prometheus import Matrix, Prometheus, Single, Source, Trouble, Unavailable, Value
from support.http_servers import answering
from unit.controller.fake_cluster import KEY, START, Clock, rollout

WATCH = Watch(
    attempt=1, stage=0, stable=Colour.BLUE, candidate=Colour.GREEN, since=START, stable_attempt=0, stable_since=START
)
SLOS = [{"name": "drift", "query": {"value": "drift"}, "limit": "0.3"}]
OF_GATEWAY = [{"name": "errors", "metric": "error-ratio", "source": "Gateway", "limit": "1%"}]


class Constant(Source):
    """Answers every query with the same."""

    def __init__(self, answer: Single) -> None:
        self.answer = answer
        self.asked: list[str] = []

    async def matrix(self, promql: str) -> Matrix | Trouble:
        self.asked.append(promql)
        return Matrix([])

    async def value(self, promql: str, at: datetime | None = None) -> Single:  # noqa: ARG002
        return self.answer

    async def names(self) -> frozenset[str] | Trouble:
        return frozenset({"drift"})


@pytest.fixture
def metrics() -> OwnMetrics:
    return OwnMetrics()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def owner(**spec: Any) -> Rollout:
    parsed = ModelRollout.model_validate(rollout(**spec))
    return Rollout(name=KEY.name, namespace=KEY.namespace, uid="u", spec=parsed.spec)


def judging(
    metrics: OwnMetrics, clock: Clock, *, served_by: str = "example.com/nobody", **sources: Source
) -> tuple[Judging, asyncio.Event]:
    heard = asyncio.Event()
    board = ReadingsBoard(enqueue=lambda *_: heard.set(), metrics=metrics)
    judge = Judging(
        sources,
        controllers=lambda rollout: frozenset({served_by} if rollout.name == KEY.name else ()),
        readings=board,
        interval=timedelta(milliseconds=10),
        now=clock.now,
    )
    return judge, heard


async def test_what_is_watched_is_read_and_posted(metrics: OwnMetrics, clock: Clock) -> None:
    judge, heard = judging(metrics, clock, default=MeasuredSource(Constant(Value(0.1)), metrics, "default"))
    judge.watch(owner(slos=SLOS), WATCH)
    clock.turn_to(100)
    polling = asyncio.create_task(judge.run())
    async with asyncio.timeout(10):
        await heard.wait()
    assert not judge.is_stuck()
    polling.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await polling
    assert (
        b'modelrollout_prometheus_query_seconds_count{question="free",result="Answer",source="default"}'
        in metrics.exposition()
    )


def test_a_poller_that_says_nothing_for_long_is_stuck(metrics: OwnMetrics, clock: Clock) -> None:
    judge, _ = judging(metrics, clock, default=Constant(Unavailable("gone")))
    clock.turn_to(100)
    assert not judge.is_stuck(), "it has nothing to do"
    judge.watch(owner(slos=SLOS), WATCH)
    clock.turn_to(160)
    assert not judge.is_stuck()
    clock.turn_to(161)
    assert judge.is_stuck()
    judge.watch(owner(), WATCH)
    assert not judge.is_stuck(), "without SLOs there is nothing to look at"


async def test_a_preflight_needs_a_candidate(metrics: OwnMetrics, clock: Clock) -> None:
    judge, _ = judging(metrics, clock)
    assert await judge.preflight(owner(slos=SLOS), ModelRolloutStatus()) == ()
    candidate = ColourStatus(colour=Colour.GREEN, version="2", revision="r", attempt=2, since=START)
    obstacles = await judge.preflight(owner(slos=SLOS), ModelRolloutStatus(candidate=candidate))
    assert [obstacle.reason for obstacle in obstacles] == ["PrometheusNotConfigured"]


async def test_a_preflight_is_told_who_serves_the_route(metrics: OwnMetrics, clock: Clock) -> None:
    judge, _ = judging(metrics, clock, default=Constant(Value(1)))
    candidate = ColourStatus(colour=Colour.GREEN, version="2", revision="r", attempt=2, since=START)
    (obstacle,) = await judge.preflight(owner(slos=OF_GATEWAY), ModelRolloutStatus(candidate=candidate))
    assert obstacle.message.startswith("what the proxies of example.com/nobody call their metrics is not known")


async def test_what_is_asked_is_what_those_who_serve_the_route_count(metrics: OwnMetrics, clock: Clock) -> None:
    source = Constant(Value(1))
    judge, heard = judging(metrics, clock, served_by="istio.io/gateway-controller", default=source)
    judge.watch(owner(slos=OF_GATEWAY), WATCH)
    polling = asyncio.create_task(judge.run())
    async with asyncio.timeout(10):
        await heard.wait()
    polling.cancel()
    await asyncio.gather(polling, return_exceptions=True)
    assert any("istio_requests_total" in promql for promql in source.asked)


class Bench:
    """A judge of several sources that runs, and what it has posted."""

    def __init__(self, metrics: OwnMetrics, **sources: Source) -> None:
        self._called = asyncio.Event()
        self.board = ReadingsBoard(enqueue=lambda *_: self._called.set(), metrics=metrics)
        self.judge = Judging(
            sources,
            controllers=lambda _: frozenset(),
            readings=self.board,
            interval=timedelta(milliseconds=10),
            now=_now,
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Bench"]:
        task = asyncio.create_task(self.judge.run())
        yield self
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def read(self, key: Key, wanted: Callable[[SloStatus], bool]) -> SloStatus:
        """What the SLO of a rollout says as soon as it is as wanted."""
        async with asyncio.timeout(10):
            while True:
                readings = self.board.get(key)
                if readings and wanted(readings.by_slo["drift"]):
                    return readings.by_slo["drift"]
                self._called.clear()
                await self._called.wait()


def _now() -> datetime:
    return datetime.now(UTC)


def named(name: str, **spec: Any) -> Rollout:
    """One SLO is a free query without samples that could be old, the other is counted anew with every poll."""
    slos = [
        {"name": "drift", "query": {"value": "vector(1)"}, "limit": "0.3"},
        {"name": "errors", "metric": "error-ratio", "limit": "1%"},
    ]
    return replace(owner(slos=slos, server="mlserver", **spec), name=name)


async def test_each_rollout_is_judged_by_the_prometheus_that_it_names(metrics: OwnMetrics) -> None:
    bench = Bench(metrics, default=Constant(Value(0.1)), eu=Constant(Value(0.2)))
    async with bench.running():
        bench.judge.watch(named("here"), WATCH)
        bench.judge.watch(named("there", prometheus="eu"), WATCH)
        assert (await bench.read(Key("ml", "here"), lambda one: one.value is not None)).value == 0.1
        assert (await bench.read(Key("ml", "there"), lambda one: one.value is not None)).value == 0.2
        bench.judge.watch(named("here", prometheus="eu"), WATCH)
        await bench.read(Key("ml", "here"), lambda one: one.value == 0.2)


async def test_a_name_that_none_has_holds_and_says_so(metrics: OwnMetrics) -> None:
    """As when somebody edits it in the middle of a stage, where no preflight is made."""
    bench = Bench(metrics, default=Constant(Value(0.1)), eu=Constant(Value(0.2)))
    async with bench.running():
        bench.judge.watch(named("lost", prometheus="uk"), WATCH)
        read = await bench.read(Key("ml", "lost"), lambda one: one.reason != "Pending")
    assert (read.verdict, read.reason) == (Verdict.INCONCLUSIVE, "PrometheusUnavailable")
    assert read.message == "there is no such Prometheus: see spec.prometheus; the operator knows default, eu"


class Working:
    """A Prometheus that answers 0.1 to every question, and counts them."""

    def __init__(self) -> None:
        self.asked = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @contextlib.contextmanager
    def serving(self) -> Iterator["Working"]:
        with answering(self._server):
            yield self

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self
        result = [{"metric": {}, "value": [1.5, "0.1"]}]
        body = json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.asked += 1
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Nothing."""

        return Handler


async def test_a_prometheus_that_hangs_hurts_nobody_whom_another_one_judges(metrics: OwnMetrics) -> None:
    """It takes connections and never answers, and has more rollouts than it has threads and turns."""
    with Working().serving() as working, socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        urls = {"hangs": f"http://127.0.0.1:{silent.getsockname()[1]}", "works": working.url}
        accesses = [Access(name=name, url=url, timeout=LONGEST_TIMEOUT) for name, url in urls.items()]
        sources = {access.name: Prometheus(access) for access in accesses}
        bench = Bench(metrics, **sources)
        async with bench.running(), asyncio.timeout(LONGEST_TIMEOUT.total_seconds() - 1):
            for number in range(20):
                bench.judge.watch(named(f"hangs-{number}", prometheus="hangs"), WATCH)
            bench.judge.watch(named("works", prometheus="works"), WATCH)
            await bench.read(Key("ml", "works"), lambda one: one.value == 0.1)
            before = working.asked
            while working.asked < before + 20:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            candidate = ColourStatus(colour=Colour.GREEN, version="2", revision="r", attempt=2, since=START)
            looked = await bench.judge.preflight(
                named("works", prometheus="works"), ModelRolloutStatus(candidate=candidate)
            )
        for source in sources.values():
            source.close()
    assert looked == ()
    assert bench.board.get(Key("ml", "hangs-0")) is None, "it has not answered all the while"
