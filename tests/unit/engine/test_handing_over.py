"""A workload that the template is taken from: what of it counts, and when it is scaled to 0."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from modelrollout.api.slo import Verdict
from modelrollout.api.spec import ModelRolloutSpec
from modelrollout.api.status import ConditionStatus, ModelRolloutStatus, Phase
from modelrollout.engine import effects as fx
from modelrollout.engine.decide import decide
from modelrollout.engine.snapshot import Origin
from unit.engine.simulation import World, make_spec
from unit.engine.worlds import MINUTE, breach, condition, reasons

ORIGIN = Origin(name="old", uid="1", desired=4, handed_over=False)
SHORT: dict[str, Any] = {"rollback": {"keepWarm": "1m"}}


def moving(version: str = "1.0.0", **changes: Any) -> ModelRolloutSpec:
    return make_spec(version, **{"workloadRef": {"name": "old"}, "template": None} | changes)


def served(spec: ModelRolloutSpec | None = None, origin: Origin | None = ORIGIN) -> World:
    """A world in which the first version serves in place of the origin."""
    world = World(spec=spec or moving(), origin=origin)
    world.settle()
    assert world.status.stable
    return world


def hand_overs(world: World) -> list[fx.Effect]:
    return [effect for effect in world.log if isinstance(effect, fx.HandOver)]


def edit(world: World, **changes: Any) -> None:
    assert world.origin
    world.origin = replace(world.origin, **changes)


def test_it_is_scaled_down_once_the_first_version_serves_and_everybody_is_told() -> None:
    world = served()
    assert hand_overs(world) == [fx.HandOver(uid="1", desired=4)]
    assert world.origin == replace(ORIGIN, desired=0, handed_over=True)
    workload = world.status.workload
    assert workload
    assert (workload.name, workload.uid, workload.handed_over_at) == ("old", "1", world.now)
    assert reasons(world).count("HandedOver") == 1
    assert [entry.reason for entry in world.reports[1].timeline][-2:] == ["Promoted", "HandedOver"]
    assert condition(world, "HandedOver") == (ConditionStatus.TRUE, "HandedOver")
    assert condition(world, "Ready")[0] is ConditionStatus.TRUE


def test_it_keeps_its_pods_until_then() -> None:
    world = World(spec=moving(), origin=ORIGIN)
    for _ in range(5):
        world.reconcile()
    assert world.status.phase is Phase.PREPARING
    assert world.origin == ORIGIN
    assert condition(world, "HandedOver") == (ConditionStatus.FALSE, "WaitingForStable")


def is_about_to_hand_over(world: World) -> bool:
    return any(isinstance(effect, fx.HandOver) for effect in decide(world.snapshot(), world.now).effects)


@pytest.mark.parametrize("effects", range(8))
def test_a_crash_anywhere_scales_it_down_once(effects: int) -> None:
    world = World(spec=moving(), origin=ORIGIN)
    while not is_about_to_hand_over(world):
        world.reconcile()
        world.pods_follow()
    world.reconcile(crash_after=effects)
    world.settle()
    edit(world, desired=4)
    for _ in range(3):
        world.reconcile(crash_after=effects)
        world.settle()
    assert world.handed_over == ["1"]
    assert world.origin
    assert world.origin.desired == 4


def test_who_scales_it_up_again_is_left_alone_and_warned_once() -> None:
    world = served()
    for desired in (4, 5, 3):
        edit(world, desired=desired)
        world.run_for(MINUTE)
    assert len(hand_overs(world)) == 1
    assert reasons(world).count("ScaledUpAgain") == 1
    assert condition(world, "HandedOver") == (ConditionStatus.FALSE, "ScaledUpAgain")
    assert condition(world, "Ready")[0] is ConditionStatus.TRUE, "what serves is not worse for it"
    edit(world, desired=0)
    world.settle()
    assert condition(world, "HandedOver") == (ConditionStatus.TRUE, "HandedOver")


def test_a_lost_status_is_no_reason_to_scale_it_down_again() -> None:
    world = served()
    edit(world, desired=4)
    world.status, world.status_version = ModelRolloutStatus(), world.status_version + 1
    world.history = {}
    world.run_for(MINUTE)
    assert len(hand_overs(world)) == 1
    assert world.status.workload
    assert condition(world, "HandedOver")[1] == "ScaledUpAgain"


def test_one_that_is_made_anew_is_another_one() -> None:
    world = served()
    world.origin = replace(ORIGIN, uid="2")
    world.settle()
    assert world.handed_over == ["1", "2"]
    assert world.status.workload
    assert world.status.workload.uid == "2"


def test_fewer_pods_than_it_has_do_not_take_over() -> None:
    world = served(origin=replace(ORIGIN, desired=5))
    assert hand_overs(world) == []
    assert condition(world, "HandedOver") == (ConditionStatus.FALSE, "TooFewReplicas")
    assert reasons(world).count("TooFewReplicas") == 1
    world.change(moving(replicas=5))
    world.settle()
    assert world.handed_over == ["1"]


def test_pods_that_are_not_ready_do_not_take_over() -> None:
    world = served(origin=replace(ORIGIN, desired=5))
    assert world.status.stable
    world.change(moving(replicas=5))
    for _ in range(3):
        world.reconcile()
    assert hand_overs(world) == []


def test_one_at_0_already_is_only_noted() -> None:
    world = served(origin=replace(ORIGIN, desired=0))
    assert hand_overs(world) == []
    assert world.status.workload
    edit(world, desired=2)
    world.settle()
    assert (hand_overs(world), condition(world, "HandedOver")[1]) == ([], "ScaledUpAgain")


def test_never_means_never() -> None:
    world = served(moving(workloadRef={"name": "old", "scaleDown": "Never"}))
    assert hand_overs(world) == []
    assert world.status.workload is None
    assert not any(one.type == "HandedOver" for one in world.status.conditions)


def test_nobody_is_scaled_down_while_the_rollout_goes() -> None:
    world = served(origin=replace(ORIGIN, desired=5))
    edit(world, desired=4)
    world.deleting = True
    for _ in range(5):
        world.reconcile()
    assert world.gone
    assert hand_overs(world) == []


def test_a_change_of_its_template_is_a_new_attempt() -> None:
    world = served()
    world.image = "server:2"
    world.settle()
    assert (world.status.attempt, world.status.phase) == (2, Phase.PROGRESSING)
    assert world.status.candidate
    assert world.status.candidate.version == "1.0.0"


def test_a_change_of_its_template_back_takes_the_candidate_back() -> None:
    world = served()
    world.image = "server:2"
    world.settle()
    world.image = "server:1"
    world.run_for(MINUTE)
    assert world.status.last_revert
    assert world.status.last_revert.reason == "Aborted"


def test_a_failed_template_is_tried_again_once_it_is_another() -> None:
    world = served()
    world.image = "server:2"
    world.settle()
    breach(world, times=3)
    world.verdict = Verdict.PASS
    world.run_for(MINUTE)
    assert (world.status.phase, world.status.attempt) == (Phase.REVERTED, 2)
    world.image = "server:3"
    world.settle()
    assert world.status.attempt == 3


def test_without_it_what_serves_goes_on_and_the_loss_is_told() -> None:
    world = served()
    attempt, pods = world.status.attempt, dict(world.workloads)
    world.origin = None
    world.run_for(MINUTE)
    assert (world.status.attempt, world.workloads) == (attempt, pods)
    assert condition(world, "Ready") == (ConditionStatus.FALSE, "WorkloadUnusable")
    assert condition(world, "HandedOver") == (ConditionStatus.TRUE, "HandedOver")
    world.change(moving(replicas=6))
    world.settle()
    assert {workload.desired for workload in world.workloads.values()} == {6}, "it can still be scaled"


def test_without_it_what_is_on_trial_goes_on() -> None:
    world = served()
    world.image = "server:2"
    world.settle()
    world.origin = None
    world.run_for(5 * MINUTE)
    assert world.status.stable
    assert world.status.stable.attempt == 2


def test_without_it_history_can_be_gone_back_to_until_it_asks_for_something_else() -> None:
    world = served(moving(**SHORT))
    world.change(moving("2.0.0", **SHORT))
    world.run_for(8 * MINUTE, step=timedelta(seconds=10))
    gone, world.origin = world.origin, None
    assert world.go_back("1.0.0")
    world.run_for(8 * MINUTE, step=timedelta(seconds=10))
    assert world.status.stable
    assert (world.status.stable.version, world.status.stable.attempt) == ("1.0.0", 3)
    assert condition(world, "Ready")[0] is ConditionStatus.TRUE
    world.origin = gone
    world.run_for(8 * MINUTE, step=timedelta(seconds=10))
    assert world.status.stable.version == "1.0.0", "what is there again has not changed, as far as is known"
    world.change(moving("2.0.0", **SHORT, replicas=5))
    world.run_for(MINUTE)
    assert world.status.pinned


def test_another_template_ends_what_was_gone_back_to() -> None:
    world = served(moving(**SHORT))
    world.change(moving("2.0.0", **SHORT))
    world.run_for(8 * MINUTE, step=timedelta(seconds=10))
    assert world.go_back("1.0.0")
    world.run_for(8 * MINUTE, step=timedelta(seconds=10))
    assert world.status.pinned
    world.origin, kept = None, world.origin
    world.settle()
    assert world.status.pinned, "what is unknown has not changed"
    world.origin, world.image = kept, "server:2"
    world.run_for(8 * MINUTE, step=timedelta(seconds=10))
    assert world.status.pinned is None
    assert world.status.stable
    assert world.status.stable.version == "2.0.0"


def test_the_same_template_written_into_the_spec_starts_nothing() -> None:
    world = served()
    attempt = world.status.attempt
    world.change(make_spec())
    world.run_for(MINUTE)
    assert (world.status.attempt, world.status.phase) == (attempt, Phase.IDLE)
    assert not any(one.type == "HandedOver" for one in world.status.conditions)
