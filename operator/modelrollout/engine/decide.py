"""One rollout, one moment: what is to be done. Pure: the same snapshot and time give the same decision."""

from dataclasses import replace
from datetime import datetime

from modelrollout.api.spec import ModelRolloutSpec
from modelrollout.api.status import Colour, ModelRolloutStatus, Phase
from modelrollout.engine.actions import answers, hear, heard_at
from modelrollout.engine.capacity import ROUTE_SETTLES, splits_by_pods
from modelrollout.engine.conditions import report
from modelrollout.engine.deleting import deleting, drains_first, taking_back
from modelrollout.engine.effects import AddFinalizer, ApplyBudgets, Decision, Effect, Emit, Watch, WriteStatus
from modelrollout.engine.handing_over import hand_over, note
from modelrollout.engine.history import with_history
from modelrollout.engine.idle import idle
from modelrollout.engine.move import Move, serving_colour
from modelrollout.engine.preparing import preparing, unknown_stage_obstacle, unreachable_obstacle
from modelrollout.engine.progressing import progressing
from modelrollout.engine.records import recorded, reports, reports_noted
from modelrollout.engine.reverting import reverting
from modelrollout.engine.room import note_room, plan_due, plan_for_shortage, with_revert_capacity
from modelrollout.engine.sizing import drain_due, with_step
from modelrollout.engine.slos import judged_stage
from modelrollout.engine.snapshot import Snapshot
from modelrollout.engine.transitions import adopt, note_leaving, note_pause, tell_pause
from modelrollout.engine.wanted import follow_spec
from modelrollout.engine.world import effects_for


def decide(snapshot: Snapshot, now: datetime) -> Decision:
    """What to do now, in order; when to look again at the latest; and what to watch until then.

    The shell carries the effects out and stops at the first that fails. It calls again at every change it sees, at
    `wake_at`, and at every new reading of what is watched; calling too often does no harm.
    """
    if snapshot.deleting and not drains_first(snapshot, now):
        return Decision(effects=tuple(deleting(snapshot, now)))
    if not snapshot.has_finalizer:
        return Decision(effects=(AddFinalizer(),), wake_at=now)
    if _is_about_to_know(snapshot):
        return Decision()
    noted = note_leaving(note_pause(follow_spec(_with_own_obstacles(snapshot)), now), now)
    noted = note_room(noted, now)
    noted = replace(noted, status=with_step(noted, noted.status, now))
    move = _move_on(noted, now)
    sized = with_step(noted, with_revert_capacity(noted, move.status), now)
    status, told = report(noted, replace(move, status=sized), now)
    status = reports_noted(snapshot, with_history(noted, status))
    effects = _told_once_written(effects_for(snapshot, status, now), (*answers(snapshot, status), *move.events, *told))
    effects = (*effects, *reports(snapshot, status, effects))
    return Decision(
        # last of all: what the API server has against these must not keep anything else from being done
        effects=(*effects, ApplyBudgets(), *([] if snapshot.deleting else hand_over(snapshot, status, effects))),
        wake_at=_first(
            _wake_at(move, now),
            plan_due(snapshot, now),
            drain_due(snapshot.spec, status, now),
            heard_at(snapshot, status, now),
        ),
        watch=_watch(snapshot.spec, status),
        preflight=status.phase is Phase.PREPARING,
    )


def _is_about_to_know(snapshot: Snapshot) -> bool:
    """What the template names is being read, and nothing is under way that cannot wait for it."""
    is_being_read = snapshot.copied is not None and snapshot.copied.trouble == ""
    return is_being_read and not snapshot.deleting and snapshot.status.phase in (Phase.IDLE, Phase.REVERTED)


def _told_once_written(effects: list[Effect], told: tuple[Effect, ...]) -> tuple[Effect, ...]:
    """People hear of a transition as soon as it is written down: a crash in what follows must not keep it from them."""
    written = next((at for at, effect in enumerate(effects, start=1) if isinstance(effect, WriteStatus)), len(effects))
    return (*effects[:written], *told, *effects[written:])


def _move_on(snapshot: Snapshot, now: datetime) -> Move:
    """Move until there is something to wait for, so that a chain of steps that wait for nothing is one write."""
    events: tuple[Emit, ...] = ()
    while True:
        move = _move(snapshot, now)
        move = replace(move, status=recorded(snapshot, move, now))
        events += move.events
        if not move.moved:
            return replace(move, events=events)
        snapshot = replace(snapshot, status=move.status)


def _move(snapshot: Snapshot, now: datetime) -> Move:
    """What people ask for comes first, and what was handed over is noted; then the phase decides.

    A status that lacks what its phase needs has been tampered with: start from what serves.
    """
    status = snapshot.status
    if snapshot.deleting:
        return taking_back(snapshot, now)
    if serving := _unknown_to(snapshot):
        return adopt(snapshot, serving, now)
    if heard := hear(snapshot, now) or tell_pause(snapshot) or note(snapshot, now):
        return heard
    if planned := plan_for_shortage(snapshot, now):
        return planned
    match status.phase:
        case Phase.PREPARING if status.candidate:
            return preparing(snapshot, status.candidate, now)
        case Phase.PROGRESSING if status.candidate and status.stage:
            return progressing(snapshot, status.candidate, status.stage, now)
        case Phase.REVERTING if status.candidate:
            return reverting(snapshot, status.candidate, now)
    return idle(snapshot, now)


def _unknown_to(snapshot: Snapshot) -> Colour | None:
    """The colour that serves where no version is known to: the ModelRollout was made anew, or its status was lost.

    Its pods may have answered again only after an attempt had begun without it.
    """
    status, serving = snapshot.status, serving_colour(snapshot)
    if status.stable or serving is None:
        return None
    is_on_trial = status.candidate and status.candidate.attempt == snapshot.workloads[serving].attempt
    return None if is_on_trial else serving


def _wake_at(move: Move, now: datetime) -> datetime | None:
    """When what it waits for is due, or when a candidate that has left is to go out of the route."""
    left_at = move.status.left_at
    out_at = left_at + ROUTE_SETTLES if left_at and now < left_at + ROUTE_SETTLES else None
    due = move.waiting.until if move.waiting else None
    return _first(out_at, due)


def _first(*moments: datetime | None) -> datetime | None:
    return min(filter(None, moments), default=None)


def _with_own_obstacles(snapshot: Snapshot) -> Snapshot:
    """What the engine itself can see to be in the way comes first: no look outside is needed for it."""
    own = tuple(filter(None, (unreachable_obstacle(snapshot), unknown_stage_obstacle(snapshot))))
    return replace(snapshot, obstacles=(*own, *snapshot.obstacles)) if own else snapshot


def _watch(spec: ModelRolloutSpec, status: ModelRolloutStatus) -> Watch | None:
    """The SLOs of the stage, or of the step back, while the candidate takes requests."""
    step, stable, candidate = status.stage or status.way_back, status.stable, status.candidate
    judged = judged_stage(status)
    if judged is None or not step or not stable or not candidate:
        return None
    return Watch(
        attempt=candidate.attempt,
        stage=judged,
        stable=stable.colour,
        candidate=candidate.colour,
        since=step.entered_at,
        stable_attempt=stable.attempt,
        stable_since=stable.since,
        name=status.stage.name if status.stage else "",
        comparable=not (status.stage and status.stage.match),
        split=_split(spec, status),
    )


def _split(spec: ModelRolloutSpec, status: ModelRolloutStatus) -> int | None:
    """The share of the stage, where a router gives it to everybody's requests alike, and by now.

    Pods get what connections bring. Where somebody is sent by header, nobody knows how many that are.
    """
    stage = status.stage
    if stage is None or not 0 < stage.weight < 100:
        return None
    by_weight = not (splits_by_pods(spec) or stage.match or status.excluded)
    return stage.weight if by_weight and status.weights.observed == stage.weight else None
