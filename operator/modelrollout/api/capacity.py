"""`spec.capacity`: how many pods a candidate has, and what happens when there is no room for them."""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from modelrollout.api.base import ApiModel, rule, rules, worded
from modelrollout.api.quantities import SHARE_PATTERN


class CandidateSize(StrEnum):
    """How many pods the candidate has in a stage."""

    FULL = "Full"
    PROPORTIONAL = "Proportional"
    FIXED = "Fixed"


class NoRoom(StrEnum):
    """What happens when a quota or the nodes have no room for the candidate's pods beside stable's."""

    SHRINK_STABLE = "ShrinkStable"
    WAIT = "Wait"
    RECREATE = "Recreate"


class Capacity(ApiModel):
    """How many pods the candidate has before it serves everything, and what happens when there is no room for them."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.headroom) || self.candidate == 'Proportional'",
                "headroom goes with candidate: Proportional only: set that, or remove headroom",
                ".headroom",
            ),
            rule(
                "!has(self.pods) || self.candidate == 'Fixed'",
                "pods goes with candidate: Fixed only: set that, or remove pods",
                ".pods",
            ),
            rule(
                "!has(self.candidate) || self.candidate != 'Fixed' || has(self.pods)",
                "Fixed needs a number of pods: set capacity.pods, or candidate to Full or Proportional",
                ".candidate",
            ),
        )
    )
    candidate: CandidateSize = Field(
        description="Full gives it as many pods as stable from the first stage on. Proportional gives it the share of "
        "them that its requests are, and headroom on top, which saves accelerators; where a match lets whole groups of "
        "callers in it is Full as well. Fixed gives it capacity.pods in every stage below 100 per cent.",
        default=CandidateSize.FULL,
    )
    headroom: Annotated[str, worded(SHARE_PATTERN, "must be a share under 100% such as 25%", max_length=32)] | None = (
        Field(description="Pods on top of the share of the requests, rounded up; 25% when left out.", default=None)
    )
    pods: int | None = Field(
        description="Pods of a Fixed candidate in stages below 100 per cent; never more than spec.replicas.",
        default=None,
        ge=1,
        le=10_000,
    )
    no_room: NoRoom = Field(
        description="What happens when a quota or the nodes have no room for the candidate's pods, and have had none "
        "for a minute. ShrinkStable: stable gives a pod up for each candidate pod that is ready and has the requests "
        "for it, so that there are never fewer ready pods than spec.replicas; it takes room for one pod more than "
        "these. Wait: stable keeps all of its pods, and a candidate that has not got its own at the progress deadline "
        "is taken back; right where a cluster autoscaler adds nodes. Recreate: as ShrinkStable, and where not even one "
        "pod more fits, stable gives one up ahead of the candidate's: for a while there is one pod less than "
        "spec.replicas, which with one replica is an interruption until the candidate is ready.",
        default=NoRoom.SHRINK_STABLE,
    )
