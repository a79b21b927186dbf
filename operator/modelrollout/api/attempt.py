"""What happens in an attempt: what people said, what was decided on what evidence, and how it ended.

The status keeps it as long as it is needed there; the RolloutReport of each attempt tells it.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from modelrollout.api.base import ApiModel, Text
from modelrollout.api.course import Course
from modelrollout.api.evidence import Comparison
from modelrollout.api.slo import Verdict

MOST_ACTIONS = 64
"""How many RolloutActions are remembered; more than that wait."""

MOST_CONSENTS = 128

MOST_ENTRIES = 64
"""How many entries the timeline of an attempt keeps; what is left out beyond that is counted."""

MOST_COURSES = 16
"""As many as there may be SLOs. With 60 points of 96 bytes each they take 110 kB at the very most, and usually 5."""


class Word(ApiModel):
    """What somebody said, and when."""

    by: Annotated[str, Field(max_length=253)] = Field(description="Who.")
    at: datetime = Field(description="When.")
    reason: Text = Field(description="Why.", default="")


class Consent(Word):
    """An approval in a role, or an item of a checklist that was signed off, for a stage of the present attempt."""

    stage: Annotated[str, Field(max_length=63)] = Field(description="The stage.")
    role: Annotated[str, Field(max_length=63)] = Field(description="The role, of an approval.", default="")
    item: Annotated[str, Field(max_length=63)] = Field(description="The item, of a checklist.", default="")


class ActionRecord(Word):
    """A RolloutAction that was applied or refused. It is not applied again as long as it stands here."""

    uid: Annotated[str, Field(max_length=63)] = Field(description="metadata.uid of the RolloutAction.")
    name: Annotated[str, Field(max_length=253)] = Field(description="Its name.")
    action: Annotated[str, Field(max_length=63)] = Field(description="What was asked for.")
    outcome: Annotated[str, Field(max_length=63)] = Field(description="Applied or Refused.")
    message: Text = Field(description="What it did, or why not.", default="")


class AttemptOutcome(StrEnum):
    """How an attempt ended, or has not yet."""

    IN_PROGRESS = "InProgress"
    PROMOTED = "Promoted"
    UNDONE = "Undone"
    REVERTED = "Reverted"
    ABORTED = "Aborted"
    SUPERSEDED = "Superseded"
    STOOD_IN = "StoodIn"
    DELETED = "Deleted"


class Evidence(ApiModel):
    """What one SLO said at the moment of a decision."""

    name: Annotated[str, Field(max_length=63)] = Field(description="Name of the SLO.")
    verdict: Verdict = Field(description="Pass, Breach or Inconclusive.")
    reason: Annotated[str, Field(max_length=63)] = Field(description="Why, in one word.")
    message: Annotated[str, Field(max_length=256)] = Field(description="Why, unless it passed.", default="")
    value: float | None = Field(description="The value judged.", default=None)
    limit: float | None = Field(description="The limit it was held against.", default=None)
    samples: int | None = Field(description="Requests counted in the window.", default=None)
    asked: Annotated[str, Field(max_length=256)] = Field(
        description="What was asked of Prometheus: a built-in metric by name, counters, or the query."
    )
    window: Annotated[str, Field(max_length=63)] = Field(description="How far back requests counted.")
    comparison: Comparison | None = Field(
        description="What the counts of the whole attempt were evidence of, beside stable's.", default=None
    )


class TimelineEntry(ApiModel):
    """Something that happened in an attempt."""

    at: datetime = Field(description="When it was decided.")
    reason: Annotated[str, Field(max_length=63)] = Field(description="What, in one word: the reason of the event.")
    message: Text = Field(description="What, in a sentence.")
    stage: Annotated[str, Field(max_length=63)] = Field(
        description="The stage that the rollout is in by then; empty outside of stages.", default=""
    )
    weight: int | None = Field(
        description="Per cent of the requests that the candidate is to get by then, in a stage or a step back.",
        ge=0,
        le=100,
        default=None,
    )
    left: Annotated[str, Field(max_length=63)] = Field(
        description="The stage that it left by this, upwards or back.", default=""
    )
    moved: bool = Field(description="Whether the rollout moved by this; else it is only a note.", default=False)
    evidence: list[Evidence] = Field(
        description="What each SLO said in the stage that was left, at that moment.",
        default_factory=list,
        max_length=16,
    )


class AttemptRecord(ApiModel):
    """What happened in an attempt; its RolloutReport is written from this."""

    attempt: int = Field(description="Number of the attempt.")
    version: Annotated[str, Field(max_length=63)] = Field(description="The version on trial.")
    from_version: Annotated[str, Field(max_length=63)] = Field(
        description="The version that served when it began; empty when none did.", default=""
    )
    started: datetime = Field(description="When it began.")
    ended: datetime | None = Field(description="When it ended.", default=None)
    outcome: AttemptOutcome = Field(description="How it ended, or InProgress.", default=AttemptOutcome.IN_PROGRESS)
    reason: Annotated[str, Field(max_length=63)] = Field(description="Why it ended so, in one word.", default="")
    message: Text = Field(description="Why it ended so, in a sentence.", default="")
    timeline: list[TimelineEntry] = Field(
        description="What happened, oldest first.", default_factory=list, max_length=MOST_ENTRIES
    )
    omitted: int = Field(description="How many entries were left out for want of room.", default=0)
    reported: int = Field(description="How many entries the report is known to have.", default=0)
    course: list[Course] = Field(
        description="How each SLO went, until the attempt is over and the report tells it.",
        default_factory=list,
        max_length=MOST_COURSES,
    )
    consents: list[Consent] = Field(
        description="Approvals and checklist items, once another attempt has begun.",
        default_factory=list,
        max_length=MOST_CONSENTS,
    )
    actions: list[ActionRecord] = Field(
        description="RolloutActions, once another attempt has begun.", default_factory=list, max_length=MOST_ACTIONS
    )

    @property
    def entries(self) -> int:
        """How many entries there have been, those left out among them: the record only grows."""
        return self.omitted + len(self.timeline)
