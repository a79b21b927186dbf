"""Waiting on conditions: never a sleep that hopes, and a failure that shows what it was waiting for."""

import time
from collections.abc import Callable
from pathlib import Path

from .errors import BedError

POLL_SECONDS = 0.05


def wait_until(
    reached: Callable[[], bool],
    *,
    what: str,
    timeout: float,
    log: Path | None = None,
    given_up: Callable[[], bool] = lambda: False,
) -> None:
    """Wait until the condition holds; `given_up` ends the wait early, when it cannot hold any more."""
    deadline = time.monotonic() + timeout
    while not reached():
        if given_up():
            raise BedError(f"{what}: it ended instead{_tail(log)}")
        if time.monotonic() > deadline:
            raise BedError(f"{what}: not reached within {timeout:.0f} s{_tail(log)}")
        time.sleep(POLL_SECONDS)


def tail(log: Path, lines: int) -> str:
    """The last lines of a log, which may be large or not there yet."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 64 * 1024))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


def _tail(log: Path | None) -> str:
    return f"\n--- the end of {log}\n{tail(log, 20)}" if log else ""
