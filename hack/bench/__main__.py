"""`python -m bench`: measure on a bed of its own, which is gone afterwards."""

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from kubernetes import config
from rich.console import Console
from rich.progress import track

import testbed
from stack.exporter import Exporter
from stack.operator_process import OperatorProcess, apply_crds, eventually, grant, running
from testbed.progress import console, say, step
from testbed.waiting import tail

from .fleet import STABLE, Fleet
from .latency import POLL_SECONDS, Stopwatch
from .polling import measure_polling
from .report import Breaches, Report
from .usage import cpu_seconds, measure_idle


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.option("--runs", type=click.IntRange(1), default=20, help="Breaches to measure, with one rollout and with many.")
@click.option("--rollouts", type=click.IntRange(1), default=50, help="How many are many, in progress or idle.")
@click.option("--seconds", type=click.FloatRange(1), default=60, help="How long idle and judged ones are watched.")
@click.option(
    "--polled", type=click.IntRange(1), multiple=True, default=(300, 1000), help="Rollouts to judge on one Prometheus."
)
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Where to write results.")
def main(
    runs: int,
    rollouts: int,
    seconds: float,
    polled: tuple[int, ...],
    json_file: Path | None,
) -> None:
    """Measure how fast a breach takes a candidate's requests away, and what judging and an idle fleet cost."""
    report, exporter = Report(), Exporter()
    new_client: Any = config.new_client_from_config
    for size in polled:
        with testbed.temporary("light", "bench") as bed:
            report.polling.append(measure_polling(bed, rollouts=size, seconds=seconds))
    with _bed() as bed, exporter.serving() as scraped, new_client(str(bed.kubeconfig)) as client:
        stopwatch = Stopwatch(client, exporter, bed.start_prometheus(scraped))
        fleet = Fleet(bed, client, exporter)
        with _operator(bed) as operator:
            fleet.grow(1)
            report.breaches.append(_breaches(fleet, stopwatch, operator, runs=runs))
            with step(f"{rollouts} idle rollouts"):
                fleet.members[0].apply(STABLE)
                fleet.grow(rollouts)
        # A fresh operator: the LISTs of its start are over before the idle minute, the next ones are long after.
        with _operator(bed) as operator:
            with step(f"the idle ones for {seconds:g} s"):
                report.idle = measure_idle(bed, operator, rollouts=rollouts, seconds=seconds)
            report.breaches.append(_breaches(fleet, stopwatch, operator, runs=runs))
    report.show(Console())
    if json_file:
        report.write(json_file)
    if report.idle and report.idle.requests:
        sys.exit("an idle operator asked the API server for something")


def _breaches(fleet: Fleet, stopwatch: Stopwatch, operator: OperatorProcess, *, runs: int) -> Breaches:
    """Breaches of the first rollout while all are in progress; the plain client has its turn while its pods drain."""
    (first, *others), size, pid = fleet.members, len(fleet.members), operator.process.pid
    if others:
        with step(f"{len(others)} others in progress"):
            fleet.begin(f"2.{size}", *others)
    ours, plain = [], []
    cpu, begun = cpu_seconds(pid), time.monotonic()
    for run in track(range(runs), f"breaches, {size} in progress", console=console):
        fleet.begin(f"2.{size}-bad-{run}", first)
        ours.append(stopwatch.operator(first))
        plain.append(stopwatch.plain(f"{size}-{run}"))
        first.wait_for(lambda status: status["phase"] == "Reverted", f"{first.name} to be taken back")
    still = len(others)
    eventually(lambda: operator.metric("modelrollout_rollouts", phase="Progressing") == still, f"{still} in progress")
    cores = (cpu_seconds(pid) - cpu) / (time.monotonic() - begun)
    return Breaches(in_progress=size, operator=ours, plain=plain, operator_cores=cores)


@contextmanager
def _bed() -> Iterator[testbed.Bed]:
    """A bed with our CRDs, whose user `operator` has the operator's rights."""
    with testbed.temporary("light", "bench") as bed:
        apply_crds(bed)
        grant(bed)
        yield bed


@contextmanager
def _operator(bed: testbed.Bed) -> Iterator[OperatorProcess]:
    """A running operator; when anything fails, the end of its log is shown before it is gone with the bed."""
    options = (f"--prometheus-url={bed.prometheus_url}", f"--poll-interval={POLL_SECONDS * 1000:.0f}ms")
    with running(bed, bed.folder, *options) as operator:
        try:
            yield operator
        except Exception:
            say(tail(operator.log, 40))
            raise


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # the bed is removed all the same
    try:
        main()
    except testbed.BedError as error:
        sys.exit(f"Error: {error}")
