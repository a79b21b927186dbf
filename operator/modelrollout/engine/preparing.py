"""Preparing: the candidate's pods come up, warm up, and everything is looked at that could go wrong. No traffic yet."""

from dataclasses import replace
from datetime import datetime, timedelta

from modelrollout.api.quantities import parse_duration
from modelrollout.api.spec import ModelRolloutSpec
from modelrollout.api.status import ColourStatus, ModelRolloutStatus
from modelrollout.engine.breakers import breaker
from modelrollout.engine.capacity import reachable_weights, skips_unreachable
from modelrollout.engine.gates import gate, stays_before
from modelrollout.engine.move import Move, Waiting, evolve, is_ready, paused_by, paused_time, stays, with_status
from modelrollout.engine.reasons import Reason
from modelrollout.engine.room import pods_trouble, spare, usable_room
from modelrollout.engine.sizing import first_replicas, may_begin
from modelrollout.engine.snapshot import Obstacle, Snapshot
from modelrollout.engine.stages import expand, next_stage, serving_stage, unknown_stages, unreachable_stages
from modelrollout.engine.transitions import enter_stage, promote, revert
from modelrollout.engine.wanted import wanted

_LEAST_PROGRESS_DEADLINE = timedelta(minutes=10)
_LOAD_TIMES_ALLOWED = 3
"""A model that loads for ten minutes may take half an hour once; ten minutes flat would fail it."""


def preparing(snapshot: Snapshot, candidate: ColourStatus, now: datetime) -> Move:
    """Wait for pods, warm-up and a clean preflight; then the first stage, or everything when nothing serves yet."""
    superseded = supersede(snapshot, candidate, now)
    if superseded:
        return superseded
    status = snapshot.status
    pods = first_replicas(snapshot.spec, status)
    if spare(snapshot.spec, status) and not may_begin(snapshot, candidate, now):
        return _begin(snapshot, candidate, now)
    if not candidate.warm:
        return _come_up(snapshot, candidate, pods, now)
    if not is_ready(snapshot, candidate, pods=pods):
        missing = with_status(snapshot, pods_missing_since=status.pods_missing_since or now)
        return _wait_for_pods(missing, candidate, pods, now)
    if status.pods_missing_since:
        snapshot = with_status(snapshot, pods_missing_since=None)
        status = snapshot.status
    if status.stable is None:
        return promote(snapshot, candidate, now)
    return _begin(snapshot, candidate, now)


def _begin(snapshot: Snapshot, candidate: ColourStatus, now: datetime) -> Move:
    """Into the first stage, unless something is in the way that has nothing to do with pods."""
    status, spec = snapshot.status, snapshot.spec
    if snapshot.obstacles:
        return Move(status=status, waiting=blocked_by(snapshot.obstacles[0]))
    if not snapshot.preflighted:
        return stays(status, Reason.PREFLIGHT, "looking at the queries and the metrics before any traffic moves")
    if paused := paused_by(snapshot):
        return stays(status, Reason.PAUSED, f"{paused}, before the first stage")
    if closed := gate(snapshot, candidate):
        return stays_before(closed, snapshot)
    first = serving_stage(spec) if status.promoting else next_stage(spec, -1, usable_room(spec, status)) or 0
    return enter_stage(snapshot, first, now)


def supersede(snapshot: Snapshot, candidate: ColourStatus, now: datetime) -> Move | None:
    """Another version is wanted than the one on trial: take that one back first."""
    target, stable, pinned = wanted(snapshot), snapshot.status.stable, snapshot.status.pinned
    if candidate.revision == target.revision:
        return None
    asking = f"{pinned.by} went" if pinned else "the spec is"
    if stable and stable.revision == target.revision:
        reason, message = Reason.ABORTED, f"{asking} back at version {target.version}, which serves"
    elif pinned:
        reason, message = Reason.SUPERSEDED, f"{asking} back to version {target.version}"
    elif candidate.version == target.version:
        reason, message = Reason.SUPERSEDED, f"what version {target.version} runs has changed"
    else:
        reason, message = Reason.SUPERSEDED, f"the spec now asks for version {target.version}"
    return revert(snapshot, candidate, now, reason=reason, message=message, may_retry=True)


def progress_deadline(spec: ModelRolloutSpec, status: ModelRolloutStatus) -> timedelta:
    """How long pods may take: as the spec says, or by how long the stable version took."""
    if spec.progress_deadline:
        return parse_duration(spec.progress_deadline)
    load_seconds = status.stable.load_seconds if status.stable else None
    observed = timedelta(seconds=_LOAD_TIMES_ALLOWED * (load_seconds or 0))
    return max(observed, _LEAST_PROGRESS_DEADLINE)


def pods_overdue(snapshot: Snapshot, candidate: ColourStatus, begun: datetime, missing: str, now: datetime) -> Move:
    """Wait for pods until the progress deadline, then take the candidate back."""
    status = snapshot.status
    if status.capacity and status.capacity.since:
        begun = max(begun, status.capacity.since)
    overdue_at = begun + progress_deadline(snapshot.spec, status) + paused_time(status, now)
    if now < overdue_at:
        return stays(status, Reason.WAITING_FOR_PODS, missing, until=None if paused_by(snapshot) else overdue_at)
    if paused := paused_by(snapshot):
        return stays(status, Reason.PAUSED, f"{paused}; {missing}")
    message = f"{missing}; not done within {progress_deadline(snapshot.spec, status)}"
    return revert(snapshot, candidate, now, reason=Reason.PROGRESS_DEADLINE_EXCEEDED, message=message)


def blocked_by(obstacle: Obstacle) -> Waiting:
    """A person has to mend what is in the way."""
    return Waiting(reason=obstacle.reason, message=obstacle.message, needs_person=True)


def unreachable_obstacle(snapshot: Snapshot) -> Obstacle | None:
    """`unreachable: Refuse` and a stage that the number of replicas cannot give what it declares."""
    room = usable_room(snapshot.spec, snapshot.status)
    missed = unreachable_stages(snapshot.spec, room)
    if not missed or skips_unreachable(snapshot.spec):
        return None
    names = ", ".join(stage.name for stage in missed)
    weights = ", ".join(f"{weight:g}" for weight in reachable_weights(snapshot.spec, room))
    return Obstacle(
        condition="RouteReady",
        reason=Reason.WEIGHT_UNREACHABLE,
        message=f"{names}: with {snapshot.spec.replicas} replicas the reachable weights are {weights}; "
        "raise spec.replicas, change the steps, set traffic.replicas.unreachable to Skip, or use traffic.gatewayAPI",
    )


def unknown_stage_obstacle(snapshot: Snapshot) -> Obstacle | None:
    """An SLO that is to be judged in a stage that there is not."""
    unknown = unknown_stages(snapshot.spec)
    if not unknown:
        return None
    named = ", ".join(f"{stage} (slo {slo})" for slo, stage in unknown)
    there = ", ".join(stage.name for stage in expand(snapshot.spec))
    message = f"there is no stage {named}; the stages are {there}: correct slos[].stages"
    return Obstacle(condition="MetricsReady", reason=Reason.STAGE_NOT_FOUND, message=message)


def _come_up(snapshot: Snapshot, candidate: ColourStatus, pods: int, now: datetime) -> Move:
    if not is_ready(snapshot, candidate, pods=pods):
        return _wait_for_pods(snapshot, candidate, pods, now)
    if snapshot.spec.warm_up and (candidate.colour, candidate.attempt) not in snapshot.warmed:
        trouble = f": {snapshot.warm_up_error}" if snapshot.warm_up_error else ""
        missing = f"sending warm-up requests to version {candidate.version}{trouble}"
        move = pods_overdue(snapshot, candidate, candidate.since, missing, now)
        return _said(move, Reason.WARMING_UP)
    warm = evolve(candidate, warm=True, load_seconds=(now - candidate.since).total_seconds())
    return Move(status=evolve(snapshot.status, candidate=warm), moved=True)


def _said(move: Move, reason: Reason) -> Move:
    """The same wait under its own name."""
    if move.waiting is None or move.waiting.reason != Reason.WAITING_FOR_PODS:
        return move
    return replace(move, waiting=replace(move.waiting, reason=reason))


def _wait_for_pods(snapshot: Snapshot, candidate: ColourStatus, pods: int, now: datetime) -> Move:
    """Until the progress deadline, unless it is plain before that they do not come up. Nobody is hurt while paused."""
    broken = breaker(snapshot, candidate, now, has_requests=False)
    if broken and not paused_by(snapshot):
        return revert(snapshot, candidate, now, reason=broken.reason, message=broken.message)
    trouble = pods_trouble(snapshot, candidate)
    why = f": {trouble}" if trouble else ""
    missing = f"waiting for {pods} ready pods of version {candidate.version} in {candidate.colour}{why}"
    return pods_overdue(snapshot, candidate, snapshot.status.pods_missing_since or candidate.since, missing, now)
