"""Whether the API server checks who asks for what, so that the author of a RolloutAction can be believed."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from modelrollout.api.objects import Live, Objects
from modelrollout.controller.kinds import POLICIES, POLICY_BINDINGS

POLICY = "rolloutactions.modelrollout.io"
"""Name of the ValidatingAdmissionPolicy and of its binding, as the chart installs them."""

TAKES_EFFECT = timedelta(seconds=10)
"""How long API servers may take to learn of a policy."""


def in_force_since(objects: Objects) -> datetime | None:
    """Since when every RolloutAction was checked when it was made; None when they are not checked now.

    Who may change admission policies may also make this one toothless, and is trusted not to.
    """
    policy, binding = (objects.get(kind.kind, "", POLICY) for kind in (POLICIES, POLICY_BINDINGS))
    if policy is None or binding is None or not _denies_everywhere(binding["spec"]):
        return None
    return max(_created(policy), _created(binding)) + TAKES_EFFECT


def _denies_everywhere(spec: Mapping[str, Any]) -> bool:
    return spec["policyName"] == POLICY and "Deny" in spec["validationActions"] and "matchResources" not in spec


def _created(live: Live) -> datetime:
    return datetime.fromisoformat(live["metadata"]["creationTimestamp"])
