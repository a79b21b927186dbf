"""`plan`: the stages that a ModelRollout stands for, with the earliest moment of each."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TextIO

import click
from rich.console import Console
from rich.table import Table

from modelrollout.api.rollout import ModelRollout
from modelrollout.api.spec import ModelRolloutSpec
from modelrollout.api.strategy import ApprovalWhen
from modelrollout.api.workload_ref import Referred, ScaleDown
from modelrollout.cli.files import read_documents
from modelrollout.cli.lint import accepted
from modelrollout.cli.moving_in import referred
from modelrollout.cli.output import console, output_option, print_data
from modelrollout.cli.times import written
from modelrollout.engine.capacity import candidate_replicas, is_reachable, reachable_weight, skips_unreachable
from modelrollout.engine.stages import Stage, expand
from modelrollout.engine.windows import opens_at


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A stage with what comes of it."""

    stage: Stage
    begins: datetime | None
    """The earliest moment, if everything passes at once; None: it is left out, or refused."""
    weight: float
    """Per cent that the router can give of what the stage declares."""
    pods: int
    """Pods of the candidate."""
    note: str

    def to_wire(self) -> dict[str, Any]:
        """For programs."""
        stage = self.stage
        return {
            "name": stage.name,
            "weight": stage.weight,
            "match": [cohort.to_wire() for cohort in stage.match],
            "reachableWeight": self.weight,
            "pods": self.pods,
            "holdSeconds": stage.hold.total_seconds(),
            "deadlineSeconds": stage.deadline.total_seconds() if stage.deadline else None,
            "onDeadline": stage.on_deadline,
            "proof": stage.proof,
            "requiredSlos": None if stage.required_slos is None else list(stage.required_slos),
            "approvals": [approval.to_wire() for approval in stage.approvals],
            "checklist": list(stage.checklist),
            "window": stage.window.to_wire() if stage.window else None,
            "beginsAt": self.begins.isoformat() if self.begins else None,
            "note": self.note,
        }


def plan_of(spec: ModelRolloutSpec, start: datetime) -> list[Planned]:
    """The stages as they would follow each other if the candidate were ready at `start` and everything passed."""
    planned, moment = [], start
    for stage in expand(spec):
        reachable = is_reachable(spec, stage.weight)
        begins = opens_at(stage.window, moment) if reachable else None
        planned.append(
            Planned(
                stage=stage,
                begins=begins,
                weight=reachable_weight(spec, stage.weight),
                pods=candidate_replicas(spec, stage.weight),
                note="; ".join(_notes(spec, stage, reachable=reachable)),
            )
        )
        moment = begins + stage.hold if begins else moment
    return planned


def ends_at(planned: list[Planned]) -> datetime | None:
    """The earliest moment of the promotion; None if no stage can be entered."""
    last = next((one for one in reversed(planned) if one.begins), None)
    return last.begins + last.stage.hold if last and last.begins else None


def _notes(spec: ModelRolloutSpec, stage: Stage, *, reachable: bool) -> Iterator[str]:
    if reachable:
        yield from _conditions(stage)
    elif skips_unreachable(spec):
        yield f"left out: below what {spec.replicas} pods can reach"
    else:
        yield "REFUSED"
    yield from _consents(stage)


def _conditions(stage: Stage) -> Iterator[str]:
    """What is so in a stage that is entered."""
    if stage.window:
        window = stage.window
        yield f"begins {'/'.join(window.days)} {window.from_}-{window.to} {window.time_zone}"
    if stage.match:
        yield f"lets in {', '.join(map(str, stage.match))}"
    if stage.deadline:
        yield f"undecided after {written(stage.deadline)}: {stage.on_deadline}"
    if stage.required_slos is not None:
        yield f"requires {', '.join(stage.required_slos) or 'no SLO'}"
    if stage.proof:
        yield "requires proof"


def _consents(stage: Stage) -> Iterator[str]:
    """What people have to say of a stage, also of one that is left out."""
    for approval in stage.approvals:
        people = f" by {approval.count}" if approval.count > 1 else ""
        major = " of a major version" if approval.when is ApprovalWhen.MAJOR else ""
        yield f"approval{major} as {approval.role}{people}"
    if stage.checklist:
        yield f"checklist: {', '.join(stage.checklist)}"


def handed_over(rollout: ModelRollout) -> str:
    """The Deployment that is scaled to 0 once a version serves; empty where there is none."""
    ref = rollout.spec.workload_ref
    return ref.name if ref and ref.scale_down is ScaleDown.ONCE_SERVING else ""


def to_wire(rollout: ModelRollout, planned: list[Planned]) -> dict[str, Any]:
    """The plan for programs."""
    end = ends_at(planned)
    return {
        "name": rollout.metadata.get("name"),
        "stages": [one.to_wire() for one in planned],
        "promotedAt": end.isoformat() if end else None,
        "handedOver": handed_over(rollout) or None,
    }


def show(rollout: ModelRollout, planned: list[Planned], found: Referred | None, screen: Console) -> None:
    """The plan as a table, with the end below it; `found` is the Deployment to move in from, if it is there."""
    name, spec = rollout.metadata.get("name", "?"), rollout.spec
    screen.print(f"{name}: version {spec.model.version}, {spec.replicas} pods", markup=False)
    if moving := handed_over(rollout):
        pods = f", with {found.replicas} pods now," if found else ""
        screen.print(f"Deployment {moving}{pods} goes to 0 once the first version serves", markup=False)
    table = Table(box=None, pad_edge=False)
    for column in ("STAGE", "WEIGHT", "PODS", "BEGINS, AT THE EARLIEST", "HOLD"):
        table.add_column(column, no_wrap=True)
    table.add_column()
    for one in planned:
        share = f"{one.stage.weight} %" if one.weight == one.stage.weight else f"{one.weight:g} of {one.stage.weight} %"
        begins = one.begins.strftime("%a %Y-%m-%d %H:%M %Z") if one.begins else "-"
        table.add_row(one.stage.name, share, str(one.pods), begins, written(one.stage.hold), one.note)
    screen.print(table)
    end = ends_at(planned)
    if end:
        screen.print(f"promoted {end.strftime('%a %Y-%m-%d %H:%M %Z')} at the earliest", markup=False)


@click.command()
@click.option("-f", "--filename", "file", type=click.File(), required=True, help="File with ModelRollouts; - is stdin.")
@click.option(
    "--start",
    type=click.DateTime(["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"]),
    help="When the candidate is ready, in the time zone of this machine. [default: now]",
)
@output_option
def plan(file: TextIO, start: datetime | None, output: str) -> None:
    """Show the stages that a ModelRollout stands for, before anything moves.

    The times are the earliest possible: the candidate is ready at once, and every stage is left when its hold is over.
    What the API server would refuse has no plan: exit code 1, with what `lint` says of it.
    """
    begin = (start or datetime.now()).astimezone().replace(microsecond=0)
    documents = read_documents(file)
    rollouts = [accepted(written, file.name) for written in documents.rollouts]
    plans = [(rollout, plan_of(rollout.spec, begin)) for rollout in rollouts]
    if output != "table":
        print_data([to_wire(rollout, planned) for rollout, planned in plans], output)
        return
    for rollout, planned in plans:
        show(rollout, planned, referred(rollout, documents.deployments), console())
