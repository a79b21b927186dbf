"""What can be said of a workloadRef without a cluster: all of it where the Deployment is in the files too. Pure."""

from collections.abc import Iterable, Iterator
from typing import Any

from modelrollout.api.rollout import ModelRollout
from modelrollout.api.spec import DeletionPolicy
from modelrollout.api.workload_ref import Referred, ScaleDown, UnusableError
from modelrollout.cli.structure import Complaint

_AT = "spec.workloadRef"


def referred(rollout: ModelRollout, deployments: Iterable[dict[str, Any]]) -> Referred | None:
    """The Deployment that a ModelRollout names, if it is among these."""
    ref, namespace = rollout.spec.workload_ref, rollout.metadata.get("namespace")
    for one in deployments if ref else ():
        metadata = one.get("metadata") or {}
        is_there = namespace is None or metadata.get("namespace") in (None, namespace)
        if ref and metadata.get("name") == ref.name and is_there:
            return Referred.of(one)
    return None


def faults(rollout: ModelRollout, found: Referred | None) -> Iterator[Complaint]:
    """What the operator would say of the Deployment before anything moves."""
    if found:
        model = rollout.spec.model.identity(rollout.metadata.get("name", ""))
        try:
            found.pod_template(model, rollout.spec.service.target_port)
        except UnusableError as error:
            yield Complaint(_AT, str(error))


def advice(rollout: ModelRollout, found: Referred | None) -> Iterator[Complaint]:
    """What somebody who has moved models before would say."""
    spec = rollout.spec
    if spec.workload_ref is None:
        return
    name = f"Deployment {spec.workload_ref.name}"
    if found is None:
        yield Complaint(
            _AT, f"{name} is not in these files, so its ports, labels and variables are only looked at in the cluster"
        )
    if spec.workload_ref.scale_down is ScaleDown.NEVER:
        return
    if found and found.replicas > spec.replicas:
        yield Complaint("spec.replicas", f"{name} has {found.replicas} pods, and is not scaled to 0 for fewer")
    if spec.deletion_policy is DeletionPolicy.DELETE:
        yield Complaint(
            "spec.deletionPolicy",
            f"once {name} is at 0, nothing serves any more when the ModelRollout is deleted; Retain is the default",
        )
