"""Idle and Reverted: stable serves. Is there a version to try, to return to, or to park?"""

from datetime import datetime

from modelrollout.api.quantities import parse_duration
from modelrollout.api.status import ColourStatus, Phase
from modelrollout.engine.move import Move, Waiting, evolve, is_ready, normal, stamp, stays
from modelrollout.engine.reasons import Reason
from modelrollout.engine.revision import fingerprint_of, revision_of
from modelrollout.engine.snapshot import Snapshot
from modelrollout.engine.transitions import restore, start_attempt


def idle(snapshot: Snapshot, now: datetime) -> Move:
    """Start what the spec asks for, unless it is what serves already or what failed just now."""
    status = snapshot.status
    wanted = revision_of(snapshot.name, snapshot.spec)
    if status.stable and status.stable.revision == wanted:
        return _settle(snapshot, now)
    if status.last_revert and status.last_revert.fingerprint == fingerprint_of(snapshot.spec):
        return _stuck(snapshot)
    if snapshot.spec.paused:
        message = f"paused: version {snapshot.spec.model.version} starts once spec.paused is false"
        return stays(status, Reason.PAUSED, message)
    if status.previous and status.previous.revision == wanted:
        return _return_to(status.previous, snapshot, now)
    return start_attempt(snapshot, now)


def _settle(snapshot: Snapshot, now: datetime) -> Move:
    """Nothing to try: forget the last failure, and let the version before go cold in time."""
    status = evolve(snapshot.status, phase=Phase.IDLE)
    if status.last_revert:
        status = evolve(status, last_revert=evolve(status.last_revert, fingerprint=""))
    if status.previous is None:
        return Move(status=status)
    cold_at = status.previous.since + parse_duration(snapshot.spec.rollback.keep_warm)
    if now < cold_at:
        return Move(
            status=status,
            waiting=Waiting(reason=Reason.SERVING, message=_warm_until(status.previous, cold_at), until=cold_at),
        )
    parked = normal(
        Reason.PARKED, f"Version {status.previous.version} in {status.previous.colour} is parked at zero pods"
    )
    return Move(status=evolve(status, previous=None), events=(parked,), moved=True)


def _warm_until(previous: ColourStatus, cold_at: datetime) -> str:
    return f"version {previous.version} stays warm in {previous.colour} until {stamp(cold_at)}"


def _return_to(previous: ColourStatus, snapshot: Snapshot, now: datetime) -> Move:
    """The version before is wanted again and still warm: no stages, it has served everything before."""
    if is_ready(snapshot, previous, pods=snapshot.spec.replicas):
        return restore(snapshot, previous, now)
    message = f"waiting for all {snapshot.spec.replicas} pods of version {previous.version} in {previous.colour}"
    return stays(snapshot.status, Reason.WAITING_FOR_PODS, message)


def _stuck(snapshot: Snapshot) -> Move:
    """What failed is not tried again by itself."""
    status = evolve(snapshot.status, phase=Phase.REVERTED)
    failed = status.last_revert
    message = (
        f"version {failed.version} was taken back at {stamp(failed.at)} ({failed.reason}: {failed.message}); "
        "change the spec to try again"
        if failed
        else ""
    )
    waiting = Waiting(reason=Reason.REVERTED, message=message, needs_person=True)
    return Move(status=status, waiting=waiting)
