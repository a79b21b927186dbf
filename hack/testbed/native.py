"""A bed of programs that run on this machine itself: every light one, and full ones where there is no Docker."""

import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import addons, control_plane, monitoring, network, node, state
from .bed import Bed
from .control_plane import Program
from .daemons import BOOT_ID
from .errors import BedError
from .paths import MANIFESTS
from .sites import Site
from .state import BedState, Profile
from .waiting import wait_until

# Inside its own network a full bed can have the ports that everybody knows.
_FULL_PORTS = {"etcd": 2379, "etcd-peer": 2380, "apiserver": 6443, "prometheus": 9090}


def new_state(profile: Profile, name: str) -> BedState:
    """Decide where a new bed will be."""
    boot = BOOT_ID.read_text().strip()
    if profile == "light":
        ports = state.free_ports(["etcd", "etcd-peer", "apiserver", "kwok", "prometheus"])
        return BedState(name, profile, boot, ports=ports, tokens=state.new_tokens())
    slot = network.claim(state.folder_of(name))
    return BedState(name, profile, boot, slot=slot, ports=_FULL_PORTS, tokens=state.new_tokens())


@dataclass(frozen=True)
class NativeBed(Bed):
    """A bed whose programs this machine runs."""

    @property
    def site(self) -> Site:
        """Where its programs find their files and each other."""
        return Site(self.state)

    def kubeconfig_for(self, user: str) -> Path:
        return self.site.kubeconfig(user)

    @property
    def api_url(self) -> str:
        return self.site.api_url

    @property
    def audit_log(self) -> Path:
        return self.site.audit_log

    @property
    def prometheus_url(self) -> str:
        return self.site.prometheus_url

    @property
    def prometheus_url_for_pods(self) -> str:
        return self.prometheus_url

    @property
    def host_address(self) -> str:
        return self.site.network.host_address if self.site.network else "127.0.0.1"

    def service_url(self, namespace: str, service: str, port: int) -> str:
        return f"http://{self.get('-n', namespace, 'service', service)['spec']['clusterIP']}:{port}"

    def load_image(self, tar: Path) -> None:
        node.load_image(self.site, tar)

    def running(self) -> dict[str, bool]:
        return {program.name: self.site.daemon(program.name).is_running() for program in self.programs()}

    def start(self, component: str) -> None:
        self.start_all([self._program(component)])

    def stop(self, component: str, *, grace: float = 0) -> None:
        self.site.daemon(self._program(component).name).stop(grace=grace)

    @contextmanager
    def hanging(self, component: str) -> Iterator[None]:
        daemon = self.site.daemon(self._program(component).name)
        daemon.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            daemon.signal(signal.SIGCONT)

    def start_prometheus(self, config: str) -> str:
        monitoring.configure(self.site, config)
        if self.running()["prometheus"]:
            monitoring.reload(self.site)
        else:
            self.start("prometheus")
        return self.prometheus_url

    def programs(self) -> list[Program]:
        """The programs of this bed, in the order in which they are started."""
        site = self.site
        programs = self.first_programs()
        # The kubeconfigs of all others hold the certificate that the API server makes at its first start.
        if site.api_certificate.exists():
            programs += [control_plane.controller_manager(site), control_plane.scheduler(site)]
            if site.network:
                programs += [node.kubelet(site), node.kube_proxy(site), monitoring.target_discovery(site)]
            else:
                programs.append(control_plane.kwok(site))
        if monitoring.is_wanted(site):
            programs.append(monitoring.prometheus(site))
        return programs

    def first_programs(self) -> list[Program]:
        """Those that need no credentials."""
        programs = [control_plane.etcd(self.site), control_plane.apiserver(self.site)]
        return [*programs, node.containerd(self.site)] if self.site.network else programs

    def start_all(self, programs: Sequence[Program]) -> None:
        """Start those that do not run, all at once, and wait until each is ready."""
        for program in programs:
            if not self.site.daemon(program.name).is_running():
                self.site.start(program.name, program.argv, program.env)
        for program in programs:
            daemon = self.site.daemon(program.name)
            wait_until(
                program.ready,
                what=f"{program.name} ready",
                timeout=program.timeout,
                log=daemon.log,
                given_up=lambda daemon=daemon: not daemon.is_running(),  # type: ignore[misc]
            )

    def start_light(self) -> None:
        """A control plane, a node that kwok plays, and the Gateway API."""
        control_plane.prepare(self.site)
        self.start_all(self.first_programs())
        self.start_all(self.programs())
        addons.gateway_api(self)
        self.apply(MANIFESTS / "kwok-node.yaml")
        self._wait_for_controllers()
        self.kubectl("wait", "--for=condition=Ready", "node/kwok-0", "--timeout=120s")

    def start_full(self, images: list[Path], scrape_interval: str) -> None:
        """A control plane and a node in a network of their own, and what a cluster needs to serve models."""
        own_network = node.network_of(self.site)
        own_network.create()
        control_plane.prepare(self.site)
        node.prepare_runtime(self.site)
        self.start_all(self.first_programs())
        node.prepare(self.site)
        monitoring.configure(self.site, monitoring.cluster_config(self.site, scrape_interval))
        with ThreadPoolExecutor(1) as pool:
            loaded = [pool.submit(self.load_image, tar) for tar in images]
            self.start_all(self.programs())
            self._wait_for_controllers()
            addons.gateway_crds(self)
            # Before any pod: one whose image is not there yet tries again much later.
            for image in loaded:
                image.result()
        addons.dns(self, own_network.dns)
        addons.envoy_gateway(self)
        self.kubectl("wait", "--for=condition=Ready", f"node/{node.NAME}", "--timeout=120s")
        self.kubectl("-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=120s")

    def _wait_for_controllers(self) -> None:
        wait_until(
            lambda: "default" in self.kubectl("get", "serviceaccounts", "--ignore-not-found", "-o", "name", "default"),
            what="the default ServiceAccount, which the controller manager makes",
            timeout=120,
            log=self.site.daemon("kube-controller-manager").log,
        )

    def _program(self, name: str) -> Program:
        for program in self.programs():
            if program.name == name:
                return program
        raise BedError(f"bed {self.name} has no {name}: it has {', '.join(p.name for p in self.programs())}")
