"""Handing over: the workload that the template was taken from goes to 0, once, when the rollout serves in its place.

That it was done is noted on the workload by the very write that does it, and read from there: so it is done once,
whatever crashes, and not again when somebody scales it up. The status and the report follow what was seen.
"""

from collections.abc import Iterable
from datetime import datetime

from modelrollout.api.status import ConditionStatus, ModelRolloutStatus, WorkloadStatus
from modelrollout.api.workload_ref import ScaleDown
from modelrollout.engine.effects import Effect, Emit, HandOver, fence
from modelrollout.engine.move import Move, evolve, gets_requests, is_ready, normal, stamp, warning
from modelrollout.engine.reasons import Reason
from modelrollout.engine.snapshot import Origin, Snapshot

Said = tuple[ConditionStatus, Reason, str]
"""What the condition HandedOver says."""


def note(snapshot: Snapshot, now: datetime) -> Move | None:
    """Write down that the workload is at 0, as soon as that is seen."""
    status, origin = snapshot.status, _to_hand_over(snapshot)
    if origin is None or _is_noted(status, origin) or not _is_done(snapshot, origin):
        return None
    serving = f"version {status.stable.version} serves in its place" if status.stable else "it was asked for before"
    told = normal(Reason.HANDED_OVER, f"Deployment {origin.name} is scaled to 0: {serving}")
    noted = WorkloadStatus(name=origin.name, uid=origin.uid, handed_over_at=now)
    return Move(status=evolve(status, workload=noted), events=(told,), moved=True)


def hand_over(snapshot: Snapshot, status: ModelRolloutStatus, effects: Iterable[Effect]) -> list[Effect]:
    """What scales the workload to 0; behind a write of the status, which is added where there is none."""
    origin = _to_hand_over(snapshot)
    due = origin and origin.desired and not origin.handed_over and not _is_noted(status, origin)
    if not origin or not due or not _serves(snapshot, status) or _lacks_pods(snapshot, origin):
        return []
    return [*fence(status, effects), HandOver(uid=origin.uid, desired=origin.desired)]


def said(snapshot: Snapshot, status: ModelRolloutStatus) -> Said | None:
    """How it stands with the hand-over; None where nobody asks for one, and while the workload is being read."""
    ref, origin = snapshot.spec.workload_ref, snapshot.origin
    is_being_read = origin is None and snapshot.copied is not None and snapshot.copied.trouble == ""
    if ref is None or ref.scale_down is ScaleDown.NEVER or is_being_read:
        return None
    name, noted = f"Deployment {ref.name}", status.workload
    if noted and noted.name == ref.name and (origin is None or noted.uid == origin.uid):
        if origin and origin.desired:
            message = (
                f"{name} was at 0 at {stamp(noted.handed_over_at)}, and somebody has scaled it up again: it is left "
                "alone. Write replicas: 0 into its manifest and remove its autoscaler, or set "
                "spec.workloadRef.scaleDown to Never"
            )
            return ConditionStatus.FALSE, Reason.SCALED_UP_AGAIN, message
        return ConditionStatus.TRUE, Reason.HANDED_OVER, f"{name} is at 0 since {stamp(noted.handed_over_at)}"
    if origin and _lacks_pods(snapshot, origin):
        message = (
            f"{name} has more pods than spec.replicas ({snapshot.spec.replicas}) and keeps them: raise spec.replicas "
            "to as many, or scale it down yourself"
        )
        return ConditionStatus.FALSE, Reason.TOO_FEW_REPLICAS, message
    waits = f"{name} is scaled to 0 once a version serves with all its pods"
    return ConditionStatus.FALSE, Reason.WAITING_FOR_STABLE, waits


def told(before: str, now: Said | None) -> tuple[Emit, ...]:
    """An event for what somebody has to see to; `before` is the reason that the condition gave until now."""
    if now is None or now[1] == before or now[1] not in (Reason.SCALED_UP_AGAIN, Reason.TOO_FEW_REPLICAS):
        return ()
    return (warning(now[1], now[2]),)


def _to_hand_over(snapshot: Snapshot) -> Origin | None:
    ref = snapshot.spec.workload_ref
    return snapshot.origin if ref and ref.scale_down is ScaleDown.ONCE_SERVING else None


def _is_noted(status: ModelRolloutStatus, origin: Origin) -> bool:
    return status.workload is not None and status.workload.uid == origin.uid


def _is_done(snapshot: Snapshot, origin: Origin) -> bool:
    """Whether it was scaled to 0, by us, or by somebody else while we serve."""
    return origin.handed_over or (not origin.desired and _serves(snapshot, snapshot.status))


def _serves(snapshot: Snapshot, status: ModelRolloutStatus) -> bool:
    """Whether the stable version surely has all its pods, and the route gives it requests."""
    stable, route = status.stable, snapshot.route
    if stable is None or route is None or route.attempt != stable.attempt:
        return False
    return gets_requests(snapshot, stable.colour) and is_ready(snapshot, stable, pods=snapshot.spec.replicas)


def _lacks_pods(snapshot: Snapshot, origin: Origin) -> bool:
    """Fewer pods than before might be too few: spec.replicas is 1 where nobody has thought of it."""
    return origin.desired > snapshot.spec.replicas
