"""What the operator uses while nothing happens: requests to the API server, processor time and memory."""

import json
import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import testbed
from stack.operator_process import OperatorProcess, eventually

_SETTLED_SECONDS = 10.0
"""After as long without a request there is nothing left to do."""


@dataclass(frozen=True, kw_only=True)
class Idle:
    """A fleet that has nothing to do, over some seconds."""

    rollouts: int
    seconds: float
    requests: dict[str, int]
    """To the API server by verb and resource; watches and leases do not count."""
    cpu_seconds: float
    memory_mib: float
    """Resident in the end."""


def measure_idle(bed: testbed.Bed, operator: OperatorProcess, *, rollouts: int, seconds: float) -> Idle:
    """Watch an operator that has nothing to do, once what it did before is over."""
    eventually(lambda: operator.metric("modelrollout_rollouts", phase="Idle") == rollouts, "all to be idle")
    eventually(lambda: not _requests_within(bed, _SETTLED_SECONDS), "the operator to come to rest", seconds=120)
    pid = operator.process.pid
    cpu = cpu_seconds(pid)
    requests = _requests_within(bed, seconds)
    cpu = cpu_seconds(pid) - cpu
    memory = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return Idle(rollouts=rollouts, seconds=seconds, requests=requests, cpu_seconds=cpu, memory_mib=memory / 2**20)


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far, in user and kernel mode; see proc(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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
