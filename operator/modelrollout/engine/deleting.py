"""A ModelRollout that is being deleted: stable goes on serving through a plain Service and route, owned by nobody."""

from modelrollout.api.spec import DeletionPolicy
from modelrollout.engine.effects import Effect, Release, RemoveFinalizer, SetTraffic
from modelrollout.engine.move import only_candidate_serves
from modelrollout.engine.snapshot import Snapshot


def deleting(snapshot: Snapshot) -> list[Effect]:
    """Traffic to what stays, then ownership off it, then let go."""
    if not snapshot.has_finalizer:
        return []
    stable, candidate = snapshot.status.stable, snapshot.status.candidate
    if snapshot.spec.deletion_policy is DeletionPolicy.DELETE or stable is None:
        return [Release(keep=None), RemoveFinalizer()]
    keep = candidate if candidate and only_candidate_serves(snapshot, stable, candidate) else stable
    return [SetTraffic(stable=keep.colour, attempt=keep.attempt), Release(keep=keep.colour), RemoveFinalizer()]
