"""What lint and plan say of a workloadRef, with the Deployment in the files and without."""

import json
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from modelrollout.cli.main import main
from support.rollouts import ABSENT, Object, changed, valid


def rollout(**changes: Any) -> Object:
    return changed(valid(), {"spec.template": ABSENT, "spec.workloadRef": {"name": "old"}, **changes})


def deployment(namespace: str | None = None, **container: Any) -> Object:
    """The Deployment, as somebody has it in a file."""
    ports = [{"name": "http", "containerPort": 8080}]
    pods = {"spec": {"containers": [{"name": "server", "image": "server:1", "ports": ports} | container]}}
    metadata = {"name": "old"} | ({"namespace": namespace} if namespace else {})
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {"replicas": 2, "template": pods},
    }


def run(command: str, *documents: Object) -> Result:
    return CliRunner().invoke(main, [command, "-f", "-"], input=yaml.safe_dump_all(documents), env={"COLUMNS": "200"})


def linted(*documents: Object) -> tuple[list[Object], list[Object]]:
    """Errors and warnings."""
    text = yaml.safe_dump_all(documents)
    done = CliRunner().invoke(main, ["lint", "-f", "-", "-o", "json"], input=text)
    (verdict,) = json.loads(done.output)
    return verdict["errors"], [one for one in verdict["warnings"] if one["field"] != "spec.strategy"]


def test_without_the_deployment_lint_says_what_it_has_not_seen() -> None:
    errors, warnings = linted(rollout())
    assert errors == []
    (one,) = warnings
    assert one["field"] == "spec.workloadRef"
    assert "only looked at in the cluster" in one["message"]


def test_with_a_deployment_that_fits_there_is_nothing_to_say() -> None:
    assert linted(deployment(), rollout()) == ([], [])


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (deployment(ports=[]), "has no port named http"),
        (deployment(env=[{"name": "MODEL_NAME", "value": "other"}]), "MODEL_NAME is 'other': set spec.model.name"),
        (deployment() | {"spec": {}}, "has no containers in its template"),
    ],
)
def test_what_the_operator_would_refuse_is_an_error(written: Object, words: str) -> None:
    errors, _ = linted(written, rollout())
    assert (errors[0]["field"], words in errors[0]["message"]) == ("spec.workloadRef", True)


def test_one_of_another_namespace_is_another_one() -> None:
    _, warnings = linted(deployment("other"), rollout(**{"metadata.namespace": "ml"}))
    assert "is not in these files" in warnings[0]["message"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"spec.replicas": 1}, "spec.replicas"), ({"spec.deletionPolicy": "Delete"}, "spec.deletionPolicy")],
)
def test_what_is_unwise_is_a_warning(changes: Object, field: str) -> None:
    assert [one["field"] for one in linted(deployment(), rollout(**changes))[1]] == [field]


def test_plan_says_what_is_handed_over() -> None:
    assert "Deployment old goes to 0 once the first version serves" in run("plan", rollout()).output
    assert "Deployment old, with 2 pods now, goes to 0" in run("plan", deployment(), rollout()).output
    never = rollout(**{"spec.workloadRef.scaleDown": "Never"})
    assert "Deployment" not in run("plan", never).output
