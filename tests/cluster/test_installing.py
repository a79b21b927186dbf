"""The chart and the manifests on a real API server: all of it is accepted, upgraded, and leaves what it shall leave."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

import testbed
from support.rollouts import valid
from testbed import gobuild
from testbed.helm import helm
from testbed.paths import CHART, REPOSITORY

RIGHTS = [("update", "modelrollouts.modelrollout.io", "status"), ("patch", "httproutes.gateway.networking.k8s.io", "")]
NO_RIGHTS = [("get", "secrets", ""), ("create", "pods", ""), ("update", "modelrollouts.modelrollout.io", "")]


@pytest.fixture
def restricted(bed: testbed.Bed, namespace: str) -> str:
    """A namespace that takes no pod that could harm its node."""
    bed.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    return namespace


@pytest.fixture
def installed(bed: testbed.Bed, restricted: str) -> Iterator[str]:
    """The namespace of a release `modelrollout`; the CRDs, which are there already, become part of it."""
    helm(
        bed,
        "install",
        "modelrollout",
        str(CHART),
        f"--namespace={restricted}",
        "--take-ownership",
        "--wait",
        "--timeout=1m",
    )
    yield restricted
    helm(bed, "uninstall", "modelrollout", f"--namespace={restricted}", "--ignore-not-found", "--wait")


def may(
    bed: testbed.Bed, account: str, verb: str, resource: str, subresource: str, *, namespace: str = "default"
) -> bool:
    asked = (
        "auth",
        "can-i",
        verb,
        resource,
        f"--subresource={subresource}",
        f"--as={account}",
        f"--namespace={namespace}",
    )
    command = [str(gobuild.program("kubectl")), f"--kubeconfig={bed.kubeconfig}", *asked]
    answer = subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()
    assert answer in {"yes", "no"}, answer
    return answer == "yes"


def deployment(bed: testbed.Bed, namespace: str) -> Any:
    return bed.get("deployment", "modelrollout", f"--namespace={namespace}")


def test_a_restricted_namespace_takes_the_operators_pods(bed: testbed.Bed, installed: str) -> None:
    assert deployment(bed, installed)["status"]["readyReplicas"] == 2


def test_the_operators_account_may_do_its_work_everywhere_and_no_more(bed: testbed.Bed, installed: str) -> None:
    account = f"system:serviceaccount:{installed}:modelrollout"
    assert [right for right in RIGHTS if not may(bed, account, *right)] == []
    assert [right for right in NO_RIGHTS if may(bed, account, *right)] == []


def test_its_replicas_may_agree_by_their_own_lease_and_no_other(bed: testbed.Bed, installed: str) -> None:
    account = f"system:serviceaccount:{installed}:modelrollout"
    for verb in ("get", "patch"):
        assert may(bed, account, verb, "leases.coordination.k8s.io/modelrollout", "", namespace=installed)
        assert not may(bed, account, verb, "leases.coordination.k8s.io/another", "", namespace=installed)
    assert may(bed, account, "create", "leases.coordination.k8s.io", "", namespace=installed)
    assert not may(bed, account, "create", "leases.coordination.k8s.io", "", namespace="default")


def test_some_namespaces_only(bed: testbed.Bed, installed: str) -> None:
    """An upgrade from all namespaces to one takes the rights in the others away."""
    helm(
        bed,
        *("upgrade", "modelrollout", str(CHART), f"--namespace={installed}", f"--set=watchNamespaces={{{installed}}}"),
        *("--wait", "--timeout=1m"),
    )
    account = f"system:serviceaccount:{installed}:modelrollout"
    assert all(may(bed, account, *right, namespace=installed) for right in RIGHTS)
    assert not any(may(bed, account, *right, namespace="default") for right in RIGHTS)


def test_an_upgrade_brings_the_crds_up_to_date(bed: testbed.Bed, installed: str) -> None:
    crd = "crd/modelrollouts.modelrollout.io"
    bed.kubectl("patch", crd, "--type=merge", '--patch={"spec":{"names":{"shortNames":["old"]}}}')
    helm(bed, "upgrade", "modelrollout", str(CHART), f"--namespace={installed}", "--force-conflicts", "--wait")
    assert bed.get(crd)["spec"]["names"]["shortNames"] == ["mr"]


def test_uninstalling_leaves_the_crds_and_every_rollout(bed: testbed.Bed, installed: str) -> None:
    bed.kubectl("apply", f"--namespace={installed}", "-f", "-", stdin=json.dumps(valid()))
    helm(bed, "uninstall", "modelrollout", f"--namespace={installed}", "--wait")
    assert bed.get("modelrollout", "scorer", f"--namespace={installed}")["spec"]["replicas"] == 2
    assert "deployment.apps/modelrollout" not in bed.kubectl(
        "get", "deployments", f"--namespace={installed}", "-o=name"
    )


def test_what_helm_says_at_the_end_names_what_is_missing(bed: testbed.Bed, restricted: str) -> None:
    said = helm(
        bed, "install", "modelrollout", str(CHART), f"--namespace={restricted}", "--take-ownership", "--dry-run=server"
    )
    notes = said.partition("NOTES:")[2]
    assert "prometheus.url is not set" in notes
    assert "modelPodMonitor.enabled=true" in notes


@pytest.fixture
def kustomized(bed: testbed.Bed) -> Iterator[None]:
    """The manifests applied as they are, and removed again but for the CRDs."""
    bed.kubectl("apply", "--server-side", "--force-conflicts", f"--kustomize={REPOSITORY / 'manifests'}")
    yield
    bed.kubectl(
        "delete",
        "namespace/modelrollout",
        "clusterrolebinding/modelrollout",
        "clusterrole/modelrollout",
        "--wait=false",
    )


@pytest.mark.usefixtures("kustomized")
def test_the_manifests_are_accepted_and_give_the_operator_its_rights(bed: testbed.Bed) -> None:
    bed.kubectl("rollout", "status", "deployment/modelrollout", "--namespace=modelrollout", "--timeout=60s")
    account = "system:serviceaccount:modelrollout:modelrollout"
    assert all(may(bed, account, *right) for right in RIGHTS)
