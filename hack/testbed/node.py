"""The node of a full bed: containerd, the kubelet and kube-proxy, set up for a machine that is itself a sandbox."""

import json
import shutil
from pathlib import Path

import yaml

from . import gobuild
from .commands import run, succeeds
from .control_plane import Program
from .errors import BedError
from .network import Network
from .sites import Site

PROGRAMS = ("containerd", "containerd-shim-runc-v2", "ctr", "kubelet", "kube-proxy")
NAME = "node-0"
_CNI_PLUGINS = "/usr/lib/cni"


def prepare_runtime(site: Site) -> None:
    """Write what containerd reads."""
    network = network_of(site)
    _write(site, "containerd.toml", _containerd_config(site, network))
    _write(site, "cni/bed.conflist", json.dumps(_cni_config(site, network), indent=2))


def prepare(site: Site) -> None:
    """Write what the kubelet and kube-proxy read."""
    network = network_of(site)
    _write(site, "kubelet.yaml", yaml.safe_dump(_kubelet_config(site, network)))
    _write(site, "kube-proxy.yaml", yaml.safe_dump(_kube_proxy_config(site, network)))
    # No name server: names outside of the cluster are not to be looked up.
    _write(site, "resolv.conf", "")


def containerd(site: Site) -> Program:
    """The container runtime."""
    binary = gobuild.program("containerd")
    # It finds its shim on the PATH, and both find runc there.
    env = {"PATH": f"{binary.parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    argv = [str(binary), f"--config={site.folder}/containerd.toml"]
    return Program("containerd", argv, ready=lambda: _containerd_answers(site), env=env)


def kubelet(site: Site) -> Program:
    """The kubelet."""
    network = network_of(site)
    argv = [
        str(gobuild.program("kubelet")),
        f"--config={site.folder}/kubelet.yaml",
        f"--kubeconfig={site.kubeconfig('kubelet')}",
        f"--root-dir={site.folder}/kubelet",
        f"--cert-dir={site.folder}/kubelet/pki",
        f"--hostname-override={NAME}",
        f"--node-ip={network.address}",
    ]
    return Program("kubelet", argv, ready=lambda: site.answers(f"http://{network.address}:10248/healthz"))


def kube_proxy(site: Site) -> Program:
    """Services, by packet filter rules that are the bed's own because its network is."""
    argv = [str(gobuild.program("kube-proxy")), f"--config={site.folder}/kube-proxy.yaml"]
    return Program("kube-proxy", argv, ready=lambda: site.answers(f"http://{site.address}:10256/healthz"))


def load_image(site: Site, tar: Path) -> None:
    """Import an image into containerd, unless the node has this very image."""
    mark = site.folder / "images" / f"{tar.parent.name}-{tar.name}-{tar.stat().st_mtime_ns}"
    if mark.exists():
        return
    run(*_ctr(site), "images", "import", "--digests", tar)
    mark.parent.mkdir(exist_ok=True)
    # What this tag named before is not on the node any more.
    for older in mark.parent.glob(f"{tar.parent.name}-*"):
        older.unlink()
    mark.touch()


def _ctr(site: Site) -> list[str]:
    return [str(gobuild.program("ctr")), f"--address={network_of(site).containerd_socket}", "--namespace=k8s.io"]


def _containerd_answers(site: Site) -> bool:
    return succeeds(*_ctr(site), "version")


def _write(site: Site, name: str, text: str) -> None:
    path = site.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def network_of(site: Site) -> Network:
    """The network of a bed that has a node."""
    if site.network is None:
        raise BedError(f"bed {site.state.name} has no node")
    return site.network


def _containerd_config(site: Site, network: Network) -> str:
    return f"""
version = 3
root = "{site.folder}/containerd"
state = "{site.folder}/containerd-state"
# Not needed, and each would write outside of the bed's folders or wait for a daemon that is not there.
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri",
  "io.containerd.tracing.processor.v1.otlp", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.erofs"]

[grpc]
address = "{network.containerd_socket}"

[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "localhost/pause:bed"

[plugins."io.containerd.cri.v1.runtime"]
# runc may not lower the OOM score where CAP_SYS_RESOURCE is missing, and would die without a word why.
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true

[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{_CNI_PLUGINS}"]
conf_dir = "{site.folder}/cni"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
SystemdCgroup = false
Root = "{network.run_folder}/runc"
BinaryName = "{shutil.which("runc", path="/usr/sbin:/usr/bin")}"
"""


def _cni_config(site: Site, network: Network) -> object:
    # Point to point and not a bridge: all is routed, so that Services work without bridge netfilter in the kernel.
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": network.pods}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": f"{site.folder}/cni-addresses",
    }
    plugins = [{"type": "ptp", "ipMasq": False, "ipam": addresses}]
    return {"cniVersion": "1.0.0", "name": network.namespace, "plugins": plugins}


def _kubelet_config(site: Site, network: Network) -> object:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": network.address,
        "healthzBindAddress": network.address,
        # Nobody can reach it who is not on this machine.
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "clusterDomain": "cluster.local",
        "clusterDNS": [network.dns],
        "resolvConf": f"{site.folder}/resolv.conf",
        "containerRuntimeEndpoint": f"unix://{network.containerd_socket}",
        "podLogsDir": f"{site.folder}/pod-logs",
        "volumePluginDir": f"{site.folder}/kubelet/volume-plugins",
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        # The disk is the machine's: a full one is no reason to throw away images or pods.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "0.1%", "imagefs.available": "0.1%"},
        "imageGCHighThresholdPercent": 100,
        "serializeImagePulls": False,
    }


def _kube_proxy_config(site: Site, network: Network) -> object:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clientConnection": {"kubeconfig": str(site.kubeconfig("system:kube-proxy"))},
        "hostnameOverride": NAME,
        "bindAddress": network.address,
        "healthzBindAddress": f"{network.address}:10256",
        "metricsBindAddress": f"{network.address}:10249",
        "clusterCIDR": network.pods,
        # These limits belong to the machine, not to a network namespace.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "iptables": {"minSyncPeriod": "100ms"},
    }
