"""A Prometheus of the test's own making."""

import asyncio
from collections.abc import Callable
from datetime import datetime

from modelrollout.metrics.prometheus import Matrix, NoData, RawSeries, Single, Trouble, Unavailable


class FakeSource:
    """Answers as told, notes what it was asked, and hangs when told to."""

    def __init__(self) -> None:
        self.series: list[RawSeries] = []
        self.exposed: set[str] = set()
        """Names of the series of the pods, for whoever asks for names alone."""
        self.edges: set[str] = set()
        """Bucket edges, likewise."""
        self.values: Callable[[str], Single] = lambda _: NoData()
        self.past: Callable[[str, datetime], Single] = lambda _, __: NoData()
        """Answers as of a moment."""
        self.known: frozenset[str] | Trouble = frozenset()
        self.down = False
        self.hangs: Callable[[str], bool] = lambda _: False
        self.asked: list[str] = []

    async def matrix(self, promql: str) -> Matrix | Trouble:
        await self._hear(promql)
        return Unavailable("it is down") if self.down else Matrix(self._series(promql))

    async def value(self, promql: str, at: datetime | None = None) -> Single:
        await self._hear(promql)
        if self.down:
            return Unavailable("it is down")
        return self.values(promql) if at is None else self.past(promql, at)

    async def names(self) -> frozenset[str] | Trouble:
        await self._hear("names")
        return Unavailable("it is down") if self.down else self.known

    def _series(self, promql: str) -> list[RawSeries]:
        grouped = {"group by (__name__)": ("__name__", self.exposed), "group by (le)": ("le", self.edges)}
        for beginning, (label, values) in grouped.items():
            if promql.startswith(beginning):
                return [RawSeries({label: value}, [(0.0, "1")]) for value in values]
        return self.series

    async def _hear(self, promql: str) -> None:
        self.asked.append(promql)
        await asyncio.sleep(0)
        if self.hangs(promql):
            await asyncio.Event().wait()
