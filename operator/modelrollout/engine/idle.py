"""Idle and Reverted: stable serves. Is there a version to try, to return to, or to park?"""

from datetime import datetime

from modelrollout.api.quantities import parse_duration
from modelrollout.api.spec import Retry
from modelrollout.api.status import ColourStatus, ModelRolloutStatus, Phase, RevertStatus
from modelrollout.engine.draining import cold_at, drained_at
from modelrollout.engine.move import Move, evolve, is_ready, normal, paused_by, stamp, stays
from modelrollout.engine.reasons import Reason
from modelrollout.engine.room import kept_warm
from modelrollout.engine.slos import clear_verdicts
from modelrollout.engine.snapshot import Snapshot
from modelrollout.engine.transitions import restore, start_attempt
from modelrollout.engine.wanted import fingerprint, wanted

_TAKEN_BACK_BY_PEOPLE = (Reason.ABORT_REQUESTED, Reason.REVERT_REQUESTED, Reason.KILLED)
"""No fault that passes by itself: whoever said no has to say yes again."""


def idle(snapshot: Snapshot, now: datetime) -> Move:
    """Start what the spec asks for, unless it is what serves already or what failed just now."""
    status, previous = snapshot.status, snapshot.status.previous
    if previous and now >= _leaves_at(snapshot, previous):
        return _park(status, previous)
    target = wanted(snapshot)
    if target.trouble is not None:
        return _not_described(snapshot, target.trouble)
    if status.stable and status.stable.revision == target.revision:
        return _settle(snapshot)
    failed = status.last_revert
    if failed and failed.fingerprint == fingerprint(snapshot):
        again_at = _again_at(snapshot.spec.retry, failed)
        if again_at is None or now < again_at:
            return _stuck(status, failed, again_at)
    if status.killed:
        message = f"{status.killed.by} pulled the kill switch; version {target.version} waits for its lift"
        return stays(status, Reason.KILLED, message, needs_person=True)
    if paused := paused_by(snapshot):
        return stays(status, Reason.PAUSED, f"{paused}; version {target.version} starts afterwards")
    if previous and previous.revision == target.revision and _stays_whole(snapshot, previous):
        return _return_to(previous, snapshot, now)
    return draining(snapshot, now) or start_attempt(snapshot, now)


def draining(snapshot: Snapshot, now: datetime) -> Move | None:
    """The version before has given its requests up, and some answers are still to come from it."""
    previous = snapshot.status.previous
    if previous is None or now >= (until := drained_at(snapshot.spec, previous)):
        return None
    message = f"version {previous.version} finishes its answers in {previous.colour} until {stamp(until)}"
    return stays(snapshot.status, Reason.DRAINING, message, until=until)


def _not_described(snapshot: Snapshot, trouble: str) -> Move:
    """The spec names something that is missing, or that is just being read."""
    status = snapshot.status
    if not trouble:
        return Move(status=status)
    until = _leaves_at(snapshot, status.previous) if status.previous else None
    reason = Reason.CONFIGURATION_MISSING if snapshot.spec.template else Reason.WORKLOAD_UNUSABLE
    return stays(status, reason, trouble, until=until, needs_person=True)


def _settle(snapshot: Snapshot) -> Move:
    """Nothing to try: forget the last failure, and keep the version before warm for a while."""
    status = evolve(clear_verdicts(snapshot.status), phase=Phase.IDLE)
    if status.last_revert:
        status = evolve(status, last_revert=evolve(status.last_revert, fingerprint=""))
    pinned, previous = status.pinned, status.previous
    until = _leaves_at(snapshot, previous) if previous else None
    if pinned:
        message = f"{pinned.by} went back to version {pinned.version}; it stays until the spec changes"
        return stays(status, Reason.PINNED, message, until=until)
    if previous is None or until is None:
        return Move(status=status)
    does = "stays warm" if kept_warm(snapshot.spec, status) else "finishes its answers"
    message = f"version {previous.version} {does} in {previous.colour} until {stamp(until)}"
    return stays(status, Reason.SERVING, message, until=until)


def _leaves_at(snapshot: Snapshot, previous: ColourStatus) -> datetime:
    """When the version before may go: where there is no room for it, as soon as it has finished its answers."""
    if kept_warm(snapshot.spec, snapshot.status):
        return cold_at(snapshot.spec, previous)
    return drained_at(snapshot.spec, previous)


def _park(status: ModelRolloutStatus, previous: ColourStatus) -> Move:
    told = normal(Reason.PARKED, f"Version {previous.version} in {previous.colour} is parked at zero pods")
    return Move(status=evolve(status, previous=None), events=(told,), moved=True)


def _stays_whole(snapshot: Snapshot, previous: ColourStatus) -> bool:
    """Whether the version before is still there, with room for it to keep all of its pods."""
    keeps_all = kept_warm(snapshot.spec, snapshot.status) == snapshot.spec.replicas
    return keeps_all and previous.colour in snapshot.workloads


def _return_to(previous: ColourStatus, snapshot: Snapshot, now: datetime) -> Move:
    """The version before is wanted again and still warm: no stages, it has served everything before."""
    if is_ready(snapshot, previous, pods=snapshot.spec.replicas):
        return restore(snapshot, previous, now)
    until = cold_at(snapshot.spec, previous)
    message = (
        f"waiting for all {snapshot.spec.replicas} pods of version {previous.version} in {previous.colour}; "
        f"without them it comes back by stages from {stamp(until)} on"
    )
    return stays(snapshot.status, Reason.WAITING_FOR_PODS, message, until=until, needs_person=True)


def _again_at(retry: Retry | None, failed: RevertStatus) -> datetime | None:
    """When a version that was taken back may be tried again by itself; None: not any more."""
    if retry is None or failed.times > retry.limit or failed.reason in _TAKEN_BACK_BY_PEOPLE:
        return None
    return failed.at + parse_duration(retry.after)


def _stuck(status: ModelRolloutStatus, failed: RevertStatus, again_at: datetime | None) -> Move:
    """What failed is not tried again, or not yet."""
    then = f"it is tried again at {stamp(again_at)}" if again_at else "change the spec, or ask for a retry"
    message = (
        f"version {failed.version} was taken back at {stamp(failed.at)} ({failed.reason}: {failed.message}); {then}"
    )
    reverted = evolve(status, phase=Phase.REVERTED)
    return stays(reverted, Reason.REVERTED, message, until=again_at, needs_person=again_at is None)
