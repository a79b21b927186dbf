"""Crashes of the pods of a candidate, and of stable's beside it.

Pods are not watched: there are too many of them. But one that crashes shows in the status of its Deployment, and then
the pods are listed once; and again, ever more rarely, as long as some are not ready.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from modelrollout.api.labels import ATTEMPT, COLOUR, NAME, colour_name
from modelrollout.api.objects import Live
from modelrollout.api.status import ModelRolloutStatus, Phase
from modelrollout.controller.client import ApiError, KubeApi
from modelrollout.controller.informers import Informers
from modelrollout.controller.kinds import DEPLOYMENTS, PODS, Key
from modelrollout.controller.logs import RolloutLog
from modelrollout.controller.queue import Priority, WorkQueue
from modelrollout.engine.snapshot import Crash
from modelrollout.workloads.crashes import Container, crashes, restarts_when_ready

_log = logging.getLogger(__name__)

_LEAST_PAUSE, _LONGEST_PAUSE = timedelta(seconds=2), timedelta(minutes=1)
"""Between two looks: a Deployment whose pods come up one after another changes as often as it has pods."""


@dataclass(kw_only=True)
class _Looked:
    """What was seen of the pods of one attempt and of those beside it."""

    attempt: int
    version: str = ""
    """resourceVersion that the candidate's Deployment had when the last look began."""
    at: datetime | None = None
    """When that was over."""
    failed: bool = False
    pause: timedelta = _LEAST_PAUSE
    """Until the next one, unless the Deployment changes."""
    task: asyncio.Task[None] | None = None
    found: tuple[Crash, ...] = ()
    ready_at: dict[Container, int] = field(default_factory=dict)


class Crashes:
    """Looks at pods beside the reconcile path; each look that is over calls for a look at the rollout."""

    def __init__(
        self, api: KubeApi, *, informers: Informers, queue: WorkQueue[Key], now: Callable[[], datetime]
    ) -> None:
        self._api = api
        self._informers = informers
        self._queue = queue
        self._now = now
        self._looked: dict[Key, _Looked] = {}

    def known(self, key: Key, status: ModelRolloutStatus) -> tuple[Crash, ...]:
        """What was seen last. Where it may be different by now, another look begins, or will."""
        candidate = status.candidate
        if candidate is None or (status.phase is Phase.REVERTING and status.way_back is None):
            self.forget(key)
            return ()
        looked = self._looked.get(key)
        if looked is None or looked.attempt != candidate.attempt:
            self.forget(key)
            looked = self._looked[key] = _Looked(attempt=candidate.attempt)
        deployment = self._informers.get(DEPLOYMENTS.kind, key.namespace, colour_name(key.name, candidate.colour))
        if deployment and looked.task is None:
            self._look_again(key, looked, deployment)
        return looked.found

    def forget(self, key: Key) -> None:
        """Nobody is on trial any more."""
        looked = self._looked.pop(key, None)
        if looked and looked.task:
            looked.task.cancel()

    async def close(self) -> None:
        """Give everything up and wait until it has ended."""
        tasks = [looked.task for looked in self._looked.values() if looked.task]
        for key in tuple(self._looked):
            self.forget(key)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _look_again(self, key: Key, looked: _Looked, deployment: Live) -> None:
        """Now, or when it is time, if there is anything to be seen."""
        version = str(deployment["metadata"]["resourceVersion"])
        if version != looked.version:
            looked.pause = _LEAST_PAUSE
        elif not looked.failed and not _lacks_pods(deployment):
            return
        left = looked.at + looked.pause - self._now() if looked.at else timedelta()
        if left > timedelta():
            self._queue.add_after(key, left.total_seconds())
            return
        looked.version, looked.pause = version, min(2 * looked.pause, _LONGEST_PAUSE)
        looked.task = asyncio.create_task(self._look(key, looked), name=f"look at the pods of {key}")

    async def _look(self, key: Key, looked: _Looked) -> None:
        """A look that fails leaves what was seen before as it is."""
        try:
            pages = self._api.pages(PODS, namespace=key.namespace, selector=f"{NAME}={key.name},{COLOUR},{ATTEMPT}")
            looked.found = tuple([one async for page in pages for pod in page.items for one in _seen(looked, pod)])
            looked.failed = False
        except ApiError as error:
            looked.failed = True
            RolloutLog(_log, key, looked.attempt).warning("its pods cannot be looked at: %s", error)
        except Exception:
            RolloutLog(_log, key, looked.attempt).exception("what its pods tell cannot be read")
        looked.task, looked.at = None, self._now()
        self._queue.add(key, priority=Priority.BREACH if looked.found else Priority.CHANGE)


def _seen(looked: _Looked, pod: Live) -> list[Crash]:
    """What a pod tells, and how often its containers had been started when they were first ready."""
    for container, restarts in restarts_when_ready(pod):
        looked.ready_at.setdefault(container, restarts)
    return crashes(pod, looked.ready_at)


def _lacks_pods(deployment: Live) -> bool:
    ready = (deployment.get("status") or {}).get("readyReplicas", 0)
    return bool(ready < deployment["spec"].get("replicas", 1))
