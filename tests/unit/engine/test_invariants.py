"""The invariants of docs/architecture.md against random worlds: edits, pods, verdicts, crashes and stale views."""

import os
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from modelrollout.api.action import ActionKind
from modelrollout.api.attempt import AttemptOutcome
from modelrollout.api.capacity import NoRoom
from modelrollout.api.slo import Verdict
from modelrollout.api.spec import ModelRolloutSpec
from modelrollout.api.status import Colour, ModelRolloutStatus, Phase, StageStatus
from modelrollout.api.traffic import HeaderMatch
from modelrollout.engine.capacity import is_reachable, splits_by_pods
from modelrollout.engine.gates import gated
from modelrollout.engine.room import usable_room
from modelrollout.engine.snapshot import Copied, Obstacle, Origin, Snapshot
from modelrollout.engine.stages import expand, next_stage
from unit.engine.simulation import World, make_spec

VERSIONS = ["1.0.0", "2.0.0", "3.0.0"]
COHORTS = [HeaderMatch(header="x-ring", value=value) for value in ("internal", "beta")]
GATEWAY = {"gatewayAPI": {"parentRefs": [{"name": "public"}]}}
MOVING_IN: dict[str, Any] = {"workloadRef": {"name": "old"}, "template": None}
CAPACITIES: list[dict[str, Any]] = [{}, {"candidate": "Proportional"}, {"candidate": "Fixed", "pods": 2}]
OBSTACLE = Obstacle(condition="MetricsReady", reason="QueryInvalid", message="does not parse")


@st.composite
def plans(draw: st.DrawFn) -> dict[str, Any]:
    """Router, strategy, policies and sizes of a rollout; the version is put in later."""
    weights = draw(st.sets(st.integers(1, 99), max_size=3))
    gates = {"approvals": [{"role": "security"}], "checklist": ["runbook"]}
    step: dict[str, Any] = {
        "require": draw(st.sampled_from([None, None, gates])),
        "hold": draw(st.sampled_from(["0s", "30s", "5m"])),
        "deadline": draw(st.sampled_from([None, "10m"])),
        "onDeadline": draw(st.sampled_from(["Hold", "Revert", "Advance"])),
    }
    preset = draw(st.sampled_from(["canary", "blueGreen", "ring"]))  # percentages are a canary by another name
    router = draw(st.sampled_from([GATEWAY, {"replicas": {}}]))
    let_in = draw(st.lists(st.sampled_from(COHORTS), min_size=1, max_size=2)) if router is GATEWAY else []
    slo: dict[str, Any] = {"name": "errors", "metric": "error-ratio", "limit": "1%", "test": "Plain"}
    slo |= {"consecutiveBreaches": draw(st.integers(1, 3))}
    slo |= draw(st.sampled_from([{}, {"onBreach": "Hold"}, {"onBreach": "Hold", "revertAfter": "5m"}]))
    return {
        "replicas": draw(st.integers(1, 6)),
        "traffic": router,
        "strategy": strategy(preset, weights, let_in, **{key: value for key, value in step.items() if value}),
        "slos": draw(st.sampled_from([[], [slo]])),
        "capacity": draw(st.sampled_from(CAPACITIES)) | {"noRoom": draw(st.sampled_from(NoRoom))},
        "rollback": {"keepWarm": "10m"} | draw(st.sampled_from([{}, {"mode": "Gradual"}])),
        "service": draw(st.sampled_from([{}, {"longestAnswer": "1m"}])),
        "revisionHistoryLimit": draw(st.integers(0, 2)),
    } | draw(st.sampled_from([{}, {"warmUp": {"path": "/"}}, {"bake": {"duration": "10m"}}]))


def strategy(preset: str, weights: set[int], let_in: list[HeaderMatch], **timed: Any) -> dict[str, Any]:
    """A preset with these weights; its first rings let cohorts in, the very first one perhaps nobody else."""
    steps: list[dict[str, Any]] = [{"weight": weight, **timed} for weight in [*sorted(weights), 100]]
    if preset != "ring":
        return {preset: {"steps": steps}}
    first = [{"weight": 0, **timed}] if let_in else []
    rings = [{"name": f"ring-{ring['weight']}", **ring} for ring in (*first, *steps)]
    for ring, cohort in zip(rings, let_in, strict=False):
        ring["match"] = [cohort.to_wire()]
    return {preset: {"rings": rings}}


class RolloutMachine(RuleBasedStateMachine):
    """One rollout from its creation on. The simulation itself checks what may rise and what may be replaced."""

    world: World
    plan: dict[str, Any]
    version = "1.0.0"
    paused = False
    made = 1
    stale: tuple[Snapshot, int, tuple[Verdict, bool]] | None = None

    @initialize(
        plan=plans(),
        copied=st.sampled_from([None, Copied(digests={"ConfigMap/settings": "a"})]),
        desired=st.sampled_from([None, None, 0, 1, 3]),
        more_room=st.none() | st.integers(0, 3),
        by_quota=st.booleans(),
    )
    def create(
        self, plan: dict[str, Any], copied: Copied | None, desired: int | None, more_room: int | None, by_quota: bool
    ) -> None:
        """`desired` is the number of pods of the workload to move in from, if there is one."""
        self.plan = plan if desired is None else plan | MOVING_IN
        origin = None if desired is None else Origin(name="old", uid="1", desired=desired, handed_over=False)
        room = None if more_room is None else plan["replicas"] + more_room
        spec = make_spec(self.version, **self.plan)
        self.world = World(spec=spec, copied=copied, origin=origin, room=room, by_quota=by_quota)
        self.world.settle()
        self.ask_for("2.0.0")

    # --- what people do

    def _spec(self) -> ModelRolloutSpec:
        return make_spec(self.version, **(self.plan | {"paused": self.paused}))

    @rule(version=st.sampled_from(VERSIONS))
    def ask_for(self, version: str) -> None:
        self.version = version
        self.world.change(self._spec())

    @rule(weights=st.sets(st.integers(1, 99), max_size=2), let_in=st.lists(st.sampled_from(COHORTS), max_size=2))
    def edit_the_strategy(self, weights: set[int], let_in: list[HeaderMatch]) -> None:
        (preset,) = self.plan["strategy"]
        let_in = let_in if self.plan["traffic"] == GATEWAY else []
        self.plan = self.plan | {"strategy": strategy(preset, weights, let_in, hold="30s")}
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
    )
    def ask_for_action(self, action: ActionKind, attempts_ago: int, back: dict[str, str], cohort: HeaderMatch) -> None:
        stage = self.world.status.stage.name if self.world.status.stage else "canary-100"
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

    @rule()
    def obstacle_comes_or_goes(self) -> None:
        self.world.obstacles = () if self.world.obstacles else (OBSTACLE,)

    @rule()
    def status_is_lost(self) -> None:
        """Somebody restores a backup, or deletes the ModelRollout and makes it anew."""
        self.world.status, self.world.status_version = ModelRolloutStatus(), self.world.status_version + 1
        self.world.history, self.world.reports, self.world.unremembered = {}, {}, {*Colour}

    @rule()
    def preflight_begins_or_ends(self) -> None:
        self.world.preflighted = not self.world.preflighted

    # --- what the operator does

    @rule()
    def reconcile(self) -> None:
        self._checked(self.world.reconcile)

    @rule(seconds=st.sampled_from([1, 35, 310]))
    def all_goes_on(self, seconds: int) -> None:
        """Without this most random walks would never get far enough into a rollout to meet trouble there."""
        self.world.now += timedelta(seconds=seconds)
        self.world.pods_follow()
        self._checked(self.world.reconcile)
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
        self._checked(lambda: self.world.reconcile(crash_after=effects))

    @rule()
    def look_now_act_later(self) -> None:
        said = self.world.verdict, self.world.looking
        self.stale = self.world.snapshot(), self.world.status_version, said

    @precondition(lambda self: self.stale is not None)
    @rule()
    def act_on_a_stale_view(self) -> None:
        """A deposed leader, or a cache that lags: it may repeat a step or make things safer, nothing else."""
        assert self.stale
        seen, version, said = self.stale
        self.stale, known = None, dict(self.world.reported)
        self._checked(lambda: self.world.carry_out(seen, version), seen.spec, said)
        self.world.reported = known  # what another operator has written is not known to this one

    def _checked(
        self, act: Any, seen: ModelRolloutSpec | None = None, said: tuple[Verdict, bool] | None = None
    ) -> None:
        """What was seen of the spec and said by Prometheus counts as of the view that is acted on."""
        before = self.world.status
        verdict, looking = said or (self.world.verdict, self.world.looking)
        act()
        self._check_stage_order(before, seen or self.world.spec)
        self._check_silence(before, verdict, looking)
        self._check_reasons(before)
        self._check_answers()

    def _check_stage_order(self, before: Any, spec: ModelRolloutSpec) -> None:
        """Invariant 5: within an attempt no stage is entered twice, and none left out that holds and can be reached."""
        after, stages = self.world.status, expand(spec)
        if not before.stage or not after.stage or before.attempt != after.attempt:
            return
        places = {(stage.name, stage.weight, stage.match): place for place, stage in enumerate(stages)}
        left, entered = (places.get((at.name, at.weight, tuple(at.match))) for at in (before.stage, after.stage))
        if left is not None and entered is not None:
            assert entered >= left
            if self.world.status.promoting:
                return
            passed = [stage.weight for stage in stages[left + 1 : entered] if stage.hold]
            rooms = [usable_room(spec, status) for status in (before, after)]
            assert not any(all(is_reachable(spec, weight, room) for room in rooms) for weight in passed)

    def _check_silence(self, before: Any, verdict: Verdict, looking: bool) -> None:
        """Invariant 4: no evidence, no move, unless a deadline policy says so."""
        silent = self.world.spec.slos and (verdict is Verdict.INCONCLUSIVE or not looking)
        stage = before.stage
        if not silent or stage is None or not stage.has_requests:
            return
        policy = next((s.on_deadline for s in expand(self.world.spec) if s.name == stage.name and s.deadline), None)
        after = self.world.status
        further = after.stage is not None and after.attempt == before.attempt and self._is_later(after, stage)
        promoted = after.stable is not None and after.stable.attempt == before.attempt
        stood_in = before.stable and not self.world.answers(before.stable)
        onwards = (ActionKind.ADVANCE, ActionKind.PROMOTE)
        asked = any(one.action in onwards and one.at >= stage.entered_at for one in after.actions) or before.promoting
        assert not (further or promoted) or policy == "Advance" or stood_in or asked
        if after.last_revert and after.last_revert != before.last_revert:
            assert after.last_revert.reason != "SLOBreached"

    def _is_later(self, after: ModelRolloutStatus, left: StageStatus) -> bool:
        """An edit may have moved the stage, or have taken it out: then the first one is entered again."""
        assert after.stage
        is_gone = left.name not in {stage.name for stage in expand(self.world.spec)}
        if is_gone and after.stage.index == next_stage(self.world.spec, -1, usable_room(self.world.spec, after)):
            return False
        return after.stage.name != left.name and after.stage.index > left.index

    def _check_reasons(self, before: Any) -> None:
        """Invariant 9: what was taken back says why."""
        after = self.world.status
        if after.phase is Phase.REVERTING and before.phase is not Phase.REVERTING:
            assert after.last_revert
            assert after.last_revert.reason
            assert after.last_revert.message

    def _check_answers(self) -> None:
        """Invariant 5: what people ask for is answered once, and answered as it is written down."""
        answered = [answer.uid for answer in self.world.answered]
        assert len(answered) == len(set(answered))

    # --- what always holds

    @invariant()
    def the_kill_switch_keeps_everything_away(self) -> None:
        status = self.world.status
        assert not status.killed or status.phase not in (Phase.PREPARING, Phase.PROGRESSING)

    @invariant()
    def weights_sum_to_100(self) -> None:
        if self.world.weights is not None:
            assert sum(self.world.weights.values()) == 100

    @invariant()
    def who_is_excluded_is_let_in_nowhere(self) -> None:
        assert not any(cohort & self.world.excluded for cohort in self.world.cohorts.values())

    @invariant()
    def an_unchanged_world_is_not_written(self) -> None:
        """Invariant 6: deciding on the same things over and over comes to an end of writing."""
        world = self._copy()
        written: list[tuple[int, int]] = []
        for _ in range(40):
            world.reconcile()
            written.append((world.status_version, world.route_version))
            if len(written) > 1 and written[-1] == written[-2]:
                return
        raise AssertionError(f"still writing at the same moment, in the same world: {written[-4:]}")

    @invariant()
    def what_runs_and_no_more_than_asked_for_is_in_the_history(self) -> None:
        status = self.world.status
        attempts = [entry.attempt for entry in status.history]
        parts = (status.stable, status.previous, status.candidate, status.pinned)
        in_use = {part.attempt for part in parts if part}
        assert attempts == sorted(attempts, reverse=True)
        assert in_use <= set(attempts)
        limit = self.plan["revisionHistoryLimit"] if hasattr(self, "plan") else 0
        assert len(set(attempts) - in_use) <= limit

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
        self.paused = False
        if world.spec.workload_ref and not world.origin:
            self.delete_or_make_the_origin(2)
        world.copied = world.copied and replace(world.copied, trouble=None)
        world.change(self._spec())
        self._run_to_rest(world)
        assert not world.asked
        assert world.status.phase in (Phase.IDLE, Phase.REVERTED)
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
            world.settle()
        for _ in range(120):
            world.now += timedelta(seconds=30)
            decision = world.settle()
            if any(one.reason == "AwaitingApproval" for one in world.status.conditions):
                for stage in gated(world.spec, world.status):
                    world.ask("Approve", stage=stage.name, role="security")
                    world.ask("SignOff", stage=stage.name, item="runbook")
            elif decision.wake_at is None and decision.watch is None:
                return


TestInvariants = RolloutMachine.TestCase
TestInvariants.settings = settings(
    max_examples=int(os.environ.get("MODELROLLOUT_EXAMPLES", "150")),
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
