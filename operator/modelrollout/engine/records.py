"""What happened in an attempt, noted in the very status write that makes it so; RolloutReports are made from that.

So an entry is there if and only if what it tells of happened, whatever crashes: a decision that did not get through has
left no entry, and one that is repeated is made on a status that does not have it. A report may lag behind, and is asked
for until it does not. A new attempt pushes a record out once its report is written, not before.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from modelrollout.api.attempt import MOST_ENTRIES, AttemptOutcome, AttemptRecord, Evidence, TimelineEntry
from modelrollout.api.slo import Slo, Verdict
from modelrollout.api.status import MOST_RECORDS, ModelRolloutStatus, SloStatus, StageStatus
from modelrollout.engine.course import asked, with_course
from modelrollout.engine.effects import Effect, WriteReport, fence
from modelrollout.engine.history import in_use
from modelrollout.engine.move import Move, evolve
from modelrollout.engine.reasons import Reason
from modelrollout.engine.slos import fold
from modelrollout.engine.snapshot import Snapshot

_OUTCOMES: Mapping[str, AttemptOutcome] = {
    Reason.ABORTED: AttemptOutcome.ABORTED,
    Reason.ABORT_REQUESTED: AttemptOutcome.ABORTED,
    Reason.SUPERSEDED: AttemptOutcome.SUPERSEDED,
    Reason.DELETED: AttemptOutcome.DELETED,
}
"""What becomes of a candidate that is taken back for these reasons; for any other it is Reverted."""

_SERVED = (AttemptOutcome.PROMOTED, AttemptOutcome.STOOD_IN, AttemptOutcome.UNDONE)
"""Outcomes after which another version can be put in its place, and it in that one's."""


def recorded(snapshot: Snapshot, move: Move, now: datetime) -> ModelRolloutStatus:
    """The status of a move, with what happened in it noted."""
    before, after = snapshot.status, move.status
    records = before.records
    if after.candidate and after.attempt != before.attempt:
        records = [*_unreported(snapshot), _begun(before, after, now)]
    if not records or records[-1].attempt != after.attempt:
        return after
    record = with_course(_noted(records[-1], _entries(snapshot, move, now)), snapshot, after, now)
    return evolve(after, records=[*records[:-1], _judged(record, before, move, now)])


def reports_noted(snapshot: Snapshot, status: ModelRolloutStatus) -> ModelRolloutStatus:
    """The status without attempts that are over and reported, but for the newest, which is marked as reported.

    A report that still grows is not marked: that would be a write for every write of it. The course of an attempt is
    large, and in the report by then.
    """
    records = [
        evolve(one, reported=one.entries, course=[]) if one.ended and _is_known(snapshot, one) else one
        for one in status.records
    ]
    kept = [one for one in records[:-1] if one.reported != one.entries]
    return evolve(status, records=[*kept, *records[-1:]])


def reports(snapshot: Snapshot, status: ModelRolloutStatus, effects: Iterable[Effect]) -> list[Effect]:
    """What brings the reports up to the status; behind a write of it, which is added where there is none."""
    lagging = [_written(status, _whole(status, one)) for one in status.records if _lags(snapshot, one)]
    if not lagging or snapshot.report_refused:
        return []
    return [*fence(status, effects), *lagging]


def last_reports(snapshot: Snapshot, now: datetime) -> list[Effect]:
    """What is to be said before the ModelRollout goes: an attempt that is under way ends with it."""
    status = snapshot.status
    return [
        _written(status, _cut_short(_whole(status, one), now))
        for one in status.records
        if _lags(snapshot, one) or not one.ended
    ]


def _written(status: ModelRolloutStatus, record: AttemptRecord) -> WriteReport:
    """The newest attempt is in use though nothing may be left of it: people want to know why."""
    return WriteReport(record=record, in_use=in_use(status) | {status.attempt})


def _lags(snapshot: Snapshot, record: AttemptRecord) -> bool:
    return record.reported != record.entries and not _is_known(snapshot, record)


def _is_known(snapshot: Snapshot, record: AttemptRecord) -> bool:
    return (record.attempt, record.entries) in snapshot.reported


def _unreported(snapshot: Snapshot) -> list[AttemptRecord]:
    """Records that a new attempt must not push out yet, with all that the status will forget of them."""
    status = snapshot.status
    lagging = [_whole(status, one) for one in status.records if _lags(snapshot, one)][-(MOST_RECORDS - 1) :]
    while sum(len(one.timeline) for one in lagging) > MOST_ENTRIES:
        lagging = lagging[1:]
    return [*(evolve(one, course=[]) for one in lagging[:-1]), *lagging[-1:]]


def _whole(status: ModelRolloutStatus, record: AttemptRecord) -> AttemptRecord:
    """The record with what the status keeps beside it as long as it is the newest."""
    if record.attempt != status.attempt:
        return record
    actions = [action for action in status.actions if action.at >= record.started]
    return evolve(record, consents=status.consents, actions=actions)


def _begun(before: ModelRolloutStatus, after: ModelRolloutStatus, now: datetime) -> AttemptRecord:
    return AttemptRecord(
        attempt=after.attempt,
        version=after.candidate.version if after.candidate else "",
        from_version=before.stable.version if before.stable else "",
        started=now,
    )


def _entries(snapshot: Snapshot, move: Move, now: datetime) -> list[TimelineEntry]:
    """An entry for each event of the move; the last of them is the move itself, and has the evidence for it."""
    before, after = snapshot.status, move.status
    if _is_over(before, after) and (_serving(before), before.workload) == (_serving(after), after.workload):
        return []
    stage, step = after.stage.name if after.stage else "", after.stage or after.way_back
    weight = step.weight if step else None
    notes = [
        TimelineEntry(at=now, reason=event.reason, message=event.message[:1024], stage=stage, weight=weight)
        for event in move.events
    ]
    if not notes or not move.moved:
        return notes
    left = before.stage if before.stage and _is_another(before.stage, after.stage) else None
    moved = evolve(notes[-1], moved=True)
    if left:
        moved = evolve(moved, left=left.name, evidence=_evidence(snapshot, now) if left.has_requests else [])
    return [*notes[:-1], moved]


def _is_over(before: ModelRolloutStatus, after: ModelRolloutStatus) -> bool:
    """Whether nobody is on trial: then it is told of the attempt before only if it is undone, or has taken over."""
    return before.candidate is None and after.candidate is None


def _serving(status: ModelRolloutStatus) -> int:
    """The attempt that serves."""
    return status.stable.attempt if status.stable else 0


def _is_another(left: StageStatus, entered: StageStatus | None) -> bool:
    return entered is None or (left.name, left.entered_at) != (entered.name, entered.entered_at)


def _evidence(snapshot: Snapshot, now: datetime) -> list[Evidence]:
    """What the SLOs said when it was decided, by which it was decided."""
    specs = {slo.name: slo for slo in snapshot.spec.slos}
    return [_said(slo, specs[slo.name]) for slo in fold(snapshot, now)]


def _said(slo: SloStatus, spec: Slo) -> Evidence:
    return Evidence(
        name=slo.name,
        verdict=slo.verdict,
        reason=slo.reason,
        message="" if slo.verdict is Verdict.PASS else slo.message[:256],
        value=slo.value,
        limit=slo.limit,
        samples=slo.samples,
        asked=asked(spec),
        window=spec.window,
        comparison=slo.comparison,
    )


def _noted(record: AttemptRecord, entries: list[TimelineEntry]) -> AttemptRecord:
    """The record with further entries. Where there is no room, notes go before moves, and the oldest first."""
    timeline = [*record.timeline, *entries]
    surplus = len(timeline) - MOST_ENTRIES
    if surplus <= 0:
        return evolve(record, timeline=timeline)
    by_worth = sorted(range(1, len(timeline)), key=lambda place: (timeline[place].moved, place))
    left_out = set(by_worth[:surplus])
    kept = [entry for place, entry in enumerate(timeline) if place not in left_out]
    return evolve(record, timeline=kept, omitted=record.omitted + surplus)


def _judged(record: AttemptRecord, before: ModelRolloutStatus, move: Move, now: datetime) -> AttemptRecord:
    """The record with how the attempt ended, if it did by this move, or was undone or put back after its end."""
    after = move.status
    ends = before.candidate is not None and after.candidate is None
    changes_places = record.outcome in _SERVED and _serving(before) != _serving(after)
    is_drained = ends and record.outcome is AttemptOutcome.UNDONE
    if not move.events or is_drained or not (ends or changes_places):
        return record
    told, taken_back = move.events[-1], after.last_revert
    outcome, reason, message = AttemptOutcome.REVERTED, told.reason, told.message
    if _serving(after) == record.attempt:
        outcome = AttemptOutcome.STOOD_IN if told.reason == Reason.STABLE_UNAVAILABLE else AttemptOutcome.PROMOTED
    elif changes_places:
        outcome = AttemptOutcome.UNDONE
    elif taken_back:
        reason, message = taken_back.reason, taken_back.message
        outcome = _OUTCOMES.get(reason, outcome)
    return evolve(record, ended=record.ended or now, outcome=outcome, reason=reason, message=message[:1024])


def _cut_short(record: AttemptRecord, now: datetime) -> AttemptRecord:
    if record.ended:
        return record
    message = f"The ModelRollout was deleted while version {record.version} was on trial"
    entry = TimelineEntry(at=now, reason=Reason.DELETED, message=message, moved=True)
    return evolve(
        _noted(record, [entry]), ended=now, outcome=AttemptOutcome.DELETED, reason=Reason.DELETED, message=message
    )
