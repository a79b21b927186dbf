"""Faults on the way to the API server. Each counts how often it happened."""

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from support.api_proxy import Answer, Forward, NoAnswerError, Request, status_answer

Instead = Callable[[Forward], Awaitable[Answer]]
Concerns = Callable[[Request], bool]

_SLOW = 6.0
"""Seconds; the API server gives a webhook ten by default."""


class Moment(StrEnum):
    """When the operator dies of a write."""

    BEFORE = "before"
    """The API server never hears of it."""
    AFTER = "after"
    """It is carried out, and the operator never hears of that."""


@dataclass(frozen=True, order=True)
class Point:
    """One write among those of a story."""

    target: str
    ordinal: int
    """Which of the writes to this target, from 1."""
    moment: Moment

    def __str__(self) -> str:
        return f"{self.moment} {self.target} no. {self.ordinal}"


def points(writes: list[str]) -> list[Point]:
    """All points at which an operator that makes these writes can be killed."""
    return [
        Point(target, ordinal, moment)
        for target, count in sorted(Counter(writes).items())
        for ordinal in range(1, count + 1)
        for moment in Moment
    ]


class Crash:
    """Something dies of one write: the operator, or who was to carry the write out."""

    def __init__(self, point: Point, die: Callable[[], None]) -> None:
        self._reaches = _Counted(point)
        self._moment = point.moment
        self._die = die
        self.happened = threading.Event()

    async def __call__(self, request: Request, forward: Forward) -> Answer:
        """See `Fault`."""
        if not self._reaches(request):
            return await forward()
        if self._moment is Moment.AFTER:
            await forward()
        await asyncio.to_thread(self._do)
        raise NoAnswerError

    def _do(self) -> None:
        self._die()
        self.happened.set()


class Once:
    """Something else than usual happens to one write."""

    def __init__(self, point: Point, instead: Instead) -> None:
        self._reaches = _Counted(point)
        self._instead = instead
        self.happened = threading.Event()

    async def __call__(self, request: Request, forward: Forward) -> Answer:
        """See `Fault`."""
        if not self._reaches(request):
            return await forward()
        self.happened.set()
        return await self._instead(forward)


class FromThenOn:
    """From one write on, something else than usual happens to all that it may happen to, until that is over."""

    def __init__(self, point: Point, instead: Instead, concerns: Concerns) -> None:
        self._reaches = _Counted(point)
        self._instead = instead
        self._concerns = concerns
        self.times = 0
        self.begun, self.over = threading.Event(), threading.Event()

    async def __call__(self, request: Request, forward: Forward) -> Answer:
        """See `Fault`."""
        if self._reaches(request):
            self.begun.set()
        if not self.begun.is_set() or self.over.is_set() or not self._concerns(request):
            return await forward()
        self.times += 1
        return await self._instead(forward)


class _Counted:
    """Tells which request is the one that a point names."""

    def __init__(self, point: Point) -> None:
        self._point = point
        self._seen = 0

    def __call__(self, request: Request) -> bool:
        self._seen += request.target == self._point.target
        return (request.target, self._seen) == (self._point.target, self._point.ordinal)


class Sometimes:
    """Something else than usual happens to a share of the writes that it may happen to."""

    def __init__(self, share: float, seed: str, instead: Instead, concerns: Concerns) -> None:
        self._share = share
        self._chance = random.Random(seed)  # noqa: S311
        self._instead = instead
        self._concerns = concerns
        self.times = 0

    async def __call__(self, request: Request, forward: Forward) -> Answer:
        """See `Fault`."""
        if not self._concerns(request) or self._chance.random() >= self._share:
            return await forward()
        self.times += 1
        return await self._instead(forward)


def writes(request: Request) -> bool:
    """Everything that is written but events: those are told once, and lost when they cannot be."""
    return request.is_write and request.target != "POST events"


def renewals(request: Request) -> bool:
    """Writes of the Lease."""
    return request.is_write and "leases" in request.target


def fenced_writes(request: Request) -> bool:
    """Writes that name the resourceVersion which they were decided on: only those can come too late."""
    return writes(request) and request.is_fenced


async def lose_answer(forward: Forward) -> Answer:
    """The write is carried out, and nobody hears of it."""
    await forward()
    raise NoAnswerError


async def conflict(_: Forward) -> Answer:
    """As if somebody else had been faster."""
    return status_answer(409, "Conflict")


async def throttle(_: Forward) -> Answer:
    """As an API server that has too much to do."""
    return status_answer(429, "TooManyRequests")


async def break_down(_: Forward) -> Answer:
    """As an API server that has lost its store."""
    return status_answer(500, "InternalError")


async def be_unavailable(_: Forward) -> Answer:
    """As the load balancer of an API server that is away."""
    return Answer(503, b"no healthy upstream", {"Content-Type": "text/plain"})


async def take_long(forward: Forward) -> Answer:
    """As an admission webhook that is slow to say yes."""
    await asyncio.sleep(_SLOW)
    return await forward()


class ArrivingLate:
    """Writes that are carried out so many seconds late, also when whoever asked has long given up, or is dead."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.under_way: set[asyncio.Task[Answer]] = set()

    async def __call__(self, forward: Forward) -> Answer:
        """See `Instead`."""
        arriving = asyncio.create_task(self._arrive(forward))
        self.under_way.add(arriving)
        arriving.add_done_callback(self.under_way.discard)
        return await asyncio.shield(arriving)

    async def _arrive(self, forward: Forward) -> Answer:
        await asyncio.sleep(self._seconds)
        return await forward()
