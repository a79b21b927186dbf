"""`lint`: whatever is wrong with a ModelRollout and can be known without a cluster."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from string import Template
from typing import Any, TextIO

import click
import promql_parser
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from modelrollout.api.base import API_VERSION
from modelrollout.api.rollout import ModelRollout
from modelrollout.api.slo import QUERY_VARIABLES
from modelrollout.cli import moving_in
from modelrollout.cli.advice import advice
from modelrollout.cli.exits import Exit
from modelrollout.cli.files import read_documents
from modelrollout.cli.output import console, output_option, print_data
from modelrollout.cli.rules import broken_rules
from modelrollout.cli.structure import Complaint, Schema, defaulted, misfits, unknown_fields
from modelrollout.cli.styles import BAD, WARNING

_FILLED_IN = {name: "1m" if name == "window" else name for name in QUERY_VARIABLES}
"""Values of the variables of a query that leave it as sound as it is."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is wrong with one ModelRollout, and what is unwise."""

    file: str
    name: str
    errors: list[Complaint]
    warnings: list[Complaint] = field(default_factory=list)

    def to_wire(self) -> dict[str, Any]:
        """For programs."""
        errors, warnings = (
            [{"field": one.field, "message": one.message} for one in found] for found in (self.errors, self.warnings)
        )
        return {"file": self.file, "name": self.name, "errors": errors, "warnings": warnings}


@click.command()
@click.option(
    "-f",
    "--filename",
    "sources",
    type=click.File(encoding="utf-8"),
    required=True,
    multiple=True,
    help="File with ModelRollouts; - is stdin. May be given several times.",
)
@output_option
@click.pass_context
def lint(ctx: click.Context, sources: tuple[TextIO, ...], output: str) -> None:
    """Check ModelRollouts in files, without a cluster.

    It refuses what the API server refuses when they are applied, in the same words, and PromQL that does not parse.
    A Deployment that a workloadRef names is looked at where it is in these files too. What is legal but unwise is a
    warning. Exit code 1 if there are errors, warnings or not.
    """
    files = [(source.name, read_documents(source)) for source in sources]
    deployments = [deployment for _, documents in files for deployment in documents.deployments]
    verdicts = [judged(written, name, deployments) for name, documents in files for written in documents.rollouts]
    if output == "table":
        for verdict in verdicts:
            show(verdict, console())
    else:
        print_data([verdict.to_wire() for verdict in verdicts], output)
    ctx.exit(Exit.FAILED if any(verdict.errors for verdict in verdicts) else Exit.DONE)


def judged(written: dict[str, Any], file: str, deployments: Sequence[dict[str, Any]] = ()) -> Verdict:
    """What is wrong with a ModelRollout as it is written, next to these Deployments."""
    metadata = written.get("metadata")
    name = str((metadata if isinstance(metadata, dict) else {}).get("name", "?"))
    errors = list(refusals(written))
    if errors:
        return Verdict(file=file, name=name, errors=errors)
    rollout = as_stored(written)
    found = moving_in.referred(rollout, deployments)
    return Verdict(
        file=file,
        name=name,
        errors=[*moving_in.faults(rollout, found), *_broken_queries(rollout)],
        warnings=[*advice(rollout), *moving_in.advice(rollout, found)],
    )


def refusals(written: dict[str, Any]) -> Iterator[Complaint]:
    """What the API server would say of it; nothing if it would take it."""
    if written.get("apiVersion") != API_VERSION:
        yield Complaint("apiVersion", f"must be {API_VERSION}")
    schema = _schema()
    content = {name: value for name, value in written.items() if name != "status"}
    spec_only = {"spec": content["spec"]} if "spec" in content else {}
    yield from unknown_fields(spec_only, schema)
    stored = defaulted(content, schema)
    found = [*_nameless(stored), *misfits(stored, schema)]
    yield from found
    yield from broken_rules(stored, schema, found)


def as_stored(written: dict[str, Any]) -> ModelRollout:
    """What becomes of a ModelRollout that is not refused."""
    return ModelRollout.model_validate(defaulted(written, _schema()))


def accepted(written: dict[str, Any], where: str) -> ModelRollout:
    """A ModelRollout that the API server would take; a ClickException says what it would refuse."""
    if wrong := "".join(f"\n  {one}" for one in refusals(written)):
        raise click.ClickException(f"a ModelRollout in {where} is not right:{wrong}")
    return as_stored(written)


@cache
def _schema() -> Schema:
    """The schema of the CRD; generated, with all that it demands."""
    schema: Schema = json.loads(files("modelrollout.cli").joinpath("modelrollout.schema.json").read_text("utf-8"))
    return schema


def _nameless(stored: dict[str, Any]) -> Iterator[Complaint]:
    metadata = stored.get("metadata")
    if not isinstance(metadata, dict) or not (metadata.get("name") or metadata.get("generateName")):
        yield Complaint("metadata.name", "Required value: name or generateName is required", blocks=True)


def _broken_queries(rollout: ModelRollout) -> Iterator[Complaint]:
    for index, slo in enumerate(rollout.spec.slos):
        if slo.query is None:
            continue
        try:
            promql_parser.parse(Template(slo.query.value).safe_substitute(_FILLED_IN))
        except ValueError as error:
            yield Complaint(f"spec.slos[{index}].query.value", f"is no PromQL: {error}")


def show(verdict: Verdict, screen: Console) -> None:
    """The verdict for people."""
    if verdict.errors:
        said = Text("refused", BAD)
    elif verdict.warnings:
        said = Text("legal, with warnings", WARNING)
    else:
        said = Text("good", "green")
    screen.print(Text.assemble(f"{verdict.name} ({verdict.file}): ", said), soft_wrap=True)
    for one in (*verdict.errors, *verdict.warnings):
        screen.print(Padding(Text(str(one)), (0, 0, 0, 2)))
