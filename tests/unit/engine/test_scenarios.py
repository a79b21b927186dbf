"""What a rollout does, told as stories: given a world, when something happens, then this follows."""

from dataclasses import replace
from datetime import timedelta
from typing import ClassVar

import pytest

from modelrollout.api.spec import ModelRolloutSpec
from modelrollout.api.status import Colour, ConditionStatus, Phase, Verdict
from modelrollout.engine import effects as fx
from modelrollout.engine.snapshot import Obstacle
from unit.engine.simulation import World, make_spec

MINUTE = timedelta(minutes=1)


def serving(spec: ModelRolloutSpec | None = None) -> World:
    """A world in which version 1.0.0 serves."""
    world = World(spec=spec or make_spec())
    world.settle()
    assert world.status.phase is Phase.IDLE
    return world


def in_stage(name: str, **changes: object) -> World:
    """A world in which version 2.0.0 is on trial and has just reached a stage."""
    world = serving(make_spec(**changes))
    world.change(make_spec("2.0.0", **changes))
    for _ in range(200):
        world.settle()
        if world.status.stage and world.status.stage.name == name and world.status.stage.reached_at:
            return world
        world.now += timedelta(seconds=5)
    raise AssertionError(f"stage {name} was not reached; stuck at {world.status.stage}")


def condition(world: World, kind: str) -> tuple[ConditionStatus, str]:
    found = next(c for c in world.status.conditions if c.type == kind)
    return found.status, found.reason


def reasons(world: World) -> list[str]:
    return [event.reason for event in world.events]


def test_the_first_version_serves_as_soon_as_it_is_ready() -> None:
    world = World(spec=make_spec())
    world.reconcile()
    world.reconcile()
    assert world.weights is None, "no route before there is something to serve"
    world.pods_follow()
    world.settle()
    assert world.status.stable
    assert world.status.stable.version == "1.0.0"
    assert world.weights == {Colour.BLUE: 100, Colour.GREEN: 0}
    assert condition(world, "Ready") == (ConditionStatus.TRUE, "Serving")


def test_a_good_version_passes_every_stage_and_becomes_stable_where_it_stands() -> None:
    world = serving()
    world.change(make_spec("2.0.0"))
    world.run_for(4 * MINUTE)
    assert world.status.phase is Phase.IDLE
    assert world.status.stable
    assert (world.status.stable.version, world.status.stable.colour) == ("2.0.0", Colour.GREEN)
    assert world.weights == {Colour.GREEN: 100, Colour.BLUE: 0}
    applied = [e for e in world.log if isinstance(e, fx.ApplyWorkload) and e.colour is Colour.GREEN]
    assert len({e.revision for e in applied}) == 1, "the model is loaded once"
    assert reasons(world)[-5:] == ["AttemptStarted", "StageEntered", "StageEntered", "StageEntered", "Promoted"]


def test_a_breach_takes_the_candidate_back_with_one_route_write_before_anything_else() -> None:
    world = in_stage("canary-10")
    world.verdict = Verdict.BREACH
    world.settle()
    assert world.status.phase is Phase.PROGRESSING, "one breach is not two in a row"
    world.now += timedelta(seconds=1)
    decision = world.reconcile()
    assert decision.effects[0] == fx.SetTraffic(stable=Colour.BLUE, candidate=Colour.GREEN, weight=0)
    assert isinstance(decision.effects[1], fx.WriteStatus)
    assert world.weights == {Colour.BLUE: 100, Colour.GREEN: 0}
    assert world.status.last_revert
    assert world.status.last_revert.reason == "SLOBreached"
    assert "errors" in world.status.last_revert.message


def test_what_was_taken_back_is_not_tried_again_until_the_spec_changes() -> None:
    world = in_stage("canary-10")
    world.verdict = Verdict.BREACH
    world.run_for(MINUTE)
    assert world.status.phase is Phase.REVERTED
    assert condition(world, "Stalled") == (ConditionStatus.TRUE, "Reverted")
    assert world.workloads[Colour.GREEN].desired == 0, "drained, then parked"
    world.verdict = Verdict.PASS
    world.run_for(5 * MINUTE)
    assert world.status.phase is Phase.REVERTED
    world.change(make_spec("2.0.0", replicas=6))
    world.run_for(MINUTE)
    assert world.status.phase is Phase.REVERTED, "an autoscaler does not ask for another try"
    world.change(make_spec("2.0.1"))
    world.run_for(5 * MINUTE)
    assert world.status.stable
    assert world.status.stable.version == "2.0.1"


def test_the_same_breach_looked_at_twice_counts_once() -> None:
    world = in_stage("canary-10")
    world.verdict = Verdict.BREACH
    for _ in range(5):
        world.reconcile()
    assert world.status.slos[0].breaches == 1
    assert world.status.phase is Phase.PROGRESSING


def test_a_pass_between_two_breaches_starts_the_count_again() -> None:
    world = in_stage("canary-10")
    for verdict in (Verdict.BREACH, Verdict.PASS, Verdict.BREACH):
        world.verdict = verdict
        world.now += timedelta(seconds=1)
        world.settle()
    assert world.status.phase is Phase.PROGRESSING
    assert world.status.slos[0].breaches == 1


def test_silence_neither_advances_nor_reverts() -> None:
    world = in_stage("canary-10")
    world.verdict = Verdict.INCONCLUSIVE
    world.run_for(30 * MINUTE, step=MINUTE)
    assert world.status.stage
    assert world.status.stage.name == "canary-10"
    assert condition(world, "Progressing") == (ConditionStatus.TRUE, "Undecided")
    world.looking = False
    world.run_for(30 * MINUTE, step=MINUTE)
    assert world.status.stage.name == "canary-10"
    assert condition(world, "Ready")[0] is ConditionStatus.TRUE


def test_a_look_too_long_ago_says_nothing() -> None:
    world = in_stage("canary-10")
    world.last_look = timedelta(minutes=1)
    world.run_for(10 * MINUTE)
    assert world.status.stage
    assert world.status.stage.name == "canary-10"
    assert world.status.slos[0].reason == "NotLookedAt"


def test_pods_that_still_get_requests_are_not_taken_away() -> None:
    world = serving()
    world.change(make_spec("2.0.0"))
    world.run_for(5 * MINUTE)
    world.run_for(timedelta(hours=1), step=MINUTE)
    world.workloads[Colour.BLUE] = replace(world.workloads[Colour.BLUE], desired=4, ready=4)
    world.weights = {Colour.BLUE: 50, Colour.GREEN: 50}
    first = world.reconcile()
    assert world.weights == {Colour.BLUE: 0, Colour.GREEN: 100}
    assert not [effect for effect in first.effects if isinstance(effect, fx.ScaleWorkload)]
    world.reconcile()
    assert world.workloads[Colour.BLUE].desired == 0


@pytest.mark.parametrize(
    ("policy", "phase", "stage"),
    [("Hold", Phase.PROGRESSING, "canary-10"), ("Revert", Phase.REVERTED, None), ("Advance", Phase.IDLE, None)],
)
def test_an_undecided_stage_follows_the_policy_at_its_deadline(policy: str, phase: Phase, stage: str | None) -> None:
    steps = [{"weight": w, "hold": "1m", "deadline": "2m", "onDeadline": policy} for w in (10, 100)]
    world = in_stage("canary-10", strategy={"canary": {"steps": steps}})
    world.verdict = Verdict.INCONCLUSIVE
    world.run_for(10 * MINUTE)
    assert world.status.phase is phase
    assert (world.status.stage.name if world.status.stage else None) == stage


def test_pauses_do_not_count_towards_a_deadline() -> None:
    steps = [{"weight": w, "hold": "1m", "deadline": "2m", "onDeadline": "Revert"} for w in (10, 100)]
    strategy = {"canary": {"steps": steps}}
    world = in_stage("canary-10", strategy=strategy)
    world.verdict = Verdict.INCONCLUSIVE
    world.change(make_spec("2.0.0", strategy=strategy, paused=True))
    world.run_for(10 * MINUTE)
    assert condition(world, "Progressing") == (ConditionStatus.TRUE, "Paused")
    world.change(make_spec("2.0.0", strategy=strategy))
    world.run_for(MINUTE)
    assert world.status.phase is Phase.PROGRESSING
    world.run_for(2 * MINUTE)
    assert world.status.phase is Phase.REVERTED


def test_a_paused_rollout_is_still_taken_back_when_it_does_harm() -> None:
    world = in_stage("canary-10")
    world.change(make_spec("2.0.0", paused=True))
    world.run_for(5 * MINUTE)
    assert world.status.stage
    assert world.status.stage.name == "canary-10"
    world.verdict = Verdict.BREACH
    world.run_for(MINUTE)
    assert world.status.phase is Phase.REVERTED


def test_nothing_starts_while_paused() -> None:
    world = serving()
    world.change(make_spec("2.0.0", paused=True))
    world.run_for(MINUTE)
    assert world.status.candidate is None
    assert condition(world, "Progressing") == (ConditionStatus.FALSE, "Paused")


def test_a_third_version_in_the_middle_starts_over_with_stable_untouched() -> None:
    world = in_stage("canary-50")
    world.change(make_spec("3.0.0"))
    decision = world.reconcile()
    assert decision.effects[0] == fx.SetTraffic(stable=Colour.BLUE, candidate=Colour.GREEN, weight=0)
    world.run_for(timedelta(seconds=30))
    assert world.status.stable
    assert world.status.stable.version == "1.0.0"
    assert world.status.candidate
    assert world.status.candidate.version == "3.0.0"
    assert world.status.stage
    assert world.status.stage.name == "canary-10"


def test_going_back_to_the_version_that_serves_is_an_abort_and_serves_at_once() -> None:
    world = in_stage("canary-50")
    world.change(make_spec("1.0.0"))
    world.reconcile()
    assert world.weights == {Colour.BLUE: 100, Colour.GREEN: 0}
    world.run_for(MINUTE)
    assert world.status.phase is Phase.IDLE
    assert world.status.last_revert
    assert world.status.last_revert.reason == "Aborted"
    world.change(make_spec("2.0.0"))
    world.run_for(5 * MINUTE)
    assert world.status.stable
    assert world.status.stable.version == "2.0.0", "an aborted version may be tried again"


def test_the_version_before_returns_in_one_write_while_it_is_warm() -> None:
    world = serving()
    world.change(make_spec("2.0.0"))
    world.run_for(5 * MINUTE)
    assert world.workloads[Colour.BLUE].desired == 4
    world.change(make_spec("1.0.0"))
    before = len(world.log)
    world.reconcile()
    routes = [e for e in world.log[before:] if isinstance(e, fx.SetTraffic)]
    assert len(routes) == 1
    assert world.weights == {Colour.BLUE: 100, Colour.GREEN: 0}
    assert reasons(world)[-1] == "Restored"


def test_the_version_before_is_parked_at_zero_after_keep_warm() -> None:
    world = serving()
    world.change(make_spec("2.0.0"))
    world.run_for(5 * MINUTE)
    world.run_for(timedelta(hours=1), step=MINUTE)
    assert world.workloads[Colour.BLUE].desired == 0
    assert world.status.previous is None
    assert reasons(world)[-1] == "Parked"


def test_pods_that_do_not_come_up_fail_the_attempt_at_the_progress_deadline() -> None:
    world = serving(make_spec(progressDeadline="5m"))
    world.change(make_spec("2.0.0", progressDeadline="5m"))
    for _ in range(80):
        world.reconcile()
        world.now += timedelta(seconds=5)
    assert world.status.phase is Phase.REVERTED
    assert world.status.last_revert
    assert world.status.last_revert.reason == "ProgressDeadlineExceeded"
    assert not [e for e in world.log if isinstance(e, fx.SetTraffic) and e.weight], "no traffic had moved"


def test_no_traffic_before_every_warm_up_request_is_answered() -> None:
    warm = {"warmUp": {"path": "/v2/models/m/infer"}}
    world = serving(make_spec(**warm))
    world.change(make_spec("2.0.0", **warm))
    world.reconcile()
    world.pods_follow()
    decision = world.reconcile(crash_after=0)
    assert fx.WarmUp(colour=Colour.GREEN, attempt=2) in decision.effects
    assert condition_of(decision) == "WarmingUp"
    world.settle()
    assert world.status.stage
    assert world.status.candidate
    assert world.status.candidate.warm


def condition_of(decision: fx.Decision) -> str:
    written = next(e for e in decision.effects if isinstance(e, fx.WriteStatus))
    return next(c.reason for c in written.status.conditions if c.type == "Progressing")


def test_an_obstacle_holds_the_rollout_before_any_traffic_moves_and_is_told_once() -> None:
    world = serving()
    world.obstacles = (Obstacle(condition="MetricsReady", reason="QueryInvalid", message="SLO x: does not parse"),)
    world.change(make_spec("2.0.0"))
    world.run_for(5 * MINUTE)
    assert world.status.phase is Phase.PREPARING
    assert world.weights == {Colour.BLUE: 100, Colour.GREEN: 0}
    assert condition(world, "MetricsReady") == (ConditionStatus.FALSE, "QueryInvalid")
    assert condition(world, "Ready") == (ConditionStatus.FALSE, "QueryInvalid")
    assert reasons(world).count("QueryInvalid") == 1
    world.obstacles = ()
    world.settle()
    assert world.status.phase is Phase.PROGRESSING
    assert condition(world, "MetricsReady")[0] is ConditionStatus.TRUE


def test_a_candidate_without_ready_pods_loses_its_share() -> None:
    world = in_stage("canary-50")
    world.pods_ready(Colour.GREEN, 0)
    world.reconcile()
    assert world.weights == {Colour.BLUE: 100, Colour.GREEN: 0}
    assert world.status.last_revert
    assert world.status.last_revert.reason == "CandidateUnavailable"


def test_with_no_stable_pod_ready_a_serving_candidate_keeps_the_traffic() -> None:
    world = in_stage("canary-50")
    world.pods_ready(Colour.BLUE, 0)
    world.verdict = Verdict.BREACH
    for _ in range(5):
        world.reconcile()
        world.now += timedelta(seconds=1)
    assert world.weights == {Colour.BLUE: 50, Colour.GREEN: 50}
    assert condition(world, "Ready") == (ConditionStatus.FALSE, "StableUnavailable")
    world.pods_ready(Colour.BLUE, 1)
    world.reconcile()
    assert world.weights == {Colour.BLUE: 100, Colour.GREEN: 0}


def test_blue_green_validates_without_traffic_and_goes_straight_over() -> None:
    strategy = {"blueGreen": {"validation": "2m", "steps": [{"weight": 100, "hold": "1m"}]}}
    world = in_stage("validate", strategy=strategy)
    assert world.workloads[Colour.GREEN].ready == 4
    assert world.share_of(Colour.GREEN) == 0
    world.run_for(2 * MINUTE + timedelta(seconds=5))
    assert world.share_of(Colour.GREEN) == 100
    world.run_for(2 * MINUTE)
    assert world.status.phase is Phase.IDLE


def test_the_gateway_knows_of_the_candidate_for_a_moment_before_its_first_request_and_after_its_last() -> None:
    world = serving()
    world.change(make_spec("2.0.0"))
    world.reconcile()
    world.pods_follow()
    known = world.reconcile()
    assert world.status.stage
    assert next(e for e in known.effects if isinstance(e, fx.SetTraffic)).candidate is Colour.GREEN
    assert world.share_of(Colour.GREEN) == 0
    assert known.wake_at == world.now + timedelta(seconds=2)
    world.now += timedelta(seconds=2)
    world.reconcile()
    assert world.share_of(Colour.GREEN) == 10
    world.change(make_spec("1.0.0"))
    taken_back = world.reconcile()
    assert taken_back.effects[0] == fx.SetTraffic(stable=Colour.BLUE, candidate=Colour.GREEN, weight=0)
    world.now += timedelta(seconds=2)
    out = world.reconcile()
    assert next(e for e in out.effects if isinstance(e, fx.SetTraffic)).candidate is None


def test_an_edit_of_the_strategy_that_drops_the_stage_starts_at_the_first_one_with_the_same_pods() -> None:
    world = in_stage("canary-50")
    applied = len(
        [e for e in world.log if isinstance(e, fx.ApplyWorkload) and e.colour is Colour.GREEN and e.attempt > 2]
    )
    world.change(make_spec("2.0.0", strategy={"canary": {"steps": [{"weight": 20}, {"weight": 100}]}}))
    world.settle()
    assert world.status.stage
    assert world.status.stage.name == "canary-20"
    assert world.share_of(Colour.GREEN) == 20
    assert applied == 0


def test_deleting_leaves_stable_serving_and_takes_the_candidates_share_first() -> None:
    world = in_stage("canary-50")
    world.deleting = True
    decision = world.reconcile()
    assert [type(e) for e in decision.effects] == [fx.SetTraffic, fx.Release, fx.RemoveFinalizer]
    assert world.weights == {Colour.BLUE: 100, Colour.GREEN: 0}
    assert world.kept is Colour.BLUE


class TestReplicasRouter:
    """Weights by numbers of ready pods."""

    PODS: ClassVar = {"traffic": {"replicas": {}}, "slos": []}

    def test_the_candidate_gets_as_many_pods_as_the_weight_allows_and_never_more(self) -> None:
        world = in_stage("canary-50", **self.PODS)
        assert world.workloads[Colour.GREEN].ready == 4
        assert world.share_of(Colour.GREEN) == 50
        assert world.status.reachable_weights == [20.0, 33.33, 42.86, 50.0, 100.0]

    def test_a_stage_below_the_smallest_reachable_weight_is_skipped(self) -> None:
        world = serving(make_spec(**self.PODS))
        world.change(make_spec("2.0.0", **self.PODS))
        world.run_for(5 * MINUTE)
        stages = [e.message for e in world.events if e.reason == "StageEntered"]
        assert [m.split()[1] for m in stages] == ["canary-50", "canary-100"]

    def test_or_refused_before_any_traffic_moves(self) -> None:
        refuse = {"traffic": {"replicas": {"unreachable": "Refuse"}}, "slos": []}
        world = serving(make_spec(**refuse))
        world.change(make_spec("2.0.0", **refuse))
        world.run_for(5 * MINUTE)
        assert world.status.phase is Phase.PREPARING
        assert condition(world, "RouteReady") == (ConditionStatus.FALSE, "WeightUnreachable")

    def test_losing_stable_pods_never_gives_the_candidate_more_than_its_stage(self) -> None:
        world = in_stage("canary-50", **self.PODS)
        world.pods_ready(Colour.BLUE, 2)
        assert world.share_of(Colour.GREEN) > 50
        world.reconcile()
        assert world.share_of(Colour.GREEN) == 0

    def test_promotion_switches_the_selector_when_all_pods_are_ready(self) -> None:
        world = in_stage("canary-100", **self.PODS)
        assert world.share_of(Colour.GREEN) == 100
        world.run_for(2 * MINUTE)
        assert world.status.stable
        assert world.status.stable.version == "2.0.0"
