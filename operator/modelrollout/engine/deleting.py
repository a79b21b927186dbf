"""A ModelRollout that is being deleted: stable goes on serving through a plain Service and route, owned by nobody."""

from datetime import datetime

from modelrollout.api.spec import DeletionPolicy
from modelrollout.api.status import Colour, Phase
from modelrollout.engine.effects import Effect, Release, RemoveFinalizer, ScaleWorkload, SetTraffic
from modelrollout.engine.move import Move, answering_pods, only_candidate_serves, serving_colour
from modelrollout.engine.reasons import Reason
from modelrollout.engine.records import last_reports
from modelrollout.engine.reverting import at_once, reverting
from modelrollout.engine.snapshot import Snapshot
from modelrollout.engine.transitions import revert


def drains_first(snapshot: Snapshot) -> bool:
    """Whether a candidate that has requests is to finish them, while stable can answer all others."""
    status = snapshot.status
    stays = snapshot.has_finalizer and snapshot.spec.deletion_policy is DeletionPolicy.RETAIN
    in_traffic = status.candidate is not None and status.phase in (Phase.PROGRESSING, Phase.REVERTING)
    return stays and in_traffic and answering_pods(snapshot, status.stable) > 0


def taking_back(snapshot: Snapshot, now: datetime) -> Move:
    """The candidate goes as in any revert, and nothing follows."""
    candidate = snapshot.status.candidate
    if candidate is None:
        return Move(status=snapshot.status)
    if snapshot.status.phase is Phase.REVERTING:
        return reverting(at_once(snapshot, now), candidate, now)
    message = "the ModelRollout is being deleted"
    return revert(snapshot, candidate, now, reason=Reason.DELETED, message=message, may_retry=True)


def deleting(snapshot: Snapshot, now: datetime) -> list[Effect]:
    """Traffic to what stays, all of its pods, then the last word on it, then ownership off it, then let go."""
    if not snapshot.has_finalizer:
        return []
    keeps_reports = snapshot.spec.deletion_policy is DeletionPolicy.RETAIN
    told = last_reports(snapshot, now) if keeps_reports else []
    stays = _what_stays(snapshot)
    if stays is None:
        return [*told, Release(keep=None), RemoveFinalizer()]
    colour, attempt = stays
    token = snapshot.route.token if snapshot.route else None
    traffic = SetTraffic(stable=colour, attempt=attempt, token=token)
    return [traffic, *_made_whole(snapshot, colour), *told, Release(keep=colour), RemoveFinalizer()]


def _made_whole(snapshot: Snapshot, colour: Colour) -> list[Effect]:
    """Nobody else gives back the pods that what stays was lent out of."""
    seen, full = snapshot.workloads.get(colour), snapshot.spec.replicas
    return [ScaleWorkload(colour=colour, replicas=full)] if seen and seen.desired < full else []


def _what_stays(snapshot: Snapshot) -> tuple[Colour, int] | None:
    """Colour and attempt that go on serving: stable, unless the candidate alone answers or the status was lost."""
    stable, candidate = snapshot.status.stable, snapshot.status.candidate
    if snapshot.spec.deletion_policy is DeletionPolicy.DELETE:
        return None
    if stable is None:
        colour = serving_colour(snapshot)
        return (colour, snapshot.workloads[colour].attempt) if colour else None
    serves = candidate if candidate and only_candidate_serves(snapshot, stable, candidate) else stable
    return serves.colour, serves.attempt
