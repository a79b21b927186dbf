import socket
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest

from modelrollout.controller.health import Health, serve
from modelrollout.controller.own_metrics import OwnMetrics
from modelrollout.controller.settings import CannotStartError
from unit.controller.fake_cluster import Clock


class Vitals:
    """What the health depends on."""

    waiting = 0.0
    poller_is_stuck = False


@pytest.fixture
def vitals() -> Vitals:
    return Vitals()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(vitals: Vitals, clock: Clock) -> Health:
    return Health(
        oldest_wait=lambda: vitals.waiting,
        poller_is_stuck=lambda: vitals.poller_is_stuck,
        resync=timedelta(minutes=10),
        now=clock.now,
    )


@pytest.fixture
async def client(health: Health) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        serve(health, OwnMetrics(), port=0) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        yield client


async def test_is_ready_once_everything_was_listed(client: httpx.AsyncClient, health: Health) -> None:
    assert (await client.get("/readyz")).status_code == 503
    health.listed()
    assert (await client.get("/readyz")).status_code == 200


async def test_is_well_while_work_is_done(client: httpx.AsyncClient, vitals: Vitals) -> None:
    answer = await client.get("/healthz")
    assert (answer.status_code, answer.text) == (200, "ok")
    vitals.waiting = 121.0
    answer = await client.get("/healthz")
    assert (answer.status_code, answer.text) == (503, "a rollout has been waiting for a worker for 121 s")


def test_is_not_well_when_lists_or_the_poller_stand_still(health: Health, vitals: Vitals, clock: Clock) -> None:
    clock.turn_to(29 * 60)
    health.listed()
    clock.turn_to(58 * 60)
    assert health.problems() == []
    clock.turn_to(60 * 60)
    vitals.poller_is_stuck = True
    assert health.problems() == ["the cluster was last listed 0:31:00 ago", "the poller of Prometheus is stuck"]


async def test_serves_its_metrics_as_prometheus_reads_them(client: httpx.AsyncClient) -> None:
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'modelrollout_rollouts{phase="Idle"} 0.0' in answer.text


async def test_a_port_that_is_taken_is_named_with_the_way_out(health: Health) -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            CannotStartError, match=f"cannot listen on port {port}: .*choose another with --metrics-port"
        ):
            async with serve(health, OwnMetrics(), port=port):
                pass
