"""`spec.strategy`: presets that expand into stages."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from modelrollout.api.base import ApiModel, listed_by, matches, rule, rules
from modelrollout.api.quantities import DURATION_PATTERN, DnsLabel, Duration, PositiveDuration, Weight
from modelrollout.api.traffic import MOST_COHORTS, Cohorts
from modelrollout.api.window import Window

BAKE = "bake"
"""Name of the stage that `spec.bake` adds behind those of the strategy."""


class OnDeadline(StrEnum):
    """What happens to a stage that is still undecided at its deadline."""

    HOLD = "Hold"
    REVERT = "Revert"
    ADVANCE = "Advance"


SloNames = Annotated[list[DnsLabel], Field(max_length=16, json_schema_extra={"x-kubernetes-list-type": "set"})]


class ApprovalWhen(StrEnum):
    """For which versions an approval is wanted."""

    ALWAYS = "Always"
    MAJOR = "Major"


class Approval(ApiModel):
    """People who have to say yes."""

    role: DnsLabel = Field(description="In which role, such as security. RBAC says who may: the verb approve:ROLE.")
    count: int = Field(description="How many different people.", ge=1, le=16, default=1)
    when: ApprovalWhen = Field(
        description="Always, or only when the first number of the version differs from that of the one that serves.",
        default=ApprovalWhen.ALWAYS,
    )


class Requirements(ApiModel):
    """What must be true to leave a stage, besides its hold."""

    approvals: list[Approval] = Field(
        description="People who have to say yes before the stage is left.",
        default_factory=list,
        max_length=8,
        json_schema_extra=listed_by("role"),
    )
    checklist: list[DnsLabel] = Field(
        description="What somebody has to sign off before the stage is left, such as runbook-reviewed.",
        default_factory=list,
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )

    slos: SloNames | None = Field(
        description="Names of the SLOs that must pass; all when left out, none when empty. A breach of any SLO takes "
        "the candidate back all the same.",
        default=None,
    )
    proof: bool = Field(
        description="Wait until the candidate is proven not to be twice as bad as stable in each of the SLOs that "
        "count and have a baseline. That takes requests: half an hour at 1% of 50 requests a second of which 1% are "
        "bad.",
        default=False,
    )


class Timed(ApiModel):
    """How long a stage lasts, and what must be true to leave it."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                f"!has(self.deadline) || !{matches('self.deadline', DURATION_PATTERN)} || "
                f"!{matches('self.hold', DURATION_PATTERN)} || duration(self.deadline) >= duration(self.hold)",
                "deadline must not be shorter than hold: lengthen deadline or shorten hold",
                ".deadline",
            ),
            rule(
                "has(self.deadline) || !has(self.onDeadline) || self.onDeadline == 'Hold'",
                "onDeadline needs a deadline: add one, or remove onDeadline",
                ".onDeadline",
            ),
        )
    )
    hold: Duration = Field(description="Least time to stay, counted from when the traffic has arrived.", default="5m")
    deadline: PositiveDuration | None = Field(
        description="Undecided after this long, onDeadline applies. Pauses do not count. Without it the stage holds.",
        default=None,
    )
    on_deadline: OnDeadline = Field(
        description="Hold waits on and says so, Revert takes the candidate back, Advance goes on as if all were well.",
        default=OnDeadline.HOLD,
    )
    window: Window | None = Field(
        description="Hours of the week in which the stage may begin; at any hour when left out.", default=None
    )
    require: Requirements | None = Field(description="What must be true to leave, besides the hold.", default=None)


class Step(Timed):
    """One stage of a preset."""

    weight: Weight = Field(description="Per cent of the requests that go to the candidate.")


class Ring(Timed):
    """Some of the requests under a name: a cohort known by its headers, a share of all others, or both."""

    name: DnsLabel = Field(description="Name of the ring; its stage has it too.")
    weight: int = Field(
        description="Per cent of the requests that go to the candidate; a ring with a match needs none.",
        ge=0,
        le=100,
        default=0,
    )
    match: Cohorts = Field(
        description="Requests that carry one of these headers all go to the candidate, in this ring and those behind "
        "it. Callers choose their headers, so the edge has to set or strip these. Needs traffic.gatewayAPI.",
        default_factory=list,
    )


class StageTraffic(ApiModel):
    """Where the requests go in a stage."""

    weight: int = Field(description="Per cent of the requests that go to the candidate.", ge=0, le=100)
    match: Cohorts = Field(
        description="Requests that carry one of these headers all go to the candidate, in this stage; one behind it "
        "names them again if they are to stay. Callers choose their headers, so the edge has to set or strip these. "
        "Needs traffic.gatewayAPI.",
        default_factory=list,
    )


class StageSpec(Timed):
    """A stage in full: where the traffic goes, for how long at least, and what must be true to leave."""

    name: DnsLabel = Field(description="Name of the stage.")
    traffic: StageTraffic = Field(description="Where the requests go.")


def _ascending(weight: str, one: str) -> dict[str, str]:
    return rule(
        f"self.map({one}, {weight}).isSorted()",
        f"weights must ascend from {one} to {one}, such as 5, 25, 100: put them in order",
    )


def _ends_at_100(weight: str, one: str) -> dict[str, str]:
    return rule(
        f"self.size() == 0 || self[self.size() - 1].{weight} == 100",
        f"the last {one} must have weight 100: add a {one} with weight 100",
    )


_STEP_RULES = rules(
    _ascending("step.weight", "step"),
    rule(
        "self.all(step, self.exists_one(other, other.weight == step.weight))",
        "each weight may occur once: remove the repeated step and lengthen the other one's hold",
    ),
    _ends_at_100("weight", "step"),
)
_NOT_BAKE = rule(
    f"self.all(one, one.name != '{BAKE}')",
    f"{BAKE} is the name of the stage that spec.bake adds: choose another one",
)
_RING_RULES = rules(
    _ascending("ring.weight", "ring"),
    _ends_at_100("weight", "ring"),
    rule(
        "self.all(ring, ring.weight > 0 || (has(ring.match) && ring.match.size() > 0))",
        "a ring lets nobody in: give it a weight, a match, or both",
    ),
    rule(
        f"self.map(ring, has(ring.match) ? ring.match.size() : 0).sum() <= {MOST_COHORTS}",
        f"all rings together may have {MOST_COHORTS} matches: give the callers of a ring one header in common",
    ),
    _NOT_BAKE,
)
_STAGE_RULES = rules(_ascending("stage.traffic.weight", "stage"), _ends_at_100("traffic.weight", "stage"), _NOT_BAKE)


def _steps(*weights: int, description: str) -> Any:
    """The field with the steps of a preset, which has these weights when it is left out."""
    return Field(
        description=description,
        default_factory=lambda: [Step(weight=weight) for weight in weights],
        min_length=1,
        max_length=32,
        json_schema_extra=_STEP_RULES,
    )


def _rings(**weights: int) -> list[Ring]:
    return [Ring(name=name, weight=weight) for name, weight in weights.items()]


class Canary(ApiModel):
    """A few requests first, then more, each step judged."""

    steps: list[Step] = _steps(
        1,
        5,
        10,
        25,
        50,
        100,
        description="Steps of ascending weight that end at 100; 1, 5, 10, 25, 50 and 100 when left out.",
    )


class BlueGreen(ApiModel):
    """The whole new version beside the old one, looked at without traffic, then switched to."""

    validation: Duration = Field(
        description="Least time that the new version is ready and warm at weight 0 before the first switch.",
        default="1m",
    )
    steps: list[Step] = _steps(
        10,
        50,
        100,
        description="Steps of ascending weight that end at 100; 10, 50 and 100 when left out, and a single step of 100 "
        "goes straight over.",
    )


class Percentage(ApiModel):
    """A quarter more at each step, or steps of one's own."""

    steps: list[Step] = _steps(
        25, 50, 75, 100, description="Steps of ascending weight that end at 100; 25, 50, 75 and 100 when left out."
    )


class Rings(ApiModel):
    """From those who can bear a fault to everybody, ring by ring."""

    rings: list[Ring] = Field(
        description="Rings of ascending weight that end at 100; internal with 1, beta with 10 and production with 100 "
        "when left out.",
        default_factory=lambda: _rings(internal=1, beta=10, production=100),
        min_length=1,
        max_length=32,
        json_schema_extra=listed_by("name") | _RING_RULES,
    )


_STRATEGIES = ("canary", "blueGreen", "percentage", "ring", "stages")
_NAMED = " + ".join(f"(has(self.{name}) ? 1 : 0)" for name in _STRATEGIES)


class Strategy(ApiModel):
    """How the candidate gets its traffic: a preset that expands into stages, or the stages themselves.

    Name one; without any it is `canary`. The presets have no defaults: one that the API server filled in would stand
    beside the one that the user names. None at all is refused, because the API server makes that of `blueGreen:` with
    nothing after it.
    """

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(f"{_NAMED} <= 1", f"name one strategy: keep one of {', '.join(_STRATEGIES)} and remove the others"),
            rule(
                f"{_NAMED} >= 1 || has(self.shadow) || has(self.abTest)",
                "name a strategy, such as blueGreen: {} for its defaults, or remove strategy for canary",
            ),
            rule("!has(self.shadow)", "shadow comes with a later release: name another strategy", ".shadow"),
            rule("!has(self.abTest)", "abTest comes with a later release: name another strategy", ".abTest"),
        )
    )
    canary: Canary | None = Field(description="A few requests first, then more, each step judged.", default=None)
    blue_green: BlueGreen | None = Field(
        description="The whole new version beside the old one, looked at without traffic, then switched to.",
        default=None,
    )
    percentage: Percentage | None = Field(
        description="A quarter more at each step, or steps of one's own.", default=None
    )
    ring: Rings | None = Field(description="From those who can bear a fault to everybody, ring by ring.", default=None)
    stages: list[StageSpec] | None = Field(
        description="The stages in full, in order of weights that do not descend and end at 100.",
        default=None,
        min_length=1,
        max_length=32,
        json_schema_extra=listed_by("name") | _STAGE_RULES,
    )
    shadow: dict[str, Any] | None = Field(description="Not available in this release.", default=None)
    ab_test: dict[str, Any] | None = Field(description="Not available in this release.", default=None)

    @property
    def names_cohorts(self) -> bool:
        """Whether any ring or stage lets requests in by their headers."""
        rings, stages = self.ring.rings if self.ring else [], self.stages or []
        return any(ring.match for ring in rings) or any(stage.traffic.match for stage in stages)


class Bake(ApiModel):
    """A last stage at 100 per cent, in which the version before can still take everything back at once."""

    duration: PositiveDuration = Field(description="Least time that the new version serves all requests on trial.")
    slos: SloNames | None = Field(
        description="Names of the SLOs that must pass at the end; all when left out, none when empty. A breach of any "
        "SLO takes the new version back all the same.",
        default=None,
    )
