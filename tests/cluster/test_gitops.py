"""Flux and Argo CD apply a ModelRollout again and again while the operator rolls it out, and nothing drifts."""

import json
from pathlib import Path
from typing import Any

import pytest

import testbed
from cluster.gitops_tools import ARGO_CD, FLUX, Object, Tool, manifest
from generate.argocd import ACTIONS
from stack.operator_process import OperatorProcess, eventually
from stack.rollout import Rollout
from support import argocd

FOR_ARGO_CD = Path(__file__).parents[2] / "integrations" / "argocd"
ARGO_CD_SERVER = "system:serviceaccount:argocd:argocd-server"

TRACKED_BY = "app.kubernetes.io/instance"

ENDLESS = {"canary": {"steps": [{"weight": 50, "hold": "1h"}, {"weight": 100}]}}


@pytest.fixture(params=[FLUX, ARGO_CD], ids=lambda tool: tool.name)
def tool(request: pytest.FixtureRequest) -> Tool:
    found: Tool = request.param
    return found


def in_first_stage(rollout: Rollout, tool: Tool, **spec: Any) -> Object:
    """Git asks for version 2.0.0, which has reached a stage and stays there; returns what is in Git."""
    tool.apply(rollout.bed, rollout.namespace, manifest("1.0.0", strategy=ENDLESS, **spec))
    rollout.serves("1.0.0")
    wanted = manifest("2.0.0", strategy=ENDLESS, **spec)
    tool.apply(rollout.bed, rollout.namespace, wanted)
    rollout.wait_for(lambda status: "reachedAt" in status.get("stage", {}), "the first stage")
    eventually(lambda: _is_quiet(rollout), "nothing more to be written")
    return wanted


def _is_quiet(rollout: Rollout) -> bool:
    """All that was to be seen of the pods and the route has been written."""
    weights = rollout.status()["weights"]
    return bool(weights["observed"] == weights["reachable"])


def managers(one: Object, field: str) -> set[str]:
    """Who owns a part of an object."""
    return {entry["manager"] for entry in one["metadata"]["managedFields"] if field in entry.get("fieldsV1", {})}


def test_nothing_drifts_over_a_whole_rollout(
    bed: testbed.Bed, operator: OperatorProcess, rollout: Rollout, tool: Tool
) -> None:
    tool.apply(bed, rollout.namespace, manifest("1.0.0"))
    rollout.serves("1.0.0")
    wanted = manifest("2.0.0")
    applied = tool.apply(bed, rollout.namespace, wanted)
    phases: list[str] = []
    while not phases or phases[-1] != "Idle":
        assert tool.drift(bed, rollout.namespace, wanted) == []
        status = rollout.status()
        if status["observedGeneration"] == applied["metadata"]["generation"]:
            phases.append(status["phase"])
    assert "Progressing" in phases
    assert rollout.serves("2.0.0")
    assert tool.drift(bed, rollout.namespace, manifest("3.0.0")), "drift can be seen"
    assert rollout.get("mr", "scorer")["metadata"]["generation"] == 2


def test_applying_the_same_again_writes_nothing(
    bed: testbed.Bed, operator: OperatorProcess, rollout: Rollout, tool: Tool
) -> None:
    wanted = in_first_stage(rollout, tool)
    before = rollout.get("mr", "scorer")["metadata"]
    again = tool.apply(bed, rollout.namespace, wanted)["metadata"]
    assert (again["generation"], again["resourceVersion"]) == (before["generation"], before["resourceVersion"])


def test_what_is_in_git_has_one_manager_and_the_status_another(
    bed: testbed.Bed, operator: OperatorProcess, rollout: Rollout, tool: Tool
) -> None:
    in_first_stage(rollout, tool)
    found = rollout.get("mr", "scorer", "--show-managed-fields")
    assert managers(found, "f:spec") == {tool.manager}
    (ours,) = managers(found, "f:status")
    assert ours != tool.manager
    touched = [entry["fieldsV1"] for entry in found["metadata"]["managedFields"] if entry["manager"] == ours]
    assert {part for fields in touched for part in fields} <= {"f:status", "f:metadata"}
    metadata = [fields["f:metadata"] for fields in touched if "f:metadata" in fields]
    assert [set(fields) for fields in metadata] == [{"f:finalizers"}]
    children = rollout.get("deployments,services", "--show-managed-fields")["items"]
    assert len(children) >= 4
    for child in children:
        assert managers(child, "f:spec") == {ours}
        assert TRACKED_BY not in child["metadata"]["labels"], "a tool would take it for its own, and prune it"


def test_a_git_revert_in_the_middle_is_an_abort_that_serves_at_once(
    bed: testbed.Bed, operator: OperatorProcess, rollout: Rollout, tool: Tool
) -> None:
    in_first_stage(rollout, tool)
    stable = rollout.status()["stable"]
    assert "modelrollout.io/colour" not in rollout.get("service", "scorer")["spec"]["selector"], "both get requests"
    before = manifest("1.0.0", strategy=ENDLESS)
    tool.apply(bed, rollout.namespace, before)
    eventually(
        lambda: rollout.get("service", "scorer")["spec"]["selector"].get("modelrollout.io/colour") == stable["colour"],
        "all requests to be back on stable",
    )
    assert rollout.status()["candidate"]["version"] == "2.0.0", "its pods finish their answers meanwhile"
    status = rollout.serves("1.0.0")
    assert (status["stable"], status["attempt"]) == (stable, 2)
    assert status["lastRevert"]["reason"] == "Aborted"
    assert tool.drift(bed, rollout.namespace, before) == []


def test_replicas_that_git_leaves_out_are_the_autoscalers(
    bed: testbed.Bed, operator: OperatorProcess, rollout: Rollout, tool: Tool
) -> None:
    wanted = manifest("1.0.0", without="replicas")
    tool.apply(bed, rollout.namespace, wanted)
    rollout.serves("1.0.0")
    bed.kubectl("scale", "-n", rollout.namespace, "mr/scorer", "--replicas=3")
    rollout.wait_for(lambda status: status["readyReplicas"] == 3, "three pods")
    assert tool.drift(bed, rollout.namespace, wanted) == []
    assert tool.apply(bed, rollout.namespace, wanted)["spec"]["replicas"] == 3
    assert rollout.status()["attempt"] == 1


def test_an_autoscaler_scales_what_serves_without_anybody_fighting_it(
    bed: testbed.Bed, operator: OperatorProcess, rollout: Rollout
) -> None:
    wanted = manifest("1.0.0", without="replicas")
    FLUX.apply(bed, rollout.namespace, wanted)
    rollout.serves("1.0.0")
    autoscaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "scorer", "namespace": rollout.namespace},
        "spec": {
            "scaleTargetRef": {"apiVersion": "modelrollout.io/v1alpha1", "kind": "ModelRollout", "name": "scorer"},
            "minReplicas": 3,
            "maxReplicas": 5,
        },
    }
    bed.apply(json.dumps(autoscaler))
    rollout.wait_for(lambda status: status["readyReplicas"] == 3, "the pods that the autoscaler asks for", seconds=60)
    assert FLUX.drift(bed, rollout.namespace, wanted) == []
    generation = rollout.get("mr", "scorer")["metadata"]["generation"]
    assert FLUX.apply(bed, rollout.namespace, wanted)["metadata"]["generation"] == generation


def old(replicas: int) -> Object:
    """A Deployment as it is in Git, to move in from."""
    pods = {"metadata": {"labels": {"app": "old"}}, "spec": {"containers": [{"name": "server", "image": "scorer"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "old"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "old"}}, "template": pods},
    }


def test_a_deployment_that_was_handed_over_is_the_tools_again(
    bed: testbed.Bed, operator: OperatorProcess, rollout: Rollout, tool: Tool
) -> None:
    def stands(reason: str) -> None:
        rollout.wait_for(
            lambda status: any(one["reason"] == reason for one in status["conditions"] if one["type"] == "HandedOver"),
            f"the hand-over to be {reason}",
        )

    tool.apply(bed, rollout.namespace, old(2))
    tool.apply(bed, rollout.namespace, manifest("1.0.0", without="template", workloadRef={"name": "old"}))
    stands("HandedOver")
    assert rollout.get("deployment", "old")["spec"]["replicas"] == 0
    for replicas, reason in ((2, "ScaledUpAgain"), (0, "HandedOver")):
        tool.apply(bed, rollout.namespace, old(replicas))
        stands(reason)
        assert tool.drift(bed, rollout.namespace, old(replicas)) == []
    assert rollout.status()["attempt"] == 1


def test_what_a_button_in_argo_cd_asks_for_is_accepted_from_argo_cd(
    bed: testbed.Bed, operator: OperatorProcess, rollout: Rollout
) -> None:
    in_first_stage(rollout, ARGO_CD)
    bed.apply(FOR_ARGO_CD / "rbac.yaml")
    found = rollout.get("mr", "scorer")
    for kind in ACTIONS:
        asked = json.dumps(argocd.ask(kind.lower(), found))
        bed.kubectl("create", f"--as={ARGO_CD_SERVER}", "--dry-run=server", "-f", "-", stdin=asked)
    with pytest.raises(testbed.BedError, match="cannot create resource"):
        bed.kubectl("create", "--as=system:serviceaccount:argocd:other", "-f", "-", stdin=asked)


def test_our_settings_for_argo_cd_leave_its_others_as_they_are(bed: testbed.Bed) -> None:
    bed.kubectl("create", "namespace", "argocd")
    bed.kubectl(
        "create", "configmap", "argocd-cm", "--namespace=argocd", "--from-literal=url=https://argocd.example.com"
    )
    patch = f"--patch-file={FOR_ARGO_CD / 'argocd-cm.yaml'}"
    bed.kubectl("patch", "configmap", "argocd-cm", "--namespace=argocd", patch)
    found = bed.get("configmap", "argocd-cm", "--namespace=argocd")["data"]
    bed.kubectl("delete", "namespace", "argocd")
    assert found == argocd.configured() | {"url": "https://argocd.example.com"}
