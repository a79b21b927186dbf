"""A ModelRollout whose pods are simulated, as the tests of the operator and the bench follow it."""

import json
from collections.abc import Callable
from typing import Any

from kubernetes.client import ApiClient, CustomObjectsApi

import testbed

from .history import NotReachedError, Object
from .operator_process import eventually


class Rollout:
    """One ModelRollout and what belongs to it."""

    def __init__(self, bed: testbed.Bed, client: ApiClient, namespace: str, name: str = "scorer", **spec: Any) -> None:
        """The fields of the spec that are given are instead of the usual ones; those that are None are left out."""
        self.bed, self.namespace, self.name = bed, namespace, name
        self._api = CustomObjectsApi(client)
        fields = {
            "replicas": 4,
            "template": {"spec": {"containers": [{"name": "server", "image": "scorer"}]}},
            "service": {"targetPort": 8080},
            "strategy": {"canary": {"steps": [{"weight": weight, "hold": "1s"} for weight in (20, 50, 100)]}},
            **spec,
        }
        self._spec = {field: value for field, value in fields.items() if value is not None}

    def apply(self, version: str, **spec: Any) -> None:
        """Ask for a version, with the given fields of the spec changed."""
        self._spec |= {"model": {"version": version}} | spec
        body = {
            "apiVersion": "modelrollout.io/v1alpha1",
            "kind": "ModelRollout",
            "metadata": {"name": self.name},
            "spec": self._spec,
        }
        self._api.patch_namespaced_custom_object(
            "modelrollout.io",
            "v1alpha1",
            self.namespace,
            "modelrollouts",
            self.name,
            body,
            field_manager="test",
            force=True,
            _content_type="application/apply-patch+yaml",
        )

    def status(self) -> Object:
        """Its status now."""
        rollout: Any = self._api.get_namespaced_custom_object(
            "modelrollout.io", "v1alpha1", self.namespace, "modelrollouts", self.name
        )
        status: Object = rollout.get("status", {})
        return status

    def wait_for(self, reached: Callable[[Object], Any], what: str, *, seconds: float = 120) -> Object:
        """Its status as soon as it is as wanted."""

        def look() -> Object | None:
            status = self.status()
            return status if "phase" in status and reached(status) else None

        try:
            return eventually(look, what, seconds=seconds)
        except NotReachedError as error:
            raise NotReachedError(f"{error}; the status is {json.dumps(self.status(), indent=1)}") from None

    def serves(self, version: str) -> Object:
        """Wait until a version is stable and there is nothing more to do."""
        return self.wait_for(
            lambda status: status["phase"] == "Idle" and status.get("stable", {}).get("version") == version,
            f"version {version} to serve",
        )

    def get(self, *what: str) -> Any:
        """What kubectl knows of its objects."""
        return self.bed.get("-n", self.namespace, *what)

    def events(self) -> list[str]:
        """The reasons of its events, in their order."""
        events = self.get("events.events.k8s.io")["items"]
        ours = [
            one
            for one in events
            if one["regarding"]["name"] == self.name and one["regarding"]["kind"] == "ModelRollout"
        ]
        return [one["reason"] for one in sorted(ours, key=lambda one: str(one["eventTime"]))]
