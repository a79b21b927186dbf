"""The kind `RolloutAction`: something that a person, or a machine, asked for."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from modelrollout.api.base import ApiModel, Text, rule, rules
from modelrollout.api.quantities import DnsLabel
from modelrollout.api.spec import RevertMode
from modelrollout.api.traffic import HeaderMatch

Name = Annotated[str, Field(max_length=253)]


class ActionKind(StrEnum):
    """What can be asked for."""

    APPROVE = "Approve"
    SIGN_OFF = "SignOff"
    PAUSE = "Pause"
    RESUME = "Resume"
    ADVANCE = "Advance"
    PROMOTE = "Promote"
    REVERT = "Revert"
    ABORT = "Abort"
    RETRY = "Retry"
    KILL = "Kill"
    LIFT = "Lift"
    EXCLUDE = "Exclude"
    INCLUDE = "Include"


class ActionOutcome(StrEnum):
    """What became of an action."""

    APPLIED = "Applied"
    REFUSED = "Refused"


def _needs(field: str, *kinds: ActionKind) -> dict[str, str]:
    named = " or ".join(kinds)
    asked = " || ".join(f"self.action == '{kind}'" for kind in kinds)
    return rule(f"!({asked}) || has(self.{field})", f"{named} needs {field}: name it", f".{field}")


def _only_for(field: str, *kinds: ActionKind) -> dict[str, str]:
    named = " or ".join(kinds)
    asked = " || ".join(f"self.action == '{kind}'" for kind in kinds)
    return rule(f"!has(self.{field}) || {asked}", f"{field} goes with {named} only: remove it", f".{field}")


_APPROVE, _SIGN_OFF, _ADVANCE = ActionKind.APPROVE, ActionKind.SIGN_OFF, ActionKind.ADVANCE
_COHORT = (ActionKind.EXCLUDE, ActionKind.INCLUDE)
_BACK = (ActionKind.REVERT, ActionKind.ABORT)


class RolloutActionSpec(ApiModel):
    """What is asked for, of which attempt, and by whom. It can never be changed; ask again instead."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("self == oldSelf", "an action cannot be changed: delete it, or ask again with another one"),
            _needs("stage", _APPROVE, _SIGN_OFF, _ADVANCE),
            _only_for("stage", _APPROVE, _SIGN_OFF, _ADVANCE),
            _needs("role", _APPROVE),
            _only_for("role", _APPROVE),
            _needs("item", _SIGN_OFF),
            _only_for("item", _SIGN_OFF),
            _needs("cohort", *_COHORT),
            _only_for("cohort", *_COHORT),
            _only_for("to", ActionKind.REVERT),
            _only_for("mode", *_BACK),
        )
    )
    rollout: DnsLabel = Field(description="Name of the ModelRollout, in the same namespace.")
    attempt: int = Field(
        description="status.attempt of the ModelRollout when this was asked for; the action is refused once there is "
        "another one.",
        ge=0,
    )
    action: ActionKind = Field(description="What to do.")
    stage: DnsLabel | None = Field(description="The stage to approve, to sign off for, or to leave.", default=None)
    role: DnsLabel | None = Field(description="In which role it is approved, such as security.", default=None)
    item: DnsLabel | None = Field(description="The item of the checklist that is signed off.", default=None)
    to: Annotated[str, Field(max_length=63)] | None = Field(
        description="The version to go back to; the one before when left out.", default=None
    )
    mode: RevertMode | None = Field(description="How to go back; as spec.rollback.mode says by default.", default=None)
    cohort: HeaderMatch | None = Field(
        description="Whose requests are to stay on stable, whatever the stage, or are to be split again.", default=None
    )
    reason: Text = Field(description="Why, for the record.", default="")
    by: Annotated[str, Field(min_length=1, max_length=253)] = Field(description="The user who asks.")


class RolloutActionStatus(ApiModel):
    """What became of it."""

    outcome: ActionOutcome | None = Field(description="Applied or Refused; nothing as long as it waits.", default=None)
    message: Text = Field(description="What it did, or why not.", default="")
    at: datetime | None = Field(description="When it was applied or refused.", default=None)


class RolloutAction(ApiModel):
    """Something that a person or a machine asked for, applied exactly once to the attempt that it was asked of."""

    api_version: Literal["modelrollout.io/v1alpha1"] = "modelrollout.io/v1alpha1"
    kind: Literal["RolloutAction"] = "RolloutAction"
    metadata: dict[str, Any] = Field(default_factory=dict)
    spec: RolloutActionSpec = Field(description="What is asked for, of which attempt, and by whom.")
    status: RolloutActionStatus = Field(
        description="What became of it.",
        default_factory=RolloutActionStatus,
    )
