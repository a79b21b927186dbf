"""One rollout in a namespace of its own, with an operator of its own, and faults between that and the API server."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes.client import ApiClient, CoreV1Api, CustomObjectsApi

import testbed
from faults import nursery
from faults.supervised import Supervised
from stack.history import NotReachedError
from stack.operator_process import grant_lease
from stack.rollout import Rollout
from support.api_proxy import ApiProxy, ProxyHost
from support.namespaces import new_namespace
from support.prometheus_server import Exporter, PrometheusServer
from support.recorder import ACTIONS, ROLLOUTS, Recorder, Trail
from support.watching import Object

NAME = "scorer"
ERRORS = "model_errors"
"""The metric that candidates are judged by."""
EXPORTED = "models"
"""The one target of Prometheus; its series say themselves of which model they are."""
LEASE_SECONDS = 5
"""Short, so that stories of lost Leases are; long enough for whoever leads to renew it on a busy machine."""


@dataclass
class Scene:
    """What a story is told on."""

    client: ApiClient
    rollout: Rollout
    trail: Trail
    proxy: ApiProxy
    operator: Supervised
    exporter: Exporter

    def status(self) -> Object | None:
        """The status as last heard of; None when there is no rollout."""
        found = self.trail.objects(ROLLOUTS).get(NAME)
        return found.get("status", {}) if found else None

    def wait_for(self, reached: Callable[[Object], Any], what: str, *, seconds: float = 90) -> None:
        """Wait until the status is as wanted."""

        def is_reached() -> bool:
            status = self.status()
            return bool(status and "phase" in status and reached(status))

        if not self.trail.wait(is_reached, seconds=seconds):
            raise NotReachedError(f"waited {seconds:g} s in vain for {what}; the status is {self.status()}")

    def ask(self, action: str, **fields: Any) -> None:
        """Somebody asks for an action, of the attempt that they see."""
        spec = {"rollout": NAME, "attempt": (self.status() or {})["attempt"], "action": action, "by": "admin", **fields}
        asked = {
            "apiVersion": "modelrollout.io/v1alpha1",
            "kind": "RolloutAction",
            "metadata": {"name": action.lower()},
            "spec": spec,
        }
        group, version, plural = ACTIONS
        CustomObjectsApi(self.client).create_namespaced_custom_object(
            group, version, self.rollout.namespace, plural, asked
        )

    def delete(self) -> None:
        """Somebody deletes the ModelRollout."""
        group, version, plural = ROLLOUTS
        CustomObjectsApi(self.client).delete_namespaced_custom_object(
            group, version, self.rollout.namespace, plural, NAME
        )

    def measure(self, metric: str, value: float) -> None:
        """What Prometheus will be told of this model from now on."""
        self.exporter.set(EXPORTED, series_of(metric, self.rollout.namespace), value)


def series_of(metric: str, namespace: str) -> str:
    """The series of the model in a namespace."""
    return f'{metric}{{namespace="{namespace}"}}'


class Tally:
    """How often each fault happened, for whoever wants to know what was tried."""

    def __init__(self) -> None:
        self._times: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, what: str, times: int = 1) -> None:
        """Count something that happened."""
        with self._lock:
            self._times[what] += times

    def lines(self) -> list[str]:
        """Everything that was counted, as people read it."""
        return [f"{times:5} x {what}" for what, times in sorted(self._times.items())]


@dataclass(frozen=True)
class Ground:
    """What all scenes share."""

    bed: testbed.Bed
    client: ApiClient
    recorder: Recorder
    proxies: ProxyHost
    prometheus: PrometheusServer
    exporter: Exporter
    folder: Path
    tally: Tally
    room: threading.Semaphore
    """For how many scenes the machine has room at once."""

    @contextmanager
    def scene(self, *, leased: bool = False, **spec: Any) -> Iterator[Scene]:
        """An empty namespace, and an operator that looks after it; by a Lease if others may do so, too."""
        with self.room:
            namespace = new_namespace(self.client, "fault-")
            rollout = Rollout(self.bed, self.client, namespace, NAME, **_SPEC | spec)
            options = self._by_lease(namespace) if leased else ()
            try:
                with self.proxies.proxy() as proxy, self.operator(namespace, proxy, *options) as operator:
                    yield Scene(self.client, rollout, self.recorder.trail(namespace), proxy, operator, self.exporter)
            finally:
                CoreV1Api(self.client).delete_namespace(namespace)

    def operator(self, namespace: str, proxy: ApiProxy, *options: str, name: str = "operator") -> Supervised:
        """An operator for one namespace, behind a proxy."""
        folder = self.folder / namespace
        folder.mkdir(exist_ok=True)
        kubeconfig = proxy.kubeconfig(self.bed.state.tokens["operator"], folder)
        usual = (f"--namespace={namespace}", f"--prometheus-url={self.prometheus.url}")
        return Supervised(lambda number: nursery.start(kubeconfig, folder / f"{name}-{number}.log", *usual, *options))

    def beside(self, scene: Scene, proxy: ApiProxy, *, leased: bool = False) -> Supervised:
        """A second operator for a scene."""
        namespace = scene.rollout.namespace
        options = self._by_lease(namespace) if leased else ()
        return self.operator(namespace, proxy, *options, name="beside")

    def restart(self, component: str) -> None:
        """Have a program of the bed die, and start it again."""
        self.bed.stop(component)
        self.bed.start(component)

    def _by_lease(self, namespace: str) -> tuple[str, ...]:
        return (grant_lease(self.bed, namespace=namespace), f"--lease-duration={LEASE_SECONDS}s")


# Its Gateway is in a namespace that the operator does not look into, so only what the HTTPRoute says counts.
_SPEC: dict[str, Any] = {
    "replicas": 2,
    "traffic": {"gatewayAPI": {"parentRefs": [{"name": "public", "namespace": "gateways"}]}},
}
