"""`ModelRollout.status`: what the operator writes, and all that it remembers between two decisions."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from modelrollout.api.attempt import MOST_ACTIONS, MOST_CONSENTS, ActionRecord, AttemptRecord, Consent, Word
from modelrollout.api.base import ApiModel, Text, listed_by
from modelrollout.api.evidence import Comparison, SloEvidence
from modelrollout.api.slo import Verdict
from modelrollout.api.traffic import MOST_COHORTS, HeaderMatch

MOST_REACHABLE_WEIGHTS = 128
"""How many of the weights that the replicas router can reach are listed."""

MOST_EXCLUDED = 16
MOST_HISTORY = 100
"""The largest revisionHistoryLimit."""

MOST_RECORDS = 16
"""How many attempts are remembered: the newest, and those before it whose reports are not written yet.

Those before it have no more than MOST_ENTRIES entries together, and one of them its course: where reports are refused
for long, the oldest go.
"""


class Colour(StrEnum):
    """The two places a version can run in; promotion makes the other one stable."""

    BLUE = "blue"
    GREEN = "green"

    @property
    def other(self) -> "Colour":
        return Colour.GREEN if self is Colour.BLUE else Colour.BLUE


class Phase(StrEnum):
    """Where a rollout is. Pausing, holding and being stuck are reasons in conditions, not phases."""

    IDLE = "Idle"
    PREPARING = "Preparing"
    PROGRESSING = "Progressing"
    REVERTING = "Reverting"
    REVERTED = "Reverted"


class HistoryOutcome(StrEnum):
    """What became of an attempt that can be gone back to."""

    ON_TRIAL = "OnTrial"
    PROMOTED = "Promoted"
    REVERTED = "Reverted"
    UNKNOWN = "Unknown"


class ConditionStatus(StrEnum):
    """The three values of a condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(ApiModel):
    """One aspect of the rollout, in the form of metav1.Condition."""

    type: Annotated[str, Field(max_length=316)] = Field(description="What the condition is about.")
    status: ConditionStatus = Field(description="True, False or Unknown.")
    reason: Annotated[str, Field(max_length=1024)] = Field(description="Why, in one word for programs.")
    message: Annotated[str, Field(max_length=4096)] = Field(description="Why, in a sentence for people.", default="")
    last_transition_time: datetime = Field(description="When status last changed.")
    observed_generation: int = Field(description="The generation of the spec that this is about.", default=0)


class ColourStatus(ApiModel):
    """A version and the colour it runs in."""

    colour: Colour = Field(description="The colour: NAME-blue or NAME-green.")
    version: Annotated[str, Field(max_length=63)] = Field(description="spec.model.version of this colour.")
    revision: Annotated[str, Field(max_length=63)] = Field(description="Hash of the model and the pod template.")
    attempt: int = Field(description="The attempt that brought it.")
    since: datetime = Field(description="When it came into this role.")
    warm: bool = Field(description="Ready, and warmed up where spec.warmUp asks for it.", default=False)
    load_seconds: float | None = Field(description="From the start of the attempt to ready and warm.", default=None)


class StageStatus(ApiModel):
    """The stage that the rollout is in."""

    index: int = Field(description="Position in the list of stages, from 0.", ge=0)
    count: int = Field(description="Number of stages.", ge=1)
    name: Annotated[str, Field(max_length=63)] = Field(description="Name of the stage, such as canary-5.")
    weight: int = Field(description="Declared weight of the candidate.", ge=0, le=100)
    match: list[HeaderMatch] = Field(
        description="Whose requests all go to the candidate.", default_factory=list, max_length=MOST_COHORTS
    )
    entered_at: datetime = Field(description="When the stage was decided on.")
    reached_at: datetime | None = Field(
        description="When its traffic arrived; the hold and the deadline count from here.", default=None
    )
    advanced: bool = Field(
        description="Somebody asked to leave it: its hold and SLOs that are not decided do not count.",
        default=False,
    )

    @property
    def has_requests(self) -> bool:
        """Whether the candidate gets any in it."""
        return self.weight > 0 or bool(self.match)


class CapacityPlan(StrEnum):
    """How the candidate gets its pods."""

    SURGE = "Surge"
    SHRINK_STABLE = "ShrinkStable"
    RECREATE = "Recreate"


class CapacityStatus(ApiModel):
    """How the candidate gets its pods, and how much of the requests could be taken back at once."""

    plan: CapacityPlan = Field(
        description="Surge: beside all pods of stable. ShrinkStable: stable gives pods up as the candidate's get ready "
        "and take requests over. Recreate: stable gives one up ahead of them. It stays until the attempt, and the "
        "version before, are gone.",
        default=CapacityPlan.SURGE,
    )
    reason: Annotated[str, Field(max_length=63)] = Field(
        description="Why it is not Surge: QuotaExceeded or Unschedulable.", default=""
    )
    message: Text = Field(description="What the quota or the scheduler said.", default="")
    room: int | None = Field(
        description="Pods of both colours that are known to fit; left out while no limit is known.", default=None
    )
    pods: int | None = Field(
        description="Pods that the candidate is given at this step; left out under Surge.", default=None
    )
    since: datetime | None = Field(
        description="When the step began; the progress deadline counts from here.", default=None
    )
    emptied_at: datetime | None = Field(
        description="Since when stable gets no requests; its last pod stays until it has finished its answers.",
        default=None,
    )
    revert_capacity: int = Field(
        description="Per cent of spec.replicas with which stable (after a promotion: the version before) could take "
        "all requests back at once. The rest follows as its pods get ready.",
        ge=0,
        le=100,
        default=0,
    )


class WeightsStatus(ApiModel):
    """Per cent of the requests that go to the candidate."""

    declared: int = Field(description="What the stage declares.", ge=0, le=100, default=0)
    reachable: float = Field(description="What the router can do of it, never more.", ge=0, le=100, default=0)
    observed: float = Field(description="What the route or the ready pods say now.", ge=0, le=100, default=0)


class SloStatus(ApiModel):
    """What one SLO said last in this stage."""

    name: Annotated[str, Field(max_length=63)] = Field(description="Name of the SLO.")
    verdict: Verdict = Field(description="Pass, Breach or Inconclusive.")
    reason: Annotated[str, Field(max_length=63)] = Field(
        description="Why: WithinLimit, AboveLimit, NoTraffic, TooFewSamples, TargetDown, StaleScrape, QueryError, …"
    )
    message: Text = Field(description="Why, in a sentence.", default="")
    value: float | None = Field(description="The value judged.", default=None)
    limit: float | None = Field(description="The limit it was held against.", default=None)
    samples: int | None = Field(description="Requests counted in the window.", default=None)
    comparison: Comparison | None = Field(
        description="What the counts of the whole attempt are evidence of, beside stable's.", default=None
    )
    breaches: int = Field(description="Breaches in a row.", default=0)
    total_breaches: int = Field(description="Breaches in this stage, in a row or not.", default=0)
    breached_since: datetime | None = Field(description="When the first of them was seen.", default=None)
    at: datetime = Field(description="Time of the newest sample behind it, or of the look when there was none.")


class RevertStatus(ApiModel):
    """Why and when a candidate was last taken back."""

    version: Annotated[str, Field(max_length=63)] = Field(description="The version taken back.")
    attempt: int = Field(description="Its attempt.")
    fingerprint: Annotated[str, Field(max_length=63)] = Field(
        description="Hash of the spec that failed; it is not tried again until the spec changes. Empty when it may be."
    )
    times: int = Field(description="How often in a row this spec has been taken back.", default=1)
    stage: Annotated[str, Field(max_length=63)] = Field(description="The stage it had reached.", default="")
    reason: Annotated[str, Field(max_length=63)] = Field(description="Why, in one word.")
    message: Text = Field(description="Why, with the evidence.")
    at: datetime = Field(description="When it was decided.")


class WayBackStatus(ApiModel):
    """A step of a gradual way back."""

    weight: int = Field(description="Per cent of the requests that the candidate keeps at this step.", ge=0, le=100)
    entered_at: datetime = Field(description="When the step was decided on.")
    reached_at: datetime | None = Field(
        description="When the route showed it; rollback.hold counts from here.", default=None
    )


class Pinned(Word):
    """An attempt of history that somebody went back to, and why."""

    attempt: int = Field(description="The attempt.")
    version: Annotated[str, Field(max_length=63)] = Field(description="Its version.")
    revision: Annotated[str, Field(max_length=63)] = Field(description="Hash of its model and pod template.")
    fingerprint: Annotated[str, Field(max_length=63)] = Field(
        description="Hash of the spec as it was then; with another one the spec says again what is wanted."
    )


class WorkloadStatus(ApiModel):
    """The Deployment of spec.workloadRef, once it was scaled to 0."""

    name: Annotated[str, Field(max_length=253)] = Field(description="Its name.")
    uid: Annotated[str, Field(max_length=63)] = Field(
        description="Its metadata.uid; one of the same name that is made anew is another one."
    )
    handed_over_at: datetime = Field(description="When it was seen at 0; it is never scaled again after that.")


class HistoryEntry(ApiModel):
    """An attempt whose model and pod template are kept, as the ControllerRevision NAME-ATTEMPT."""

    attempt: int = Field(description="Its number.")
    version: Annotated[str, Field(max_length=63)] = Field(description="The version that it brought.")
    revision: Annotated[str, Field(max_length=63)] = Field(description="Hash of the model and the pod template.")
    outcome: HistoryOutcome = Field(
        description="OnTrial, Promoted, or Reverted; Unknown once a status was lost.", default=HistoryOutcome.UNKNOWN
    )
    reason: Annotated[str, Field(max_length=63)] = Field(description="Why it was taken back, in one word.", default="")
    promoted_at: datetime | None = Field(description="When it began to serve, the last time.", default=None)


class ModelRolloutStatus(ApiModel):
    """What happens to the rollout and why."""

    observed_generation: int = Field(description="The generation of the spec that was last acted on.", default=-1)
    phase: Phase = Field(description="Where the rollout is.", default=Phase.IDLE)
    attempt: int = Field(description="Number of the newest attempt.", default=0)
    stage: StageStatus | None = Field(description="The stage it is in.", default=None)
    paused_at: datetime | None = Field(description="Since when it is paused.", default=None)
    paused_seconds: float = Field(
        description="Time spent paused in this stage (or while preparing) before; deadlines leave it out.", default=0
    )
    left_at: datetime | None = Field(
        description="When the candidate was given its last requests; its pods finish their answers first.", default=None
    )
    pods_missing_since: datetime | None = Field(
        description="Since when the candidate, once it was up, lacks ready pods before its first stage.", default=None
    )
    weights: WeightsStatus = Field(description="The candidate's share.", default_factory=WeightsStatus)
    capacity: CapacityStatus | None = Field(
        description="How the candidate gets its pods, and what the version that may have to take over has; left out "
        "while there is nothing to go back from.",
        default=None,
    )
    stable: ColourStatus | None = Field(description="The version that serves.", default=None)
    candidate: ColourStatus | None = Field(description="The version on trial.", default=None)
    previous: ColourStatus | None = Field(
        description="The version that served before, kept warm for rollback.keepWarm.", default=None
    )
    version: Annotated[str, Field(max_length=63)] = Field(
        description="The version on trial, or else the one that serves.", default=""
    )
    verdict: Annotated[str, Field(max_length=63)] = Field(
        description="The gravest verdict of the SLOs, for the printer column.", default=""
    )
    slos: list[SloStatus] = Field(
        description="What each SLO said last in this stage.",
        default_factory=list,
        max_length=16,
        json_schema_extra=listed_by("name"),
    )
    evidence: list[SloEvidence] = Field(
        description="Where the sequential tests of each SLO stand in this attempt, for an operator that starts anew.",
        default_factory=list,
        max_length=16,
        json_schema_extra=listed_by("name"),
    )
    last_revert: RevertStatus | None = Field(description="Why a candidate was last taken back.", default=None)
    history: list[HistoryEntry] = Field(
        description="The attempts that can be gone back to, the newest first: those in use and as many others as "
        "spec.revisionHistoryLimit says.",
        default_factory=list,
        max_length=MOST_HISTORY + 4,
        json_schema_extra=listed_by("attempt"),
    )
    way_back: WayBackStatus | None = Field(description="The step of a gradual way back.", default=None)
    pinned: Pinned | None = Field(
        description="The version that is wanted whatever the spec says, until the spec changes in more than replicas, "
        "paused, revisionHistoryLimit, deletionPolicy, disruptionBudget, service.longestAnswer or model.metadata.",
        default=None,
    )
    workload: WorkloadStatus | None = Field(
        description="The Deployment of spec.workloadRef, once it was scaled to 0.", default=None
    )
    promoting: bool = Field(
        description="Somebody asked for the candidate to serve: its stages are passed over.", default=False
    )
    held: Word | None = Field(description="Who asked for a pause, until somebody asks to resume.", default=None)
    killed: Word | None = Field(
        description="Who pulled the kill switch: no new version is tried until it is lifted.", default=None
    )
    consents: list[Consent] = Field(
        description="Approvals and checklist items of the present attempt.",
        default_factory=list,
        max_length=MOST_CONSENTS,
    )
    excluded: list[HeaderMatch] = Field(
        description="Whose requests stay on stable, whatever the stage; what is promoted is stable, for them too.",
        default_factory=list,
        max_length=MOST_EXCLUDED,
    )
    actions: list[ActionRecord] = Field(
        description="The newest RolloutActions, applied or refused.",
        default_factory=list,
        max_length=MOST_ACTIONS,
        json_schema_extra=listed_by("uid"),
    )
    records: list[AttemptRecord] = Field(
        description="What happened in the newest attempt, and in those before it whose RolloutReports are not written "
        "yet, oldest first.",
        default_factory=list,
        max_length=MOST_RECORDS,
    )
    reachable_weights: list[float] = Field(
        description="The smallest weights that the replicas router can reach with this number of replicas, and 100.",
        default_factory=list,
        max_length=MOST_REACHABLE_WEIGHTS,
    )
    replicas: int = Field(description="Pods of the serving version; for the scale subresource.", default=0)
    ready_replicas: int = Field(description="Ready pods of the serving version.", default=0)
    selector: Annotated[str, Field(max_length=512)] = Field(
        description="Label selector of the serving version's pods, for the HPA; of both versions' while stable gives "
        "pods up for the candidate's.",
        default="",
    )
    conditions: list[Condition] = Field(
        description="Ready, Progressing, Stalled, RouteReady, MetricsReady, HandedOver.",
        default_factory=list,
        max_length=16,
        json_schema_extra=listed_by("type"),
    )
