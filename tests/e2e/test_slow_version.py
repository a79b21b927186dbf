"""1.2.0-slow is right, half a second late: it is taken back at its first stage, and nobody's request fails.

Its answers are slow because each takes a processor for half a second; it gets one request a second. So these stories
are told with nobody beside them: others would make it slower yet, and stable, too.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from e2e.telling import ERRORS, ERRORS_AT_GATEWAY, Story
from stack import Serve
from stack.evidence import describe, failed
from stack.served import steps

LATENCY = {"name": "latency", "metric": "latency", "slowerThan": "250ms", "limit": "50%", "minSamples": 6}


def behind_gateway(serve: Serve) -> Story:
    """A tenth of the requests is for the slow version."""
    slos = [ERRORS_AT_GATEWAY, {**LATENCY, "source": "Gateway"}]
    return taken_back(serve, "slow", rate=10, slos=slos, strategy=steps(10, 50, 100, hold="5s"))


def without_gateway(serve: Serve) -> Story:
    """One of two pods is the slow version's."""
    spec = {"slos": [ERRORS, LATENCY], "strategy": steps(50, 100, hold="5s"), "traffic": {"replicas": {}}}
    return taken_back(serve, "pods-slow", rate=2, through_gateway=False, **spec)


def taken_back(serve: Serve, name: str, *, rate: float, through_gateway: bool = True, **spec: Any) -> Story:
    """1.2.0-slow after 1.0.0."""
    with serve(name, replicas=1, **spec) as model:
        model.wait_serving("1.0.0")
        with model.load(rate=rate, requests=20_000, seconds=240, through_gateway=through_gateway) as load:
            model.roll_out("1.2.0-slow")
            model.wait_taken_back("1.2.0-slow")
            return Story(model, load.stop())


TELLINGS = {"canary-10": behind_gateway, "canary-50": without_gateway}
"""By the first stage."""


@pytest.fixture(scope="module")
def stories(serve: Serve) -> dict[str, Story]:
    """Both, told together."""
    with ThreadPoolExecutor() as threads:
        return dict(zip(TELLINGS, threads.map(lambda tell: tell(serve), TELLINGS.values()), strict=True))


@pytest.mark.parametrize("stage", TELLINGS)
def test_is_taken_back_at_its_first_stage(stories: dict[str, Story], stage: str) -> None:
    record = stories[stage].model.status["lastRevert"]
    assert (record["reason"], record["stage"]) == ("SLOBreached", stage)
    assert "SLO latency breached" in record["message"]


@pytest.mark.parametrize("stage", TELLINGS)
def test_no_request_fails(stories: dict[str, Story], stage: str) -> None:
    answers = stories[stage].answers
    assert not failed(answers), describe(failed(answers))


def test_the_route_gives_it_no_more_than_its_first_stage_declares(stories: dict[str, Story]) -> None:
    assert {window.weight for window in stories["canary-10"].model.windows()} == {0, 10}
