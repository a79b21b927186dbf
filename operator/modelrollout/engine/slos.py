"""Readings fold into the status: which SLO says what, and how often in a row it was breached."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from modelrollout.api.quantities import parse_duration
from modelrollout.api.slo import OnBreach, Slo, Verdict
from modelrollout.api.status import ModelRolloutStatus, SloStatus
from modelrollout.engine.move import evolve, with_status
from modelrollout.engine.reasons import Reason
from modelrollout.engine.snapshot import Snapshot

MAX_READING_AGE = timedelta(seconds=15)
"""A look longer ago says nothing: whoever looks may be hanging, and silence is not health."""

REFRESH_AFTER = timedelta(seconds=30)
"""How long a value in the status may lag behind while nothing else about it changes: no write for every scrape."""

NEVER = datetime.max.replace(tzinfo=UTC)

_GRAVITY = [Verdict.BREACH, Verdict.INCONCLUSIVE, Verdict.PASS]


def fold(snapshot: Snapshot, now: datetime) -> list[SloStatus]:
    """What every SLO of the spec says now, breaches in a row counted, in the order of the spec."""
    before = {slo.name: slo for slo in snapshot.status.slos}
    read = _fresh_readings(snapshot, now)
    return [_count(slo, before.get(slo.name), read.get(slo.name), now) for slo in snapshot.spec.slos]


def judged_stage(status: ModelRolloutStatus) -> int | None:
    """What readings call the present stage: its index, or the weight of a step back below zero.

    None when nothing is judged, because there are no requests.
    """
    if status.way_back:
        return -status.way_back.weight
    return status.stage.index if status.stage and status.stage.has_requests else None


def with_verdicts(snapshot: Snapshot, current: list[SloStatus]) -> Snapshot:
    """The same moment with what the SLOs say in the status.

    An entry stays as it is written where nothing changed but a value that was written a moment ago.
    """
    written = {slo.name: slo for slo in snapshot.status.slos}
    slos = [_written_or_new(written.get(slo.name), slo) for slo in current]
    return with_status(snapshot, slos=slos, verdict=gravest(slos))


def harmful(spec_slos: Iterable[Slo], current: Iterable[SloStatus], now: datetime) -> SloStatus | None:
    """The first SLO that is breached and takes the candidate back for it now.

    One that was breached and is not known any more waits for what it says next: silence is no harm.
    """
    known = ((spec, slo) for spec, slo in _breached(spec_slos, current) if slo.verdict is Verdict.BREACH)
    return next((slo for spec, slo in known if _takes_back_at(spec, slo, now) <= now), None)


def held(spec_slos: Iterable[Slo], current: Iterable[SloStatus]) -> tuple[SloStatus, datetime | None] | None:
    """The first SLO that is breached and only holds the candidate, and when it takes it back after all, if it does."""
    for spec, slo in _breached(spec_slos, current):
        takes_back_at = _takes_back_at(spec, slo, NEVER)
        return slo, takes_back_at if takes_back_at < NEVER else None
    return None


def _breached(spec_slos: Iterable[Slo], current: Iterable[SloStatus]) -> list[tuple[Slo, SloStatus]]:
    """SLOs that were breached as often in a row as it takes."""
    specs = {slo.name: slo for slo in spec_slos}
    return [(specs[slo.name], slo) for slo in current if slo.breaches >= specs[slo.name].consecutive_breaches]


def _takes_back_at(spec: Slo, slo: SloStatus, now: datetime) -> datetime:
    """When a breach that counts takes the candidate back."""
    if spec.on_breach is OnBreach.REVERT:
        return now
    if spec.revert_after is None or slo.breached_since is None:
        return NEVER
    return slo.breached_since + parse_duration(spec.revert_after)


def not_passing(current: Iterable[SloStatus]) -> list[SloStatus]:
    """SLOs that do not pass."""
    return [slo for slo in current if slo.verdict is not Verdict.PASS]


def gravest(current: Iterable[SloStatus]) -> str:
    """The gravest verdict among the SLOs, empty without any."""
    verdicts = {slo.verdict for slo in current}
    return next((verdict.value for verdict in _GRAVITY if verdict in verdicts), "")


def _fresh_readings(snapshot: Snapshot, now: datetime) -> dict[str, SloStatus]:
    """Readings of this very stage of this attempt that are not too old."""
    readings, status = snapshot.readings, snapshot.status
    if readings is None or now - readings.looked_at > MAX_READING_AGE:
        return {}
    attempt = status.candidate.attempt if status.candidate else None
    if (readings.attempt, readings.stage) != (attempt, judged_stage(status)):
        return {}
    return dict(readings.by_slo)


def _count(slo: Slo, before: SloStatus | None, reading: SloStatus | None, now: datetime) -> SloStatus:
    breaches, since = (before.breaches, before.breached_since) if before else (0, None)
    if reading is None:
        return SloStatus(
            name=slo.name,
            verdict=Verdict.INCONCLUSIVE,
            reason=Reason.NOT_LOOKED_AT,
            message="no fresh look at this SLO; waiting for the next poll of Prometheus",
            breaches=breaches,
            breached_since=since,
            at=before.at if before else now,
        )
    if reading.verdict is Verdict.PASS:
        breaches, since = 0, None
    elif reading.verdict is Verdict.BREACH and _is_new_evidence(before, reading):
        breaches, since = breaches + 1, since or reading.at
    return evolve(reading, breaches=breaches, breached_since=since)


def _is_new_evidence(before: SloStatus | None, reading: SloStatus) -> bool:
    """The same scrape looked at twice is one breach."""
    return before is None or before.breaches == 0 or reading.at > before.at


def _written_or_new(written: SloStatus | None, current: SloStatus) -> SloStatus:
    if written is None or _gist(written) != _gist(current):
        return current
    return current if current.at - written.at >= REFRESH_AFTER else written


def _gist(slo: SloStatus) -> tuple[Verdict, str, int]:
    return slo.verdict, slo.reason, slo.breaches


def clear_verdicts(status: ModelRolloutStatus) -> ModelRolloutStatus:
    """A new stage is judged afresh."""
    return evolve(status, slos=[], verdict="")
