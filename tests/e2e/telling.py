"""What end-to-end tests look back on, and the stories that several files look back on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from stack import Serve, Served
from stack.evidence import ROUTING_TAKES
from stack.served import steps
from traffic_client import Answer, Load

Telling = Callable[[Serve], Any]
"""Makes a model, lets a story happen to it, and returns what there is to look back on; the model is gone then."""

ERRORS = {"name": "errors", "metric": "error-ratio", "limit": "1%", "minSamples": 20}
ERRORS_AT_GATEWAY = {**ERRORS, "source": "Gateway"}


@dataclass
class Story:
    """A rollout from its beginning to its end, and every request meanwhile."""

    model: Served
    """Only its history can still be asked."""
    answers: list[Answer]


def failing_version(serve: Serve) -> Story:
    """1.2.0-failing behind the Gateway, taken back at its first stage."""
    with serve("failing", strategy=steps(10, 50, 100, hold="5s"), slos=[ERRORS_AT_GATEWAY], replicas=1) as model:
        model.wait_serving("1.0.0")
        with model.load(rate=80, requests=20_000, seconds=240) as load:
            model.roll_out("1.2.0-failing")
            taken_back = model.wait_taken_back("1.2.0-failing").at
            model.wait_for_requests(load, 100, sent_after=taken_back + ROUTING_TAKES)
            return Story(model, load.stop())


@contextmanager
def in_stage(stage: str, served: Served, *, version: str = "1.1.0") -> Iterator[tuple[Served, Load]]:
    """A version on its way, with its traffic of this stage, and the load."""
    with served as model:
        model.wait_serving("1.0.0")
        with model.load(rate=60, requests=20_000, seconds=240) as load:
            model.roll_out(version)
            model.wait_stage(version, stage)
            yield model, load
