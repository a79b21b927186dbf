"""`POST /api/v2/alerts`, as of an Alertmanager: Prometheus can be told to push alerts here."""

import asyncio
import hmac
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

from aiohttp import web

from modelrollout.controller.alerts import AlertBoard
from modelrollout.controller.serving import listening
from modelrollout.controller.settings import AlertSettings, CannotStartError
from modelrollout.metrics.alerts import read

_log = logging.getLogger(__name__)

_LONGEST_BODY = 1024 * 1024
"""Bytes; Prometheus sends a few dozen alerts at a time."""
_PATIENCE = 10.0
"""Seconds that a request may take to come."""


@asynccontextmanager
async def serve(board: AlertBoard, settings: AlertSettings, *, now: Callable[[], datetime]) -> AsyncIterator[int]:
    """Answer on all addresses; yields the port (see `listening`).

    Raises:
        CannotStartError: somebody else has the port, or the certificate cannot be used.
    """

    async def post_alerts(request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(_PATIENCE):
                if not await _is_known(request, settings.token_file):
                    return web.Response(status=401, headers={"WWW-Authenticate": "Bearer"})
                body = await request.read()
        except TimeoutError:
            return web.Response(status=408)
        try:
            pushed = read(body, settings.labels, now())
        except ValueError as error:
            return web.Response(status=400, text=str(error))
        board.take(pushed)
        return web.Response()

    application = web.Application(client_max_size=_LONGEST_BODY)
    application.add_routes([web.post("/api/v2/alerts", post_alerts)])
    async with listening(application, port=settings.port, option="--alerts-port", tls=_tls(settings)) as port:
        yield port


async def _is_known(request: web.Request, token_file: Path) -> bool:
    """Whether a request has the token that the file has now. Without a token in the file nobody is known."""
    try:
        token = (await asyncio.to_thread(token_file.read_bytes)).strip()
    except OSError as error:
        _log.error("no alert is taken: the file of --alerts-token-file cannot be read: %s", error.strerror)
        return False
    if not token:
        _log.error("no alert is taken: the file of --alerts-token-file is empty")
        return False
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.encode("utf-8", "surrogateescape"), token)


def _tls(settings: AlertSettings) -> ssl.SSLContext | None:
    if settings.cert_file is None:
        return None
    try:
        return _Certificate(settings.cert_file, settings.key_file).context
    except (OSError, ssl.SSLError) as error:
        raise CannotStartError(
            f"--alerts-cert-file and --alerts-key-file are no certificate with its key: {error.strerror}"
        ) from None


class _Certificate:
    """A server's certificate that is read again when its files change."""

    def __init__(self, cert_file: Path, key_file: Path | None) -> None:
        self._files = (cert_file, key_file)
        self._read = self._state()
        self.context = self._newest = self._load()
        self.context.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLObject, _: str | None, __: ssl.SSLContext) -> None:
        """Called for each connection, also of those who name no server."""
        try:
            if (state := self._state()) != self._read:
                self._newest, self._read = self._load(), state
        except (OSError, ssl.SSLError) as error:
            _log.error("the new certificate in --alerts-cert-file cannot be used: %s", error.strerror)
        connection.context = self._newest

    def _load(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*self._files)
        return context

    def _state(self) -> list[tuple[int, int]]:
        return [(stat.st_mtime_ns, stat.st_ino) for stat in (path.stat() for path in self._files if path)]
