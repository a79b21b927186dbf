"""`history` and `report`: the attempts of a ModelRollout and how each went, from its RolloutReports."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from importlib import import_module
from typing import TextIO

import click
from pydantic import ValidationError
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from modelrollout.api.attempt import AttemptOutcome, AttemptRecord, Evidence, TimelineEntry
from modelrollout.api.base import problems
from modelrollout.api.labels import NAME
from modelrollout.api.report import RolloutReport, report_name
from modelrollout.api.status import ModelRolloutStatus
from modelrollout.cli.cluster import REPORTS, Cluster, Object, on_cluster
from modelrollout.cli.names import rollout_argument
from modelrollout.cli.output import console, output_option, print_data
from modelrollout.cli.styles import BAD, DIM, HEADING, VERDICTS
from modelrollout.cli.times import rough

_OUTCOMES = {
    AttemptOutcome.IN_PROGRESS: "cyan",
    AttemptOutcome.PROMOTED: "green",
    AttemptOutcome.SUPERSEDED: "yellow",
}


@click.command()
@rollout_argument
@output_option
@on_cluster
def history(cluster: Cluster, name: str, output: str) -> None:
    """List the attempts of a ModelRollout and how each ended, the newest first."""
    found = _reports(cluster, name)
    if output != "table":
        print_data({"apiVersion": "v1", "kind": "List", "items": found}, output)
        return
    if not found:
        raise click.ClickException(f"there is no report of {name} in namespace {cluster.namespace}")
    console().print(attempts([_parsed(one) for one in found], datetime.now(UTC)))


@click.command()
@rollout_argument
@click.option("--attempt", type=int, help="Number of the attempt; the newest by default.", metavar="NUMBER")
@click.option(
    "--plot",
    "picture",
    type=click.File("w", encoding="utf-8", lazy=True),
    help="Also draw it into this file, as SVG.",
    metavar="FILE",
)
@output_option
@on_cluster
def report(cluster: Cluster, name: str, attempt: int | None, picture: TextIO | None, output: str) -> None:
    """Tell how an attempt went, with the evidence behind each decision."""
    newest = cluster.rollout(name).status if attempt is None else ModelRolloutStatus(attempt=attempt)
    found = cluster.read(REPORTS, report_name(name, newest.attempt))
    if picture:
        _draw(_up_to_now(_parsed(found), newest.records), picture)
    if output == "table":
        console().print(story(_parsed(found)))
    else:
        print_data(found, output)


def _up_to_now(told: RolloutReport, records: Iterable[AttemptRecord]) -> RolloutReport:
    """With what happened since its last entry, where the attempt is under way."""
    newest = next((one for one in records if one.attempt == told.spec.attempt and one.course), None)
    if newest is None:
        return told
    return told.model_copy(update={"status": told.status.model_copy(update={"course": newest.course})})


def _draw(told: RolloutReport, picture: TextIO) -> None:
    """With a library that not everybody has who has the rest."""
    try:
        plot = import_module("modelrollout.cli.plot")
    except ModuleNotFoundError as error:
        raise click.ClickException(f"a picture needs {error.name}: pip install '.[plots]' brings it") from error
    picture.write(plot.draw(told))


def _reports(cluster: Cluster, name: str) -> list[Object]:
    """The reports of a ModelRollout, the newest first; also of one that is gone."""
    found = cluster.objects(REPORTS, selector=f"{NAME}={name}")
    return sorted(found, key=lambda one: one["spec"]["attempt"], reverse=True)


def _parsed(found: Object) -> RolloutReport:
    try:
        return RolloutReport.model_validate(found)
    except ValidationError as error:
        wrong = "; ".join(problems(error))
        raise click.ClickException(f"RolloutReport {found['metadata']['name']} cannot be read: {wrong}") from error


def attempts(reports: Sequence[RolloutReport], now: datetime) -> Table:
    """One attempt a line."""
    table = Table(box=None, pad_edge=False, header_style="", expand=True)
    for column in ("ATTEMPT", "VERSION", "FROM", "OUTCOME", "STARTED", "TOOK"):
        table.add_column(column, no_wrap=True)
    table.add_column("WHY", no_wrap=True, overflow="ellipsis", ratio=1)
    for one in reports:
        status = one.status
        table.add_row(
            str(one.spec.attempt),
            one.spec.version,
            one.spec.from_version,
            _outcome(status.outcome),
            f"{rough(now - status.started)} ago",
            rough((status.ended or now) - status.started),
            Text(status.message or status.reason),
        )
    return table


def story(told: RolloutReport) -> RenderableType:
    """An attempt from its beginning to its end."""
    return Group(*_head(told), *_timeline(told), *_people(told))


def _outcome(outcome: AttemptOutcome) -> Text:
    return Text(outcome, _OUTCOMES.get(outcome, BAD))


def _head(told: RolloutReport) -> Iterator[Text]:
    spec, status = told.spec, told.status
    before = f" (before: {spec.from_version})" if spec.from_version else ""
    took = f" after {status.duration}" if status.duration else ""
    yield Text.assemble(
        (f"{spec.rollout}, attempt {spec.attempt}", HEADING),
        f": version {spec.version}{before}, ",
        _outcome(status.outcome),
        took,
    )
    if status.message:
        yield Text(f"{status.reason}: {status.message}" if status.reason else status.message)


def _timeline(told: RolloutReport) -> Iterator[RenderableType]:
    yield Text()
    if told.status.omitted:
        yield Text(f"{told.status.omitted} entries were left out for want of room", DIM)
    for entry in told.status.timeline:
        yield _entry(entry)
        for evidence in entry.evidence:
            yield Padding(_evidence(evidence), (0, 0, 0, 22))


def _entry(entry: TimelineEntry) -> Text:
    at = entry.at.strftime("%Y-%m-%d %H:%M:%SZ")
    return Text.assemble((at, DIM), "  ", (entry.reason, HEADING if entry.moved else ""), f"  {entry.message}")


def _evidence(evidence: Evidence) -> Text:
    value = "no value" if evidence.value is None else f"{evidence.value:.4g}"
    limit = f" (limit {evidence.limit:.4g})" if evidence.limit is not None else ""
    samples = f", {evidence.samples:,} requests" if evidence.samples is not None else ""
    known = f"in the attempt {evidence.comparison.in_words}" if evidence.comparison else ""
    why = evidence.message or known
    return Text.assemble(
        f"{evidence.name} ",
        (evidence.verdict, VERDICTS[evidence.verdict]),
        f": {value}{limit}{samples} in {evidence.window}: {evidence.asked}",
        (f"  {why}" if why else "", DIM),
    )


def _people(told: RolloutReport) -> Iterator[Text]:
    status = told.status
    if status.consents or status.actions:
        yield Text()
    for consent in status.consents:
        what = f"approved as {consent.role}" if consent.role else f"signed off {consent.item}"
        yield Text(f"{consent.by} {what} for {consent.stage}" + (f": {consent.reason}" if consent.reason else ""))
    for action in status.actions:
        yield Text(f"{action.by} asked for {action.action}, {action.outcome}: {action.message}")
