"""Asking Prometheus without ever waiting on it: a thread pool behind an asynchronous face, and answers that say what
they are.

`prometheus_api_client` is synchronous, drops the warnings of partial answers and reports every failure alike; the
session below it mends that.
"""

import asyncio
import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

import requests
from prometheus_api_client import PrometheusConnect
from urllib3.util.retry import Retry

from modelrollout.metrics.access import Access, AccessError

T = TypeVar("T")

_CONNECT_TIMEOUT = 1.0
_ERROR_LENGTH = 300
_BAD_QUERY = {400, 422}
"""Answers to a query that does not parse or cannot be carried out; every other status is Prometheus's own trouble."""
_ANNOTATIONS = ("PromQL info", "PromQL warning")
"""How warnings begin that are remarks on the query; any others say that the answer lacks something."""
_WARNINGS_WITHIN = 16_384
"""Bytes at the end of an answer in which its warnings are looked for, so that a large one is not decoded twice."""


@dataclass(frozen=True, slots=True)
class RawSeries:
    """A series of a range vector as Prometheus answers it: labels with the name, and pairs of time and text."""

    labels: Mapping[str, str]
    samples: list[tuple[float, str]]


@dataclass(frozen=True, slots=True)
class Matrix:
    """A range vector; empty when nothing matched."""

    series: list[RawSeries]


@dataclass(frozen=True, slots=True)
class Value:
    """One finite number, a scalar or the only series."""

    value: float


@dataclass(frozen=True, slots=True)
class NoData:
    """An empty answer."""


@dataclass(frozen=True, slots=True)
class NotANumber:
    """NaN or an infinity, as a division by zero yields."""

    value: float


@dataclass(frozen=True, slots=True)
class ManySeries:
    """Several series where one was wanted."""

    count: int


@dataclass(frozen=True, slots=True)
class QueryError:
    """Prometheus answered that the query is wrong, or answered it in part only."""

    message: str


@dataclass(frozen=True, slots=True)
class Unavailable:
    """No answer: unreachable, too slow, refusing or broken."""

    message: str


Trouble = QueryError | Unavailable
Single = Value | NoData | NotANumber | ManySeries | Trouble


class Source(Protocol):
    """Where samples come from."""

    async def matrix(self, promql: str) -> Matrix | Trouble:
        """Raw samples of a range vector selector."""

    async def value(self, promql: str, at: datetime | None = None) -> Single:
        """The one value of a free query, now or as of a moment of the past."""

    async def names(self) -> frozenset[str] | Trouble:
        """Names of all metrics that Prometheus has samples or metadata of."""


class Prometheus:
    """A Prometheus server, or what speaks its API.

    Batched and free queries have their own threads: one kind that hangs does not delay the other. Every call returns
    within the timeout of the access; how long it may wait for its turn is bounded by the calls before it.
    """

    def __init__(self, access: Access, *, threads: int = 4) -> None:
        self._timeout = access.timeout.total_seconds()
        self._connection = PrometheusConnect(
            access.url.rstrip("/"),
            retry=Retry(total=0),
            session=_Session(access),
            timeout=(_CONNECT_TIMEOUT, self._timeout),
            method="POST",
        )
        self._batched = _Lane("prometheus-batched", threads)
        self._free = _Lane("prometheus-free", threads)

    async def matrix(self, promql: str) -> Matrix | Trouble:
        """Raw samples of a range vector selector."""
        return await self._batched.run(lambda: _matrix(self._connection.custom_query(promql)), self._timeout)

    async def value(self, promql: str, at: datetime | None = None) -> Single:
        """The one value of a free query, now or as of a moment of the past."""
        when = {} if at is None else {"time": at.timestamp()}
        return await self._free.run(lambda: _single(self._connection.custom_query(promql, when)), self._timeout)

    async def names(self) -> frozenset[str] | Trouble:
        """Names of all metrics that Prometheus has samples or metadata of.

        A counter with labels has no series before it first counts, but clients announce it, which is metadata.
        """
        return await self._free.run(self._names, self._timeout)

    def close(self) -> None:
        """Give up what is still running and close the connections."""
        self._batched.close()
        self._free.close()
        self._connection.close()

    def _names(self) -> frozenset[str]:
        announced = {entry["metric_name"] for entry in self._connection.get_metric_metadata("")}
        return frozenset(self._connection.all_metrics()) | announced


class _RefusedError(Exception):
    """Prometheus says that the query is wrong."""


class _Session(requests.Session):
    """Sends parameters in the body, where they may be long, and tells failures apart.

    It follows nobody who leads elsewhere: a secret is for the server that it was given for.
    """

    def __init__(self, access: Access) -> None:
        super().__init__()
        self._access = access
        access.apply_to(self)

    def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> requests.Response:
        if method == "POST":
            kwargs["data"] = kwargs.pop("params", None)
        kwargs["allow_redirects"] = False
        try:
            response = super().request(method, url, *args, **kwargs)
        except requests.exceptions.SSLError as error:
            see = f"{self._access.option('ca_file')} and {self._access.option('cert_file')}"
            raise AccessError(f"{_cause(error)}; see {see}") from None
        if response.status_code in _BAD_QUERY:
            raise _RefusedError(_error_in(response))
        if response.status_code != 200:
            remedy = self._access.remedy(response.status_code)
            raise AccessError(f"it answers {response.status_code} {response.reason}{remedy}")
        if b'"warnings"' in response.content[-_WARNINGS_WITHIN:]:
            warnings = response.json().get("warnings") or []
            if lacking := [warning for warning in warnings if not warning.startswith(_ANNOTATIONS)]:
                raise _RefusedError(f"only a partial answer: {'; '.join(lacking)}")
        return response


class _Lane:
    """Threads for one kind of query, and turns for those who wait."""

    def __init__(self, name: str, threads: int) -> None:
        self._executor = ThreadPoolExecutor(max_workers=threads, thread_name_prefix=name)
        self._turns = asyncio.Semaphore(threads)

    async def run(self, ask: Callable[[], T], timeout: float) -> T | Trouble:  # noqa: ASYNC109
        """What `ask` returns, or why there is no answer. Its thread may outlive the wait, the turn does not."""
        async with self._turns:
            try:
                loop = asyncio.get_running_loop()
                return await asyncio.wait_for(loop.run_in_executor(self._executor, ask), timeout)
            except _RefusedError as error:
                return QueryError(str(error)[:_ERROR_LENGTH])
            except (TimeoutError, requests.Timeout):
                return Unavailable(f"Prometheus did not answer within {timeout:g} s")
            except (requests.JSONDecodeError, LookupError, TypeError):
                return Unavailable("what answers at the Prometheus URL does not speak its API")
            except AccessError as error:
                return Unavailable(f"Prometheus cannot be asked: {error}"[:_ERROR_LENGTH])
            except OSError as error:
                return Unavailable(f"Prometheus cannot be asked: {_cause(error)}"[:_ERROR_LENGTH])

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)


def _matrix(result: list[dict[str, Any]]) -> Matrix:
    return Matrix([RawSeries(series["metric"], series["values"]) for series in result if "values" in series])


def _single(result: list[Any]) -> Single:
    """The result of an instant query: `[time, "1"]` for a scalar, or an entry with a `value` for each series."""
    if result and not isinstance(result[0], dict):
        return _number(result[1])
    if not result:
        return NoData()
    if "value" not in result[0]:
        return QueryError("the query yields a range vector, not a value")
    if len(result) > 1:
        return ManySeries(len(result))
    return _number(result[0]["value"][1])


def _number(text: str) -> Value | NotANumber | QueryError:
    try:
        value = float(text)
    except ValueError:
        return QueryError("the query yields a text, not a value")
    return Value(value) if math.isfinite(value) else NotANumber(value)


def _error_in(response: requests.Response) -> str:
    try:
        return str(response.json()["error"]).removeprefix('invalid parameter "query": ')
    except (ValueError, KeyError, TypeError):
        return f"HTTP status {response.status_code}"


def _cause(error: OSError) -> str:
    """What lies at the bottom, without the pools and URLs around it."""
    inner = error.args[0] if error.args else error
    return str(getattr(inner, "reason", inner)).rsplit(": ", 1)[-1]
