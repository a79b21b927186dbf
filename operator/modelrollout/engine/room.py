"""No room for two full copies: what is known of it, and the plan that fits.

A shortage counts once it has lasted for a minute. Pods on their way out have left by then (they get 30 s by default),
and their room is taken. A cluster autoscaler may need longer, and nobody knows how long: `noRoom: Wait` is for those.
"""

from datetime import datetime, timedelta

from modelrollout.api.capacity import NoRoom
from modelrollout.api.spec import ModelRolloutSpec
from modelrollout.api.status import CapacityPlan, CapacityStatus, ColourStatus, ModelRolloutStatus, Phase
from modelrollout.engine.capacity import carried
from modelrollout.engine.move import Move, answering_pods, evolve, warning, with_status
from modelrollout.engine.reasons import Reason
from modelrollout.engine.snapshot import Shortage, Snapshot, Workload
from modelrollout.engine.wanted import wanted

SHORTAGE_LASTS = timedelta(minutes=1)

_PLANS = {NoRoom.SHRINK_STABLE: CapacityPlan.SHRINK_STABLE, NoRoom.RECREATE: CapacityPlan.RECREATE}


def known_room(status: ModelRolloutStatus) -> int | None:
    """Pods of both colours that are known to fit; None while no limit is known."""
    return status.capacity.room if status.capacity else None


def spare(spec: ModelRolloutSpec, status: ModelRolloutStatus) -> int:
    """How many pods there may be too few of for a while: one, where the user allows it and nothing else helps."""
    capacity = status.capacity
    recreates = capacity is not None and capacity.plan is CapacityPlan.RECREATE
    return 1 if recreates and (known_room(status) or 0) <= spec.replicas else 0


def usable_room(spec: ModelRolloutSpec, status: ModelRolloutStatus) -> int | None:
    """Pods of both colours to reckon with; None for no limit.

    One pod more than there may be at least is always asked for: without it nothing would move, and whether there is
    room for it by now shows by asking.
    """
    room = known_room(status)
    return None if room is None else max(room, spec.replicas + 1 - spare(spec, status))


def kept_warm(spec: ModelRolloutSpec, status: ModelRolloutStatus) -> int:
    """Pods that the version before keeps while it is warm: all of them, or what fits beside those that serve."""
    room = known_room(status)
    return spec.replicas if room is None else max(min(room - spec.replicas, spec.replicas), 0)


def note_room(snapshot: Snapshot, now: datetime) -> Snapshot:
    """Keep what is known of the room up to date: what is ready fits, and what has found no place for long does not.

    Right after a step there is still somebody on the way out, or in.
    """
    capacity = snapshot.status.capacity
    if capacity is None or capacity.room is None or snapshot.status.phase is Phase.REVERTING:
        return snapshot
    room = max(capacity.room, sum(workload.answering for workload in snapshot.workloads.values()))
    has_settled = capacity.since is None or now >= capacity.since + SHORTAGE_LASTS
    if has_settled and _lasting_shortage(snapshot, now):
        room = _placed(snapshot)
    return with_status(snapshot, capacity=evolve(capacity, room=room))


def plan_for_shortage(snapshot: Snapshot, now: datetime) -> Move | None:
    """There has been no room for a while: what the user chose for that, or has chosen since; None for no change.

    A candidate that nobody wants any more goes, and the next one has a plan of its own.
    """
    status, plan = snapshot.status, _PLANS.get(snapshot.spec.capacity.no_room)
    shortage, present = _lasting_shortage(snapshot, now), status.capacity.plan if status.capacity else None
    if shortage is None or plan is None or plan is present:
        return None
    if status.phase is Phase.REVERTING or status.stable is None or _other(status) is None:
        return None
    if status.candidate and status.candidate.revision != wanted(snapshot).revision:
        return None
    room = _placed(snapshot)
    planned = CapacityStatus(plan=plan, reason=shortage.reason, message=shortage.message[:1024], room=room)
    message = f"Room for {room} pods, and {2 * snapshot.spec.replicas} are wanted: {plan}. {shortage.message}"
    told = warning(Reason.NO_ROOM, message)
    return Move(status=evolve(status, capacity=planned), events=(told,), moved=True)


def plan_due(snapshot: Snapshot, now: datetime) -> datetime | None:
    """When a shortage will have lasted long enough to count."""
    shortages, capacity = _shortages(snapshot), snapshot.status.capacity
    since = [shortage.since for shortage in shortages]
    if shortages and capacity and capacity.since:
        since.append(capacity.since)
    return min((one + SHORTAGE_LASTS for one in since if one + SHORTAGE_LASTS > now), default=None)


def with_revert_capacity(snapshot: Snapshot, status: ModelRolloutStatus) -> ModelRolloutStatus:
    """The status with how much could be taken back at once now; nothing when there is nothing to go back from."""
    back_to = status.stable if status.candidate else status.previous
    if status.stable is None or back_to is None:
        return evolve(status, capacity=None)
    share = carried(snapshot.spec, answering_pods(snapshot, back_to))
    return evolve(status, capacity=evolve(status.capacity or CapacityStatus(), revert_capacity=share))


def pods_trouble(snapshot: Snapshot, part: ColourStatus) -> str:
    """Why pods of a version are missing, as far as anybody says, and what a person can do about it."""
    workload = snapshot.workloads.get(part.colour)
    return f"{workload.message}{_way_out(snapshot, workload)}" if workload and workload.message else ""


def _way_out(snapshot: Snapshot, workload: Workload) -> str:
    """What a person can do when pods of a version have no room; empty when they have, or will get it by themselves."""
    status, spec = snapshot.status, snapshot.spec
    if workload.shortage is None or status.stable is None:
        return ""
    if spec.capacity.no_room is NoRoom.WAIT:
        return "; make room, or set spec.capacity.noRoom to ShrinkStable"
    room = known_room(status)
    if room is None or room > spec.replicas - spare(spec, status):
        return ""
    further = "" if spare(spec, status) else ", or set spec.capacity.noRoom to Recreate"
    return f"; make room for one pod more{further}"


def _other(status: ModelRolloutStatus) -> ColourStatus | None:
    """Who has pods beside stable."""
    return status.candidate or status.previous


def _shortages(snapshot: Snapshot) -> list[Shortage]:
    return [workload.shortage for workload in snapshot.workloads.values() if workload.shortage]


def _lasting_shortage(snapshot: Snapshot, now: datetime) -> Shortage | None:
    return next((one for one in _shortages(snapshot) if now >= one.since + SHORTAGE_LASTS), None)


def _placed(snapshot: Snapshot) -> int:
    return sum(workload.placed for workload in snapshot.workloads.values())
