"""A full bed where there is a Docker engine: a cluster of `kind`, with the same things in it.

Never run so far: it was written on a machine without Docker.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from string import Template

import yaml

from . import addons, control_plane, gobuild
from .bed import Bed
from .commands import run, succeeds
from .daemons import BOOT_ID, Daemon
from .errors import BedError
from .paths import MANIFESTS
from .sites import Site
from .state import BedState, free_ports, new_tokens, write_private
from .waiting import wait_until

# The folder of the bed as its one node sees it.
_MOUNTED = "/bed"
_COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")


def new_state(name: str) -> BedState:
    """What a new bed will be."""
    return BedState(name, "full", BOOT_ID.read_text().strip(), docker=True, tokens=new_tokens())


def remove(state: BedState) -> None:
    """Remove the cluster and the forwarded ports."""
    for file in (state.folder / "run").glob("*.pid"):
        Daemon(file.stem, state.folder).stop()
    run(gobuild.program("kind"), "delete", "cluster", f"--name={state.name}")
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


@dataclass(frozen=True)
class KindBed(Bed):
    """A bed whose programs run in a container that stands for a machine."""

    @property
    def _node(self) -> str:
        return f"{self.name}-control-plane"

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
        return self.service_url("monitoring", "prometheus", 9090)

    @property
    def prometheus_url_for_pods(self) -> str:
        return "http://prometheus.monitoring.svc:9090"

    @property
    def host_address(self) -> str:
        return run("docker", "network", "inspect", "kind", "--format={{(index .IPAM.Config 0).Gateway}}").strip()

    def service_url(self, namespace: str, service: str, port: int) -> str:
        forward = Daemon(f"forward.{namespace}.{service}.{port}", self.folder)
        chosen = forward.pid_file.with_suffix(".port")
        if not forward.is_running():
            local = free_ports(["local"])["local"]
            kubectl = [str(gobuild.program("kubectl")), f"--kubeconfig={self.kubeconfig}", "--namespace", namespace]
            forward.start([*kubectl, "port-forward", f"service/{service}", f"{local}:{port}"])
            chosen.write_text(str(local))
            wait_until(
                lambda: "Forwarding from" in forward.log.read_text(),
                what=f"a way to {namespace}/{service}",
                timeout=30,
                log=forward.log,
                given_up=lambda: not forward.is_running(),
            )
        return f"http://127.0.0.1:{chosen.read_text()}"

    def load_image(self, tar: Path) -> None:
        run(gobuild.program("kind"), "load", "image-archive", tar, f"--name={self.name}")

    def running(self) -> dict[str, bool]:
        in_node = {name: succeeds("docker", "exec", self._node, "pgrep", "-x", name[:15]) for name in _COMPONENTS}
        return {**in_node, "prometheus": bool(self.kubectl("-n", "monitoring", "get", "pods", "-o", "name"))}

    def start(self, component: str) -> None:
        if component == "prometheus":
            self.kubectl("-n", "monitoring", "scale", "deployment/prometheus", "--replicas=1")
            self.kubectl("-n", "monitoring", "rollout", "status", "deployment/prometheus", "--timeout=120s")
            return
        self._must_be_static(component)
        manifests = "/etc/kubernetes/manifests"
        run("docker", "exec", self._node, "mv", f"{_MOUNTED}/{component}.stopped", f"{manifests}/{component}.yaml")
        wait_until(lambda: self.running()[component], what=f"{component} runs", timeout=120)

    def stop(self, component: str, *, grace: float = 0) -> None:
        if component == "prometheus":
            self.kubectl("-n", "monitoring", "scale", "deployment/prometheus", "--replicas=0")
            return
        self._must_be_static(component)
        manifests = "/etc/kubernetes/manifests"
        # A static pod without a manifest is one that the kubelet does not start again.
        run("docker", "exec", self._node, "mv", f"{manifests}/{component}.yaml", f"{_MOUNTED}/{component}.stopped")
        if not grace:
            succeeds("docker", "exec", self._node, "pkill", "-KILL", "-x", component[:15])
        wait_until(lambda: not self.running()[component], what=f"end of {component}", timeout=max(60, grace))

    def start_prometheus(self, config: str) -> str:
        raise BedError(f"the Prometheus of bed {self.name} has its own configuration; {len(config)} characters refused")

    def start_full(self, scrape_interval: str) -> None:
        """Make the cluster, or what is missing of it."""
        control_plane.prepare(Site(self.state))
        shared = self.folder / "shared"
        shared.mkdir(parents=True, exist_ok=True)
        for name in ("tokens.csv", "audit-policy.yaml"):
            (shared / name).write_text((self.folder / name).read_text())
        kind = gobuild.program("kind")
        if self.name not in run(kind, "get", "clusters").split():
            (self.folder / "kind.yaml").write_text(yaml.safe_dump(_config(shared)))
            config = (f"--config={self.folder}/kind.yaml", f"--kubeconfig={self.kubeconfig}", "--wait=180s")
            run(kind, "create", "cluster", f"--name={self.name}", *config)
        addons.gateway_crds(self)
        addons.envoy_gateway(self, public_images=True)
        prometheus = Template((MANIFESTS / "prometheus.yaml").read_text())
        self.apply(prometheus.safe_substitute(interval=scrape_interval))
        self.kubectl("-n", "monitoring", "rollout", "status", "deployment/prometheus", "--timeout=180s")

    def _must_be_static(self, component: str) -> None:
        if component not in _COMPONENTS:
            raise BedError(
                f"{component} cannot be stopped in a bed of kind: {', '.join(_COMPONENTS)} and prometheus can"
            )


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
