"""Removing every trace of a bed, also of one that a crash left half made or half removed."""

import json
import shutil
import socket
from contextlib import suppress
from pathlib import Path

from . import network as networks
from . import processes
from .commands import run
from .daemons import Daemon
from .mounts import unmount_below
from .network import Network
from .waiting import wait_until

_CGROUPS = Path("/sys/fs/cgroup")
_TASKS = "containerd-state/io.containerd.runtime.v2.task/k8s.io"
# Places outside of the bed's folder that containerd, the CNI library and the kubelet do not let anybody choose.
_SHIM_SOCKETS = Path("/run/containerd/s")
_CNI_RESULTS = Path("/var/lib/cni/results")
_LOG_LINKS = Path("/var/log/containers")
_PLUGIN_SOCKET = Path("/var/lib/kubelet/device-plugins/kubelet.sock")


def remove(folder: Path, slot: int | None) -> None:
    """End what runs, undo what was mounted and made, and delete the state."""
    daemons = [Daemon(file.stem, folder) for file in (folder / "run").glob("*.pid")]
    # The kubelet first: it would start containers again.
    for daemon in sorted(daemons, key=lambda daemon: daemon.name != "kubelet"):
        daemon.stop()
    if slot is not None:
        network = Network(slot)
        containers = [task.name for task in (folder / _TASKS).glob("*")]
        _end_processes(network, containers)
        _remove_cgroups(containers)
        _remove_shim_sockets(folder)
        unmount_below(folder)
        network.delete()
        _remove_records(folder, network)
        shutil.rmtree(network.run_folder, ignore_errors=True)
    # Tens of thousands of files of images: faster than Python does it, and never into something that is still mounted.
    run("rm", "-rf", "--one-file-system", folder)
    # Last: as long as anything is left, the slot is not free.
    if slot is not None:
        networks.release(slot)


def _end_processes(network: Network, containers: list[str]) -> None:
    """End what runs in the containers, which is in their cgroups, and in the bed's network: their shims."""

    def left() -> list[int]:
        in_network = processes.with_descendants(_in_namespace(network))
        # Shims last: the descendants of a dead one are nobody's.
        return list(dict.fromkeys([*_in_cgroups(containers), *reversed(in_network)]))

    def none_left() -> bool:
        for pid in left():
            processes.kill_if(pid, lambda pid: pid in left())
        return not left()

    wait_until(none_left, what=f"end of all processes of {network.namespace}", timeout=30)


def _in_namespace(network: Network) -> list[int]:
    if not network.exists():
        return []
    return [int(line) for line in run("ip", "netns", "pids", network.namespace).split()]


def _in_cgroups(containers: list[str]) -> list[int]:
    pids = []
    for folder in _cgroup_folders(containers):
        for listing in folder.rglob("cgroup.procs"):
            # The cgroup may go away meanwhile.
            with suppress(OSError):
                pids += [int(line) for line in listing.read_text().split()]
    return pids


def _cgroup_folders(containers: list[str]) -> list[Path]:
    """The cgroups of containers: one folder each with cgroups v2, one in each hierarchy with v1."""
    folders = [folder for parent in _cgroup_parents() for folder in (parent / name for name in containers)]
    return [folder for folder in folders if folder.is_dir()]


def _cgroup_parents() -> list[Path]:
    return [_CGROUPS / "k8s.io", *_CGROUPS.glob("*/k8s.io")]


def _remove_cgroups(containers: list[str]) -> None:
    def none_left() -> bool:
        for top in _cgroup_folders(containers):
            for folder in sorted([top, *(path for path in top.rglob("*") if path.is_dir())], reverse=True):
                # The kernel may not be done yet with the processes that were in it.
                with suppress(OSError):
                    folder.rmdir()
        return not _cgroup_folders(containers)

    wait_until(none_left, what="removal of the containers' cgroups", timeout=30)
    _remove_if_empty(*_cgroup_parents())


def _remove_shim_sockets(folder: Path) -> None:
    for record in (folder / _TASKS).glob("*/bootstrap.json"):
        path = Path(json.loads(record.read_text())["address"].removeprefix("unix://"))
        if path.parent == _SHIM_SOCKETS:
            path.unlink(missing_ok=True)
    _remove_if_empty(_SHIM_SOCKETS, _SHIM_SOCKETS.parent)


def _remove_records(folder: Path, network: Network) -> None:
    for link in _LOG_LINKS.glob("*.log"):
        if link.is_symlink() and link.readlink().is_relative_to(folder):
            link.unlink()
    for record in _CNI_RESULTS.glob(f"{network.namespace}-*"):
        record.unlink()
    if _PLUGIN_SOCKET.exists() and not _somebody_listens(_PLUGIN_SOCKET):
        _PLUGIN_SOCKET.unlink()
    _remove_if_empty(_LOG_LINKS, _CNI_RESULTS, _CNI_RESULTS.parent, _PLUGIN_SOCKET.parent, _PLUGIN_SOCKET.parents[1])


def _somebody_listens(path: Path) -> bool:
    """Whether the kubelet of another bed, or of the machine itself, has taken this socket."""
    with socket.socket(socket.AF_UNIX) as attempt:
        return attempt.connect_ex(str(path)) == 0


def _remove_if_empty(*folders: Path) -> None:
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()
