"""How a rollout is held, taken back and given up, told as stories."""

from dataclasses import replace
from datetime import timedelta

import pytest

from modelrollout.api.slo import Verdict
from modelrollout.api.status import Colour, ConditionStatus, ModelRolloutStatus, Phase
from modelrollout.engine import effects as fx
from modelrollout.engine.snapshot import Obstacle
from unit.engine.simulation import GATEWAY, World, make_spec
from unit.engine.worlds import MINUTE, breach, condition, in_stage, reasons, serving, taking_back


def test_a_breach_takes_the_candidate_back_with_one_route_write_before_anything_else() -> None:
    world = in_stage("canary-10")
    world.verdict = Verdict.BREACH
    world.settle()
    assert world.status.phase is Phase.PROGRESSING, "one breach is not two in a row"
    world.now += timedelta(seconds=1)
    taken_back = taking_back(world)
    decision = world.reconcile()
    assert decision.effects[0] == taken_back
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


def test_a_paused_rollout_is_still_taken_back_when_it_does_harm() -> None:
    world = in_stage("canary-10")
    world.change(make_spec("2.0.0", paused=True))
    world.run_for(5 * MINUTE)
    assert world.status.stage
    assert world.status.stage.name == "canary-10"
    world.verdict = Verdict.BREACH
    world.run_for(MINUTE)
    assert world.status.phase is Phase.REVERTED


def test_a_third_version_in_the_middle_starts_over_with_stable_untouched() -> None:
    world = in_stage("canary-50")
    world.change(make_spec("3.0.0"))
    taken_back = taking_back(world)
    decision = world.reconcile()
    assert decision.effects[0] == taken_back
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


@pytest.mark.parametrize("router", [GATEWAY, {"replicas": {}}], ids=["gateway", "replicas"])
def test_a_view_from_before_a_promotion_takes_nothing_back(router: dict[str, object]) -> None:
    """Late, as by a deposed leader, it would put requests on the colour that the next candidate has been given."""
    world = in_stage("canary-100", traffic=router)
    world.change(make_spec("1.0.0", traffic=router))
    aborting, version = world.snapshot(), world.status_version
    world.change(make_spec("2.0.0", traffic=router))
    world.run_for(2 * MINUTE)
    world.change(make_spec("3.0.0", traffic=router))
    world.reconcile()
    assert world.status.candidate
    assert (world.status.candidate.colour, world.weights) == (Colour.BLUE, {Colour.GREEN: 100, Colour.BLUE: 0})
    late = world.carry_out(aborting, version)
    assert isinstance(late.effects[0], fx.SetTraffic)
    assert late.effects[0].stable is Colour.BLUE
    assert world.weights == {Colour.GREEN: 100, Colour.BLUE: 0}


def taken_back_with_nobody_to_go_back_to(*, pods: int) -> World:
    """A world whose status was lost while no pod answered, and in which so many of four came back after that."""
    world = serving()
    world.status, world.status_version = ModelRolloutStatus(), world.status_version + 1
    world.pods_ready(Colour.BLUE, 0)
    for _ in range(12):
        world.reconcile()
        world.pods_ready(Colour.BLUE, pods)
        world.now += MINUTE
    assert "Reverting" in reasons(world)
    return world


def test_what_serves_without_a_version_to_go_back_to_is_stable() -> None:
    world = taken_back_with_nobody_to_go_back_to(pods=3)
    world.settle()
    assert world.status.stable
    assert (world.status.stable.version, world.status.phase) == ("1.0.0", Phase.IDLE)
    world.change(make_spec("2.0.0"))
    world.run_for(5 * MINUTE)
    assert world.status.stable.version == "2.0.0"


def test_a_fix_gets_through_when_nobody_answers_and_there_is_nobody_to_go_back_to() -> None:
    world = taken_back_with_nobody_to_go_back_to(pods=0)
    assert world.status.phase is Phase.REVERTED
    world.change(make_spec("2.0.0"))
    world.run_for(5 * MINUTE)
    assert world.status.stable
    assert world.status.stable.version == "2.0.0"


def test_a_fix_gets_through_when_stable_is_dead() -> None:
    world = serving()
    world.pods_ready(Colour.BLUE, 0)
    world.change(make_spec("2.0.0"))
    for _ in range(60):
        world.reconcile()
        world.pods_ready(Colour.GREEN, 4)
        world.now += timedelta(seconds=5)
    assert world.status.phase is Phase.IDLE
    assert world.weights == {Colour.GREEN: 100, Colour.BLUE: 0}


def test_a_fix_gets_through_when_stable_is_dead_and_pods_split_the_requests() -> None:
    world = serving(make_spec(traffic={"replicas": {}}))
    world.pods_ready(Colour.BLUE, 0)
    world.change(make_spec("2.0.0", traffic={"replicas": {}}))
    for _ in range(60):
        world.reconcile()
        world.pods_ready(Colour.GREEN, world.workloads[Colour.GREEN].desired if Colour.GREEN in world.workloads else 0)
        world.now += timedelta(seconds=5)
    assert world.status.stable
    assert world.status.stable.version == "2.0.0"


def test_another_version_replaces_what_is_dead_while_a_bad_one_has_to_serve() -> None:
    world = in_stage("canary-50")
    world.pods_ready(Colour.BLUE, 0)
    world.verdict = Verdict.BREACH
    for _ in range(5):
        world.reconcile()
        world.now += timedelta(seconds=1)
    world.verdict = Verdict.PASS
    world.change(make_spec("3.0.0"))
    world.reconcile()
    assert world.status.stable
    assert (world.status.stable.version, world.weights) == ("2.0.0", {Colour.GREEN: 100, Colour.BLUE: 0})
    world.run_for(6 * MINUTE)
    assert world.status.stable
    assert (world.status.stable.version, world.weights) == ("3.0.0", {Colour.BLUE: 100, Colour.GREEN: 0})


@pytest.mark.parametrize("colour", Colour)
def test_somebody_who_restarts_pods_takes_nothing_down_and_nothing_back(colour: Colour) -> None:
    world = in_stage("canary-50")
    world.restart(colour)
    world.reconcile()
    assert world.status.phase is Phase.PROGRESSING
    assert condition(world, "Ready") == (ConditionStatus.TRUE, "Serving")
    assert world.weights == {Colour.BLUE: 50, Colour.GREEN: 50}
    breach(world, times=3)
    assert world.weights == {Colour.BLUE: 100, Colour.GREEN: 0}, "a restart is no reason to keep a bad version"


def test_a_blip_after_a_long_obstacle_does_not_use_up_the_progress_deadline() -> None:
    world = serving()
    world.obstacles = (Obstacle(condition="RouteReady", reason="GatewayMissing", message="no Gateway public"),)
    world.change(make_spec("2.0.0"))
    world.run_for(timedelta(hours=1), step=MINUTE)
    world.pods_ready(Colour.GREEN, 3)
    world.reconcile()
    assert world.status.phase is Phase.PREPARING
    for _ in range(11):
        world.now += MINUTE
        world.reconcile()
    assert world.status.phase is Phase.REVERTED, "pods that stay away are a failure all the same"
    assert world.status.last_revert
    assert world.status.last_revert.reason == "ProgressDeadlineExceeded"


def test_the_drain_begins_when_the_requests_are_gone_however_late_that_is() -> None:
    world = in_stage("canary-50")
    world.pods_ready(Colour.BLUE, 0)
    world.verdict = Verdict.BREACH
    for _ in range(30):
        world.reconcile()
        world.now += timedelta(seconds=5)
    assert world.weights == {Colour.BLUE: 50, Colour.GREEN: 50}
    world.pods_ready(Colour.BLUE, 4)
    back = world.reconcile()
    assert next(e for e in back.effects if isinstance(e, fx.SetTraffic)).candidate is Colour.GREEN
    for _ in range(4):
        world.now += timedelta(seconds=2)
        world.reconcile()
    assert world.workloads[Colour.GREEN].desired == 4, "answers under way are finished"
    world.run_for(timedelta(seconds=4))
    assert world.workloads[Colour.GREEN].desired == 0


def test_a_version_before_that_is_gone_comes_back_by_stages() -> None:
    world = serving(make_spec(rollback={"keepWarm": "1h"}))
    world.change(make_spec("2.0.0", rollback={"keepWarm": "1h"}))
    world.run_for(5 * MINUTE)
    assert world.status.previous
    del world.workloads[Colour.BLUE]
    world.change(make_spec("1.0.0", rollback={"keepWarm": "1h"}))
    world.reconcile()
    assert world.status.phase is Phase.PREPARING


def test_a_version_before_whose_pods_stay_away_needs_a_person_and_comes_back_by_stages_in_the_end() -> None:
    world = serving(make_spec(rollback={"keepWarm": "1h"}))
    world.change(make_spec("2.0.0", rollback={"keepWarm": "1h"}))
    world.run_for(5 * MINUTE)
    world.pods_ready(Colour.BLUE, 1)
    world.change(make_spec("1.0.0", rollback={"keepWarm": "1h"}))
    waiting = world.reconcile()
    assert condition(world, "Ready") == (ConditionStatus.FALSE, "WaitingForPods")
    assert waiting.wake_at
    world.now = waiting.wake_at
    world.reconcile()
    assert world.status.phase is Phase.PREPARING


def test_the_version_before_is_parked_in_time_though_another_one_waits() -> None:
    world = serving()
    world.change(make_spec("2.0.0"))
    world.run_for(5 * MINUTE)
    world.change(make_spec("3.0.0", paused=True))
    world.run_for(timedelta(hours=2), step=MINUTE)
    assert world.status.previous is None
    assert world.workloads[Colour.BLUE].desired == 0


def test_nothing_of_a_failed_trial_is_left_in_the_status_of_what_serves() -> None:
    world = in_stage("canary-50")
    breach(world, times=3)
    world.change(make_spec("1.0.0"))
    world.run_for(timedelta(seconds=20))
    assert world.status.phase is Phase.IDLE
    assert (world.status.verdict, world.status.slos) == ("", [])
