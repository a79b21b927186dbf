"""Gates: who has to say yes, and what has to be signed off, before a stage is left."""

import re
from collections.abc import Sequence

from modelrollout.api.attempt import Consent
from modelrollout.api.status import ColourStatus
from modelrollout.api.strategy import Approval, ApprovalWhen
from modelrollout.engine.move import Waiting
from modelrollout.engine.reasons import Reason
from modelrollout.engine.snapshot import Snapshot
from modelrollout.engine.stages import Stage

UNGUARDED = (
    "approvals do not count in this cluster: install the ValidatingAdmissionPolicy that looks at who may approve"
)


def gate(snapshot: Snapshot, candidate: ColourStatus, stages: Sequence[Stage]) -> Waiting | None:
    """What is missing before these stages may be left; None when they may."""
    missing = [text for stage in stages for text in _missing(snapshot, candidate, stage)]
    if not missing:
        return None
    message = "; ".join(missing)
    asks_people = any(wanted_approvals(stage, snapshot.status.stable, candidate) for stage in stages)
    if asks_people and snapshot.guarded_since is None:
        message = f"{message}; {UNGUARDED}"
    return Waiting(reason=Reason.AWAITING_APPROVAL, message=message, needs_person=True)


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
