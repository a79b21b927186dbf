"""The attempts that can be gone back to: what became of each, and which are forgotten."""

from modelrollout.api.status import ColourStatus, HistoryEntry, HistoryOutcome, ModelRolloutStatus
from modelrollout.engine.move import evolve
from modelrollout.engine.snapshot import Snapshot


def with_history(snapshot: Snapshot, status: ModelRolloutStatus) -> ModelRolloutStatus:
    """The status with the history that follows from the rest of it: the newest first, and no more than is kept."""
    known = sorted(_known(snapshot, status), key=lambda entry: entry.attempt, reverse=True)
    needed = in_use(status)
    spare = [entry.attempt for entry in known if entry.attempt not in needed]
    kept = needed | set(spare[: snapshot.spec.revision_history_limit])
    return evolve(status, history=[entry for entry in known if entry.attempt in kept])


def in_use(status: ModelRolloutStatus) -> frozenset[int]:
    """The attempts that have pods, or that somebody went back to."""
    parts = (status.stable, status.previous, status.candidate, status.pinned)
    return frozenset(part.attempt for part in parts if part)


def forgotten(snapshot: Snapshot, status: ModelRolloutStatus) -> tuple[int, ...]:
    """Attempts whose records are still there and need not be."""
    return tuple(sorted(snapshot.recorded.keys() - {entry.attempt for entry in status.history}))


def _known(snapshot: Snapshot, status: ModelRolloutStatus) -> list[HistoryEntry]:
    """Every attempt that the status or a record tells of, the latter alone when a status was lost."""
    entries = {
        attempt: HistoryEntry(attempt=attempt, version=record.version, revision=record.revision)
        for attempt, record in snapshot.recorded.items()
    }
    entries |= {entry.attempt: entry for entry in status.history}
    if status.candidate:
        _note(entries, status.candidate, outcome=HistoryOutcome.ON_TRIAL)
    failed = status.last_revert
    if failed and failed.attempt in entries:
        outcome = {"outcome": HistoryOutcome.REVERTED, "reason": failed.reason}
        entries[failed.attempt] = evolve(entries[failed.attempt], **outcome)
    if status.previous:
        _note(entries, status.previous, outcome=HistoryOutcome.PROMOTED)
    if status.stable:
        _note(entries, status.stable, outcome=HistoryOutcome.PROMOTED, reason="", promoted_at=status.stable.since)
    return list(entries.values())


def _note(entries: dict[int, HistoryEntry], part: ColourStatus, **changes: object) -> None:
    entry = entries.get(part.attempt) or HistoryEntry(
        attempt=part.attempt, version=part.version, revision=part.revision
    )
    entries[part.attempt] = evolve(entry, **changes)
