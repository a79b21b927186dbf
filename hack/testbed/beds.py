"""Starting, finding and removing beds."""

import ipaddress
import os
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

from . import debian, gobuild, images, kind, native, network, node, state, teardown
from .bed import Bed
from .daemons import BOOT_ID
from .errors import BedError
from .kind import KindBed
from .locks import exclusive
from .native import NativeBed
from .paths import COMMAND, beds_folder
from .progress import say, step
from .state import BedState, Profile

CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
# What a full bed starts with; with Docker, all but kubectl and helm come in images.
IMAGES = ("pause", "coredns", "envoy-gateway", "envoy")


def build(profile: Profile) -> list[Path]:
    """Have everything built that a bed of this profile needs; returns the images it starts with."""
    gobuild.gateway_chart()
    if profile == "light":
        gobuild.programs([*CONTROL_PLANE, "kwok"])
        return []
    if images.docker_works():
        gobuild.programs(["kind", "kubectl", "helm"])
        return []
    _needs_root_on_debian()
    debian.install(debian.NODE_PACKAGES)
    # Unpacking Debian packages and compiling hardly get in each other's way, even on two cores.
    with ThreadPoolExecutor(2) as pool:
        not_compiled = [pool.submit(debian.prometheus), pool.submit(images.build_ours, "envoy")]
        gobuild.programs([*CONTROL_PLANE, *node.PROGRAMS, "helm", "envoy-gateway", "coredns", "pause"])
        for thing in not_compiled:
            thing.result()
    return [images.build_ours(name) for name in IMAGES]


def up(profile: Profile, name: str, *, scrape_interval: str = "1s") -> Bed:
    """Have a bed of this profile running: a running one is used as it is, a broken one is repaired."""
    tars = build(profile)
    with _only_command_on(name), step(f"bed {name} ({profile})"):
        bed = _found_or_new(profile, name)
        if isinstance(bed, KindBed):
            bed.start_full(scrape_interval)
        elif profile == "full":
            bed.start_full(tars, scrape_interval)
        else:
            bed.start_light()
    return bed


@contextmanager
def temporary(profile: Profile, purpose: str) -> Iterator[Bed]:
    """A bed of this process's own, removed at the end; first those of processes that were killed over theirs."""
    for name in _abandoned(purpose):
        down(name)
    name = f"{purpose}-{os.getpid()}"
    try:
        yield up(profile, name)
    finally:
        down(name)


def find(name: str) -> Bed:
    """The bed of this name, running or not."""
    known = state.load(name)
    if known is None:
        raise BedError(f"there is no bed {name}", fix=f"{COMMAND} up --profile light --name {name}")
    return _bed(known)


def ranges() -> list[ipaddress.IPv4Network]:
    """Where the beds of this machine have nodes, pods and Services; of those in Docker, the nodes of this clone's."""
    native = [one for slot in network.claimed() for one in network.Network(slot).ranges]
    known = (state.load(name) for name in state.names())
    return native + [ipaddress.IPv4Network(kind.node_address(one)) for one in known if one and one.docker]


def down(name: str) -> None:
    """Remove a bed and every trace of it; of one that a crash left half made, too."""
    with _only_command_on(name):
        _remove(name)


def down_all() -> None:
    """Remove all beds of this clone, and what is left of full beds whose clone was deleted.

    One that cannot be removed keeps no other; raises BedError in the end.
    """
    orphans = [(slot, folder) for slot, folder in network.claimed().items() if not folder.exists()]
    removals: dict[str, Callable[[], None]] = {f"bed {name}": partial(down, name) for name in state.names()}
    removals |= {f"what is left of {folder}": partial(_remove_orphan, folder, slot) for slot, folder in orphans}
    removals["interrupted builds"] = images.remove_interrupted
    failures = []
    for what, remove in removals.items():
        try:
            remove()
        except (BedError, OSError) as error:
            failures.append(f"{what}: {error}")
    if failures:
        raise BedError("\n".join(failures))


def _remove_orphan(folder: Path, slot: int) -> None:
    with step(f"removing what is left of {folder}"):
        teardown.remove(folder, slot)


def _abandoned(purpose: str) -> list[str]:
    """The temporary beds whose process has ended."""
    named = re.compile(rf"{re.escape(purpose)}-(\d+)")
    found = [(name, match[1]) for name in state.names() if (match := named.fullmatch(name))]
    return [name for name, pid in found if not Path("/proc", pid).exists()]


def _remove(name: str) -> None:
    folder = state.folder_of(name)
    slot = next((slot for slot, owner in network.claimed().items() if owner == folder), None)
    if slot is None and not folder.exists():
        return
    with step(f"removing bed {name}"):
        known = state.load(name)
        if known and known.docker:
            kind.remove(known)
        else:
            teardown.remove(folder, slot)


def _only_command_on(name: str) -> AbstractContextManager[None]:
    return exclusive(beds_folder() / ".locks" / name)


def _bed(known: BedState) -> NativeBed | KindBed:
    return KindBed(known) if known.docker else NativeBed(known)


def _found_or_new(profile: Profile, name: str) -> NativeBed | KindBed:
    known = state.load(name)
    if known is not None and known.boot != BOOT_ID.read_text().strip():
        # Its store was never flushed to the disk, and its network is gone.
        say(f"bed {name} is from before the machine was started: making a new one")
        known = None
    if known is None:
        # There may be something all the same, left by a crash or by somebody who deleted the folder.
        _remove(name)
        with_docker = profile == "full" and images.docker_works()
        known = kind.new_state(name) if with_docker else native.new_state(profile, name)
        known.save()
    elif known.profile != profile:
        raise BedError(f"bed {name} is {known.profile}", fix=f"{COMMAND} down --name {name}")
    return _bed(known)


def _needs_root_on_debian() -> None:
    if os.geteuid() != 0:
        raise BedError("a full bed without Docker makes network namespaces and mounts", fix="run as root")
    if not shutil.which("apt-get"):
        raise BedError("a full bed needs Docker, or Debian 12", fix="start Docker, or run this on Debian 12 as root")
