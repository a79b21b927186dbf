"""A Deployment that a workloadRef names: read beside the reconcile path, copied from, scaled to 0 once, left alone."""

from typing import Any

import pytest

from modelrollout.controller.client import RefusedError
from modelrollout.controller.kinds import CONTROLLER_REVISIONS, DEPLOYMENTS, Key
from unit.controller.fake_cluster import KEY, Crash, rollout
from unit.controller.scene import Scene

OLD = Key("ml", "old")
STEPS = [{"weight": 50, "hold": "1m"}, {"weight": 100}]


def moving(version: str = "1.0.0", **spec: Any) -> dict[str, Any]:
    """A ModelRollout that takes its pods from the Deployment `old`."""
    written = rollout(version, **({"workloadRef": {"name": "old"}, "strategy": {"canary": {"steps": STEPS}}} | spec))
    del written["spec"]["template"]
    return written


def old(
    image: str = "server:1", *, replicas: int = 4, labels: dict[str, str] | None = None, **container: Any
) -> dict[str, Any]:
    """The Deployment, as its people write it."""
    pods = {
        "metadata": {"labels": {"app": "old"} | (labels or {})},
        "spec": {
            "containers": [
                {"name": "server", "image": image, "ports": [{"name": "http", "containerPort": 8080}]} | container
            ]
        },
    }
    return {
        "apiVersion": DEPLOYMENTS.api_version,
        "kind": "Deployment",
        "metadata": {"namespace": OLD.namespace, "name": OLD.name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "old"}}, "template": pods},
    }


def deployment(scene: Scene, name: str = "old") -> dict[str, Any]:
    return scene.api.objects["Deployment", Key("ml", name)]


def pods_of(scene: Scene, colour: str) -> dict[str, Any]:
    pods: dict[str, Any] = deployment(scene, f"scorer-{colour}")["spec"]["template"]
    return pods


def scale(scene: Scene, replicas: int) -> None:
    stored = deployment(scene)
    scene.api.put({**stored, "spec": {**stored["spec"], "replicas": replicas}})


def scaled_by_us(scene: Scene) -> list[str]:
    return [write for write in scene.api.writes if write == "patch Deployment old"]


def handed_over(scene: Scene) -> bool:
    return "workload" in scene.status()


async def move_in(scene: Scene, **spec: Any) -> None:
    scene.api.put(old())
    scene.api.put(moving(**spec))
    await scene.operator.run_until(lambda: handed_over(scene))


async def test_it_serves_what_the_deployment_ran_and_scales_it_down(scene: Scene) -> None:
    await move_in(scene)
    assert pods_of(scene, "blue")["spec"]["containers"][0]["image"] == "server:1"
    assert pods_of(scene, "blue")["metadata"]["labels"]["app"] == "old"
    live = deployment(scene)
    assert live["spec"]["replicas"] == 0
    assert live["metadata"]["annotations"] == {
        "modelrollout.io/handed-over-to": scene.api.objects["ModelRollout", KEY]["metadata"]["uid"]
    }
    assert scene.status()["workload"]["uid"] == live["metadata"]["uid"]
    assert scene.condition("HandedOver")["status"] == "True"
    assert "Deployment old is scaled to 0" in await scene.note("HandedOver")
    assert scene.serves("1.0.0")


async def test_the_record_of_the_attempt_holds_the_template(scene: Scene) -> None:
    await move_in(scene)
    record = scene.api.objects[CONTROLLER_REVISIONS.kind, Key("ml", "scorer-1")]
    assert record["data"]["template"] == old()["spec"]["template"]


async def test_nothing_is_read_of_deployments_that_nobody_names(scene: Scene) -> None:
    gets: list[Key] = []
    get = scene.api.get

    async def noted(kind: Any, key: Key) -> Any:
        gets.append(key)
        return await get(kind, key)

    scene.api.get = noted  # type: ignore[method-assign]
    scene.api.put(old())
    scene.api.put(rollout("1.0.0"))
    await scene.operator.run_until(lambda: scene.serves("1.0.0"))
    scene.api.put(old("server:2"))
    await scene.operator.run_until(lambda: True)
    assert OLD not in gets


async def test_another_image_is_a_new_attempt_and_other_changes_are_none(scene: Scene) -> None:
    await move_in(scene)
    scene.api.put(stored := deployment(scene) | {"status": {"replicas": 0}})
    scene.operator.hear()
    assert not await scene.operator.look(), "a change of its status is no reason to look at it"
    scene.api.put({**stored, "metadata": {**stored["metadata"], "annotations": {"team": "risk"}}})
    restarted = old(replicas=2)
    pods = restarted["spec"]["template"]["metadata"]
    pods["annotations"] = {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}
    pods["creationTimestamp"] = None
    scene.api.put(restarted)
    await scene.operator.run_until(lambda: True)
    assert scene.status()["attempt"] == 1
    scene.api.put(old("server:2", replicas=0))
    await scene.operator.run_until(lambda: scene.status().get("stable", {}).get("attempt") == 2)
    assert pods_of(scene, "green")["spec"]["containers"][0]["image"] == "server:2"


async def test_who_scales_it_up_again_is_left_alone(scene: Scene) -> None:
    await move_in(scene)
    scale(scene, 4)
    await scene.operator.run_until(lambda: scene.condition("HandedOver")["reason"] == "ScaledUpAgain")
    assert (await scene.operator.emitted()).count("ScaledUpAgain") == 1
    scene.restart()
    await scene.operator.start()
    await scene.operator.run_until(lambda: True)
    assert deployment(scene)["spec"]["replicas"] == 4
    assert len(scaled_by_us(scene)) == 1
    assert (await scene.operator.emitted()).count("ScaledUpAgain") == 1
    assert scene.condition("Ready")["status"] == "True"


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_crash_at_the_write_scales_it_down_once(scene: Scene, when: str) -> None:
    died: list[int] = []

    def die(number: int, at: str) -> None:
        if at == when and scene.api.writes[-1] == "patch Deployment old" and not died:
            died.append(number)
            raise Crash

    scene.api.trouble = die
    scene.api.put(old())
    scene.api.put(moving())
    with pytest.raises(Crash):
        await scene.operator.run_until(lambda: handed_over(scene))
    scene.restart()
    await scene.operator.start()
    await scene.operator.run_until(lambda: handed_over(scene))
    assert deployment(scene)["spec"]["replicas"] == 0
    scale(scene, 2)
    await scene.operator.run_until(lambda: True)
    assert deployment(scene)["spec"]["replicas"] == 2


async def test_one_that_is_scaled_up_just_before_is_looked_at_again(scene: Scene) -> None:
    """It may have more pods by then than would take over."""
    get = scene.api.get
    grown: list[int] = []

    async def growing(kind: Any, key: Key) -> Any:
        if key == OLD and "stable" in scene.status() and not grown:
            grown.append(9)
            scale(scene, 9)
        return await get(kind, key)

    scene.api.get = growing  # type: ignore[method-assign]
    scene.api.put(old())
    scene.api.put(moving())
    await scene.operator.run_until(lambda: bool(grown) and scene.condition("HandedOver")["reason"] == "TooFewReplicas")
    assert deployment(scene)["spec"]["replicas"] == 9
    assert scaled_by_us(scene) == []


async def test_what_the_api_server_has_against_scaling_it_holds_nothing_else_up(scene: Scene) -> None:
    refused = scene.refuse("patch Deployment old", times=3)
    await move_in(scene)
    assert len(refused) == 3
    assert "HandOver" in await scene.note("WriteRefused")
    report = scene.api.objects["RolloutReport", Key("ml", "scorer-1")]
    assert [entry["reason"] for entry in report["status"]["timeline"]][-2:] == ["Promoted", "HandedOver"]


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (None, "Deployment old, which spec.workloadRef names, does not exist: create it"),
        (old(ports=[{"name": "grpc", "containerPort": 9000}]), "has no port named http: name a port so there, or set"),
        (old(labels={"modelrollout.io/name": "scorer"}), "remove modelrollout.io/name there"),
        (old(env=[{"name": "MODEL_URI", "value": "s3://a"}]), "set spec.model.uri to that, or remove it there"),
        (
            old(env=[{"name": "MODEL_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]),
            "gives server MODEL_NAME from elsewhere: remove it there and set spec.model.name",
        ),
    ],
)
async def test_what_cannot_be_taken_over_is_said_before_anything_moves(
    scene: Scene, written: dict[str, Any] | None, words: str
) -> None:
    if written:
        scene.api.put(written)
    scene.api.put(moving())
    await scene.operator.run_until(lambda: words in str(scene.status().get("conditions")), looks=40)
    assert scene.condition("Ready")["reason"] == "WorkloadUnusable"
    assert [key.name for kind, key in scene.api.objects if kind == "Deployment"] == (["old"] if written else [])
    scene.api.put(old())
    await scene.operator.run_until(lambda: handed_over(scene))


async def test_one_that_another_rollout_has_made_is_refused_and_never_scaled(scene: Scene) -> None:
    scene.api.put(rollout("1.0.0"))
    await scene.operator.run_until(lambda: scene.serves("1.0.0"))
    borrower = moving(workloadRef={"name": "scorer-blue"})
    borrower["metadata"] = {"namespace": "ml", "name": "borrower"}
    scene.api.put(borrower)

    def said() -> str:
        return str(scene.api.objects["ModelRollout", Key("ml", "borrower")].get("status"))

    await scene.operator.run_until(lambda: "made for ModelRollout scorer" in said(), looks=40)
    assert deployment(scene, "scorer-blue")["spec"]["replicas"] == 4


async def test_variables_that_say_the_same_as_the_spec_are_taken_over(scene: Scene) -> None:
    env = [{"name": "MODEL_VERSION", "value": "1.0.0"}, {"name": "LOG", "value": "info"}]
    scene.api.put(old(env=env))
    scene.api.put(moving())
    await scene.operator.run_until(lambda: handed_over(scene))
    told = pods_of(scene, "blue")["spec"]["containers"][0]["env"]
    assert [one["name"] for one in told] == ["MODEL_NAME", "MODEL_VERSION", "LOG"]


async def test_without_it_what_serves_goes_on_and_so_does_it_when_it_is_back(scene: Scene) -> None:
    await move_in(scene)
    scene.api.remove(DEPLOYMENTS, OLD)
    await scene.operator.run_until(lambda: scene.condition("Ready")["reason"] == "WorkloadUnusable")
    scene.restart()
    await scene.operator.start()
    await scene.operator.run_until(lambda: True)
    assert deployment(scene, "scorer-blue")["spec"]["replicas"] == 4
    scene.api.put(old(replicas=2))
    await scene.operator.run_until(lambda: scene.condition("Ready")["status"] == "True")
    assert scene.status()["attempt"] == 1
    assert deployment(scene)["spec"]["replicas"] == 0, "it is another one, which was not handed over yet"


async def test_a_template_that_cannot_be_read_is_named_with_the_reason(scene: Scene) -> None:
    get = scene.api.get

    async def refused(kind: Any, key: Key) -> Any:
        if key == OLD:
            raise RefusedError("deployments is forbidden")
        return await get(kind, key)

    scene.api.get = refused  # type: ignore[method-assign]
    scene.api.put(moving())
    await scene.operator.run_until(lambda: "forbidden" in str(scene.status().get("conditions")), looks=30)


async def test_config_maps_that_it_names_are_copied(scene: Scene) -> None:
    scene.api.put(old(envFrom=[{"configMapRef": {"name": "settings"}}]))
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "ml", "name": "settings"}}
    scene.api.put({**settings, "data": {"LOG": "info"}})
    scene.api.put(moving())
    await scene.operator.run_until(lambda: handed_over(scene))
    named = pods_of(scene, "blue")["spec"]["containers"][0]["envFrom"][0]["configMapRef"]["name"]
    assert named.startswith("scorer-settings-")
    scene.api.put({**settings, "data": {"LOG": "debug"}})
    await scene.operator.run_until(lambda: scene.status().get("stable", {}).get("attempt") == 2)


async def test_its_template_moved_into_the_spec_starts_nothing(scene: Scene) -> None:
    await move_in(scene)
    stored = scene.api.objects["ModelRollout", KEY]
    spec = {key: value for key, value in stored["spec"].items() if key != "workloadRef"}
    scene.api.put({**stored, "spec": spec | {"template": old()["spec"]["template"]}})
    await scene.operator.run_until(lambda: True)
    scene.api.remove(DEPLOYMENTS, OLD)
    await scene.operator.run_until(lambda: True)
    assert (scene.status()["attempt"], scene.condition("Ready")["status"]) == (1, "True")
