"""No room for two full copies: every plan comes to an end, and there are always enough ready pods on the way."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from modelrollout.api.spec import ModelRolloutSpec
from modelrollout.api.status import Colour, ModelRolloutStatus, Phase
from modelrollout.engine import effects as fx
from modelrollout.engine.snapshot import Obstacle
from unit.engine.simulation import GATEWAY, World, make_spec
from unit.engine.worlds import MINUTE, breach, in_stage, reasons, taking_back

OBSTACLE = Obstacle(condition="MetricsReady", reason="QueryInvalid", message="does not parse")
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
    plan: dict[str, Any] = {"replicas": replicas, "capacity": {"noRoom": no_room}, "progressDeadline": "10m"} | changes
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
    for replicas in (1, 2, 4):
        room = replicas if no_room == "Recreate" else replicas + 1
        for at in range(1, replicas + 1):
            world = cramped(replicas, room, no_room=no_room, traffic=traffic, strategy=PRESETS[preset])
            until(world, lambda at=at, world=world: world.workloads[Colour.GREEN].ready >= at)
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


STEPS = {"canary": {"steps": [{"weight": weight, "hold": "1m"} for weight in (25, 50, 100)]}}


def sizes(world: World) -> tuple[int, int, int]:
    """Pods of stable and of the candidate, and the candidate's share."""
    pods = [world.workloads[colour].desired for colour in (Colour.BLUE, Colour.GREEN)]
    return pods[0], pods[1], round(world.share_of(Colour.GREEN))


def half_way(no_room: str = "ShrinkStable", **changes: Any) -> World:
    """Four pods have room for five, or for four, and half of the requests are on 2.0.0."""
    room = 4 if no_room == "Recreate" else 5
    world = cramped(4, room, no_room=no_room, strategy=STEPS, **changes)
    until(world, lambda: world.share_of(Colour.GREEN) == 50 and world.workloads[Colour.GREEN].ready == 2)
    world.settle()
    return world


def test_stable_gives_up_no_more_than_it_takes() -> None:
    world, seen = cramped(4, 5, strategy=STEPS), []
    for _ in looks(world, seconds=5):
        if Colour.GREEN in world.workloads and world.status.candidate:
            seen.append(sizes(world))
    steps = [one for place, one in enumerate(seen) if one != seen[place - 1]]
    assert steps == [
        (4, 4, 0),
        (4, 1, 0),
        (4, 1, 25),
        (3, 2, 25),
        (3, 2, 50),
        (2, 3, 50),
        (2, 3, 75),
        (1, 4, 75),
        (1, 4, 100),
    ]


def test_a_shortage_that_does_not_last_changes_nothing() -> None:
    world = cramped(4, 5)
    for _ in range(3):
        world.settle()
        world.now += timedelta(seconds=15)
    assert world.workloads[Colour.GREEN].desired == 4
    assert capacity(world).plan == "Surge"
    world.room = 8
    world.settle()
    assert world.status.stage
    assert capacity(world).plan == "Surge"
    assert "NoRoom" not in reasons(world)


def test_a_change_of_plan_is_told_once_and_stands_in_the_report() -> None:
    world = half_way()
    assert reasons(world).count("NoRoom") == 1
    (entry,) = [one for one in world.status.records[-1].timeline if one.reason == "NoRoom"]
    assert entry.message == "Room for 5 pods, and 8 are wanted: ShrinkStable. no room"
    told = capacity(world)
    assert (told.plan, told.reason, told.message, told.room) == ("ShrinkStable", "Simulated", "no room", 5)
    assert told.revert_capacity == 75


def test_no_plan_is_made_for_a_candidate_that_nobody_wants_any_more() -> None:
    world = cramped(4, 6)
    world.settle()
    world.change(make_spec("3.0.0", replicas=4, capacity={"noRoom": "ShrinkStable"}))
    world.now += MINUTE
    world.reconcile()
    assert world.status.attempt == 3
    assert reasons(world).count("NoRoom") == 1
    assert [entry.reason for entry in world.history[2]] == ["AttemptStarted", "Reverting", "Reverted"]


@pytest.mark.parametrize("no_room", ["ShrinkStable", "Recreate"])
def test_a_revert_is_one_write_made_first_and_asks_for_all_of_stable_s_pods_in_the_same_breath(no_room: str) -> None:
    world = half_way(no_room)
    small = world.workloads[Colour.BLUE].desired
    assert small < 4
    breach(world, times=1)
    world.log.clear()
    back = taking_back(world)
    breach(world, times=1)
    assert world.log[0] == back
    scaled = [one for one in world.log if isinstance(one, fx.ScaleWorkload | fx.ApplyWorkload)]
    assert [(one.colour, one.replicas) for one in scaled] == [(Colour.BLUE, 4)]
    assert world.share_of(Colour.BLUE) == 100
    assert capacity(world).revert_capacity == 25 * small
    assert world.workloads[Colour.GREEN].desired == 2, "it finishes its answers"
    world.run_for(MINUTE)
    assert world.workloads[Colour.BLUE].ready == 4
    assert world.status.capacity is None


def test_who_allows_it_while_a_pod_waits_need_not_begin_again() -> None:
    world = cramped(2, 2)
    world.run_for(2 * MINUTE)
    assert (capacity(world).plan, sizes(world)) == ("ShrinkStable", (2, 1, 0))
    capacity_of = {"capacity": {"noRoom": "Recreate"}}
    world.change(ModelRolloutSpec.model_validate(world.spec.to_wire() | capacity_of))
    for _ in looks(world):
        assert ready(world) >= 1
    assert world.status.stable
    assert (world.status.stable.version, world.status.attempt) == ("2.0.0", 2)


def test_more_replicas_in_a_hold_are_given_at_once_and_nobody_loses_any() -> None:
    world = half_way()
    plan = world.spec.to_wire() | {"replicas": 6}
    world.change(ModelRolloutSpec.model_validate(plan))
    world.room = 12
    for _ in looks(world, seconds=1):
        assert world.workloads[Colour.BLUE].desired >= 3 or world.share_of(Colour.GREEN) > 50
        if ready(world) >= 6:
            break
    blue, green, share = sizes(world)
    assert blue + green >= 6
    assert share == 50
    for _ in looks(world):
        assert ready(world) >= 6
    assert world.status.stable
    assert world.status.stable.version == "2.0.0"


def test_the_version_before_keeps_what_fits_and_can_take_over_with_that() -> None:
    world = cramped(4, 6, strategy=STEPS)
    until(world, lambda: world.status.phase is Phase.IDLE and world.status.previous is not None)
    assert (world.workloads[Colour.BLUE].desired, capacity(world).revert_capacity) == (2, 50)
    world.ask("Revert")
    world.reconcile()
    assert world.share_of(Colour.BLUE) == 100
    assert world.workloads[Colour.BLUE].desired == 4
    until(world, lambda: world.workloads[Colour.BLUE].ready == 4)


def test_a_version_before_without_pods_is_gone_back_to_from_history() -> None:
    world = cramped(4, 4, no_room="Recreate", strategy=STEPS)
    until(world, lambda: (now := world.status.stable) and now.version == "2.0.0" and world.status.phase is Phase.IDLE)
    world.ask("Revert")
    world.run_for(MINUTE)
    assert world.status.pinned
    assert world.status.candidate
    assert (world.status.candidate.version, world.share_of(Colour.GREEN)) == ("1.0.0", 100)


def test_a_spec_that_goes_back_to_a_version_that_is_not_whole_goes_by_stages() -> None:
    world = cramped(4, 5, strategy=STEPS)
    until(world, lambda: world.status.phase is Phase.IDLE and world.status.previous is not None)
    world.now += MINUTE
    world.change(make_spec("1.0.0", replicas=4, strategy=STEPS))
    world.settle()
    assert world.status.phase is Phase.PREPARING
    assert world.share_of(Colour.GREEN) == 100


@pytest.mark.parametrize("in_the_way", ["obstacle", "preflight", "pause"])
def test_stable_gives_nothing_up_ahead_for_a_candidate_that_could_not_begin(in_the_way: str) -> None:
    world = cramped(1, 1, no_room="Recreate")
    world.obstacles = (OBSTACLE,) if in_the_way == "obstacle" else ()
    world.preflighted = in_the_way != "preflight"
    if in_the_way == "pause":
        world.settle()
        world.ask("Pause")
    for _ in range(40):
        world.settle()
        world.now += MINUTE
        assert world.workloads[Colour.BLUE].ready == 1
    assert world.status.phase is Phase.PREPARING
    assert world.workloads[Colour.GREEN].desired == 0
    world.obstacles, world.preflighted = (), True
    if in_the_way == "pause":
        world.ask("Resume")
    for _ in looks(world):
        pass
    assert world.status.stable
    assert world.status.stable.version == "2.0.0"


def test_a_single_pod_that_is_recreated_serves_everybody_or_nobody() -> None:
    world = cramped(1, 1, no_room="Recreate", strategy=STEPS)
    for _ in looks(world):
        assert world.share_of(Colour.GREEN) in (0, 100)
    stages = [one for one in reasons(world) if one == "StageEntered"]
    assert len(stages) == 1


def test_a_single_pod_that_turns_out_bad_makes_room_for_the_one_before() -> None:
    world = cramped(1, 1, no_room="Recreate", strategy=STEPS)
    until(world, lambda: world.status.stage is not None and world.share_of(Colour.GREEN) == 100)
    breach(world, times=3)
    for _ in looks(world):
        pass
    assert world.status.last_revert
    assert world.status.last_revert.reason == "SLOBreached"
    assert world.workloads[Colour.BLUE].ready == 1
    assert world.share_of(Colour.BLUE) == 100


def test_a_candidate_that_dies_when_nobody_else_is_left_makes_room_for_the_one_before() -> None:
    world = cramped(1, 1, no_room="Recreate", strategy=STEPS)
    until(world, lambda: world.status.stage is not None and world.share_of(Colour.GREEN) == 100)
    world.pods_ready(Colour.GREEN, 0)
    for _ in range(6):
        world.reconcile()
        world.pods_ready(Colour.BLUE, world.workloads[Colour.BLUE].desired)
    assert world.status.last_revert
    assert world.status.last_revert.reason == "CandidateUnavailable"
    assert world.workloads[Colour.BLUE].ready == 1
    assert world.share_of(Colour.BLUE) == 100


@pytest.mark.parametrize("traffic", [GATEWAY, REPLICAS], ids=["gateway", "replicas"])
@pytest.mark.parametrize("no_room", ["ShrinkStable", "Recreate"])
def test_requests_go_back_by_an_edit_only_as_far_as_stable_carries_them(no_room: str, traffic: dict[str, Any]) -> None:
    world = half_way(no_room, traffic=traffic) if traffic == GATEWAY else by_pods_half_way(no_room)
    fewer = {"canary": {"steps": [{"weight": weight, "hold": "1m"} for weight in (30, 100)]}}
    wire = world.spec.to_wire() | {"strategy": fewer}
    world.change(ModelRolloutSpec.model_validate(wire))
    for _ in looks(world):
        stable = world.workloads[Colour.BLUE]
        if world.share_of(Colour.GREEN) < 20:
            assert stable.ready >= 4 - (no_room == "Recreate")
        assert ready(world) >= 4 - (no_room == "Recreate")
        if world.status.stage and world.status.stage.name == "canary-30" and world.status.stage.reached_at:
            return
    raise AssertionError("it never came to the first stage again")


def by_pods_half_way(no_room: str) -> World:
    room = 4 if no_room == "Recreate" else 5
    world = cramped(4, room, no_room=no_room, traffic=REPLICAS, strategy=STEPS)
    until(world, lambda: world.status.stage is not None and world.status.stage.name == "canary-50")
    until(world, lambda: world.workloads[Colour.GREEN].ready == 2)
    return world


def test_a_gradual_way_back_waits_for_stable_s_pods() -> None:
    world = cramped(4, 5, strategy=PRESETS["at-once"], rollback={"mode": "Gradual", "hold": "30s"})
    until(world, lambda: world.share_of(Colour.GREEN) == 100)
    world.ask("Revert")
    seen = []
    for _ in looks(world):
        share = round(world.share_of(Colour.GREEN))
        if world.status.way_back:
            assert world.workloads[Colour.BLUE].ready * 25 >= 100 - share
        seen.append(share)
    assert [one for place, one in enumerate(seen) if place == 0 or one != seen[place - 1]] == [75, 50, 25, 0]


def test_one_that_is_deleted_while_small_is_left_whole() -> None:
    world = half_way()
    world.deleting = True
    for _ in range(10):
        world.reconcile()
        world.now += timedelta(seconds=5)
    assert (world.kept, world.workloads[Colour.BLUE].desired) == (Colour.BLUE, 4)


def test_the_version_before_makes_room_for_more_pods_of_the_one_that_serves() -> None:
    world = cramped(4, 8, strategy=STEPS)
    until(world, lambda: world.status.phase is Phase.IDLE and world.status.previous is not None)
    assert capacity(world).plan == "Surge"
    world.change(ModelRolloutSpec.model_validate(world.spec.to_wire() | {"replicas": 6}))
    world.run_for(2 * MINUTE)
    assert world.workloads[Colour.GREEN].ready == 6
    assert world.workloads[Colour.BLUE].desired == 2


def test_what_room_there_is_goes_to_an_overloaded_stable_first_whatever_its_colour() -> None:
    world = in_stage("canary-10")
    for version, serving in (("2.0.0", Colour.BLUE), ("3.0.0", Colour.GREEN)):
        world.change(make_spec(version))
        world.run_for(timedelta(seconds=30))
        assert world.status.stage
        assert world.status.stage.name == "canary-10"
        world.change(make_spec(version, replicas=6))
        effects = world.reconcile().effects
        scaled = [one.colour for one in effects if isinstance(one, fx.ApplyWorkload | fx.ScaleWorkload)]
        assert scaled == [serving, serving.other]
        world.run_for(5 * MINUTE)


def test_pods_of_another_version_go_before_those_of_the_next_come() -> None:
    world = cramped(4, 8, strategy=STEPS)
    until(world, lambda: world.status.phase is Phase.IDLE and world.status.previous is not None)
    world.now += MINUTE
    world.change(make_spec("3.0.0", replicas=4, strategy=STEPS))
    world.reconcile()
    assert (world.workloads[Colour.BLUE].version, world.workloads[Colour.BLUE].desired) == ("1.0.0", 0)
    world.settle()
    assert (world.workloads[Colour.BLUE].version, world.workloads[Colour.BLUE].ready) == ("3.0.0", 4)


def test_a_promotion_that_is_asked_for_after_a_lost_status_does_not_take_the_place_of_what_serves() -> None:
    world = cramped(3, 3)
    world.change(make_spec("1.0.0", replicas=3))
    world.settle()
    world.status, world.status_version = ModelRolloutStatus(), world.status_version + 1
    world.history, world.reports = {}, {}
    world.ask("Promote", attempt=0)
    world.settle()
    assert (world.status.phase, world.status.candidate) == (Phase.IDLE, None)
    assert world.status.stable
    assert world.status.stable.version == "1.0.0"
