"""What the operator's core does with what it sees, on an API server in memory."""

from datetime import timedelta
from typing import Any

import pytest

from modelrollout.api.status import SloStatus, Verdict
from modelrollout.controller.client import (
    ApiError,
    EndingNamespaceError,
    NotFoundError,
    RefusedError,
    UnavailableError,
)
from modelrollout.controller.kinds import GATEWAYS, HTTP_ROUTES, MODEL_ROLLOUTS, Key
from modelrollout.engine.snapshot import Readings
from unit.controller.fake_cluster import (
    GATEWAY_ROUTER,
    KEY,
    Clock,
    FakeApi,
    Operator,
    gateway_objects,
    rollout,
)

SLOS = [{"name": "errors", "query": {"value": "0"}, "limit": "0.1", "consecutiveBreaches": 2}]
SPEC: dict[str, Any] = {"traffic": GATEWAY_ROUTER, "slos": SLOS}


class Scene:
    """A cluster, its time, and the operator in it."""

    def __init__(self) -> None:
        self.api, self.clock = FakeApi(), Clock()
        for manifest in gateway_objects():
            self.api.put(manifest)
        self.operator = Operator(self.api, self.clock)

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.api.objects["ModelRollout", KEY].get("status", {})
        return status

    def condition(self, kind: str) -> dict[str, Any]:
        return next(condition for condition in self.status()["conditions"] if condition["type"] == kind)

    def weights(self) -> list[int]:
        """Per cent of blue and of green."""
        rules = self.api.objects["HTTPRoute", KEY]["spec"]["rules"]
        return [round(backend["weight"] / 10_000) for backend in rules[0]["backendRefs"]]

    async def serve(self, version: str) -> None:
        self.api.put(rollout(version, **SPEC))
        await self.operator.run_until(lambda: self.status().get("stable", {}).get("version") == version)

    async def reach_first_stage(self) -> None:
        await self.serve("1.0.0")
        self.api.put(rollout("2.0.0", **SPEC))
        await self.operator.run_until(lambda: "reachedAt" in self.status().get("stage", {}))

    def read(self, verdict: Verdict, *, seconds: float) -> None:
        """The poller says something this many seconds from now."""
        self.clock.turn_to(self.clock.seconds() + seconds)
        now = self.clock.now()
        slo = SloStatus(name="errors", verdict=verdict, reason="AboveLimit", message="0.2 > 0.1", at=now)
        watch = self.operator.judge.watched[KEY]
        readings = Readings(attempt=watch.attempt, stage=watch.stage, looked_at=now, by_slo={"errors": slo})
        self.operator.readings.post(KEY, readings)


@pytest.fixture
async def scene() -> Scene:
    scene = Scene()
    await scene.operator.start()
    return scene


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
        await scene.operator.reconciler.reconcile(KEY)
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
    await scene.operator.reconciler.reconcile(KEY)
    assert scene.api.conflicts == ["status ModelRollout scorer"]
    assert scene.status()["attempt"] == 1


async def test_what_it_has_written_is_known_before_the_watches_tell(scene: Scene) -> None:
    scene.api.put(rollout("1.0.0", **SPEC))
    scene.operator.hear()
    for _ in range(4):
        await scene.operator.reconciler.reconcile(KEY)
    writes = ["patch ModelRollout scorer", "status ModelRollout scorer"]
    assert scene.api.writes == [
        *writes,
        "apply Service scorer-blue",
        "apply Service scorer-green",
        "apply Deployment scorer-blue",
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
    await scene.operator.reconciler.reconcile(KEY)
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


async def test_deleting_a_rollout_keeps_what_serves_and_forgets_the_rest(scene: Scene) -> None:
    await scene.reach_first_stage()
    scene.api.remove(MODEL_ROLLOUTS, KEY)
    await scene.operator.run_until(lambda: ("ModelRollout", KEY) not in scene.api.objects)
    left = sorted(f"{kind} {key.name}" for kind, key in scene.api.objects if key.namespace == "ml")
    assert left == [
        "Deployment scorer-blue",
        "HTTPRoute scorer",
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
    def strike(number: int, when: str) -> None:
        if scene.api.writes[-1].startswith("apply"):
            raise EndingNamespaceError("the namespace is being terminated")

    await scene.reach_first_stage()
    scene.api.remove(MODEL_ROLLOUTS, KEY)
    scene.api.trouble = strike
    await scene.operator.run_until(lambda: ("ModelRollout", KEY) not in scene.api.objects)


async def test_a_rollout_that_the_operator_cannot_read_is_left_alone(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.api.put(rollout("1.0.0", replicas="many"))
    await scene.operator.run_until(lambda: True)
    assert scene.api.writes == []
    assert "ml/scorer does not fit the API of this operator" in caplog.text
    assert "spec.replicas" in caplog.text


async def test_silence_of_the_judge_moves_nothing(scene: Scene) -> None:
    await scene.reach_first_stage()
    scene.clock.turn_to(scene.clock.seconds() + timedelta(days=1).total_seconds())
    scene.operator.queue.add(KEY)
    await scene.operator.run_until(lambda: scene.condition("Progressing")["reason"] == "Undecided")
    assert scene.weights() == [80, 20]
