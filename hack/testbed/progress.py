"""What the person at the terminal sees while things take time. Goes to stderr: stdout is for results."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

console = Console(stderr=True, highlight=False)


def say(message: str) -> None:
    """One line for the person who is waiting."""
    console.print(message, markup=False, soft_wrap=True)


@contextmanager
def step(title: str) -> Iterator[None]:
    """Announce a step that takes a while, and how long it took when it is over."""
    started = time.monotonic()
    say(f"… {title}")
    yield
    say(f"✓ {title} ({time.monotonic() - started:.1f} s)")
