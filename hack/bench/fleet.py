"""Rollouts with a candidate in its first stage, which holds for longer than any bench."""

from pathlib import Path
from typing import Any

from kubernetes.client import ApiClient, CustomObjectsApi

import testbed
from stack.exporter import Exporter
from stack.history import Object
from stack.operator_process import eventually
from stack.rollout import Rollout

NAMESPACE = "default"
STABLE = "1.0.0"
_GATEWAY_API = {"group": "gateway.networking.k8s.io", "version": "v1"}
ROUTES: dict[str, Any] = {**_GATEWAY_API, "namespace": NAMESPACE, "plural": "httproutes"}
_MERGE: dict[str, Any] = {"_content_type": "application/merge-patch+json"}
_SPEC: dict[str, Any] = {
    "replicas": 1,
    "server": "mlserver",
    "traffic": {"gatewayAPI": {"parentRefs": [{"name": "public"}]}},
    "strategy": {"canary": {"steps": [{"weight": 10, "hold": "24h"}, {"weight": 100}]}},
    "slos": [
        {"name": "errors", "metric": "error-ratio", "limit": "1%", "consecutiveBreaches": 1},
        {"name": "latency", "metric": "latency", "slowerThan": "100ms", "limit": "5%"},
    ],
}


class Fleet:
    """All rollouts of a bed, in the order of their making."""

    def __init__(self, bed: testbed.Bed, client: ApiClient, exporter: Exporter) -> None:
        self._bed, self._client, self._exporter = bed, client, exporter
        self._api = CustomObjectsApi(client)
        self.members: list[Rollout] = []
        bed.apply(Path(__file__).with_name("gateway.yaml"))
        accepted = {"status": {"conditions": [_true("Accepted")]}}
        gateway_class: dict[str, Any] = {**_GATEWAY_API, "plural": "gatewayclasses", "name": "bench"}
        self._api.patch_cluster_custom_object_status(**gateway_class, body=accepted, **_MERGE)

    def grow(self, size: int) -> None:
        """Have this many rollouts; the first version of the new ones serves."""
        names = [f"scorer-{number}" for number in range(len(self.members), size)]
        new = [Rollout(self._bed, self._client, NAMESPACE, name, **_SPEC) for name in names]
        for rollout in new:
            rollout.apply(STABLE)
        for rollout in new:
            self._exporter.begin(NAMESPACE, rollout.name, rollout.serves(STABLE)["stable"])
            self._accept_route(rollout.name)
        self.members += new

    def begin(self, version: str, *rollouts: Rollout) -> None:
        """Bring a version into its first stage, up to where all its SLOs pass."""
        for rollout in rollouts:
            rollout.apply(version)
        for rollout in rollouts:
            status = rollout.wait_for(
                lambda status: status["version"] == version and "reachedAt" in status.get("stage", {}),
                f"{rollout.name} in the first stage of version {version}",
                seconds=60,
            )
            self._exporter.begin(NAMESPACE, rollout.name, status["candidate"])
        for rollout in rollouts:
            rollout.wait_for(lambda status: status.get("verdict") == "Pass", f"the SLOs of {rollout.name} to pass")

    def _accept_route(self, name: str) -> None:
        """Without a generation it is said of whatever the operator will make of the route."""
        ask: Any = self._api.list_namespaced_custom_object
        eventually(lambda: ask(**ROUTES, field_selector=f"metadata.name={name}")["items"], f"the HTTPRoute {name}")
        report = {
            "parentRef": {"name": "public", "namespace": NAMESPACE},
            "controllerName": "bench.example.com/none",
            "conditions": [_true("Accepted"), _true("ResolvedRefs")],
        }
        accepted = {"status": {"parents": [report]}}
        self._api.patch_namespaced_custom_object_status(**ROUTES, name=name, body=accepted, **_MERGE)


def _true(condition: str) -> Object:
    when = "2026-01-01T00:00:00Z"
    return {"type": condition, "status": "True", "reason": condition, "message": "", "lastTransitionTime": when}
