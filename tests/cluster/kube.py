"""A namespace of a real API server, written to as the operator writes, and what we render into it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kubernetes.client import ApiException
from kubernetes.dynamic import DynamicClient

from modelrollout.api.owner import Rollout
from modelrollout.api.status import Colour
from modelrollout.engine.effects import ApplyWorkload, SetTraffic
from modelrollout.traffic.router import router_for
from modelrollout.workloads import budgets, deployment, services

BLUE, GREEN = Colour.BLUE, Colour.GREEN

Object = dict[str, Any]


@dataclass(frozen=True)
class Kube:
    """One namespace of the cluster, written to as the operator writes."""

    client: DynamicClient
    namespace: str

    def apply(self, manifest: Mapping[str, Any]) -> Object:
        applied = self._resource(manifest).server_side_apply(
            body=manifest, namespace=self.namespace, field_manager="modelrollout", force_conflicts=True
        )
        found: Object = applied.to_dict()
        return found

    def patch(self, one: Mapping[str, Any], changes: Object) -> Object:
        patched = self._resource(one).patch(
            body=changes,
            name=one["metadata"]["name"],
            namespace=self.namespace,
            content_type="application/merge-patch+json",
        )
        found: Object = patched.to_dict()
        return found

    def create(self, manifest: Object) -> Object:
        created: Object = self._resource(manifest).create(body=manifest, namespace=self.namespace).to_dict()
        return created

    def get(self, one: Mapping[str, Any]) -> Object | None:
        try:
            found = self._resource(one).get(name=one["metadata"]["name"], namespace=self.namespace)
        except ApiException as error:
            if error.status == 404:
                return None
            raise
        live: Object = found.to_dict()
        return live

    def delete(self, one: Mapping[str, Any], *, propagation: str) -> None:
        self._resource(one).delete(
            name=one["metadata"]["name"], namespace=self.namespace, body={"propagationPolicy": propagation}
        )

    def _resource(self, one: Mapping[str, Any]) -> Any:
        return self.client.resources.get(api_version=one["apiVersion"], kind=one["kind"])


def placed(kube: Kube, subject: Rollout, *, uid: str = "uid-1") -> Rollout:
    """The rollout in the namespace of this test."""
    return Rollout(name=subject.name, namespace=kube.namespace, uid=uid, spec=subject.spec)


def everything(subject: Rollout, *, weight: int = 0) -> Iterator[Object]:
    """All objects of a rollout while a candidate runs in green."""
    for colour in Colour:
        yield deployment.render(subject, ApplyWorkload(colour=colour, attempt=1, revision="r1", replicas=2))
    yield from services.render(subject)
    yield from router_for(subject.spec).render(
        subject, SetTraffic(stable=BLUE, attempt=1, candidate=GREEN, weight=weight)
    )
    yield from budgets.render(subject)
