"""How a rollout goes on, told as stories: given a world, when something happens, then this follows."""

from datetime import timedelta
from typing import Any, ClassVar

from modelrollout.api.slo import Verdict
from modelrollout.api.status import Colour, ConditionStatus, Phase
from modelrollout.engine import effects as fx
from modelrollout.engine.decide import decide
from modelrollout.engine.snapshot import Obstacle
from unit.engine.simulation import World, make_spec
from unit.engine.worlds import MINUTE, condition, in_stage, reasons, serving, taking_back


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


def test_a_transition_is_told_as_soon_as_it_is_written_down() -> None:
    world = serving()
    world.change(make_spec("2.0.0"))
    effects = decide(world.snapshot(), world.now).effects
    written = next(at for at, effect in enumerate(effects) if isinstance(effect, fx.WriteStatus))
    assert isinstance(effects[written + 1], fx.Emit)
    assert any(isinstance(effect, fx.ApplyWorkload) for effect in effects[written + 2 :]), "what follows may fail"


def test_a_process_that_has_not_looked_at_the_metrics_finds_nothing_to_write_once_all_is_over() -> None:
    world = serving()
    world.change(make_spec("2.0.0"))
    world.run_for(4 * MINUTE)
    before = world.status
    world.preflighted = False
    world.settle()
    assert world.status == before


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


def test_nothing_starts_while_paused() -> None:
    world = serving()
    world.change(make_spec("2.0.0", paused=True))
    world.run_for(MINUTE)
    assert world.status.candidate is None
    assert condition(world, "Progressing") == (ConditionStatus.FALSE, "Paused")


def test_no_traffic_before_every_warm_up_request_is_answered() -> None:
    warm: dict[str, Any] = {"warmUp": {"path": "/v2/models/m/infer"}}
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
    taken_back = taking_back(world)
    assert world.reconcile().effects[0] == taken_back
    world.now += timedelta(seconds=2)
    out = world.reconcile()
    assert next(e for e in out.effects if isinstance(e, fx.SetTraffic)).candidate is None


def test_an_edit_of_the_strategy_that_drops_the_stage_starts_at_the_first_one_with_the_same_pods() -> None:
    world = in_stage("canary-50")
    before = world.workloads[Colour.GREEN]
    world.change(make_spec("2.0.0", strategy={"canary": {"steps": [{"weight": 20}, {"weight": 100}]}}))
    world.settle()
    assert world.status.stage
    assert world.status.stage.name == "canary-20"
    assert world.share_of(Colour.GREEN) == 20
    after = world.workloads[Colour.GREEN]
    assert (after.revision, after.attempt) == (before.revision, before.attempt)


def test_two_obstacles_of_one_kind_are_told_once() -> None:
    world = serving()
    world.obstacles = tuple(
        Obstacle(condition="MetricsReady", reason=reason, message=reason) for reason in ("QueryInvalid", "NoSeries")
    )
    world.change(make_spec("2.0.0"))
    for _ in range(5):
        world.settle()
        world.now += timedelta(seconds=5)
    assert [reason for reason in reasons(world) if reason in ("QueryInvalid", "NoSeries")] == [
        "QueryInvalid",
        "NoSeries",
    ]


def test_an_obstacle_is_forgotten_with_the_candidate_that_had_it() -> None:
    world = serving()
    world.obstacles = (Obstacle(condition="MetricsReady", reason="QueryInvalid", message="does not parse"),)
    world.change(make_spec("2.0.0"))
    world.settle()
    world.obstacles, world.preflighted = (), False
    world.change(make_spec("1.0.0"))
    world.run_for(timedelta(seconds=20))
    assert "MetricsReady" not in {one.type for one in world.status.conditions}


def test_an_obstacle_in_a_stage_holds_it() -> None:
    world = in_stage("canary-10")
    world.obstacles = (Obstacle(condition="RouteReady", reason="RouteRejected", message="no listener"),)
    world.run_for(10 * MINUTE)
    assert world.status.stage
    assert world.status.stage.name == "canary-10"
    assert condition(world, "Progressing") == (ConditionStatus.TRUE, "RouteRejected")


def test_an_edit_that_drops_the_stage_leaves_the_candidate_in_the_route_for_a_moment() -> None:
    world = in_stage("canary-50")
    world.preflighted = False
    steps = {"canary": {"steps": [{"weight": weight, "hold": "1m"} for weight in (20, 100)]}}
    world.change(make_spec("2.0.0", strategy=steps))
    left = world.reconcile()
    assert next(e for e in left.effects if isinstance(e, fx.SetTraffic)).candidate is Colour.GREEN
    assert left.wake_at == world.now + timedelta(seconds=2)
    world.now += timedelta(seconds=2)
    out = world.reconcile()
    assert next(e for e in out.effects if isinstance(e, fx.SetTraffic)).candidate is None


def test_a_stage_that_fewer_pods_cannot_reach_is_passed_over() -> None:
    plan = {
        "traffic": {"replicas": {}},
        "strategy": {"canary": {"steps": [{"weight": w, "hold": "1h"} for w in (25, 100)]}},
    }
    world = in_stage("canary-25", **plan)
    world.change(make_spec("2.0.0", **plan, replicas=2))
    world.settle()
    assert world.status.stage
    assert world.status.stage.name == "canary-100"


def test_the_bake_takes_everything_back_at_once_and_keeps_stable_until_it_is_over() -> None:
    world = in_stage("bake", bake={"duration": "1h"})
    assert world.weights == {Colour.BLUE: 0, Colour.GREEN: 100}
    assert world.workloads[Colour.BLUE].desired == 4
    world.run_for(50 * MINUTE, step=MINUTE)
    assert world.status.phase is Phase.PROGRESSING
    world.verdict = Verdict.BREACH
    for _ in range(2):
        world.now += timedelta(seconds=1)
        taken_back = taking_back(world)
        decision = world.reconcile()
    assert decision.effects[0] == taken_back
    assert world.status.last_revert
    assert (world.status.last_revert.stage, world.status.last_revert.reason) == ("bake", "SLOBreached")


def test_a_stage_waits_only_for_the_slos_that_it_requires() -> None:
    steps = [{"weight": 10, "hold": "1m", "require": {"slos": []}}, {"weight": 100, "hold": "1m"}]
    world = in_stage("canary-10", strategy={"canary": {"steps": steps}})
    world.verdict = Verdict.INCONCLUSIVE
    world.run_for(5 * MINUTE)
    assert world.status.stage
    assert world.status.stage.name == "canary-100", "this one requires all"
    assert condition(world, "Progressing") == (ConditionStatus.TRUE, "Undecided")


class TestReplicasRouter:
    """Weights by numbers of ready pods."""

    PODS: ClassVar[dict[str, Any]] = {"traffic": {"replicas": {}}, "slos": []}

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
        refuse: dict[str, Any] = {"traffic": {"replicas": {"unreachable": "Refuse"}}, "slos": []}
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
