"""What is kept of what attempts ran, on a real API server."""

import json
from functools import partial

import pytest
from kubernetes.client import ApiClient

import testbed
from stack.history import Object
from stack.operator_process import OperatorProcess, eventually
from stack.rollout import Rollout
from support.terminal_program import Program

AT_ONCE = {"canary": {"steps": [{"weight": 100, "hold": "0s"}]}}


@pytest.fixture
def rollout(bed: testbed.Bed, client: ApiClient, namespace: str) -> Rollout:
    return Rollout(bed, client, namespace, strategy=AT_ONCE)


def records(rollout: Rollout) -> dict[str, Object]:
    """The data of the records by name."""
    items = rollout.get("controllerrevisions")["items"]
    return {one["metadata"]["name"]: one["data"] for one in items}


def test_the_newest_attempts_are_kept_and_older_ones_pruned(operator: OperatorProcess, rollout: Rollout) -> None:
    for version in ("1.0.0", "2.0.0", "3.0.0", "4.0.0"):
        rollout.apply(version, revisionHistoryLimit=1)
        status = rollout.serves(version)
    assert [(one["version"], one["outcome"]) for one in status["history"]] == [
        ("4.0.0", "Promoted"),
        ("3.0.0", "Promoted"),
        ("2.0.0", "Promoted"),
    ]
    kept = eventually(lambda: records(rollout) if len(records(rollout)) == 3 else None, "the oldest record to go")
    assert {name: data["model"]["version"] for name, data in kept.items()} == {
        "scorer-2": "2.0.0",
        "scorer-3": "3.0.0",
        "scorer-4": "4.0.0",
    }


def test_nobody_can_change_what_an_attempt_ran(operator: OperatorProcess, rollout: Rollout) -> None:
    rollout.apply("1.0.0")
    rollout.serves("1.0.0")
    changed = '{"data": {"model": {"version": "6.6.6"}}}'
    with pytest.raises(testbed.BedError, match="immutable"):
        rollout.bed.kubectl(
            "-n", rollout.namespace, "patch", "controllerrevision", "scorer-1", "--type=merge", "--patch", changed
        )
    assert records(rollout)["scorer-1"]["model"]["version"] == "1.0.0"


def test_an_undo_once_the_version_before_is_parked_redeploys_it_as_it_was(
    operator: OperatorProcess, rollout: Rollout
) -> None:
    for version in ("1.0.0", "2.0.0"):
        template = {"spec": {"containers": [{"name": "server", "image": f"scorer:{version}"}]}}
        rollout.apply(version, template=template, rollback={"keepWarm": "1s"})
        rollout.serves(version)
    rollout.wait_for(lambda status: "previous" not in status, "the first version to be parked")
    undone = Program(rollout.bed.kubeconfig, rollout.namespace).run("undo", "scorer")
    assert "version 1.0.0 is rolled out again, as attempt 1 ran it" in undone.stdout, undone.output
    status = rollout.serves("1.0.0")
    assert (status["stable"]["attempt"], status["pinned"]["attempt"]) == (3, 1)
    pods = rollout.get("deployment", f"scorer-{status['stable']['colour']}")["spec"]["template"]
    assert pods["spec"]["containers"][0]["image"] == "scorer:1.0.0"
    assert records(rollout)["scorer-3"] == records(rollout)["scorer-1"]
    rollout.apply("3.0.0")
    assert "pinned" not in rollout.serves("3.0.0")


def test_a_record_that_somebody_deletes_is_written_again(operator: OperatorProcess, rollout: Rollout) -> None:
    rollout.apply("1.0.0")
    rollout.serves("1.0.0")
    before = records(rollout)
    rollout.bed.kubectl("-n", rollout.namespace, "delete", "controllerrevision", "scorer-1")
    eventually(lambda: records(rollout) == before, "the record to be there again")


def test_deleting_a_rollout_with_the_policy_delete_takes_its_history_along(
    operator: OperatorProcess, rollout: Rollout
) -> None:
    rollout.apply("1.0.0", deletionPolicy="Delete")
    rollout.serves("1.0.0")
    rollout.bed.kubectl("-n", rollout.namespace, "delete", "mr", "scorer", "--timeout=60s")
    eventually(lambda: not records(rollout), "the records to be deleted")


NAMED = {"name": "server", "image": "scorer", "envFrom": [{"configMapRef": {"name": "settings"}}]}


def set_config(rollout: Rollout, level: str) -> None:
    """Make the ConfigMap, or change it."""
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"LEVEL": level}}
    rollout.bed.apply(json.dumps(settings | {"metadata": {"name": "settings", "namespace": rollout.namespace}}))


def level_of(rollout: Rollout, colour: str) -> str:
    """What the pods of a colour are told."""
    pods = rollout.get("deployment", f"scorer-{colour}")["spec"]["template"]["spec"]
    name = pods["containers"][0]["envFrom"][0]["configMapRef"]["name"]
    level: str = rollout.get("configmap", name)["data"]["LEVEL"]
    return level


def test_a_changed_config_map_is_a_new_attempt_while_stable_keeps_its_own(
    operator: OperatorProcess, rollout: Rollout
) -> None:
    endless = {"canary": {"steps": [{"weight": 50, "hold": "1h"}, {"weight": 100}]}}
    rollout.apply("1.0.0", template={"spec": {"containers": [NAMED]}}, strategy=endless)
    rollout.wait_for(
        lambda status: any(
            one["reason"] == "ConfigurationMissing" and "ConfigMap settings" in one["message"]
            for one in status["conditions"]
        ),
        "the missing ConfigMap to be named",
    )
    assert rollout.get("deployments")["items"] == []
    set_config(rollout, "info")
    stable = rollout.serves("1.0.0")["stable"]["colour"]
    set_config(rollout, "debug")
    status = rollout.wait_for(lambda status: status.get("stage", {}).get("reachedAt"), "the first stage")
    assert (status["attempt"], status["candidate"]["version"]) == (2, "1.0.0")
    assert (level_of(rollout, stable), level_of(rollout, status["candidate"]["colour"])) == ("info", "debug")
    copy = next(one for one in rollout.get("configmaps")["items"] if one["metadata"]["name"].startswith("scorer-"))
    assert copy["immutable"]
    set_config(rollout, "info")
    rollout.wait_for(lambda status: status["phase"] == "Idle", "the candidate to be taken back")
    rollout.bed.kubectl("-n", rollout.namespace, "delete", "configmap", "settings")
    rollout.wait_for(lambda status: "settings" in json.dumps(status["conditions"]), "the loss to be told")
    assert level_of(rollout, stable) == "info"


def test_copies_go_with_the_last_record_that_names_them(operator: OperatorProcess, rollout: Rollout) -> None:
    set_config(rollout, "info")
    brief = {"revisionHistoryLimit": 0, "rollback": {"keepWarm": "0s"}}
    rollout.apply("1.0.0", template={"spec": {"containers": [NAMED]}}, **brief)
    rollout.serves("1.0.0")
    for level in ("debug", "trace"):
        set_config(rollout, level)
        eventually(partial(has_copy, rollout, level), "the copy of the change", seconds=60)
    eventually(lambda: levels(rollout) == ["trace"], "the copies of what is forgotten to go", seconds=60)


def has_copy(rollout: Rollout, level: str) -> bool:
    return level in levels(rollout)


def levels(rollout: Rollout) -> list[str]:
    """What is in the copies."""
    items = rollout.get("configmaps")["items"]
    return sorted(one["data"]["LEVEL"] for one in items if one["metadata"]["name"].startswith("scorer-"))
