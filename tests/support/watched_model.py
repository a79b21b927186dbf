"""A model of which Prometheus scrapes one pod, and a poller that watches its rollout."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from modelrollout.api.slo import Query, Slo
from modelrollout.api.spec import ServerKind
from modelrollout.api.status import Colour, SloStatus
from modelrollout.engine.effects import Watch
from modelrollout.engine.snapshot import Readings
from modelrollout.metrics.access import Access
from modelrollout.metrics.poller import Poller
from modelrollout.metrics.prometheus import Prometheus, Value
from modelrollout.metrics.watched import Key, Target
from support.prometheus_server import Exporter, PrometheusServer

PATIENCE = 30
"""Seconds to wait for something that should happen within one or two."""

FRAUD: Key = ("ml", "fraud")


def pod_labels(attempt: int, colour: Colour = Colour.GREEN) -> dict[str, str]:
    """What a scrape configuration carries over from the pods."""
    return {
        "namespace": "ml",
        "pod": f"fraud-{colour}-5d8f7c6b9-{attempt}",
        "modelrollout_io_name": "fraud",
        "modelrollout_io_colour": colour.value,
        "modelrollout_io_attempt": str(attempt),
    }


def answered(code: int) -> str:
    """MLServer's counter of inference requests."""
    return (
        'rest_server_requests_total{app_name="mlserver",method="POST",'
        f'path="/v2/models/{{model_name}}/infer",status_code="{code}"}}'
    )


def timed(suffix: str, edge: str = "") -> str:
    """MLServer's histogram of their durations."""
    le = f',le="{edge}"' if edge else ""
    return f'rest_server_request_duration_seconds_{suffix}{{method="POST",path="/v2/x",status_code="200"{le}}}'


def target(attempt: int, since: datetime, *slos: Slo, server: ServerKind | None = ServerKind.MLSERVER) -> Target:
    watch = Watch(
        attempt=attempt,
        stage=0,
        stable=Colour.BLUE,
        candidate=Colour.GREEN,
        since=since,
        stable_attempt=attempt - 1,
        stable_since=since,
    )
    return Target(watch=watch, slos=slos, server=server)


class Listener:
    """Keeps what a poller tells."""

    def __init__(self) -> None:
        self.latest: dict[Key, Readings] = {}
        self._told = asyncio.Event()

    def hear(self, key: Key, readings: Readings) -> None:
        self.latest[key] = readings
        self._told.set()

    async def until(self, slo: Slo, wanted: Callable[[SloStatus], bool], what: str, key: Key = FRAUD) -> SloStatus:
        """The status of an SLO once it is as wanted."""
        status: SloStatus | None = None
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    readings = self.latest.get(key)
                    status = readings.by_slo.get(slo.name) if readings else None
                    if status and wanted(status):
                        return status
                    self._told.clear()
                    await self._told.wait()
        except TimeoutError:
            raise AssertionError(f"after {PATIENCE} s not {what}, but {status}") from None

    async def reason(self, slo: Slo, reason: str, key: Key = FRAUD) -> SloStatus:
        """The status of an SLO once it has this reason."""
        return await self.until(slo, lambda status: status.reason == reason, reason, key)

    async def counts(self, slo: Slo, bad: int, total: int) -> SloStatus:
        """The status of an SLO once it counts so many."""
        beginning = f"{bad} of {total} requests "
        return await self.until(slo, lambda status: status.message.startswith(beginning), beginning)


@asynccontextmanager
async def polling(url: str, timeout: float = 3.0) -> AsyncIterator[tuple[Poller, Listener]]:  # noqa: ASYNC109
    source, listener = (
        Prometheus(Access(url=url).model_copy(update={"timeout": timedelta(seconds=timeout)})),
        Listener(),
    )
    poller = Poller(source, listener.hear, interval=timedelta(seconds=0.1))
    task = asyncio.create_task(poller.run())
    try:
        yield poller, listener
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        source.close()


async def eventually(look: Callable[[], Awaitable[object]], wanted: object, what: str) -> None:
    found: object = None
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                found = await look()
                if found == wanted:
                    return
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"after {PATIENCE} s not {what}: {found}") from None


async def scraped(url: str, attempt: int) -> None:
    """Wait until Prometheus has scraped the pod of an attempt, and began to after this call."""
    source, called = Prometheus(Access(url=url)), datetime.now(UTC).timestamp()
    up = f'up{{modelrollout_io_attempt="{attempt}"}}'
    # Of an expression like `up == 1`, timestamp() would be that of the question.
    query = f"max(timestamp({up}) and {up} == 1) > bool {called}"
    await eventually(lambda: source.value(query), Value(1), f"a scrape of attempt {attempt}")
    source.close()


async def server_has(server: PrometheusServer, attempt: int, series: str, value: float) -> None:
    """Wait until Prometheus has this value of a series of an attempt."""
    source = Prometheus(Access(url=server.url))
    selector = f'{series.removesuffix("}")},modelrollout_io_attempt="{attempt}"}}'
    await eventually(lambda: source.value(f"max({selector})"), Value(value), f"{series} at {value}")
    source.close()


async def begin(server: PrometheusServer, exporter: Exporter, attempt: int, *series: str) -> datetime:
    """A pod with these series, scraped for the first time after the start of the stage, which is returned."""
    since = datetime.now(UTC)
    exporter.set(f"pod-{attempt}", "started", 1)
    for one in series:
        exporter.set(f"pod-{attempt}", one, 0)
    await scraped(server.url, attempt)
    return since


def free(name: str, promql: str, limit: str = "0.3") -> Slo:
    return Slo(name=name, query=Query(value=promql), limit=limit)
