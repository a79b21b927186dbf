"""HTTP servers of the operator's own."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from modelrollout.controller.settings import CannotStartError


@asynccontextmanager
async def listening(
    application: web.Application, *, port: int, option: str, tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Answer on all addresses; yields the port, which `option` of the command chooses.

    Port 0 takes a free one, on this machine only: IPv4 and IPv6 would get a different one each.

    Raises:
        CannotStartError: somebody else has the port.
    """
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, None if port else "127.0.0.1", port, ssl_context=tls).start()
        except OSError as error:
            raise CannotStartError(
                f"cannot listen on port {port}: {error.strerror}; choose another with {option}"
            ) from error
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
