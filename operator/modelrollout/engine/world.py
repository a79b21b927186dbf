"""The world as a status wants it, against the world as seen: which effects, and in which order.

Taking a candidate back, the route is written first. Everything else that moves requests or pods comes behind a write of
the status under its resourceVersion, and every route is written under its own: a crash, a stale view or a deposed
leader can only repeat a step or make things safer. Pods are added before requests move and taken away after that.
"""

from dataclasses import replace
from datetime import datetime

from modelrollout.api.status import Colour, ColourStatus, ModelRolloutStatus, Phase, StageStatus
from modelrollout.api.traffic import HeaderMatch
from modelrollout.engine.capacity import ROUTE_SETTLES, candidate_replicas, share, splits_by_pods
from modelrollout.engine.effects import (
    ApplyServices,
    ApplyWorkload,
    Effect,
    Forget,
    ScaleWorkload,
    SetTraffic,
    WarmUp,
    WriteStatus,
)
from modelrollout.engine.history import forgotten
from modelrollout.engine.move import (
    answering_pods,
    cohort_of,
    gets_requests,
    is_ready,
    let_in,
    only_candidate_serves,
    own_workload,
    route_share,
)
from modelrollout.engine.room import kept_warm, usable_room
from modelrollout.engine.sizing import Fit, first_replicas, fit
from modelrollout.engine.snapshot import Snapshot, Workload
from modelrollout.engine.wanted import Wanted, wanted

_PodEffect = ApplyWorkload | ScaleWorkload


def effects_for(snapshot: Snapshot, status: ModelRolloutStatus, now: datetime) -> list[Effect]:
    """Everything that brings the world from what the snapshot shows to what the status wants."""
    traffic, workloads = _traffic(snapshot, status, now), _workloads(snapshot, status, now)
    old = forgotten(snapshot, status)
    takes_back = traffic is not None and _takes_back(snapshot, status)
    fence = (traffic is not None and _moves(snapshot, traffic)) or _changes_pods(snapshot, workloads) or bool(old)
    effects: list[Effect] = []
    if traffic and takes_back:
        effects.append(traffic)
    if fence or status != snapshot.status:
        effects.append(WriteStatus(status=status))
    effects.append(ApplyServices())
    effects.extend(effect for effect in workloads if not _takes_pods_away(snapshot, effect))
    if traffic and not takes_back:
        effects.append(traffic)
    effects.extend(effect for effect in workloads if _takes_pods_away(snapshot, effect))
    effects.extend(_warm_up(snapshot, status))
    if old:
        effects.append(Forget(attempts=old))
    return effects


def _traffic(snapshot: Snapshot, status: ModelRolloutStatus, now: datetime) -> SetTraffic | None:
    """Where the requests go; None when nothing serves yet, or when moving them would leave them without an answer."""
    if status.stable is None:
        return None
    # a route that is not there yet starts with stable alone; the candidate's share can rise once it is seen
    candidate = status.candidate if snapshot.route else None
    traffic = SetTraffic(
        stable=status.stable.colour,
        attempt=status.stable.attempt,
        candidate=_in_route(snapshot, status, now),
        weight=_weight(snapshot, status, candidate, now) if candidate else 0,
        cohort=_cohort(snapshot, status, candidate, now) if candidate else (),
        excluded=() if splits_by_pods(snapshot.spec) else tuple(status.excluded),
        token=snapshot.route.token if snapshot.route else None,
    )
    helps_nobody = only_candidate_serves(snapshot, status.stable, status.candidate) and _lowers(snapshot, traffic)
    return None if helps_nobody else traffic


def _in_route(snapshot: Snapshot, status: ModelRolloutStatus, now: datetime) -> Colour | None:
    """The colour beside stable that proxies should know: with it in the route, its first or last requests are not lost.

    The candidate in its stages and for a moment after them, and the version before as long as it could take over.
    """
    if status.candidate:
        leaves = status.left_at is not None and now < status.left_at + ROUTE_SETTLES
        stays = status.phase is Phase.PROGRESSING or status.way_back is not None or _goes_step_by_step(snapshot, status)
        return status.candidate.colour if leaves or stays else None
    return status.previous.colour if status.previous and answering_pods(snapshot, status.previous) else None


def _goes_step_by_step(snapshot: Snapshot, status: ModelRolloutStatus) -> bool:
    """A candidate that is to have nothing for now still has what a smaller stable cannot carry yet."""
    candidate = status.candidate
    is_small = status.phase is Phase.PREPARING and usable_room(snapshot.spec, status) is not None
    return is_small and candidate is not None and gets_requests(snapshot, candidate.colour)


def _takes_back(snapshot: Snapshot, status: ModelRolloutStatus) -> bool:
    """The candidate is to have less, or nothing any more: nothing may come before that, and nothing stop it."""
    if status.phase is not Phase.REVERTING or status.candidate is None:
        return False
    return snapshot.status.phase is not Phase.REVERTING or gets_requests(snapshot, status.candidate.colour)


def _lowers(snapshot: Snapshot, wanted: SetTraffic) -> bool:
    """Whether the colour beside stable would lose requests that it gets now."""
    other = wanted.stable.other
    return wanted.weight < route_share(snapshot, other) or not cohort_of(snapshot, other) <= {*wanted.cohort}


def _moves(snapshot: Snapshot, wanted: SetTraffic) -> bool:
    """Whether anybody would get more or less than now."""
    route = snapshot.route
    if route is None or route.excluded != {*wanted.excluded}:
        return True
    cohorts = {wanted.stable: frozenset[HeaderMatch](), wanted.stable.other: frozenset(wanted.cohort)}
    shares = {wanted.stable: 100 - wanted.weight, wanted.stable.other: wanted.weight}
    return any(
        abs(shares[colour] - route_share(snapshot, colour)) >= 1 or cohorts[colour] != cohort_of(snapshot, colour)
        for colour in Colour
    )


def _weight(snapshot: Snapshot, status: ModelRolloutStatus, candidate: ColourStatus, now: datetime) -> int:
    """The candidate's weight now: what the stage declares as far as its pods can carry it, never more."""
    fitted = fit(snapshot, status, now)
    if status.phase is Phase.REVERTING and not status.way_back:
        return 0
    if fitted:
        return _weight_by_pods(snapshot, status, candidate, fitted) if splits_by_pods(snapshot.spec) else fitted.weight
    if status.way_back:
        return min(status.way_back.weight, round(route_share(snapshot, candidate.colour)))
    if status.phase is not Phase.PROGRESSING or status.stage is None:
        return 0
    if splits_by_pods(snapshot.spec):
        return _weight_by_pods(snapshot, status, candidate)
    declared, present = status.stage.weight, round(route_share(snapshot, candidate.colour))
    if declared > present and not _may_rise(snapshot, status, status.stage, candidate, now, is_known=present > 0):
        return present
    return declared


def _cohort(
    snapshot: Snapshot, status: ModelRolloutStatus, candidate: ColourStatus, now: datetime
) -> tuple[HeaderMatch, ...]:
    """Whose requests all go to the candidate now: those whom the stage lets in, as soon as it can carry them."""
    if status.phase is not Phase.PROGRESSING or status.stage is None or splits_by_pods(snapshot.spec):
        return ()
    wanted, present = let_in(status), cohort_of(snapshot, candidate.colour)
    if _may_rise(snapshot, status, status.stage, candidate, now, is_known=bool(present)):
        return wanted
    return tuple(one for one in wanted if one in present)


def _may_rise(
    snapshot: Snapshot,
    status: ModelRolloutStatus,
    stage: StageStatus,
    candidate: ColourStatus,
    now: datetime,
    *,
    is_known: bool,
) -> bool:
    """Whether the candidate can take more: its pods are ready, and proxies know the way to them by now."""
    settled = is_known or now >= stage.entered_at + ROUTE_SETTLES
    pods = candidate_replicas(snapshot.spec, stage.weight, usable_room(snapshot.spec, status))
    return settled and is_ready(snapshot, candidate, pods=pods)


def _weight_by_pods(
    snapshot: Snapshot, status: ModelRolloutStatus, candidate: ColourStatus, fitted: Fit | None = None
) -> int:
    """100 when the candidate can carry everything; else what the ready pods give, and 0 when that is too much.

    It is not too much for a candidate whose requests a smaller stable cannot carry yet.
    """
    present = route_share(snapshot, candidate.colour)
    declared = status.stage.weight if status.phase is Phase.PROGRESSING and status.stage else 0
    if declared == 100:
        full = snapshot.spec.replicas
        can_carry = fitted.carries_all if fitted else is_ready(snapshot, candidate, pods=full)
        if present >= 100 or can_carry:
            return 100
    stable_pods = answering_pods(snapshot, status.stable)
    mixed = share(candidate=answering_pods(snapshot, candidate), stable=stable_pods)
    is_needed = fitted is not None and present > 0 and not fitted.stable_carries_all
    if mixed == 0 or (mixed > declared and stable_pods and not is_needed):
        return 0
    return min(max(int(mixed), 1), 99)


def _workloads(snapshot: Snapshot, status: ModelRolloutStatus, now: datetime) -> list[_PodEffect]:
    """Pods of both colours: the version that is wanted is applied, another one only scaled.

    Stable is asked for first: where there is not room for all that is wanted, it gets what there is.
    """
    target, fitted = wanted(replace(snapshot, status=status)), fit(snapshot, status, now)
    first = status.stable.colour if status.stable else Colour.BLUE
    effects = [_workload(snapshot, status, colour, target, fitted) for colour in (first, first.other)]
    return [effect for effect in effects if effect]


def _changes_pods(snapshot: Snapshot, effects: list[_PodEffect]) -> bool:
    """Whether pods would be replaced or their number changed, which must not be done on a stale view."""
    return any(_changes(snapshot.workloads.get(effect.colour), effect) for effect in effects)


def _changes(seen: Workload | None, effect: _PodEffect) -> bool:
    if seen is None or seen.desired != effect.replicas:
        return True
    return _replaces(seen, effect)


def _replaces(seen: Workload, effect: _PodEffect) -> bool:
    """Whether there will be other pods than those that are there: the attempt is one of their labels."""
    if not isinstance(effect, ApplyWorkload):
        return False
    return (seen.revision, seen.attempt) != (effect.revision, effect.attempt)


def _takes_pods_away(snapshot: Snapshot, effect: _PodEffect) -> bool:
    """Whether pods that are there may be asked until the route has followed."""
    seen = snapshot.workloads.get(effect.colour)
    if seen is None:
        return False
    return effect.replicas < seen.desired or _replaces(seen, effect)


def _workload(
    snapshot: Snapshot, status: ModelRolloutStatus, colour: Colour, target: Wanted, fitted: Fit | None
) -> _PodEffect | None:
    if status.candidate and status.candidate.colour is colour:
        return _candidate_workload(snapshot, status, status.candidate, target, fitted)
    if status.stable and status.stable.colour is colour:
        replicas = fitted.stable_pods if fitted else snapshot.spec.replicas
        is_wanted = status.stable.revision == target.revision
        return _apply(snapshot, status.stable, replicas, target) if is_wanted else _scale(snapshot, colour, replicas)
    if status.previous and status.previous.colour is colour:
        return _scale(snapshot, colour, kept_warm(snapshot.spec, status))
    return None if gets_requests(snapshot, colour) else _scale(snapshot, colour, 0)


def _candidate_workload(
    snapshot: Snapshot, status: ModelRolloutStatus, candidate: ColourStatus, target: Wanted, fitted: Fit | None
) -> _PodEffect | None:
    """The candidate's pods for the present stage. A version taken back keeps its pods until it has drained.

    Where others are still in its place they go first: pods of three versions might be more than there is room for.
    """
    if status.phase is Phase.REVERTING:
        has_pods = fitted and own_workload(snapshot, candidate)
        return _scale(snapshot, candidate.colour, fitted.candidate_pods) if fitted and has_pods else None
    if candidate.revision != target.revision:
        return None
    effect = _apply(snapshot, candidate, _candidate_pods(snapshot, status, fitted), target)
    seen = snapshot.workloads.get(candidate.colour)
    if effect is None or seen is None or not _replaces(seen, effect):
        return effect
    if seen.ready > 0 and gets_requests(snapshot, candidate.colour):
        return None
    return _scale(snapshot, candidate.colour, 0) if seen.total and status.stable else effect


def _candidate_pods(snapshot: Snapshot, status: ModelRolloutStatus, fitted: Fit | None) -> int:
    if fitted:
        return fitted.candidate_pods
    if status.phase is Phase.PROGRESSING and status.stage:
        return max(candidate_replicas(snapshot.spec, status.stage.weight), 1)
    return first_replicas(snapshot.spec, status)


def _apply(snapshot: Snapshot, part: ColourStatus, replicas: int, target: Wanted) -> ApplyWorkload | None:
    """The pods of the version that is wanted; None while nobody can tell what they are to run."""
    if target.trouble is not None and part.attempt not in snapshot.recorded:
        return None
    return ApplyWorkload(
        colour=part.colour,
        attempt=part.attempt,
        revision=part.revision,
        replicas=replicas,
        recorded=target.recorded,
    )


def _scale(snapshot: Snapshot, colour: Colour, replicas: int) -> ScaleWorkload | None:
    workload = snapshot.workloads.get(colour)
    if workload is None or workload.desired == replicas:
        return None
    return ScaleWorkload(colour=colour, replicas=replicas)


def _warm_up(snapshot: Snapshot, status: ModelRolloutStatus) -> list[Effect]:
    candidate = status.candidate
    wanted = (
        status.phase is Phase.PREPARING
        and snapshot.spec.warm_up is not None
        and candidate is not None
        and not candidate.warm
        and (candidate.colour, candidate.attempt) not in snapshot.warmed
        and is_ready(snapshot, candidate, pods=first_replicas(snapshot.spec, status))
    )
    return [WarmUp(colour=candidate.colour, attempt=candidate.attempt)] if wanted and candidate else []
