"""A reverse proxy between one operator and the API server, in which faults happen: the operator knows nothing of it.

The operator's credentials are passed through, so it has the rights of its role here, too. Every proxy listens on a port
of its own, and all of them run on one event loop in a thread beside the tests.
"""

import asyncio
import base64
import json
import ssl
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import aiohttp
import yaml
from aiohttp import web

import testbed

T = TypeVar("T")

_WRITES = {"POST", "PUT", "PATCH", "DELETE"}
_LONGEST_LINE = 2**22
"""Bytes of the largest object that a watch may tell of."""
_BETWEEN_THE_TWO_OF_US = {"connection", "content-length", "host", "keep-alive", "transfer-encoding"}
"""Headers that speak of one connection, and are not passed on to the next."""


class NoAnswerError(Exception):
    """What a fault raises so that the connection is dropped without an answer."""


class Answer(NamedTuple):
    """What the API server answered, or what a fault answers in its place."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Request:
    """One request of the operator that is not a watch."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_write(self) -> bool:
        """Whether it changes anything."""
        return self.method in _WRITES

    @property
    def is_fenced(self) -> bool:
        """Whether it is a write that fails if the object has changed since it was looked at."""
        with suppress(ValueError, LookupError, TypeError):
            return bool(self.is_write and yaml.safe_load(self.body)["metadata"].get("resourceVersion"))
        return False

    @property
    def target(self) -> str:
        """What it asks for of whom, such as `PUT modelrollouts/scorer/status`; the same in every namespace."""
        parts = self.path.strip("/").split("/")
        inside = parts[3:] if parts[0] == "apis" else parts[2:]
        what = inside[2:] if inside[:1] == ["namespaces"] and len(inside) > 2 else inside
        return f"{self.method} {'/'.join(what)}"


Forward = Callable[[], Awaitable[Answer]]
Fault = Callable[[Request, Forward], Awaitable[Answer]]
"""Decides what becomes of a request: it may send it on, before or after something else, and may answer it itself."""


def status_answer(code: int, reason: str, message: str = "a fault of the test") -> Answer:
    """A `Status` as the API server would send it."""
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    return Answer(code, json.dumps({**status, "code": code, "reason": reason, "message": message}).encode())


class _Watch(NamedTuple):
    """A watch that is being relayed."""

    response: web.StreamResponse
    upstream: aiohttp.ClientResponse


@dataclass
class ApiProxy:
    """What passes between one operator and the API server."""

    upstream: str
    session: aiohttp.ClientSession
    loop: asyncio.AbstractEventLoop
    url: str = ""
    fault: Fault | None = None
    """Asked about every request but watches."""
    refuse_watches: Answer | None = None
    """What whoever wants to watch is answered instead."""
    writes: list[str] = field(default_factory=list)
    """Targets of all writes that the operator asked for, in their order."""
    answers: Counter[int] = field(default_factory=Counter)
    """How often the API server, or a fault, gave each answer to a write."""
    failed: int = 0
    """How many requests, watches included, got an error of the server, no answer, or not all of it."""
    cuts: int = 0
    """Watches that were cut."""
    refused_watches: int = 0
    _watches: list["_Watch"] = field(default_factory=list)

    def kubeconfig(self, token: str, folder: Path) -> Path:
        """Credentials of a user whose requests go through here."""
        named = {"name": "proxy"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{**named, "cluster": {"server": self.url}}],
            "users": [{**named, "user": {"token": token}}],
            "contexts": [{**named, "context": {"cluster": "proxy", "user": "proxy"}}],
            "current-context": "proxy",
        }
        path = folder / f"kubeconfig-{self.url.rpartition(':')[2]}.yaml"
        path.write_text(yaml.safe_dump(config))
        return path

    def cut_watches(self, farewell: Mapping[str, Any] | None = None) -> int:
        """Drop the connection of every open watch, behind one last event if one is given; returns how many."""
        return _wait(self._cut_watches(farewell), self.loop)

    @property
    def open_watches(self) -> int:
        """How many there are now."""
        return len(self._watches)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Send one request on, unless a fault has it otherwise."""
        try:
            if "watch" in request.query and request.query["watch"] not in ("0", "false"):
                return await self._watch(request)
            return await self._ask(request)
        except (NoAnswerError, aiohttp.ClientError, ConnectionError):
            # What the API server does not answer, nobody answers.
            self.failed += 1
            _drop(request)
            return web.Response()

    async def _ask(self, incoming: web.BaseRequest) -> web.Response:
        request = Request(
            incoming.method, incoming.path, incoming.query_string, _passed_on(incoming.headers), await incoming.read()
        )
        if request.is_write:
            self.writes.append(request.target)

        async def forward() -> Answer:
            return await self._forward(request)

        try:
            answer = await (self.fault(request, forward) if self.fault else forward())
        except asyncio.CancelledError:  # the operator waits no longer
            self.failed += 1
            raise
        self.failed += answer.status >= 500
        if request.is_write:
            self.answers[answer.status] += 1
        return web.Response(status=answer.status, body=answer.body, headers=_passed_on(answer.headers))

    async def _forward(self, request: Request) -> Answer:
        url = f"{self.upstream}{request.path}?{request.query}"
        async with self.session.request(
            request.method, url, headers=request.headers, data=request.body or None
        ) as answer:
            return Answer(answer.status, await answer.read(), dict(answer.headers))

    async def _watch(self, request: web.BaseRequest) -> web.StreamResponse:
        if self.refuse_watches:
            self.refused_watches += 1
            status, body, headers = self.refuse_watches
            return web.Response(status=status, body=body, headers=headers)
        url = f"{self.upstream}{request.path}?{request.query_string}"
        async with self.session.get(url, headers=_passed_on(request.headers)) as upstream:
            response = web.StreamResponse(status=upstream.status, headers=_passed_on(upstream.headers))
            await response.prepare(request)
            watch = _Watch(response, upstream)
            self._watches.append(watch)
            try:
                async for line in upstream.content:
                    await response.write(line)
            finally:
                self._watches.remove(watch)
            return response

    async def _cut_watches(self, farewell: Mapping[str, Any] | None) -> int:
        watches = list(self._watches)
        for watch in watches:
            if farewell:
                await watch.response.write(json.dumps(farewell).encode() + b"\n")
                await watch.response.write_eof()
            watch.upstream.close()  # what comes of it is that its relay drops the connection
        self.cuts += len(watches)
        return len(watches)


class ProxyHost:
    """The thread that proxies run in."""

    def __init__(self, bed: testbed.Bed) -> None:
        self._upstream = bed.api_url
        [cluster] = yaml.safe_load(bed.kubeconfig.read_text())["clusters"]
        authority = base64.b64decode(cluster["cluster"]["certificate-authority-data"]).decode()
        self._tls = ssl.create_default_context(cadata=authority)
        self._loop = asyncio.new_event_loop()

    @contextmanager
    def running(self) -> Iterator["ProxyHost"]:
        """Run the event loop as long as the context lasts."""
        thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()

    @contextmanager
    def proxy(self) -> Iterator[ApiProxy]:
        """A proxy that listens as long as the context lasts."""
        context = self._serving()
        proxy = _wait(context.__aenter__(), self._loop)
        try:
            yield proxy
        finally:
            _wait(context.__aexit__(None, None, None), self._loop)

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[ApiProxy]:
        connector = aiohttp.TCPConnector(ssl=self._tls, limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout, auto_decompress=False, read_bufsize=_LONGEST_LINE
        ) as session:
            proxy = ApiProxy(self._upstream, session, asyncio.get_running_loop())
            # A watch ends with the operator that asked for it.
            server = web.Server(proxy.handle, access_log=None, handler_cancellation=True)
            runner = web.ServerRunner(server, shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            proxy.url = f"http://{host}:{port}"
            try:
                yield proxy
            finally:
                await runner.cleanup()


def _passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _BETWEEN_THE_TWO_OF_US}


def _drop(request: web.BaseRequest) -> None:
    if request.transport:
        request.transport.abort()


def _wait(coroutine: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> T:
    return asyncio.run_coroutine_threadsafe(coroutine, loop).result(timeout=60)
