"""What each action does to a rollout: the status that follows, or why it is refused."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from modelrollout.api.action import ActionKind, RolloutActionSpec
from modelrollout.api.attempt import MOST_CONSENTS, Consent, Word
from modelrollout.api.status import MOST_EXCLUDED, ColourStatus, ModelRolloutStatus, Phase
from modelrollout.engine.capacity import splits_by_pods
from modelrollout.engine.effects import Emit
from modelrollout.engine.move import evolve, is_ready, with_status
from modelrollout.engine.reasons import Reason
from modelrollout.engine.reverting import at_once
from modelrollout.engine.room import kept_warm
from modelrollout.engine.snapshot import Snapshot
from modelrollout.engine.stages import Stage, expand
from modelrollout.engine.transitions import revert, start_attempt, undo
from modelrollout.engine.wanted import find, pin, wanted


@dataclass(frozen=True, kw_only=True)
class Applied:
    """An action was carried out."""

    message: str
    status: ModelRolloutStatus
    events: tuple[Emit, ...] = ()


@dataclass(frozen=True)
class Refused:
    """An action cannot be carried out, and why."""

    message: str


Answer = Applied | Refused
Verb = Callable[[Snapshot, RolloutActionSpec, datetime], Answer]


def _word(asked: RolloutActionSpec, now: datetime) -> Word:
    return Word(by=asked.by, at=now, reason=asked.reason)


def _because(asked: RolloutActionSpec) -> str:
    return f"{asked.by} asked for it" + (f": {asked.reason}" if asked.reason else "")


# --- gates


def _approve(snapshot: Snapshot, asked: RolloutActionSpec, now: datetime) -> Answer:
    stage = _stage(snapshot, asked)
    if isinstance(stage, Refused):
        return stage
    roles = [approval.role for approval in stage.approvals]
    if asked.role not in roles:
        return Refused(f"stage {stage.name} asks for no approval by {asked.role}, but by {_listed(roles)}")
    consent = Consent(by=asked.by, at=now, reason=asked.reason, stage=stage.name, role=asked.role or "")
    return _consented(snapshot, consent, f"stage {stage.name} is approved by {asked.role}")


def _sign_off(snapshot: Snapshot, asked: RolloutActionSpec, now: datetime) -> Answer:
    stage = _stage(snapshot, asked)
    if isinstance(stage, Refused):
        return stage
    if asked.item not in stage.checklist:
        return Refused(f"stage {stage.name} has no item {asked.item} in its checklist, but {_listed(stage.checklist)}")
    consent = Consent(by=asked.by, at=now, reason=asked.reason, stage=stage.name, item=asked.item or "")
    return _consented(snapshot, consent, f"{asked.item} of stage {stage.name} is signed off")


def _stage(snapshot: Snapshot, asked: RolloutActionSpec) -> Stage | Refused:
    if snapshot.status.candidate is None:
        return Refused("no version is on trial")
    stages = expand(snapshot.spec)
    found = next((stage for stage in stages if stage.name == asked.stage), None)
    return found or Refused(f"there is no stage {asked.stage}; the stages: {_listed([one.name for one in stages])}")


def _consented(snapshot: Snapshot, consent: Consent, message: str) -> Answer:
    """Saying it twice is saying it once."""
    others = [
        one
        for one in snapshot.status.consents
        if (one.by, one.stage, one.role, one.item) != (consent.by, consent.stage, consent.role, consent.item)
    ]
    if len(others) == MOST_CONSENTS:
        return Refused(f"{MOST_CONSENTS} people have spoken already, which is the most that is kept")
    return Applied(message=message, status=evolve(snapshot.status, consents=[*others, consent]))


def _listed(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join(names) or "none"


# --- pausing and going on


def _pause(snapshot: Snapshot, asked: RolloutActionSpec, now: datetime) -> Answer:
    held = evolve(snapshot.status, held=_word(asked, now), promoting=False)
    return Applied(message="no stage is left upwards until somebody asks to resume", status=held)


def _resume(snapshot: Snapshot, asked: RolloutActionSpec, now: datetime) -> Answer:  # noqa: ARG001
    if snapshot.status.held is None and snapshot.spec.paused:
        return Refused("spec.paused pauses it: set that to false")
    if snapshot.status.held is None:
        return Refused("it is not paused")
    still = "; spec.paused pauses it still" if snapshot.spec.paused else ""
    return Applied(message=f"it goes on{still}", status=evolve(snapshot.status, held=None))


def _advance(snapshot: Snapshot, asked: RolloutActionSpec, now: datetime) -> Answer:  # noqa: ARG001
    stage = snapshot.status.stage
    if stage is None or snapshot.status.phase is not Phase.PROGRESSING:
        return Refused("it is in no stage")
    if stage.name != asked.stage:
        return Refused(f"it has left stage {asked.stage} already and is in {stage.name}")
    advanced = evolve(snapshot.status, stage=evolve(stage, advanced=True))
    return Applied(message=f"stage {stage.name} is left as soon as nothing is in the way", status=advanced)


def _promote(snapshot: Snapshot, asked: RolloutActionSpec, now: datetime) -> Answer:  # noqa: ARG001
    status = snapshot.status
    if status.phase is Phase.REVERTING:
        return Refused("the candidate is being taken back; ask again when that is over")
    if status.candidate:
        message = f"version {status.candidate.version} serves as soon as it can carry all requests"
        return Applied(message=message, status=evolve(status, promoting=True, held=None))
    return _promote_anew(snapshot, now)


def _promote_anew(snapshot: Snapshot, now: datetime) -> Answer:
    """Nothing is on trial: what the spec asks for is prepared again, and then serves without stages."""
    status, target = snapshot.status, wanted(snapshot)
    if target.trouble is not None:
        return Refused(target.trouble or "what the template names is being read; ask again in a moment")
    if status.stable and status.stable.revision == target.revision:
        return Refused(f"version {target.version} serves already")
    if status.killed:
        return Refused(_KILLED.format(status.killed.by))
    if status.previous:
        return Refused(f"version {status.previous.version} still has its pods; ask again when it has gone")
    move = start_attempt(replace(snapshot, status=evolve(status, held=None)), now, promoting=True)
    message = f"version {target.version} is prepared and then serves"
    return Applied(message=message, status=move.status, events=move.events)


# --- ways back


def _revert(snapshot: Snapshot, asked: RolloutActionSpec, now: datetime) -> Answer:
    status = snapshot.status
    if status.phase is Phase.REVERTING:
        return _hurry(snapshot, asked, now)
    if status.candidate:
        return _take_back(snapshot, asked, now, Reason.REVERT_REQUESTED)
    return _undo(snapshot, asked, now)


def _abort(snapshot: Snapshot, asked: RolloutActionSpec, now: datetime) -> Answer:
    if snapshot.status.phase is Phase.REVERTING:
        return _hurry(snapshot, asked, now)
    return _take_back(snapshot, asked, now, Reason.ABORT_REQUESTED)


def _take_back(snapshot: Snapshot, asked: RolloutActionSpec, now: datetime, reason: Reason) -> Answer:
    candidate, stable = snapshot.status.candidate, snapshot.status.stable
    if candidate is None:
        return Refused("no version is on trial")
    if asked.to and (stable is None or asked.to != stable.version):
        return _go_back(snapshot, asked, now)
    mode = asked.mode or snapshot.spec.rollback.mode
    snapshot = _unpinned(snapshot, goes=candidate, stays=stable)
    move = revert(snapshot, candidate, now, reason=reason, message=_because(asked), mode=mode)
    return Applied(message=f"version {candidate.version} is taken back", status=move.status, events=move.events)


def _unpinned(snapshot: Snapshot, *, goes: ColourStatus | None, stays: ColourStatus | None) -> Snapshot:
    """Who takes back what somebody had gone back to is done, if what stays is what the spec asks for."""
    pinned, unpinned = snapshot.status.pinned, with_status(snapshot, pinned=None)
    target = wanted(unpinned)
    is_taken_back = pinned and goes and goes.revision == pinned.revision
    is_asked_for = stays and target.trouble is None and stays.revision == target.revision
    return unpinned if is_taken_back and is_asked_for else snapshot


def _hurry(snapshot: Snapshot, asked: RolloutActionSpec, now: datetime) -> Answer:  # noqa: ARG001
    """Asked again on a gradual way back: the rest of it at once."""
    if snapshot.status.way_back is None:
        return Refused("the candidate is being taken back already")
    return Applied(message="the rest goes back at once", status=at_once(snapshot, now).status)


def _undo(snapshot: Snapshot, asked: RolloutActionSpec, now: datetime) -> Answer:
    """Nothing is on trial: the version before the one that serves takes over again, as long as it is warm."""
    stable, previous = snapshot.status.stable, snapshot.status.previous
    if previous is None or (asked.to and asked.to != previous.version):
        return _go_back(snapshot, asked, now)
    pods = kept_warm(snapshot.spec, snapshot.status)
    if pods == 0:
        return _go_back(snapshot, asked, now)
    if not is_ready(snapshot, previous, pods=pods):
        return Refused(f"version {previous.version} does not have all of its {pods} pods ready")
    snapshot = _unpinned(snapshot, goes=stable, stays=previous)
    move = undo(snapshot, previous, now, message=_because(asked), mode=asked.mode or snapshot.spec.rollback.mode)
    return Applied(message=f"version {previous.version} serves again", status=move.status, events=move.events)


def _go_back(snapshot: Snapshot, asked: RolloutActionSpec, now: datetime) -> Answer:
    """A version of history that is not warm any more is rolled out again, from the record of what it ran."""
    status, entry = snapshot.status, find(snapshot, asked.to)
    if entry is None:
        version = f"version {asked.to}" if asked.to else "a version before this one"
        kept = ", ".join(dict.fromkeys(one.version for one in status.history)) or "none"
        return Refused(f"there is no record of {version}; those that are kept: {kept}")
    if status.stable and status.stable.revision == entry.revision:
        return Refused(f"version {entry.version} serves already")
    pinned = pin(snapshot, entry, by=asked.by, at=now, reason=asked.reason)
    message = f"version {entry.version} is rolled out again, as attempt {entry.attempt} ran it"
    return Applied(message=message, status=evolve(status, pinned=pinned))


def _retry(snapshot: Snapshot, asked: RolloutActionSpec, now: datetime) -> Answer:  # noqa: ARG001
    status, failed = snapshot.status, snapshot.status.last_revert
    if status.phase is Phase.REVERTING:
        return Refused("the candidate is being taken back; ask again when that is over")
    is_kept_away = status.pinned is not None or (failed is not None and failed.fingerprint != "")
    if status.candidate or not is_kept_away:
        return Refused("nothing was taken back that would not be tried anyway")
    forgiven = evolve(failed, fingerprint="", times=0) if failed else None
    status = evolve(status, last_revert=forgiven, pinned=None)
    return Applied(message=f"version {snapshot.spec.model.version} is tried again", status=status)


_KILLED = "{} pulled the kill switch; it has to be lifted first"


def _kill(snapshot: Snapshot, asked: RolloutActionSpec, now: datetime) -> Answer:
    """Everything back to stable at once, and nothing new until somebody lifts it."""
    message, killed = "no new version is tried until it is lifted", _word(asked, now)
    snapshot = replace(snapshot, status=evolve(at_once(snapshot, now).status, killed=killed))
    candidate = snapshot.status.candidate
    if candidate is None or snapshot.status.phase is Phase.REVERTING:
        return Applied(message=message, status=snapshot.status)
    move = revert(snapshot, candidate, now, reason=Reason.KILLED, message=_because(asked))
    told = f"version {candidate.version} is taken back, and {message}"
    return Applied(message=told, status=move.status, events=move.events)


def _lift(snapshot: Snapshot, asked: RolloutActionSpec, now: datetime) -> Answer:  # noqa: ARG001
    if snapshot.status.killed is None:
        return Refused("nobody pulled the kill switch")
    return Applied(message="new versions are tried again", status=evolve(snapshot.status, killed=None))


# --- cohorts


def _exclude(snapshot: Snapshot, asked: RolloutActionSpec, now: datetime) -> Answer:  # noqa: ARG001
    cohort, excluded = asked.cohort, snapshot.status.excluded
    if splits_by_pods(snapshot.spec):
        return Refused("only traffic.gatewayAPI can tell requests by their headers")
    if cohort is None or cohort in excluded:
        return Refused("its requests stay on stable already")
    if len(excluded) == MOST_EXCLUDED:
        return Refused(f"{MOST_EXCLUDED} cohorts are excluded already, which is the most: include one first")
    status = evolve(snapshot.status, excluded=[*excluded, cohort])
    return Applied(message=f"requests with {cohort} stay on stable", status=status)


def _include(snapshot: Snapshot, asked: RolloutActionSpec, now: datetime) -> Answer:  # noqa: ARG001
    cohort, excluded = asked.cohort, snapshot.status.excluded
    if cohort is None or cohort not in excluded:
        return Refused("its requests are not excluded")
    status = evolve(snapshot.status, excluded=[one for one in excluded if one != cohort])
    return Applied(message=f"requests with {cohort} are split as all others", status=status)


VERBS: Mapping[ActionKind, Verb] = {
    ActionKind.APPROVE: _approve,
    ActionKind.SIGN_OFF: _sign_off,
    ActionKind.PAUSE: _pause,
    ActionKind.RESUME: _resume,
    ActionKind.ADVANCE: _advance,
    ActionKind.PROMOTE: _promote,
    ActionKind.REVERT: _revert,
    ActionKind.ABORT: _abort,
    ActionKind.RETRY: _retry,
    ActionKind.KILL: _kill,
    ActionKind.LIFT: _lift,
    ActionKind.EXCLUDE: _exclude,
    ActionKind.INCLUDE: _include,
}
