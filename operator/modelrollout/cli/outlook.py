"""What can be read off a ModelRollout: where it is, what it waits for, what is wrong, what to do next. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto

from modelrollout.api.rollout import ModelRollout
from modelrollout.api.status import ColourStatus, Condition, ConditionStatus, Phase
from modelrollout.api.strategy import OnDeadline
from modelrollout.engine.capacity import is_reachable, skips_unreachable
from modelrollout.engine.conditions import PROGRESSING, READY, STALLED
from modelrollout.engine.gates import gated, wanted_approvals
from modelrollout.engine.move import paused_time
from modelrollout.engine.reasons import Reason
from modelrollout.engine.room import usable_room
from modelrollout.engine.stages import Stage, expand

COMMAND = "kubectl modelrollout"


class Mark(Enum):
    """How a stage stands."""

    DONE = auto()
    HERE = auto()
    FAILED = auto()
    AHEAD = auto()
    LEFT_OUT = auto()


@dataclass(frozen=True)
class Missing:
    """An approval or an item of a checklist that it still waits for."""

    what: str
    hint: str
    """The command that gives it."""


def is_observed(rollout: ModelRollout) -> bool:
    """Whether the status speaks of the newest spec."""
    return rollout.status.observed_generation >= int(rollout.metadata.get("generation", 0))


def condition(rollout: ModelRollout, kind: str) -> Condition | None:
    """The condition of that type."""
    return next((one for one in rollout.status.conditions if one.type == kind), None)


def is_true(rollout: ModelRollout, kind: str) -> bool:
    """Whether the condition of that type is there and true."""
    found = condition(rollout, kind)
    return found is not None and found.status is ConditionStatus.TRUE


def waits_for(rollout: ModelRollout) -> str:
    """What keeps it where it is, in a sentence; empty when nothing does."""
    if rollout.status.observed_generation < 0:
        return "no operator has looked at it yet"
    if not is_observed(rollout):
        return "the operator has not looked at the newest spec yet"
    stalled, progressing = condition(rollout, STALLED), condition(rollout, PROGRESSING)
    if stalled and stalled.status is ConditionStatus.TRUE:
        return stalled.message
    return progressing.message if progressing else ""


def marked_stages(rollout: ModelRollout) -> list[tuple[Stage, Mark]]:
    """The stages, and how far an attempt has come, or had come when it was taken back; empty when nothing is tried."""
    spec, status = rollout.spec, rollout.status
    tried = status.candidate or status.phase is Phase.REVERTED
    if not tried:
        return []
    stages = expand(spec)
    names = [stage.name for stage in stages]
    failed = status.last_revert if status.phase in (Phase.REVERTING, Phase.REVERTED) else None
    at_name = failed.stage if failed else (status.stage.name if status.stage else "")
    at = names.index(at_name) if at_name in names else -1
    here, room = Mark.FAILED if failed else Mark.HERE, usable_room(spec, status)

    def mark(index: int, stage: Stage) -> Mark:
        if not is_reachable(spec, stage.weight, room) and skips_unreachable(spec):
            return Mark.LEFT_OUT
        return Mark.DONE if index < at else here if index == at else Mark.AHEAD

    return [(stage, mark(index, stage)) for index, stage in enumerate(stages)]


def tightness(rollout: ModelRollout) -> str:
    """How it goes on where there is no room for two full copies; empty where there is."""
    capacity = rollout.status.capacity
    if capacity is None or capacity.room is None:
        return ""
    back = f"{capacity.revert_capacity} % of the pods are there to go back to at once"
    return f"{capacity.plan}, with room for {capacity.room} pods; {back} ({capacity.reason}: {capacity.message})"


def present_stage(rollout: ModelRollout) -> Stage | None:
    """The stage that it is in, as the spec has it."""
    at = rollout.status.stage
    return next((one for one in expand(rollout.spec) if at and one.name == at.name), None)


def hold(rollout: ModelRollout, now: datetime) -> tuple[timedelta, timedelta] | None:
    """How much of the present stage's hold is over, and the whole of it; None before its traffic has arrived."""
    stage, at = present_stage(rollout), rollout.status.stage
    if stage is None or at is None or at.reached_at is None or not stage.hold:
        return None
    return min(max(now - at.reached_at, timedelta()), stage.hold), stage.hold


def deadline(rollout: ModelRollout, now: datetime) -> tuple[OnDeadline, datetime] | None:
    """What happens if the present stage stays undecided, and when; None without a deadline."""
    stage, at = present_stage(rollout), rollout.status.stage
    if stage is None or at is None or at.reached_at is None or stage.deadline is None:
        return None
    return stage.on_deadline, at.reached_at + stage.deadline + paused_time(rollout.status, now)


def missing_consents(rollout: ModelRollout) -> Iterator[Missing]:
    """Approvals and checklist items that keep the next stage from being entered."""
    status = rollout.status
    goes_on = status.phase in (Phase.PREPARING, Phase.PROGRESSING)
    if status.stable and status.candidate and goes_on:
        for stage in gated(rollout.spec, status):
            yield from _missing_of(rollout, stage, status.candidate)


def _missing_of(rollout: ModelRollout, stage: Stage, candidate: ColourStatus) -> Iterator[Missing]:
    """What one stage waits for; a stage that it is not in has to be named to the commands."""
    status, name = rollout.status, rollout.metadata["name"]
    is_here = status.stage is not None and status.stage.name == stage.name
    of, where = ("", "") if is_here else (f" of {stage.name}", f" --stage {stage.name}")
    given = [one for one in status.consents if one.stage == stage.name]
    for approval in wanted_approvals(stage, status.stable, candidate):
        people = {one.by for one in given if one.role == approval.role}
        if len(people) < approval.count:
            so_far = f" (so far {', '.join(sorted(people))})" if people else ""
            what = f"approval{of} by {approval.role}: {len(people)} of {approval.count}{so_far}"
            yield Missing(what, f"{COMMAND} approve {name} --role {approval.role}{where}")
    signed = {one.item for one in given}
    for item in stage.checklist:
        if item not in signed:
            yield Missing(f"checklist{of}: {item}", f"{COMMAND} sign-off {name} --item {item}{where}")


def troubles(rollout: ModelRollout) -> list[Condition]:
    """Conditions that are not as they should be."""
    good_when_false = {STALLED: ConditionStatus.FALSE, PROGRESSING: None}
    return [
        one
        for one in rollout.status.conditions
        if (good := good_when_false.get(one.type, ConditionStatus.TRUE)) and one.status is not good
        if one.reason != Reason.WAITING_FOR_STABLE
    ]


def hints(rollout: ModelRollout) -> list[str]:
    """Commands that may be the next, the likeliest first."""
    status, name = rollout.status, rollout.metadata["name"]
    if status.killed:
        return [f"{COMMAND} lift {name}"]
    if status.phase is Phase.REVERTED:
        return [f"{COMMAND} report {name}", f"{COMMAND} retry {name}"]
    if status.phase in (Phase.PREPARING, Phase.PROGRESSING):
        on = [f"{COMMAND} resume {name}"] if status.held else [one.hint for one in missing_consents(rollout)]
        return [*on, f"{COMMAND} abort {name}"]
    if status.previous and status.phase is Phase.IDLE:
        return [f"{COMMAND} undo {name}"]
    return []


def is_ready(rollout: ModelRollout) -> bool:
    """Whether stable serves and nothing needs a person."""
    return is_observed(rollout) and is_true(rollout, READY)
