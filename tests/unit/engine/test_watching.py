"""What is to be looked at until the next decision, and what may be made of it."""

from typing import Any

import pytest

from modelrollout.api.status import Colour
from modelrollout.engine import effects as fx
from unit.engine.simulation import World, make_spec
from unit.engine.worlds import applied, in_stage, serving


def watch(world: World) -> fx.Watch:
    found = world.reconcile().watch
    assert found
    return found


def test_the_split_of_a_stage_is_known_once_the_route_shows_it() -> None:
    world = in_stage("canary-10")
    assert watch(world).split == 10
    assert world.weights
    world.weights = {Colour.BLUE: 70, Colour.GREEN: 30}
    assert watch(world).split is None, "somebody has changed the route"


def test_until_a_stage_is_reached_its_split_is_that_of_the_one_before() -> None:
    world = serving()
    world.change(make_spec("2.0.0"))
    for _ in range(20):
        decision = world.reconcile()
        world.pods_follow()
        if decision.watch and world.status.stage and world.status.stage.reached_at is None:
            assert decision.watch.split is None
            break
    else:
        raise AssertionError("no stage was entered")


@pytest.mark.parametrize(
    ("stage", "spec"),
    [
        ("canary-100", {"strategy": {"canary": {"steps": [{"weight": 10}, {"weight": 100, "hold": "1h"}]}}}),
        ("canary-50", {"traffic": {"replicas": {}}}),
        (
            "ring",
            {
                "strategy": {
                    "stages": [
                        {
                            "name": "ring",
                            "traffic": {"weight": 10, "match": [{"header": "x-ring", "value": "beta"}]},
                            "hold": "1h",
                        },
                        {"name": "all", "traffic": {"weight": 100}},
                    ]
                }
            },
        ),
    ],
    ids=["all", "pods", "cohort"],
)
def test_nobody_knows_the_split_where_all_go_one_way_or_pods_or_headers_decide(
    stage: str, spec: dict[str, Any]
) -> None:
    assert watch(in_stage(stage, **spec)).split is None


def test_nobody_knows_the_split_where_somebody_is_kept_on_stable() -> None:
    world = in_stage("canary-10")
    applied(world, "Exclude", cohort={"header": "x-tenant", "value": "acme"})
    assert watch(world).split is None
