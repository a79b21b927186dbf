"""What is noted of an attempt, told as stories; that nothing is lost or noted twice is held in test_invariants."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

from modelrollout.api.attempt import MOST_ENTRIES, AttemptOutcome, AttemptRecord
from modelrollout.api.slo import Verdict
from modelrollout.api.status import Colour, Phase
from modelrollout.engine import effects as fx
from modelrollout.engine.decide import decide
from unit.engine.simulation import World, make_spec
from unit.engine.worlds import MINUTE, breach, in_stage, serving

WARM = {"rollback": {"keepWarm": "1h"}}


def reasons(record: AttemptRecord) -> list[str]:
    return [entry.reason for entry in record.timeline]


def reports_in(decision: fx.Decision) -> list[fx.WriteReport]:
    return [effect for effect in decision.effects if isinstance(effect, fx.WriteReport)]


def promoted(**changes: object) -> World:
    """A world in which version 2.0.0 has just gone all the way."""
    world = in_stage("canary-100", **changes)
    world.run_for(2 * MINUTE)
    assert world.status.phase is Phase.IDLE
    return world


def test_a_promotion_is_told_stage_by_stage_with_what_the_slos_said() -> None:
    report = promoted().reports[2]
    assert reasons(report) == ["AttemptStarted", "StageEntered", "StageEntered", "StageEntered", "Promoted"]
    assert [entry.stage for entry in report.timeline] == ["", "canary-10", "canary-50", "canary-100", ""]
    assert [entry.left for entry in report.timeline] == ["", "", "canary-10", "canary-50", "canary-100"]
    for entry in report.timeline[2:]:
        (said,) = entry.evidence
        assert (said.name, said.verdict, said.asked, said.window) == ("errors", Verdict.PASS, "error-ratio", "2m")
    assert (report.outcome, report.reason) == (AttemptOutcome.PROMOTED, "Promoted")
    assert (report.version, report.from_version) == ("2.0.0", "1.0.0")
    assert report.ended == report.timeline[-1].at


def test_why_it_was_taken_back_stands_in_the_report_with_the_breach() -> None:
    world = in_stage("canary-50")
    breach(world, times=2)
    report = world.reports[2]
    warned, back = report.timeline[-2:]
    assert (warned.reason, warned.moved) == ("SimulatedBreach", False)
    assert (back.reason, back.moved, back.left) == ("Reverting", True, "canary-50")
    assert [said.verdict for said in back.evidence] == [Verdict.BREACH]
    assert report.outcome is AttemptOutcome.IN_PROGRESS, "its last answers are under way"
    world.run_for(MINUTE)
    report = world.reports[2]
    assert reasons(report)[-2:] == ["Reverting", "Reverted"]
    assert (report.outcome, report.reason) == (AttemptOutcome.REVERTED, "SLOBreached")
    assert "SLO errors breached 2 times in a row" in report.message


def test_an_attempt_that_gives_way_to_the_next_in_one_write_has_its_report_all_the_same() -> None:
    world = serving()
    world.change(make_spec("2.0.0"))
    world.reconcile()
    world.change(make_spec("3.0.0"))
    world.settle()
    assert world.status.attempt == 3
    assert (world.reports[2].outcome, reasons(world.reports[2])[-1]) == (AttemptOutcome.SUPERSEDED, "Reverted")
    assert [record.attempt for record in world.status.records] == [3], "what is reported is not kept twice"


def test_going_back_to_what_serves_is_an_abort() -> None:
    world = in_stage("canary-10")
    world.change(make_spec("1.0.0"))
    world.run_for(MINUTE)
    assert world.reports[2].outcome is AttemptOutcome.ABORTED


def test_a_promotion_that_is_undone_says_so_and_so_does_its_coming_back() -> None:
    world = promoted(**WARM)
    world.change(make_spec("1.0.0", **WARM))
    world.settle()
    assert world.reports[2].outcome is AttemptOutcome.UNDONE
    world.change(make_spec("2.0.0", **WARM))
    world.settle()
    assert world.reports[2].outcome is AttemptOutcome.PROMOTED
    assert reasons(world.reports[2])[-2:] == ["Restored", "Restored"]


def test_a_candidate_that_serves_because_nothing_else_answers_was_not_promoted() -> None:
    world = in_stage("canary-50")
    world.pods_ready(Colour.BLUE, 0)
    world.change(make_spec("3.0.0"))
    for _ in range(5):
        world.reconcile()
    assert world.reports[2].outcome is AttemptOutcome.STOOD_IN


def test_deleting_the_rollout_ends_the_attempt_that_was_under_way() -> None:
    world = serving()
    world.change(make_spec("2.0.0"))
    world.reconcile()
    world.deleting = True
    world.settle()
    assert world.gone
    assert world.reports[2].outcome is AttemptOutcome.DELETED
    assert world.reports[2].ended == world.now


def test_nothing_is_said_of_an_attempt_when_everything_is_to_go() -> None:
    world = serving()
    world.change(make_spec("2.0.0", deletionPolicy="Delete"))
    world.deleting = True
    assert reports_in(world.reconcile()) == []


def test_a_report_comes_last_so_that_it_delays_nothing_but_what_concerns_no_request() -> None:
    world = in_stage("canary-10")
    breach(world, times=1)
    world.now += timedelta(seconds=1)
    effects = world.reconcile().effects
    assert isinstance(effects[0], fx.SetTraffic)
    assert isinstance(effects[-2], fx.WriteReport)
    assert effects[-1] == fx.ApplyBudgets()


def test_a_report_that_was_refused_is_left_for_later_with_all_that_is_in_it() -> None:
    world = in_stage("canary-10")
    breach(world, times=2)
    world.settle()
    seen = replace(world.snapshot(), reported=frozenset())
    assert [report.record.attempt for report in reports_in(decide(seen, world.now))] == [2]
    refused = decide(replace(seen, report_refused=True), world.now)
    assert reports_in(refused) == []
    assert not any(isinstance(effect, fx.WriteStatus) for effect in refused.effects)


def test_after_a_restart_the_report_under_way_is_written_behind_a_fence() -> None:
    world = in_stage("canary-10")
    assert reports_in(world.reconcile()) == []
    world.reported.clear()
    *_, fence, report, _ = world.reconcile().effects
    assert fence == fx.WriteStatus(status=world.status)
    assert isinstance(report, fx.WriteReport)


def test_an_idle_rollout_asks_for_no_report_even_after_a_restart() -> None:
    world = promoted()
    world.reported.clear()
    decision = world.reconcile()
    assert reports_in(decision) == []
    assert not any(isinstance(effect, fx.WriteStatus) for effect in decision.effects)


def test_where_there_is_no_room_notes_go_before_moves_and_are_counted() -> None:
    world = in_stage("canary-10")
    for _ in range(MOST_ENTRIES):
        breach(world, times=1)
        world.verdict = Verdict.PASS
        world.now += timedelta(seconds=1)
        world.reconcile()
    report = world.reports[2]
    assert len(report.timeline) == MOST_ENTRIES
    assert report.omitted == len(world.history[2]) - MOST_ENTRIES
    moves = [entry for entry in world.history[2] if entry.moved]
    assert [entry for entry in report.timeline if entry.moved] == moves
    assert report.timeline[-1] == world.history[2][-1]


def test_records_of_a_busy_attempt_are_a_small_part_of_what_an_object_may_hold() -> None:
    """Six stages and three queries take some kilobytes; 32 and 16 still leave most of etcd's 1.5 MiB."""
    assert _bytes_of_a_promotion(stages=6, slos=3) < 8 * 1024
    assert _bytes_of_a_promotion(stages=32, slos=16) < 256 * 1024


def _bytes_of_a_promotion(*, stages: int, slos: int) -> int:
    weights = [*range(1, stages), 100]
    query = "x" * 256 if stages > 6 else 'sum(rate(errors{version="$candidate"}[$window]))'
    plan: dict[str, Any] = {
        "strategy": {"canary": {"steps": [{"weight": weight, "hold": "1m"} for weight in weights]}},
        "slos": [{"name": f"slo-{number}", "query": {"value": query}, "limit": "1"} for number in range(slos)],
    }
    world = serving(make_spec(**plan))
    world.change(make_spec("2.0.0", **plan))
    world.run_for(stages * 2 * MINUTE, step=timedelta(seconds=15))
    assert world.status.phase is Phase.IDLE
    return len(json.dumps(world.status.to_wire()["records"]))


def test_a_ring_of_callers_by_header_has_evidence_though_its_weight_is_0() -> None:
    ring = {"name": "internal", "weight": 0, "match": [{"header": "x-ring", "value": "internal"}], "hold": "1m"}
    world = in_stage("internal", strategy={"ring": {"rings": [ring, {"name": "all", "weight": 100, "hold": "1m"}]}})
    world.run_for(2 * MINUTE)
    entered = next(entry for entry in world.status.records[-1].timeline if entry.left == "internal")
    assert [said.name for said in entered.evidence] == ["errors"]


def test_a_pause_in_the_spec_and_its_end_stand_in_the_report() -> None:
    world = in_stage("canary-10")
    for paused in (True, False, True):
        world.change(make_spec("2.0.0", paused=paused))
        world.run_for(MINUTE)
    told = reasons(world.reports[2])
    assert [one for one in told if one in ("Paused", "Resumed")] == ["Paused", "Resumed", "Paused"]
    assert told.index("Resumed") < told.index("StageEntered", 2), "the hold was over by then"


def test_a_pause_before_an_attempt_and_one_that_a_person_passes_over_are_not_told() -> None:
    world = serving()
    world.change(make_spec("2.0.0", paused=True))
    world.run_for(MINUTE)
    world.ask("Promote")
    world.run_for(5 * MINUTE)
    assert world.status.stable
    assert world.status.stable.version == "2.0.0"
    assert not {"Paused", "Resumed"} & set(reasons(world.reports[2]))
