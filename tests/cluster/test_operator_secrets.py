"""An operator that may copy Secrets, on a real API server."""

import json
from collections.abc import Iterator

import pytest
from kubernetes.client import ApiClient

import testbed
from stack.operator_process import OperatorProcess, grant, running
from stack.rollout import Rollout

RIGHTS = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    "metadata": {"name": "operator-secrets"},
    "rules": [
        {
            "apiGroups": [""],
            "resources": ["secrets"],
            "verbs": ["get", "list", "watch", "create", "patch", "delete"],
        }
    ],
}
BINDING = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRoleBinding",
    "metadata": {"name": "operator-secrets"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "operator-secrets"},
    "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "operator"}],
}


@pytest.fixture
def operator(bed: testbed.Bed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    grant(bed)
    for one in (RIGHTS, BINDING):
        bed.apply(json.dumps(one))
    with running(bed, tmp_path_factory.mktemp("operator"), "--copy-secrets") as operator:
        yield operator
    bed.kubectl("delete", "clusterrolebinding,clusterrole", "operator-secrets")


def test_a_changed_secret_is_a_new_attempt_while_stable_keeps_its_own(
    operator: OperatorProcess, bed: testbed.Bed, client: ApiClient, namespace: str
) -> None:
    endless = {"canary": {"steps": [{"weight": 50, "hold": "1h"}, {"weight": 100}]}}
    container = {"name": "server", "image": "scorer", "envFrom": [{"secretRef": {"name": "password"}}]}
    rollout = Rollout(bed, client, namespace, strategy=endless, template={"spec": {"containers": [container]}})
    set_password(rollout, "b25l")
    rollout.apply("1.0.0", copies={"secrets": True})
    stable = rollout.serves("1.0.0")["stable"]["colour"]
    set_password(rollout, "dHdv")
    status = rollout.wait_for(lambda status: status.get("stage", {}).get("reachedAt"), "the first stage")
    assert password_of(rollout, stable) == "b25l"
    assert password_of(rollout, status["candidate"]["colour"]) == "dHdv"


def set_password(rollout: Rollout, encoded: str) -> None:
    """Make the Secret, or change it."""
    metadata = {"name": "password", "namespace": rollout.namespace}
    rollout.bed.apply(
        json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"PASSWORD": encoded}})
    )


def password_of(rollout: Rollout, colour: str) -> str:
    """What the pods of a colour are given."""
    pods = rollout.get("deployment", f"scorer-{colour}")["spec"]["template"]["spec"]
    copy = rollout.get("secret", pods["containers"][0]["envFrom"][0]["secretRef"]["name"])
    assert copy["immutable"]
    password: str = copy["data"]["PASSWORD"]
    return password
