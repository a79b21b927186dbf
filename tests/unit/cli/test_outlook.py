"""What is read off a ModelRollout: stages, what it waits for, what is missing, what to do next."""

from datetime import timedelta

import pytest

from modelrollout.cli.outlook import Mark, Missing, hints, hold, marked_stages, missing_consents, troubles, waits_for
from support.moments import NOW, ago, in_canary_10, promoted, seen, taken_back
from support.rollouts import Object

STEP = "spec.strategy.canary.steps.0"
WORD = {"by": "ann", "at": ago(minutes=1)}


def marks(status: Object, changes: Object | None = None) -> list[tuple[str, Mark]]:
    return [(stage.name, mark) for stage, mark in marked_stages(seen(status, changes))]


def test_stages_before_the_present_one_are_done_and_those_behind_it_ahead() -> None:
    stage = {**in_canary_10()["stage"], "index": 1, "name": "canary-50", "weight": 50}
    steps = {"spec.strategy.canary.steps": [{"weight": weight} for weight in (10, 50, 100)]}
    expected = [("canary-10", Mark.DONE), ("canary-50", Mark.HERE), ("canary-100", Mark.AHEAD)]
    assert marks(in_canary_10(stage=stage), steps) == expected


def test_before_the_first_stage_all_are_ahead() -> None:
    assert {mark for _, mark in marks(in_canary_10(phase="Preparing", stage=None))} == {Mark.AHEAD}


def test_the_stage_that_a_version_was_taken_back_from_is_marked() -> None:
    assert marks(taken_back()) == [("canary-10", Mark.FAILED), ("canary-100", Mark.AHEAD)]


def test_stages_that_pods_cannot_reach_are_left_out() -> None:
    assert ("canary-10", Mark.LEFT_OUT) in marks(in_canary_10(stage=None), {"spec.traffic": {"replicas": {}}})


def test_where_nothing_is_tried_there_are_no_stages() -> None:
    assert marks(promoted()) == []


def test_the_hold_counts_from_when_the_traffic_arrived_and_never_beyond_its_end() -> None:
    rollout = seen(in_canary_10())
    assert hold(rollout, NOW) == (timedelta(seconds=20), timedelta(minutes=1))
    assert hold(rollout, NOW + timedelta(hours=1)) == (timedelta(minutes=1), timedelta(minutes=1))
    assert hold(seen(in_canary_10(stage={**in_canary_10()["stage"], "reachedAt": None})), NOW) is None


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({}, "no operator has looked at it yet"),
        ({"observedGeneration": 0}, "the operator has not looked at the newest spec yet"),
        (in_canary_10(), "stage canary-10 holds until 2026-01-05 12:00:40Z"),
        (taken_back(), "version 2.1.0 was taken back: SLO errors breached"),
    ],
)
def test_says_what_it_waits_for(status: Object, words: str) -> None:
    assert words in waits_for(seen(status))


def test_consents_are_missing_until_enough_different_people_have_given_them_for_this_stage() -> None:
    require = {f"{STEP}.require": {"approvals": [{"role": "security", "count": 2}], "checklist": ["runbook"]}}

    def missing(*consents: Object) -> list[str]:
        return [one.what for one in missing_consents(seen(in_canary_10(consents=list(consents)), require))]

    yes = {**WORD, "stage": "canary-10", "role": "security"}
    assert missing() == ["approval by security: 0 of 2", "checklist: runbook"]
    assert missing(yes, yes) == ["approval by security: 1 of 2 (so far ann)", "checklist: runbook"]
    assert missing(yes, {**yes, "stage": "canary-100", "by": "bob"})[0] == "approval by security: 1 of 2 (so far ann)"
    assert missing(yes, {**yes, "by": "bob"}, {**WORD, "stage": "canary-10", "item": "runbook"}) == []


def test_consents_of_stages_that_are_passed_over_are_missing_too_and_the_commands_name_them() -> None:
    require = {f"{STEP}.require": {"approvals": [{"role": "security"}], "checklist": ["runbook"]}}
    promoting = in_canary_10(phase="Preparing", stage=None, promoting=True)
    assert list(missing_consents(seen(promoting, require))) == [
        Missing(
            "approval of canary-10 by security: 0 of 1",
            "kubectl modelrollout approve scorer --role security --stage canary-10",
        ),
        Missing(
            "checklist of canary-10: runbook",
            "kubectl modelrollout sign-off scorer --item runbook --stage canary-10",
        ),
    ]
    assert not list(missing_consents(seen(promoting | {"promoting": False}, require)))


@pytest.mark.parametrize(("version", "wanted"), [("2.1.0", False), ("3.0.0", True)])
def test_an_approval_of_major_versions_is_missing_for_those_only(version: str, wanted: bool) -> None:
    require = {"approvals": [{"role": "executive", "when": "Major"}]}
    status = in_canary_10(candidate={**in_canary_10()["candidate"], "version": version})
    rollout = seen(status, {f"{STEP}.require": require})
    assert bool(list(missing_consents(rollout))) is wanted


def test_conditions_that_are_as_they_should_be_are_no_trouble() -> None:
    assert troubles(seen(in_canary_10())) == []
    assert [one.type for one in troubles(seen(taken_back()))] == ["Ready", "Stalled"]


@pytest.mark.parametrize(("reason", "is_trouble"), [("WaitingForStable", False), ("ScaledUpAgain", True)])
def test_a_hand_over_that_is_still_to_come_is_no_trouble(reason: str, is_trouble: bool) -> None:
    status = in_canary_10()
    stands = {"type": "HandedOver", "status": "False", "reason": reason, "lastTransitionTime": "2026-01-01T00:00:00Z"}
    assert bool(troubles(seen(status | {"conditions": [*status["conditions"], stands]}))) is is_trouble


@pytest.mark.parametrize(
    ("status", "commands"),
    [
        (in_canary_10(), ["abort"]),
        (in_canary_10(held=WORD), ["resume", "abort"]),
        (in_canary_10(killed=WORD), ["lift"]),
        (taken_back(), ["report", "retry"]),
        (promoted(), ["undo"]),
        (promoted(previous=None), []),
    ],
)
def test_hints_at_the_next_command(status: Object, commands: list[str]) -> None:
    assert [hint.split()[2] for hint in hints(seen(status))] == commands


def test_hints_name_what_is_missing_first() -> None:
    require = {f"{STEP}.require": {"approvals": [{"role": "security"}], "checklist": ["runbook"]}}
    assert hints(seen(in_canary_10(), require)) == [
        "kubectl modelrollout approve scorer --role security",
        "kubectl modelrollout sign-off scorer --item runbook",
        "kubectl modelrollout abort scorer",
    ]
