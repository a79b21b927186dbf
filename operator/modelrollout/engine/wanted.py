"""Which version is wanted: the one that the spec describes, or one of history that somebody went back to."""

from dataclasses import dataclass
from datetime import datetime

from modelrollout.api.spec import ModelRolloutSpec
from modelrollout.api.status import HistoryEntry, Pinned
from modelrollout.engine.move import with_status
from modelrollout.engine.revision import fingerprint_of, revision_of, template_fingerprint
from modelrollout.engine.snapshot import Snapshot


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to serve in the end."""

    revision: str
    version: str
    recorded: int | None = None
    """The attempt whose record says what it runs; None: the spec does."""
    trouble: str | None = None
    """Why the spec does not say it: something that the template names is missing; empty while that is being read."""


def wanted(snapshot: Snapshot) -> Wanted:
    """What is to serve in the end, as far as is known now."""
    pinned = snapshot.status.pinned
    if pinned:
        return Wanted(revision=pinned.revision, version=pinned.version, recorded=pinned.attempt)
    copied, version = snapshot.copied, snapshot.spec.model.version
    if copied and copied.trouble is not None:
        return _as_it_is(snapshot, copied.trouble)
    revision = revision_of(snapshot.name, snapshot.spec, copied.digests if copied else None)
    return Wanted(revision=revision, version=version)


def _as_it_is(snapshot: Snapshot, trouble: str) -> Wanted:
    """What cannot be read has not changed, as far as is known: the version on trial, or what serves, goes on."""
    status, version = snapshot.status, snapshot.spec.model.version
    part = status.candidate or status.stable
    if part is None or part.version != version:
        return Wanted(revision="", version=version, trouble=trouble)
    return Wanted(revision=part.revision, version=version, recorded=part.attempt, trouble=trouble)


def fingerprint(snapshot: Snapshot) -> str:
    """What has to change before a version is tried again that was taken back: the spec, what is copied, or a pin."""
    of_spec = fingerprint_of(snapshot.spec)
    if snapshot.status.pinned or snapshot.copied or snapshot.spec.workload_ref:
        return f"{of_spec}-{wanted(snapshot).revision}"
    return of_spec


def find(snapshot: Snapshot, version: str | None) -> HistoryEntry | None:
    """The attempt to go back to, if there is one.

    Of a version that one which served last, or else the newest. Without a version what served before what serves now.
    """
    status = snapshot.status
    here = {part.attempt for part in (status.stable, status.previous) if part}
    there = [entry for entry in status.history if entry.attempt in here or entry.attempt in snapshot.recorded]
    if version is not None:
        named = [entry for entry in there if entry.version == version]
    else:
        serving = status.stable.revision if status.stable else ""
        named = [entry for entry in there if entry.promoted_at and entry.revision != serving]
    return max(named, key=_served_last, default=None)


def pin(snapshot: Snapshot, entry: HistoryEntry, *, by: str, at: datetime, reason: str) -> Pinned:
    """Go back to an attempt of history, whatever the spec says, until the spec asks for something else than now.

    It serves again at once where it is still warm, and goes through the stages otherwise.
    """
    return Pinned(
        attempt=entry.attempt,
        version=entry.version,
        revision=entry.revision,
        fingerprint=_asked_for(snapshot.spec),
        by=by,
        at=at,
        reason=reason,
    )


def follow_spec(snapshot: Snapshot) -> Snapshot:
    """With a spec that has changed since somebody went back to a version, the spec says again what is wanted.

    A template behind a workloadRef that was unknown then, or is now, has not changed as far as is known.
    """
    pinned = snapshot.status.pinned
    if pinned is None:
        return snapshot
    then, now = pinned.fingerprint.split("-"), _asked_for(snapshot.spec).split("-")
    if all(before == after for before, after in zip(then, now, strict=False)):
        return snapshot
    return with_status(snapshot, pinned=None)


def _asked_for(spec: ModelRolloutSpec) -> str:
    """Hash of what a spec asks for, and that of the template behind its workloadRef, where it is known."""
    return "-".join(filter(None, (fingerprint_of(spec), template_fingerprint(spec))))


def _served_last(entry: HistoryEntry) -> tuple[bool, float, int]:
    served_at = entry.promoted_at.timestamp() if entry.promoted_at else 0.0
    return entry.promoted_at is not None, served_at, entry.attempt
