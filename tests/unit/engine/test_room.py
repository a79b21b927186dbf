"""No room for two full copies: every plan comes to an end, and there are always enough ready pods on the way."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from modelrollout.api.status import Colour
from unit.engine.simulation import GATEWAY, World, make_spec

REPLICAS: dict[str, Any] = {"replicas": {}}
PRESETS: dict[str, dict[str, Any]] = {
    "canary": {"canary": {"steps": [{"weight": weight, "hold": "1m"} for weight in (1, 5, 10, 25, 50, 100)]}},
    "blueGreen": {"blueGreen": {"steps": [{"weight": weight, "hold": "1m"} for weight in (10, 50, 100)]}},
    "percentage": {"percentage": {"steps": [{"weight": weight, "hold": "1m"} for weight in (25, 50, 75, 100)]}},
    "ring": {"ring": {"rings": [{"name": f"ring-{weight}", "weight": weight} for weight in (1, 10, 99, 100)]}},
    "at-once": {"canary": {"steps": [{"weight": 100, "hold": "1m"}]}},
}


def cramped(replicas: int, room: int, *, no_room: str = "ShrinkStable", **changes: Any) -> World:
    """A world with room for so many pods, in which 1.0.0 serves and 2.0.0 is wanted."""
    plan = {"replicas": replicas, "capacity": {"noRoom": no_room}, "progressDeadline": "10m"} | changes
    world = World(spec=make_spec(**plan), room=room)
    world.settle()
    world.change(make_spec("2.0.0", **plan))
    return world


def looks(world: World, *, seconds: int = 30) -> Iterator[None]:
    """One look of the operator after the other, with pods that follow, until the rollout rests."""
    for _ in range(2000):
        version = world.status_version, world.route_version
        world.reconcile()
        yield
        world.pods_follow()
        yield
        if version == (world.status_version, world.route_version):
            world.now += timedelta(seconds=seconds)
        if world.status.candidate is None and world.status.attempt > 1:
            return
    raise AssertionError(f"no end: {world.status.phase}, {world.status.capacity}, {world.workloads}")


def ready(world: World) -> int:
    return sum(workload.ready for workload in world.workloads.values())


def capacity(world: World) -> Any:
    assert world.status.capacity
    return world.status.capacity


def until(world: World, reached: Any) -> None:
    for _ in looks(world):
        if reached():
            return
    raise AssertionError(f"not reached: {world.status}")


@pytest.mark.parametrize("traffic", [GATEWAY, REPLICAS], ids=["gateway", "replicas"])
@pytest.mark.parametrize("preset", PRESETS)
def test_with_one_pod_more_of_room_every_rollout_is_promoted(traffic: dict[str, Any], preset: str) -> None:
    for replicas in range(1, 9):
        for room in range(replicas + 1, 2 * replicas + 1):
            world = cramped(replicas, room, traffic=traffic, strategy=PRESETS[preset])
            world.by_quota = room % 2 == 0
            for _ in looks(world):
                assert ready(world) >= replicas, (replicas, room)
            assert world.status.stable
            assert world.status.stable.version == "2.0.0", (replicas, room)


@pytest.mark.parametrize("traffic", [GATEWAY, REPLICAS], ids=["gateway", "replicas"])
@pytest.mark.parametrize("preset", PRESETS)
def test_with_no_more_room_it_is_recreated_a_pod_at_a_time(traffic: dict[str, Any], preset: str) -> None:
    for replicas in range(1, 9):
        world = cramped(replicas, replicas, no_room="Recreate", traffic=traffic, strategy=PRESETS[preset])
        for _ in looks(world):
            assert ready(world) >= replicas - 1, replicas
        assert world.status.stable
        assert world.status.stable.version == "2.0.0", replicas


@pytest.mark.parametrize("traffic", [GATEWAY, REPLICAS], ids=["gateway", "replicas"])
@pytest.mark.parametrize(("no_room", "room"), [("ShrinkStable", 4), ("Wait", 4), ("Wait", 7)])
def test_what_cannot_fit_is_taken_back_at_the_deadline(traffic: dict[str, Any], no_room: str, room: int) -> None:
    world = cramped(4, room, no_room=no_room, traffic=traffic, strategy=PRESETS["at-once"])
    for _ in looks(world):
        assert world.workloads[Colour.BLUE].ready == 4
        assert world.share_of(Colour.GREEN) == 0
    assert world.status.last_revert
    assert world.status.last_revert.reason == "ProgressDeadlineExceeded"
    assert "no room" in world.status.last_revert.message
    way_out = "noRoom to ShrinkStable" if no_room == "Wait" else "room for one pod more, or set spec.capacity.noRoom"
    assert way_out in world.status.last_revert.message


@pytest.mark.parametrize("traffic", [GATEWAY, REPLICAS], ids=["gateway", "replicas"])
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("no_room", ["ShrinkStable", "Recreate"])
def test_whenever_it_is_taken_back_stable_gets_all_its_pods_again(
    traffic: dict[str, Any], preset: str, no_room: str
) -> None:
    for replicas in (1, 2, 3, 5):
        room = replicas if no_room == "Recreate" else replicas + 1
        for at in range(1, replicas + 1):
            world = cramped(replicas, room, no_room=no_room, traffic=traffic, strategy=PRESETS[preset])
            until(world, lambda at=at, world=world: world.workloads[Colour.GREEN].ready >= at)  # type: ignore[misc]
            world.ask("Abort")
            whole = 0
            for _ in looks(world):
                assert world.workloads[Colour.BLUE].ready >= whole, (replicas, at)
                whole = world.workloads[Colour.BLUE].ready
            world.settle()
            assert world.status.stable
            assert world.status.stable.version == "1.0.0"
            assert world.workloads[Colour.BLUE].ready == replicas
            assert world.share_of(Colour.BLUE) == 100
