"""The kind `ModelRollout`."""

from typing import Any, Literal

from pydantic import ConfigDict, Field

from modelrollout.api.base import ApiModel, matches, rule, rules
from modelrollout.api.spec import ModelRolloutSpec
from modelrollout.api.status import ModelRolloutStatus

LONGEST_NAME = 57
NAME_PATTERN = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"

_NAME_RULES = rules(
    rule(
        f"self.metadata.name.size() <= {LONGEST_NAME}",
        f"the name must have at most {LONGEST_NAME} characters: -blue and -green are added and a Service takes 63",
        ".metadata.name",
    ),
    rule(
        matches("self.metadata.name", NAME_PATTERN),
        "the name must start with a letter and hold only lower-case letters, digits and hyphens: Services take it",
        ".metadata.name",
    ),
    rule(
        f"!{matches('self.metadata.name', '-(blue|green)$')}",
        "the name must not end with -blue or -green: so are the Services of another ModelRollout's colours named",
        ".metadata.name",
    ),
    rule(
        "!has(self.spec.workloadRef) || "
        "!(self.spec.workloadRef.name in [self.metadata.name + '-blue', self.metadata.name + '-green'])",
        "workloadRef names a Deployment that the operator makes for this very ModelRollout: name the one that the "
        "model ran in before",
        ".spec.workloadRef.name",
    ),
)


class ModelRollout(ApiModel):
    """Declares which model version should serve; the operator gets there safely or puts things back."""

    model_config = ConfigDict(json_schema_extra=_NAME_RULES)

    api_version: Literal["modelrollout.io/v1alpha1"] = "modelrollout.io/v1alpha1"
    kind: Literal["ModelRollout"] = "ModelRollout"
    metadata: dict[str, Any] = Field(default_factory=dict)
    spec: ModelRolloutSpec = Field(
        description="Which model version should serve, how it gets there and what must hold on the way."
    )
    status: ModelRolloutStatus = Field(
        description="What happens to the rollout and why.", default_factory=ModelRolloutStatus
    )
