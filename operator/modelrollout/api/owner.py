"""The rollout that an object is rendered for, and what all objects of a rollout have in common."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelrollout.api.base import API_VERSION
from modelrollout.api.labels import MANAGED_BY, MANAGER, NAME, serving_selector
from modelrollout.api.manifests import stamped
from modelrollout.api.objects import Manifest
from modelrollout.api.spec import DeletionPolicy, ModelRolloutSpec
from modelrollout.api.status import Colour


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """Identity and spec of a ModelRollout: all that renderers need of it."""

    name: str
    namespace: str
    uid: str
    spec: ModelRolloutSpec

    def owner_references(self) -> list[dict[str, Any]]:
        """What makes the garbage collector delete an object together with the rollout; empty under Retain.

        Under Retain nothing is owned to begin with. Releasing it when the rollout is deleted would be too late: a
        deletion with foreground propagation, as Argo CD and `kubectl delete --cascade=foreground` ask for, takes the
        dependents down while the finalizer still waits.
        """
        if self.spec.deletion_policy is DeletionPolicy.RETAIN:
            return []
        return [
            {
                "apiVersion": API_VERSION,
                "kind": "ModelRollout",
                "name": self.name,
                "uid": self.uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ]

    def manifest(
        self,
        api_version: str,
        kind: str,
        name: str,
        *,
        spec: Mapping[str, Any],
        labels: Mapping[str, str] | None = None,
        **parts: Any,
    ) -> Manifest:
        """An object of this rollout, in its namespace and with its labels, ready to be applied.

        `parts` are what it has beside metadata and spec.
        """
        return stamped(
            {
                "apiVersion": api_version,
                "kind": kind,
                "metadata": {
                    "name": name,
                    "namespace": self.namespace,
                    "labels": {MANAGED_BY: MANAGER, NAME: self.name} | dict(labels or {}),
                    "ownerReferences": self.owner_references(),
                },
                "spec": dict(spec),
                **parts,
            }
        )

    def service(self, name: str, *, selects: Colour | None, labels: Mapping[str, str] | None = None) -> Manifest:
        """A Service on the port of the spec that selects the pods of one colour, or of both."""
        port = self.spec.service
        spec = {
            "selector": serving_selector(self.name, selects),
            "ports": [{"name": "http", "port": port.port, "protocol": "TCP", "targetPort": port.target_port}],
        }
        return self.manifest("v1", "Service", name, spec=spec, labels=labels)
