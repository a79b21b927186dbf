"""A ModelRollout that is being deleted: stable goes on serving through a plain Service and route, owned by nobody."""

from modelrollout.api.spec import DeletionPolicy
from modelrollout.engine.effects import Effect, Release, RemoveFinalizer, SetTraffic
from modelrollout.engine.move import ready_pods, route_share
from modelrollout.engine.snapshot import Snapshot


def deleting(snapshot: Snapshot) -> list[Effect]:
    """Traffic to what stays, then ownership off it, then let go."""
    if not snapshot.has_finalizer:
        return []
    stable, candidate = snapshot.status.stable, snapshot.status.candidate
    if snapshot.spec.deletion_policy is DeletionPolicy.DELETE or stable is None:
        return [Release(keep=None), RemoveFinalizer()]
    keep = stable.colour
    only_candidate_serves = (
        candidate
        and route_share(snapshot, candidate.colour) > 0
        and ready_pods(snapshot, candidate)
        and not ready_pods(snapshot, stable)
    )
    if only_candidate_serves and candidate:
        keep = candidate.colour
    return [SetTraffic(stable=keep), Release(keep=keep), RemoveFinalizer()]
