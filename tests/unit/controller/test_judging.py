import asyncio
import contextlib
from datetime import timedelta
from typing import Any

import pytest

from modelrollout.api.owner import Rollout
from modelrollout.api.rollout import ModelRollout
from modelrollout.api.status import Colour, ColourStatus, ModelRolloutStatus
from modelrollout.controller.judging import Judging, MeasuredSource
from modelrollout.controller.own_metrics import OwnMetrics
from modelrollout.controller.readings import ReadingsBoard
from modelrollout.engine.effects import Watch
from modelrollout.metrics.prometheus import Matrix, Single, Source, Trouble, Unavailable, Value
from unit.controller.fake_cluster import KEY, START, Clock, rollout

WATCH = Watch(attempt=1, stage=0, stable=Colour.BLUE, candidate=Colour.GREEN, since=START)
SLOS = [{"name": "drift", "query": {"value": "drift"}, "limit": "0.3"}]


class Constant(Source):
    """Answers every query with the same."""

    def __init__(self, answer: Single) -> None:
        self.answer = answer

    async def matrix(self, promql: str) -> Matrix | Trouble:  # noqa: ARG002
        return Matrix([])

    async def value(self, promql: str) -> Single:  # noqa: ARG002
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


def judging(source: Source | None, metrics: OwnMetrics, clock: Clock) -> tuple[Judging, asyncio.Event]:
    heard = asyncio.Event()
    board = ReadingsBoard(enqueue=lambda *_: heard.set(), metrics=metrics)
    return Judging(source, readings=board, interval=timedelta(milliseconds=10), now=clock.now), heard


async def test_what_is_watched_is_read_and_posted(metrics: OwnMetrics, clock: Clock) -> None:
    judge, heard = judging(MeasuredSource(Constant(Value(0.1)), metrics), metrics, clock)
    judge.watch(owner(slos=SLOS), WATCH)
    clock.turn_to(100)
    polling = asyncio.create_task(judge.run())
    async with asyncio.timeout(10):
        await heard.wait()
    assert not judge.is_stuck()
    polling.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await polling
    assert b'modelrollout_prometheus_query_seconds_count{question="free",result="Answer"}' in metrics.exposition()


def test_a_poller_that_says_nothing_for_long_is_stuck(metrics: OwnMetrics, clock: Clock) -> None:
    judge, _ = judging(Constant(Unavailable("gone")), metrics, clock)
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
    judge, _ = judging(None, metrics, clock)
    assert await judge.preflight(owner(slos=SLOS), ModelRolloutStatus()) == ()
    candidate = ColourStatus(colour=Colour.GREEN, version="2", revision="r", attempt=2, since=START)
    obstacles = await judge.preflight(owner(slos=SLOS), ModelRolloutStatus(candidate=candidate))
    assert [obstacle.reason for obstacle in obstacles] == ["PrometheusNotConfigured"]


async def test_without_prometheus_nothing_is_watched(metrics: OwnMetrics, clock: Clock) -> None:
    judge, _ = judging(None, metrics, clock)
    judge.watch(owner(slos=SLOS), WATCH)
    clock.turn_to(3600)
    assert not judge.is_stuck()
