"""One pod asked for its metrics: what it exposes of what is wanted, or why not. Nothing that it does takes long."""

import asyncio
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from time import perf_counter
from typing import Protocol

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from modelrollout import __version__
from modelrollout.api.labels import MANAGER
from modelrollout.api.objects import Live
from modelrollout.metrics.prometheus import Unavailable
from modelrollout.metrics.templates import Arm

MOST_BYTES = 4 * 1024 * 1024
"""Of one answer."""

AT_ONCE = 32
"""Scrapes for all rollouts together: with the size of an answer that bounds memory, and what a hanging pod can hold."""

_HEADERS = {
    "Accept": "text/plain;version=0.0.4;q=1,application/openmetrics-text;q=0.5",
    "Accept-Encoding": "identity",
    "User-Agent": f"{MANAGER}/{__version__}",
}
_FORMATS = ("text/plain", "application/openmetrics-text")
_ERROR_LENGTH = 200

_LABELS = rb'(?:\{(?:"(?:\\.|[^"\\])*"|[^"}])*\})?'
_A_SAMPLE = re.compile(rb"^[a-zA-Z_:][a-zA-Z0-9_:]*" + _LABELS + rb"[ \t]+[-+]?(?:[0-9.]|Inf|NaN)", re.MULTILINE)
_EDGE = re.compile(r'[{,] *le="([^"]*)"')
_SAID = re.compile(rb"^[ \t]*[^#\s]", re.MULTILINE)
"""A line that is no comment."""

Exposed = list[tuple[Mapping[str, str], float]]
"""Labels of a series, its name as `__name__` among them, and its value."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which series are wanted: their names, and of those that have an edge (`le`) these."""

    names: frozenset[str]
    edges: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Pod:
    """A pod, and where it exposes its metrics."""

    name: str
    ip: str
    port: int
    path: str

    @property
    def instance(self) -> str:
        """As Prometheus names a target by default."""
        host = f"[{self.ip}]" if ip_address(self.ip).version == 6 else self.ip
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.instance}{self.path}"


class Pods(Protocol):
    """Where the pods of a version are found."""

    def state(self, arm: Arm) -> Hashable:
        """Something that changes whenever the pods of an arm may have changed. Costs nothing."""

    async def of(self, arm: Arm) -> Sequence[Live] | Unavailable:
        """The pods of an arm as they are now."""


class Scraper:
    """Scrapes pods for all rollouts, so many at once."""

    def __init__(self, pods: Pods, *, on_answer: Callable[[str, float], None] = lambda _, __: None) -> None:
        """`on_answer` hears of every scrape what came of it (Answer or Unavailable), and how many seconds it took."""
        self.pods = pods
        self._on_answer = on_answer
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._session: aiohttp.ClientSession | None = None

    async def scrape(self, pod: Pod, wanted: Wanted, *, seconds: float) -> Exposed | Unavailable:
        """The series that a pod exposes of those that are wanted, or why there is no saying within so many seconds."""
        async with self._turns:
            began = perf_counter()
            answer = await self._answer(pod, wanted, seconds)
        self._on_answer("Unavailable" if isinstance(answer, Unavailable) else "Answer", perf_counter() - began)
        return answer

    async def close(self) -> None:
        """Close the connections."""
        if self._session:
            await self._session.close()

    async def _answer(self, pod: Pod, wanted: Wanted, seconds: float) -> Exposed | Unavailable:
        try:
            async with asyncio.timeout(seconds):
                return exposed(await self._body(pod), wanted)
        except TimeoutError:
            said = f"no answer within {seconds:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            said = str(error) or type(error).__name__
        return Unavailable(f"pod {pod.name}, {pod.url}: {said}"[:_ERROR_LENGTH])

    async def _body(self, pod: Pod) -> bytes:
        """What the pod answers. Redirects are not followed: another address would be another pod's."""
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=_HEADERS)
        async with self._session.get(pod.url, allow_redirects=False) as response:
            if response.status != 200:
                raise ValueError(f"it answers {response.status} {response.reason}")
            kind = response.headers.get("Content-Type", "")
            if kind and not kind.startswith(_FORMATS):
                raise ValueError(f"it answers {kind}, which is no metrics")
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > MOST_BYTES:
                    raise ValueError(f"its answer is longer than {MOST_BYTES // 1024 // 1024} MiB")
            return bytes(body)


def exposed(body: bytes, wanted: Wanted) -> Exposed:
    """The series that are wanted, in the text format of Prometheus or OpenMetrics, without timestamps and exemplars.

    Only their lines are parsed: a server may have thousands of others.

    Raises:
        ValueError: it is neither.
    """
    if _SAID.search(body) and not _A_SAMPLE.search(body):
        raise ValueError("its answer is no metrics")
    lines = (line.decode() for line in _lines_of(wanted.names).findall(body))
    chosen = [line for line in lines if not (edge := _EDGE.search(line)) or edge[1] in wanted.edges]
    families = text_string_to_metric_families("\n".join(chosen))
    return [({**one.labels, "__name__": one.name}, float(one.value)) for some in families for one in some.samples]


@lru_cache(maxsize=256)
def _lines_of(names: frozenset[str]) -> re.Pattern[bytes]:
    """Finds the samples of these names: their names, labels and values."""
    some = b"|".join(re.escape(name.encode()) for name in sorted(names))
    return re.compile(rb"^(?:" + some + rb")" + _LABELS + rb"[ \t]+[^ \t\r\n]+", re.MULTILINE)
