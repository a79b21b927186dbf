"""What a rollout refers to cannot be read in the middle of a stage: that is no change of it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from kubernetes.client import AppsV1Api, CoreV1Api

from faults.injection import FromThenOn, Moment, Point, break_down
from faults.scene import Ground, Scene
from faults.stories import ASKED, FIRST, begin_stage
from faults.telling import PATIENCE, look_back
from stack.operator_process import eventually
from support.api_proxy import Request
from support.watching import Object

CONTAINER = {"name": "server", "image": "scorer", "ports": [{"containerPort": 8080}]}


class Referred(NamedTuple):
    """Something that a ModelRollout names."""

    target: str
    """How it is read."""
    spec: Object
    """How it is named."""
    make: Callable[[Scene], object]
    touch: Callable[[Scene], object]
    """Changes it so that it is read again, and in no way that means anything."""
    pods: Mapping[str, int] = {}
    """What it has itself."""


def _make_settings(scene: Scene) -> None:
    settings: Any = {"metadata": {"name": "settings"}, "data": {"LEVEL": "info"}}
    CoreV1Api(scene.client).create_namespaced_config_map(scene.rollout.namespace, settings)


def _label_settings(scene: Scene) -> None:
    labelled = {"metadata": {"labels": {"example.com/touched": "x"}}}
    CoreV1Api(scene.client).patch_namespaced_config_map("settings", scene.rollout.namespace, labelled)


def _make_old(scene: Scene) -> None:
    labels = {"app": "old"}
    pods = {"metadata": {"labels": labels}, "spec": {"containers": [CONTAINER]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": pods}
    old: Any = {"metadata": {"name": "old"}, "spec": spec}
    AppsV1Api(scene.client).create_namespaced_deployment(scene.rollout.namespace, old)


def _scale_old(scene: Scene) -> None:
    AppsV1Api(scene.client).patch_namespaced_deployment("old", scene.rollout.namespace, {"spec": {"replicas": 2}})


CONFIG_MAP = Referred(
    target="GET configmaps/settings",
    spec={"template": {"spec": {"containers": [{**CONTAINER, "envFrom": [{"configMapRef": {"name": "settings"}}]}]}}},
    make=_make_settings,
    touch=_label_settings,
)
WORKLOAD = Referred(
    target="GET deployments/old",
    spec={"template": None, "workloadRef": {"name": "old", "scaleDown": "Never"}},
    make=_make_old,
    touch=_scale_old,
    pods={"old": 2},
)


@pytest.mark.parametrize("referred", [CONFIG_MAP, WORKLOAD], ids=["ConfigMap", "workloadRef"])
def test_a_candidate_stays_in_its_stage_and_goes_on_from_there(ground: Ground, referred: Referred) -> None:
    story = replace(ASKED, end=replace(ASKED.end, pods={**ASKED.end.pods, **referred.pods}))
    with ground.scene(**referred.spec) as scene:
        referred.make(scene)
        FIRST.tell(scene)
        scene.wait_for(lambda status: status["phase"] == "Idle", "the first version to serve")
        begin_stage(scene)

        def is_read(request: Request) -> bool:
            return request.target == referred.target

        fault = FromThenOn(Point(referred.target, 1, Moment.BEFORE), break_down, is_read)
        scene.proxy.fault = fault
        referred.touch(scene)
        eventually(lambda: fault.times >= 2, "it to be tried twice", seconds=PATIENCE)
        status = scene.status() or {}
        assert (status["attempt"], status.get("stage", {}).get("name")) == (2, "canary-20")
        fault.over.set()
        scene.ask("Promote")
        told = look_back(scene, story)
    ground.tally.add("read errors in mid-stage", fault.times)
    assert not told.said
