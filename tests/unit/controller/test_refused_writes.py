"""Writes that the API server refuses, and deletions: nothing hangs in silence."""

from itertools import pairwise

import pytest

from modelrollout.api.labels import FINALIZER
from modelrollout.api.slo import Verdict
from modelrollout.controller.client import ApiError, EndingNamespaceError, NotFoundError, RefusedError
from modelrollout.controller.kinds import HTTP_ROUTES, MODEL_ROLLOUTS, ROLLOUT_REPORTS, SERVICES, Key, Kind, kind_of
from unit.controller.fake_cluster import GATEWAY_ROUTER, KEY, rollout
from unit.controller.scene import SPEC, Scene


async def test_deleting_a_rollout_keeps_what_serves_and_forgets_the_rest(scene: Scene) -> None:
    await scene.reach_first_stage()
    scene.api.remove(MODEL_ROLLOUTS, KEY)
    await scene.operator.run_until(lambda: ("ModelRollout", KEY) not in scene.api.objects)
    left = sorted(f"{kind} {key.name}" for kind, key in scene.api.objects if key.namespace == "ml")
    assert left == [
        "ControllerRevision scorer-1",
        "ControllerRevision scorer-2",
        "Deployment scorer-blue",
        "HTTPRoute scorer",
        "RolloutReport scorer-1",
        "RolloutReport scorer-2",
        "Service scorer",
        "Service scorer-blue",
        "Service scorer-green",
    ]
    assert scene.weights() == [100, 0]
    assert scene.operator.judge.watched == {}
    assert b'modelrollout_rollouts{phase="Progressing"} 0.0' in scene.operator.metrics.exposition()


@pytest.mark.parametrize("error", [NotFoundError, RefusedError], ids=["not-installed", "refused"])
async def test_what_is_not_there_and_cannot_be_made_does_not_hold_a_deletion_up(
    scene: Scene, error: type[ApiError]
) -> None:
    def strike(number: int, when: str) -> None:
        if scene.api.writes[-1].startswith("apply"):
            raise error("no")

    await scene.serve("1.0.0")
    scene.api.remove(HTTP_ROUTES, KEY)
    scene.api.remove(MODEL_ROLLOUTS, KEY)
    scene.api.trouble = strike
    await scene.operator.run_until(lambda: ("ModelRollout", KEY) not in scene.api.objects)


async def test_a_route_that_is_there_and_cannot_be_changed_holds_a_deletion_up(scene: Scene) -> None:
    def strike(number: int, when: str) -> None:
        if scene.api.writes[-1] == "apply HTTPRoute scorer":
            raise RefusedError("no")

    await scene.reach_first_stage()
    scene.api.remove(MODEL_ROLLOUTS, KEY)
    scene.api.trouble = strike
    with pytest.raises(AssertionError, match="not reached"):
        await scene.operator.run_until(lambda: ("ModelRollout", KEY) not in scene.api.objects, looks=50)
    assert ("Deployment", Key("ml", "scorer-green")) in scene.api.objects, "it still has a share of the requests"


async def test_a_namespace_that_is_being_deleted_takes_the_rollout_with_it(scene: Scene) -> None:
    def end_the_namespace(number: int, when: str) -> None:
        if scene.api.writes[-1].startswith("apply") and when == "before":
            for name, key in [*scene.api.objects]:
                if key.namespace == "ml" and name != "ModelRollout":
                    scene.api.remove(kind_of(scene.api.objects[name, key]), key)
            raise EndingNamespaceError("the namespace is being terminated")

    await scene.reach_first_stage()
    scene.api.remove(MODEL_ROLLOUTS, KEY)
    scene.api.trouble = end_the_namespace
    await scene.operator.run_until(lambda: ("ModelRollout", KEY) not in scene.api.objects)


@pytest.mark.parametrize("gone", [HTTP_ROUTES, SERVICES, ROLLOUT_REPORTS], ids=str)
async def test_a_namespace_that_is_being_deleted_has_it_let_go_at_once(scene: Scene, gone: Kind) -> None:
    """Whatever is the first to be gone, and although both versions still answer."""

    def refuse_what_is_new(number: int, when: str) -> None:
        verb, kind, name = scene.api.writes[-1].split()
        if when == "before" and verb == "apply" and (kind, Key("ml", name)) not in scene.api.objects:
            raise EndingNamespaceError("the namespace is being terminated")

    await scene.reach_first_stage()
    for name, key in [*scene.api.objects]:
        if name == gone.kind:
            scene.api.remove(gone, key)
    scene.api.remove(MODEL_ROLLOUTS, KEY)
    scene.api.trouble = refuse_what_is_new
    await scene.operator.run_until(lambda: ("ModelRollout", KEY) not in scene.api.objects)
    refused, let_go = scene.api.writes[-2:]
    assert refused.startswith(f"apply {gone.kind} ")
    assert let_go == "patch ModelRollout scorer"
    assert "WriteRefused" not in await scene.operator.emitted()


UNREADABLE = {**SPEC, "replicas": "many"}


async def test_a_rollout_that_the_operator_cannot_read_is_left_alone_and_people_are_told(scene: Scene) -> None:
    await scene.reach_first_stage()
    writes = len(scene.api.writes)
    scene.api.put(rollout("2.0.0", **UNREADABLE))
    await scene.operator.run_until(lambda: True)
    assert scene.api.writes[writes:] == []
    assert scene.operator.judge.watched == {}
    assert scene.operator.readings.get(KEY) is None
    note = await scene.note("Unreadable")
    assert "does not fit the API of this operator" in note
    assert "spec.replicas: Input should be a valid integer" in note
    assert FINALIZER not in note


async def test_a_deletion_that_waits_for_a_rollout_to_be_readable_is_explained(scene: Scene) -> None:
    await scene.serve("1.0.0")
    scene.api.put(rollout("1.0.0", **UNREADABLE))
    scene.api.remove(MODEL_ROLLOUTS, KEY)
    await scene.operator.run_until(lambda: True)
    assert f"its deletion waits until it is corrected, or until the finalizer {FINALIZER}" in await scene.note(
        "Unreadable"
    )
    scene.api.put(rollout("1.0.0", **SPEC))
    await scene.operator.run_until(lambda: ("ModelRollout", KEY) not in scene.api.objects)


async def test_a_refused_status_is_tried_again_with_growing_pauses_and_people_are_told(scene: Scene) -> None:
    struck = scene.refuse("status ModelRollout scorer", times=6)
    await scene.serve("1.0.0")
    pauses = [after - before for before, after in pairwise(struck)]
    assert pauses == pytest.approx([1, 2, 4, 8, 16])
    assert "refuses WriteStatus: forbidden" in await scene.note("WriteRefused")


async def test_a_refused_route_and_a_refused_status_are_both_left_in_peace(scene: Scene) -> None:
    await scene.reach_first_stage()
    for _ in range(2):
        scene.read(Verdict.BREACH, seconds=1)
        struck = scene.refuse("apply HTTPRoute scorer", "status ModelRollout scorer")
        await scene.operator.look()
    begun = scene.clock.seconds()
    for _ in range(200):
        scene.operator.hear()
        if not await scene.operator.look():
            scene.clock.turn_to(scene.operator.queue.schedule.next_due() or 0)
    assert len(struck) <= 2 * ((scene.clock.seconds() - begun) / 30 + 6)


async def test_one_refusal_delays_a_revert_by_a_second(scene: Scene) -> None:
    await scene.reach_first_stage()
    scene.read(Verdict.BREACH, seconds=1)
    await scene.operator.run_until(lambda: True)
    scene.refuse("apply HTTPRoute scorer", times=1)
    scene.read(Verdict.BREACH, seconds=1)
    begun = scene.clock.seconds()
    await scene.operator.run_until(lambda: scene.weights() == [100, 0])
    assert scene.clock.seconds() - begun <= 2


async def test_a_refused_number_of_pods_is_told(scene: Scene) -> None:
    await scene.reach_first_stage()
    scene.api.put(rollout("2.0.0", **SPEC, replicas=6))
    scene.refuse("patch Deployment scorer-blue", times=2)
    await scene.operator.run_until(
        lambda: scene.api.objects["Deployment", Key("ml", "scorer-blue")]["spec"]["replicas"] == 6
    )
    assert "refuses ScaleWorkload: forbidden" in await scene.note("WriteRefused")


@pytest.mark.parametrize(
    ("write", "effect"),
    [("delete Deployment scorer-green", "Release"), ("patch ModelRollout scorer", "RemoveFinalizer")],
)
async def test_a_deletion_that_hangs_is_explained(scene: Scene, write: str, effect: str) -> None:
    await scene.reach_first_stage()
    scene.refuse(write, times=3)
    scene.api.remove(MODEL_ROLLOUTS, KEY)
    await scene.operator.run_until(lambda: ("ModelRollout", KEY) not in scene.api.objects)
    assert f"refuses {effect}: forbidden" in await scene.note("WriteRefused")


async def test_an_object_that_was_deleted_meanwhile_is_made_again_and_nobodys_fault(scene: Scene) -> None:
    await scene.serve("1.0.0")
    scene.api.remove(HTTP_ROUTES, KEY)
    scene.operator.skip()
    scene.api.put(rollout("1.0.0", **{**SPEC, "traffic": OTHER_HOST}))
    await scene.operator.run_until(lambda: ("HTTPRoute", KEY) in scene.api.objects)
    assert scene.api.conflicts == ["apply HTTPRoute scorer"], "nothing is made anew on the view from before"
    assert "RouteRefused" not in await scene.operator.emitted()


async def test_a_breach_that_meets_a_conflict_is_looked_at_again_at_once_and_before_others(scene: Scene) -> None:
    await scene.reach_first_stage()
    scene.read(Verdict.BREACH, seconds=1)
    await scene.operator.run_until(lambda: True)
    route = scene.api.objects["HTTPRoute", KEY]
    scene.api.put({**route, "metadata": {**route["metadata"], "annotations": {"touched": "yes"}}})
    scene.read(Verdict.BREACH, seconds=1)
    assert await scene.operator.look()
    assert scene.api.conflicts == ["apply HTTPRoute scorer"]
    scene.operator.queue.add(Key("ml", "another"))
    scene.clock.turn_to(scene.clock.seconds() + 0.2)
    assert await scene.operator.look()
    assert scene.weights() == [100, 0]


OTHER_HOST = {"gatewayAPI": {**GATEWAY_ROUTER["gatewayAPI"], "hostnames": ["scorer.example.com"]}}


async def test_a_revert_whose_first_route_write_was_refused_still_puts_the_route_first(scene: Scene) -> None:
    await scene.reach_first_stage()
    scene.read(Verdict.BREACH, seconds=1)
    await scene.operator.run_until(lambda: True)
    refused: list[str] = []

    def strike(number: int, when: str) -> None:
        write = scene.api.writes[-1]
        status_stands = scene.status()["phase"] == "Reverting"
        route_once = write == "apply HTTPRoute scorer" and not refused
        if when == "before" and (route_once or (write.startswith("status") and status_stands)):
            refused.append(write)
            raise RefusedError("forbidden")

    scene.api.trouble = strike
    scene.read(Verdict.BREACH, seconds=1)
    begun = scene.clock.seconds()
    await scene.operator.run_until(lambda: scene.weights() == [100, 0], looks=100)
    assert scene.clock.seconds() - begun <= 2
