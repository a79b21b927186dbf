"""From the pods that a Deployment lacks to the decision on its rollout."""

import asyncio
import logging
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest

from modelrollout.controller.client import Page, RefusedError
from modelrollout.controller.kinds import PODS, Key, Kind
from unit.controller.fake_cluster import FakeApi
from unit.controller.scene import Scene

GREEN = Key("ml", "scorer-green")


class Looks:
    """How often pods were listed, and when."""

    def __init__(self, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at: list[float] = []
        self.refused = False
        pages = FakeApi.pages

        async def listed(api: FakeApi, kind: Kind, **asked: str) -> AsyncIterator[Page]:
            if kind is PODS and asked.get("selector") == (
                "modelrollout.io/name=scorer,modelrollout.io/colour,modelrollout.io/attempt"
            ):
                self.at.append(scene.clock.seconds())
                if self.refused:
                    raise RefusedError("pods is forbidden")
            async for page in pages(api, kind, **asked):
                yield page

        monkeypatch.setattr(FakeApi, "pages", listed)


@pytest.fixture
def looks(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Looks:
    return Looks(scene, monkeypatch)


def put_pod(scene: Scene, colour: str = "green", attempt: int = 2, *, ready: str = "True", **container: Any) -> None:
    """A pod of a version, whose kubelet says this of its container."""
    labels = {"name": "scorer", "colour": colour, "attempt": str(attempt)}
    now = scene.clock.now().isoformat()
    scene.api.put(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "namespace": "ml",
                "name": f"scorer-{colour}-x",
                "labels": {f"modelrollout.io/{name}": value for name, value in labels.items()},
            },
            "status": {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": now}],
                "containerStatuses": [{"name": "server", "restartCount": 0, "ready": ready == "True", **container}],
            },
        }
    )


def killed(scene: Scene, colour: str = "green", attempt: int = 2) -> None:
    """The container of a pod has been killed for its memory, and runs again."""
    end = {"reason": "OOMKilled", "exitCode": 137, "finishedAt": scene.clock.now().isoformat()}
    put_pod(scene, colour, attempt, restartCount=1, state={"running": {}}, lastState={"terminated": end})


def lacks_a_pod(scene: Scene, *, ready: int = 3) -> None:
    """The Deployment controller has noticed."""
    green = scene.api.objects["Deployment", GREEN]
    scene.api.put({**green, "status": {**green["status"], "readyReplicas": ready}})


async def hear(scene: Scene, *, looks: int = 12) -> None:
    """Look at the rollout as long as there is a reason to, without a moment passing."""
    scene.operator.hear()
    for _ in range(looks):
        await scene.operator.look()
        scene.operator.hear()
        for _ in range(4):
            await asyncio.sleep(0)


async def test_a_container_killed_for_its_memory_takes_the_candidate_back_at_once(scene: Scene) -> None:
    await scene.reach_first_stage()
    scene.clock.turn_to(scene.clock.seconds() + 10)
    killed(scene)
    lacks_a_pod(scene)
    await hear(scene)
    record = scene.status()["lastRevert"]
    assert record["reason"] == "CandidateOutOfMemory"
    assert record["message"].startswith("container server of pod scorer-green-x ran out of memory: restarts 1, last")
    assert scene.weights() == [100, 0]
    assert "CandidateOutOfMemory" in await scene.note("Reverting")


async def test_what_stable_and_another_attempt_suffer_is_told_apart(scene: Scene) -> None:
    await scene.reach_first_stage()
    scene.clock.turn_to(scene.clock.seconds() + 10)
    killed(scene, attempt=1)
    lacks_a_pod(scene)
    await hear(scene)
    assert scene.status()["phase"] == "Progressing"
    killed(scene)
    killed(scene, "blue", 1)
    scene.clock.turn_to(scene.clock.seconds() + 10)
    lacks_a_pod(scene, ready=2)
    await hear(scene)
    assert scene.status()["phase"] == "Progressing"


async def test_restarts_are_counted_from_when_a_container_was_first_seen_ready(scene: Scene) -> None:
    await scene.reach_first_stage()
    put_pod(scene, restartCount=4)
    lacks_a_pod(scene)
    scene.clock.turn_to(scene.clock.seconds() + 10)
    await hear(scene)
    for restarts, phase in ((6, "Progressing"), (7, "Reverting")):
        scene.clock.turn_to(scene.clock.seconds() + 10)
        end = {"reason": "Error", "exitCode": 1, "finishedAt": scene.clock.now().isoformat()}
        put_pod(scene, ready="False", restartCount=restarts, lastState={"terminated": end})
        lacks_a_pod(scene, ready=restarts - 5)
        await hear(scene)
        assert scene.status()["phase"] == phase


async def test_pods_are_looked_at_when_their_deployment_changes_and_no_oftener_than_every_two_seconds(
    scene: Scene, looks: Looks
) -> None:
    await scene.reach_first_stage()
    scene.clock.turn_to(scene.clock.seconds() + 10)
    await hear(scene)
    looks.at.clear()
    for ready in (3, 2, 1):
        lacks_a_pod(scene, ready=ready)
        await hear(scene)
    begun = scene.clock.seconds()
    assert looks.at == [begun]
    due = scene.operator.queue.schedule.next_due()
    assert due == begun + 2
    scene.clock.turn_to(due)
    await hear(scene)
    assert looks.at == [begun, begun + 2]


async def test_as_long_as_pods_are_missing_they_are_looked_at_ever_more_rarely_and_then_no_more(
    scene: Scene, looks: Looks
) -> None:
    await scene.reach_first_stage()
    scene.clock.turn_to(scene.clock.seconds() + 10)
    await hear(scene)
    looks.at.clear()
    lacks_a_pod(scene)
    begun = scene.clock.seconds()
    while scene.clock.seconds() < begun + 300:
        await hear(scene)
        scene.clock.turn_to(scene.clock.seconds() + 1)
    assert [later - earlier for earlier, later in pairwise(looks.at)] == [4, 8, 16, 32, 60, 60, 60]
    lacks_a_pod(scene, ready=4)
    await hear(scene)
    looks.at.clear()
    scene.clock.turn_to(scene.clock.seconds() + 600)
    await hear(scene)
    assert looks.at == []


async def test_nobody_looks_at_pods_while_nobody_is_on_trial(scene: Scene, looks: Looks) -> None:
    await scene.serve("1.0.0")
    looks.at.clear()
    blue = scene.api.objects["Deployment", Key("ml", "scorer-blue")]
    scene.api.put({**blue, "status": {**blue["status"], "readyReplicas": 1}})
    scene.clock.turn_to(scene.clock.seconds() + 60)
    await hear(scene)
    assert looks.at == []


async def test_pods_that_cannot_be_listed_are_tried_again_and_what_was_seen_stays(
    scene: Scene, looks: Looks, caplog: pytest.LogCaptureFixture
) -> None:
    await scene.reach_first_stage()
    scene.clock.turn_to(scene.clock.seconds() + 10)
    looks.refused = True
    killed(scene)
    lacks_a_pod(scene)
    lacks_a_pod(scene, ready=4)  # it is ready again by now
    with caplog.at_level(logging.WARNING):
        await hear(scene)
    assert "its pods cannot be looked at: pods is forbidden" in caplog.text
    assert scene.status()["phase"] == "Progressing"
    looks.refused = False
    due = scene.operator.queue.schedule.next_due()
    assert due
    scene.clock.turn_to(due)
    await hear(scene)
    assert scene.status()["lastRevert"]["reason"] == "CandidateOutOfMemory"


async def test_a_pod_that_cannot_be_read_is_logged_and_hurts_nobody(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    await scene.reach_first_stage()
    scene.clock.turn_to(scene.clock.seconds() + 10)
    put_pod(scene, "violet", restartCount=1)
    lacks_a_pod(scene)
    await hear(scene)
    assert "what its pods tell cannot be read" in caplog.text
    assert scene.status()["phase"] == "Progressing"
