"""From what the scheduler says of a pod to the plan of its rollout."""

from typing import Any

from modelrollout.api.slo import Verdict
from modelrollout.controller.kinds import PODS, Key
from unit.controller.scene import Scene


def has_no_node(scene: Scene, *, attempt: int) -> None:
    """A pod of green finds no node from now on."""
    said = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
        "lastTransitionTime": scene.clock.now().isoformat(),
    }
    labels = {"modelrollout.io/name": "scorer", "modelrollout.io/colour": "green"}
    metadata: dict[str, Any] = {"namespace": "ml", "name": f"scorer-green-{attempt}"}
    scene.api.put(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata | {"labels": labels | {"modelrollout.io/attempt": str(attempt)}},
            "status": {"phase": "Pending", "conditions": [said]},
        }
    )


def plan(scene: Scene) -> dict[str, Any]:
    capacity: dict[str, Any] = scene.status().get("capacity", {})
    return capacity


async def test_after_a_minute_a_pod_without_a_node_changes_the_plan_and_nobody_has_to_ask(scene: Scene) -> None:
    await scene.reach_first_stage()
    has_no_node(scene, attempt=2)
    begun = scene.clock.seconds()
    await scene.operator.run_until(lambda: plan(scene).get("plan") == "ShrinkStable")
    assert scene.clock.seconds() == begun + 60
    assert plan(scene)["reason"] == "Unschedulable"
    told = "Room for 7 pods, and 8 are wanted: ShrinkStable. 0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
    assert await scene.note("NoRoom") == told


async def test_a_pod_that_has_got_a_node_or_is_of_an_attempt_before_changes_nothing(scene: Scene) -> None:
    await scene.reach_first_stage()
    has_no_node(scene, attempt=1)
    has_no_node(scene, attempt=2)
    scene.api.remove(PODS, Key("ml", "scorer-green-2"))
    scene.read(Verdict.PASS, seconds=61)
    await scene.operator.run_until(lambda: scene.status()["stage"]["name"] == "canary-50")
    assert plan(scene)["plan"] == "Surge"
