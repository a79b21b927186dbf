"""A cluster small enough to think about: what the API server stores, pods that come and go, and a shell that can die.

It stands in for the controller and for Kubernetes where the engine's decisions are tested by the ten thousand; the real
ones are met in tests/cluster and tests/e2e.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from modelrollout.api.action import RolloutActionSpec
from modelrollout.api.attempt import AttemptRecord, TimelineEntry
from modelrollout.api.quantities import parse_duration
from modelrollout.api.slo import Verdict
from modelrollout.api.spec import ModelRolloutSpec
from modelrollout.api.status import CapacityPlan, Colour, ColourStatus, ModelRolloutStatus, Phase, SloStatus
from modelrollout.api.traffic import HeaderMatch
from modelrollout.engine import effects as fx
from modelrollout.engine.actions import REMEMBERED_FOR
from modelrollout.engine.capacity import share, splits_by_pods
from modelrollout.engine.decide import decide
from modelrollout.engine.move import gets_requests
from modelrollout.engine.snapshot import (
    Alert,
    Asked,
    Copied,
    Obstacle,
    Origin,
    Readings,
    Recorded,
    Route,
    Shortage,
    Snapshot,
    Workload,
)
from modelrollout.engine.wanted import find, pin

START = datetime(2026, 1, 1, tzinfo=UTC)
GATEWAY = {"gatewayAPI": {"parentRefs": [{"name": "public"}]}}


class ConflictError(Exception):
    """The object has changed since it was read."""


def make_spec(version: str = "1.0.0", **changes: Any) -> ModelRolloutSpec:
    """A small valid spec; keyword arguments are fields of the wire format."""
    wire: dict[str, Any] = {
        "model": {"version": version},
        "replicas": 4,
        "template": {"spec": {"containers": [{"name": "server", "image": "server:1"}]}},
        "traffic": GATEWAY,
        "strategy": {"canary": {"steps": [{"weight": w, "hold": "1m"} for w in (10, 50, 100)]}},
        "slos": [{"name": "errors", "metric": "error-ratio", "limit": "1%", "test": "Plain", "consecutiveBreaches": 2}],
    }
    return ModelRolloutSpec.model_validate(wire | changes)


@dataclass
class World:
    """The state of the world; `reconcile` is one look and one decision of the operator."""

    spec: ModelRolloutSpec
    now: datetime = START
    generation: int = 1
    status: ModelRolloutStatus = field(default_factory=ModelRolloutStatus)
    status_version: int = 1
    workloads: dict[Colour, Workload] = field(default_factory=dict)
    recorded: dict[int, Recorded] = field(default_factory=dict)
    copied: Copied | None = None
    origin: Origin | None = None
    """What a workloadRef names, if it is there."""
    image: str = "server:1"
    """What runs in the origin."""
    handed_over: list[str] = field(default_factory=list)
    """uid of each origin that was scaled to 0 by the operator."""
    weights: dict[Colour, int] | None = None
    """What the routing object says: weights, or for the replicas router which colours are selected (nonzero)."""
    cohorts: dict[Colour, frozenset[HeaderMatch]] = field(default_factory=dict)
    """Whose requests the routing object sends to a colour, whatever the weights."""
    excluded: frozenset[HeaderMatch] = frozenset()
    """Whose requests it sends to stable, whatever else they carry."""
    route_attempt: int = 0
    """The stable attempt that the routing object shows."""
    route_version: int = 1
    asked_until: dict[Colour, datetime] = field(default_factory=dict)
    """When a colour was given its last requests; it gets some still if the route says so."""
    unremembered: set[Colour] = field(default_factory=set)
    """Colours with pods of which no status tells any more whether they had requests."""
    proven: set[int] = field(default_factory=set)
    """Attempts that have been stable."""
    warmed: set[tuple[Colour, int]] = field(default_factory=set)
    alerts: tuple[Alert, ...] = ()
    obstacles: tuple[Obstacle, ...] = ()
    preflighted: bool = True
    verdict: Verdict = Verdict.PASS
    looking: bool = True
    last_look: timedelta = timedelta()
    """How long ago Prometheus was last looked at."""
    asked: list[Asked] = field(default_factory=list)
    """RolloutActions that were not told yet what became of them."""
    answered: list[fx.AnswerAction] = field(default_factory=list)
    asked_so_far: int = 0
    told: dict[str, tuple[Asked, datetime]] = field(default_factory=dict)
    """RolloutActions that were told, by uid, and when they were heard."""
    heard: set[str] = field(default_factory=set)
    """Actions that a status has told of; it may have been lost since."""
    noted: set[str] = field(default_factory=set)
    """Those that the status has told of since it was lost last."""
    guarded: bool = True
    room: int | None = None
    """How many pods fit, of both colours together; None: any number."""
    by_quota: bool = False
    """Whether a quota is what keeps others from being there; else they stay pending."""
    first_served: Colour = Colour.BLUE
    """Who gets room that is free."""
    places: dict[Colour, int] = field(default_factory=dict)
    """How many pods of each colour have room."""
    finalizer: bool = False
    deleting: bool = False
    gone: bool = False
    kept: Colour | None = None
    watch: fx.Watch | None = None
    reports: dict[int, AttemptRecord] = field(default_factory=dict)
    reported: dict[int, int] = field(default_factory=dict)
    """What this life of the operator knows to be in them."""
    history: dict[int, list[TimelineEntry]] = field(default_factory=dict)
    """Every entry that a status has had, by attempt."""
    events: list[fx.Emit] = field(default_factory=list)
    log: list[fx.Effect] = field(default_factory=list)

    # --- what the operator sees and does

    def snapshot(self) -> Snapshot:
        spec, copied = self._described()
        return Snapshot(
            name="scorer",
            namespace="ml",
            generation=self.generation,
            spec=spec,
            status=ModelRolloutStatus.model_validate(self.status.to_wire()),
            workloads=dict(self.workloads),
            recorded=dict(self.recorded),
            copied=copied,
            origin=self.origin,
            route=self._route(),
            readings=self._readings(),
            alerts=self.alerts,
            obstacles=self.obstacles,
            preflighted=self.preflighted,
            warmed=frozenset(self.warmed),
            actions=tuple(self.asked),
            deleting=self.deleting,
            has_finalizer=self.finalizer,
            reported=frozenset(self.reported.items()),
            guarded_since=START if self.guarded else None,
        )

    def _described(self) -> tuple[ModelRolloutSpec, Copied | None]:
        """What the spec says together with what it refers to."""
        if self.spec.workload_ref is None:
            return self.spec, self.copied
        if self.origin is None:
            return self.spec, Copied(digests={}, trouble="Deployment old does not exist")
        template = {"spec": {"containers": [{"name": "server", "image": self.image}]}}
        return self.spec.model_copy(update={"template": template}), self.copied

    def reconcile(self, *, crash_after: int | None = None) -> fx.Decision:
        """Look, decide, and carry out the effects, or only the first few of them."""
        return self.carry_out(self.snapshot(), self.status_version, crash_after=crash_after)

    def carry_out(self, seen: Snapshot, seen_version: int, *, crash_after: int | None = None) -> fx.Decision:
        """Act on what was seen, perhaps long ago."""
        decision = decide(seen, self.now)
        _check_order(seen, decision)
        _check_fence(decision)
        effects = decision.effects if crash_after is None else decision.effects[:crash_after]
        try:
            for effect in effects:
                self._apply(effect, seen, seen_version)
                self._check_size(effect, seen)
                self.log.append(effect)
        except ConflictError:
            return decision
        if crash_after is None:
            self.watch = decision.watch
        else:
            self.reported.clear()
        return decision

    def settle(self, *, rounds: int = 50) -> fx.Decision:
        """Reconcile and let pods follow until nothing changes any more at this moment."""
        for _ in range(rounds):
            before = self._state()
            decision = self.reconcile()
            self.pods_follow()
            if self._state() == before:
                return decision
        raise AssertionError(f"not settled after {rounds} rounds: {self.status.phase}, {self.log[-5:]}")

    def run_for(self, duration: timedelta, step: timedelta = timedelta(seconds=5)) -> None:
        """Let time pass in steps, settling at each."""
        end = self.now + duration
        while self.now < end:
            self.now = min(self.now + step, end)
            self.settle()

    # --- what people do

    def ask(self, action: str, *, by: str = "ada", attempt: int | None = None, **details: Any) -> str:
        """A RolloutAction for the present attempt, or for another one; returns its uid."""
        self.asked_so_far += 1
        uid = f"action-{self.asked_so_far}"
        spec = {"rollout": "scorer", "attempt": self.status.attempt if attempt is None else attempt, "by": by}
        wire = spec | {"action": action} | details
        self.asked.append(Asked(uid=uid, name=uid, created=self.now, spec=RolloutActionSpec.model_validate(wire)))
        return uid

    def answered_lately(self) -> list[Asked]:
        """What a view that is not too old may still show as unanswered."""
        lately = [one for one, heard_at in self.told.values() if self.now - heard_at < REMEMBERED_FOR]
        return [one for one in lately if one.uid in self.noted and one not in self.asked]

    # --- what the world does

    def change(self, spec: ModelRolloutSpec) -> None:
        if spec != self.spec:
            self.spec, self.generation = spec, self.generation + 1

    def go_back(self, version: str | None = None) -> bool:
        """Somebody asks for a version of history; false if there is none."""
        snapshot = self.snapshot()
        entry = find(snapshot, version)
        if entry is None:
            return False
        pinned = pin(snapshot, entry, by="jane", at=self.now, reason="it was better")
        self.status = self.status.model_copy(update={"pinned": pinned})
        self.status_version += 1
        return True

    def pods_follow(self) -> None:
        """Deployments are looked at, and their pods become ready as far as there is room for them."""
        for colour in sorted(self.workloads, key=lambda one: one is not self.first_served):
            self._take_places(colour, self.workloads[colour].desired)
        for colour in self.workloads:
            self.pods_ready(colour, self.places[colour])

    def pods_ready(self, colour: Colour, ready: int) -> None:
        workload = self.workloads.get(colour)
        if workload is None:
            return
        self._take_places(colour, ready)
        ready, lacking = min(ready, self.places[colour]), workload.desired - self.places[colour]
        if not ready and not self.share_of(colour):
            self.asked_until.pop(colour, None)  # whoever is not ready any more has no answers to finish
        since = workload.shortage.since if workload.shortage else self.now
        is_short = self.room is not None and lacking > 0 and self._is_full()
        self.workloads[colour] = replace(
            workload,
            ready=ready,
            answering=ready,
            settled=True,
            total=workload.desired - (lacking if self.by_quota else 0),
            unscheduled=lacking if is_short and not self.by_quota else 0,
            message="no room" if is_short else "",
            shortage=Shortage(reason="Simulated", message="no room", since=since) if is_short else None,
        )

    def _take_places(self, colour: Colour, pods: int) -> None:
        """Pods are there that were not before, as far as they fit."""
        has, pods = self.places.get(colour, 0), min(pods, self.workloads[colour].desired)
        free = pods if self.room is None else max(self.room - sum(self.places.values()), 0)
        self.places[colour] = max(has, min(pods, has + free))

    def _is_full(self) -> bool:
        return self.room is not None and sum(self.places.values()) >= self.room

    def restart(self, colour: Colour) -> None:
        """Somebody has `kubectl rollout restart` make new pods, and the old ones answer until those are ready."""
        if colour in self.workloads:
            self.workloads[colour] = replace(self.workloads[colour], ready=0)

    def answers(self, part: ColourStatus) -> bool:
        return part.colour in self.workloads and self.workloads[part.colour].answering > 0

    def share_of(self, colour: Colour) -> float:
        route = self._route()
        return route.shares.get(colour, 0.0) if route else 0.0

    # --- inside

    def _state(self) -> tuple[Any, ...]:
        route = (self.weights, dict(self.cohorts), self.excluded)
        warmed = frozenset(self.warmed)
        return (self.status, route, dict(self.workloads), self.origin, warmed, self.finalizer, self.gone)

    def _route(self) -> Route | None:
        if self.weights is None:
            return None
        if not splits_by_pods(self.spec):
            shares = {colour: float(weight) for colour, weight in self.weights.items()}
        else:
            ready = {
                c: self.workloads[c].answering if w and c in self.workloads else 0 for c, w in self.weights.items()
            }
            single = [colour for colour, weight in self.weights.items() if weight == 100]
            shares = (
                {single[0]: 100.0} if single else {c: share(candidate=ready[c], stable=ready[c.other]) for c in Colour}
            )
        return Route(
            shares=shares,
            cohorts=dict(self.cohorts),
            excluded=self.excluded,
            attempt=self.route_attempt,
            token=str(self.route_version),
        )

    def _readings(self) -> Readings | None:
        if not self.watch or not self.looking:
            return None
        slos = {
            slo.name: SloStatus(name=slo.name, verdict=self.verdict, reason=f"Simulated{self.verdict}", at=self.now)
            for slo in self.spec.slos
        }
        return Readings(
            attempt=self.watch.attempt, stage=self.watch.stage, looked_at=self.now - self.last_look, by_slo=slos
        )

    def _apply(self, effect: fx.Effect, seen: Snapshot, seen_version: int) -> None:  # noqa: PLR0912 - one for each
        match effect:
            case fx.WriteStatus(status=status):
                self._write_status(status, seen_version)
            case fx.ApplyWorkload():
                self._apply_workload(effect, seen)
            case fx.ScaleWorkload(colour=colour, replicas=replicas):
                if not replicas:
                    self._check_drained(colour, seen)
                self.places[colour] = min(self.places.get(colour, 0), replicas)
                self.workloads[colour] = replace(
                    self.workloads[colour],
                    desired=replicas,
                    ready=min(self.workloads[colour].ready, replicas),
                    answering=min(self.workloads[colour].answering, replicas),
                    settled=False,
                )
            case fx.HandOver():
                self._hand_over(effect, seen)
            case fx.Forget(attempts=attempts):
                self._forget(attempts)
            case fx.SetTraffic():
                self._set_traffic(effect, seen)
            case fx.WarmUp(colour=colour, attempt=attempt):
                self.warmed.add((colour, attempt))
            case fx.WriteReport(record=record):
                self.reports[record.attempt] = record
                self.reported[record.attempt] = record.entries
            case fx.Emit():
                self.events.append(effect)
            case fx.AnswerAction():
                self._answer(effect)
            case fx.ApplyBudgets():
                pass  # evictions are not played here
            case fx.AddFinalizer() | fx.Release() | fx.RemoveFinalizer():
                self._begin_or_end(effect, seen)

    def _begin_or_end(self, effect: fx.AddFinalizer | fx.Release | fx.RemoveFinalizer, seen: Snapshot) -> None:
        self.finalizer = isinstance(effect, fx.AddFinalizer) or (self.finalizer and isinstance(effect, fx.Release))
        self.gone = self.gone or isinstance(effect, fx.RemoveFinalizer)
        if isinstance(effect, fx.Release):
            self.kept = effect.keep
            if effect.keep and self.workloads[effect.keep].answering:
                self._check_drained(effect.keep.other, seen)

    def _hand_over(self, effect: fx.HandOver, seen: Snapshot) -> None:
        """Scaled to 0 once, and not before the stable version has requests and all its pods."""
        origin, stable = self.origin, self.status.stable
        assert seen.origin
        assert not seen.origin.handed_over, "asked for again although it was seen to be done"
        if origin is None or (origin.uid, origin.desired) != (effect.uid, effect.desired) or origin.handed_over:
            raise ConflictError
        assert origin.uid not in self.handed_over, "scaled to 0 twice"
        assert stable is not None
        assert self.route_attempt == stable.attempt, "handed over to a version that has no requests"
        assert seen.workloads[stable.colour].ready >= seen.spec.replicas >= origin.desired, "handed over to too few"
        self.origin = replace(origin, desired=0, handed_over=True)
        self.handed_over.append(origin.uid)

    def _forget(self, attempts: tuple[int, ...]) -> None:
        in_use = [self.status.stable, self.status.previous, self.status.candidate, self.status.pinned]
        assert not {part.attempt for part in in_use if part} & set(attempts), "what runs was forgotten"
        for attempt in attempts:
            self.recorded.pop(attempt, None)

    def _answer(self, effect: fx.AnswerAction) -> None:
        """Invariant 5: what people ask for is answered as it is written down, and each time the same."""
        assert effect.uid in self.heard, "answered before it was written down"
        for asked in [one for one in self.asked if one.uid == effect.uid]:
            self.asked.remove(asked)
            if effect.uid in self.told and effect.uid in self.noted:
                assert effect in self.answered, "answered again, and otherwise"
            else:
                self.answered.append(effect)
            self.told[effect.uid] = (asked, effect.at)

    def _write_status(self, status: ModelRolloutStatus, seen_version: int) -> None:
        if seen_version != self.status_version:
            raise ConflictError
        if status != self.status:
            self._note_history(status)
            self._note_actions(status)
            self.status, self.status_version = status, self.status_version + 1
        if status.stable:
            self.proven.add(status.stable.attempt)

    def _note_actions(self, status: ModelRolloutStatus) -> None:
        """Invariant 5: what people ask for is applied once; only a status that was lost does not know that it was."""
        fresh = {one.uid for one in status.actions} - {one.uid for one in self.status.actions}
        assert not fresh & self.noted, "what was heard and forgotten was heard again"
        self.heard |= fresh
        self.noted |= fresh

    def _note_history(self, status: ModelRolloutStatus) -> None:
        """Invariant 9: every transition has an entry that says why, and no entry is changed, repeated or lost."""
        fresh: list[TimelineEntry] = []
        for record in status.records:
            known = self.history.setdefault(record.attempt, [])
            assert record.omitted or record.timeline[: len(known)] == known, "history was changed"
            new = record.timeline[len(record.timeline) + len(known) - record.entries :]
            fresh += new
            known += new
        for place, entry in enumerate(fresh):
            assert entry not in fresh[:place], f"told twice: {entry.reason}: {entry.message}"
        for attempt in {record.attempt for record in self.status.records} - {one.attempt for one in status.records}:
            assert self.reports[attempt].timeline == self.history[attempt], "forgotten before it was reported"
        if status.records and _place(status) != _place(self.status):
            assert any(entry.moved and entry.reason and entry.message for entry in fresh), "moved without a word"

    def _apply_workload(self, effect: fx.ApplyWorkload, seen: Snapshot) -> None:
        if effect.recorded is None:
            version = self.spec.model.version
        else:
            record = self.recorded.get(effect.attempt) or self.recorded.get(effect.recorded)
            if record is None:
                assert effect.recorded in seen.recorded, "what nobody has seen cannot be gone back to"
                raise ConflictError
            version = record.version
        record = Recorded(revision=effect.revision, version=version)
        known_as = self.recorded.setdefault(effect.attempt, record)
        assert known_as.revision == effect.revision, "the number of an attempt was given twice"
        before = self.workloads.get(effect.colour)
        same = before is not None and (before.revision, before.attempt) == (effect.revision, effect.attempt)
        if before and same and before.desired == effect.replicas:
            return
        known = seen.workloads.get(effect.colour)
        if known and known.answering and not same:
            assert self.share_of(effect.colour) == 0, "pods that answer requests were replaced"
            self._check_drained(effect.colour, seen)
        if not same:
            self.asked_until.pop(effect.colour, None)
        kept = min(before.ready, effect.replicas) if before and same else 0
        self.places[effect.colour] = min(self.places.get(effect.colour, 0), effect.replicas) if same else 0
        self.workloads[effect.colour] = Workload(
            revision=effect.revision,
            attempt=effect.attempt,
            version=version,
            desired=effect.replicas,
            ready=kept,
            answering=min(before.answering, effect.replicas) if before and same else 0,
            settled=False,
            total=effect.replicas,
            unscheduled=before.unscheduled if before and same else 0,
            shortage=before.shortage if before and same else None,
        )

    def _set_traffic(self, effect: fx.SetTraffic, seen: Snapshot) -> None:
        if effect.token is not None and effect.token != str(self.route_version):
            raise ConflictError
        weights = {effect.stable: 100 - effect.weight, effect.stable.other: effect.weight}
        excluded = frozenset(effect.excluded)
        cohorts = {effect.candidate: frozenset(effect.cohort) - excluded} if effect.candidate else {}
        written = (self.weights, self.cohorts, self.excluded, self.route_attempt)
        if (weights, cohorts, excluded, effect.attempt) == written:
            return
        shares, let_in = {colour: self.share_of(colour) for colour in Colour}, self.cohorts
        self.asked_until |= {colour: self.now for colour in Colour if shares[colour] or let_in.get(colour)}
        self.weights, self.cohorts, self.excluded = weights, cohorts, excluded
        self.route_attempt, self.route_version = effect.attempt, self.route_version + 1
        self._check_rise(shares, seen)
        self._check_cohorts(let_in)

    def _check_drained(self, colour: Colour, seen: Snapshot) -> None:
        """No pod goes that may still be asked, or that has answers to finish."""
        if colour in self.unremembered:
            self.unremembered.discard(colour)
            return
        if colour not in self.asked_until or not self.workloads[colour].answering:
            return
        capacity = self.status.capacity
        if capacity and capacity.plan is CapacityPlan.RECREATE and seen.spec.replicas == 1:
            return  # the only pod gives its place to the next one, which answers when it is there
        assert not self.share_of(colour), f"pods in {colour} went while they got requests"
        longest = parse_duration(seen.spec.service.longest_answer or "8s")
        assert self.now >= self.asked_until[colour] + longest, (
            f"pods in {colour} went before they had finished their answers"
        )

    def _check_cohorts(self, before: dict[Colour, frozenset[HeaderMatch]]) -> None:
        """Invariant 1: nobody is let in but by the stage, and to a version that is warm and answers."""
        for colour, cohort in self.cohorts.items():
            if cohort <= before.get(colour, frozenset()):
                continue
            candidate, stage = self.status.candidate, self.status.stage
            assert candidate is not None, f"{colour} got a cohort without being on trial"
            assert candidate.colour is colour
            assert candidate.warm, f"{colour} got a cohort before it was warm"
            assert stage is not None
            assert cohort <= {*stage.match} - {*self.status.excluded}, (
                f"{colour} got more than stage {stage.name} lets in"
            )
            assert self.workloads[colour].answering > 0, f"{colour} got a cohort without a ready pod"

    def _check_rise(self, before: dict[Colour, float], seen: Snapshot) -> None:
        """Invariant 1: a share rises only on stable, on ready pods that were stable, or on a candidate as declared."""
        stable = self.status.stable
        for colour in Colour:
            if self.share_of(colour) <= before[colour] or (stable and stable.colour is colour):
                continue
            if self.workloads[colour].attempt in self.proven and self.workloads[colour].answering > 0:
                continue  # a view from just before a promotion whose route is not written yet: warm pods serve again
            if not self._answers(colour.other, seen) and (self.deleting or (stable and splits_by_pods(self.spec))):
                continue  # better a doubtful answer than none, also where a lost status tells of nobody who served
            candidate, stage = self.status.candidate, self.status.stage
            assert candidate is not None, f"{colour} got requests without being on trial"
            assert candidate.colour is colour
            assert candidate.warm, f"{colour} got requests before it was warm"
            assert self.status.phase is Phase.PROGRESSING, f"{colour} got more requests in phase {self.status.phase}"
            assert stage is not None
            # pods that stable has lost since it was looked at are made up for by the next look
            share = replace(self, workloads=dict(seen.workloads)).share_of(colour)
            assert share <= stage.weight, f"{colour} got more than stage {stage.name} declares"
            self._check_load(colour, seen)
            assert self.workloads[colour].answering > 0, f"{colour} got requests without a ready pod"

    def _check_load(self, colour: Colour, seen: Snapshot) -> None:
        """Where there is no room for two full copies, nobody gets more requests than ready pods carry."""
        capacity, full = self.status.capacity, seen.spec.replicas
        if capacity is None or capacity.plan is CapacityPlan.SURGE or splits_by_pods(self.spec):
            return
        missing = 1 if capacity.plan is CapacityPlan.RECREATE and self.share_of(colour) == 100 else 0
        carried = 100 * (seen.workloads[colour].ready + missing) // full
        assert self.share_of(colour) <= carried, f"{colour} got more than its pods carry"

    def _answers(self, colour: Colour, seen: Snapshot) -> bool:
        workload = seen.workloads.get(colour)
        return workload is not None and workload.answering > 0

    def _check_size(self, effect: fx.Effect, seen: Snapshot) -> None:
        """Invariant 3: stable, and the version before while it is kept warm, have all the pods that were asked for.

        Where there is no room for that, what is taken from either side is there, ready, on the other one.
        """
        if not isinstance(effect, fx.ApplyWorkload | fx.ScaleWorkload):
            return
        status, full, before = self.status, seen.spec.replicas, seen.workloads.get(effect.colour)
        if status.capacity is None or status.capacity.plan is CapacityPlan.SURGE:
            for part in (status.stable, status.previous):
                if part and part.colour is effect.colour:
                    assert effect.replicas == full, f"{effect.colour} serves, or may have to, and was scaled"
            return
        if before is None or effect.replicas >= before.desired or not self._may_be_needed(effect.colour, seen):
            return
        other = seen.workloads.get(effect.colour.other)
        others = other.answering if other else 0
        enough = min(full, before.answering + others)
        missing = 1 if status.capacity.plan is CapacityPlan.RECREATE else 0
        left = min(before.answering, effect.replicas) + others
        assert left >= enough - missing, f"{effect.colour} was scaled to {effect.replicas}: too few pods are left"

    def _may_be_needed(self, colour: Colour, seen: Snapshot) -> bool:
        """Whether a colour is stable, or a candidate with requests."""
        stable, candidate = self.status.stable, self.status.candidate
        if stable and stable.colour is colour:
            return True
        return candidate is not None and candidate.colour is colour and gets_requests(seen, colour)


def _place(status: ModelRolloutStatus) -> tuple[Any, ...]:
    """What changes with every transition, and with nothing else."""
    candidate, stage, stable = status.candidate, status.stage, status.stable
    on_trial = (candidate.attempt, status.phase, stage and (stage.name, stage.entered_at)) if candidate else None
    return on_trial, stable and stable.attempt


def _check_fence(decision: fx.Decision) -> None:
    """Nobody is scaled down on a view of the status that may be old."""
    kinds = [type(effect) for effect in decision.effects]
    if fx.HandOver in kinds:
        assert fx.WriteStatus in kinds[: kinds.index(fx.HandOver)]


def _check_order(seen: Snapshot, decision: fx.Decision) -> None:
    """Invariant 2: a candidate that has requests is taken back by the first effect of all."""
    written = next((effect.status for effect in decision.effects if isinstance(effect, fx.WriteStatus)), seen.status)
    begins = written.phase is Phase.REVERTING and seen.status.phase is not Phase.REVERTING
    stable, candidate = seen.status.stable, seen.status.candidate
    if not (begins and stable and candidate and gets_requests(seen, candidate.colour)):
        return
    if stable.colour in seen.workloads and seen.workloads[stable.colour].answering:
        first = decision.effects[0]
        assert isinstance(first, fx.SetTraffic), f"{first} came before the route"
        kept = written.way_back.weight if written.way_back else 0
        assert (first.stable, first.weight, first.cohort) == (stable.colour, kept, ())
