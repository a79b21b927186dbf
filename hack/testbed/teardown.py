"""Removing every trace of a bed, also of one that a crash left half made or half removed."""

import json
import re
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
        containers = _containers(folder, network)
        sockets = _shim_sockets(folder, network)
        _end_processes(network, containers)
        _remove_cgroups(containers)
        unmount_below(folder)
        network.delete()
        _remove_records(folder, network, containers, sockets)
        shutil.rmtree(network.run_folder, ignore_errors=True)
    # Tens of thousands of files of images: faster than Python does it, and never into something that is still mounted.
    run("rm", "-rf", "--one-file-system", folder)
    # Last: as long as anything is left, the slot is not free.
    if slot is not None:
        networks.release(slot)


def _containers(folder: Path, network: Network) -> set[str]:
    """The containers of the bed, also when their records are gone and only their processes are left."""
    recorded = {task.name for task in (folder / _TASKS).glob("*")}
    running = set()
    for pid in processes.with_descendants(_in_namespace(network)):
        # Processes end while one looks at them.
        with suppress(OSError):
            running |= set(re.findall(r"/k8s\.io/([0-9a-f]{64})", Path(f"/proc/{pid}/cgroup").read_text()))
    return recorded | running


def _shim_sockets(folder: Path, network: Network) -> set[Path]:
    """Where the shims of the bed listen: by their records, and by what is open in its network."""
    records = (folder / _TASKS).glob("*/bootstrap.json")
    recorded = {Path(json.loads(record.read_text())["address"].removeprefix("unix://")) for record in records}
    listed = run(*network.enter, "cat", "/proc/net/unix") if network.exists() else ""
    open_now = {Path(line.split()[-1]) for line in listed.splitlines()}
    return {path for path in recorded | open_now if path.parent == _SHIM_SOCKETS}


def _end_processes(network: Network, containers: set[str]) -> None:
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


def _in_cgroups(containers: set[str]) -> list[int]:
    pids = []
    for folder in _cgroup_folders(containers):
        for listing in folder.rglob("cgroup.procs"):
            # The cgroup may go away meanwhile.
            with suppress(OSError):
                pids += [int(line) for line in listing.read_text().split()]
    return pids


def _cgroup_folders(containers: set[str]) -> list[Path]:
    """The cgroups of containers: one folder each with cgroups v2, one in each hierarchy with v1."""
    folders = [folder for parent in _cgroup_parents() for folder in (parent / name for name in containers)]
    return [folder for folder in folders if folder.is_dir()]


def _cgroup_parents() -> list[Path]:
    return [_CGROUPS / "k8s.io", *_CGROUPS.glob("*/k8s.io")]


def _remove_cgroups(containers: set[str]) -> None:
    def none_left() -> bool:
        for top in _cgroup_folders(containers):
            for folder in sorted([top, *(path for path in top.rglob("*") if path.is_dir())], reverse=True):
                # The kernel may not be done yet with the processes that were in it.
                with suppress(OSError):
                    folder.rmdir()
        return not _cgroup_folders(containers)

    wait_until(none_left, what="removal of the containers' cgroups", timeout=30)
    _remove_if_empty(*_cgroup_parents())


def _remove_records(folder: Path, network: Network, containers: set[str], sockets: set[Path]) -> None:
    for path in sockets:
        path.unlink(missing_ok=True)
    for link in _LOG_LINKS.glob("*.log"):
        if link.is_symlink() and link.readlink().is_relative_to(folder):
            link.unlink()
    for record in _CNI_RESULTS.glob("*"):
        if record.name.startswith(f"{network.namespace}-") or any(name in record.name for name in containers):
            record.unlink()
    if _PLUGIN_SOCKET.exists() and not _somebody_listens(_PLUGIN_SOCKET):
        _PLUGIN_SOCKET.unlink()
    runtime = _SHIM_SOCKETS.parent
    _remove_if_empty(runtime / "runc/k8s.io", runtime / "runc", _SHIM_SOCKETS, runtime)
    _remove_if_empty(_LOG_LINKS, _CNI_RESULTS, _CNI_RESULTS.parent, _PLUGIN_SOCKET.parent, _PLUGIN_SOCKET.parents[1])


def _somebody_listens(path: Path) -> bool:
    """Whether the kubelet of another bed, or of the machine itself, has taken this socket."""
    with socket.socket(socket.AF_UNIX) as attempt:
        return attempt.connect_ex(str(path)) == 0


def _remove_if_empty(*folders: Path) -> None:
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()
