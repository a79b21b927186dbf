import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest

from modelrollout.controller.background import Background
from modelrollout.controller.kinds import Key
from modelrollout.controller.queue import WorkQueue
from unit.controller.fake_cluster import KEY, Clock, VirtualQueue


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("modelrollout.controller.background._now", clock.seconds)
    return clock


@pytest.fixture
def queue(clock: Clock) -> VirtualQueue:
    return VirtualQueue(clock.seconds)


@pytest.fixture
async def background(queue: VirtualQueue) -> AsyncIterator[Background[str]]:
    background: Background[str] = Background(cast("WorkQueue[Key]", queue), done=lambda problem: not problem)
    yield background
    await background.close()


class Work:
    """Work that gives these results, one after another."""

    def __init__(self, *results: str | Exception) -> None:
        self.results = list(results)
        self.begun = 0

    async def __call__(self) -> str:
        self.begun += 1
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result


async def test_a_bug_is_logged_with_the_rollout_it_hit(
    background: Background[str], caplog: pytest.LogCaptureFixture
) -> None:
    background.ensure(KEY, "attempt 1", Work(RuntimeError("a bug")))
    await ended()
    (record,) = caplog.records
    assert (vars(record)["namespace"], vars(record)["rollout"]) == KEY


async def ended() -> None:
    """Let the work that was begun come to its end."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_is_done_calls_once_and_is_not_done_again(background: Background[str], queue: VirtualQueue) -> None:
    work = Work("")
    background.ensure(KEY, "attempt 1", work)
    background.ensure(KEY, "attempt 1", work)
    assert background.result(KEY, "attempt 1") is None
    await ended()
    assert queue.schedule.pop(now=0) == KEY
    assert background.result(KEY, "attempt 1") == ""
    background.ensure(KEY, "attempt 1", work)
    await ended()
    assert work.begun == 1
    assert queue.schedule.next_due() is None


@pytest.mark.parametrize("first", ["a problem", RuntimeError("a bug")], ids=["problem", "bug"])
async def test_what_failed_is_tried_again_after_a_pause_that_grows(
    background: Background[str], queue: VirtualQueue, clock: Clock, first: str | Exception
) -> None:
    work = Work(first, "another problem", "")
    for pause in (2, 4):
        background.ensure(KEY, 1, work)
        await ended()
        assert queue.schedule.pop(now=clock.seconds()) == KEY
        queue.schedule.done(KEY)
        begun = work.begun
        background.ensure(KEY, 1, work)
        await ended()
        assert work.begun == begun, "not before the pause is over"
        clock.turn_to(clock.seconds() + pause)
        assert queue.schedule.pop(now=clock.seconds()) == KEY, "and then it is called for"
        queue.schedule.done(KEY)
    background.ensure(KEY, 1, work)
    await ended()
    assert background.result(KEY, 1) == ""


async def test_another_subject_ends_the_work_on_the_one_before(
    background: Background[str], queue: VirtualQueue
) -> None:
    given_up = asyncio.Event()

    async def endless() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()
        return ""

    background.ensure(KEY, 1, endless)
    await asyncio.sleep(0)
    background.ensure(KEY, 2, Work(""))
    await ended()
    assert queue.schedule.pop(now=0) == KEY
    assert given_up.is_set()
    assert (background.result(KEY, 1), background.result(KEY, 2)) == (None, "")


async def test_closing_gives_everything_up(background: Background[str], queue: VirtualQueue) -> None:
    async def endless() -> str:
        await asyncio.Event().wait()
        return ""

    background.ensure(KEY, 1, endless)
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await background.close()
    assert queue.schedule.pop(now=0) is None
