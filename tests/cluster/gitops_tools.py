"""What GitOps tools do to an object again and again: apply what is in Git, and compare it with what is there."""

import json
from dataclasses import dataclass
from typing import Any

import testbed

Object = dict[str, Any]


def manifest(version: str, *, without: str = "", **spec: Any) -> Object:
    """A ModelRollout as it is in Git, with the given fields of the spec changed, or one left out."""
    fields = {
        "model": {"version": version},
        "replicas": 2,
        "template": {"spec": {"containers": [{"name": "server", "image": "scorer"}]}},
        "service": {"targetPort": 8080},
        "strategy": {"canary": {"steps": [{"weight": weight, "hold": "1s"} for weight in (50, 100)]}},
        **spec,
    }
    fields.pop(without, None)
    return {
        "apiVersion": "modelrollout.io/v1alpha1",
        "kind": "ModelRollout",
        "metadata": {"name": "scorer", "labels": {"app.kubernetes.io/instance": "fraud"}},
        "spec": fields,
    }


@dataclass(frozen=True)
class Tool:
    """A GitOps tool, by how it applies."""

    name: str
    manager: str
    flags: tuple[str, ...] = ()

    def apply(self, bed: testbed.Bed, namespace: str, wanted: Object) -> Object:
        """Apply what is in Git; returns the object as it is then."""
        return self._apply(bed, namespace, wanted)

    def drift(self, bed: testbed.Bed, namespace: str, wanted: Object) -> list[str]:
        """What applying it again would change. The status, which the operator may write meanwhile, is nobody's wish."""
        live = bed.get("-n", namespace, wanted["kind"], wanted["metadata"]["name"])
        planned = self._apply(bed, namespace, wanted, "--dry-run=server")
        before, after = (
            {"spec": one["spec"]} | {key: one["metadata"].get(key) for key in _WISHED_METADATA}
            for one in (live, planned)
        )
        return [f"{key}: {before[key]} would be {after[key]}" for key in before if before[key] != after[key]]

    def _apply(self, bed: testbed.Bed, namespace: str, wanted: Object, *more: str) -> Object:
        arguments = ("apply", "-n", namespace, f"--field-manager={self.manager}", *self.flags, *more)
        applied: Object = json.loads(bed.kubectl(*arguments, "-o", "json", "-f", "-", stdin=json.dumps(wanted)))
        return applied


_WISHED_METADATA = ("generation", "labels", "annotations", "finalizers", "ownerReferences")

FLUX = Tool("Flux", "kustomize-controller", ("--server-side", "--force-conflicts"))
"""Argo CD with its option ServerSideApply does the same under another name."""

ARGO_CD = Tool("Argo CD", "argocd-controller")
"""A three-way merge with what was applied last, which it keeps in an annotation."""
