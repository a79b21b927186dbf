"""Readings fold into the status: which SLO says what, and how often in a row it was breached."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from modelrollout.api.evidence import SloEvidence
from modelrollout.api.quantities import parse_duration
from modelrollout.api.slo import EVERY_REQUEST_FAILS, OnBreach, Slo, Verdict
from modelrollout.api.status import ModelRolloutStatus, SloStatus
from modelrollout.engine.move import evolve, with_status
from modelrollout.engine.reasons import Reason
from modelrollout.engine.snapshot import Readings, Snapshot

MAX_READING_AGE = timedelta(seconds=15)
"""A look longer ago says nothing: whoever looks may be hanging, and silence is not health."""

REFRESH_AFTER = timedelta(seconds=30)
"""How long a value in the status may lag behind while nothing else about it changes: no write for every scrape."""

NEVER = datetime.max.replace(tzinfo=UTC)

_GRAVITY = [Verdict.BREACH, Verdict.INCONCLUSIVE, Verdict.PASS]


def fold(snapshot: Snapshot, now: datetime) -> list[SloStatus]:
    """What every SLO of the spec that is judged here says now, breaches counted, in the order of the spec."""
    before = {slo.name: slo for slo in snapshot.status.slos}
    readings = _fresh(snapshot, now)
    read = readings.by_slo if readings else {}
    stage = snapshot.status.stage.name if snapshot.status.stage else ""
    judged = [slo for slo in snapshot.spec.slos if slo.applies_in(stage)]
    return [_count(slo, before.get(slo.name), read.get(slo.name), now) for slo in judged]


def judged_stage(status: ModelRolloutStatus) -> int | None:
    """What readings call the present stage: its index, or the weight of a step back below zero.

    None when nothing is judged, because there are no requests.
    """
    if status.way_back:
        return -status.way_back.weight
    return status.stage.index if status.stage and status.stage.has_requests else None


def with_verdicts(snapshot: Snapshot, current: list[SloStatus], now: datetime) -> Snapshot:
    """The same moment with what the SLOs say in the status.

    An entry stays as it is written where nothing changed but a value that was written a moment ago.
    """
    written = {slo.name: slo for slo in snapshot.status.slos}
    slos = [_written_or_new(written.get(slo.name), slo) for slo in current]
    verdict = gravest(acting(snapshot.spec.slos, slos))
    return with_status(snapshot, slos=slos, verdict=verdict, evidence=_evidence(snapshot, now))


def acting(spec_slos: Iterable[Slo], current: Iterable[SloStatus]) -> list[SloStatus]:
    """Without those that only tell."""
    told_only = {slo.name for slo in spec_slos if slo.dry_run or slo.on_breach is OnBreach.NOTIFY}
    return [slo for slo in current if slo.name not in told_only]


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
    """SLOs that were breached as often as it takes."""
    specs = {slo.name: slo for slo in spec_slos}
    counted = ((specs[slo.name], slo) for slo in acting(specs.values(), current))
    return [(spec, slo) for spec, slo in counted if _is_enough(spec, slo)]


def _is_enough(spec: Slo, slo: SloStatus) -> bool:
    if slo.breaches and slo.reason == EVERY_REQUEST_FAILS:
        return True
    in_all = spec.total_breaches is not None and slo.total_breaches >= spec.total_breaches
    return in_all or slo.breaches >= spec.breaches_needed


def _takes_back_at(spec: Slo, slo: SloStatus, now: datetime) -> datetime:
    """When a breach that counts takes the candidate back."""
    if spec.on_breach is OnBreach.REVERT:
        return now
    if spec.revert_after is None or slo.breached_since is None:
        return NEVER
    return slo.breached_since + parse_duration(spec.revert_after)


def not_passing(spec_slos: Iterable[Slo], current: Iterable[SloStatus]) -> list[SloStatus]:
    """SLOs that do not pass, and matter."""
    return [slo for slo in acting(spec_slos, current) if slo.verdict is not Verdict.PASS]


def gravest(current: Iterable[SloStatus]) -> str:
    """The gravest verdict among the SLOs, empty without any."""
    verdicts = {slo.verdict for slo in current}
    return next((verdict.value for verdict in _GRAVITY if verdict in verdicts), "")


def _evidence(snapshot: Snapshot, now: datetime) -> list[SloEvidence]:
    """Where the sequential tests stand, once a block more is over: it is written as rarely as that."""
    readings, written = _fresh(snapshot, now), {one.name: one for one in snapshot.status.evidence}
    told = readings.evidence if readings else {}
    newest = [told.get(slo.name) or written.get(slo.name) for slo in snapshot.spec.slos]
    return [one for one in newest if one is not None]


def _fresh(snapshot: Snapshot, now: datetime) -> Readings | None:
    """Readings of this very stage of this attempt, unless they are too old."""
    readings, status = snapshot.readings, snapshot.status
    if readings is None or now - readings.looked_at > MAX_READING_AGE:
        return None
    attempt = status.candidate.attempt if status.candidate else None
    return readings if (readings.attempt, readings.stage) == (attempt, judged_stage(status)) else None


def _count(slo: Slo, before: SloStatus | None, reading: SloStatus | None, now: datetime) -> SloStatus:
    breaches, since = (before.breaches, before.breached_since) if before else (0, None)
    in_all = before.total_breaches if before else 0
    if reading is None:
        return SloStatus(
            name=slo.name,
            verdict=Verdict.INCONCLUSIVE,
            reason=Reason.NOT_LOOKED_AT,
            message="no fresh look at this SLO; waiting for the next poll of Prometheus",
            breaches=breaches,
            total_breaches=in_all,
            breached_since=since,
            at=before.at if before else now,
        )
    if reading.verdict is Verdict.PASS:
        breaches, since = 0, None
    elif reading.verdict is Verdict.BREACH and _is_new_evidence(before, reading):
        breaches, in_all, since = breaches + 1, in_all + 1, since or reading.at
    return evolve(reading, breaches=breaches, total_breaches=in_all, breached_since=since)


def _is_new_evidence(before: SloStatus | None, reading: SloStatus) -> bool:
    """The same scrape looked at twice is one breach."""
    return before is None or before.total_breaches == 0 or reading.at > before.at


def _written_or_new(written: SloStatus | None, current: SloStatus) -> SloStatus:
    if written is None or _gist(written) != _gist(current):
        return current
    return current if current.at - written.at >= REFRESH_AFTER else written


def _gist(slo: SloStatus) -> tuple[Verdict, str, int]:
    return slo.verdict, slo.reason, slo.breaches


def clear_verdicts(status: ModelRolloutStatus) -> ModelRolloutStatus:
    """A new stage is judged afresh."""
    return evolve(status, slos=[], verdict="")
