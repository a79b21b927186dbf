"""What the operator's core does with what it sees, on an API server in memory."""

import asyncio
import operator
from datetime import timedelta
from functools import partial

import pytest

from modelrollout.api.slo import Verdict
from modelrollout.controller.apply import Applier
from modelrollout.controller.client import UnavailableError
from modelrollout.controller.kinds import GATEWAYS, HTTP_ROUTES, Key
from modelrollout.controller.observe import Seen
from modelrollout.engine.effects import WarmUp
from modelrollout.engine.snapshot import Obstacle
from unit.controller.fake_cluster import GATEWAY_ROUTER, KEY, gateway_objects, rollout
from unit.controller.scene import SLOS, SPEC, Scene


async def test_a_breach_is_answered_by_the_route_before_anything_else(scene: Scene) -> None:
    await scene.reach_first_stage()
    assert scene.weights() == [80, 20]
    scene.read(Verdict.BREACH, seconds=1)
    await scene.operator.run_until(lambda: True)
    written = len(scene.api.writes)
    scene.read(Verdict.BREACH, seconds=1)
    await scene.operator.run_until(lambda: scene.status()["phase"] == "Reverting")
    assert scene.api.writes[written : written + 2] == ["apply HTTPRoute scorer", "status ModelRollout scorer"]
    assert scene.weights() == [100, 0]
    assert scene.status()["lastRevert"]["reason"] == "SLOBreached"
    assert KEY not in scene.operator.judge.watched
    assert b"modelrollout_breach_to_route_seconds_count 1.0" in scene.operator.metrics.exposition()


async def test_the_judge_goes_on_looking_until_the_status_is_written(scene: Scene) -> None:
    def strike(number: int, when: str) -> None:
        if scene.api.writes[-1].startswith("status") and when == "before":
            raise UnavailableError("503")

    await scene.reach_first_stage()
    for _ in range(2):
        scene.read(Verdict.BREACH, seconds=1)
        assert await scene.operator.look()
        scene.api.trouble = strike
    assert scene.weights() == [100, 0]
    assert KEY in scene.operator.judge.watched


async def test_a_route_that_changed_unseen_is_not_raised_on_the_old_view(scene: Scene) -> None:
    await scene.reach_first_stage()
    route = scene.api.objects["HTTPRoute", KEY]
    scene.api.put({**route, "metadata": {**route["metadata"], "annotations": {"touched": "yes"}}})
    scene.operator.skip()
    scene.clock.turn_to(scene.clock.seconds() + 60)
    for seconds in (1, 1):
        scene.read(Verdict.PASS, seconds=seconds)
    await scene.operator.run_until(lambda: scene.weights() == [50, 50])
    assert scene.api.conflicts == ["apply HTTPRoute scorer"]


async def test_a_decision_on_an_old_spec_is_not_written(scene: Scene) -> None:
    await scene.serve("1.0.0")
    scene.api.put(rollout("2.0.0", **SPEC))
    scene.operator.hear()
    scene.api.put(rollout("1.0.0", **SPEC))
    assert await scene.operator.look()
    assert scene.api.conflicts == ["status ModelRollout scorer"]
    assert scene.status()["attempt"] == 1


async def test_what_it_has_written_is_known_before_the_watches_tell(scene: Scene) -> None:
    scene.api.put(rollout("1.0.0", **SPEC))
    scene.operator.hear()
    for _ in range(4):
        scene.operator.queue.add(KEY)
        assert await scene.operator.look()
    writes = ["patch ModelRollout scorer", "status ModelRollout scorer"]
    assert scene.api.writes == [
        *writes,
        "apply Service scorer-blue",
        "apply Service scorer-green",
        "apply ControllerRevision scorer-1",
        "apply Deployment scorer-blue",
        "apply RolloutReport scorer-1",
    ]


async def test_events_of_a_status_that_was_written_are_told_although_a_later_write_fails(scene: Scene) -> None:
    def strike(number: int, when: str) -> None:
        if scene.api.writes[-1].startswith("apply Service") and when == "before":
            scene.api.trouble = lambda _number, _when: None
            raise UnavailableError("503")

    scene.api.trouble = strike
    await scene.serve("1.0.0")
    assert await scene.operator.emitted() == ["AttemptStarted", "Promoted"]


async def test_what_a_controller_says_of_a_route_counts_once_it_has_lasted(scene: Scene) -> None:
    await scene.serve("1.0.0")
    scene.api.remove(GATEWAYS, Key("infra", "public"))
    begun = scene.clock.seconds()
    await scene.operator.run_until(lambda: scene.condition("RouteReady")["reason"] == "GatewayNotFound")
    assert scene.clock.seconds() - begun == pytest.approx(10)
    scene.api.put(gateway_objects()[0])
    await scene.operator.run_until(lambda: scene.condition("RouteReady")["status"] == "True")


async def test_what_passes_within_moments_is_not_worth_a_word(scene: Scene) -> None:
    await scene.serve("1.0.0")
    gateway = gateway_objects()[0]
    scene.api.remove(GATEWAYS, Key("infra", "public"))
    scene.operator.hear()
    assert await scene.operator.look()
    writes = len(scene.api.writes)
    scene.clock.turn_to(scene.clock.seconds() + 5)
    scene.api.put(gateway)
    await scene.operator.run_until(lambda: scene.operator.queue.schedule.next_due() is None)
    assert scene.api.writes[writes:] == []


async def test_a_person_who_deletes_the_route_gets_it_back(scene: Scene) -> None:
    await scene.serve("1.0.0")
    scene.api.remove(HTTP_ROUTES, KEY)
    await scene.operator.run_until(lambda: ("HTTPRoute", KEY) in scene.api.objects)
    assert scene.weights() == [100, 0]


async def test_a_rollout_that_leaves_the_gateway_takes_its_route_with_it(scene: Scene) -> None:
    await scene.serve("1.0.0")
    scene.api.put(rollout("1.0.0", slos=SLOS, traffic={"replicas": {}}))
    await scene.operator.run_until(lambda: ("HTTPRoute", KEY) not in scene.api.objects)
    assert scene.api.objects["Service", KEY]["spec"]["selector"]["modelrollout.io/colour"] == "blue"
    assert scene.status()["stable"]["version"] == "1.0.0"


async def test_silence_of_the_judge_moves_nothing(scene: Scene) -> None:
    await scene.reach_first_stage()
    scene.clock.turn_to(scene.clock.seconds() + timedelta(days=1).total_seconds())
    scene.operator.queue.add(KEY)
    await scene.operator.run_until(lambda: scene.condition("Progressing")["reason"] == "Undecided")
    assert scene.weights() == [80, 20]


async def test_what_a_route_needs_a_moment_for_is_not_an_obstacle_of_a_new_attempt(scene: Scene) -> None:
    for version in ("1.0.0", "2.0.0", "3.0.0"):
        scene.api.put(rollout(version, traffic=GATEWAY_ROUTER))
        await scene.operator.run_until(partial(scene.serves, version))
    assert "RoutePending" not in await scene.operator.emitted()


async def test_no_first_stage_begins_on_a_route_that_nobody_has_accepted(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene.serve("1.0.0")
    monkeypatch.setattr("unit.controller.fake_cluster._route_status", lambda _: {})
    scene.api.put(rollout("2.0.0", **SPEC))
    await scene.operator.run_until(lambda: scene.condition("RouteReady")["reason"] == "RoutePending")
    assert scene.status()["phase"] == "Preparing"
    assert scene.weights() == [100, 0]


async def test_a_warm_up_ends_with_its_candidate_and_begins_anew_with_another_spec(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    ended: list[str] = []

    async def warm_up(applier: Applier, seen: Seen, effect: WarmUp) -> str:
        path = seen.spec.warm_up.path if seen.spec.warm_up else ""
        begun.append(path)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(path)
        return ""

    monkeypatch.setattr(Applier, "_warm_up", warm_up)
    await scene.serve("1.0.0")
    for path in ("/first", "/second"):
        scene.api.put(rollout("2.0.0", **SPEC, warmUp={"path": path}))
        await scene.operator.run_until(partial(operator.contains, begun, path))
    assert ended == ["/first"]
    scene.api.put(rollout("1.0.0", **SPEC))
    await scene.operator.run_until(lambda: scene.status()["phase"] == "Idle")
    assert ended == ["/first", "/second"]


async def test_what_was_found_in_the_way_of_a_candidate_goes_with_it(scene: Scene) -> None:
    scene.operator.found = (Obstacle(condition="MetricsReady", reason="MetricNotFound", message="no such metric"),)
    await scene.serve("1.0.0")
    assert {"type": "Ready", "status": "True"}.items() <= scene.condition("Ready").items()
    assert "MetricsReady" not in {condition["type"] for condition in scene.status()["conditions"]}
