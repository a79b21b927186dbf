"""What SLOs do besides taking back at the second breach: at the first, after so many, elsewhere, not at all."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from modelrollout.api.evidence import Comparison, Counted, SloEvidence
from modelrollout.api.slo import Verdict
from modelrollout.api.status import Phase
from modelrollout.engine.decide import decide
from modelrollout.engine.effects import Emit, WriteStatus
from modelrollout.engine.snapshot import Readings
from unit.engine.simulation import World, make_spec
from unit.engine.worlds import MINUTE, breach, condition, in_stage, serving

ERRORS: dict[str, Any] = {"name": "errors", "metric": "error-ratio", "limit": "1%"}
PLAIN = ERRORS | {"test": "Plain", "consecutiveBreaches": 5}


def stage_of(world: World) -> str:
    return world.status.stage.name if world.status.stage else ""


def read(world: World, **slo: Any) -> Readings:
    """What is read of the only SLO, with these fields of its status."""
    readings = world.snapshot().readings
    assert readings
    return replace(readings, by_slo={name: one.model_copy(update=slo) for name, one in readings.by_slo.items()})


def test_evidence_of_the_whole_attempt_needs_no_second_breach() -> None:
    world = in_stage("canary-10", slos=[ERRORS])
    breach(world, times=1)
    assert world.status.last_revert
    assert world.status.last_revert.reason == "SLOBreached"


def test_breaches_count_together_where_the_spec_says_how_many() -> None:
    world = in_stage("canary-10", slos=[PLAIN | {"totalBreaches": 3}])
    for _ in range(2):
        breach(world, times=1)
        world.verdict = Verdict.PASS
        world.now += MINUTE / 60
        world.settle()
    assert stage_of(world) == "canary-10"
    breach(world, times=1)
    assert world.status.last_revert


def test_requests_that_all_fail_need_no_second_breach_either() -> None:
    world = in_stage("canary-10", slos=[PLAIN])
    readings = read(world, verdict=Verdict.BREACH, reason="EveryRequestFails")
    decision = decide(replace(world.snapshot(), readings=readings), world.now)
    written = next(effect.status for effect in decision.effects if isinstance(effect, WriteStatus))
    assert written.phase is Phase.REVERTING


@pytest.mark.parametrize("told_only", [{"dryRun": True}, {"onBreach": "Notify"}])
def test_one_that_only_tells_is_told_and_decides_nothing(told_only: dict[str, Any]) -> None:
    world = in_stage("canary-10", slos=[ERRORS | told_only])
    world.verdict = Verdict.BREACH
    decision = world.reconcile()
    assert any(isinstance(effect, Emit) and "SLO errors" in effect.message for effect in decision.effects)
    assert world.status.verdict == ""
    world.run_for(timedelta(seconds=75), step=timedelta(seconds=5))
    assert stage_of(world) == "canary-50"


def test_people_hear_of_a_value_above_its_warning_once() -> None:
    world = in_stage("canary-10", slos=[ERRORS | {"warning": "0.5%"}])
    snapshot = replace(world.snapshot(), readings=read(world, reason="AboveWarning"))
    told = [effect.reason for effect in decide(snapshot, world.now).effects if isinstance(effect, Emit)]
    assert told == ["AboveWarning"]
    status = next(effect.status for effect in decide(snapshot, world.now).effects if isinstance(effect, WriteStatus))
    again = decide(replace(snapshot, status=status), world.now)
    assert not [effect for effect in again.effects if isinstance(effect, Emit)]


def test_an_slo_of_other_stages_is_not_judged_in_this_one() -> None:
    world = in_stage("canary-10", slos=[ERRORS | {"stages": ["canary-50"]}])
    world.verdict = Verdict.BREACH
    world.settle()
    assert (stage_of(world), world.status.slos) == ("canary-10", [])
    world.verdict = Verdict.PASS
    world.run_for(timedelta(seconds=75), step=timedelta(seconds=5))
    assert (stage_of(world), [slo.name for slo in world.status.slos]) == ("canary-50", ["errors"])
    breach(world, times=1)
    assert world.status.last_revert


def test_a_stage_that_there_is_not_is_in_the_way_before_any_request() -> None:
    odd = [ERRORS | {"stages": ["canary-5"]}]
    world = serving(make_spec(slos=odd))
    world.change(make_spec("2.0.0", slos=odd))
    world.run_for(timedelta(minutes=5), step=MINUTE)
    assert world.status.phase is Phase.PREPARING
    message = next(one.message for one in world.status.conditions if one.type == "MetricsReady")
    assert condition(world, "MetricsReady")[1] == "StageNotFound"
    assert "there is no stage canary-5 (slo errors); the stages are canary-10, canary-50, canary-100" in message


PROVING = {
    "canary": {"steps": [{"weight": 10, "hold": "1m", "require": {"proof": True}}, {"weight": 100, "hold": "1m"}]}
}


@pytest.mark.parametrize("proven", [False, True])
def test_a_stage_that_asks_for_proof_waits_for_it(proven: bool) -> None:
    world = in_stage("canary-10", slos=[ERRORS | {"baseline": {}}], strategy=PROVING)
    world.now += 2 * MINUTE
    comparison = Comparison(candidate=Counted(), stable=Counted(), proven=proven)
    decision = decide(replace(world.snapshot(), readings=read(world, comparison=comparison)), world.now)
    written = next(effect.status for effect in decision.effects if isinstance(effect, WriteStatus))
    assert written.stage
    if proven:
        assert written.stage.name == "canary-100"
    else:
        progressing = next(one for one in written.conditions if one.type == "Progressing")
        assert (written.stage.name, progressing.reason) == ("canary-10", "NotProven")


def test_of_a_query_there_is_no_proof_and_none_is_waited_for() -> None:
    mae = {"name": "mae", "query": {"value": 'mae{colour="$arm"}'}, "baseline": {"maxIncrease": "5%"}}
    world = in_stage("canary-10", slos=[mae], strategy=PROVING)
    world.now += 2 * MINUTE
    decision = decide(world.snapshot(), world.now)
    written = next(effect.status for effect in decision.effects if isinstance(effect, WriteStatus))
    assert written.stage
    assert written.stage.name == "canary-100"


def evidence(world: World, block: int) -> SloEvidence:
    counted_to = world.now + block * MINUTE
    return SloEvidence(name="errors", question="", counted_to=counted_to, variation=0.1, block=1)


def test_evidence_is_written_when_a_block_is_over_and_outlives_the_stage() -> None:
    world = in_stage("canary-10", slos=[ERRORS])
    kept = evidence(world, 1)
    readings = replace(read(world), evidence={"errors": kept})
    decision = decide(replace(world.snapshot(), readings=readings), world.now)
    written = next(effect.status for effect in decision.effects if isinstance(effect, WriteStatus))
    assert written.evidence == [kept]
    world.status = written
    world.run_for(timedelta(seconds=75), step=timedelta(seconds=5))
    assert (stage_of(world), world.status.evidence) == ("canary-50", [kept])
    breach(world, times=1)
    world.change(world.spec.model_copy(update={"model": world.spec.model.model_copy(update={"version": "3.0.0"})}))
    world.run_for(timedelta(minutes=3), step=MINUTE)
    assert world.status.attempt == 3
    assert world.status.evidence == []
