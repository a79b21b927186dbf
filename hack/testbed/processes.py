"""Looking at processes and ending them, without ever meeting one that took the pid of another."""

import os
import signal
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple


class Stat(NamedTuple):
    """What is needed of a `/proc/PID/stat` line."""

    pid: int
    state: str
    parent: int
    started: str


def parse_stat(stat: str) -> Stat:
    """Read such a line, in which the name of the command may hold blanks and brackets."""
    before, _, after = stat.rpartition(")")
    fields = after.split()
    return Stat(int(before.split(" ", 1)[0]), fields[0], int(fields[1]), fields[19])


def with_descendants(pids: Iterable[int]) -> list[int]:
    """These processes, and all that they and theirs have started; parents before children."""
    children = defaultdict(list)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        # Processes end while one looks at them.
        with suppress(OSError):
            process = parse_stat(stat.read_text())
            children[process.parent].append(process.pid)
    found = list(pids)
    for pid in found:
        found += [child for child in children[pid] if child not in found]
    return found


def kill_if(pid: int, still_meant: Callable[[int], bool]) -> None:
    """Kill a process; whether it is meant is asked once more when no other can take its pid any more."""
    send_if(pid, signal.SIGKILL, still_meant)


def send_if(pid: int, number: signal.Signals, still_meant: Callable[[int], bool]) -> None:
    """Send a signal, through a descriptor that stays with the process that is asked about."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        with suppress(ProcessLookupError):
            if still_meant(pid):
                signal.pidfd_send_signal(descriptor, number)
    finally:
        os.close(descriptor)
