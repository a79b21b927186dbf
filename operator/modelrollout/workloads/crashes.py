"""Containers that end although they should run: what their pods tell of it."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from modelrollout.api.labels import COLOUR, attempt_of
from modelrollout.api.objects import Live
from modelrollout.api.status import Colour
from modelrollout.engine.snapshot import Crash

Container = tuple[str, str]
"""The uid of a pod, and the name of the container."""


def restarts_when_ready(pod: Live) -> Iterator[tuple[Container, int]]:
    """The containers of a pod that are ready now, and how often each was started again until now."""
    for one in _containers(pod):
        if one.get("ready"):
            yield (pod["metadata"]["uid"], one["name"]), one.get("restartCount", 0)


def crashes(pod: Live, ready_at: Mapping[Container, int]) -> list[Crash]:
    """The containers of a pod that have ended at least once; `ready_at` has the restarts at which each was first ready.

    A pod that somebody else ends, as by scaling, is not to blame for how its containers end.
    """
    metadata, was_ready = pod["metadata"], _was_ready(pod)
    if "deletionTimestamp" in metadata:
        return []
    found = []
    for one in filter(_has_ended, _containers(pod)):
        end, restarts = _last_end(one), one.get("restartCount", 0)
        first = ready_at.get((metadata["uid"], one["name"]))
        crash = Crash(
            colour=Colour(metadata["labels"][COLOUR]),
            attempt=attempt_of(pod),
            pod=metadata["name"],
            container=one["name"],
            restarts=restarts,
            restarts_since_ready=0 if first is None else restarts - first,
            was_ready=was_ready or first is not None,
            looping=_is_looping(one),
            reason=end.get("reason") or "",
            exit_code=end.get("exitCode"),
            ended_at=datetime.fromisoformat(end["finishedAt"]) if end.get("finishedAt") else None,
        )
        found.append(crash)
    return found


def _containers(pod: Live) -> list[dict[str, Any]]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _has_ended(container: dict[str, Any]) -> bool:
    """Whether it ended otherwise than init containers do when their work is done."""
    ended = (container.get("state") or {}).get("terminated")
    return bool(container.get("restartCount") or _is_looping(container) or (ended and ended.get("exitCode")))


def _is_looping(container: dict[str, Any]) -> bool:
    waiting = (container.get("state") or {}).get("waiting") or {}
    return waiting.get("reason") == "CrashLoopBackOff"


def _last_end(container: dict[str, Any]) -> dict[str, Any]:
    """How it ended last: just now, or before it was started again."""
    states = (container.get("state") or {}, container.get("lastState") or {})
    return next((state["terminated"] for state in states if state.get("terminated")), {})


def _was_ready(pod: Live) -> bool:
    """Whether a pod is ready, or was: then its being unready began later than its being initialized."""
    conditions = {one["type"]: one for one in (pod.get("status") or {}).get("conditions") or []}
    ready, initialized = conditions.get("Ready", {}), conditions.get("Initialized", {})
    if ready.get("status") == "True":
        return True
    changed, begun = ready.get("lastTransitionTime"), initialized.get("lastTransitionTime")
    return bool(changed and begun) and datetime.fromisoformat(changed) > datetime.fromisoformat(begun)
