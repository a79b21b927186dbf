"""Whose pods the scale subresource names: an autoscaler reckons with the load of these, and sets spec.replicas."""

from datetime import timedelta

from modelrollout.api.slo import Verdict
from modelrollout.api.status import Colour, Phase
from unit.engine.simulation import World, make_spec
from unit.engine.worlds import MINUTE, in_stage, serving

BOTH = "modelrollout.io/name=scorer"


def only(colour: Colour) -> str:
    return f"{BOTH},modelrollout.io/colour={colour}"


def test_a_candidate_without_requests_says_nothing_of_the_load() -> None:
    world = serving()
    assert world.status.selector == only(Colour.BLUE)
    world.change(make_spec("2.0.0"))
    world.reconcile()
    assert world.status.phase is Phase.PREPARING
    assert world.status.selector == only(Colour.BLUE)


def test_while_both_may_have_requests_the_load_is_that_of_both() -> None:
    world = in_stage("canary-10")
    assert world.status.selector == BOTH
    world.run_for(4 * MINUTE)
    assert world.status.stable
    assert world.status.stable.version == "2.0.0"
    assert world.status.selector == only(Colour.GREEN)


def test_in_the_bake_stable_has_no_load_and_is_not_taken_for_all() -> None:
    world = in_stage("bake", bake={"duration": "1h"})
    assert world.share_of(Colour.GREEN) == 100
    assert world.status.selector == BOTH


def test_after_the_way_back_it_is_stables_alone_again() -> None:
    world = in_stage("canary-10")
    world.verdict = Verdict.BREACH
    until_reverted(world)
    assert world.status.selector == only(Colour.BLUE)


def until_reverted(world: World) -> None:
    for _ in range(100):
        world.run_for(timedelta(seconds=5))
        if world.status.phase is Phase.REVERTED:
            return
    raise AssertionError(f"not reverted: {world.status.phase}")
