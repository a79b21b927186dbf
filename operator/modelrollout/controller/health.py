"""/metrics, /healthz and /readyz."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from aiohttp import web

from modelrollout.controller.own_metrics import OwnMetrics
from modelrollout.controller.serving import listening

_LONGEST_WAIT = 120.0
"""Seconds that a rollout may wait for a worker; a write may take 30 of them when the API server does not answer."""
_MISSED_RESYNCS = 3
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Health:
    """Whether the operator does its work, told by what it has not done for too long."""

    def __init__(
        self,
        *,
        oldest_wait: Callable[[], float],
        poller_is_stuck: Callable[[], bool],
        resync: timedelta,
        now: Callable[[], datetime],
    ) -> None:
        self._oldest_wait = oldest_wait
        self._poller_is_stuck = poller_is_stuck
        self._resync = resync
        self._now = now
        self._listed_at: datetime | None = None
        self._started_at = now()

    def listed(self) -> None:
        """Everything was listed just now."""
        self._listed_at = self._now()

    @property
    def is_ready(self) -> bool:
        """Everything was listed once, so decisions are based on what there is."""
        return self._listed_at is not None

    def problems(self) -> list[str]:
        """What has not been done for too long; a restart may help. Empty when all is well."""
        problems = []
        waiting = self._oldest_wait()
        if waiting > _LONGEST_WAIT:
            problems.append(f"a rollout has been waiting for a worker for {waiting:.0f} s")
        silence = self._now() - (self._listed_at or self._started_at)
        if silence > _MISSED_RESYNCS * self._resync:
            problems.append(f"the cluster was last listed {silence} ago")
        if self._poller_is_stuck():
            problems.append("the poller of Prometheus is stuck")
        return problems


@asynccontextmanager
async def serve(health: Health, metrics: OwnMetrics, *, port: int) -> AsyncIterator[int]:
    """Answer on all addresses; yields the port (see `listening`)."""

    async def get_metrics(_: web.Request) -> web.Response:
        return web.Response(body=metrics.exposition(), headers={"Content-Type": _METRICS_TYPE})

    async def healthz(_: web.Request) -> web.Response:
        problems = health.problems()
        return web.Response(text="\n".join(problems) or "ok", status=503 if problems else 200)

    async def readyz(_: web.Request) -> web.Response:
        ready = health.is_ready
        return web.Response(text="ok" if ready else "the cluster is being listed", status=200 if ready else 503)

    application = web.Application()
    application.add_routes([web.get("/metrics", get_metrics), web.get("/healthz", healthz), web.get("/readyz", readyz)])
    async with listening(application, port=port, option="--metrics-port") as taken:
        yield taken
