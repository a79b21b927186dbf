"""`spec.disruptionBudget`: how many pods of a version may be evicted at once."""

from typing import Annotated

from pydantic import ConfigDict, Field

from modelrollout.api.base import ApiModel, matches, rule, rules

_SHARE_OF_PODS = r"^(100|[1-9]?[0-9])%$"

_Pods = int | Annotated[str, Field(max_length=4)]
_AMOUNT = {"x-kubernetes-int-or-string": True, "maxLength": 4} | rules(
    rule(
        f"(type(self) == int && self >= 0) || (type(self) == string && {matches('self', _SHARE_OF_PODS)})",
        "must be a number of pods such as 1, or a share of them such as 25%, in quotes",
    )
)


class DisruptionBudget(ApiModel):
    """What evictions leave of each version, as when nodes are drained: the PodDisruptionBudgets NAME-blue, NAME-green.

    They are not made by default, because others may be there: a pod that two budgets select cannot be evicted at all.
    """

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.maxUnavailable) != has(self.minAvailable)",
                "name one of maxUnavailable and minAvailable: the other one follows from it",
            )
        )
    )
    max_unavailable: _Pods | None = Field(
        description="Pods of a version that may be missing after an eviction: a number, or a share of them such as "
        "25%, rounded up. It fits versions of any size.",
        default=None,
        json_schema_extra=_AMOUNT,
    )
    min_available: _Pods | None = Field(
        description="Pods of a version that must be left after an eviction: a number, or a share of them such as 75%, "
        "rounded up. A version that has no more pods than this is not evicted at all, a candidate in its first stages "
        "for one.",
        default=None,
        json_schema_extra=_AMOUNT,
    )
