"""etcd, the API server, the controllers, the scheduler, and kwok, which plays the nodes of a light bed."""

from collections.abc import Callable
from dataclasses import dataclass, field

import yaml

from . import gobuild
from .commands import run
from .sites import Site
from .state import USERS, write_private

# Enough to tell who asked for what; bodies would make the log large and slow.
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}
# A pod with this label (of any value) stays Pending in a light bed.
STAYS_PENDING = "testbed/stays-pending"
# Client limits that a bed of thousands of objects does not queue behind.
_FAST_CLIENT = ["--kube-api-qps=1000", "--kube-api-burst=2000"]


@dataclass(frozen=True)
class Program:
    """A program of a bed: how it is started, and how one sees that it is ready."""

    name: str
    argv: list[str]
    ready: Callable[[], bool] = lambda: True
    env: dict[str, str] = field(default_factory=dict)
    timeout: float = 120


def prepare(site: Site) -> None:
    """Write what the control plane reads at its start, once in the life of a bed."""
    key = site.certificates / "service-accounts.key"
    if not key.exists():
        write_private(key, run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout"))
    tokens = [f'{token},{user},{user},"{USERS[user]}"' for user, token in site.state.tokens.items()]
    write_private(site.folder / "tokens.csv", "\n".join(tokens) + "\n")
    (site.folder / "audit-policy.yaml").write_text(yaml.safe_dump(AUDIT_POLICY))
    if not site.network:
        (site.folder / "kwok-stages.yaml").write_text(kwok_stages())


def etcd(site: Site) -> Program:
    """The store; losing it in a crash of the machine is fine, waiting for the disk is not."""
    client = f"http://127.0.0.1:{site.state.ports['etcd']}"
    peer = f"http://127.0.0.1:{site.state.ports['etcd-peer']}"
    argv = [
        str(gobuild.program("etcd")),
        f"--data-dir={site.folder}/etcd",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
        "--quota-backend-bytes=4294967296",
        "--auto-compaction-mode=periodic",
        "--auto-compaction-retention=5m",
        "--log-level=warn",
    ]
    return Program("etcd", argv)


def apiserver(site: Site) -> Program:
    """The API server, with an audit log and a token for each user."""
    argv = [
        str(gobuild.program("kube-apiserver")),
        f"--etcd-servers=http://127.0.0.1:{site.state.ports['etcd']}",
        f"--bind-address={site.address}",
        f"--advertise-address={site.address}",
        f"--secure-port={site.state.ports['apiserver']}",
        f"--cert-dir={site.certificates}",
        f"--service-cluster-ip-range={site.service_range}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={site.certificates}/service-accounts.key",
        f"--service-account-signing-key-file={site.certificates}/service-accounts.key",
        f"--token-auth-file={site.folder}/tokens.csv",
        "--authorization-mode=RBAC",
        "--allow-privileged=true",
        # Names of nodes resolve nowhere; without this, logs and exec do not find the kubelet.
        "--kubelet-preferred-address-types=InternalIP",
        f"--audit-policy-file={site.folder}/audit-policy.yaml",
        f"--audit-log-path={site.audit_log}",
        "--audit-log-maxsize=2000",
        "--profiling=false",
        # A second for long requests to end is plenty for a bed, and a restart should take no minute.
        "--shutdown-delay-duration=0s",
    ]
    if not site.network:
        # A loopback address is no valid endpoint for the Service `kubernetes`, and no pod runs that would use it.
        argv.append("--endpoint-reconciler-type=none")
    return Program("kube-apiserver", argv, ready=lambda: site.answers(f"{site.api_url}/readyz"))


def controller_manager(site: Site) -> Program:
    """The controllers of Deployments, Services, garbage and the rest."""
    argv = [
        str(gobuild.program("kube-controller-manager")),
        f"--kubeconfig={site.kubeconfig('system:kube-controller-manager')}",
        f"--root-ca-file={site.api_certificate}",
        f"--service-account-private-key-file={site.certificates}/service-accounts.key",
        "--leader-elect=false",
        "--secure-port=0",
        *_FAST_CLIENT,
    ]
    return Program("kube-controller-manager", argv)


def scheduler(site: Site) -> Program:
    """The scheduler."""
    kubeconfig = site.kubeconfig("system:kube-scheduler")
    argv = [str(gobuild.program("kube-scheduler")), f"--kubeconfig={kubeconfig}", "--leader-elect=false"]
    return Program("kube-scheduler", [*argv, "--secure-port=0", *_FAST_CLIENT])


def kwok(site: Site) -> Program:
    """Plays the kubelet of every node that has its annotation: pods are Running and Ready at once."""
    argv = [
        str(gobuild.program("kwok")),
        f"--kubeconfig={site.kubeconfig('kwok')}",
        f"--config={site.folder}/kwok-stages.yaml",
        "--manage-all-nodes=false",
        "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
        "--node-lease-duration-seconds=40",
        "--cidr=10.244.0.1/16",
        f"--server-address=127.0.0.1:{site.state.ports['kwok']}",
    ]
    health = f"http://127.0.0.1:{site.state.ports['kwok']}/healthz"
    return Program("kwok", argv, ready=lambda: site.answers(health))


def kwok_stages() -> str:
    """kwok's own fast life of nodes and pods, and a way for tests to have pods that never get ready."""
    stages = []
    for folder in ("node/fast", "node/heartbeat-with-lease", "pod/fast"):
        for path in sorted((gobuild.kwok_stages() / folder).glob("*.yaml")):
            stages += [stage for stage in yaml.safe_load_all(path.read_text()) if stage["kind"] == "Stage"]
    for stage in stages:
        if stage["metadata"]["name"] == "pod-ready":
            never = {"key": f'.metadata.labels["{STAYS_PENDING}"]', "operator": "DoesNotExist"}
            stage["spec"]["selector"]["matchExpressions"].append(never)
    return yaml.safe_dump_all(stages)
