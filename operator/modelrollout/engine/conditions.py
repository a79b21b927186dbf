"""The status as people and programs read it: conditions, printer columns, the numbers of the scale subresource."""

from datetime import datetime

from modelrollout.api.labels import serving_selector
from modelrollout.api.spec import ReadyWhen
from modelrollout.api.status import Condition, ConditionStatus, ModelRolloutStatus, Phase, WeightsStatus
from modelrollout.engine.capacity import reachable_weight, reachable_weights
from modelrollout.engine.effects import Emit
from modelrollout.engine.handing_over import said, told
from modelrollout.engine.move import Move, Waiting, answering_pods, evolve, route_share, warning
from modelrollout.engine.reasons import Reason
from modelrollout.engine.room import usable_room
from modelrollout.engine.snapshot import Obstacle, Snapshot
from modelrollout.engine.wanted import wanted

READY, PROGRESSING, STALLED, HANDED_OVER = "Ready", "Progressing", "Stalled", "HandedOver"
PREFLIGHT_CONDITIONS = ("RouteReady", "MetricsReady")

_TRUE, _FALSE = ConditionStatus.TRUE, ConditionStatus.FALSE


def report(snapshot: Snapshot, move: Move, now: datetime) -> tuple[ModelRolloutStatus, tuple[Emit, ...]]:
    """The status to write, and events for obstacles that people have not heard of."""
    status = _with_numbers(snapshot, move.status)
    handing_over = said(snapshot, status)
    wanted = [
        _ready(snapshot, status, move.waiting),
        _progressing(status, move.waiting),
        _stalled(status, move.waiting),
        *_preflight(snapshot, status),
        *([_condition(HANDED_OVER, *handing_over)] if handing_over else []),
    ]
    spoken_of = {condition.type for condition in wanted}
    # what was found in the way of a candidate goes with it
    before = [one for one in status.conditions if status.candidate or one.type in spoken_of]
    conditions = _merge(before, wanted, snapshot.generation, now)
    before_it = next((one.reason for one in status.conditions if one.type == HANDED_OVER), "")
    fresh = (*_tell(status.conditions, snapshot.obstacles), *told(before_it, handing_over))
    return evolve(status, conditions=conditions, observed_generation=snapshot.generation), fresh


def _with_numbers(snapshot: Snapshot, status: ModelRolloutStatus) -> ModelRolloutStatus:
    """Everything in the status that follows from the rest of it and from what is seen."""
    stable, candidate, stage = status.stable, status.candidate, status.stage
    workload = snapshot.workloads.get(stable.colour) if stable else None
    step = stage if status.phase is Phase.PROGRESSING else status.way_back
    declared = step.weight if step else 0
    newest, room = candidate or stable, usable_room(snapshot.spec, status)
    weights = WeightsStatus(
        declared=declared,
        reachable=reachable_weight(snapshot.spec, declared, room),
        observed=route_share(snapshot, candidate.colour) if candidate else 0.0,
    )
    return evolve(
        status,
        version=newest.version if newest else "",
        weights=weights,
        reachable_weights=reachable_weights(snapshot.spec, room),
        replicas=workload.total if workload else 0,
        ready_replicas=answering_pods(snapshot, stable),
        selector=_selector(snapshot, status),
    )


def _selector(snapshot: Snapshot, status: ModelRolloutStatus) -> str:
    """Whose pods an autoscaler sees: stable's, or those of both versions while the candidate may have requests.

    It multiplies the load of a pod by the number of pods, so with those of both it finds how many all requests take.
    From stable alone, which has the fewer requests the further a candidate gets, it would scale both of them down.
    """
    if status.stable is None:
        return ""
    may_have_requests = status.candidate is not None and status.phase is not Phase.PREPARING
    labels = serving_selector(snapshot.name, None if may_have_requests else status.stable.colour)
    return ",".join(f"{label}={value}" for label, value in labels.items())


def _ready(snapshot: Snapshot, status: ModelRolloutStatus, waiting: Waiting | None) -> Condition:
    """Current in the sense of kstatus: stable serves and nothing needs a person, however long a canary takes.

    Who asks for `readyWhen: Complete` waits for the canary as well.
    """
    if status.stable is None:
        reason, message = (waiting.reason, waiting.message) if waiting else (Reason.ATTEMPT_STARTED, "")
        return _condition(READY, _FALSE, reason, message)
    if not answering_pods(snapshot, status.stable):
        return _condition(READY, _FALSE, *_unavailable(snapshot, status))
    if waiting and waiting.needs_person:
        return _condition(READY, _FALSE, waiting.reason, waiting.message)
    if snapshot.obstacles:
        return _condition(READY, _FALSE, snapshot.obstacles[0].reason, snapshot.obstacles[0].message)
    if snapshot.spec.ready_when is ReadyWhen.COMPLETE and not _is_complete(snapshot, status):
        message = f"version {snapshot.spec.model.version} does not serve everybody yet"
        return _condition(READY, _FALSE, Reason.INCOMPLETE, f"{message}: {waiting.message}" if waiting else message)
    return _condition(READY, _TRUE, Reason.SERVING, f"version {status.stable.version} serves")


def _is_complete(snapshot: Snapshot, status: ModelRolloutStatus) -> bool:
    """What is wanted is what serves, and no other version is on its way in or out."""
    asked_for = wanted(snapshot).revision
    return status.phase is Phase.IDLE and status.stable is not None and status.stable.revision == asked_for


def _unavailable(snapshot: Snapshot, status: ModelRolloutStatus) -> tuple[Reason, str]:
    stable = status.stable
    if stable and stable.colour not in snapshot.workloads:
        message = f"the Deployment of version {stable.version} ({snapshot.name}-{stable.colour}) is gone"
        return Reason.STABLE_MISSING, message
    return Reason.STABLE_UNAVAILABLE, "no pod of the stable version is ready"


def _progressing(status: ModelRolloutStatus, waiting: Waiting | None) -> Condition:
    busy = status.phase in (Phase.PREPARING, Phase.PROGRESSING, Phase.REVERTING)
    reason = waiting.reason if waiting else Reason.NO_ATTEMPT
    return _condition(PROGRESSING, _TRUE if busy else _FALSE, reason, waiting.message if waiting else "")


def _stalled(status: ModelRolloutStatus, waiting: Waiting | None) -> Condition:
    if status.phase is Phase.REVERTED and waiting and waiting.needs_person:
        return _condition(STALLED, _TRUE, Reason.REVERTED, waiting.message)
    return _condition(STALLED, _FALSE, Reason.NO_PROBLEM, "")


def _preflight(snapshot: Snapshot, status: ModelRolloutStatus) -> list[Condition]:
    """One condition for each kind of obstacle; MetricsReady only says yes once somebody has looked.

    It speaks of a candidate, and goes with it: only the process that has looked knows, and the next one, or another
    beside it, must find nothing to write.
    """
    first = _first_of_each(snapshot.obstacles)
    looked = status.candidate is not None and snapshot.preflighted
    return [
        _condition(kind, _FALSE, first[kind].reason, _all_messages(kind, snapshot.obstacles))
        if kind in first
        else _condition(kind, _TRUE, Reason.NO_PROBLEM, "")
        for kind in PREFLIGHT_CONDITIONS
        if kind in first or kind == "RouteReady" or looked
    ]


def _all_messages(kind: str, obstacles: tuple[Obstacle, ...]) -> str:
    return "; ".join(obstacle.message for obstacle in obstacles if obstacle.condition == kind)[:4096]


def _tell(before: list[Condition], obstacles: tuple[Obstacle, ...]) -> tuple[Emit, ...]:
    """An event for each obstacle of a condition that gave another reason before, or none."""
    known = {(condition.type, condition.reason) for condition in before if condition.status is _FALSE}
    fresh = {kind for kind, first in _first_of_each(obstacles).items() if (kind, first.reason) not in known}
    return tuple(warning(one.reason, one.message) for one in obstacles if one.condition in fresh)


def _first_of_each(obstacles: tuple[Obstacle, ...]) -> dict[str, Obstacle]:
    return {obstacle.condition: obstacle for obstacle in reversed(obstacles)}


def _condition(kind: str, status: ConditionStatus, reason: str, message: str) -> Condition:
    return Condition.model_construct(type=kind, status=status, reason=str(reason), message=message)


def _merge(before: list[Condition], wanted: list[Condition], generation: int, now: datetime) -> list[Condition]:
    """The conditions with their transition times; those that nobody spoke of stay as they are."""
    known = {condition.type: condition for condition in before}
    for condition in wanted:
        old = known.get(condition.type)
        same = old is not None and old.status is condition.status
        since = old.last_transition_time if old and same else now
        known[condition.type] = Condition(
            type=condition.type,
            status=condition.status,
            reason=condition.reason,
            message=condition.message[:4096],
            last_transition_time=since,
            observed_generation=generation,
        )
    return list(known.values())
