"""The steps from one phase to the next. Each sets the whole of what the next phase starts from."""

from dataclasses import replace
from datetime import datetime, timedelta

from modelrollout.api.status import Colour, ColourStatus, Phase, RevertStatus, StageStatus
from modelrollout.engine.move import Move, evolve, normal, warning
from modelrollout.engine.reasons import Reason
from modelrollout.engine.revision import fingerprint_of, revision_of
from modelrollout.engine.slos import clear_verdicts
from modelrollout.engine.snapshot import Snapshot
from modelrollout.engine.stages import expand

_FRESH_CLOCKS = {"paused_at": None, "paused_seconds": 0.0}


def start_attempt(snapshot: Snapshot, now: datetime) -> Move:
    """Give the spec's version the colour that does not serve, and a number."""
    status, model = snapshot.status, snapshot.spec.model
    attempt = status.attempt + 1
    candidate = ColourStatus(
        colour=status.stable.colour.other if status.stable else Colour.BLUE,
        version=model.version,
        revision=revision_of(snapshot.name, snapshot.spec),
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
        **_FRESH_CLOCKS,
    )
    message = f"Attempt {attempt}: preparing version {model.version} in {candidate.colour}"
    return Move(status=started, events=(normal(Reason.ATTEMPT_STARTED, message),), moved=True)


def enter_stage(snapshot: Snapshot, index: int, now: datetime) -> Move:
    """Decide on a stage. Its traffic follows once this decision is written down."""
    stages = expand(snapshot.spec)
    stage = stages[index]
    entered = evolve(
        clear_verdicts(snapshot.status),
        phase=Phase.PROGRESSING,
        stage=StageStatus(index=index, count=len(stages), name=stage.name, weight=stage.weight, entered_at=now),
        **_FRESH_CLOCKS,
    )
    message = f"Stage {stage.name} ({index + 1} of {len(stages)}): {stage.weight} % of the requests to the candidate"
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
        **_FRESH_CLOCKS,
    )
    message = f"Version {candidate.version} serves all requests from {candidate.colour}"
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
    snapshot: Snapshot, candidate: ColourStatus, now: datetime, *, reason: Reason, message: str, may_retry: bool = False
) -> Move:
    """Take the candidate back: all requests to stable. Unless it may retry, this spec is not tried again."""
    status = snapshot.status
    record = RevertStatus(
        version=candidate.version,
        attempt=candidate.attempt,
        fingerprint="" if may_retry else fingerprint_of(snapshot.spec),
        stage=status.stage.name if status.stage else "",
        reason=reason,
        message=message[:1024],
        at=now,
    )
    reverting = evolve(status, phase=Phase.REVERTING, stage=None, last_revert=record, **_FRESH_CLOCKS)
    tell = normal if may_retry else warning
    event = tell(Reason.REVERTING, f"Taking version {candidate.version} back: {reason}: {message}")
    return Move(status=reverting, events=(event,), moved=True)


def back_to_preparing(snapshot: Snapshot, message: str) -> Move:
    """The stages changed under the rollout: weight 0 and the first stage again, with the same pods."""
    preparing = evolve(clear_verdicts(snapshot.status), phase=Phase.PREPARING, stage=None, **_FRESH_CLOCKS)
    return Move(status=preparing, events=(normal(Reason.STRATEGY_CHANGED, message),), moved=True)


def note_pause(snapshot: Snapshot, now: datetime) -> Snapshot:
    """Keep the clock of pauses, which deadlines leave out."""
    status, paused = snapshot.status, snapshot.spec.paused
    if paused and status.paused_at is None:
        status = evolve(status, paused_at=now)
    elif not paused and status.paused_at is not None:
        pause = max(now - status.paused_at, timedelta())
        status = evolve(status, paused_at=None, paused_seconds=status.paused_seconds + pause.total_seconds())
    return replace(snapshot, status=status)
