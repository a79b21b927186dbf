"""What the operator uses while nothing happens: requests to the API server, processor time and memory."""

import json
import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import testbed

_SETTLED_SECONDS = 10.0
"""After as long without a request there is nothing left to do."""

_PATIENCE = 12
"""How often that is waited for."""


@dataclass(frozen=True, kw_only=True)
class Idle:
    """A fleet that has nothing to do, over some seconds."""

    rollouts: int
    seconds: float
    requests: dict[str, int]
    """To the API server by verb and resource; watches and leases do not count."""
    cpu_seconds: float
    memory_mib: float
    """Resident set size in the end."""


def measure_idle(bed: testbed.Bed, pid: int, *, rollouts: int, seconds: float) -> Idle:
    """Watch an operator that has nothing to do, once what it did before is over.

    Raises:
        TimeoutError: it goes on making requests.
    """
    last = {}
    for _ in range(_PATIENCE):
        last = _requests_within(bed, _SETTLED_SECONDS)
        if not last:
            break
    else:
        raise TimeoutError(f"the operator does not come to rest; its last requests: {last}")
    cpu = cpu_seconds(pid)
    requests = _requests_within(bed, seconds)
    cpu = cpu_seconds(pid) - cpu
    return Idle(rollouts=rollouts, seconds=seconds, requests=requests, cpu_seconds=cpu, memory_mib=_memory_mib(pid))


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far, in user and kernel mode; see proc(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def _requests_within(bed: testbed.Bed, seconds: float) -> dict[str, int]:
    """What the operator asks of the API server from now on, by the audit log."""
    with bed.audit_log.open("rb") as log:
        log.seek(0, os.SEEK_END)
        time.sleep(seconds)
        entries = [json.loads(line) for line in log]
    made = [
        (entry["verb"], entry.get("objectRef", {}).get("resource", entry["requestURI"]))
        for entry in entries
        if entry["user"]["username"] == "operator"
    ]
    return Counter(f"{verb} {resource}" for verb, resource in made if verb != "watch" and resource != "leases")
