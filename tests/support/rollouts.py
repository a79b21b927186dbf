"""ModelRollouts for tests: a valid one, ways to change it, and the API server's answer to applying it."""

import copy
import json
import re
from dataclasses import dataclass
from typing import Any

from kubernetes.client import ApiClient, ApiException, CustomObjectsApi

Object = dict[str, Any]

ABSENT = object()
"""As the value of a change: the field is removed."""

WHOLE = "the whole object"
"""As the field of a complaint."""


def valid() -> Object:
    """A rollout in which every part is named, so that a change can break each."""
    return {
        "apiVersion": "modelrollout.io/v1alpha1",
        "kind": "ModelRollout",
        "metadata": {"name": "scorer"},
        "spec": {
            "model": {"name": "scorer", "version": "2.1.0", "uri": "s3://models/scorer/2.1.0"},
            "replicas": 2,
            "server": "mlserver",
            "service": {"port": 80, "targetPort": "http"},
            "template": {
                "metadata": {"labels": {"app": "scorer"}, "annotations": {"team": "risk"}},
                "spec": {
                    "restartPolicy": "Always",
                    "containers": [
                        {
                            "name": "server",
                            "image": "registry.example.com/scorer:2.1.0",
                            "env": [{"name": "LOG_LEVEL", "value": "info"}],
                            "ports": [{"name": "http", "containerPort": 8080}],
                        }
                    ],
                },
            },
            "traffic": {"gatewayAPI": {"parentRefs": [{"name": "public"}], "hostnames": ["scorer.example.com"]}},
            "strategy": {"canary": {"steps": [{"weight": 10, "hold": "1m", "deadline": "5m"}, {"weight": 100}]}},
            "slos": [
                {"name": "errors", "metric": "error-ratio", "limit": "1%", "window": "1m"},
                {"name": "latency", "metric": "latency", "slowerThan": "100ms", "limit": "5%", "source": "Server"},
                {"name": "drift", "query": {"value": 'max(drift{colour="$candidate"})'}, "limit": "0.3"},
            ],
            "warmUp": {"path": "/v2/models/scorer/infer", "method": "POST", "body": "{}", "timeout": "10s"},
            "rollback": {"keepWarm": "1h"},
            "progressDeadline": "30m",
        },
    }


def changed(rollout: Object, changes: Object) -> Object:
    """The rollout with other values at dotted paths, in which numbers are places in a list."""
    rollout = copy.deepcopy(rollout)
    for path, value in changes.items():
        *parents, last = (int(part) if part.isdigit() else part for part in path.split("."))
        place: Any = rollout
        for part in parents:
            place = place[part]
        if value is ABSENT:
            del place[last]
        else:
            place[last] = value
    return rollout


def field_of(path: str) -> str:
    """A dotted path as the API server writes it: `spec.slos.0.limit` is `spec.slos[0].limit`."""
    return re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", path)


@dataclass(frozen=True)
class Complaint:
    """One thing that the API server finds wrong."""

    field: str
    message: str


@dataclass(frozen=True)
class Rollouts:
    """The ModelRollouts of a namespace, written as kubectl does: unknown fields are errors."""

    client: ApiClient
    namespace: str

    def apply(self, rollout: Object, *, dry_run: bool = False) -> None:
        """As `kubectl apply --server-side`."""
        self._api.patch_namespaced_custom_object(
            *self._kind,
            rollout["metadata"]["name"],
            rollout,
            field_manager="test",
            field_validation="Strict",
            dry_run="All" if dry_run else None,
            _content_type="application/apply-patch+yaml",
        )

    def create(self, rollout: Object, *, dry_run: bool = False) -> None:
        """As `kubectl create`, and `kubectl apply` of something new."""
        self._api.create_namespaced_custom_object(
            *self._kind, rollout, field_validation="Strict", dry_run="All" if dry_run else None
        )

    def read(self, name: str = "scorer") -> Object:
        """As it is stored."""
        rollout: Any = self._api.get_namespaced_custom_object(*self._kind, name)
        return dict(rollout)

    def applied(self, rollout: Object) -> Object:
        """What is stored once this was applied."""
        self.apply(rollout)
        return self.read(rollout["metadata"]["name"])

    def write_status(self, name: str, status: Object) -> Object:
        """As the operator writes it."""
        written: Any = self._api.patch_namespaced_custom_object_status(
            *self._kind, name, {"status": status}, _content_type="application/merge-patch+json"
        )
        return dict(written)

    @property
    def _api(self) -> CustomObjectsApi:
        return CustomObjectsApi(self.client)

    @property
    def _kind(self) -> tuple[str, str, str, str]:
        return "modelrollout.io", "v1alpha1", self.namespace, "modelrollouts"


def complaints(refusal: ApiException) -> list[Complaint]:
    """What a refusal says; without causes, because it was not even understood, the object is the field."""
    assert refusal.body
    status = json.loads(refusal.body)
    causes = status.get("details", {}).get("causes")
    if not causes:
        return [Complaint(WHOLE, status["message"])]
    return [Complaint(cause.get("field", ""), cause["message"]) for cause in causes]
