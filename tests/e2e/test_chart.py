"""The operator as it is shipped: installed with helm, in a pod that may do little."""

import re

import httpx
import pytest

from stack.install import NAMESPACE, RELEASE, helm_upgrade
from testbed import Bed, BedError

ACCOUNT = f"--as=system:serviceaccount:{NAMESPACE}:{RELEASE}"


def test_pods_are_admitted_where_only_restricted_ones_are(bed: Bed) -> None:
    pods = bed.get("pods", "-n", NAMESPACE)["items"]
    assert [pod["status"]["phase"] for pod in pods] == ["Running", "Running"]
    with pytest.raises(BedError, match="violates PodSecurity"):
        bed.kubectl("run", "plain", "-n", NAMESPACE, "--image=localhost/x:bed", "--dry-run=server")


def test_account_may_do_what_the_operator_does_and_nothing_else(bed: Bed) -> None:
    """No secrets, no pods but to look at them, no ModelRollout but to patch it and to write its status."""
    may = {}
    for line in bed.kubectl("auth", "can-i", "--list", "--namespace=default", ACCOUNT).splitlines()[1:]:
        resource, *_, verbs = re.split(r"  +", line)
        if resource and not resource.startswith("self"):
            may[resource] = verbs.strip("[]").split()
    owned = ["get", "list", "watch", "create", "patch", "delete"]
    assert may == {
        "modelrollouts.modelrollout.io": ["get", "list", "watch", "patch"],
        "modelrollouts.modelrollout.io/status": ["update"],
        "rolloutactions.modelrollout.io": ["get", "list", "watch"],
        "rolloutactions.modelrollout.io/status": ["update"],
        "modelrollouts.modelrollout.io/finalizers": ["update"],
        "rolloutreports.modelrollout.io": ["get", "list", "create", "patch", "delete"],
        "deployments.apps": owned,
        "controllerrevisions.apps": owned,
        "configmaps": owned,
        "services": owned,
        "poddisruptionbudgets.policy": owned,
        "httproutes.gateway.networking.k8s.io": owned,
        "validatingadmissionpolicies.admissionregistration.k8s.io": ["list", "watch"],
        "validatingadmissionpolicybindings.admissionregistration.k8s.io": ["list", "watch"],
        "gateways.gateway.networking.k8s.io": ["list", "watch"],
        "gatewayclasses.gateway.networking.k8s.io": ["list", "watch"],
        "customresourcedefinitions.apiextensions.k8s.io": ["list", "watch"],
        "pods": ["list", "watch"],
        "events.events.k8s.io": ["create"],
    }


@pytest.mark.parametrize(
    ("path", "says"), [("metrics", 'modelrollout_build_info{version="'), ("healthz", "ok"), ("readyz", "ok")]
)
def test_answers_on_its_port(bed: Bed, path: str, says: str) -> None:
    url = bed.service_url(NAMESPACE, f"{RELEASE}-metrics", 8080)
    answer = httpx.get(f"{url}/{path}", trust_env=False, timeout=10)
    assert answer.status_code == 200
    assert says in answer.text


def test_one_of_its_pods_holds_the_lease(bed: Bed) -> None:
    holder = bed.get("lease", RELEASE, "-n", NAMESPACE)["spec"]["holderIdentity"]
    pods = {pod["metadata"]["name"] for pod in bed.get("pods", "-n", NAMESPACE)["items"]}
    assert holder.partition("_")[0] in pods


def test_upgrade_with_other_values(bed: Bed) -> None:
    helm_upgrade(bed, "logging.level=debug")
    assert all("--log-level=debug" in given for given in arguments(bed))


def arguments(bed: Bed) -> list[list[str]]:
    """Of each of the operator's pods, which the upgrade has replaced by now."""
    pods = bed.get("pods", "-n", NAMESPACE)["items"]
    staying = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    assert len(staying) == 2
    return [[str(argument) for argument in pod["spec"]["containers"][0]["args"]] for pod in staying]
