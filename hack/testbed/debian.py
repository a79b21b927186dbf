"""What a bed takes from Debian: a container runtime's small helpers, the image builder, Prometheus, a base image."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from .commands import run
from .errors import BedError
from .locks import exclusive
from .paths import cache_folder
from .progress import step

# Package → a file that tells it is there. None of them brings a service.
NODE_PACKAGES = {
    "runc": "/usr/sbin/runc",
    "containernetworking-plugins": "/usr/lib/cni/ptp",
    "iptables": "/usr/sbin/iptables",
    "conntrack": "/usr/sbin/conntrack",
    "iproute2": "/sbin/ip",
}
IMAGE_PACKAGES = {"buildah": "/usr/bin/buildah", "debootstrap": "/usr/sbin/debootstrap"}
RELEASE = "bookworm"
BASE_PACKAGES = ("ca-certificates", "python3", "python3-venv")
# Not needed to run anything, and half of the size.
BASE_LEAVES_OUT = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale", "usr/share/man")


def install(packages: dict[str, str]) -> None:
    """Install what is missing, or say what a person has to install."""
    missing = [package for package, file in packages.items() if not Path(file).exists()]
    if not missing:
        return
    _needs_apt(missing)
    with exclusive(cache_folder() / "locks" / "apt"), step(f"installing {', '.join(missing)}"):
        _apt("update")
        _apt("install", "--yes", "--no-install-recommends", *missing)


def prometheus() -> Path:
    """Prometheus, from its package, which is unpacked in the cache: installing it would start a service."""
    folder = cache_folder() / f"prometheus-{RELEASE}"
    binary = folder / "usr/bin/prometheus"
    if binary.exists():
        return binary
    if not shutil.which("apt-get"):
        found = shutil.which("prometheus")
        if found:
            return Path(found)
        raise BedError("Prometheus is not there", fix="put `prometheus` (2.42 or newer) on the PATH")
    with exclusive(cache_folder() / "locks" / "prometheus"):
        if not binary.exists():
            with step("fetching Prometheus"):
                _unpack("prometheus", folder)
    return binary


def _unpack(package: str, target: Path) -> None:
    partial = target.with_name(f"{target.name}-partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        _apt("download", package, cwd=partial)
    except BedError:
        # No package lists yet, as on a fresh image.
        _apt("update")
        _apt("download", package, cwd=partial)
    run("dpkg-deb", "-x", next(partial.glob("*.deb")), partial / "unpacked")
    (partial / "unpacked").rename(target)
    shutil.rmtree(partial)


def mirror() -> str:
    """The mirror this machine installs from: nothing here names one."""
    asked = ("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", f"Codename: {RELEASE}")
    found = run(*asked).split()
    if not found:
        _apt("update")
        found = run(*asked).split()
    if not found:
        raise BedError(f"apt knows no mirror of Debian {RELEASE}", fix=f"run this on Debian {RELEASE}")
    return found[0]


def root_file_system(target: Path) -> None:
    """Install a minimal Debian with Python into an empty folder: what `python:3.11-slim` is elsewhere."""
    install(IMAGE_PACKAGES)
    packages = f"--include={','.join(BASE_PACKAGES)}"
    run("debootstrap", "--variant=minbase", packages, RELEASE, target, mirror())
    for useless in BASE_LEAVES_OUT:
        shutil.rmtree(target / useless, ignore_errors=True)
        (target / useless).mkdir(parents=True)


def _needs_apt(packages: Sequence[str]) -> None:
    needed = ", ".join(packages)
    if not shutil.which("apt-get"):
        raise BedError(f"{needed} not found", fix=f"install {needed}, or use a machine with Docker or Debian")
    if os.geteuid() != 0:
        raise BedError(f"{needed} not found", fix=f"run as root, or: sudo apt-get install {' '.join(packages)}")


def _apt(*args: str, cwd: Path | None = None) -> None:
    # Another apt may be at work on this machine: wait for it.
    patience = ("-o", "DPkg::Lock::Timeout=600")
    run("apt-get", "-qq", *patience, *args, cwd=cwd, env={"DEBIAN_FRONTEND": "noninteractive"})
