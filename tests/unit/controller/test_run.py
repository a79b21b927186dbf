import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest

from modelrollout.api.objects import Live, Manifest
from modelrollout.controller.client import Page
from modelrollout.controller.kinds import MODEL_ROLLOUTS, Key, Kind
from modelrollout.controller.leadership import Leadership
from modelrollout.controller.own_metrics import OwnMetrics
from modelrollout.controller.run import Operator
from modelrollout.controller.settings import Settings
from unit.controller.fake_cluster import KEY, FakeApi, rollout

SETTINGS = Settings(
    prometheus=(),
    alerts=None,
    copy_secrets=False,
    namespaces=(),
    lease=None,
    lease_duration=timedelta(seconds=15),
    log_format="text",
    log_level="info",
    metrics_port=0,
    poll_interval=timedelta(seconds=0.5),
    workers=2,
    resync=timedelta(minutes=10),
)


class SlowApi(FakeApi):
    """Writes that wait until they may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()

    async def patch(self, kind: Kind, key: Key, changes: Mapping[str, Any]) -> Live:
        if kind is not MODEL_ROLLOUTS:
            return await super().patch(kind, key, changes)
        self.reached.set()
        await self.go_on.wait()
        return await super().patch(kind, key, changes)


async def endless() -> None:
    await asyncio.Event().wait()


@pytest.fixture
async def watch() -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(endless(), name="watcher for modelrollouts")
    yield task
    task.cancel()


async def test_it_ends_well_when_told_to_after_what_is_under_way(watch: asyncio.Task[None]) -> None:
    api, stop = SlowApi(), asyncio.Event()
    api.put(rollout())
    running = asyncio.create_task(Operator(SETTINGS, api, OwnMetrics()).run([watch], stop))
    async with asyncio.timeout(10):
        await api.reached.wait()
        stop.set()
        await asyncio.sleep(0.05)
        assert not running.done()
        api.go_on.set()
        assert await running == 0
    assert api.objects["ModelRollout", KEY]["metadata"]["finalizers"] == ["modelrollout.io/release"]
    assert api.writes == ["patch ModelRollout scorer"], "nothing new is begun"


async def test_a_watch_that_ends_by_itself_ends_the_process_with_an_error(caplog: pytest.LogCaptureFixture) -> None:
    async def broken() -> None:
        raise RuntimeError("Error in the watch-stream: {'code': 500}")

    watch = asyncio.create_task(broken(), name="watcher for modelrollouts")
    async with asyncio.timeout(10):
        with caplog.at_level(logging.CRITICAL):
            assert await Operator(SETTINGS, FakeApi(), OwnMetrics()).run([watch], asyncio.Event()) == 1
    assert "watcher for modelrollouts ended by itself" in caplog.text
    assert "Error in the watch-stream" in caplog.text


class SilentApi(FakeApi):
    """Answers no LIST."""

    async def pages(self, kind: Kind, **_: str) -> AsyncIterator[Page]:
        await endless()
        yield Page([], kind.kind)

    async def create(self, manifest: Manifest) -> Live:
        return manifest


async def test_it_ends_at_once_when_told_to_before_it_was_ready(watch: asyncio.Task[None]) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(Operator(SETTINGS, SilentApi(), OwnMetrics()).run([watch], stop))
    await asyncio.sleep(0)
    stop.set()
    async with asyncio.timeout(5):
        assert await running == 0


LEASE = Key("operators", "modelrollout")


def candidate(api: FakeApi, metrics: OwnMetrics) -> Operator:
    leadership = Leadership(api, LEASE, instance="pod", duration=timedelta(seconds=3))
    return Operator(SETTINGS, api, metrics, leadership)


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not reached():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def holder(api: FakeApi) -> str:
    lease = api.objects.get(("Lease", LEASE))
    return str(lease["spec"]["holderIdentity"]) if lease else ""


def has_finalizer(api: FakeApi) -> bool:
    return "finalizers" in api.objects["ModelRollout", KEY]["metadata"]


async def test_one_that_stands_by_does_nothing_until_the_other_has_ended(
    watch: asyncio.Task[None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    api, stops = FakeApi(), (asyncio.Event(), asyncio.Event())
    metrics = (OwnMetrics(), OwnMetrics())
    first = asyncio.create_task(candidate(api, metrics[0]).run([watch], stops[0]))
    await until(lambda: bool(holder(api)))
    second = asyncio.create_task(candidate(api, metrics[1]).run([watch], stops[1]))
    await until(lambda: caplog.text.count("ready: 0 rollouts") == 2)
    assert b"modelrollout_leading 0.0" in metrics[1].exposition()
    stops[0].set()
    assert await first == 0
    api.put(rollout())  # no watch tells of it
    await until(lambda: has_finalizer(api))
    assert b"modelrollout_leading 1.0" in metrics[1].exposition()
    stops[1].set()
    assert await second == 0
    assert holder(api) == ""


async def test_one_that_has_lost_the_lease_finishes_nothing_and_ends_with_an_error(
    watch: asyncio.Task[None], caplog: pytest.LogCaptureFixture
) -> None:
    api = SlowApi()
    api.put(rollout())
    running = asyncio.create_task(candidate(api, OwnMetrics()).run([watch], asyncio.Event()))
    await until(api.reached.is_set)
    lease = api.objects["Lease", LEASE]
    api.put({**lease, "spec": {**lease["spec"], "holderIdentity": "another"}})
    async with asyncio.timeout(10):
        assert await running == 1
    assert "another has it" in caplog.text
    assert not has_finalizer(api)
    assert holder(api) == "another"
