"""Where one bed lives: its folder, its addresses and its network. Every program of the bed is started from these."""

import base64
import ssl
from dataclasses import dataclass
from pathlib import Path

import httpx
import yaml

from .daemons import Daemon
from .network import Network
from .state import BedState, write_private


@dataclass(frozen=True)
class Site:
    """The bed as its programs see it."""

    state: BedState

    @property
    def folder(self) -> Path:
        """Everything that the bed writes is below it."""
        return self.state.folder

    @property
    def network(self) -> Network | None:
        """The network namespace of a full bed; a light one is on loopback."""
        return None if self.state.slot is None else Network(self.state.slot)

    @property
    def address(self) -> str:
        """Where its servers listen, as seen from the machine and from its pods."""
        return self.network.address if self.network else "127.0.0.1"

    @property
    def service_range(self) -> str:
        """The addresses of Services; of no meaning outside where there is no kube-proxy."""
        return self.network.services if self.network else "10.96.0.0/16"

    @property
    def certificates(self) -> Path:
        """Where the API server keeps its self-signed certificate."""
        return self.folder / "pki"

    @property
    def api_certificate(self) -> Path:
        """The certificate of the API server, and the authority that signed it."""
        return self.certificates / "apiserver.crt"

    @property
    def api_url(self) -> str:
        """The API server."""
        return f"https://{self.address}:{self.state.ports['apiserver']}"

    @property
    def prometheus_url(self) -> str:
        """Prometheus, if the bed has one."""
        return f"http://{self.address}:{self.state.ports['prometheus']}"

    @property
    def audit_log(self) -> Path:
        """One JSON object a line for every request that the API server answered."""
        return self.folder / "audit.log"

    def daemon(self, name: str) -> Daemon:
        """The process of one of its programs."""
        return Daemon(name, self.folder)

    def start(self, name: str, argv: list[str], env: dict[str, str] | None = None) -> None:
        """Start a program in the bed's network."""
        self.daemon(name).start(argv, netns=self.network.namespace if self.network else None, env=env)

    def kubeconfig(self, user: str) -> Path:
        """Credentials of one user, written when first asked for."""
        path = self.folder / "kubeconfigs" / f"{user.replace(':', '-')}.yaml"
        if not path.exists():
            authority = base64.b64encode(self.api_certificate.read_bytes()).decode()
            named = {"name": self.state.name}
            config = {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{**named, "cluster": {"server": self.api_url, "certificate-authority-data": authority}}],
                "users": [{"name": user, "user": {"token": self.state.tokens[user]}}],
                "contexts": [{**named, "context": {"cluster": self.state.name, "user": user}}],
                "current-context": self.state.name,
            }
            write_private(path, yaml.safe_dump(config, sort_keys=False))
        return path

    def answers(self, url: str) -> bool:
        """Whether a health endpoint says yes."""
        try:
            # The certificate comes into being with the first start of the API server.
            context = ssl.create_default_context(cafile=self.api_certificate) if url.startswith("https:") else True
            with httpx.Client(verify=context, trust_env=False, timeout=2) as client:
                return client.get(url).is_success
        except (httpx.TransportError, OSError):
            return False
