"""What a phase answers: the status to be, what to tell people, and what it waits for."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from modelrollout.api.base import ApiModel
from modelrollout.api.status import Colour, ColourStatus, ModelRolloutStatus
from modelrollout.api.traffic import HeaderMatch
from modelrollout.engine.effects import Emit
from modelrollout.engine.reasons import Reason
from modelrollout.engine.snapshot import Snapshot, Workload

Part = TypeVar("Part", bound=ApiModel)


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """What keeps a rollout where it is. The message must not change from look to look, or each look would write it."""

    reason: str
    message: str
    until: datetime | None = None
    needs_person: bool = False


@dataclass(frozen=True, kw_only=True)
class Move:
    """The answer of one phase. `waiting` is None when it waits for nothing: it is done, or moved just now."""

    status: ModelRolloutStatus
    waiting: Waiting | None = None
    events: tuple[Emit, ...] = ()
    moved: bool = False
    """The phase or the stage changed, so there may be more to do at once."""


def evolve(part: Part, **changes: Any) -> Part:
    """A copy of a part of the status with some fields changed."""
    return part.model_copy(update=changes)


def with_status(snapshot: Snapshot, **changes: Any) -> Snapshot:
    """The same moment with some fields of the status changed."""
    return replace(snapshot, status=evolve(snapshot.status, **changes))


def stays(
    status: ModelRolloutStatus,
    reason: Reason,
    message: str,
    *,
    until: datetime | None = None,
    needs_person: bool = False,
) -> Move:
    """The rollout stays where it is and says what for."""
    return Move(status=status, waiting=Waiting(reason=reason, message=message, until=until, needs_person=needs_person))


def normal(reason: Reason, message: str) -> Emit:
    """An event that is good to know."""
    return Emit(type="Normal", reason=reason, message=message)


def warning(reason: str, message: str) -> Emit:
    """An event that somebody should look at."""
    return Emit(type="Warning", reason=reason, message=message)


def answering_pods(snapshot: Snapshot, part: ColourStatus | None) -> int:
    """Pods of a version that get requests, as far as known."""
    workload = own_workload(snapshot, part) if part else None
    return workload.answering if workload else 0


def ready_pods(snapshot: Snapshot, part: ColourStatus) -> int:
    """Ready pods of a version as last seen; it may be that some are of the template before."""
    workload = own_workload(snapshot, part)
    return workload.ready if workload else 0


def is_ready(snapshot: Snapshot, part: ColourStatus, *, pods: int) -> bool:
    """Whether a version surely has that many ready pods: its Deployment has been looked at since we last changed it."""
    workload = own_workload(snapshot, part)
    return workload is not None and workload.settled and workload.ready >= pods


def own_workload(snapshot: Snapshot, part: ColourStatus) -> Workload | None:
    """The Deployment of a version; one of another revision or attempt in its colour is not its own."""
    workload = snapshot.workloads.get(part.colour)
    if workload is None or (workload.revision, workload.attempt) != (part.revision, part.attempt):
        return None
    return workload


def route_share(snapshot: Snapshot, colour: Colour) -> float:
    """Per cent of the requests that a colour gets now; 0 while there is no route."""
    return snapshot.route.shares.get(colour, 0.0) if snapshot.route else 0.0


def cohort_of(snapshot: Snapshot, colour: Colour) -> frozenset[HeaderMatch]:
    """Whose requests all go to a colour now, whatever its share."""
    return snapshot.route.cohorts.get(colour, frozenset()) if snapshot.route else frozenset()


def let_in(status: ModelRolloutStatus) -> tuple[HeaderMatch, ...]:
    """Whose requests the stage gives to the candidate, whatever its weight: those it names and nobody has excluded."""
    return tuple(one for one in status.stage.match if one not in status.excluded) if status.stage else ()


def gets_requests(snapshot: Snapshot, colour: Colour) -> bool:
    """Whether the route gives a colour anything now: a share of all requests, or those of a cohort."""
    return route_share(snapshot, colour) > 0 or bool(cohort_of(snapshot, colour))


def serving_colour(snapshot: Snapshot) -> Colour | None:
    """The colour that the route calls stable, if it answers; else one that answers requests."""
    route = snapshot.route
    if route is None:
        return None
    answering = [colour for colour, workload in snapshot.workloads.items() if workload.answering and workload.version]
    stable = [colour for colour in answering if snapshot.workloads[colour].attempt == route.attempt]
    return next((colour for colour in (*stable, *answering) if gets_requests(snapshot, colour)), None)


def only_candidate_serves(snapshot: Snapshot, stable: ColourStatus | None, candidate: ColourStatus | None) -> bool:
    """Stable has no ready endpoint and the candidate answers: taking its traffic away would help nobody."""
    return (
        candidate is not None
        and gets_requests(snapshot, candidate.colour)
        and answering_pods(snapshot, candidate) > 0
        and answering_pods(snapshot, stable) == 0
    )


def paused_by(snapshot: Snapshot) -> str:
    """Who or what pauses the rollout, for a message; empty when nothing does, or somebody asked to promote."""
    status = snapshot.status
    if status.promoting:
        return ""
    if status.held:
        return f"paused by {status.held.by}" + (f": {status.held.reason}" if status.held.reason else "")
    return "paused by spec.paused" if snapshot.spec.paused else ""


def paused_time(status: ModelRolloutStatus, now: datetime) -> timedelta:
    """Time spent paused since the present stage (or the preparation) began."""
    current = now - status.paused_at if status.paused_at else timedelta()
    return timedelta(seconds=status.paused_seconds) + max(current, timedelta())


def stamp(moment: datetime) -> str:
    """A moment in a message, to the second."""
    return moment.strftime("%Y-%m-%d %H:%M:%SZ")
