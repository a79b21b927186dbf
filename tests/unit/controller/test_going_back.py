"""Going back to a version of history: where what it ran is read from, and how often."""

from functools import partial
from typing import Any

from modelrollout.api.rollout import ModelRollout
from modelrollout.controller.kinds import CONTROLLER_REVISIONS, MODEL_ROLLOUTS, Key
from modelrollout.engine.revision import fingerprint_of
from unit.controller.fake_cluster import KEY, rollout
from unit.controller.scene import SPEC, Scene

BRIEFLY = SPEC | {"slos": [], "rollback": {"keepWarm": "1s"}}


async def have_served(scene: Scene, *versions: str) -> None:
    def has_served(version: str) -> bool:
        return scene.serves(version) and is_cold(scene)

    for version in versions:
        ports = [{"name": "http", "containerPort": 8080}]
        template = {"spec": {"containers": [{"name": "server", "image": f"server:{version}", "ports": ports}]}}
        scene.api.put(rollout(version, **BRIEFLY, template=template))
        await scene.operator.run_until(partial(has_served, version))


def is_cold(scene: Scene) -> bool:
    return "previous" not in scene.status()


def go_back(scene: Scene, attempt: int) -> None:
    """As an action does it."""
    stored = scene.api.objects["ModelRollout", KEY]
    status = stored["status"]
    entry = next(one for one in status["history"] if one["attempt"] == attempt)
    said = {"by": "jane", "at": scene.clock.now().isoformat(), "reason": "", "fingerprint": fingerprint(scene)}
    pinned = {key: entry[key] for key in ("attempt", "version", "revision")} | said
    scene.api.put({**stored, "status": status | {"pinned": pinned}})


def fingerprint(scene: Scene) -> str:
    return fingerprint_of(ModelRollout.model_validate(scene.api.objects["ModelRollout", KEY]).spec)


def image_of(scene: Scene) -> str:
    colour = scene.status()["stable"]["colour"]
    pods: dict[str, Any] = scene.api.objects["Deployment", Key("ml", f"scorer-{colour}")]["spec"]["template"]
    image: str = pods["spec"]["containers"][0]["image"]
    return image


async def test_an_old_version_runs_what_was_recorded_and_not_what_the_spec_says(scene: Scene) -> None:
    await have_served(scene, "1.0.0", "2.0.0")
    go_back(scene, 1)
    await scene.operator.run_until(lambda: scene.serves("1.0.0") and is_cold(scene))
    assert image_of(scene) == "server:1.0.0"
    assert (
        scene.api.objects["ControllerRevision", Key("ml", "scorer-3")]["data"]
        == (scene.api.objects["ControllerRevision", Key("ml", "scorer-1")]["data"])
    )


async def test_what_it_ran_survives_a_restart_of_the_operator(scene: Scene) -> None:
    await have_served(scene, "1.0.0", "2.0.0")
    go_back(scene, 1)
    await scene.operator.run_until(lambda: scene.serves("1.0.0") and is_cold(scene))
    scene.restart()
    await scene.operator.start()
    writes = len(scene.api.writes)
    await scene.operator.run_until(lambda: True)
    assert [write for write in scene.api.writes[writes:] if "ModelRollout" not in write] == []
    assert image_of(scene) == "server:1.0.0"


async def test_a_record_that_is_gone_is_named(scene: Scene) -> None:
    await have_served(scene, "1.0.0", "2.0.0")
    go_back(scene, 1)
    scene.api.remove(CONTROLLER_REVISIONS, Key("ml", "scorer-1"))
    await scene.operator.run_until(lambda: "scorer-1, which says" in scene.condition("Progressing")["message"])
    assert scene.status()["stable"]["version"] == "2.0.0"
    scene.api.put(rollout("3.0.0", **BRIEFLY))
    await scene.operator.run_until(lambda: scene.serves("3.0.0"))


async def test_a_version_without_the_port_that_requests_go_to_now_gets_none(scene: Scene) -> None:
    """Its pods would be ready, and no Service would reach them."""
    await have_served(scene, "1.0.0")
    ports = [{"name": "web", "containerPort": 8080}]
    template = {"spec": {"containers": [{"name": "server", "image": "server:2", "ports": ports}]}}
    scene.api.put(rollout("2.0.0", **BRIEFLY, template=template, service={"targetPort": "web"}))
    await scene.operator.run_until(lambda: scene.serves("2.0.0") and is_cold(scene))
    go_back(scene, 1)
    await scene.operator.run_until(lambda: "had no port web" in scene.condition("Progressing")["message"])
    assert scene.status()["stable"]["version"] == "2.0.0"


async def test_the_history_of_a_rollout_that_is_made_anew_goes_on(scene: Scene) -> None:
    await have_served(scene, "1.0.0", "2.0.0")
    scene.api.remove(MODEL_ROLLOUTS, KEY)
    await scene.operator.run_until(lambda: ("ModelRollout", KEY) not in scene.api.objects)
    scene.api.put(rollout("3.0.0", **BRIEFLY))
    await scene.operator.run_until(lambda: scene.serves("3.0.0"))
    assert [one["version"] for one in scene.status()["history"]] == ["3.0.0", "2.0.0", "1.0.0"]
