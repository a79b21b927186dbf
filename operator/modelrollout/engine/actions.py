"""What people ask for: a RolloutAction is heard once, and what became of it is written down with what it changed."""

from datetime import datetime, timedelta

from modelrollout.api.action import ActionKind, ActionOutcome
from modelrollout.api.attempt import MOST_ACTIONS, ActionRecord
from modelrollout.api.status import ModelRolloutStatus
from modelrollout.engine.effects import AnswerAction, Emit
from modelrollout.engine.gates import UNGUARDED
from modelrollout.engine.move import Move, evolve, normal, warning
from modelrollout.engine.reasons import Reason
from modelrollout.engine.snapshot import Asked, Snapshot
from modelrollout.engine.verbs import VERBS, Answer, Applied, Refused

REMEMBERED_FOR = timedelta(minutes=10)
"""A view of the RolloutActions is never as old as this, so that what is forgotten then is not heard again."""

_SEEN_WITHIN = timedelta(seconds=10)
"""What was asked for longer ago than this, and not heard, had to wait for room."""

_WAYS_BACK = (ActionKind.ABORT, ActionKind.REVERT, ActionKind.KILL)

_KEPT_FREE = 8
"""So many places are left to those who take back by all others, and so many to the kill switch by everybody."""


def hear(snapshot: Snapshot, now: datetime) -> Move | None:
    """Carry out, or refuse, the oldest action that was not heard yet and may be now; None when there is none."""
    unheard, kept = _unheard(snapshot, snapshot.status), _kept(snapshot, now)
    asked = next((one for one in unheard if len(kept) < _places(one.spec.action)), None)
    if asked is None:
        return None
    answer = _answer(snapshot, asked, now)
    match answer:
        case Applied():
            outcome, status, events = ActionOutcome.APPLIED, answer.status, answer.events
        case Refused():
            outcome, status, events = ActionOutcome.REFUSED, snapshot.status, ()
    record = ActionRecord(
        uid=asked.uid,
        name=asked.name,
        action=asked.spec.action,
        outcome=outcome,
        message=answer.message[:1024],
        by=asked.spec.by,
        at=now,
        reason=asked.spec.reason,
    )
    return Move(status=evolve(status, actions=[*kept, record]), events=(_told(asked, answer), *events), moved=True)


def heard_at(snapshot: Snapshot, status: ModelRolloutStatus, now: datetime) -> datetime | None:
    """When there is room again to hear those who were not heard for want of it."""
    if not _unheard(snapshot, status):
        return None
    forgotten_at = (record.at + REMEMBERED_FOR for record in status.actions)
    return min((moment for moment in forgotten_at if moment > now), default=None)


def answers(snapshot: Snapshot, status: ModelRolloutStatus) -> list[AnswerAction]:
    """What to tell those who asked, once the status that says it is written."""
    waiting = {asked.uid for asked in snapshot.actions}
    return [
        AnswerAction(
            uid=record.uid,
            name=record.name,
            outcome=ActionOutcome(record.outcome),
            message=record.message,
            at=record.at,
        )
        for record in status.actions
        if record.uid in waiting
    ]


def _unheard(snapshot: Snapshot, status: ModelRolloutStatus) -> list[Asked]:
    """What was asked for and has no record yet, oldest first."""
    heard = {record.uid for record in status.actions}
    return [asked for asked in snapshot.actions if asked.uid not in heard]


def _kept(snapshot: Snapshot, now: datetime) -> list[ActionRecord]:
    """The records that could still be needed so that nothing is heard twice."""
    waiting = {asked.uid for asked in snapshot.actions}
    return [one for one in snapshot.status.actions if one.uid in waiting or now - one.at < REMEMBERED_FOR]


def _places(action: ActionKind) -> int:
    """How many records there may be for another one to be written down, whoever asks for what how often."""
    if action is ActionKind.KILL:
        return MOST_ACTIONS
    return MOST_ACTIONS - (_KEPT_FREE if action in _WAYS_BACK else 2 * _KEPT_FREE)


def _told(asked: Asked, answer: Answer) -> Emit:
    why = f" ({asked.spec.reason})" if asked.spec.reason else ""
    text = f"{asked.spec.by} asked for {asked.spec.action} by {asked.name}{why}: {answer.message}"
    if isinstance(answer, Refused):
        return warning(Reason.ACTION_REFUSED, text)
    return normal(Reason.ACTION_APPLIED, text)


def _answer(snapshot: Snapshot, asked: Asked, now: datetime) -> Answer:
    """An action is for the attempt that was seen; only the kill switch works whatever has happened since.

    Who approves has to be who they say. What else is asked for was allowed by whoever may create RolloutActions: also
    an item of a checklist says that something is done, and nothing follows from the name beside it.
    """
    spec, attempt = asked.spec, snapshot.status.attempt
    if spec.attempt != attempt and spec.action is not ActionKind.KILL:
        return Refused(f"it was asked of attempt {spec.attempt}, and the newest one is {attempt}")
    if spec.action is ActionKind.APPROVE:
        since = snapshot.guarded_since
        if since is None:
            return Refused(UNGUARDED)
        if asked.created < since:
            moment = f"{since:%Y-%m-%d %H:%M:%S} UTC"
            return Refused(f"nobody looked at who approves before {moment}, and it was asked for earlier: ask again")
    if overtaken_by := _overtaken_by(snapshot, asked, now):
        return Refused(f"{overtaken_by} was asked for later and came first: ask again")
    return VERBS[spec.action](snapshot, spec, now)


def _overtaken_by(snapshot: Snapshot, asked: Asked, now: datetime) -> str | None:
    """The way back that was heard while this waited for room: it is not undone by what was asked for before it."""
    if asked.spec.action in _WAYS_BACK:
        return None
    since = (
        record.action
        for record in snapshot.status.actions
        if record.action in _WAYS_BACK and record.outcome == ActionOutcome.APPLIED
        if asked.created + _SEEN_WITHIN < record.at < now
    )
    return next(since, None)
