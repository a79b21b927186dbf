"""Pods that there is no room for: what quotas say through the Deployment, and what the scheduler says of each pod."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

from modelrollout.api.objects import Live
from modelrollout.engine.snapshot import Shortage, Workload

_OVER_QUOTA = "exceeded quota"
_NEEDS_ANOTHER_NODE = "Preemption is not helpful"
_NEEDS_ROOM = "No preemption victims"


def over_quota(conditions: list[dict[str, Any]]) -> Shortage | None:
    """What a quota says against more pods of a Deployment; a security policy, say, is no matter of room."""
    for one in conditions:
        message = one.get("message") or ""
        if one["type"] == "ReplicaFailure" and one["status"] == "True" and _OVER_QUOTA in message:
            since = datetime.fromisoformat(one["lastTransitionTime"])
            return Shortage(reason="QuotaExceeded", message=message, since=since)
    return None


def is_unschedulable(pod: Live) -> bool:
    """Whether the scheduler has found no node for a pod; one that is pending for other reasons has room."""
    return _scheduled(pod).get("reason") == "Unschedulable"


def with_unscheduled(workload: Workload, pods: Iterable[Live]) -> Workload:
    """A workload with what the scheduler says of those pods of it that are unschedulable."""
    said = [_scheduled(pod) for pod in pods]
    if not said:
        return workload
    longest = min(said, key=lambda one: datetime.fromisoformat(one["lastTransitionTime"]))
    words = longest.get("message", "")
    shortage = workload.shortage
    if shortage is None and _would_be_helped_by_room(words):
        since = datetime.fromisoformat(longest["lastTransitionTime"])
        shortage = Shortage(reason="Unschedulable", message=words, since=since)
    return replace(workload, unscheduled=len(said), shortage=shortage, message=workload.message or words)


def _scheduled(pod: Live) -> dict[str, Any]:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return next((one for one in conditions if one["type"] == "PodScheduled" and one["status"] == "False"), {})


def _would_be_helped_by_room(words: str) -> bool:
    """Whether a pod less on some node would do: not where every node is the wrong one, by its labels or its size."""
    return _NEEDS_ANOTHER_NODE not in words or _NEEDS_ROOM in words
