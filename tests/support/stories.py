"""What end-to-end tests look back on."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from stack import Served
from stack.evidence import Window
from traffic_client import Answer, Load


@dataclass
class Story:
    """A version from being asked for to its end, and every request meanwhile."""

    model: Served
    load: Load
    stable: str
    """The version that served when it was asked for."""
    begun: float = field(default_factory=time.time)
    """When that was, in seconds since the epoch."""
    answers: list[Answer] = field(default_factory=list)
    """Those to all requests, once the story has ended."""

    def end(self) -> None:
        """Send no more requests."""
        self.answers = self.load.stop()

    def windows(self) -> list[Window]:
        """The weights that the HTTPRoute has given the candidate since the beginning."""
        return [window for window in self.model.windows() if window.end > self.begun]


@contextmanager
def story_of(version: str, model: Served, *, rate: float, through_gateway: bool = True, **spec: Any) -> Iterator[Story]:
    """Ask for a version, with these fields of the spec changed, under a load of so many requests a second."""
    stable = model.status["stable"]["version"]
    with model.load(rate=rate, requests=60_000, seconds=240, through_gateway=through_gateway) as load:
        story = Story(model, load, stable)
        model.set(model={"version": version}, **spec)
        yield story
