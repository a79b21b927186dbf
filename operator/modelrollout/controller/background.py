"""Work that takes long, such as warming pods up: beside the reconcile path, one job at a time for each rollout."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from modelrollout.controller.kinds import Key
from modelrollout.controller.logs import RolloutLog
from modelrollout.controller.queue import WorkQueue

R = TypeVar("R")

_log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class _Job(Generic[R]):
    subject: Hashable
    task: asyncio.Task[None] | None = None
    results: list[R] = field(default_factory=list)
    """The newest result, if there is one."""
    tries: int = 0
    again_at: float = 0.0


class Background(Generic[R]):
    """Jobs by rollout. One that ends calls for a look at its rollout, which ensures it again if it is not `done`."""

    def __init__(
        self,
        queue: WorkQueue[Key],
        *,
        done: Callable[[R], bool],
        first_pause: float = 2.0,
        longest_pause: float = 60.0,
    ) -> None:
        self._queue = queue
        self._done = done
        self._first_pause, self._longest_pause = first_pause, longest_pause
        self._jobs: dict[Key, _Job[R]] = {}

    def ensure(self, key: Key, subject: Hashable, work: Callable[[], Awaitable[R]]) -> None:
        """See to it that the work is under way, unless it is done or failed a moment ago.

        `subject` is what the work is about: with another one, whatever went on for this rollout is given up.
        """
        job = self._jobs.get(key)
        if job is None or job.subject != subject:
            self.forget(key)
            job = self._jobs[key] = _Job(subject=subject)
        if job.task or (job.results and self._done(job.results[0])):
            return
        pause = job.again_at - _now()
        if pause > 0:
            self._queue.add_after(key, pause)
            return
        job.task = asyncio.create_task(self._run(key, job, work), name=f"background work for {key}")

    def result(self, key: Key, subject: Hashable) -> R | None:
        """The newest result of the work on this subject; None before there is one."""
        job = self._jobs.get(key)
        return job.results[0] if job and job.subject == subject and job.results else None

    def forget(self, key: Key) -> None:
        """Give up whatever goes on for this rollout."""
        job = self._jobs.pop(key, None)
        if job and job.task:
            job.task.cancel()

    async def close(self) -> None:
        """Give everything up and wait until it has ended."""
        tasks = [job.task for job in self._jobs.values() if job.task]
        for key in tuple(self._jobs):
            self.forget(key)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, key: Key, job: _Job[R], work: Callable[[], Awaitable[R]]) -> None:
        try:
            job.results = [await work()]
        except Exception:
            RolloutLog(_log, key).exception("work beside the rollout failed; it will be tried again")
        job.task = None
        job.again_at = _now() + min(self._first_pause * 2.0 ** min(job.tries, 30), self._longest_pause)
        job.tries += 1
        self._queue.add(key)


def _now() -> float:
    return asyncio.get_running_loop().time()
