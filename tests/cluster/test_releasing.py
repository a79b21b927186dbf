"""What the garbage collector leaves when a ModelRollout goes."""

from dataclasses import dataclass

import pytest
from kubernetes.client import ApiException

import testbed
from cluster.kube import Kube, Object, everything
from modelrollout.api.labels import FINALIZER
from modelrollout.api.owner import Rollout
from modelrollout.api.status import Colour
from modelrollout.engine.effects import Release
from modelrollout.workloads.release import plan
from stack.operator_process import eventually
from support.rendering import GATEWAY_API, rollout

BLUE, GREEN = Colour.BLUE, Colour.GREEN


@dataclass(frozen=True)
class Owned:
    """A ModelRollout in the cluster with all its objects, and a marker that the garbage collector shall take."""

    subject: Rollout
    rollout: Object
    children: list[Object]
    marker: Object


def owned(kube: Kube, policy: str) -> Owned:
    spec = rollout(deletionPolicy=policy, traffic=GATEWAY_API, disruptionBudget={"maxUnavailable": 1}).spec
    written = kube.create(
        {
            "apiVersion": "modelrollout.io/v1alpha1",
            "kind": "ModelRollout",
            "metadata": {"name": "fraud", "finalizers": [FINALIZER]},
            "spec": spec.to_wire(),
        }
    )
    subject = Rollout(name="fraud", namespace=kube.namespace, uid=written["metadata"]["uid"], spec=spec)
    owner = {key: written[key] for key in ("apiVersion", "kind")} | {
        key: written["metadata"][key] for key in ("name", "uid")
    }
    marker = kube.create(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "marker", "ownerReferences": [owner]}}
    )
    return Owned(subject, written, [kube.apply(manifest) for manifest in everything(subject)], marker)


@pytest.fixture(scope="module")
def garbage_collector(bed: testbed.Bed) -> None:
    """Restarted, so that it knows our kind, which it would otherwise come across within a minute."""
    bed.stop("kube-controller-manager", grace=10)
    bed.start("kube-controller-manager")


def wait_for_garbage_collector(kube: Kube, one: Owned) -> None:
    """Wait until it has been through."""
    eventually(lambda: kube.get(one.marker) is None, "the visit of the garbage collector", seconds=90)


def let_go(kube: Kube, one: Owned) -> None:
    """Remove the finalizer, and see what the garbage collector makes of it."""
    kube.patch(one.rollout, {"metadata": {"finalizers": None}})
    eventually(lambda: kube.get(one.rollout) is None, "the end of the ModelRollout")
    wait_for_garbage_collector(kube, one)


def left(kube: Kube, one: Owned) -> set[tuple[str, str]]:
    """Objects that are there and stay."""
    present = (kube.get(child) for child in one.children)
    return {
        (live["kind"], live["metadata"]["name"])
        for live in present
        if live and "deletionTimestamp" not in live["metadata"]
    }


def carry_out(kube: Kube, one: Owned, effect: Release) -> None:
    """Release as the operator does: from the beginning if an object has changed since it was looked at."""

    def attempt() -> bool:
        found = plan(one.subject, effect, [live for child in one.children if (live := kube.get(child))])
        try:
            for owned_one, patch in found.disown:
                kube.patch(owned_one, patch)
        except ApiException as error:
            if error.status == 409:
                return False
            raise
        for surplus in found.delete:
            kube.delete(surplus, propagation="Background")
        return True

    eventually(attempt, "the release without a conflict")


KEPT = {
    ("Deployment", "fraud-blue"),
    ("Service", "fraud"),
    ("Service", "fraud-blue"),
    ("Service", "fraud-green"),
    ("HTTPRoute", "fraud"),
    ("PodDisruptionBudget", "fraud-blue"),
}


@pytest.mark.usefixtures("garbage_collector")
@pytest.mark.parametrize("propagation", ["Background", "Foreground"])
def test_deletion_under_retain_leaves_what_serves(kube: Kube, propagation: str) -> None:
    """In the foreground, the garbage collector goes through the dependents before the finalizer is looked at."""
    one = owned(kube, "Retain")
    kube.delete(one.rollout, propagation=propagation)
    if propagation == "Foreground":
        wait_for_garbage_collector(kube, one)
        assert left(kube, one) == KEPT | {("Deployment", "fraud-green"), ("PodDisruptionBudget", "fraud-green")}
    carry_out(kube, one, Release(keep=BLUE))
    let_go(kube, one)
    assert left(kube, one) == KEPT


@pytest.mark.usefixtures("garbage_collector")
def test_deletion_under_delete_leaves_nothing(kube: Kube) -> None:
    one = owned(kube, "Delete")
    kube.delete(one.rollout, propagation="Background")
    let_go(kube, one)
    eventually(lambda: not left(kube, one), "the end of all objects")


@pytest.mark.usefixtures("garbage_collector")
def test_what_was_owned_outlives_its_owner_once_it_is_released(kube: Kube) -> None:
    one = owned(kube, "Delete")
    kube.delete(one.rollout, propagation="Background")
    carry_out(kube, one, Release(keep=BLUE))
    let_go(kube, one)
    assert left(kube, one) == KEPT
    assert all("ownerReferences" not in (kube.get(child) or child)["metadata"] for child in one.children[:1])
