"""Which rollout is looked at next.

A key is never worked on twice at once, and never waits twice: however many reasons there are to look at a rollout, it
is looked at once, after the last of them came. `Schedule` is the arithmetic, with the time as an argument; `WorkQueue`
makes workers wait for it.
"""

import asyncio
import heapq
import itertools
import random
from collections.abc import Callable, Hashable
from contextlib import suppress
from enum import IntEnum
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

_VOID_ALLOWED = 64


class Priority(IntEnum):
    """Who goes first when there are more keys than workers."""

    BREACH = 0
    """The judge has seen a breach: a candidate may have to be taken back."""
    CHANGE = 1
    """Something was changed, the judge has other news, or the time has come."""
    SWEEP = 2
    """Start-up and the periodic LIST: most likely there is nothing to do."""


class Schedule(Generic[K]):
    """Keys that are to be worked on, now or later. Times are seconds of any clock that only goes forward."""

    def __init__(self) -> None:
        self._waiting: dict[K, tuple[Priority, float]] = {}
        """Ready keys: their priority, and since when they wait."""
        self._due: dict[K, tuple[float, Priority]] = {}
        self._running: dict[K, Priority] = {}
        """What is worked on, and how urgently."""
        self._ready_heap: list[tuple[Priority, int, K]] = []
        self._due_heap: list[tuple[float, int, K]] = []
        self._order = itertools.count()

    def add(self, key: K, *, now: float, priority: Priority = Priority.CHANGE) -> None:
        """Work on the key as soon as possible: once more if it is being worked on, once only if it waits already."""
        before, since = self._waiting.get(key, (None, now))
        if before is not None and before <= priority:
            return
        self._waiting[key] = (priority, since)
        if key not in self._running:
            self._push_ready(key, priority)

    def add_later(self, key: K, *, due: float, priority: Priority = Priority.CHANGE) -> None:
        """Work on the key at a time; the earliest and the most urgent count. A run that begins before makes it void."""
        earliest, most_urgent = self._due.get(key, (float("inf"), priority))
        self._due[key] = (min(due, earliest), min(priority, most_urgent))
        if due < earliest:
            heapq.heappush(self._due_heap, (due, next(self._order), key))
            self._drop_void()

    def priority_of(self, key: K) -> Priority:
        """How urgently a key is being worked on."""
        return self._running[key]

    def pop(self, *, now: float) -> K | None:
        """The key to work on now, or None; it is nobody else's until `done`."""
        self._promote_due(now)
        while self._ready_heap:
            priority, _, key = heapq.heappop(self._ready_heap)
            if key in self._running or self._waiting.get(key, (None,))[0] is not priority:
                continue  # it was raised to a higher priority, or was worked on since
            del self._waiting[key]
            _, due_priority = self._due.pop(key, (now, priority))
            self._running[key] = min(priority, due_priority)
            return key
        return None

    def done(self, key: K) -> None:
        """The work on a key has ended, well or badly."""
        del self._running[key]
        if key in self._waiting:
            self._push_ready(key, self._waiting[key][0])

    def next_due(self) -> float | None:
        """When the next key becomes ready by itself."""
        while self._due_heap and self._due.get(self._due_heap[0][2], (None,))[0] != self._due_heap[0][0]:
            heapq.heappop(self._due_heap)
        return self._due_heap[0][0] if self._due_heap else None

    def oldest_wait(self, *, now: float) -> float:
        """How long the key that waits longest has been ready, in seconds."""
        return max((now - since for _, since in self._waiting.values()), default=0.0)

    def __len__(self) -> int:
        return len(self._waiting)

    def _promote_due(self, now: float) -> None:
        while (due := self.next_due()) is not None and due <= now:
            _, _, key = heapq.heappop(self._due_heap)
            _, priority = self._due.pop(key)
            self.add(key, now=now, priority=priority)

    def _drop_void(self) -> None:
        """A rollout that holds for hours is looked at thousands of times; each look leaves a far-off time behind."""
        if len(self._due_heap) > 2 * len(self._due) + _VOID_ALLOWED:
            self._due_heap = [(due, next(self._order), key) for key, (due, _) in self._due.items()]
            heapq.heapify(self._due_heap)

    def _push_ready(self, key: K, priority: Priority) -> None:
        heapq.heappush(self._ready_heap, (priority, next(self._order), key))


class Backoff(Generic[K]):
    """How long to wait after a failure: longer for each in a row of one key, at most `rate` a second of all keys."""

    def __init__(
        self,
        *,
        first: float = 0.1,
        longest: float = 15.0,
        rate: float = 20.0,
        burst: int = 100,
        spread: Callable[[], float] = lambda: random.uniform(0.8, 1.2),  # noqa: S311
    ) -> None:
        self._first, self._longest, self._spread = first, longest, spread
        self._interval, self._burst = 1 / rate, burst
        self._failures: dict[K, int] = {}
        self._bucket = float("-inf")
        """When the bucket was, or will be, as full as its burst allows to draw from."""

    def delay(self, key: K, *, now: float) -> float:
        """Seconds to wait after one more failure of the key."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        by_key = min(self._first * 2.0 ** min(failures, 30), self._longest) * self._spread()
        return max(by_key, self._by_bucket(now))

    def forget(self, key: K) -> None:
        """The key has succeeded (or is gone)."""
        self._failures.pop(key, None)

    def _by_bucket(self, now: float) -> float:
        full_burst_ago = now - self._burst * self._interval
        self._bucket = max(self._bucket, full_burst_ago) + self._interval
        return max(self._bucket - now, 0.0)


class ClosedError(Exception):
    """The queue gives nothing out any more."""


class WorkQueue(Generic[K]):
    """A schedule that workers wait on, in the time of the event loop."""

    def __init__(self, *, backoff: Backoff[K] | None = None) -> None:
        self._schedule: Schedule[K] = Schedule()
        self._backoff: Backoff[K] = backoff or Backoff()
        self._changed = asyncio.Event()
        self._closed = asyncio.Event()

    def add(self, key: K, *, priority: Priority = Priority.CHANGE) -> None:
        """See `Schedule.add`."""
        self._schedule.add(key, now=_now(), priority=priority)
        self._changed.set()

    def add_after(self, key: K, seconds: float) -> None:
        """See `Schedule.add_later`."""
        self._schedule.add_later(key, due=_now() + seconds)
        self._changed.set()

    def retry(self, key: K, *, after: float | None = None) -> float:
        """Try a key that is being worked on again, as urgently as now; returns the seconds until then.

        Without a time, `Backoff.delay` says when.
        """
        delay = self._backoff.delay(key, now=_now()) if after is None else after
        self._schedule.add_later(key, due=_now() + delay, priority=self._schedule.priority_of(key))
        self._changed.set()
        return delay

    def forget(self, key: K) -> None:
        """The key has succeeded: its next failure is a first one."""
        self._backoff.forget(key)

    def done(self, key: K) -> None:
        """The work on a key that `get` gave has ended."""
        self._schedule.done(key)
        self._changed.set()

    async def get(self) -> K:
        """Wait for a key that is to be worked on now; call `done` with it afterwards.

        Raises:
            ClosedError: the queue was closed; what is left in it is for the next process.
        """
        while not self._closed.is_set():
            key = self._schedule.pop(now=_now())
            if key is not None:
                return key
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._schedule.next_due()):
                    await self._changed.wait()
        raise ClosedError

    def close(self) -> None:
        """Give nothing out any more."""
        self._closed.set()
        self._changed.set()

    async def closed(self) -> None:
        """Wait until the queue is closed."""
        await self._closed.wait()

    def oldest_wait(self) -> float:
        """See `Schedule.oldest_wait`."""
        return self._schedule.oldest_wait(now=_now())

    def __len__(self) -> int:
        return len(self._schedule)


def _now() -> float:
    return asyncio.get_running_loop().time()
