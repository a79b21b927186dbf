"""The network of a full bed: a namespace of its own, joined to the machine by one pair of interfaces.

Nothing inside has a route to anywhere but the bed and this machine, so nothing can leave the machine; and deleting the
namespace takes the routes, and the packet filter rules of kube-proxy and of pods, with it.
"""

import ipaddress
import json
from dataclasses import dataclass
from pathlib import Path

from .commands import run, succeeds
from .errors import BedError
from .locks import exclusive
from .paths import MACHINE

SLOTS = range(16)


@dataclass(frozen=True)
class Network:
    """The names and address ranges that belong to one slot."""

    slot: int

    @property
    def namespace(self) -> str:
        """The name of the network namespace; the interface on the machine is called the same."""
        return f"testbed{self.slot}"

    @property
    def host_address(self) -> str:
        """The machine, as seen from the bed: what runs outside is reached there."""
        return f"10.97.{self.slot}.1"

    @property
    def address(self) -> str:
        """The node and its servers, as seen from the machine and from pods."""
        return f"10.97.{self.slot}.2"

    @property
    def link(self) -> str:
        """Both ends of the connection to the machine."""
        return f"10.97.{self.slot}.0/30"

    @property
    def pods(self) -> str:
        """The addresses of pods."""
        return f"10.244.{self.slot}.0/24"

    @property
    def services(self) -> str:
        """The addresses of Services."""
        return f"10.96.{self.slot}.0/24"

    @property
    def ranges(self) -> list[ipaddress.IPv4Network]:
        """All of its addresses."""
        return [ipaddress.IPv4Network(text) for text in (self.pods, self.services, self.link)]

    @property
    def dns(self) -> str:
        """The Service of CoreDNS."""
        return f"10.96.{self.slot}.10"

    @property
    def run_folder(self) -> Path:
        """Sockets, whose paths have at most 107 characters: a folder of the repository may be too long."""
        return MACHINE / str(self.slot)

    @property
    def containerd_socket(self) -> Path:
        """Where the container runtime listens."""
        return self.run_folder / "containerd.sock"

    def exists(self) -> bool:
        """Whether the namespace is there."""
        return Path("/run/netns", self.namespace).exists()

    def create(self) -> None:
        """Make the namespace, its link to the machine and the routes; what is there already stays as it is."""
        self.run_folder.mkdir(parents=True, exist_ok=True)
        if not self.exists():
            run("ip", "netns", "add", self.namespace)
        if not _has_link(self.namespace):
            peer = ("peer", "name", "eth0", "netns", self.namespace)
            run("ip", "link", "add", self.namespace, "type", "veth", *peer)
        run("ip", "address", "replace", f"{self.host_address}/30", "dev", self.namespace)
        run("ip", "link", "set", self.namespace, "up")
        for reachable in (self.pods, self.services):
            run("ip", "route", "replace", reachable, "via", self.address)
        self._inside("link", "set", "lo", "up")
        self._inside("address", "replace", f"{self.address}/30", "dev", "eth0")
        self._inside("link", "set", "eth0", "up")
        # The route to Services only has to exist: kube-proxy sends packets elsewhere before they would use it, and
        # those for a Service that is not there end on a bridge to nowhere.
        if not _has_link("services", namespace=self.namespace):
            self._inside("link", "add", "services", "type", "bridge")
        self._inside("link", "set", "services", "up")
        self._inside("route", "replace", self.services, "dev", "services", "src", self.address)
        # Who asks for anything else is told at once that there is nothing, instead of waiting for an answer.
        self._inside("route", "replace", "unreachable", "default")
        run(*self.enter, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")

    def delete(self) -> None:
        """Remove the namespace and all that is in it; the machine's end of the link and its routes go too."""
        if _has_link(self.namespace):
            run("ip", "link", "delete", self.namespace)
        if self.exists():
            run("ip", "netns", "delete", self.namespace)

    @property
    def enter(self) -> tuple[str, ...]:
        """Put this before a command to run it inside."""
        # Not `ip netns exec`, which mounts a new /sys that hides the cgroups from a container runtime.
        return ("nsenter", f"--net=/run/netns/{self.namespace}")

    def _inside(self, *args: str) -> None:
        run("ip", "-n", self.namespace, *args)


def claim(folder: Path) -> int:
    """Take a free slot for the bed in this folder; the claim is known to all clones on this machine."""
    with exclusive(MACHINE / "slots.lock"):
        claims = claimed()
        for slot, owner in claims.items():
            if owner == folder:
                return slot
        in_use = _ranges_in_use()
        for slot in SLOTS:
            network = Network(slot)
            if (
                slot not in claims
                and not network.exists()
                and not any(a.overlaps(b) for a in network.ranges for b in in_use)
            ):
                _claim_file(slot).write_text(str(folder))
                return slot
    raise BedError("all networks for beds are taken", fix="make down")


def claimed() -> dict[int, Path]:
    """The slots in use and the folders of the beds that have them."""
    return {int(file.stem): Path(file.read_text()) for file in MACHINE.glob("*.slot")}


def release(slot: int) -> None:
    """Give a slot back."""
    _claim_file(slot).unlink(missing_ok=True)


def _claim_file(slot: int) -> Path:
    MACHINE.mkdir(parents=True, exist_ok=True)
    return MACHINE / f"{slot}.slot"


def _ranges_in_use() -> list[ipaddress.IPv4Network]:
    routes = json.loads(run("ip", "-json", "-4", "route"))
    return [ipaddress.IPv4Network(route["dst"]) for route in routes if route["dst"] != "default"]


def _has_link(name: str, namespace: str | None = None) -> bool:
    where = ["-n", namespace] if namespace else []
    return succeeds("ip", *where, "link", "show", name)
