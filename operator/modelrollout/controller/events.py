"""Events for people, posted beside the reconcile path: `kubectl describe` shows them, and nothing depends on them."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from modelrollout.api.base import API_VERSION, GROUP
from modelrollout.controller.client import ApiError, ConflictError, KubeApi, UnavailableError
from modelrollout.controller.kinds import EVENTS, key_of
from modelrollout.controller.logs import RolloutLog
from modelrollout.controller.own_metrics import OwnMetrics
from modelrollout.engine.effects import Emit

_log = logging.getLogger(__name__)

_BACKLOG = 1000
_REMEMBERED = 4096
_SAME_AGAIN_AFTER = timedelta(minutes=10)
_LONGEST_NOTE = 1024
"""Bytes that the API server allows."""
_TRIED_FOR = 60
"""Seconds."""
_LONGEST_WAIT = 5
"""Seconds between two tries."""


class EventRecorder:
    """Posts events one after another. The same again, with nothing in between and within ten minutes, is left out.

    Something that comes and goes would fill the cluster. But what happens a second time is told a second time.
    """

    def __init__(
        self,
        api: KubeApi,
        *,
        instance: str,
        metrics: OwnMetrics,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._api = api
        self._instance = instance
        self._metrics = metrics
        self._now = now
        self._backlog: asyncio.Queue[dict[str, Any]] = asyncio.Queue(_BACKLOG)
        self._last: OrderedDict[str, tuple[int, Emit, datetime]] = OrderedDict()
        """Of each rollout, what was told last, of which attempt and when."""
        self._numbers = count()

    def emit(self, metadata: Mapping[str, Any], event: Emit, *, attempt: int) -> None:
        """Log an event about the rollout and queue it; never waits, and drops it when too many are queued."""
        uid, now = metadata["uid"], self._now()
        before = self._last.get(uid)
        if before and before[:2] == (attempt, event) and now - before[2] < _SAME_AGAIN_AFTER:
            return
        self._last[uid] = (attempt, event, now)
        self._last.move_to_end(uid)
        if len(self._last) > _REMEMBERED:
            self._last.popitem(last=False)
        level = logging.INFO if event.type == "Normal" else logging.WARNING
        RolloutLog(_log, key_of({"metadata": metadata}), attempt).log(level, "%s: %s", event.reason, event.message)
        self._metrics.transitions.labels(event.reason).inc()
        try:
            self._backlog.put_nowait(self._manifest(metadata, event, now))
        except asyncio.QueueFull:
            self._metrics.events_dropped.inc()

    async def run(self) -> None:
        """Post what is queued, forever. An event that cannot be posted is lost: the status says the same."""
        while True:
            manifest = await self._backlog.get()
            try:
                await self._post(manifest)
            except ApiError as error:
                self._metrics.events_dropped.inc()
                _log.warning("event %s was not posted: %s", manifest["reason"], error)
            finally:
                self._backlog.task_done()

    async def _post(self, manifest: dict[str, Any]) -> None:
        """Try for a while: an API server is back within a minute, or for long not."""
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(UnavailableError),
            wait=wait_random_exponential(max=_LONGEST_WAIT),
            stop=stop_after_delay(_TRIED_FOR),
            reraise=True,
        ):
            with attempt, suppress(ConflictError):  # it is there: only the answer was lost
                await self._api.create(manifest)

    async def drain(self, *, seconds: float) -> None:
        """Give what is queued a moment to be posted."""
        try:
            async with asyncio.timeout(seconds):
                await self._backlog.join()
        except TimeoutError:
            _log.warning("%d events were not posted before the end", self._backlog.qsize())

    def _manifest(self, metadata: Mapping[str, Any], event: Emit, now: datetime) -> dict[str, Any]:
        unique = f"{metadata['name']}.{int(now.timestamp() * 1e6):x}{next(self._numbers):04x}"
        return {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {"namespace": metadata["namespace"], "name": unique},
            "eventTime": now.isoformat(timespec="microseconds"),
            "reportingController": f"{GROUP}/operator",
            "reportingInstance": self._instance,
            "type": event.type,
            "reason": event.reason,
            "action": event.reason,
            "note": event.message.encode()[:_LONGEST_NOTE].decode(errors="ignore"),
            "regarding": {
                "apiVersion": API_VERSION,
                "kind": "ModelRollout",
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
        }
