"""A RolloutAction on its way through the shell: read from the watch, acted on, and answered once."""

from typing import Any

import pytest

from modelrollout.controller.client import ConflictError, NotFoundError, UnavailableError
from modelrollout.controller.kinds import ROLLOUT_ACTIONS, Key
from unit.controller.fake_cluster import KEY
from unit.controller.scene import Scene

ANSWER = "status RolloutAction hurry"


@pytest.fixture
async def scene() -> Scene:
    """Version 2.0.0 in its first stage."""
    scene = Scene()
    await scene.operator.start()
    await scene.reach_first_stage()
    return scene


def ask(scene: Scene, action: str, **details: Any) -> None:
    scene.api.put(
        {
            "apiVersion": "modelrollout.io/v1alpha1",
            "kind": "RolloutAction",
            "metadata": {"namespace": KEY.namespace, "name": "hurry", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {
                "rollout": KEY.name,
                "attempt": scene.status()["attempt"],
                "action": action,
                "by": "ada",
                **details,
            },
        }
    )


def answer(scene: Scene) -> dict[str, Any]:
    told: dict[str, Any] = scene.api.objects["RolloutAction", Key(KEY.namespace, "hurry")].get("status", {})
    return told


async def test_what_is_asked_for_is_done_and_answered(scene: Scene) -> None:
    ask(scene, "Abort", reason="wrong data")
    await scene.operator.run_until(lambda: "outcome" in answer(scene))
    assert answer(scene)["outcome"] == "Applied"
    assert scene.status()["lastRevert"]["message"] == "ada asked for it: wrong data"
    assert scene.weights() == [100, 0]
    assert "ada asked for Abort by hurry (wrong data)" in await scene.note("ActionApplied")


async def test_what_cannot_be_done_is_answered_with_the_reason(scene: Scene) -> None:
    ask(scene, "Advance", stage="canary-99")
    await scene.operator.run_until(lambda: "outcome" in answer(scene))
    assert answer(scene)["outcome"] == "Refused"
    assert "is in canary-" in answer(scene)["message"]


@pytest.mark.parametrize("error", [ConflictError("changed"), UnavailableError("away")])
async def test_an_answer_that_cannot_be_written_is_written_later_and_nothing_is_done_twice(
    scene: Scene, error: Exception
) -> None:
    failures: list[int] = []

    def strike(number: int, when: str) -> None:
        if when == "before" and scene.api.writes[-1] == ANSWER and len(failures) < 2:
            failures.append(number)
            raise error

    scene.api.trouble = strike
    before = scene.status()["stage"]["index"]
    ask(scene, "Advance", stage=scene.status()["stage"]["name"])
    await scene.operator.run_until(lambda: "outcome" in answer(scene))
    assert len(failures) == 2
    assert answer(scene)["outcome"] == "Applied"
    assert scene.status()["stage"]["index"] == before + 1
    assert [record["action"] for record in scene.status()["actions"]] == ["Advance"]


async def test_an_action_that_is_deleted_before_its_answer_holds_nothing_up(scene: Scene) -> None:
    key = Key(KEY.namespace, "hurry")

    def vanish(_number: int, when: str) -> None:
        if when == "before" and scene.api.writes[-1] == ANSWER:
            scene.api.remove(ROLLOUT_ACTIONS, key)
            raise NotFoundError("rolloutactions hurry not found")

    scene.api.trouble = vanish
    ask(scene, "Pause")
    await scene.operator.run_until(lambda: scene.status().get("held") is not None)
    await scene.operator.run_until(lambda: ("RolloutAction", key) not in scene.api.objects)
