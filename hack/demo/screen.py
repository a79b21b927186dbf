"""What people see while a rollout goes on: a live view on a terminal, plain lines anywhere else."""

import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from stack import NotReachedError, Served
from stack.evidence import by_version, failed
from stack.history import Object
from traffic_client import Answer, Load

_TICK = 0.25
_LATELY = 5.0
"""Seconds that rates and shares of the moment go back."""
_COLOURS = {"Pass": "green", "Breach": "bold red", "Inconclusive": "yellow"}


class Screen:
    """Shows a model and the load on it; use it in a `with`."""

    def __init__(self, console: Console, model: Served, load: Load) -> None:
        self._console = console
        self._model = model
        self._load = load
        self._started = time.time()
        self._told = ""
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        if self._live:
            self._live.stop()

    def say(self, message: str) -> None:
        """A line that stays."""
        self._console.print(Text(f"{time.time() - self._started:6.1f} s  {message}"), soft_wrap=True)

    def follow(self, reached: Callable[[Object], bool], *, what: str, timeout: float) -> None:
        """Show what goes on until a status is so; raises NotReachedError, also when the watch failed."""
        deadline = time.monotonic() + timeout
        while not reached(self._model.status):
            self._show()
            self._model.history.check()
            if time.monotonic() > deadline:
                raise NotReachedError(f"not within {timeout:g} s: {what}\n{self._model.diagnosis()}")
            time.sleep(_TICK)
        self._show()

    def _show(self) -> None:
        status, answers = self._model.status, self._load.answers
        line = summary_line(status)
        if line != self._told:
            self._told = line
            self.say(f"{line}  ({counts_line(status, answers)})")
        if self._live:
            self._live.update(
                Group(weights_line(status), slo_table(status), requests_table(status, answers)), refresh=True
            )


def summary_line(status: Object) -> str:
    """The rollout in a line that changes with its phase, stage and verdict."""
    phase, version, stage = status.get("phase", "?"), status.get("version", "?"), status.get("stage")
    if not stage:
        return f"{phase:<11} {version}"
    place = f"{stage['name']} ({stage['index'] + 1} of {stage['count']})"
    return f"{phase:<11} {version}, stage {place}, weight {stage['weight']} %, verdict {status.get('verdict') or '-'}"


def counts_line(status: Object, answers: list[Answer]) -> str:
    """Requests so far by version, the good ones and those that failed."""
    good, bad = by_version(answers), failures_by_version(status, answers)
    counts = [
        f"{version}: {good[version]} served, {bad[version]} failed" for version in sorted(good.keys() | bad.keys())
    ]
    return "; ".join(counts) or "no request yet"


def weights_line(status: Object) -> str:
    """Where the requests go, as declared and as the route says."""
    weights = status.get("weights") or {}
    return f"candidate's weight: declared {weights.get('declared', 0)} %, in the route {weights.get('observed', 0):g} %"


def slo_table(status: Object) -> Table:
    """What each SLO says of the candidate."""
    table = Table("SLO", "verdict", "evidence", title="what Prometheus says of the candidate", title_justify="left")
    for slo in status.get("slos") or []:
        verdict = Text(slo["verdict"], style=_COLOURS[slo["verdict"]])
        table.add_row(slo["name"], verdict, slo.get("message") or slo["reason"])
    return table


def requests_table(status: Object, answers: list[Answer]) -> Table:
    """Who served how many, and what share lately."""
    table = Table(
        "version", "role", "served", "failed", f"share, last {_LATELY:.0f} s", title="requests", title_justify="left"
    )
    since = time.time() - _LATELY
    recent = [answer for answer in answers[-1000:] if answer.ended_at >= since]
    lately = by_version(recent) + failures_by_version(status, recent)
    good, bad = by_version(answers), failures_by_version(status, answers)
    roles = {(status.get(role) or {}).get("version"): role for role in ("previous", "candidate", "stable")}
    for version in sorted(good.keys() | bad.keys()):
        share = f"{100 * lately[version] / lately.total():.1f} %" if lately else "-"
        table.add_row(version, roles.get(version, ""), str(good[version]), str(bad[version]), share)
    return table


def failures_by_version(status: Object, answers: list[Answer]) -> Counter[str]:
    """Failed requests by who failed: the variant that the gateway names, or nobody.

    In this story only the version tried last ever fails, so the candidate's failures are that version's.
    """
    last = status.get("candidate") or status.get("lastRevert") or {}
    names = {
        "candidate": last.get("version", "candidate"),
        "stable": (status.get("stable") or {}).get("version", "stable"),
    }
    return Counter(names.get(answer.variant, "no answer") for answer in failed(answers))
