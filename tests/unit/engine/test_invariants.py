"""The invariants of docs/architecture.md against random worlds: edits, pods, verdicts, crashes and stale views."""

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from modelrollout.api.action import ActionKind
from modelrollout.api.attempt import AttemptOutcome
from modelrollout.api.slo import Verdict
from modelrollout.api.spec import DeletionPolicy, ModelRolloutSpec
from modelrollout.api.status import Colour, ModelRolloutStatus, Phase
from modelrollout.api.traffic import HeaderMatch
from modelrollout.engine.capacity import splits_by_pods
from modelrollout.engine.gates import gated
from modelrollout.engine.reasons import Reason
from modelrollout.engine.snapshot import Alert, Copied, Obstacle, Origin, Snapshot
from modelrollout.engine.stages import expand
from modelrollout.engine.wanted import fingerprint
from unit.engine.plans import BY_PODS, COHORTS, REQUIRED, WEIGHTS, plans, strategy
from unit.engine.simulation import GATEWAY, World, make_spec
from unit.engine.steps import Step

pytestmark = pytest.mark.timeout(900)
"""Hypothesis makes a counterexample smaller for up to five minutes before it shows it."""

VERSIONS = ["1.0.0", "2.0.0", "3.0.0"]
MOVING_IN: dict[str, Any] = {"workloadRef": {"name": "old"}, "template": None}
OBSTACLE = Obstacle(condition="MetricsReady", reason="QueryInvalid", message="does not parse")


class View(NamedTuple):
    """What the operator sees at one moment, and what Prometheus says then."""

    seen: Snapshot
    status_version: int
    verdict: Verdict
    looking: bool


class RolloutMachine(RuleBasedStateMachine):
    """One rollout from its creation on. The simulation itself checks what may rise and what may be replaced."""

    world: World
    plan: dict[str, Any]
    version = "1.0.0"
    paused = False
    made = 1
    stale: View | None = None

    @initialize(
        plan=plans(),
        copied=st.sampled_from([None, Copied(digests={"ConfigMap/settings": "a"})]),
        desired=st.sampled_from([None, None, 0, 1, 3]),
        more_room=st.none() | st.integers(0, 3),
        by_quota=st.booleans(),
        looks=st.integers(0, 12),
    )
    def create(
        self,
        *,
        plan: dict[str, Any],
        copied: Copied | None,
        desired: int | None,
        more_room: int | None,
        by_quota: bool,
        looks: int,
    ) -> None:
        """`desired` is the number of pods of the workload to move in from, if there is one.

        All goes well for so many looks, as most walks would never get into a stage by themselves to meet trouble there.
        """
        self.plan = plan if desired is None else plan | MOVING_IN
        origin = None if desired is None else Origin(name="old", uid="1", desired=desired, handed_over=False)
        room = None if more_room is None else plan["replicas"] + more_room
        spec = make_spec(self.version, **self.plan)
        self.world = World(spec=spec, copied=copied, origin=origin, room=room, by_quota=by_quota)
        self.world.settle()
        self.ask_for("2.0.0")
        for _ in range(looks):
            self.all_agree()
            self.all_goes_on(35)

    # --- what people do

    def _spec(self) -> ModelRolloutSpec:
        return make_spec(self.version, **(self.plan | {"paused": self.paused}))

    @rule(version=st.sampled_from(VERSIONS))
    def ask_for(self, version: str) -> None:
        self.version = version
        self.world.change(self._spec())

    @rule(weights=st.sets(WEIGHTS, max_size=2), let_in=st.lists(st.sampled_from(COHORTS), max_size=2), require=REQUIRED)
    def edit_the_strategy(self, weights: set[int], let_in: list[HeaderMatch], require: dict[str, Any] | None) -> None:
        (preset,) = self.plan["strategy"]
        let_in = let_in if self.plan["traffic"] == GATEWAY else []
        required = {"require": require} if require else {}
        self.plan = self.plan | {"strategy": strategy(preset, weights, let_in, hold="30s", **required)}
        self.world.change(self._spec())

    @rule()
    def pause_or_resume(self) -> None:
        self.paused = not self.paused
        self.world.change(self._spec())

    @rule(replicas=st.integers(1, 6))
    def scale(self, replicas: int) -> None:
        self.plan = self.plan | {"replicas": replicas}
        self.world.change(self._spec())

    @rule(longest=st.sampled_from([{}, {"longestAnswer": "5m"}]))
    def edit_the_longest_answer(self, longest: dict[str, str]) -> None:
        self.plan = self.plan | {"service": longest}
        self.world.change(self._spec())

    @rule(
        action=st.sampled_from(ActionKind),
        attempts_ago=st.sampled_from([0, 0, 0, 1]),
        back=st.sampled_from([{}, {"mode": "Gradual"}, {"to": "1.0.0"}, {"to": "2.0.0", "mode": "Immediate"}]),
        cohort=st.sampled_from(COHORTS),
        ahead=st.sampled_from([0, 0, 0, 1]),
    )
    def ask_for_action(
        self, action: ActionKind, attempts_ago: int, back: dict[str, str], cohort: HeaderMatch, ahead: int
    ) -> None:
        stages = expand(self.world.spec)
        here = self.world.status.stage.index if self.world.status.stage else 0
        stage = stages[min(here + ahead, len(stages) - 1)].name
        details: dict[ActionKind, dict[str, Any]] = {
            ActionKind.APPROVE: {"stage": stage, "role": "security"},
            ActionKind.SIGN_OFF: {"stage": stage, "item": "runbook"},
            ActionKind.ADVANCE: {"stage": stage},
            ActionKind.REVERT: back,
            ActionKind.EXCLUDE: {"cohort": cohort.to_wire()},
            ActionKind.INCLUDE: {"cohort": cohort.to_wire()},
        }
        attempt = max(self.world.status.attempt - attempts_ago, 0)
        self.world.ask(action, attempt=attempt, **details.get(action, {}))

    @rule()
    def all_agree(self) -> None:
        """Everybody says yes who has to before the next stage."""
        self._agree()

    def _agree(self) -> bool:
        """Whether anybody had to."""
        asked = any(one.reason == Reason.AWAITING_APPROVAL for one in self.world.status.conditions)
        for stage in gated(self.world.spec, self.world.status) if asked else ():
            self.world.ask(ActionKind.APPROVE, stage=stage.name, role="security")
            self.world.ask(ActionKind.SIGN_OFF, stage=stage.name, item="runbook")
        return asked

    @rule()
    def policy_comes_or_goes(self) -> None:
        """By which the API server looks at who approves."""
        self.world.guarded = not self.world.guarded

    @precondition(lambda self: self.world.copied is not None)
    @rule(digest=st.sampled_from("ab"), trouble=st.sampled_from([None, None, "", "ConfigMap settings is missing"]))
    def edit_the_config_map(self, digest: str, trouble: str | None) -> None:
        self.world.copied = Copied(digests={"ConfigMap/settings": digest}, trouble=trouble)

    @precondition(lambda self: self.world.origin is not None)
    @rule(image=st.sampled_from(["server:1", "server:2"]), desired=st.integers(0, 6))
    def edit_the_origin(self, image: str, desired: int) -> None:
        assert self.world.origin
        self.world.image = image
        self.world.origin = replace(self.world.origin, desired=desired)

    @precondition(lambda self: self.world.spec.workload_ref is not None)
    @rule(desired=st.integers(0, 6))
    def delete_or_make_the_origin(self, desired: int) -> None:
        self.made += 1
        anew = Origin(name="old", uid=f"{self.made}", desired=desired, handed_over=False)
        self.world.origin = None if self.world.origin else anew

    # --- what the world does

    @rule(seconds=st.sampled_from([1, 10, 60, 600]))
    def time_passes(self, seconds: int) -> None:
        self.world.now += timedelta(seconds=seconds)

    @rule()
    def pods_follow(self) -> None:
        self.world.pods_follow()

    @rule(colour=st.sampled_from(Colour), ready=st.integers(0, 6))
    def pods_come_and_go(self, colour: Colour, ready: int) -> None:
        workload = self.world.workloads.get(colour)
        if workload:
            self.world.pods_ready(colour, min(ready, workload.desired))

    @precondition(lambda self: self.world.room is not None)
    @rule(room=st.integers(1, 12), first=st.sampled_from(Colour))
    def room_comes_and_goes(self, room: int, first: Colour) -> None:
        """Others come and go, and whoever asks first gets what is free."""
        self.world.room, self.world.first_served = room, first

    @rule(colour=st.sampled_from(Colour))
    def restart(self, colour: Colour) -> None:
        self.world.restart(colour)

    @rule(verdict=st.sampled_from(Verdict), looking=st.booleans())
    def prometheus_says(self, verdict: Verdict, looking: bool) -> None:
        self.world.verdict, self.world.looking = verdict, looking

    @precondition(lambda self: self.world.spec.alerts and self.world.status.candidate)
    @rule(
        name=st.sampled_from(["Errors", "Errors", "Errors", "Disk"]),
        colour=st.sampled_from(["", "", *Colour]),
        attempts_ago=st.sampled_from([None, 0, 0, 1]),
        begun=st.sampled_from([0, 0, 600]),
    )
    def alert_fires(self, name: str, colour: str, attempts_ago: int | None, begun: int) -> None:
        """It names the attempt or not, is looked at as soon as it is pushed, and ends by itself in the end."""
        alert = Alert(
            name=name,
            labels={"alertname": name},
            summary="",
            starts_at=self.world.now - timedelta(seconds=begun),
            ends_at=self.world.now + timedelta(minutes=4),
            colour=colour,
            attempt="" if attempts_ago is None else str(self.world.status.attempt - attempts_ago),
        )
        self.world.alerts = (*self.world.alerts, alert)
        self._checked(self.world.reconcile)

    @precondition(lambda self: self.world.alerts)
    @rule()
    def alerts_end(self) -> None:
        self.world.alerts = ()

    @rule()
    def obstacle_comes_or_goes(self) -> None:
        self.world.obstacles = () if self.world.obstacles else (OBSTACLE,)

    @rule()
    def status_is_lost(self) -> None:
        """Somebody restores a backup, or deletes the ModelRollout and makes it anew."""
        self.world.status, self.world.status_version = ModelRolloutStatus(), self.world.status_version + 1
        self.world.history, self.world.reports, self.world.unremembered = {}, {}, {*Colour}
        self.world.noted = set()

    @rule()
    def preflight_begins_or_ends(self) -> None:
        self.world.preflighted = not self.world.preflighted

    # --- what the operator does

    @rule()
    def reconcile(self) -> None:
        self._checked(self.world.reconcile)

    @rule(seconds=st.sampled_from([1, 35, 310]))
    def all_goes_on(self, seconds: int) -> None:
        """Further in a few looks, where nothing is in the way."""
        self.world.now += timedelta(seconds=seconds)
        for _ in range(3):
            self.world.pods_follow()
            self._checked(self.world.reconcile)

    @rule()
    def pods_take_turns(self) -> None:
        """Where there is little room, a rollout goes a pod at a time."""
        for _ in range(6):
            self.world.now += timedelta(seconds=15)
            self._checked(self.world.reconcile)
            self.world.pods_follow()

    @rule(effects=st.integers(0, 4))
    def crash_between_effects(self, effects: int) -> None:
        self._checked(lambda: self.world.reconcile(crash_after=effects), dies=True)

    @rule()
    def answers_are_seen_late(self) -> None:
        """The cache of a new leader may lag behind what the one before has answered, by less than ten minutes."""
        shown = self.world.answered_lately()
        self.world.asked += shown
        self._checked(self.world.reconcile)
        self.world.asked = [one for one in self.world.asked if one not in shown]

    @rule()
    def look_now_act_later(self) -> None:
        self.stale = self._view()

    @precondition(lambda self: self.stale is not None)
    @rule()
    def act_on_a_stale_view(self) -> None:
        """A deposed leader, or a cache that lags: it may repeat a step or make things safer, nothing else."""
        assert self.stale
        old, known = self.stale, dict(self.world.reported)
        self.stale = None
        self._checked(lambda: self.world.carry_out(old.seen, old.status_version), old)
        self.world.reported = known  # what another operator has written is not known to this one

    def _view(self) -> View:
        world = self.world
        return View(world.snapshot(), world.status_version, world.verdict, world.looking)

    def _checked(self, act: Callable[[], Any], old: View | None = None, *, dies: bool = False) -> None:
        """What was seen and said counts as of the view that is acted on, which may be old."""
        before, stable = self.world.status, self.world.status.stable
        view = old or self._view()
        act()
        after = self.world.status
        entered = [one.at for one in self.world.history.get(after.attempt, []) if one.reason == Reason.STAGE_ENTERED]
        Step(
            before=before,
            after=after,
            spec=view.seen.spec,
            now=self.world.now,
            verdict=view.verdict,
            looking=view.looking,
            alerts=view.seen.alerts,
            guarded=self.world.guarded,
            stable_answers=stable is not None and self.world.answers(stable),
            first_requests=min(entered, default=None),
            wanted=None if old else fingerprint(self.world.snapshot()),
            carried_out=not old and not dies,
        ).check()

    # --- what always holds

    @invariant()
    def it_holds(self) -> None:
        """One for all: a counterexample names each invariant after each of its steps."""
        self._check_numbers()
        self._check_known_attempts()
        self._check_quiet(self._copy())

    def _check_numbers(self) -> None:
        status, world = self.world.status, self.world
        assert not status.killed or status.phase not in (Phase.PREPARING, Phase.PROGRESSING), "killed, and on trial"
        assert world.weights is None or sum(world.weights.values()) == 100
        assert not any(cohort & world.excluded for cohort in world.cohorts.values()), "excluded, and let in"

    def _check_known_attempts(self) -> None:
        """What runs, and no more than is asked for, is in the history."""
        status = self.world.status
        attempts = [entry.attempt for entry in status.history]
        parts = (status.stable, status.previous, status.candidate, status.pinned)
        in_use = {part.attempt for part in parts if part}
        assert attempts == sorted(attempts, reverse=True)
        assert in_use <= set(attempts)
        assert len(set(attempts) - in_use) <= self.plan["revisionHistoryLimit"]

    def _check_quiet(self, world: World) -> None:
        """Invariant 6: deciding on the same things over and over comes to an end of writing."""
        written = [(world.status_version, world.route_version)]
        for _ in range(40):
            world.reconcile()
            written.append((world.status_version, world.route_version))
            if world.finalizer and written[-1] == written[-2]:
                return
        raise AssertionError(f"still writing at the same moment, in the same world: {written[-4:]}")

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self._check_deletion(self._copy())
            self._check_rest(self.world)

    def _copy(self) -> World:
        world = self.world
        return replace(
            world,
            workloads=dict(world.workloads),
            recorded=dict(world.recorded),
            warmed=set(world.warmed),
            proven=set(world.proven),
            asked=list(world.asked),
            answered=list(world.answered),
            handed_over=list(world.handed_over),
            heard=set(world.heard),
            noted=set(world.noted),
            told=dict(world.told),
            cohorts=dict(world.cohorts),
            asked_until=dict(world.asked_until),
            unremembered=set(world.unremembered),
            places=dict(world.places),
            reports=dict(world.reports),
            reported=dict(world.reported),
            history={attempt: list(entries) for attempt, entries in world.history.items()},
            events=[],
            log=[],
        )

    def _check_deletion(self, world: World) -> None:
        """Invariant 8: deleted at any moment, what serves goes on serving everything."""
        answering = {colour for colour, workload in world.workloads.items() if workload.answering}
        world.deleting = True
        for _ in range(10):
            decision = world.reconcile()
            world.now = max(decision.wake_at or world.now, world.now + timedelta(seconds=2))
        assert world.gone
        if world.spec.deletion_policy is DeletionPolicy.DELETE:
            assert world.kept is None
            return
        self._check_reports(world)
        if not world.status.stable:
            return
        assert world.kept
        assert world.share_of(world.kept) == 100
        assert not any(world.cohorts.values())
        served = {world.status.stable.colour} | ({world.kept} & answering)
        assert world.kept in served

    def _check_reports(self, world: World) -> None:
        """Invariant 9: in the end the reports have all that ever happened, once, and how each attempt ended."""
        for attempt, entries in world.history.items():
            report = world.reports[attempt]
            assert report.timeline[: len(entries)] == entries
            assert report.ended
            assert report.outcome is not AttemptOutcome.IN_PROGRESS
            assert report.reason

    def _check_rest(self, world: World) -> None:
        """Left alone with good news, every rollout comes to rest, and serves."""
        world.verdict, world.looking, world.obstacles, world.preflighted = Verdict.PASS, True, (), True
        world.alerts, world.guarded, self.paused = (), True, False
        if self.plan["traffic"] != GATEWAY:
            self.plan = self.plan | {"traffic": BY_PODS}  # what is refused stays so until somebody mends the spec
        if world.spec.workload_ref and not world.origin:
            self.delete_or_make_the_origin(2)
        world.copied = world.copied and replace(world.copied, trouble=None)
        world.change(self._spec())
        self._run_to_rest(world)
        if world.status.phase is Phase.PROGRESSING and world.room is not None:
            # where room is lost in mid-stage it waits for somebody to make some, and says so
            assert any("make room" in one.message for one in world.status.conditions), world.status.conditions
            world.room = None
            self._run_to_rest(world)
        assert not world.asked
        assert world.status.phase in (Phase.IDLE, Phase.REVERTED), f"no rest in phase {world.status.phase}"
        assert world.status.stable or world.status.last_revert
        if world.status.stable:
            assert world.share_of(world.status.stable.colour) == 100
            assert not any(world.cohorts.values())
            wanted = world.status.pinned.version if world.status.pinned else self.version
            assert world.status.phase is Phase.REVERTED or world.status.stable.version == wanted
        self._check_reports(world)
        if world.origin and world.status.stable:
            noted, pods = world.status.workload, world.workloads[world.status.stable.colour].ready
            assert (noted and noted.uid == world.origin.uid) or pods < max(world.origin.desired, world.spec.replicas)
        assert splits_by_pods(world.spec) or world.weights is None or set(world.weights.values()) == {0, 100}

    def _run_to_rest(self, world: World) -> None:
        """Let time pass, and say yes wherever somebody has to."""
        world.settle()
        for action in (ActionKind.RESUME, ActionKind.LIFT):
            world.ask(action)
            decision = world.settle()
        for _ in range(120):
            world.now = max(world.now + timedelta(seconds=30), decision.wake_at or world.now)
            decision = world.settle()
            if not self._agree() and decision.wake_at is None and decision.watch is None:
                return


TestInvariants = RolloutMachine.TestCase
TestInvariants.settings = settings(
    max_examples=int(os.environ.get("MODELROLLOUT_EXAMPLES", "150")),
    stateful_step_count=40,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow],
)
