"""The kind `RolloutReport`: what happened in one attempt, with the evidence."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from modelrollout.api.attempt import (
    MOST_ACTIONS,
    MOST_CONSENTS,
    MOST_COURSES,
    MOST_ENTRIES,
    ActionRecord,
    AttemptOutcome,
    Consent,
    TimelineEntry,
)
from modelrollout.api.base import ApiModel, Text
from modelrollout.api.course import Course


class RolloutReportSpec(ApiModel):
    """What the report is about."""

    rollout: Annotated[str, Field(max_length=63)] = Field(description="Name of the ModelRollout.")
    uid: Annotated[str, Field(max_length=63)] = Field(
        description="Its metadata.uid, which tells it from others that had its name before or after."
    )
    attempt: int = Field(description="Number of the attempt.")
    version: Annotated[str, Field(max_length=63)] = Field(description="The version on trial.")
    from_version: Annotated[str, Field(max_length=63)] = Field(
        description="The version that served when it began; empty when none did.", default=""
    )


class RolloutReportStatus(ApiModel):
    """What happened, so far or in all."""

    outcome: AttemptOutcome = Field(
        description="How it ended. InProgress: it has not. Promoted: the version serves. Undone: it did, and the "
        "version before was put back while it was still warm. Reverted: an SLO, an alert, a deadline or missing pods "
        "took it back. Aborted: somebody did. Superseded: another version was asked for. StoodIn: it serves, unproven, "
        "because no pod of the stable version answered. Deleted: the ModelRollout was."
    )
    reason: Annotated[str, Field(max_length=63)] = Field(description="Why it ended so, in one word.", default="")
    message: Text = Field(description="Why it ended so, in a sentence.", default="")
    started: datetime = Field(description="When it began.")
    ended: datetime | None = Field(description="When it ended.", default=None)
    duration: Annotated[str, Field(max_length=63)] = Field(
        description="How long it took, once it has ended.", default=""
    )
    timeline: list[TimelineEntry] = Field(
        description="What happened, oldest first.", default_factory=list, max_length=MOST_ENTRIES
    )
    omitted: int = Field(description="How many entries of the timeline were left out for want of room.", default=0)
    course: list[Course] = Field(
        description="How each SLO went, in numbers, until the last entry of the timeline.",
        default_factory=list,
        max_length=MOST_COURSES,
    )
    consents: list[Consent] = Field(
        description="Approvals, and items of checklists that were signed off.",
        default_factory=list,
        max_length=MOST_CONSENTS,
    )
    actions: list[ActionRecord] = Field(
        description="RolloutActions of this attempt, applied or refused.",
        default_factory=list,
        max_length=MOST_ACTIONS,
    )


class RolloutReport(ApiModel):
    """What happened in one attempt of a ModelRollout, with the evidence. Written by the operator only."""

    api_version: Literal["modelrollout.io/v1alpha1"] = "modelrollout.io/v1alpha1"
    kind: Literal["RolloutReport"] = "RolloutReport"
    metadata: dict[str, Any] = Field(default_factory=dict)
    spec: RolloutReportSpec = Field(description="What the report is about.")
    status: RolloutReportStatus = Field(description="What happened, so far or in all.")


def report_name(rollout: str, attempt: int) -> str:
    """Name of the RolloutReport of an attempt."""
    return f"{rollout}-{attempt}"
