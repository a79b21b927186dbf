"""ConfigMaps that a template names: copied for each attempt, and a change of one is a new attempt."""

from typing import Any

from modelrollout.controller.client import RefusedError
from modelrollout.controller.kinds import CONFIG_MAPS, Key
from unit.controller.fake_cluster import Operator, rollout
from unit.controller.scene import Scene

STEPS = [{"weight": 50, "hold": "1m"}, {"weight": 100, "hold": "1m"}]


def named(*, optional: bool = False) -> dict[str, Any]:
    reference = {"name": "settings"} | ({"optional": True} if optional else {})
    container = {"name": "server", "image": "server:1", "envFrom": [{"configMapRef": reference}]}
    return {"template": {"spec": {"containers": [container]}}, "strategy": {"canary": {"steps": STEPS}}}


def settings(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "ml", "name": "settings"}, "data": data}


def copies(scene: Scene) -> dict[str, dict[str, str]]:
    """Data of the copies by name; each is immutable."""
    found = {key.name: one for (kind, key), one in scene.api.objects.items() if kind == "ConfigMap"}
    found.pop("settings", None)
    assert all(one["immutable"] for one in found.values())
    return {name: one["data"] for name, one in found.items()}


def used(scene: Scene, colour: str) -> str:
    """The ConfigMap that the pods of a colour take their environment from."""
    pods: dict[str, Any] = scene.api.objects["Deployment", Key("ml", f"scorer-{colour}")]["spec"]["template"]["spec"]
    name: str = pods["containers"][0]["envFrom"][0]["configMapRef"]["name"]
    return name


async def serve(scene: Scene, **spec: Any) -> None:
    scene.api.put(rollout("1.0.0", **(named() | spec)))
    await scene.operator.run_until(lambda: scene.serves("1.0.0"))


async def test_pods_use_a_copy(scene: Scene) -> None:
    scene.api.put(settings(LOG="info"))
    await serve(scene)
    assert copies(scene) == {used(scene, "blue"): {"LOG": "info"}}
    assert used(scene, "blue").startswith("scorer-settings-")


async def test_a_change_is_a_new_attempt_and_stable_keeps_its_own(scene: Scene) -> None:
    scene.api.put(settings(LOG="info"))
    await serve(scene)
    scene.api.put(settings(LOG="debug"))
    await scene.operator.run_until(lambda: scene.status().get("stage", {}).get("name") == "canary-50")
    assert copies(scene)[used(scene, "blue")] == {"LOG": "info"}
    assert copies(scene)[used(scene, "green")] == {"LOG": "debug"}
    await scene.operator.run_until(lambda: scene.status().get("stable", {}).get("attempt") == 2)


async def test_a_change_back_in_the_middle_takes_the_candidate_back(scene: Scene) -> None:
    scene.api.put(settings(LOG="info"))
    await serve(scene)
    scene.api.put(settings(LOG="debug"))
    await scene.operator.run_until(lambda: scene.status().get("stage", {}).get("name") == "canary-50")
    scene.api.put(settings(LOG="info"))
    await scene.operator.run_until(lambda: scene.status()["phase"] == "Idle")
    assert scene.status()["lastRevert"]["reason"] == "Aborted"
    assert scene.status()["stable"]["attempt"] == 1


async def test_what_is_missing_is_named_before_there_are_pods(scene: Scene) -> None:
    scene.api.put(rollout("1.0.0", **named()))
    await scene.operator.run_until(lambda: "conditions" in scene.status())
    assert scene.condition("Ready")["reason"] == "ConfigurationMissing"
    assert "ConfigMap settings" in scene.condition("Ready")["message"]
    assert not [kind for kind, _ in scene.api.objects if kind == "Deployment"]
    scene.api.put(settings(LOG="info"))
    await scene.operator.run_until(lambda: scene.serves("1.0.0"))


async def test_what_is_optional_may_be_missing_and_is_a_change_when_it_comes(scene: Scene) -> None:
    await serve(scene, **named(optional=True))
    assert used(scene, "blue") == "settings"
    scene.api.put(settings(LOG="info"))
    await scene.operator.run_until(lambda: scene.status().get("stable", {}).get("attempt") == 2)
    assert copies(scene) == {used(scene, "green"): {"LOG": "info"}}


async def test_what_goes_missing_stops_nothing_that_is_under_way(scene: Scene) -> None:
    scene.api.put(settings(LOG="info"))
    await serve(scene)
    scene.api.put(settings(LOG="debug"))
    await scene.operator.run_until(lambda: scene.status().get("stage", {}).get("name") == "canary-50")
    scene.api.remove(CONFIG_MAPS, Key("ml", "settings"))
    await scene.operator.run_until(lambda: scene.status().get("stable", {}).get("attempt") == 2)
    assert scene.condition("Ready")["reason"] == "ConfigurationMissing"
    assert scene.status()["phase"] == "Idle"


async def test_a_restart_in_the_middle_of_a_stage_takes_nothing_back(scene: Scene) -> None:
    scene.api.put(settings(LOG="info"))
    await serve(scene)
    scene.api.put(settings(LOG="debug"))
    await scene.operator.run_until(lambda: scene.status().get("stage", {}).get("name") == "canary-50")
    scene.restart()
    await scene.operator.start()
    await scene.operator.run_until(lambda: scene.status().get("stable", {}).get("attempt") == 2)
    assert "lastRevert" not in scene.status()


async def test_a_failed_attempt_is_tried_again_once_the_config_map_is_another(scene: Scene) -> None:
    scene.api.put(settings(LOG="info"))
    steps = [{"weight": 50, "hold": "1m", "deadline": "2m", "onDeadline": "Revert"}, {"weight": 100}]
    slos = [{"name": "errors", "query": {"value": "0"}, "limit": "0.1"}]
    failing = {"strategy": {"canary": {"steps": steps}}, "slos": slos}
    await serve(scene, **failing)
    scene.api.put(settings(LOG="debug"))
    await scene.operator.run_until(lambda: scene.status()["phase"] == "Reverted")
    scene.restart()
    await scene.operator.start()
    writes = len(scene.api.writes)
    await scene.operator.run_until(lambda: True)
    assert [one for one in scene.api.writes[writes:] if "ModelRollout" not in one] == []
    assert scene.status()["phase"] == "Reverted"
    scene.api.put(settings(LOG="trace"))
    await scene.operator.run_until(lambda: scene.status()["attempt"] == 3)


async def test_copies_go_with_the_records_that_name_them_and_with_the_last_of_them(scene: Scene) -> None:
    briefly = {"rollback": {"keepWarm": "1s"}, "revisionHistoryLimit": 0}
    scene.api.put(settings(LOG="info"))
    await serve(scene, **briefly)
    scene.api.put(rollout("2.0.0", **(named() | briefly)))
    await scene.operator.run_until(lambda: scene.serves("2.0.0") and "previous" not in scene.status())
    assert len(copies(scene)) == 1, "the record that is left names it too"
    scene.api.put(settings(LOG="debug"))
    await scene.operator.run_until(
        lambda: scene.status().get("stable", {}).get("attempt") == 3 and "previous" not in scene.status()
    )
    assert copies(scene) == {used(scene, "blue"): {"LOG": "debug"}}
    assert ("ConfigMap", Key("ml", "settings")) in scene.api.objects


async def test_with_copies_turned_off_a_change_is_nothing(scene: Scene) -> None:
    scene.api.put(settings(LOG="info"))
    await serve(scene, copies={"configMaps": False})
    assert (copies(scene), used(scene, "blue")) == ({}, "settings")
    writes = len(scene.api.writes)
    scene.api.put(settings(LOG="debug"))
    await scene.operator.run_until(lambda: True)
    assert scene.api.writes[writes:] == []


async def test_pods_that_were_made_without_copies_are_left_alone_until_something_else_changes(scene: Scene) -> None:
    scene.api.put(settings(LOG="info"))
    await serve(scene, copies={"configMaps": False})
    writes = [one for one in scene.api.writes if "Deployment" in one]
    scene.api.put(rollout("1.0.0", **(named() | {"copies": {"configMaps": True}})))
    await scene.operator.run_until(lambda: True)
    assert [one for one in scene.api.writes if "Deployment" in one] == writes
    scene.api.put(rollout("2.0.0", **named()))
    await scene.operator.run_until(lambda: scene.serves("2.0.0"))
    assert copies(scene)[used(scene, "green")] == {"LOG": "info"}


async def test_a_config_map_that_cannot_be_read_is_named_with_the_reason(scene: Scene) -> None:
    get = scene.api.get

    async def refused(kind: Any, key: Key) -> Any:
        if key.name == "settings":
            raise RefusedError("configmaps is forbidden")
        return await get(kind, key)

    scene.api.get = refused  # type: ignore[method-assign]
    scene.api.put(rollout("1.0.0", **named()))
    await scene.operator.run_until(lambda: "forbidden" in str(scene.status().get("conditions")), looks=30)


async def test_a_copy_is_of_what_was_looked_at(scene: Scene) -> None:
    """Else a change between the look and the copy would run under the name of what was there before."""
    scene.api.put(settings(LOG="info"))
    get, gets = scene.api.get, []

    async def changing(kind: Any, key: Key) -> Any:
        gets.append(key)
        if len(gets) == 2:
            scene.api.put(settings(LOG="debug"))
        return await get(kind, key)

    scene.api.get = changing  # type: ignore[method-assign]
    await serve(scene)
    await scene.operator.run_until(lambda: copies(scene) == {used(scene, "blue"): {"LOG": "debug"}})


PASSWORD = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"namespace": "ml", "name": "password"},
    "type": "Opaque",
    "data": {"PASSWORD": "c2VjcmV0"},
}


def secretive() -> dict[str, Any]:
    container = {"name": "server", "image": "server:1", "envFrom": [{"secretRef": {"name": "password"}}]}
    return {"template": {"spec": {"containers": [container]}}, "copies": {"secrets": True}}


def secrets(scene: Scene) -> list[dict[str, Any]]:
    return [one for (kind, key), one in scene.api.objects.items() if kind == "Secret" and key.name != "password"]


async def test_secrets_are_copied_where_both_sides_say_so(scene: Scene) -> None:
    scene.operator = Operator(scene.api, scene.clock, copy_secrets=True)
    scene.api.put(PASSWORD)
    await serve(scene, **secretive())
    (copy,) = secrets(scene)
    assert (copy["data"], copy["type"], copy["immutable"]) == (PASSWORD["data"], "Opaque", True)


async def test_secrets_are_left_alone_unless_asked_for(scene: Scene) -> None:
    scene.operator = Operator(scene.api, scene.clock, copy_secrets=True)
    scene.api.put(PASSWORD)
    await serve(scene, **(secretive() | {"copies": {}}))
    assert secrets(scene) == []


async def test_an_operator_that_may_not_read_secrets_says_so(scene: Scene) -> None:
    scene.api.put(rollout("1.0.0", **secretive()))
    await scene.operator.run_until(lambda: "--copy-secrets" in str(scene.status().get("conditions")))
    assert scene.condition("Ready")["reason"] == "ConfigurationMissing"
