"""A full bed where there is a Docker engine: a cluster of `kind`, with the same things in it.

Never run so far: it was written on a machine without Docker.
"""

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template

import yaml

from . import addons, control_plane, gobuild
from .bed import Bed
from .commands import run, succeeds
from .daemons import BOOT_ID
from .errors import BedError
from .paths import MANIFESTS
from .sites import Site
from .state import BedState, new_tokens, write_private
from .waiting import wait_until

# The folder of the bed as its one node sees it.
_MOUNTED = "/bed"
_COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
# As manifests/prometheus.yaml has it.
_PROMETHEUS_PORT = 30090
_MANIFESTS = "/etc/kubernetes/manifests"


def new_state(name: str) -> BedState:
    """What a new bed will be."""
    return BedState(name, "full", BOOT_ID.read_text().strip(), docker=True, tokens=new_tokens())


def remove(state: BedState) -> None:
    """Remove the cluster."""
    run(gobuild.program("kind"), "delete", "cluster", f"--name={_cluster(state)}")
    # Files that the node wrote belong to root.
    if (state.folder / "shared").exists():
        run(
            "docker",
            "run",
            "--rm",
            f"--volume={state.folder}:/bed",
            "busybox",
            "rm",
            "-rf",
            "/bed/shared",
        )
    shutil.rmtree(state.folder, ignore_errors=True)


def node_address(state: BedState) -> str:
    """Where the one node is reached from this machine."""
    wanted = "--format={{.NetworkSettings.Networks.kind.IPAddress}}"
    return run("docker", "inspect", wanted, _node(state)).strip()


@dataclass(frozen=True)
class KindBed(Bed):
    """A bed whose programs run in a container that stands for a machine."""

    def kubeconfig_for(self, user: str) -> Path:
        if user == "admin":
            return self.folder / "admin.yaml"
        path = self.folder / "kubeconfigs" / f"{user}.yaml"
        if not path.exists():
            config = yaml.safe_load(self.kubeconfig.read_text())
            config["users"] = [{"name": user["name"], "user": {}} for user in config["users"]]
            config["users"][0]["user"] = {"token": self.state.tokens[user]}
            write_private(path, yaml.safe_dump(config))
        return path

    @property
    def api_url(self) -> str:
        url: str = yaml.safe_load(self.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
        return url

    @property
    def audit_log(self) -> Path:
        return self.folder / "shared" / "audit.log"

    @property
    def prometheus_url(self) -> str:
        return f"http://{node_address(self.state)}:{_PROMETHEUS_PORT}"

    @property
    def prometheus_url_for_pods(self) -> str:
        return "http://prometheus.monitoring.svc:9090"

    @property
    def host_address(self) -> str:
        return run("docker", "network", "inspect", "kind", "--format={{(index .IPAM.Config 0).Gateway}}").strip()

    def service_url(self, namespace: str, service: str, port: int) -> str:
        where = (f"--namespace={namespace}", "service", service)
        # One of type LoadBalancer, as those of Envoy Gateway are, has node ports already.
        if self.get(*where)["spec"]["type"] == "ClusterIP":
            self.kubectl("patch", *where, "--type=merge", '--patch={"spec": {"type": "NodePort"}}')
        ports = self.get(*where)["spec"]["ports"]
        node_port = next(one["nodePort"] for one in ports if one["port"] == port)
        return f"http://{node_address(self.state)}:{node_port}"

    def load_image(self, tar: Path) -> None:
        run(gobuild.program("kind"), "load", "image-archive", tar, f"--name={_cluster(self.state)}")

    def running(self) -> dict[str, bool]:
        # The processes of pods, too: asking the API server would tell nothing while that is stopped.
        return {name: self._runs(name) for name in (*_COMPONENTS, "prometheus")}

    def start(self, component: str) -> None:
        if component == "prometheus":
            self._scale_prometheus(1)
            self.kubectl("-n", "monitoring", "rollout", "status", "deployment/prometheus", "--timeout=120s")
            return
        self._must_be_static(component)
        self._move(f"{_MOUNTED}/{component}.stopped", f"{_MANIFESTS}/{component}.yaml")
        wait_until(lambda: self._runs(component), what=f"{component} runs", timeout=120)
        if component == "kube-apiserver":
            wait_until(self._api_answers, what="the API server ready", timeout=120)

    def stop(self, component: str, *, grace: float = 0) -> None:
        if component == "prometheus":
            self._scale_prometheus(0)
        else:
            self._must_be_static(component)
            # A static pod without a manifest is one that the kubelet does not start again.
            self._move(f"{_MANIFESTS}/{component}.yaml", f"{_MOUNTED}/{component}.stopped")
        if not grace:
            succeeds(*self._in_node, "pkill", "-KILL", "-x", _command(component))
        wait_until(lambda: not self._runs(component), what=f"end of {component}", timeout=max(60, grace))

    @contextmanager
    def hanging(self, component: str) -> Iterator[None]:
        run(*self._in_node, "pkill", "-STOP", "-x", _command(component))
        try:
            yield
        finally:
            run(*self._in_node, "pkill", "-CONT", "-x", _command(component))

    def start_prometheus(self, config: str) -> str:
        raise BedError(f"the Prometheus of bed {self.name} has its own configuration; {len(config)} characters refused")

    def start_full(self, scrape_interval: str) -> None:
        """Make the cluster, or what is missing of it."""
        control_plane.prepare(Site(self.state))
        shared = self.folder / "shared"
        shared.mkdir(parents=True, exist_ok=True)
        for name in ("tokens.csv", "audit-policy.yaml"):
            (shared / name).write_text((self.folder / name).read_text())
        kind, cluster = gobuild.program("kind"), _cluster(self.state)
        # Without credentials it is what a crash, or somebody who deleted the folder, has left.
        if cluster not in run(kind, "get", "clusters").split() or not self.kubeconfig.exists():
            run(kind, "delete", "cluster", f"--name={cluster}")
            (self.folder / "kind.yaml").write_text(yaml.safe_dump(_config(shared)))
            config = (f"--config={self.folder}/kind.yaml", f"--kubeconfig={self.kubeconfig}", "--wait=180s")
            run(kind, "create", "cluster", f"--name={cluster}", *config)
        addons.gateway_crds(self)
        addons.envoy_gateway(self, public_images=True)
        prometheus = Template((MANIFESTS / "prometheus.yaml").read_text())
        self.apply(prometheus.safe_substitute(interval=scrape_interval))
        self.kubectl("-n", "monitoring", "rollout", "status", "deployment/prometheus", "--timeout=180s")

    @property
    def _in_node(self) -> tuple[str, ...]:
        """Put this before a command to run it in the node."""
        return ("docker", "exec", _node(self.state))

    def _runs(self, component: str) -> bool:
        return succeeds(*self._in_node, "pgrep", "-x", _command(component))

    def _api_answers(self) -> bool:
        return succeeds(gobuild.program("kubectl"), f"--kubeconfig={self.kubeconfig}", "get", "--raw=/readyz")

    def _scale_prometheus(self, replicas: int) -> None:
        """Only the API server can have this done, so it has to run."""
        self.kubectl("-n", "monitoring", "scale", "deployment/prometheus", f"--replicas={replicas}")

    def _move(self, source: str, target: str) -> None:
        """Move a file of the node, unless that was done before."""
        run(*self._in_node, "sh", "-c", f"test ! -e {source} || mv {source} {target}")

    def _must_be_static(self, component: str) -> None:
        if component not in _COMPONENTS:
            raise BedError(
                f"{component} cannot be stopped in a bed of kind: {', '.join(_COMPONENTS)} and prometheus can"
            )


def _cluster(state: BedState) -> str:
    """Clusters of kind are known by name to the whole machine: ours are nobody else's, nor another clone's.

    The name of the bed is for people to read; that of the node may have 63 characters.
    """
    return f"modelrollout-{state.name[:20]}-{hashlib.sha256(bytes(state.folder)).hexdigest()[:8]}"


def _node(state: BedState) -> str:
    return f"{_cluster(state)}-control-plane"


def _command(component: str) -> str:
    """The name of its process, of which the kernel keeps 15 characters."""
    return component[:15]


def _config(shared: Path) -> object:
    """One node whose API server has our users and writes an audit log."""
    api_server = {
        "extraArgs": {
            "token-auth-file": f"{_MOUNTED}/tokens.csv",
            "audit-policy-file": f"{_MOUNTED}/audit-policy.yaml",
            "audit-log-path": f"{_MOUNTED}/audit.log",
        },
        "extraVolumes": [{"name": "bed", "hostPath": _MOUNTED, "mountPath": _MOUNTED, "pathType": "Directory"}],
    }
    patch = yaml.safe_dump({"kind": "ClusterConfiguration", "apiServer": api_server})
    node = {
        "role": "control-plane",
        "extraMounts": [{"hostPath": str(shared), "containerPath": _MOUNTED}],
        "kubeadmConfigPatches": [patch],
    }
    return {"kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4", "nodes": [node]}
