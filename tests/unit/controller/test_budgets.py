"""PodDisruptionBudgets and grace periods, as the spec changes and whatever becomes of the writes."""

from typing import Any

import pytest

from modelrollout.controller.kinds import MODEL_ROLLOUTS, Key
from unit.controller.fake_cluster import GATEWAY_ROUTER, KEY, rollout
from unit.controller.scene import Scene

BLUE, GREEN = (Key(KEY.namespace, f"{KEY.name}-{colour}") for colour in ("blue", "green"))
BUDGET = "PodDisruptionBudget"


@pytest.fixture
async def scene() -> Scene:
    scene = Scene()
    await scene.operator.start()
    return scene


def budgets(scene: Scene) -> dict[str, Any]:
    """What each budget allows, by its name."""
    return {
        key.name: one["spec"].get("maxUnavailable") or one["spec"]["minAvailable"]
        for (kind, key), one in scene.api.objects.items()
        if kind == BUDGET
    }


async def change(scene: Scene, version: str = "1.0.0", **spec: Any) -> None:
    scene.api.put(rollout(version, traffic=GATEWAY_ROUTER, **spec))
    await scene.operator.run_until(lambda: scene.serves(version))


async def test_budgets_come_follow_and_go_with_what_the_spec_says(scene: Scene) -> None:
    await change(scene)
    assert budgets(scene) == {}
    await change(scene, disruptionBudget={"maxUnavailable": 1})
    assert budgets(scene) == {"scorer-blue": 1, "scorer-green": 1}
    await change(scene, disruptionBudget={"minAvailable": "50%"})
    assert budgets(scene) == {"scorer-blue": "50%", "scorer-green": "50%"}
    writes = len(scene.api.writes)
    await scene.operator.run_until(lambda: True)
    assert len(scene.api.writes) == writes, "nothing changed, nothing is written"
    await change(scene)
    assert budgets(scene) == {}


async def test_a_budget_that_somebody_changed_or_deleted_is_put_right(scene: Scene) -> None:
    await change(scene, disruptionBudget={"maxUnavailable": 1})
    there = scene.api.objects[BUDGET, BLUE]
    scene.api.put({**there, "spec": there["spec"] | {"maxUnavailable": 5}})
    scene.api.objects.pop((BUDGET, GREEN))
    await scene.operator.start()
    await scene.operator.run_until(lambda: budgets(scene) == {"scorer-blue": 1, "scorer-green": 1})


async def test_a_budget_that_is_refused_is_told_and_delays_nothing(scene: Scene) -> None:
    scene.refuse("apply PodDisruptionBudget scorer-blue")
    await change(scene, disruptionBudget={"maxUnavailable": 1})
    await change(scene, "2.0.0", disruptionBudget={"maxUnavailable": 1})
    assert "ApplyBudgets" in await scene.note("WriteRefused")
    assert ("RolloutReport", Key(KEY.namespace, "scorer-2")) in scene.api.objects
    scene.api.trouble = lambda _number, _when: None
    await scene.operator.run_until(lambda: budgets(scene) == {"scorer-blue": 1, "scorer-green": 1})


async def test_deleted_under_retain_the_budget_of_what_serves_stays(scene: Scene) -> None:
    await change(scene, disruptionBudget={"maxUnavailable": 1})
    scene.api.remove(MODEL_ROLLOUTS, KEY)
    await scene.operator.run_until(lambda: ("ModelRollout", KEY) not in scene.api.objects)
    assert budgets(scene) == {"scorer-blue": 1}


async def test_a_longest_answer_that_is_said_later_restarts_no_pod_and_holds_from_the_next_attempt_on(
    scene: Scene,
) -> None:
    def grace(key: Key) -> int | None:
        pod: dict[str, int] = scene.api.objects["Deployment", key]["spec"]["template"]["spec"]
        return pod.get("terminationGracePeriodSeconds")

    await change(scene)
    generation = scene.api.objects["Deployment", BLUE]["metadata"]["generation"]
    await change(scene, service={"longestAnswer": "10m"})
    await scene.operator.run_until(
        lambda: scene.api.objects["HTTPRoute", KEY]["spec"]["rules"][0].get("timeouts") == {"request": "10m"}
    )
    scene.restart()
    await scene.operator.start()
    await change(scene, replicas=3, service={"longestAnswer": "10m"})
    await scene.operator.run_until(lambda: scene.api.objects["Deployment", BLUE]["spec"]["replicas"] == 3)
    assert scene.status()["attempt"] == 1
    assert scene.api.objects["Deployment", BLUE]["metadata"]["generation"] == generation + 1, "the replicas alone"
    assert grace(BLUE) is None
    await change(scene, "2.0.0", service={"longestAnswer": "10m"})
    await change(scene, "2.0.0", service={"longestAnswer": "1h"})
    assert grace(GREEN) == 630
