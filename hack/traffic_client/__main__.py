"""`python -m traffic_client URL`: send load and write one JSON object a line for every request."""

import asyncio
import ipaddress
import signal
from typing import Any
from urllib.parse import urlsplit

import click

import testbed

from .sender import Plan, Sender


@click.command()
@click.argument("url")
@click.option("--host", default="", help="Host header.")
@click.option("--header", "headers", type=(str, str), multiple=True, help="Name and value of a further header.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), required=True, help="Requests a second.")
@click.option("--requests", type=click.IntRange(1, 100_000), required=True, help="At most.")
@click.option("--seconds", type=click.FloatRange(0, 1800, min_open=True), required=True, help="At most.")
@click.option("--connections", type=click.IntRange(1, 256), default=16, show_default=True)
@click.option("--keep-alive/--no-keep-alive", default=True, show_default=True)
def main(url: str, headers: tuple[tuple[str, str], ...], **options: Any) -> None:
    """Send inference requests to a bed; SIGTERM ends it once all requests that were begun are answered."""
    refuse_foreign(url)
    asyncio.run(_run(Plan(url=url, headers=dict(headers), **options)))


def refuse_foreign(url: str) -> None:
    """Addresses only, as a name could lead anywhere; and only loopback and those of beds that are there now.

    What is sent after a bed was removed is not looked at again: end the load before its bed.
    """
    host = urlsplit(url).hostname or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise click.UsageError(f"{host!r} is no IP address; give that of a Service, pod or node of a bed") from None
    if address.is_loopback:
        return
    beds = testbed.ranges()
    if not any(address in one for one in beds):
        raise click.UsageError(
            f"{address} is in no bed of this machine: {', '.join(map(str, beds)) or 'there is none'}"
        )


async def _run(plan: Plan) -> None:
    sender = Sender(plan, told=lambda answer: print(answer.to_line(), flush=True))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, sender.stop)
    await sender.run()


if __name__ == "__main__":
    main()
