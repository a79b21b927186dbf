"""The results: a table for people, JSON for programs."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from .latency import POLL_SECONDS, Run
from .polling import Polling
from .usage import Idle


@dataclass(frozen=True, kw_only=True)
class Breaches:
    """Breaches of one rollout while a number of them are in progress."""

    in_progress: int
    operator: list[Run]
    plain: list[Run]
    operator_cores: float
    """Its processor time by the time that passed."""


@dataclass(kw_only=True)
class Report:
    """Everything measured, and the machine; `load` is that of the minute before."""

    cores: int = field(default_factory=lambda: len(os.sched_getaffinity(0)))
    memory_gib: float = field(default_factory=lambda: os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
    load: float = field(default_factory=lambda: os.getloadavg()[0])
    breaches: list[Breaches] = field(default_factory=list)
    idle: Idle | None = None
    polling: list[Polling] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """As JSON: every run, in seconds [since visible in Prometheus, since the first failure]."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")

    def show(self, console: Console) -> None:
        """As a table."""
        console.print(f"{self.cores} cores, {self.memory_gib:.0f} GiB of memory, load {self.load:.1f} at the start")
        if self.polling:
            console.print(_of_polling(self.polling))
        table = Table(
            *("in progress", "weight 0 since", "operator p50", "max", "plain p50", "max", "ratio p50"),
            title=f"seconds, {len(self.breaches[0].operator)} runs; both poll each {POLL_SECONDS:g} s",
            box=None,
        )
        for breaches in self.breaches:
            both = zip(*breaches.operator, strict=True), zip(*breaches.plain, strict=True)
            for since, ours, plain in zip(("breach visible", "first failure"), *both, strict=True):
                numbers = [*_p50_and_max(ours), *_p50_and_max(plain), median(ours) / median(plain)]
                table.add_row(str(breaches.in_progress), since, *(f"{number:.3f}" for number in numbers))
        console.print(table)
        for breaches in self.breaches:
            console.print(f"operator with {breaches.in_progress} in progress: {breaches.operator_cores:.2f} cores")
        if idle := self.idle:
            console.print(
                f"operator with {idle.rollouts} idle, for {idle.seconds:g} s: {sum(idle.requests.values())} requests "
                f"{idle.requests or ''}, {idle.cpu_seconds:.2f} s of processor time, {idle.memory_mib:.0f} MiB"
            )


def _of_polling(measured: Sequence[Polling]) -> Table:
    rows: dict[str, Callable[[Polling], str]] = {
        "queries a poll": lambda one: f"{one.queries_a_poll:.2f}",
        "seconds a poll, p50": lambda one: f"{one.poll_p50:.3f}",
        "p99": lambda one: f"{one.poll_p99:.3f}",
        "the same answers bare, p50": lambda one: f"{one.bare_p50:.3f}",
        "a query for each SLO": lambda one: f"{one.peers:.3f}",
        "cores": lambda one: f"{one.cores:.2f}",
        "cores of Prometheus": lambda one: f"{one.prometheus_cores:.2f}",
        "memory, MiB": lambda one: f"{one.memory_mib:.0f}",
        "SLOs that pass": lambda one: f"{one.passing}",
    }
    sizes = [f"{one.rollouts} rollouts" for one in measured]
    table = Table("judging, three SLOs each", *sizes, box=None)
    for name, number in rows.items():
        table.add_row(name, *(number(one) for one in measured))
    return table


def _p50_and_max(seconds: Sequence[float]) -> tuple[float, float]:
    return median(seconds), max(seconds)
