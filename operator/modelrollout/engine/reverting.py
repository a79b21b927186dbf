"""Reverting: stable has the requests again; the candidate's pods finish what they have, then go."""

from datetime import datetime, timedelta

from modelrollout.api.status import ColourStatus, Phase
from modelrollout.engine.capacity import ROUTE_SETTLES
from modelrollout.engine.move import Move, Waiting, evolve, normal, ready_pods, route_share, stays
from modelrollout.engine.reasons import Reason
from modelrollout.engine.snapshot import Snapshot

DRAIN = timedelta(seconds=10)
"""From the decision to the end of the candidate's pods: data planes take a moment to follow, answers to end."""


def reverting(snapshot: Snapshot, candidate: ColourStatus, now: datetime) -> Move:
    """Wait for the route to be back and the pods to drain, then give the colour up."""
    status, record = snapshot.status, snapshot.status.last_revert
    if route_share(snapshot, candidate.colour) > 0:
        if not ready_pods(snapshot, status.stable):
            return _keep_serving(snapshot, candidate)
        return stays(status, Reason.WAITING_FOR_TRAFFIC, "waiting for the route to show all requests on stable")
    drained_at = record.at + DRAIN if record and record.stage else now
    if now < drained_at:
        message = f"version {candidate.version} finishes its answers"
        out_at = drained_at - DRAIN + ROUTE_SETTLES
        return stays(status, Reason.DRAINING, message, until=out_at if now < out_at else drained_at)
    stuck = record is not None and bool(record.fingerprint)
    done = evolve(status, phase=Phase.REVERTED if stuck else Phase.IDLE, candidate=None)
    served = f"version {status.stable.version} serves all requests" if status.stable else "nothing serves yet"
    told = normal(Reason.REVERTED, f"Version {candidate.version} is taken back; {served}")
    return Move(status=done, events=(told,), moved=True)


def _keep_serving(snapshot: Snapshot, candidate: ColourStatus) -> Move:
    """Better a doubtful answer than none: with no ready stable pod the candidate keeps what it has."""
    message = f"no pod of the stable version is ready; version {candidate.version} keeps its requests until one is"
    waiting = Waiting(reason=Reason.STABLE_UNAVAILABLE, message=message, needs_person=True)
    return Move(status=snapshot.status, waiting=waiting)
