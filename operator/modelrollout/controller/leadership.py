"""Who acts when several operators run: the one that holds a Lease, as client-go and the components of Kubernetes elect.

Clocks of different machines are never held against each other. A candidate takes the Lease when, by its own clock, it
has not changed for as long as its holder promised to renew it in; the times in it are for people. The holder stops
sooner: two thirds of that after it began the last renewal that succeeded, by its own clock. What is left in between is
for requests under way. Every write names the uid and resourceVersion that was seen last, so of two only one succeeds.

The one that ships with the Python client (`kubernetes.aio.leaderelection`) measures by the time of day, which can be
set, keeps leading while a renewal hangs, and cannot let go of a Lease.
"""

import asyncio
import logging
import random
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from modelrollout.api.manifests import fence_of, only_onto
from modelrollout.api.objects import Live
from modelrollout.controller.client import ApiError, ConflictError, KubeApi, NotFoundError
from modelrollout.controller.kinds import LEASES, Key

_log = logging.getLogger(__name__)

_RENEWED_WITHIN = 2 / 3
"""Share of the Lease's duration after which a holder that could not renew it stops."""
_PATIENCE = 1 / 3
"""Share of it that one try may take: one that hangs leaves time for another."""
_PACE = 1 / 10
"""Share of it between two tries."""
_NEVER = float("-inf")


def _since_boot() -> float:
    """Seconds that no one can set, and that go on while the machine is suspended, unlike those of `time.monotonic`."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Leadership:
    """One candidate for a Lease: first `gain`, then `keep`, at the end `release`."""

    def __init__(
        self,
        api: KubeApi,
        lease: Key,
        *,
        instance: str,
        duration: timedelta,
        clock: Callable[[], float] = _since_boot,
    ) -> None:
        """`instance` is for people: a process that is started again in its place is another candidate all the same."""
        self._api = api
        self._lease = lease
        self._identity = f"{instance}_{uuid.uuid4()}"
        self._duration = int(duration.total_seconds())
        self._clock = clock
        self._leads_until = _NEVER
        self._seen: Live | None = None
        """The Lease as last seen; one that was deleted since deposes nobody before its time."""
        self._seen_since = _NEVER
        """When it was first seen like that."""
        self._is_there = False
        self._is_current = False
        """Whether our own write was the last that was heard of it, so that it need not be read again."""

    def leads(self) -> bool:
        """Whether this process may act. Ask before every write: a process may be stopped for minutes anywhere."""
        return self._clock() < self._leads_until

    async def gain(self) -> None:
        """Wait until this process leads."""
        while True:
            await self._try()
            if self.leads():
                _log.info("leading: %s holds the Lease %s", self._identity, self._lease)
                return
            await asyncio.sleep(self._pause())

    async def keep(self) -> None:
        """Renew the Lease until somebody else has it, or until that has failed for too long."""
        while (left := self._leads_until - self._clock()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await asyncio.sleep(self._pause())
                    await self._try()
        why = "it was not renewed in time" if self._is_ours() else f"{_holder(self._seen)} has it"
        _log.error("not leading any more, by the Lease %s: %s", self._lease, why)

    async def release(self) -> None:
        """Let go of the Lease, so that another process takes over at once. Nothing may be under way any more."""
        self._leads_until = _NEVER
        try:
            async with asyncio.timeout(self._duration * _PATIENCE):
                await self._let_go()
        except (ApiError, TimeoutError) as error:
            _log.warning("the Lease %s is left to run out: %s", self._lease, error or "no answer in time")

    async def _try(self) -> None:
        """Take or renew the Lease if it is free, or ours."""
        try:
            async with asyncio.timeout(self._duration * _PATIENCE):
                if not self._is_current:
                    await self._look()
                if self._is_free() or self._is_ours():
                    await self._claim()
        except (ApiError, TimeoutError) as error:
            self._is_current = False
            level = logging.DEBUG if isinstance(error, ConflictError) else logging.WARNING
            _log.log(level, "the Lease %s could not be had: %s", self._lease, error or "no answer in time")

    async def _look(self) -> None:
        try:
            lease = await self._api.get(LEASES, self._lease)
        except NotFoundError:
            self._is_there = False
            return
        self._is_there = True
        if self._seen is None or fence_of(lease) != fence_of(self._seen):
            self._seen, self._seen_since = lease, self._clock()
        if not self._is_ours():
            self._leads_until = _NEVER

    def _is_ours(self) -> bool:
        return _holder(self._seen) == self._identity

    def _is_free(self) -> bool:
        promised = _spec(self._seen).get("leaseDurationSeconds", self._duration)
        return not _holder(self._seen) or self._clock() - self._seen_since >= promised

    async def _claim(self) -> None:
        """Become or stay the holder. A claim that was not answered may count for others, but never for us."""
        self._is_current = False
        began = self._clock()
        self._seen = await self._write(self._claimed(datetime.now(UTC).isoformat(timespec="microseconds")))
        self._seen_since = self._clock()
        self._is_there = self._is_current = True
        self._leads_until = began + self._duration * _RENEWED_WITHIN

    def _claimed(self, now: str) -> dict[str, Any]:
        claim = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": self._duration,
            "renewTime": now,
        }
        if self._is_ours() and self._is_there:
            return claim
        return {**claim, "acquireTime": now, "leaseTransitions": _spec(self._seen).get("leaseTransitions", -1) + 1}

    async def _write(self, spec: Mapping[str, Any]) -> Live:
        if self._seen is None or not self._is_there:
            named = {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": self._lease._asdict()}
            return await self._api.create({**named, "spec": dict(spec)})
        return await self._api.patch(LEASES, self._lease, only_onto(self._seen, {"metadata": {}, "spec": spec}))

    async def _let_go(self) -> None:
        """A renewal that was under way may come in between."""
        while True:
            await self._look()
            if not (self._is_there and self._is_ours()):
                return
            with suppress(ConflictError):
                await self._write({"holderIdentity": ""})
                _log.info("the Lease %s is free", self._lease)
                return

    def _pause(self) -> float:
        """Spread, so that candidates which lost the same race do not meet again."""
        return self._duration * _PACE * random.uniform(0.8, 1.2)  # noqa: S311


def _spec(lease: Live | None) -> Mapping[str, Any]:
    return (lease or {}).get("spec") or {}


def _holder(lease: Live | None) -> str:
    return str(_spec(lease).get("holderIdentity") or "")
