"""Sends requests at a steady rate over a few connections, until all are sent, time is over, or it is told to stop."""

import asyncio
import itertools
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import aiohttp

from .answers import Answer
from .pictures import request_bodies

_ERROR_LENGTH = 200


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is sent where. Count and time are both bounded, whatever the answers are."""

    url: str
    host: str
    """The Host header, by which a gateway finds the route; that of the URL when empty."""
    headers: Mapping[str, str]
    """Further headers, by which a gateway tells callers apart."""
    rate: float
    """Requests a second, as long as the answers come fast enough for `connections`."""
    requests: int
    """At most."""
    seconds: float
    """At most."""
    connections: int
    keep_alive: bool
    """Without it every request has a connection of its own, as a Service spreads connections and not requests."""
    timeout: float = 20.0
    """Seconds after which a request counts as not answered."""


class Sender:
    """Carries a plan out. Every request that was begun is told of, also when it is stopped early."""

    def __init__(self, plan: Plan, told: Callable[[Answer], None]) -> None:
        self._plan = plan
        self._told = told
        self._stopped = asyncio.Event()
        self._bodies = itertools.cycle(request_bodies())
        # One line of numbered moments for all connections: a slow answer delays its own and no other.
        self._numbers = iter(range(plan.requests))
        self._started = 0.0

    def stop(self) -> None:
        """Begin no more requests."""
        self._stopped.set()

    async def run(self) -> None:
        """Send, until the bounds are reached or `stop`, and until the last answer is there."""
        plan = self._plan
        connector = aiohttp.TCPConnector(limit=plan.connections, force_close=not plan.keep_alive)
        timeout = aiohttp.ClientTimeout(total=plan.timeout)
        self._started = time.monotonic()
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False) as session:
            await asyncio.gather(*(self._work(session) for _ in range(plan.connections)))

    async def _work(self, session: aiohttp.ClientSession) -> None:
        ends = self._started + self._plan.seconds
        for number in self._numbers:
            due = self._started + number / self._plan.rate
            if max(due, time.monotonic()) >= ends or await self._is_stopped_by(due):
                return
            self._told(await self._ask(session, next(self._bodies)))

    async def _is_stopped_by(self, due: float) -> bool:
        """Wait until it is due, on the monotonic clock; true when all is to stop before."""
        pause = due - time.monotonic()
        if pause > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), pause)
        return self._stopped.is_set()

    async def _ask(self, session: aiohttp.ClientSession, body: bytes) -> Answer:
        plan = self._plan
        headers = {"Content-Type": "application/json", **plan.headers} | ({"Host": plan.host} if plan.host else {})
        sent_at, started = time.time(), time.monotonic()
        try:
            async with session.post(plan.url, data=body, headers=headers) as response:
                text = await response.text()
                status, variant = response.status, response.headers.get("x-model-variant", "")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            status, variant, text = 0, "", f"{type(error).__name__}: {error}"
        seconds = time.monotonic() - started
        version = _version_in(text) if status == 200 else ""
        if status == 200 and not version:
            status, text = 0, f"no prediction: {text}"
        error_text = "" if version else text[:_ERROR_LENGTH]
        return Answer(
            sent_at=sent_at, seconds=seconds, status=status, variant=variant, version=version, error=error_text
        )


def _version_in(text: str) -> str:
    """The version that the model server names with its prediction; empty when it is none."""
    try:
        prediction = json.loads(text)
        return str(prediction["model_version"]) if prediction["outputs"][0]["data"] else ""
    except (ValueError, KeyError, TypeError, IndexError):
        return ""
