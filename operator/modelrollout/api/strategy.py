"""`spec.strategy`: presets that expand into stages."""

from enum import StrEnum

from pydantic import ConfigDict, Field

from modelrollout.api.base import ApiModel, matches, rule, rules
from modelrollout.api.quantities import DURATION_PATTERN, Duration, PositiveDuration, Weight


class OnDeadline(StrEnum):
    """What happens to a stage that is still undecided at its deadline."""

    HOLD = "Hold"
    REVERT = "Revert"
    ADVANCE = "Advance"


class Step(ApiModel):
    """One stage of a preset."""

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
    weight: Weight = Field(description="Per cent of the requests that go to the candidate.")
    hold: Duration = Field(description="Least time to stay, counted from when the traffic has arrived.", default="5m")
    deadline: PositiveDuration | None = Field(
        description="Undecided after this long, onDeadline applies. Pauses do not count. Without it the stage holds.",
        default=None,
    )
    on_deadline: OnDeadline = Field(
        description="Hold waits on and says so, Revert takes the candidate back, Advance goes on as if all were well.",
        default=OnDeadline.HOLD,
    )


_STEP_RULES = rules(
    rule(
        "self.map(step, step.weight).isSorted()",
        "weights must ascend from step to step, such as 5, 25, 100: put the steps in order",
    ),
    rule(
        "self.all(step, self.exists_one(other, other.weight == step.weight))",
        "each weight may occur once: remove the repeated step and lengthen the other one's hold",
    ),
    rule(
        "self.size() == 0 || self[self.size() - 1].weight == 100",
        "the last step must have weight 100: add a step with weight 100",
    ),
)


def _steps(*weights: int) -> list[Step]:
    return [Step(weight=weight) for weight in weights]


class Canary(ApiModel):
    """A few requests first, then more, each step judged."""

    steps: list[Step] = Field(
        description="Steps of ascending weight that end at 100; 1, 5, 10, 25, 50 and 100 when left out.",
        default_factory=lambda: _steps(1, 5, 10, 25, 50, 100),
        min_length=1,
        max_length=32,
        json_schema_extra=_STEP_RULES,
    )


class BlueGreen(ApiModel):
    """The whole new version beside the old one, looked at without traffic, then switched to."""

    validation: Duration = Field(
        description="Least time that the new version is ready and warm at weight 0 before the first switch.",
        default="1m",
    )
    steps: list[Step] = Field(
        description="Steps of ascending weight that end at 100; 10, 50 and 100 when left out, and a single step of 100 "
        "goes straight over.",
        default_factory=lambda: _steps(10, 50, 100),
        min_length=1,
        max_length=32,
        json_schema_extra=_STEP_RULES,
    )


class Strategy(ApiModel):
    """How the candidate gets its traffic: a preset that expands into stages. Name one; without any it is `canary`.

    The presets have no defaults: one that the API server filled in would stand beside the one that the user names. None
    at all is refused, because the API server makes that of `blueGreen:` with nothing after it.
    """

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!(has(self.canary) && has(self.blueGreen))",
                "name one strategy: remove either canary or blueGreen",
            ),
            rule(
                "has(self.canary) || has(self.blueGreen)",
                "name a strategy, such as blueGreen: {} for its defaults, or remove strategy for canary",
            ),
        )
    )
    canary: Canary | None = Field(description="A few requests first, then more, each step judged.", default=None)
    blue_green: BlueGreen | None = Field(
        description="The whole new version beside the old one, looked at without traffic, then switched to.",
        default=None,
    )
