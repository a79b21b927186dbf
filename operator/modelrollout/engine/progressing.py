"""Progressing: the candidate has a share of the requests. Does it keep it, lose it, or get more?"""

from dataclasses import dataclass, replace
from datetime import datetime

from modelrollout.api.slo import ABOVE_WARNING, OnBreach, Verdict
from modelrollout.api.status import ColourStatus, SloStatus, StageStatus
from modelrollout.api.strategy import OnDeadline
from modelrollout.engine.alerts import harmful_alert, told_of
from modelrollout.engine.breakers import breaker, shared_incident
from modelrollout.engine.capacity import (
    ROUTE_SETTLES,
    candidate_replicas,
    is_reachable,
    reachable_weight,
    skips_unreachable,
    splits_by_pods,
)
from modelrollout.engine.effects import Emit
from modelrollout.engine.gates import gate, stays_before
from modelrollout.engine.move import (
    Move,
    Waiting,
    answering_pods,
    cohort_of,
    evolve,
    is_ready,
    let_in,
    paused_by,
    paused_time,
    route_share,
    stamp,
    stays,
    warning,
    with_status,
)
from modelrollout.engine.preparing import blocked_by, pods_overdue, supersede
from modelrollout.engine.reasons import Reason
from modelrollout.engine.room import pods_trouble, usable_room
from modelrollout.engine.slos import acting, fold, harmful, held, not_passing, with_verdicts
from modelrollout.engine.snapshot import Snapshot
from modelrollout.engine.stages import Stage, expand, next_stage, serving_stage
from modelrollout.engine.transitions import back_to_preparing, enter_stage, promote, revert

_ROUNDING = 0.5
"""Shares come from whole numbers of pods or per cents; half a per cent tells two of them apart."""


@dataclass(frozen=True, kw_only=True)
class _Trial:
    """A candidate in a stage, with what the SLOs say now."""

    snapshot: Snapshot
    candidate: ColourStatus
    at: StageStatus
    stage: Stage
    slos: list[SloStatus]
    now: datetime

    @property
    def room(self) -> int | None:
        """Pods of both colours that there is room for; None for no limit."""
        return usable_room(self.snapshot.spec, self.snapshot.status)

    @property
    def pods(self) -> int:
        """Pods that the candidate needs in this stage."""
        return candidate_replicas(self.snapshot.spec, self.stage.weight, self.room)

    @property
    def has_its_pods(self) -> bool:
        return is_ready(self.snapshot, self.candidate, pods=self.pods)


def progressing(snapshot: Snapshot, candidate: ColourStatus, at: StageStatus, now: datetime) -> Move:
    """First what takes the candidate back, then what keeps it where it is, then onwards."""
    superseded = supersede(snapshot, candidate, now)
    if superseded:
        return superseded
    here, stage = _find(snapshot, at)
    if stage is None:
        return back_to_preparing(snapshot, f"Stage {at.name} is no longer in the strategy: the first stage again", now)
    slos = fold(snapshot, now) if stage.has_requests else []
    seen = with_verdicts(with_status(snapshot, stage=here), slos, now)
    trial = _Trial(snapshot=seen, candidate=candidate, at=here, stage=stage, slos=slos, now=now)
    move = _harm(trial) or _pass_over(trial) or _arrive(trial) or _leave(trial)
    return replace(move, events=_first_breaches(snapshot, slos) + move.events)


def _find(snapshot: Snapshot, at: StageStatus) -> tuple[StageStatus, Stage | None]:
    """The stage of the spec that the status speaks of; edits around it do not matter."""
    stages = expand(snapshot.spec)
    for index, stage in enumerate(stages):
        if (stage.name, stage.weight, stage.match) == (at.name, at.weight, tuple(at.match)):
            return evolve(at, index=index, count=len(stages)), stage
    return at, None


def _first_breaches(snapshot: Snapshot, slos: list[SloStatus]) -> tuple[Emit, ...]:
    """People hear of the first breach in a row, before enough of them take the candidate back, and of warnings."""
    before = {slo.name: slo.breaches for slo in snapshot.status.slos}
    fresh = [slo for slo in slos if slo.breaches == 1 and before.get(slo.name, 0) == 0]
    warned = {slo.name for slo in snapshot.status.slos if slo.reason == ABOVE_WARNING}
    fresh += [slo for slo in slos if slo.reason == ABOVE_WARNING and slo.name not in warned]
    return tuple(warning(slo.reason, f"SLO {slo.name}: {slo.message}") for slo in fresh)


def _harm(trial: _Trial) -> Move | None:
    """Take the candidate back when an SLO is breached, an alert fires, it crashes, or nobody answers for its share."""
    snapshot, candidate = trial.snapshot, trial.candidate
    worst = harmful(snapshot.spec.slos, trial.slos, trial.now)
    if worst:
        times = f" {worst.breaches} times in a row" if worst.breaches > 1 else ""
        message = f"SLO {worst.name} breached{times}: {worst.message}"
        return revert(snapshot, candidate, trial.now, reason=Reason.SLO_BREACHED, message=message)
    alert = harmful_alert(snapshot, candidate, trial.now) if trial.stage.has_requests else None
    if alert:
        return revert(snapshot, candidate, trial.now, reason=Reason.ALERT_FIRING, message=told_of(alert))
    broken = breaker(snapshot, candidate, trial.now, has_requests=trial.stage.has_requests)
    if broken:
        return revert(snapshot, candidate, trial.now, reason=broken.reason, message=broken.message)
    nobody = not answering_pods(snapshot, candidate)
    # a stable version that gave up all of its pods has to be asked for them, whoever answers by then
    could_serve = answering_pods(snapshot, snapshot.status.stable) > 0 or trial.room is not None
    if trial.stage.has_requests and nobody and could_serve:
        message = f"version {candidate.version} has no ready pod left in {candidate.colour}"
        return revert(snapshot, candidate, trial.now, reason=Reason.CANDIDATE_UNAVAILABLE, message=message)
    return None


def _pass_over(trial: _Trial) -> Move | None:
    """With fewer pods than there were, this stage may be one that would have been left out.

    Its hold does not count then, but all else that it asks for does: who has fewer pods says nothing of the candidate.
    """
    spec, status = trial.snapshot.spec, trial.snapshot.status
    if is_reachable(spec, trial.stage.weight, trial.room) or not skips_unreachable(spec):
        return None
    if trial.at.advanced or status.promoting:
        return _leave_as_asked(trial)
    if paused_by(trial.snapshot):
        return None
    if held_back := _held_back(trial):
        return _until_deadline(trial, held_back)
    waiting = _undecided(trial)
    if waiting is None:
        return _through_the_gate(trial)
    ways_out = f"{spec.replicas} pods cannot reach it: raise spec.replicas, or ask to advance"
    return _until_deadline(trial, replace(waiting, message=f"{waiting.message}; {ways_out}", needs_person=True))


def _arrive(trial: _Trial) -> Move | None:
    """The stage begins to count when its pods are ready and the route shows its share."""
    if trial.at.reached_at is not None:
        return None
    snapshot, name = trial.snapshot, trial.stage.name
    if not trial.has_its_pods:
        missing = f"{_missing(trial)} for stage {name}"
        return pods_overdue(snapshot, trial.candidate, trial.at.entered_at, missing, trial.now)
    if not _traffic_arrived(trial):
        known_at = trial.at.entered_at + ROUTE_SETTLES
        until = known_at if trial.now < known_at else None
        message = f"waiting for the route to show stage {name}"
        return stays(snapshot.status, Reason.WAITING_FOR_TRAFFIC, message, until=until)
    return Move(status=evolve(snapshot.status, stage=evolve(trial.at, reached_at=trial.now)), moved=True)


def _traffic_arrived(trial: _Trial) -> bool:
    weight, spec = trial.stage.weight, trial.snapshot.spec
    share = route_share(trial.snapshot, trial.candidate.colour)
    if splits_by_pods(spec) and 0 < weight < 100:
        return share > 0
    if cohort_of(trial.snapshot, trial.candidate.colour) != frozenset(let_in(trial.snapshot.status)):
        return False
    return abs(share - reachable_weight(spec, weight, trial.room)) < _ROUNDING


def _leave(trial: _Trial) -> Move:
    """Onwards when the hold is over and everything passes; the deadline's policy when it stays undecided."""
    status, stage = trial.snapshot.status, trial.stage
    if trial.at.advanced or status.promoting:
        return _leave_as_asked(trial)
    if paused := paused_by(trial.snapshot):
        return stays(status, Reason.PAUSED, f"{paused}, in stage {stage.name}")
    held_until = (trial.at.reached_at or trial.now) + stage.hold
    held_back = _held_back(trial)
    if trial.now < held_until and held_back:
        return Move(status=status, waiting=held_back)
    if trial.now < held_until:
        return stays(status, Reason.HOLDING, f"stage {stage.name} holds until {stamp(held_until)}", until=held_until)
    waiting = held_back or _undecided(trial)
    if waiting:
        return _until_deadline(trial, waiting)
    return _through_the_gate(trial)


def _leave_as_asked(trial: _Trial) -> Move:
    """A person who asks to go on passes over holds and what is undecided, but not over harm, pods or other people."""
    waiting = _no_way_on(trial)
    return Move(status=trial.snapshot.status, waiting=waiting) if waiting else _through_the_gate(trial)


def _through_the_gate(trial: _Trial) -> Move:
    """Onwards once everybody has said yes who has to; deadlines do not count that wait."""
    closed = gate(trial.snapshot, trial.candidate)
    return stays_before(closed, trial.snapshot) if closed else _advance(trial)


def _held_back(trial: _Trial) -> Waiting | None:
    """A breach that keeps the candidate where it is, for a person to look at."""
    found = held(trial.snapshot.spec.slos, trial.slos)
    if found is None:
        return None
    slo, taken_back_at = found
    until = taken_back_at if taken_back_at and taken_back_at > trial.now else None
    if until:
        otherwise = f"it is taken back at {stamp(until)}"
    elif taken_back_at:
        otherwise = "it is taken back as soon as somebody sees that it is breached still"
    else:
        otherwise = "it stays as it is"
    message = f"SLO {slo.name} is breached and holds stage {trial.stage.name}; unless it passes, {otherwise}"
    return Waiting(reason=Reason.SLO_BREACHED, message=message, until=until, needs_person=True)


def _undecided(trial: _Trial) -> Waiting | None:
    """What keeps the candidate from going on after the hold, if anything does."""
    open_slos = [slo for slo in not_passing(trial.snapshot.spec.slos, trial.slos) if _is_required(trial.stage, slo)]
    shared = shared_incident(trial.snapshot, trial.candidate, trial.now)
    return _unready(trial) or shared or _wait_for_slos(trial, open_slos) or _unproven(trial)


def _unproven(trial: _Trial) -> Waiting | None:
    """Where the stage asks for proof: SLOs of which it is not shown yet that the candidate is not twice as bad."""
    compared = {slo.name for slo in trial.snapshot.spec.slos if slo.baseline and slo.counts and not slo.dry_run}
    required = [slo for slo in trial.slos if slo.name in compared and _is_required(trial.stage, slo)]
    unproven = [slo.name for slo in required if not (slo.comparison and slo.comparison.proven)]
    if not trial.stage.proof or not unproven:
        return None
    message = f"stage {trial.stage.name} waits for proof that the candidate is not twice as bad: {', '.join(unproven)}"
    return Waiting(reason=Reason.NOT_PROVEN, message=message)


def _no_way_on(trial: _Trial) -> Waiting | None:
    """What no person can pass over: a broken route, missing pods, or an SLO that is breached and takes back for it."""
    specs = trial.snapshot.spec.slos
    reverts = {slo.name for slo in specs if slo.on_breach is OnBreach.REVERT}
    breached = [slo for slo in acting(specs, trial.slos) if slo.verdict is Verdict.BREACH and slo.name in reverts]
    return _unready(trial) or _wait_for_slos(trial, breached)


def _unready(trial: _Trial) -> Waiting | None:
    if trial.snapshot.obstacles:
        return blocked_by(trial.snapshot.obstacles[0])
    if not trial.has_its_pods:
        return Waiting(reason=Reason.WAITING_FOR_PODS, message=_missing(trial))
    return None


def _missing(trial: _Trial) -> str:
    trouble = pods_trouble(trial.snapshot, trial.candidate)
    why = f" ({trouble})" if trouble else ""
    return f"waiting for {trial.pods} ready pods of version {trial.candidate.version}{why}"


def _wait_for_slos(trial: _Trial, slos: list[SloStatus]) -> Waiting | None:
    if not slos:
        return None
    names = ", ".join(f"{slo.name} ({slo.reason})" for slo in slos)
    return Waiting(reason=Reason.UNDECIDED, message=f"stage {trial.stage.name} waits for SLOs: {names}")


def _is_required(stage: Stage, slo: SloStatus) -> bool:
    return stage.required_slos is None or slo.name in stage.required_slos


def _until_deadline(trial: _Trial, waiting: Waiting) -> Move:
    """Undecided: wait until the deadline, if there is one, then do what the user chose."""
    status, stage, since = trial.snapshot.status, trial.stage, trial.at.reached_at
    if stage.deadline is None or since is None:
        return Move(status=status, waiting=waiting)
    due = since + stage.deadline + paused_time(status, trial.now)
    if trial.now < due:
        message = f"{waiting.message}; {stage.on_deadline} at {stamp(due)}"
        until = min(due, waiting.until) if waiting.until else due
        return Move(status=status, waiting=replace(waiting, message=message, until=until))
    return _overdue(trial, waiting)


def _overdue(trial: _Trial, waiting: Waiting) -> Move:
    """Undecided at the deadline: what the user chose."""
    snapshot, policy = trial.snapshot, trial.stage.on_deadline
    if policy is OnDeadline.REVERT:
        message = f"undecided at the deadline: {waiting.message}"
        return revert(
            snapshot,
            trial.candidate,
            trial.now,
            reason=Reason.STAGE_DEADLINE_EXCEEDED,
            message=message,
            mode=snapshot.spec.rollback.mode,
        )
    if policy is OnDeadline.ADVANCE and _may_rise(trial):
        return _through_the_gate(trial)
    message = f"undecided at the deadline, holding: {waiting.message}"
    return stays(snapshot.status, Reason.UNDECIDED_AT_DEADLINE, message, needs_person=True)


def _may_rise(trial: _Trial) -> bool:
    """No deadline policy passes over missing pods, a broken route or an SLO that is breached right now."""
    breach = any(slo.verdict is Verdict.BREACH for slo in acting(trial.snapshot.spec.slos, trial.slos))
    return trial.has_its_pods and not trial.snapshot.obstacles and not breach


def _advance(trial: _Trial) -> Move:
    spec = trial.snapshot.spec
    following = next_stage(spec, trial.at.index, trial.room)
    if trial.snapshot.status.promoting:
        following = None if trial.stage.weight == 100 else serving_stage(spec)
    if following is None:
        return promote(trial.snapshot, trial.candidate, trial.now)
    return enter_stage(trial.snapshot, following, trial.now)
