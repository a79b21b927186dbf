"""The steps from one phase to the next. Each sets the whole of what the next phase starts from."""

from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from pydantic import ValidationError

from modelrollout.api.spec import RevertMode
from modelrollout.api.status import (
    MOST_EXCLUDED,
    Colour,
    ColourStatus,
    Phase,
    RevertStatus,
    StageStatus,
    WayBackStatus,
)
from modelrollout.api.traffic import HeaderMatch
from modelrollout.engine.capacity import ROUTE_SETTLES, splits_by_pods
from modelrollout.engine.move import (
    Move,
    answering_pods,
    evolve,
    gets_requests,
    normal,
    paused_by,
    route_share,
    stamp,
    stays,
    warning,
    with_status,
)
from modelrollout.engine.reasons import Reason
from modelrollout.engine.slos import clear_verdicts
from modelrollout.engine.snapshot import Snapshot
from modelrollout.engine.stages import expand
from modelrollout.engine.wanted import fingerprint, wanted
from modelrollout.engine.windows import opens_at

_FRESH_CLOCKS = {"paused_at": None, "paused_seconds": 0.0, "pods_missing_since": None}

_PAUSES = (Reason.PAUSED, Reason.RESUMED)

_STEPS_BACK = (75, 50, 25)
"""Per cent that a candidate keeps on a gradual way back, as far as they are less than it has."""


def start_attempt(snapshot: Snapshot, now: datetime, *, promoting: bool = False) -> Move:
    """Give the version that is wanted the colour that does not serve, and a number; `promoting` passes over stages."""
    status, target = snapshot.status, wanted(snapshot)
    attempt = last_attempt(snapshot) + 1
    candidate = ColourStatus(
        colour=status.stable.colour.other if status.stable else _first_colour(snapshot, target.revision),
        version=target.version,
        revision=target.revision,
        attempt=attempt,
        since=now,
    )
    started = evolve(
        clear_verdicts(status),
        phase=Phase.PREPARING,
        attempt=attempt,
        candidate=candidate,
        previous=None,
        stage=None,
        evidence=[],
        left_at=None,
        promoting=promoting,
        consents=[],
        capacity=None,
        **_FRESH_CLOCKS,
    )
    again = f", as attempt {target.recorded} ran it" if target.recorded else ""
    message = f"Attempt {attempt}: preparing version {target.version} in {candidate.colour}{again}"
    return Move(status=started, events=(normal(Reason.ATTEMPT_STARTED, message),), moved=True)


def last_attempt(snapshot: Snapshot) -> int:
    """Number of the newest attempt; a status that was lost does not make the numbers of pods be given again.

    Nor those of records: what they say can never be changed.
    """
    of_pods = (workload.attempt for workload in snapshot.workloads.values())
    return max(snapshot.status.attempt, *of_pods, *snapshot.recorded, 0)


def _first_colour(snapshot: Snapshot, revision: str) -> Colour:
    """Blue, unless what is left of an earlier ModelRollout has this very revision, or requests, elsewhere."""
    holding = [colour for colour, workload in snapshot.workloads.items() if workload.revision == revision]
    without_requests = [colour for colour in Colour if not gets_requests(snapshot, colour)]
    return next(iter([*holding, *without_requests]), Colour.BLUE)


def adopt(snapshot: Snapshot, colour: Colour, now: datetime) -> Move:
    """What serves already is stable: the ModelRollout was made anew, or its status was lost."""
    workload = snapshot.workloads[colour]
    stable = ColourStatus(
        colour=colour,
        version=workload.version,
        revision=workload.revision,
        attempt=workload.attempt,
        since=now,
        warm=True,
    )
    adopted = evolve(
        snapshot.status,
        phase=Phase.IDLE,
        stable=stable,
        candidate=None,
        attempt=last_attempt(snapshot),
        excluded=_excluded(snapshot),
    )
    message = f"Version {stable.version} serves from {colour} already"
    return Move(status=adopted, events=(normal(Reason.ADOPTED, message),), moved=True)


def _excluded(snapshot: Snapshot) -> list[HeaderMatch]:
    """Whom the route keeps on stable, as far as a status can tell it: others may have written there as well."""
    shown = sorted(snapshot.route.excluded, key=str) if snapshot.route else []
    excluded = []
    for cohort in shown:
        with suppress(ValidationError):
            excluded.append(HeaderMatch.model_validate(cohort.to_wire()))
    return excluded[:MOST_EXCLUDED]


def enter_stage(snapshot: Snapshot, index: int, now: datetime) -> Move:
    """Decide on a stage, as soon as its window is open. Its traffic follows once this decision is written down.

    Who asks to promote does not wait for windows.
    """
    stages = expand(snapshot.spec)
    stage = stages[index]
    opens = now if snapshot.status.promoting else opens_at(stage.window, now)
    if now < opens:
        message = f"stage {stage.name} may begin at {stamp(opens)}"
        return stays(snapshot.status, Reason.OUTSIDE_WINDOW, message, until=opens)
    at = StageStatus(
        index=index,
        count=len(stages),
        name=stage.name,
        weight=stage.weight,
        match=list(stage.match),
        entered_at=now,
    )
    entered = evolve(
        clear_verdicts(snapshot.status),
        phase=Phase.PROGRESSING,
        stage=at,
        left_at=None,
        **_FRESH_CLOCKS,
    )
    message = f"Stage {stage.name} ({index + 1} of {len(stages)}): {stage.share} to the candidate"
    return Move(status=entered, events=(normal(Reason.STAGE_ENTERED, message),), moved=True)


def promote(snapshot: Snapshot, candidate: ColourStatus, now: datetime) -> Move:
    """The candidate becomes stable where it stands; the old version stays warm for a while."""
    status = snapshot.status
    promoted = evolve(
        clear_verdicts(status),
        phase=Phase.IDLE,
        stable=evolve(candidate, since=now),
        previous=evolve(status.stable, since=now) if status.stable else None,
        candidate=None,
        stage=None,
        last_revert=None,
        promoting=False,
        **_FRESH_CLOCKS,
    )
    kept_away = ", ".join(map(str, status.excluded))
    also = f", also those with {kept_away}" if kept_away else ""
    message = f"Version {candidate.version} serves all requests from {candidate.colour}{also}"
    return Move(status=promoted, events=(normal(Reason.PROMOTED, message),), moved=True)


def restore(snapshot: Snapshot, previous: ColourStatus, now: datetime) -> Move:
    """The version that served before takes everything back, in one routing write since it is still warm."""
    status = snapshot.status
    restored = evolve(
        clear_verdicts(status),
        phase=Phase.IDLE,
        stable=evolve(previous, since=now),
        previous=evolve(status.stable, since=now) if status.stable else None,
        last_revert=None,
    )
    message = f"Version {previous.version} serves all requests again from {previous.colour}, where it was still warm"
    return Move(status=restored, events=(normal(Reason.RESTORED, message),), moved=True)


def revert(
    snapshot: Snapshot,
    candidate: ColourStatus,
    now: datetime,
    *,
    reason: Reason,
    message: str,
    may_retry: bool = False,
    mode: RevertMode = RevertMode.IMMEDIATE,
) -> Move:
    """Take the candidate back: all requests to stable. Unless it may retry, this spec is not tried again."""
    status = snapshot.status
    failed_with = "" if may_retry else fingerprint(snapshot)
    before = status.last_revert
    record = RevertStatus(
        version=candidate.version,
        attempt=candidate.attempt,
        fingerprint=failed_with,
        times=before.times + 1 if before and failed_with and before.fingerprint == failed_with else 1,
        stage=status.stage.name if status.stage else "",
        reason=reason,
        message=message[:1024],
        at=now,
    )
    way_back = step_back(snapshot, candidate, now) if mode is RevertMode.GRADUAL else None
    has_requests = gets_requests(snapshot, candidate.colour)
    had_requests = status.stage is not None or has_requests
    keeps_them = has_requests and not answering_pods(snapshot, status.stable)
    leaves = had_requests and not way_back and not keeps_them
    reverting = evolve(
        clear_verdicts(status) if way_back else status,
        phase=Phase.REVERTING,
        stage=None,
        way_back=way_back,
        left_at=now if leaves else status.left_at,
        last_revert=record,
        promoting=False,
        **_FRESH_CLOCKS,
    )
    tell = normal if may_retry else warning
    event = tell(Reason.REVERTING, f"Taking version {candidate.version} back: {reason}: {message}")
    return Move(status=reverting, events=(event,), moved=True)


def step_back(snapshot: Snapshot, candidate: ColourStatus, now: datetime) -> WayBackStatus | None:
    """The next step down, never above what the candidate has; None when that is nothing, or the router has no weights.

    It is the next one to what the status says. The route, which is written first, may be there already: a crash in
    between must not pass a step over.
    """
    if splits_by_pods(snapshot.spec):
        return None
    status, share = snapshot.status, round(route_share(snapshot, candidate.colour))
    given = status.way_back or status.stage
    below = given.weight if given else 100
    weight = next((step for step in _STEPS_BACK if step < below and step <= share), None)
    return WayBackStatus(weight=weight, entered_at=now) if weight else None


def undo(snapshot: Snapshot, previous: ColourStatus, now: datetime, *, message: str, mode: RevertMode) -> Move:
    """The version before is stable again, and the one that serves is taken back like a candidate."""
    status = snapshot.status
    if status.stable is None:
        return Move(status=status)
    swapped = evolve(status, stable=evolve(previous, since=now), candidate=status.stable, previous=None, left_at=None)
    return revert(
        replace(snapshot, status=swapped),
        status.stable,
        now,
        reason=Reason.REVERT_REQUESTED,
        message=message,
        mode=mode,
    )


def stand_in(snapshot: Snapshot, candidate: ColourStatus, now: datetime) -> Move:
    """The candidate answers and stable does not: it serves until the version that is wanted now is there."""
    status = snapshot.status
    stood_in = evolve(
        clear_verdicts(status),
        phase=Phase.IDLE,
        stable=evolve(candidate, since=now),
        candidate=None,
        left_at=None,
        way_back=None,
    )
    gone = (
        f"in place of version {status.stable.version}, which has no ready pod"
        if status.stable
        else "for want of another"
    )
    message = f"Version {candidate.version} serves {gone}"
    return Move(status=stood_in, events=(warning(Reason.STABLE_UNAVAILABLE, message),), moved=True)


def back_to_preparing(snapshot: Snapshot, message: str, now: datetime) -> Move:
    """The stages changed under the rollout: weight 0 and the first stage again, with the same pods."""
    preparing = evolve(clear_verdicts(snapshot.status), phase=Phase.PREPARING, stage=None, left_at=now, **_FRESH_CLOCKS)
    return Move(status=preparing, events=(normal(Reason.STRATEGY_CHANGED, message),), moved=True)


def note_leaving(snapshot: Snapshot, now: datetime) -> Snapshot:
    """Who was put back to the first stage, or served before, leaves when the route says so, however late that is."""
    status = snapshot.status
    if status.phase is Phase.PREPARING and status.candidate and status.left_at:
        if _still_asked(snapshot, status.candidate, status.left_at, now):
            return with_status(snapshot, left_at=now)
    elif status.previous and _still_asked(snapshot, status.previous, status.previous.since, now):
        return with_status(snapshot, previous=evolve(status.previous, since=now))
    return snapshot


def _still_asked(snapshot: Snapshot, part: ColourStatus, left_at: datetime, now: datetime) -> bool:
    return gets_requests(snapshot, part.colour) and now - left_at > ROUTE_SETTLES


def tell_pause(snapshot: Snapshot) -> Move | None:
    """spec.paused was set or lifted in the middle of an attempt; the record of the attempt says what was told last.

    Who pauses by a RolloutAction is told of with that.
    """
    status = snapshot.status
    if not status.records or status.records[-1].attempt != status.attempt or status.candidate is None:
        return None
    told = (entry.reason for entry in reversed(status.records[-1].timeline) if entry.reason in _PAUSES)
    if status.promoting or snapshot.spec.paused is (next(told, Reason.RESUMED) == Reason.PAUSED):
        return None
    if snapshot.spec.paused:
        event = normal(Reason.PAUSED, "spec.paused is set: no stage is left upwards until that is lifted")
    else:
        event = normal(Reason.RESUMED, "spec.paused is lifted")
    return Move(status=status, events=(event,), moved=True)


def note_pause(snapshot: Snapshot, now: datetime) -> Snapshot:
    """Keep the clock of pauses, which deadlines leave out."""
    status, paused = snapshot.status, bool(paused_by(snapshot))
    if paused and status.paused_at is None:
        status = evolve(status, paused_at=now)
    elif not paused and status.paused_at is not None:
        pause = max(now - status.paused_at, timedelta())
        status = evolve(status, paused_at=None, paused_seconds=status.paused_seconds + pause.total_seconds())
    return replace(snapshot, status=status)
