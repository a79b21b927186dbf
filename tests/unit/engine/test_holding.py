"""`onBreach: Hold`: a breach that a person is to look at."""

from datetime import timedelta

from modelrollout.api.slo import Verdict
from modelrollout.api.status import Colour, ConditionStatus, Phase
from unit.engine.worlds import MINUTE, breach, condition, in_stage

LONG = {"canary": {"steps": [{"weight": 10, "hold": "24h"}, {"weight": 100}]}}
HOLDING = {"name": "drift", "query": {"value": "drift"}, "limit": "0.3", "consecutiveBreaches": 2, "onBreach": "Hold"}


def test_a_breach_that_holds_keeps_the_stage_and_calls_for_a_person() -> None:
    world = in_stage("canary-10", slos=[HOLDING])
    breach(world, times=2)
    assert condition(world, "Ready") == (ConditionStatus.FALSE, "SLOBreached")
    world.run_for(timedelta(hours=2), step=MINUTE)
    assert world.status.stage
    assert world.status.stage.name == "canary-10"
    world.verdict = Verdict.PASS
    world.settle()
    assert world.status.stage.name == "canary-50", "once it passes, it goes on"


def test_a_breach_that_holds_for_too_long_takes_the_candidate_back() -> None:
    world = in_stage("canary-10", slos=[HOLDING | {"revertAfter": "1h"}])
    breach(world, times=2)
    waiting = world.reconcile()
    assert waiting.wake_at
    assert timedelta(minutes=59) < waiting.wake_at - world.now <= timedelta(hours=1)
    world.now = waiting.wake_at
    world.reconcile()
    assert world.weights == {Colour.BLUE: 100, Colour.GREEN: 0}
    assert world.status.last_revert
    assert world.status.last_revert.reason == "SLOBreached"


def test_silence_takes_nobody_back_for_a_breach_of_long_ago() -> None:
    world = in_stage("canary-10", slos=[HOLDING | {"revertAfter": "1h"}])
    breach(world, times=2)
    world.looking = False
    world.run_for(timedelta(hours=2), step=MINUTE)
    assert world.status.phase is Phase.PROGRESSING
    decision = world.reconcile()
    assert decision.wake_at is None or decision.wake_at > world.now
    assert "as soon as somebody sees" in next(c.message for c in world.status.conditions if c.type == "Progressing")
    world.looking = True
    world.settle()
    assert world.status.last_revert
    assert world.status.last_revert.reason == "SLOBreached"


def test_a_pass_in_between_starts_the_time_until_the_revert_again() -> None:
    world = in_stage("canary-10", slos=[HOLDING | {"revertAfter": "1h"}], strategy=LONG)
    breach(world, times=2)
    world.run_for(timedelta(minutes=50), step=MINUTE)
    world.verdict = Verdict.PASS
    world.settle()
    breach(world, times=2)
    world.run_for(timedelta(minutes=50), step=MINUTE)
    assert world.status.phase is Phase.PROGRESSING


def test_no_policy_at_a_deadline_passes_over_a_breach_that_holds() -> None:
    step = {"weight": 10, "hold": "1m", "deadline": "10m", "onDeadline": "Advance", "require": {"slos": []}}
    world = in_stage("canary-10", slos=[HOLDING], strategy={"canary": {"steps": [step, {"weight": 100}]}})
    breach(world, times=2)
    world.run_for(timedelta(hours=1), step=MINUTE)
    assert world.status.stage
    assert world.status.stage.name == "canary-10"
