"""Reverting: stable has the requests again; the candidate's pods finish what they have, then go."""

from dataclasses import replace
from datetime import datetime

from modelrollout.api.quantities import parse_duration
from modelrollout.api.status import ColourStatus, ModelRolloutStatus, Phase, WayBackStatus
from modelrollout.engine.alerts import harmful_alert, told_of
from modelrollout.engine.breakers import breaker
from modelrollout.engine.capacity import ROUTE_SETTLES
from modelrollout.engine.draining import drain_time
from modelrollout.engine.move import (
    Move,
    answering_pods,
    evolve,
    gets_requests,
    normal,
    route_share,
    stamp,
    stays,
    warning,
)
from modelrollout.engine.reasons import Reason
from modelrollout.engine.slos import clear_verdicts, fold, harmful, with_verdicts
from modelrollout.engine.snapshot import Snapshot
from modelrollout.engine.transitions import stand_in, step_back
from modelrollout.engine.wanted import fingerprint, wanted


def reverting(snapshot: Snapshot, candidate: ColourStatus, now: datetime) -> Move:
    """Wait for the route to be back and the pods to drain, then give the colour up."""
    status, record = snapshot.status, snapshot.status.last_revert
    if status.way_back:
        return _step_by_step(snapshot, candidate, status.way_back, now)
    somebody_answers = status.stable is not None or answering_pods(snapshot, candidate) > 0
    if gets_requests(snapshot, candidate.colour) and somebody_answers:
        if not answering_pods(snapshot, status.stable):
            return _keep_serving(snapshot, candidate, now)
        return _wait_for_route(status, now)
    drained_at = status.left_at + drain_time(snapshot.spec) if status.left_at else now
    if now < drained_at:
        message = f"version {candidate.version} finishes its answers until {stamp(drained_at)}"
        return stays(status, Reason.DRAINING, message, until=drained_at)
    stuck = record is not None and bool(record.fingerprint)
    done = evolve(status, phase=Phase.REVERTED if stuck else Phase.IDLE, candidate=None, left_at=None)
    served = f"version {status.stable.version} serves all requests" if status.stable else "nothing serves yet"
    told = normal(Reason.REVERTED, f"Attempt {candidate.attempt}: version {candidate.version} is taken back; {served}")
    return Move(status=done, events=(told,), moved=True)


def at_once(snapshot: Snapshot, now: datetime) -> Snapshot:
    """The same moment with what is left of a gradual way back passed over."""
    if snapshot.status.way_back is None:
        return snapshot
    return replace(snapshot, status=evolve(clear_verdicts(snapshot.status), way_back=None, left_at=now))


def _step_by_step(snapshot: Snapshot, candidate: ColourStatus, step: WayBackStatus, now: datetime) -> Move:
    """One step of a gradual way back: as in a stage, a breach, an alert or a crash takes the rest back at once."""
    if not answering_pods(snapshot, snapshot.status.stable):
        return _keep_serving(snapshot, candidate, now)
    slos = fold(snapshot, now)
    snapshot = with_verdicts(snapshot, slos, now)
    worst = harmful(snapshot.spec.slos, slos, now)
    alert = harmful_alert(snapshot, candidate, now)
    broken = breaker(snapshot, candidate, now, has_requests=True)
    message = f"Version {candidate.version} goes back at once"
    if worst or alert or broken or not answering_pods(snapshot, candidate):
        why = broken.message if broken else "it has no ready pod left"
        why = told_of(alert) if alert else why
        why = f"SLO {worst.name} is breached: {worst.message}" if worst else why
        told = warning(Reason.GOING_BACK, f"{message}: {why}")
        return Move(status=at_once(snapshot, now).status, events=(told,), moved=True)
    if _gives_way(snapshot, candidate):
        told = normal(Reason.GOING_BACK, f"{message}: version {wanted(snapshot).version} is wanted now")
        return Move(status=at_once(snapshot, now).status, events=(told,), moved=True)
    if step.reached_at is None:
        return _wait_for_step(snapshot, candidate, step, now)
    held_until = step.reached_at + parse_duration(snapshot.spec.rollback.hold)
    if now < held_until:
        message = f"version {candidate.version} keeps {step.weight} % of the requests until {stamp(held_until)}"
        return stays(snapshot.status, Reason.GOING_BACK, message, until=held_until)
    following = step_back(snapshot, candidate, now)
    if following is None:
        return Move(status=at_once(snapshot, now).status, moved=True)
    return Move(status=evolve(clear_verdicts(snapshot.status), way_back=following), moved=True)


def _gives_way(snapshot: Snapshot, candidate: ColourStatus) -> bool:
    """Whether another version is wanted by now than when the way back began.

    Who is superseded in a stage goes back at once as well, and stable can take everything at any time.
    """
    begun = snapshot.status.last_revert
    is_another_wish = begun is not None and begun.fingerprint != fingerprint(snapshot)
    return is_another_wish and wanted(snapshot).revision != candidate.revision


def _wait_for_step(snapshot: Snapshot, candidate: ColourStatus, step: WayBackStatus, now: datetime) -> Move:
    if round(route_share(snapshot, candidate.colour)) <= step.weight:
        return Move(status=evolve(snapshot.status, way_back=evolve(step, reached_at=now)), moved=True)
    message = f"waiting for the route to show {step.weight} % on version {candidate.version}"
    return stays(snapshot.status, Reason.WAITING_FOR_TRAFFIC, message)


def _wait_for_route(status: ModelRolloutStatus, now: datetime) -> Move:
    """The candidate leaves when the route says so, however long that takes to be written."""
    if status.left_at is None or now - status.left_at > ROUTE_SETTLES:
        status = evolve(status, left_at=now)
    return stays(status, Reason.WAITING_FOR_TRAFFIC, "waiting for the route to show all requests on stable")


def _keep_serving(snapshot: Snapshot, candidate: ColourStatus, now: datetime) -> Move:
    """Better a doubtful answer than none: with no ready stable pod the candidate keeps what it has.

    If yet another version is wanted, that one takes the place of the stable pods that are gone. After a status was lost
    there may be nobody to go back to: then the candidate is what serves.
    """
    stable = snapshot.status.stable
    if stable is None:
        stands_in = answering_pods(snapshot, candidate) > 0
    else:
        stands_in = wanted(snapshot).revision not in (stable.revision, candidate.revision)
    if stands_in and not snapshot.deleting:
        return stand_in(snapshot, candidate, now)
    message = f"no pod of the stable version is ready; version {candidate.version} keeps its requests until one is"
    return stays(snapshot.status, Reason.STABLE_UNAVAILABLE, message, needs_person=True)
