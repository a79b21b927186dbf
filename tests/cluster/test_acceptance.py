"""What is right is accepted, and completed with the defaults that the models assume."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.client import ApiClient

from modelrollout.api.rollout import ModelRollout
from support.rollouts import ABSENT, Object, Rollouts, changed, valid

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
CONTAINERS: list[Object] = [{"name": "server", "image": "scorer"}]
MINIMAL: Object = changed(
    valid(),
    {
        "spec": {
            "model": {"version": "1"},
            "service": {"targetPort": 80},
            "template": {"spec": {"containers": CONTAINERS}},
        }
    },
)


@pytest.fixture
def rollouts(client: ApiClient, namespace: str) -> Rollouts:
    return Rollouts(client, namespace)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_accepts_the_examples_as_the_models_read_them(path: Path, rollouts: Rollouts) -> None:
    example = yaml.safe_load(path.read_text())
    applied = rollouts.applied(example)
    assert ModelRollout.model_validate(applied).spec == ModelRollout.model_validate(example).spec


@pytest.mark.parametrize(
    "rollout",
    [MINIMAL, *(yaml.safe_load(path.read_text()) for path in EXAMPLES)],
    ids=["minimal", *(path.stem for path in EXAMPLES)],
)
def test_accepts_what_the_models_write(rollout: Object, rollouts: Rollouts) -> None:
    written = ModelRollout.model_validate(rollout).to_wire()
    assert ModelRollout.model_validate(rollouts.applied(written)).spec == ModelRollout.model_validate(rollout).spec


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_applying_again_changes_nothing(path: Path, rollouts: Rollouts) -> None:
    """A controller that applies the same from git every few minutes causes no writes."""
    example = yaml.safe_load(path.read_text())
    name = rollouts.applied(example)["metadata"]["name"]
    written = rollouts.write_status(name, {"observedGeneration": 1})
    assert rollouts.applied(example)["metadata"]["resourceVersion"] == written["metadata"]["resourceVersion"]


def test_fills_in_the_defaults(rollouts: Rollouts) -> None:
    applied = rollouts.applied(MINIMAL)
    assert applied["spec"] == MINIMAL["spec"] | {
        "replicas": 1,
        "service": {"port": 80, "targetPort": 80},
        "rollback": {"mode": "Immediate", "hold": "1m", "keepWarm": "1h"},
        "capacity": {"candidate": "Full", "noRoom": "ShrinkStable"},
        "copies": {"configMaps": True, "secrets": False},
        "revisionHistoryLimit": 10,
        "paused": False,
        "readyWhen": "Serving",
        "deletionPolicy": "Retain",
    }


def test_fills_in_the_defaults_of_what_is_named(rollouts: Rollouts) -> None:
    applied = rollouts.applied(
        changed(
            valid(),
            {
                "spec.strategy": {"canary": {}},
                "spec.traffic": {"replicas": {}},
                "spec.warmUp": {"path": "/"},
                "spec.slos": [{"name": "errors", "metric": "error-ratio", "limit": "1%"}],
            },
        )
    )["spec"]
    steps = [{"weight": weight, "hold": "5m", "onDeadline": "Hold"} for weight in (1, 5, 10, 25, 50, 100)]
    assert applied["strategy"] == {"canary": {"steps": steps}}
    assert applied["traffic"] == {"replicas": {"unreachable": "Skip"}}
    assert applied["warmUp"] == {
        "path": "/",
        "method": "POST",
        "contentType": "application/json",
        "requests": 10,
        "timeout": "30s",
    }
    (slo,) = applied["slos"]
    assert (slo["window"], slo["consecutiveBreaches"]) == ("2m", 2)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"metadata.name": "s" * 57}, id="name of 57 characters"),
        pytest.param({"metadata.name": "bluegreen"}, id="name that holds a colour"),
        pytest.param({"spec.model.version": "model-v2.1.0-20240115-1600"}, id="version with a date"),
        pytest.param({"spec.model.version": "1"}, id="version of one character"),
        pytest.param({"spec.model.metadata": {"f1": 0.87, "tags": ["a"]}}, id="free metadata"),
        pytest.param({"spec.slos": ABSENT, "spec.server": ABSENT}, id="no SLOs"),
        pytest.param({"spec.strategy": ABSENT, "spec.traffic": ABSENT}, id="no strategy, no router"),
        pytest.param({"spec.strategy": {"blueGreen": {}}}, id="blue/green by default"),
        pytest.param({"spec.strategy": {"canary": {"steps": [{"weight": 100}]}}}, id="straight over"),
        pytest.param(
            {"spec.strategy.canary.steps.0.hold": "1h30m15s5ms", "spec.strategy.canary.steps.0.deadline": "2h"},
            id="long hold",
        ),
        pytest.param({"spec.strategy.canary.steps.0.hold": "5m"}, id="hold up to the deadline"),
        pytest.param({"spec.strategy.canary.steps.0.hold": "0s"}, id="no hold"),
        pytest.param({"spec.rollback.keepWarm": "0s"}, id="nothing kept warm"),
        pytest.param({"spec.service.targetPort": 8080}, id="target port by number"),
        pytest.param(
            {
                "spec.service.targetPort": "proxy",
                "spec.template.spec.initContainers": [
                    {
                        "name": "proxy",
                        "image": "proxy",
                        "restartPolicy": "Always",
                        "ports": [{"name": "proxy", "containerPort": 9}],
                    }
                ],
            },
            id="target port of a sidecar",
        ),
        pytest.param({"spec.template.metadata.creationTimestamp": None}, id="template as kubectl prints it"),
        pytest.param(
            {"spec.template.spec.containers.0.lifecycle": {"preStop": {"sleep": {"seconds": 5}}}},
            id="more of a container",
        ),
        pytest.param(
            {"spec.traffic.gatewayAPI.parentRefs.0": {"kind": "Service", "group": "", "name": "scorer"}},
            id="Service as parent",
        ),
        pytest.param(
            {
                "spec.traffic.gatewayAPI.parentRefs": [
                    {"name": "a", "sectionName": "x"},
                    {"name": "a", "sectionName": "y"},
                ]
            },
            id="two listeners",
        ),
        pytest.param({"spec.traffic.gatewayAPI.hostnames": ["*.example.com"]}, id="any host below"),
        pytest.param({"spec.slos.0.limit": "0%"}, id="no error allowed"),
        pytest.param({"spec.slos.2.limit": "-1e-3"}, id="limit of a query below nothing"),
        pytest.param(
            {"spec.slos.2.query.value": 'x{a=~"b$",n="$namespace",c="${candidate}"}[$window:1s]'},
            id="dollar in a regular expression",
        ),
        pytest.param({"spec.warmUp": {"path": "/ready?probe=1", "method": "GET"}}, id="warm-up by GET"),
        pytest.param({"spec.service.longestAnswer": "1h30m"}, id="long answers"),
        pytest.param({"spec.template.spec.terminationGracePeriodSeconds": 0}, id="no grace period"),
        pytest.param({"spec.disruptionBudget": {"maxUnavailable": 0}}, id="no evictions"),
        pytest.param({"spec.disruptionBudget": {"minAvailable": "100%"}}, id="all pods available"),
    ],
)
def test_accepts(changes: Object, rollouts: Rollouts) -> None:
    rollout = changed(valid(), changes)
    rollouts.apply(rollout, dry_run=True)
    rollouts.create(rollout, dry_run=True)


@pytest.mark.parametrize(
    ("path", "ways"),
    [
        (
            "spec.strategy",
            [ABSENT, {"blueGreen": {}}, {"canary": {}}, {"canary": {"steps": [{"weight": 100}]}}, ABSENT],
        ),
        ("spec.traffic", [ABSENT, {"gatewayAPI": {"parentRefs": [{"name": "public"}]}}, {"replicas": {}}, ABSENT]),
    ],
)
def test_defaults_do_not_stand_in_the_way_of_another_choice(path: str, ways: list[Any], rollouts: Rollouts) -> None:
    """A preset or router that the API server had filled in would stay, unowned, beside the one that the user names."""
    part = path.rpartition(".")[2]
    for way in ways:
        applied = rollouts.applied(changed(valid(), {path: way}))
        assert applied["spec"].get(part, {}).keys() == (set() if way is ABSENT else way.keys())


def test_an_object_that_no_operator_has_seen_is_not_taken_for_ready(rollouts: Rollouts) -> None:
    applied = rollouts.applied(valid())
    assert applied["status"] == {"observedGeneration": -1}
    assert applied["metadata"]["generation"] == 1
