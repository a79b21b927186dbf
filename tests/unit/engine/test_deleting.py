"""How a rollout ends, and what the next one of its name finds."""

from dataclasses import replace
from datetime import timedelta

from modelrollout.api.status import Colour, ModelRolloutStatus
from modelrollout.engine import effects as fx
from unit.engine.simulation import make_spec
from unit.engine.worlds import MINUTE, in_stage, reasons, serving, taking_back


def test_deleting_takes_the_candidate_back_before_anything_is_let_go() -> None:
    world = in_stage("canary-50")
    world.deleting = True
    taken_back = taking_back(world)
    assert world.reconcile().effects[0] == taken_back
    assert world.weights == {Colour.BLUE: 100, Colour.GREEN: 0}
    assert not world.gone
    assert world.workloads[Colour.GREEN].desired > 0, "answers under way are finished"
    world.run_for(timedelta(seconds=15))
    assert world.gone
    assert world.kept is Colour.BLUE
    assert reasons(world)[-2:] == ["Reverting", "Reverted"]


def test_deleting_does_not_wait_for_a_stable_version_that_is_gone() -> None:
    world = in_stage("canary-50")
    world.pods_ready(Colour.BLUE, 0)
    world.deleting = True
    world.reconcile()
    assert world.gone
    assert (world.kept, world.weights) == (Colour.GREEN, {Colour.BLUE: 0, Colour.GREEN: 100})


def test_what_a_deleted_rollout_left_serving_is_stable_for_the_next_one() -> None:
    left = serving()
    left.deleting = True
    left.run_for(timedelta(seconds=5))
    world = replace(left, status=ModelRolloutStatus(), deleting=False, gone=False, spec=make_spec("2.0.0"))
    world.settle()
    assert world.status.stable
    assert (world.status.stable.version, world.status.stable.colour) == ("1.0.0", Colour.BLUE)
    assert world.status.candidate
    assert (world.status.candidate.version, world.status.candidate.attempt) == ("2.0.0", 2)
    world.run_for(4 * MINUTE)
    assert world.weights == {Colour.GREEN: 100, Colour.BLUE: 0}


def test_a_version_left_broken_is_replaced_without_stages() -> None:
    left = serving()
    left.deleting = True
    left.run_for(timedelta(seconds=5))
    left.pods_ready(Colour.BLUE, 0)
    world = replace(left, status=ModelRolloutStatus(), deleting=False, gone=False, spec=make_spec("2.0.0"))
    for _ in range(5):
        world.reconcile()
    world.pods_ready(Colour.GREEN, 4)
    world.reconcile()
    assert world.weights == {Colour.GREEN: 100, Colour.BLUE: 0}


def test_a_route_that_is_written_late_is_fenced_when_the_rollout_goes() -> None:
    world = serving()
    world.deleting = True
    token = str(world.route_version)
    assert fx.SetTraffic(stable=Colour.BLUE, attempt=1, token=token) in world.reconcile().effects


def test_a_lost_status_does_not_take_what_serves_with_it() -> None:
    world = serving()
    world.deleting, world.status = True, ModelRolloutStatus()
    world.run_for(timedelta(seconds=5))
    assert world.gone
    assert (world.kept, world.weights) == (Colour.BLUE, {Colour.BLUE: 100, Colour.GREEN: 0})
