"""One ModelRollout on one screen: everything that somebody wants to know when woken at night."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from modelrollout.api.attempt import Word
from modelrollout.api.rollout import ModelRollout
from modelrollout.api.slo import Slo, Verdict
from modelrollout.api.status import ColourStatus, SloStatus
from modelrollout.cli.outlook import (
    Mark,
    deadline,
    hints,
    hold,
    is_ready,
    marked_stages,
    missing_consents,
    tightness,
    troubles,
    waits_for,
)
from modelrollout.cli.styles import BAD, COLOURS, DIM, HEADING, PHASES, VERDICTS, WARNING
from modelrollout.cli.times import clock, rough
from modelrollout.engine.capacity import reachable_weight
from modelrollout.engine.draining import cold_at
from modelrollout.engine.room import usable_room

_MARKS = {
    Mark.DONE: ("✓", "green"),
    Mark.HERE: ("▶", "bold cyan"),
    Mark.FAILED: ("✗", BAD),
    Mark.AHEAD: ("○", DIM),
    Mark.LEFT_OUT: ("-", DIM),
}


class Screen:
    """A ModelRollout as it looks at the moment of each rendering, so that its clocks run on without news."""

    def __init__(self, rollout: ModelRollout) -> None:
        self._rollout = rollout

    def __rich__(self) -> RenderableType:
        return at_a_glance(self._rollout, datetime.now(UTC))


def at_a_glance(rollout: ModelRollout, now: datetime) -> RenderableType:
    """The whole screen, what matters most first; parts that have nothing to say are left out."""
    return Group(
        _head(rollout),
        *_alarms(rollout, now),
        *_labelled("Now", waits_for(rollout)),
        Text(),
        _versions(rollout, now),
        *_progress(rollout, now),
        *_labelled("Capacity", tightness(rollout)),
        *_slos(rollout),
        *_consents(rollout),
        *_cohorts(rollout),
        *_last_revert(rollout, now),
        *_troubles(rollout),
        *_next(rollout),
    )


def _head(rollout: ModelRollout) -> Text:
    status, metadata = rollout.status, rollout.metadata
    ready = ("ready", "green") if is_ready(rollout) else ("not ready", BAD)
    return Text.assemble(
        (metadata["name"], HEADING),
        f" in {metadata['namespace']}: ",
        (status.phase, PHASES[status.phase]),
        f", attempt {status.attempt}, ",
        ready,
    )


def _alarms(rollout: ModelRollout, now: datetime) -> Iterator[Text]:
    status = rollout.status
    if status.killed:
        yield Text(f"KILLED {_said(status.killed, now)}; nothing is tried until it is lifted", BAD)
    if status.held:
        yield Text(f"PAUSED {_said(status.held, now)}", WARNING)
    if rollout.spec.paused:
        yield Text("PAUSED by spec.paused", WARNING)
    if status.promoting:
        yield Text("PROMOTING: the stages that are left are passed over", WARNING)


def _said(word: Word, now: datetime) -> str:
    return f"by {word.by} {rough(now - word.at)} ago" + (f": {word.reason}" if word.reason else "")


def _labelled(label: str, text: str, style: str = "") -> Iterator[RenderableType]:
    if text:
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(min_width=9)
        grid.add_row(Text(label, HEADING), Text(text, style))
        yield grid


def _columns(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style=DIM)
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def _versions(rollout: ModelRollout, now: datetime) -> Table:
    status = rollout.status
    table = _columns("", "VERSION", "COLOUR", "SINCE", "")
    for role, one in (("stable", status.stable), ("candidate", status.candidate), ("previous", status.previous)):
        if one:
            table.add_row(
                Text(role, HEADING),
                one.version,
                Text(one.colour, COLOURS[one.colour]),
                rough(now - one.since),
                _condition_of(role, one, rollout, now),
            )
    return table


def _condition_of(role: str, one: ColourStatus, rollout: ModelRollout, now: datetime) -> Text:
    if role == "stable":
        return Text(f"{rollout.status.ready_replicas} of {rollout.status.replicas} pods ready")
    if role == "previous":
        return Text(f"kept warm until {clock(cold_at(rollout.spec, one), now)}")
    loaded = f", loaded in {one.load_seconds:.0f}s" if one.load_seconds is not None else ""
    return Text(f"warm{loaded}") if one.warm else Text("not warm yet", WARNING)


def _progress(rollout: ModelRollout, now: datetime) -> Iterator[RenderableType]:
    stages = marked_stages(rollout)
    if not stages:
        return
    line = Text("  ").join(Text(f"{_MARKS[mark][0]} {stage.name}", _MARKS[mark][1]) for stage, mark in stages)
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(min_width=9)
    grid.add_row(Text("Stages", HEADING), line)
    if part := hold(rollout, now):
        grid.add_row(Text("Hold", HEADING), _bar(*part))
    if due := deadline(rollout, now):
        grid.add_row(
            Text("Deadline", HEADING), f"{due[0]} in {rough(due[1] - now)} ({clock(due[1], now)}) if undecided"
        )
    if rollout.status.candidate:
        grid.add_row(Text("Weight", HEADING), _weights(rollout))
    yield Padding(grid, (1, 0, 0, 0))


def _bar(over: timedelta, whole: timedelta) -> Table:
    bar = Table.grid(padding=(0, 2, 0, 0))
    bar.add_row(
        ProgressBar(total=whole.total_seconds(), completed=over.total_seconds(), width=30),
        f"{rough(over)} of {rough(whole)}",
    )
    return bar


def _weights(rollout: ModelRollout) -> str:
    weights, room = rollout.status.weights, usable_room(rollout.spec, rollout.status)
    reachable = reachable_weight(rollout.spec, weights.declared, room)
    less = f" ({reachable:g} % can be reached)" if reachable != weights.declared else ""
    return f"{weights.observed:g} % of the requests, {weights.declared} % declared{less}"


def _slos(rollout: ModelRollout) -> Iterator[RenderableType]:
    if not rollout.status.slos:
        return
    table = _columns("SLO", "VERDICT", "VALUE", "LIMIT", "SAMPLES", "REASON", "")
    limits = {slo.name: _bound(slo) for slo in rollout.spec.slos}
    shares = {slo.name for slo in rollout.spec.slos if slo.counts or (slo.limit or "").endswith("%")}
    for slo in rollout.status.slos:
        in_a_row = f" {slo.breaches}x" if slo.breaches > 1 else ""
        table.add_row(
            slo.name,
            Text(slo.verdict + in_a_row, VERDICTS[slo.verdict]),
            _value(slo, is_share=slo.name in shares),
            limits.get(slo.name, ""),
            "" if slo.samples is None else f"{slo.samples:,}",
            slo.reason,
            Text("" if slo.verdict is Verdict.PASS or slo.comparison else slo.message),
        )
    yield Padding(table, (1, 0, 0, 0))
    for slo in rollout.status.slos:
        if slo.comparison:
            yield Padding(Text.assemble((slo.name, HEADING), f": {slo.message}"), (0, 0, 0, 2))


def _bound(slo: Slo) -> str:
    """What it is held against."""
    if slo.baseline is None:
        return slo.limit or ""
    relative = f"stable {100 * (slo.baseline.tolerated - 1):+.3g}%"
    return f"{slo.limit}, {relative}" if slo.limit else relative


def _value(slo: SloStatus, *, is_share: bool) -> str:
    """The value, in per cent where it is a share."""
    if slo.value is None:
        return "-"
    return f"{100 * slo.value:.3g}%" if is_share else f"{slo.value:.4g}"


def _consents(rollout: ModelRollout) -> Iterator[RenderableType]:
    missing = [Text(one.what, WARNING) for one in missing_consents(rollout)]
    if missing:
        yield _section("Missing", missing)


def _cohorts(rollout: ModelRollout) -> Iterator[RenderableType]:
    excluded = ", ".join(f"{one.header}={one.value}" for one in rollout.status.excluded)
    yield from _labelled("Excluded", f"{excluded} stays on stable" if excluded else "")


def _last_revert(rollout: ModelRollout, now: datetime) -> Iterator[RenderableType]:
    last = rollout.status.last_revert
    if last:
        at = f" in stage {last.stage}" if last.stage else ""
        again = f", {last.times} times in a row" if last.times > 1 else ""
        when = f"{rough(now - last.at)} ago ({clock(last.at, now)})"
        what = Text(f"version {last.version} (attempt {last.attempt}){at}, {when}{again}")
        yield _section("Last taken back", [what, Text.assemble((last.reason, BAD), f": {last.message}")])


def _troubles(rollout: ModelRollout) -> Iterator[RenderableType]:
    told = waits_for(rollout)
    found = [one for one in troubles(rollout) if one.message != told]
    if found:
        lines = [Text.assemble((f"{one.type} {one.status}", BAD), f" {one.reason}: {one.message}") for one in found]
        yield _section("Not as it should be", lines)


def _next(rollout: ModelRollout) -> Iterator[RenderableType]:
    commands = [Text(command, "cyan") for command in hints(rollout)]
    if commands:
        yield _section("Next", commands)


def _section(heading: str, lines: list[Text]) -> RenderableType:
    return Group(Text(), Text(heading, HEADING), *(Padding(line, (0, 0, 0, 2)) for line in lines))
