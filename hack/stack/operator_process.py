"""The operator as a process beside the bed, with the rights of its role and nothing more."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import yaml
from prometheus_client.parser import text_string_to_metric_families

import testbed
from testbed.paths import REPOSITORY

from .history import NotReachedError

T = TypeVar("T")

_MANIFESTS = REPOSITORY / "manifests" / "operator.yaml"
_START = "from modelrollout.controller.main import main; main()"
_PORT = re.compile(r"on port (\d+)")


def apply_crds(bed: testbed.Bed) -> None:
    """Have our kinds known to the API server."""
    crds = sorted((REPOSITORY / "crds").glob("*.yaml"))
    for crd in crds:
        bed.apply(crd)
    bed.kubectl("wait", "--for=condition=Established", "--timeout=30s", *(f"--filename={crd}" for crd in crds))


def grant(bed: testbed.Bed, *, namespace: str = "") -> None:
    """Give the user `operator` of the bed the operator's role, in one namespace or in the whole cluster."""
    role = _role("ClusterRole")
    bed.apply(yaml.safe_dump_all([role, _bound(role, namespace)]))
    if namespace:
        guards = [rule for rule in role["rules"] if rule["apiGroups"] == ["admissionregistration.k8s.io"]]
        elsewhere = {**role, "metadata": {"name": "operator-guards"}, "rules": guards}
        bed.apply(yaml.safe_dump_all([elsewhere, _bound(elsewhere, "")]))


def grant_lease(bed: testbed.Bed, *, namespace: str) -> str:
    """Let several operators of this user agree by a Lease in the namespace; returns the option that names it."""
    role = _role("Role")
    role["metadata"]["namespace"] = namespace
    bed.apply(yaml.safe_dump_all([role, _bound(role, namespace)]))
    return f"--lease={namespace}/modelrollout"


def revoke(bed: testbed.Bed) -> None:
    """Take the role in the whole cluster away again."""
    bed.kubectl("delete", "clusterrolebinding", "operator-modelrollout", "--ignore-not-found")


def _role(kind: str) -> dict[str, Any]:
    objects = yaml.safe_load_all(_MANIFESTS.read_text())
    return next(one for one in objects if one["kind"] == kind)


def _bound(role: dict[str, Any], namespace: str) -> dict[str, Any]:
    """A role bound to the user `operator`, in one namespace or in the whole cluster."""
    name, scope = role["metadata"]["name"], {"namespace": namespace} if namespace else {}
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
        "metadata": {"name": f"operator-{name}", **scope},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role["kind"], "name": name},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "operator"}],
    }


@dataclass
class OperatorProcess:
    """A running operator."""

    process: subprocess.Popen[bytes]
    log: Path
    url: str = ""

    def metric(self, name: str, **labels: str) -> float:
        """Sum of the samples of its own metric that have these labels; 0 when there are none."""
        families = text_string_to_metric_families(self.get("/metrics").text)
        samples = [sample for family in families for sample in family.samples if sample.name == name]
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())

    def get(self, path: str) -> httpx.Response:
        """Its answer on /healthz, /readyz or /metrics."""
        return httpx.get(self.url + path, trust_env=False)

    @property
    def leads(self) -> bool:
        """Whether it is the one that acts."""
        return self.process.poll() is None and self.metric("modelrollout_leading") == 1

    def kill(self) -> None:
        """As the kernel or a node failure ends it."""
        self.process.kill()
        self.process.wait()

    def end(self) -> int:
        """As Kubernetes ends it: SIGTERM, and half a minute to comply; returns its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


@contextmanager
def running(bed: testbed.Bed, folder: Path, *options: str, checkout: Path = REPOSITORY) -> Iterator[OperatorProcess]:
    """An operator that is ready, with the rights of the user `operator`; killed at the end if it still runs.

    `checkout` is the tree that its code is in.
    """
    log = folder / f"operator-{time.monotonic_ns()}.log"
    environment = {"KUBECONFIG": str(bed.kubeconfig_for("operator")), "PYTHONPATH": str(checkout / "operator")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", _START, "--metrics-port=0", *options],
            env=os.environ | environment,
            stderr=output,
            stdout=output,
        )
    operator = OperatorProcess(process, log)
    try:
        operator.url = f"http://127.0.0.1:{eventually(lambda: _port(operator), 'the port in its log')}"
        eventually(lambda: operator.get("/readyz").is_success, "the operator being ready")
        yield operator
    finally:
        process.kill()
        process.wait()


def eventually(look: Callable[[], T | None], what: str, *, seconds: float = 120) -> T:
    """What `look` returns as soon as that is true; a NotReachedError names what was missing."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise NotReachedError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(0.1)
    return found


def _port(operator: OperatorProcess) -> str | None:
    text = operator.log.read_text()
    if operator.process.poll() is not None:
        raise NotReachedError(f"the operator has ended:\n{text}")
    found = _PORT.search(text)
    return found[1] if found else None
