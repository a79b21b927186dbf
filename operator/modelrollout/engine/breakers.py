"""Breakers: containers that crash or run out of memory, which take a candidate back before any statistics.

What stable suffers from as well since the candidate has requests is an incident that both share: it holds, and takes
nobody back.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from modelrollout.api.status import ColourStatus
from modelrollout.engine.alerts import first_requests
from modelrollout.engine.move import Waiting, stamp
from modelrollout.engine.reasons import Reason
from modelrollout.engine.snapshot import Crash, Snapshot

_RESTARTS_WITH_REQUESTS = 3
"""Of one container that was ready: more than bad luck, also where so much time lies between that no loop shows."""

_RESTARTS_COMING_UP = 5
"""Of one that was not ready yet: what waits for something else by ending is started a few times."""

_KILLS_COMING_UP = 2
"""Memory that is not enough for loading the model is not enough the next time."""

_WELL_AFTER = timedelta(minutes=10)
"""A container that has run for so long is well again; the kubelet, too, begins its waits anew then."""


@dataclass(frozen=True, kw_only=True)
class Breaker:
    """A container that broke, and what that is."""

    reason: Reason
    crash: Crash

    @property
    def message(self) -> str:
        """What there is to find it by, and how it ended."""
        crash = self.crash
        happened = "ran out of memory" if self.reason is Reason.CANDIDATE_OUT_OF_MEMORY else "crashes again and again"
        code = "" if crash.exit_code is None else f", exit code {crash.exit_code}"
        at = "" if crash.ended_at is None else f", at {stamp(crash.ended_at)}"
        last = f"last state {crash.reason or 'unknown'}{code}{at}"
        return f"container {crash.container} of pod {crash.pod} {happened}: restarts {crash.restarts}, {last}"


def breaker(snapshot: Snapshot, candidate: ColourStatus, now: datetime, *, has_requests: bool) -> Breaker | None:
    """What takes the candidate back at once: what it suffers from and stable does not."""
    shared = _reasons_of_stable(snapshot, candidate)
    suffered = _suffered(snapshot, candidate, _lately(snapshot, candidate, now), has_requests=has_requests)
    return next((one for one in suffered if one.reason not in shared), None)


def shared_incident(snapshot: Snapshot, candidate: ColourStatus, now: datetime) -> Waiting | None:
    """What the candidate and stable both suffer from keeps the candidate where it is, until it is well again."""
    shared = _reasons_of_stable(snapshot, candidate)
    for one in _suffered(snapshot, candidate, _lately(snapshot, candidate, now), has_requests=True):
        if one.reason in shared:
            message = f"{one.message}; so it is with stable: something that both depend on is broken"
            until = one.crash.ended_at + _WELL_AFTER if one.crash.ended_at else None
            return Waiting(reason=Reason.SHARED_INCIDENT, message=message, until=until, needs_person=True)
    return None


def _lately(snapshot: Snapshot, candidate: ColourStatus, now: datetime) -> datetime:
    """From when on it counts how a container of the candidate ended."""
    return max(first_requests(candidate, snapshot.status), now - _WELL_AFTER)


def _reasons_of_stable(snapshot: Snapshot, candidate: ColourStatus) -> set[Reason]:
    stable = snapshot.status.stable
    if stable is None:
        return set()
    since = first_requests(candidate, snapshot.status)
    return {one.reason for one in _suffered(snapshot, stable, since, has_requests=True)}


def _suffered(snapshot: Snapshot, part: ColourStatus, since: datetime, *, has_requests: bool) -> list[Breaker]:
    """What containers of a version suffer from, lack of memory first: it says most."""
    own = [one for one in snapshot.crashes if (one.colour, one.attempt) == (part.colour, part.attempt)]
    found = [
        Breaker(reason=reason, crash=crash)
        for crash in own
        for reason in (_with_requests(crash, since) if has_requests and crash.was_ready else _coming_up(crash))
    ]
    return sorted(found, key=lambda one: one.reason is not Reason.CANDIDATE_OUT_OF_MEMORY)


def _with_requests(crash: Crash, since: datetime) -> Iterator[Reason]:
    ended_since = crash.ended_at is not None and crash.ended_at > since
    if crash.is_out_of_memory and ended_since:
        yield Reason.CANDIDATE_OUT_OF_MEMORY
    if crash.looping or (ended_since and crash.restarts_since_ready >= _RESTARTS_WITH_REQUESTS):
        yield Reason.CANDIDATE_CRASH_LOOPING


def _coming_up(crash: Crash) -> Iterator[Reason]:
    if crash.looping and crash.is_out_of_memory and crash.restarts >= _KILLS_COMING_UP:
        yield Reason.CANDIDATE_OUT_OF_MEMORY
    if crash.looping and crash.restarts >= _RESTARTS_COMING_UP:
        yield Reason.CANDIDATE_CRASH_LOOPING
