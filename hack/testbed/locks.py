"""Locks between commands. The kernel drops them with their holder, so a killed command leaves none behind."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import BedError
from .progress import say


class BusyError(BedError):
    """Another command holds the lock."""


@contextmanager
def exclusive(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock of this name; whoever has it now is waited for, unless that is not wanted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise BusyError(f"another testbed command holds {path}") from None
            say(f"waiting for another testbed command ({path})")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
