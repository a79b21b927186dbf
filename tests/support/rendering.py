"""Rollouts and cluster objects for the tests of whatever renders or reads them."""

from collections.abc import Mapping
from typing import Any

from modelrollout.api.owner import Rollout
from modelrollout.api.spec import ModelRolloutSpec
from modelrollout.engine.snapshot import Workload

GATEWAY_API: dict[str, Any] = {"gatewayAPI": {"parentRefs": [{"name": "public", "namespace": "infra"}]}}


def template() -> dict[str, Any]:
    """A pod template with a server and an init container."""
    return {
        "metadata": {"labels": {"team": "risk"}, "annotations": {"note": "kept"}},
        "spec": {
            "initContainers": [{"name": "fetch", "image": "example.com/fetch:1"}],
            "containers": [
                {
                    "name": "server",
                    "image": "example.com/server:1",
                    "env": [{"name": "CACHE", "value": "$(MODEL_NAME)"}],
                    "ports": [{"name": "http", "containerPort": 8080}],
                }
            ],
        },
    }


def rollout(**spec: Any) -> Rollout:
    """The rollout ml/fraud of version 2.1.0, with the given fields of the spec."""
    written = {
        "model": {"version": "2.1.0", "uri": "s3://models/fraud/2.1.0"},
        "template": template(),
        **spec,
    }
    return Rollout(name="fraud", namespace="ml", uid="uid-1", spec=ModelRolloutSpec.model_validate(written))


def workload(*, ready: int) -> Workload:
    """A Deployment with that many ready pods."""
    return Workload(revision="r", attempt=1, version="1.0.0", desired=ready, ready=ready, answering=ready, settled=True)


def live(manifest: Mapping[str, Any], **metadata: Any) -> dict[str, Any]:
    """A rendered object as the API server gives it back."""
    return {
        **manifest,
        "metadata": {"uid": "uid-9", "resourceVersion": "41", "generation": 1, **manifest["metadata"], **metadata},
    }


class Cluster:
    """The objects of a cluster. `hidden` are (kind, namespace) pairs that nobody watches."""

    def __init__(self, *objects: Mapping[str, Any], hidden: frozenset[tuple[str, str]] = frozenset()) -> None:
        self._objects = {
            (one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]): one for one in objects
        }
        self._hidden = hidden

    def get(self, kind: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        return self._objects.get((kind, namespace, name)) if self.watches(kind, namespace) else None

    def watches(self, kind: str, namespace: str) -> bool:
        return (kind, namespace) not in self._hidden
