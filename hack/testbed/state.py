"""What a bed remembers between commands."""

import json
import os
import re
import secrets
import socket
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from .errors import BedError
from .paths import beds_folder

Profile = Literal["light", "full"]

# Who talks to the API server; each has a token of its own, so that the audit log tells them apart.
ADMINS = "system:masters"
USERS = {
    "admin": ADMINS,
    "operator": "operators",
    "kubelet": ADMINS,
    "prometheus": ADMINS,
    "system:kube-controller-manager": ADMINS,
    "system:kube-scheduler": ADMINS,
    "system:kube-proxy": ADMINS,
    "kwok": ADMINS,
}

# Below the ports that the kernel hands out for outgoing connections: one of those could take the port of a program
# while that is being restarted.
_PORTS = range(20000, 32000)


@dataclass
class BedState:
    """The facts of one bed, written once it is decided what it will be."""

    name: str
    profile: Profile
    # The start of the machine that it belongs to.
    boot: str
    # The network of the machine that the bed has to itself; None for a bed on loopback.
    slot: int | None = None
    # Made by kind, in a Docker engine.
    docker: bool = False
    ports: dict[str, int] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where everything of this bed is."""
        return folder_of(self.name)

    def save(self) -> None:
        """Write it down, whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        new = self.folder / "state.json.new"
        new.write_text(json.dumps(asdict(self), indent=2))
        new.rename(self.folder / "state.json")


def folder_of(name: str) -> Path:
    """The folder of the bed of this name."""
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?", name):
        raise BedError(f"{name!r} cannot name a bed", fix="use lower-case letters, digits and dashes")
    return beds_folder() / name


def load(name: str) -> BedState | None:
    """The bed of this name, if there is one."""
    try:
        return BedState(**json.loads((folder_of(name) / "state.json").read_text()))
    except FileNotFoundError:
        return None


def names() -> list[str]:
    """All beds of this clone, those included of which a crash left only a folder."""
    folder = beds_folder()
    return (
        sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")
        if folder.exists()
        else []
    )


def new_tokens() -> dict[str, str]:
    """A fresh token for every user."""
    return {user: secrets.token_hex(16) for user in USERS}


def free_ports(programs: list[str]) -> dict[str, int]:
    """A free loopback port for each."""
    found: dict[str, int] = {}
    for program in programs:
        while program not in found:
            port = secrets.choice(_PORTS)
            if port not in found.values() and _is_free(port):
                found[program] = port
    return found


def write_private(path: Path, text: str) -> None:
    """Write a file with a secret in it, readable by nobody else at any moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def _is_free(port: int) -> bool:
    with socket.socket() as attempt:
        try:
            attempt.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
