import asyncio

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from modelrollout.controller.queue import Backoff, Priority, Schedule, WorkQueue

KEYS = ["a", "b", "c"]


class ScheduleMachine(RuleBasedStateMachine):
    """Any interleaving of additions, runs and time: no reason to look is lost, and none is worked on twice at once."""

    @initialize()
    def start(self) -> None:
        self.schedule: Schedule[str] = Schedule()
        self.now = 0.0
        self.running: set[str] = set()
        self.owed: dict[str, float] = {}
        """By when at the latest a run must be able to begin, for each key that has not begun one since it was added."""

    @rule(key=st.sampled_from(KEYS), priority=st.sampled_from(Priority))
    def add(self, key: str, priority: Priority) -> None:
        self.schedule.add(key, now=self.now, priority=priority)
        self.owed[key] = min(self.now, self.owed.get(key, self.now))

    @rule(key=st.sampled_from(KEYS), seconds=st.integers(0, 10))
    def add_later(self, key: str, seconds: int) -> None:
        self.schedule.add_later(key, due=self.now + seconds)
        self.owed[key] = min(self.now + seconds, self.owed.get(key, self.now + seconds))

    @rule(seconds=st.integers(1, 5))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def pop(self) -> None:
        key = self.schedule.pop(now=self.now)
        available = {key for key, due in self.owed.items() if due <= self.now and key not in self.running}
        if key is None:
            assert not available, f"{available} should have been given out"
            return
        assert key in available, f"{key} is not owed a run, or runs already"
        del self.owed[key]
        self.running.add(key)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.running)))
        self.schedule.done(key)
        self.running.remove(key)

    @invariant()
    def wakes_in_time(self) -> None:
        """Whoever sleeps until `next_due` misses nothing that becomes due by itself."""
        if not hasattr(self, "owed"):
            return
        future = [due for due in self.owed.values() if due > self.now]
        due = self.schedule.next_due()
        assert not future or (due is not None and due <= min(future))


TestSchedule = ScheduleMachine.TestCase


def test_urgent_keys_go_first_and_equals_in_their_order() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.add("sweep", now=0, priority=Priority.SWEEP)
    schedule.add("first", now=0)
    schedule.add("second", now=0)
    schedule.add("breach", now=0, priority=Priority.BREACH)
    schedule.add("sweep", now=0, priority=Priority.BREACH)
    assert [schedule.pop(now=0) for _ in range(5)] == ["breach", "sweep", "first", "second", None]


def test_the_age_of_the_queue_is_that_of_the_key_that_waits_longest() -> None:
    schedule: Schedule[str] = Schedule()
    assert schedule.oldest_wait(now=5) == 0
    schedule.add("a", now=5)
    schedule.add("b", now=8)
    schedule.add("a", now=9, priority=Priority.BREACH)
    assert schedule.oldest_wait(now=10) == 5


def test_backoff_doubles_up_to_its_limit_and_starts_again_after_a_success() -> None:
    backoff: Backoff[str] = Backoff(first=1, longest=5, spread=lambda: 1.0)
    assert [backoff.delay("a", now=0) for _ in range(5)] == [1, 2, 4, 5, 5]
    assert backoff.delay("b", now=0) == 1
    backoff.forget("a")
    assert backoff.delay("a", now=0) == 1


def test_when_everything_fails_the_retries_are_spread_out() -> None:
    backoff: Backoff[int] = Backoff(first=0.1, longest=5, rate=10, burst=20, spread=lambda: 1.0)
    delays = [backoff.delay(key, now=100.0) for key in range(120)]
    assert delays[19] == pytest.approx(0.1)
    assert delays[-1] == pytest.approx(10.0)
    assert delays == sorted(delays)
    assert backoff.delay(-1, now=200.0) == pytest.approx(0.1), "the bucket fills up again"


def test_a_key_that_is_due_is_as_urgent_as_the_most_urgent_reason_for_it() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.add_later("breach", due=2, priority=Priority.BREACH)
    schedule.add_later("breach", due=1)
    schedule.add("change", now=0)
    assert schedule.pop(now=1) == "breach"
    assert schedule.priority_of("breach") is Priority.BREACH


def test_a_look_that_comes_before_a_retry_is_as_urgent_as_that() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.add_later("breach", due=2, priority=Priority.BREACH)
    schedule.add("breach", now=0)
    assert schedule.pop(now=0) == "breach"
    assert schedule.priority_of("breach") is Priority.BREACH


def test_times_that_have_become_void_are_not_kept_for_hours() -> None:
    schedule: Schedule[str] = Schedule()
    for look in range(2000):
        schedule.add("key", now=look)
        assert schedule.pop(now=look) == "key"
        schedule.done("key")
        schedule.add_later("key", due=50_000 + look / 1000)
    assert len(schedule._due_heap) < 100
    assert schedule.next_due() == pytest.approx(50_002, abs=0.01)


async def test_a_retry_is_as_urgent_as_what_failed() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("breach", priority=Priority.BREACH)
    assert await queue.get() == "breach"
    queue.retry("breach", after=0)
    queue.done("breach")
    queue.add("change")
    async with asyncio.timeout(5):
        assert [await queue.get(), await queue.get()] == ["breach", "change"]


async def test_a_retry_at_a_given_time_takes_nothing_from_those_that_fail() -> None:
    queue: WorkQueue[str] = WorkQueue(backoff=Backoff(rate=0.001, burst=1, spread=lambda: 1.0))
    for key in ("failed", "conflict"):
        queue.add(key)
        assert await queue.get() == key
    assert queue.retry("failed") == pytest.approx(0.1)
    assert queue.retry("conflict", after=0.1) == 0.1
    assert queue.retry("failed") > 100, "the bucket is empty"
    assert queue.retry("conflict", after=0.1) == 0.1


async def test_workers_wait_for_what_is_added_and_for_what_becomes_due() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add_after("later", 0.02)
    waiting = [asyncio.create_task(queue.get()) for _ in range(2)]
    await asyncio.sleep(0)
    queue.add("now")
    async with asyncio.timeout(5):
        assert set(await asyncio.gather(*waiting)) == {"now", "later"}


async def test_a_key_that_comes_up_again_while_it_is_worked_on_is_given_out_when_done() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("key")
    assert await queue.get() == "key"
    queue.add("key")
    again = asyncio.create_task(queue.get())
    await asyncio.sleep(0.01)
    assert not again.done()
    queue.done("key")
    async with asyncio.timeout(5):
        assert await again == "key"


async def test_a_worker_that_gives_up_waiting_loses_no_key() -> None:
    queue: WorkQueue[str] = WorkQueue()
    impatient = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    impatient.cancel()
    queue.add("key")
    async with asyncio.timeout(5):
        assert await queue.get() == "key"
