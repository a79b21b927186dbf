"""What `wait` waits for, and what it gives up on."""

import pytest

from modelrollout.cli.goals import GOALS, Answer, in_stage
from support.moments import in_canary_10, promoted, seen, taken_back, told
from support.rollouts import Object

REACHED, OPPOSITE, NOT_YET = Answer
SERVES = promoted()
WAITS_TO_START = promoted(conditions=[told("Progressing", "False", "Paused", "version 2.1.0 starts afterwards")])
BACK_AT_STABLE = {**taken_back(), "phase": "Idle", "conditions": []}
TRIED_AGAIN_LATER = {**taken_back(), "conditions": []}


@pytest.mark.parametrize(
    ("goal", "status", "answer"),
    [
        ("promoted", SERVES, REACHED),
        ("promoted", in_canary_10(), NOT_YET),
        ("promoted", taken_back(), OPPOSITE),
        ("promoted", TRIED_AGAIN_LATER, NOT_YET),
        ("promoted", WAITS_TO_START, NOT_YET),
        ("promoted", {**SERVES, "stable": {**SERVES["stable"], "version": "2.0.0"}}, NOT_YET),
        ("reverted", taken_back(), REACHED),
        ("reverted", BACK_AT_STABLE, REACHED),
        ("reverted", in_canary_10(), NOT_YET),
        ("reverted", SERVES, OPPOSITE),
        ("idle", SERVES, REACHED),
        ("idle", BACK_AT_STABLE, REACHED),
        ("idle", in_canary_10(), NOT_YET),
        ("idle", taken_back(), OPPOSITE),
        ("ready", in_canary_10(), REACHED),
        ("ready", taken_back(), NOT_YET),
    ],
)
def test_answers_of_each_goal(goal: str, status: Object, answer: Answer) -> None:
    assert GOALS[goal](seen(status)) is answer


@pytest.mark.parametrize("goal", GOALS)
def test_a_status_of_an_older_spec_says_nothing(goal: str) -> None:
    for status in (SERVES, taken_back(), in_canary_10()):
        assert GOALS[goal](seen({**status, "observedGeneration": 0})) is NOT_YET


@pytest.mark.parametrize(
    ("stage", "status", "answer"),
    [
        ("canary-10", in_canary_10(), REACHED),
        ("canary-100", in_canary_10(), NOT_YET),
        ("canary-10", in_canary_10(stage={**in_canary_10()["stage"], "index": 1, "name": "canary-100"}), REACHED),
        ("canary-10", in_canary_10(phase="Preparing", stage=None), NOT_YET),
        ("canary-100", SERVES, REACHED),
        ("canary-100", taken_back(), OPPOSITE),
    ],
)
def test_a_stage_is_reached_when_it_is_entered_or_passed(stage: str, status: Object, answer: Answer) -> None:
    assert in_stage(stage)(seen(status)) is answer
