"""A running test bed, as tests and the demo use it, wherever it runs."""

import json
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import gobuild
from .commands import run
from .state import BedState


@dataclass(frozen=True)
class Bed(ABC):
    """A cluster on this machine. Obtained from `beds.up` or `beds.find`."""

    state: BedState

    @property
    def name(self) -> str:
        """Its name."""
        return self.state.name

    @property
    def folder(self) -> Path:
        """Where its state and logs are; gone after `down`."""
        return self.state.folder

    @property
    def kubeconfig(self) -> Path:
        """Credentials of the administrator."""
        return self.kubeconfig_for("admin")

    @abstractmethod
    def kubeconfig_for(self, user: str) -> Path:
        """Credentials of another user: `operator` (group `operators`) may do nothing until RBAC says so."""

    @property
    @abstractmethod
    def api_url(self) -> str:
        """The API server."""

    @property
    @abstractmethod
    def audit_log(self) -> Path:
        """What the API server answered, one JSON object a line."""

    @property
    @abstractmethod
    def prometheus_url(self) -> str:
        """Prometheus: there in a full bed, and in a light one after `start_prometheus`."""

    @property
    @abstractmethod
    def prometheus_url_for_pods(self) -> str:
        """The same Prometheus, as pods of the bed reach it."""

    @property
    @abstractmethod
    def host_address(self) -> str:
        """The address at which this machine's own servers are reached from inside the bed."""

    @abstractmethod
    def service_url(self, namespace: str, service: str, port: int) -> str:
        """Where this machine reaches a Service of a full bed."""

    @abstractmethod
    def load_image(self, tar: Path) -> None:
        """Put an image into the nodes; one that they have already is left alone."""

    @abstractmethod
    def running(self) -> dict[str, bool]:
        """For every program of the bed, whether it runs."""

    @abstractmethod
    def start(self, component: str) -> None:
        """Start a program that was stopped or died, and wait until it is ready."""

    @abstractmethod
    def stop(self, component: str, *, grace: float = 0) -> None:
        """Stop a program, as a crash does it unless there is time for an orderly end."""

    @abstractmethod
    def hanging(self, component: str) -> AbstractContextManager[None]:
        """As long as the context lasts, a program takes connections and answers nothing."""

    @abstractmethod
    def start_prometheus(self, config: str) -> str:
        """Start Prometheus with this configuration, or reload the running one with it; returns its URL."""

    def kubectl(self, *args: str, user: str = "admin", stdin: str | None = None) -> str:
        """Run kubectl and return what it printed; raises if it fails."""
        return run(gobuild.program("kubectl"), f"--kubeconfig={self.kubeconfig_for(user)}", *args, stdin=stdin)

    def apply(self, manifest: str | Path) -> None:
        """Apply YAML, given as text or as a file; server side, as large CRDs do not fit in an annotation."""
        text = manifest.read_text() if isinstance(manifest, Path) else manifest
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)

    def get(self, *args: str) -> Any:
        """What `kubectl get ARGS` knows, as Python objects."""
        return json.loads(self.kubectl("get", *args, "-o", "json"))
