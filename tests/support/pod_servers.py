"""Pods that expose metrics on loopback, each at a port of its own, and that can misbehave."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from modelrollout.api.objects import Live
from modelrollout.api.scrapes import PORT_ANNOTATION
from modelrollout.api.status import Colour
from modelrollout.metrics.prometheus import Unavailable
from modelrollout.metrics.scrapes import Pods
from modelrollout.metrics.templates import Arm

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]

TEXT = "text/plain; version=0.0.4; charset=utf-8"


def says(body: str, *, status: str = "200 OK", kind: str = TEXT, more: str = "") -> Answer:
    """A whole answer."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        content = f"Content-Type: {kind}\r\n" if kind else ""
        head = f"HTTP/1.1 {status}\r\n{content}{more}Content-Length: {len(body.encode())}\r\n\r\n"
        writer.write(f"{head}{body}".encode())
        await writer.drain()

    return answer


async def hangs(_: asyncio.StreamWriter) -> None:
    """Takes the request, and never answers."""
    await asyncio.Event().wait()


async def drips(writer: asyncio.StreamWriter) -> None:
    """Answers forever, a little at a time."""
    writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: {TEXT}\r\n\r\n".encode())
    while True:
        writer.write(b"requests_total 1\n")
        await writer.drain()
        await asyncio.sleep(0.01)


async def pours(writer: asyncio.StreamWriter) -> None:
    """Answers forever, as fast as it is read."""
    writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: {TEXT}\r\n\r\n".encode())
    while True:
        writer.write(b"requests_total 1\n" * 4096)
        await writer.drain()


async def resets(writer: asyncio.StreamWriter) -> None:
    """Breaks off in the middle of an answer."""
    writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: {TEXT}\r\nContent-Length: 1000\r\n\r\nrequests".encode())
    await writer.drain()
    writer.transport.abort()


class PodServer:
    """A pod; `answer` says how it answers from now on."""

    def __init__(self, name: str, answer: Answer) -> None:
        self.name = name
        self.answer = answer
        self.asked: list[str] = []
        """The first line of each request."""
        self.port = 0
        self.most_at_once = 0
        """Requests that it had at a time."""
        self._at_once = 0

    @property
    def manifest(self) -> dict[str, Any]:
        """As the API server has it."""
        return {
            "metadata": {"name": self.name, "annotations": {PORT_ANNOTATION: str(self.port)}},
            "spec": {"containers": [{"name": "server"}]},
            "status": {"phase": "Running", "podIP": "127.0.0.1"},
        }

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.asked.append(head.split(b"\r\n")[0].decode())
                self._at_once += 1
                self.most_at_once = max(self.most_at_once, self._at_once)
                try:
                    await self.answer(writer)
                finally:
                    self._at_once -= 1
        writer.close()


@asynccontextmanager
async def serving(name: str, answer: Answer) -> AsyncIterator[PodServer]:
    """A pod that listens meanwhile."""
    pod = PodServer(name, answer)
    server = await asyncio.start_server(pod.handle, "127.0.0.1", 0)
    pod.port = server.sockets[0].getsockname()[1]
    try:
        yield pod
    finally:
        server.close()


class Listed(Pods):
    """Pods by colour, as a cluster lists them; `change` says that they may be others."""

    def __init__(self, **pods: Sequence[Live]) -> None:
        self.pods = {Colour(colour): some for colour, some in pods.items()}
        self.trouble: Unavailable | None = None
        self.lists = 0
        self._version = 0

    def change(self) -> None:
        self._version += 1

    def state(self, arm: Arm) -> Hashable:  # noqa: ARG002
        return self._version

    async def of(self, arm: Arm) -> Sequence[Live] | Unavailable:
        self.lists += 1
        return self.trouble or self.pods.get(arm.colour, ())
