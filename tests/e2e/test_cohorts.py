"""A ring known by a header, behind the real Envoy: it gets the candidate and nobody else does, until it is back."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from stack import Serve
from stack.evidence import ROUTING_TAKES, describe, failed, is_models_own
from stack.history import Object
from stack.served import NAME, Served, condition
from traffic_client import Answer

ERRORS = {"name": "errors", "metric": "error-ratio", "source": "Gateway", "limit": "10%", "minSamples": 6}
"""A fifth of the pictures fail: with a smaller limit the version may be gone before there is anything to look at."""
RINGS: list[dict[str, Any]] = [
    {"name": "internal", "match": [{"header": "x-ring", "value": "internal"}], "hold": "5m"},
    {"name": "production", "weight": 100},
]
EXCLUDED = '{"status": {"excluded": [{"header": "x-team", "value": "billing"}]}}'
CALLERS: Mapping[str, Mapping[str, str]] = {
    "public": {},
    "internal": {"x-ring": "internal"},
    "asks for stable": {"x-ring": "internal", "x-model-variant": "stable"},
    "excluded": {"x-ring": "internal", "x-team": "billing"},
}


@dataclass
class Story:
    """A failing version that only the internal ring was to get, and what everybody was answered meanwhile."""

    model: Served
    answers: Mapping[str, list[Answer]]
    back_at: float
    """When everybody was back on stable: a second after the route said so."""


def failing_ring(serve: Serve) -> Story:
    """1.2.0-failing is let in to the internal ring, and out again."""
    rings = {"ring": {"rings": RINGS}}
    with serve("cohorts", strategy=rings, slos=[ERRORS], replicas=1) as model, ExitStack() as loads_end:
        model.wait_serving("1.0.0")
        model.kubectl("patch", "modelrollout", NAME, "--subresource=status", "--type=merge", f"--patch={EXCLUDED}")
        model.roll_out("1.2.0-failing")
        model.wait(is_preparing, what="version 1.2.0-failing on its way", timeout=30)
        model.set(paused=True)  # its start, which takes a whole processor, is no part of this story
        model.wait(is_paused, what="version 1.2.0-failing ready and waiting", timeout=120)
        loads = {
            who: loads_end.enter_context(model.load(rate=10, requests=20_000, seconds=240, headers=headers))
            for who, headers in CALLERS.items()
        }
        for load in loads.values():
            model.wait_for_requests(load, 10)
        model.set(paused=False)
        model.wait_taken_back("1.2.0-failing")
        back_at = wait_nobody_let_in(model) + ROUTING_TAKES
        for load in loads.values():
            model.wait_for_requests(load, 10, sent_after=back_at)
        return Story(model, {who: load.stop() for who, load in loads.items()}, back_at)


pytestmark = pytest.mark.story(told_by=failing_ring)


def is_preparing(status: Object) -> bool:
    return bool(status.get("phase") == "Preparing" and status["attempt"] == 2)


def is_paused(status: Object) -> bool:
    return bool(condition(status, "Progressing").get("reason") == "Paused")


def wait_nobody_let_in(model: Served) -> float:
    """The moment since which the HTTPRoute has let nobody in any more, after it did."""
    let_in = False

    def is_back(route: Any) -> bool:
        nonlocal let_in
        before, let_in = let_in, lets_in(route)
        return before and not let_in

    return model.route.wait(is_back, what="nobody let in any more", timeout=60).at


def lets_in(route: Any) -> bool:
    """Whether the ring has a rule of its own that leads to the candidate."""
    matches = [match for rule in route["spec"]["rules"] for match in rule["matches"]] if route else []
    return any(header["name"] == "x-ring" for match in matches for header in match.get("headers", []))


def variants(answers: list[Answer]) -> set[str]:
    return {answer.variant for answer in answers if answer.variant}


def test_the_ring_gets_the_candidate(story: Story) -> None:
    assert variants(story.answers["internal"]) == {"stable", "candidate"}
    assert {window.weight for window in story.model.windows()} == {0}, "by the header alone"


@pytest.mark.parametrize("who", ["public", "asks for stable", "excluded"])
def test_nobody_else_does(story: Story, who: str) -> None:
    assert variants(story.answers[who]) == {"stable"}
    assert not failed(story.answers[who]), describe(failed(story.answers[who]))


def test_while_it_is_let_in_all_its_requests_are_the_candidates(story: Story) -> None:
    by_candidate = [answer for answer in story.answers["internal"] if answer.variant == "candidate"]
    first, last = by_candidate[0].sent_at + ROUTING_TAKES, by_candidate[-1].sent_at - ROUTING_TAKES
    between = [answer for answer in story.answers["internal"] if first < answer.sent_at < last]
    assert between
    assert variants(between) == {"candidate"}


def test_its_requests_are_judged_and_their_failures_take_the_candidate_back(story: Story) -> None:
    record = story.model.status["lastRevert"]
    assert (record["reason"], record["stage"]) == ("SLOBreached", "internal")
    assert "SLO errors breached" in record["message"]


def test_only_the_candidates_own_failures_reach_it(story: Story) -> None:
    failures = failed(story.answers["internal"])
    others = [answer for answer in failures if answer.variant != "candidate" or not is_models_own(answer)]
    assert failures
    assert not others, describe(others)


def test_a_second_after_the_way_back_everybody_is_on_stable(story: Story) -> None:
    late = [answer for answers in story.answers.values() for answer in answers if answer.sent_at > story.back_at]
    assert {answer.variant for answer in late} == {"stable"}
