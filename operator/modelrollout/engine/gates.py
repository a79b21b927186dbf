"""Gates: who has to say yes, and what has to be signed off, before a stage is left."""

import re
from collections.abc import Sequence

from modelrollout.api.attempt import Consent
from modelrollout.api.spec import ModelRolloutSpec
from modelrollout.api.status import ColourStatus, ModelRolloutStatus
from modelrollout.api.strategy import Approval, ApprovalWhen
from modelrollout.engine.conditions import PROGRESSING
from modelrollout.engine.move import Move, Waiting, normal
from modelrollout.engine.reasons import Reason
from modelrollout.engine.room import usable_room
from modelrollout.engine.snapshot import Snapshot
from modelrollout.engine.stages import Stage, expand, next_stage

UNGUARDED = (
    "approvals do not count in this cluster: install the ValidatingAdmissionPolicy that looks at who may approve"
)


def gated(spec: ModelRolloutSpec, status: ModelRolloutStatus) -> Sequence[Stage]:
    """The stages that have to be agreed upon before the next one is entered: the present one, and those passed over.

    A stage that is out of reach, or that somebody who asks to promote wants to leave out, is agreed upon all the same.
    """
    here = status.stage.index if status.stage else -1
    following = None if status.promoting else next_stage(spec, here, usable_room(spec, status))
    return expand(spec)[max(here, 0) : following]


def gate(snapshot: Snapshot, candidate: ColourStatus) -> Waiting | None:
    """What is missing before the next stage may be entered; None when it may."""
    stages = gated(snapshot.spec, snapshot.status)
    missing = [text for stage in stages for text in _missing(snapshot, candidate, stage)]
    if not missing:
        return None
    message = "; ".join(missing)
    asks_people = any(wanted_approvals(stage, snapshot.status.stable, candidate) for stage in stages)
    if asks_people and snapshot.guarded_since is None:
        message = f"{message}; {UNGUARDED}"
    return Waiting(reason=Reason.AWAITING_APPROVAL, message=message, needs_person=True)


def stays_before(closed: Waiting, snapshot: Snapshot) -> Move:
    """The rollout stays where it is, and those who have to say yes hear of it once."""
    before = next((one.reason for one in snapshot.status.conditions if one.type == PROGRESSING), "")
    told = () if before == Reason.AWAITING_APPROVAL else (normal(Reason.AWAITING_APPROVAL, closed.message),)
    return Move(status=snapshot.status, waiting=closed, events=told)


def wanted_approvals(stage: Stage, stable: ColourStatus | None, candidate: ColourStatus) -> list[Approval]:
    """The approvals that a stage asks for, these versions being what they are."""
    is_major = _is_major_step(stable, candidate)
    return [one for one in stage.approvals if one.when is ApprovalWhen.ALWAYS or is_major]


def _missing(snapshot: Snapshot, candidate: ColourStatus, stage: Stage) -> list[str]:
    consents = [consent for consent in snapshot.status.consents if consent.stage == stage.name]
    approvals = [
        f"stage {stage.name} waits for approval by {approval.role} ({given} of {approval.count})"
        for approval in wanted_approvals(stage, snapshot.status.stable, candidate)
        if (given := _given(consents, approval)) < approval.count
    ]
    signed = {consent.item for consent in consents}
    items = [f"stage {stage.name} waits for {item} to be signed off" for item in stage.checklist if item not in signed]
    return approvals + items


def _given(consents: Sequence[Consent], approval: Approval) -> int:
    """How many different people have said yes in the role."""
    return len({consent.by for consent in consents if consent.role == approval.role})


def _is_major_step(stable: ColourStatus | None, candidate: ColourStatus) -> bool:
    """Whether the first numbers of the two versions differ; where one has none, nobody can say that it is not."""
    majors = [re.search(r"[0-9]+", part.version) for part in (stable, candidate) if part]
    numbers = [found[0] for found in majors if found]
    return len(numbers) < 2 or int(numbers[0]) != int(numbers[1])
