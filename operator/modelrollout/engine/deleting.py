"""A ModelRollout that is being deleted: stable goes on serving through a plain Service and route, owned by nobody."""

from datetime import datetime

from modelrollout.api.spec import DeletionPolicy
from modelrollout.api.status import Colour, ModelRolloutStatus, Phase
from modelrollout.engine.effects import Effect, Release, RemoveFinalizer, ScaleWorkload, SetTraffic
from modelrollout.engine.idle import draining
from modelrollout.engine.move import Move, answering_pods, only_candidate_serves, serving_colour
from modelrollout.engine.reasons import Reason
from modelrollout.engine.records import last_reports
from modelrollout.engine.reverting import at_once, reverting
from modelrollout.engine.snapshot import Snapshot
from modelrollout.engine.transitions import revert


def drains_first(snapshot: Snapshot, now: datetime) -> bool:
    """Whether the version beside stable is to finish its answers, while stable can give all others."""
    status = snapshot.status
    stays = snapshot.has_finalizer and snapshot.spec.deletion_policy is DeletionPolicy.RETAIN
    has_answers = _is_in_traffic(status) or draining(snapshot, now) is not None
    return stays and has_answers and answering_pods(snapshot, status.stable) > 0


def _is_in_traffic(status: ModelRolloutStatus) -> bool:
    """Whether there is a candidate that has requests, or had some before it was put back to the first stage."""
    had_requests = status.phase in (Phase.PROGRESSING, Phase.REVERTING) or status.left_at is not None
    return status.candidate is not None and had_requests


def taking_back(snapshot: Snapshot, now: datetime) -> Move:
    """The candidate goes as in any revert, the version before once it has drained, and nothing follows."""
    candidate = snapshot.status.candidate
    if candidate is None:
        return draining(snapshot, now) or Move(status=snapshot.status)
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
