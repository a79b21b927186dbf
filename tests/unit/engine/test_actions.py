"""What people ask for, told as stories: it is heard once, answered, and never passes over safety."""

from datetime import timedelta
from typing import Any, ClassVar

import pytest

from modelrollout.api.attempt import MOST_ACTIONS
from modelrollout.api.slo import Verdict
from modelrollout.api.status import Colour, ConditionStatus, ModelRolloutStatus, Phase
from modelrollout.engine import effects as fx
from modelrollout.engine.actions import REMEMBERED_FOR
from unit.engine.simulation import World, make_spec
from unit.engine.worlds import MINUTE, applied, breach, condition, in_stage, reasons, refused, serving

RING = {"header": "x-ring", "value": "internal"}


def test_an_action_is_written_down_with_what_it_changes_before_it_is_answered() -> None:
    world = in_stage("canary-10")
    world.ask("Pause", reason="the pager rings")
    decision = world.reconcile()
    written, answer = (
        next(place for place, effect in enumerate(decision.effects) if isinstance(effect, kind))
        for kind in (fx.WriteStatus, fx.AnswerAction)
    )
    assert written < answer
    assert world.status.held
    assert (world.status.held.by, world.status.held.reason) == ("ada", "the pager rings")
    assert world.status.actions[-1].action == "Pause"
    assert reasons(world)[-1] == "ActionApplied"


@pytest.mark.parametrize("effects", range(4))
def test_an_action_is_applied_once_however_often_the_operator_dies_over_it(effects: int) -> None:
    world = in_stage("canary-10")
    world.ask("Advance", stage="canary-10")
    for _ in range(3):
        world.reconcile(crash_after=effects)
    world.settle()
    assert world.status.stage
    assert world.status.stage.name == "canary-50", "left once, and the next stage is not left for the same word"
    assert [record.action for record in world.status.actions] == ["Advance"]
    assert len(world.answered) == 1


def test_an_action_seen_again_after_its_answer_is_not_applied_again() -> None:
    """The cache of a new leader may lag behind what the one before has answered."""
    world = in_stage("canary-10")
    world.ask("Advance", stage="canary-10")
    seen = list(world.asked)
    world.settle()
    world.now += REMEMBERED_FOR - MINUTE
    world.asked = seen
    world.settle()
    assert [record.action for record in world.status.actions] == ["Advance"]


def test_records_go_when_they_are_not_needed_any_more() -> None:
    world = in_stage("canary-10")
    for _ in range(3):
        applied(world, "Pause")
        world.now += REMEMBERED_FOR
    assert len(world.status.actions) == 1


def test_an_action_for_another_attempt_is_refused_but_for_the_kill_switch() -> None:
    world = in_stage("canary-10")
    assert "it was asked of attempt 1, and the newest one is 2" in refused(world, "Promote", attempt=1)
    applied(world, "Kill", attempt=1)


def test_who_asks_when_there_is_no_room_for_more_records_is_heard_once_there_is() -> None:
    world = in_stage("canary-10")
    for _ in range(MOST_ACTIONS + 1):
        world.ask("Pause")
    assert world.settle().wake_at == world.now + REMEMBERED_FOR
    assert world.asked
    world.now += REMEMBERED_FOR
    world.settle()
    assert not world.asked


def test_however_much_is_asked_for_there_is_room_to_take_back_and_above_all_to_kill() -> None:
    world = in_stage("canary-10")
    for action in ("Retry", "Abort", "Retry"):
        for _ in range(MOST_ACTIONS):
            world.ask(action, attempt=1)
        world.settle()
    applied(world, "Kill")
    assert world.status.killed
    assert world.share_of(Colour.GREEN) == 0
    assert len(world.status.actions) < MOST_ACTIONS


def test_a_way_back_does_not_wait_behind_what_there_is_no_room_for() -> None:
    world = in_stage("canary-10")
    for _ in range(2 * MOST_ACTIONS):
        world.ask("Pause")
    applied(world, "Abort")
    assert world.share_of(Colour.GREEN) == 0


@pytest.mark.parametrize(("back", "onwards"), [("Abort", "Promote"), ("Abort", "Retry"), ("Kill", "Lift")])
def test_who_had_to_wait_does_not_undo_a_way_back_that_came_first(back: str, onwards: str) -> None:
    world = in_stage("canary-10")
    for _ in range(MOST_ACTIONS):
        world.ask("Resume")
    uid = world.ask(onwards)
    world.settle()
    world.now += MINUTE
    applied(world, back)
    world.run_for(2 * REMEMBERED_FOR, step=MINUTE)
    (answer,) = (answer for answer in world.answered if answer.uid == uid)
    assert (answer.outcome, answer.message) == ("Refused", f"{back} was asked for later and came first: ask again")
    assert (world.status.candidate, world.status.phase) == (None, Phase.REVERTED)


def test_nobody_is_heard_before_it_is_known_what_serves() -> None:
    world = serving()
    world.status, world.status_version = ModelRolloutStatus(), world.status_version + 1
    assert "the newest one is 1" in refused(world, "Promote", attempt=0)
    assert reasons(world)[-2:] == ["Adopted", "ActionRefused"]


def test_what_serves_is_found_again_where_its_pods_were_away_when_the_status_was_lost() -> None:
    world = serving()
    world.status, world.status_version = ModelRolloutStatus(), world.status_version + 1
    world.pods_ready(Colour.BLUE, 0)
    world.reconcile(crash_after=1)
    assert world.status.candidate
    world.pods_ready(Colour.BLUE, 4)
    world.settle()
    assert world.status.stable
    assert (world.status.stable.attempt, world.status.candidate, world.status.phase) == (1, None, Phase.IDLE)


class TestPausing:
    """Pause and Resume, beside spec.paused."""

    def test_a_paused_rollout_stays_until_somebody_resumes(self) -> None:
        world = in_stage("canary-10")
        applied(world, "Pause", reason="lunch")
        world.run_for(30 * MINUTE, step=MINUTE)
        assert world.status.stage
        assert world.status.stage.name == "canary-10"
        assert condition(world, "Progressing")[1] == "Paused"
        applied(world, "Resume")
        world.run_for(10 * MINUTE, step=MINUTE)
        assert world.status.stable
        assert world.status.stable.version == "2.0.0"

    def test_a_breach_takes_a_paused_candidate_back_all_the_same(self) -> None:
        world = in_stage("canary-10")
        applied(world, "Pause")
        breach(world, times=2)
        assert world.status.last_revert

    def test_what_the_spec_pauses_only_the_spec_resumes(self) -> None:
        world = in_stage("canary-10")
        world.change(make_spec("2.0.0", paused=True))
        assert "spec.paused" in refused(world, "Resume")
        assert refused(in_stage("canary-10"), "Resume") == "it is not paused"


class TestGoingOn:
    """Advance and Promote."""

    def test_advance_leaves_the_stage_before_its_hold_is_over_and_only_that_stage(self) -> None:
        world = in_stage("canary-10")
        applied(world, "Advance", stage="canary-10")
        assert world.status.stage
        assert world.status.stage.name == "canary-50"
        assert "has left stage canary-10 already" in refused(world, "Advance", stage="canary-10")
        assert refused(serving(), "Advance", stage="canary-10") == "it is in no stage"

    def test_advance_passes_over_silence_and_a_pause_but_not_over_a_breach(self) -> None:
        world = in_stage("canary-10")
        world.change(make_spec("2.0.0", paused=True))
        breach(world, times=1)
        applied(world, "Advance", stage="canary-10")
        assert world.status.stage
        assert world.status.stage.name == "canary-10"
        world.verdict = Verdict.INCONCLUSIVE
        world.settle()
        assert world.status.stage.name == "canary-50"
        assert condition(world, "Progressing")[1] in ("WaitingForTraffic", "Paused")

    def test_promote_brings_everything_over_without_further_stages(self) -> None:
        world = in_stage("canary-10")
        applied(world, "Promote")
        world.run_for(timedelta(seconds=20))
        assert world.status.stable
        assert world.status.stable.version == "2.0.0"
        assert not world.status.promoting
        assert [event.message for event in world.events if event.reason == "StageEntered"][-1].startswith(
            "Stage canary-100"
        )

    def test_promote_while_paused_goes_on(self) -> None:
        world = in_stage("canary-10")
        world.change(make_spec("2.0.0", paused=True))
        applied(world, "Pause")
        applied(world, "Promote")
        world.run_for(timedelta(seconds=20))
        assert world.status.stable
        assert world.status.stable.version == "2.0.0"

    def test_promote_waits_for_all_pods_and_a_breach_still_takes_back(self) -> None:
        world = in_stage("canary-10")
        world.pods_ready(Colour.GREEN, 1)
        world.ask("Promote")
        for _ in range(5):
            world.reconcile()
        assert world.share_of(Colour.GREEN) <= 10
        breach(world, times=2)
        assert world.status.phase is Phase.REVERTING

    def test_promote_after_an_abort_prepares_the_version_again_and_then_it_serves(self) -> None:
        world = in_stage("canary-10")
        applied(world, "Abort")
        world.run_for(MINUTE)
        assert world.status.phase is Phase.REVERTED
        applied(world, "Promote")
        world.run_for(MINUTE)
        assert world.status.stable
        assert (world.status.stable.version, world.status.stable.attempt) == ("2.0.0", 3)
        assert refused(world, "Promote") == "version 2.0.0 serves already"

    def test_abort_retry_promote_tell_their_story_in_order(self) -> None:
        world = in_stage("canary-10")
        world.events.clear()
        applied(world, "Abort", reason="wrong data")
        world.run_for(MINUTE)
        applied(world, "Retry")
        world.run_for(timedelta(seconds=10))
        applied(world, "Promote")
        world.run_for(MINUTE)
        assert reasons(world) == [
            *("ActionApplied", "Reverting", "Reverted"),
            *("ActionApplied", "AttemptStarted", "StageEntered"),
            *("ActionApplied", "StageEntered", "Promoted"),
        ]


class TestWaysBack:
    """Abort, Revert, undo after a promotion, and the kill switch."""

    def test_abort_takes_back_at_once_and_is_not_tried_again(self) -> None:
        world = in_stage("canary-50")
        applied(world, "Abort", reason="wrong data")
        assert world.share_of(Colour.GREEN) == 0
        world.run_for(30 * MINUTE, step=MINUTE)
        assert world.status.phase is Phase.REVERTED
        assert world.status.last_revert
        assert world.status.last_revert.reason == "AbortRequested"
        assert world.status.last_revert.message == "ada asked for it: wrong data"
        assert refused(world, "Abort") == "no version is on trial"

    def test_revert_after_a_promotion_undoes_it_in_one_write_while_the_version_before_is_warm(self) -> None:
        world = promoted()
        world.ask("Revert")
        decision = world.reconcile()
        first = decision.effects[0]
        assert isinstance(first, fx.SetTraffic)
        assert (first.stable, first.weight) == (Colour.BLUE, 0)
        world.run_for(30 * MINUTE, step=MINUTE)
        assert world.status.stable
        assert (world.status.stable.version, world.status.phase) == ("1.0.0", Phase.REVERTED)
        assert world.workloads[Colour.GREEN].desired == 0
        applied(world, "Retry")
        world.run_for(timedelta(seconds=30))
        assert world.status.stage, "by stages again"

    def test_revert_is_refused_without_a_record_or_without_pods(self) -> None:
        world = promoted()
        assert "no record of version 0.9.0; those that are kept: 2.0.0, 1.0.0" in refused(world, "Revert", to="0.9.0")
        world.pods_ready(Colour.BLUE, 1)
        world.ask("Revert")
        world.reconcile()
        assert world.answered[-1].message == "version 1.0.0 does not have all of its 4 pods ready"

    def test_a_version_that_is_not_warm_any_more_is_rolled_out_again_from_its_record(self) -> None:
        world = promoted()
        world.run_for(timedelta(hours=2), step=10 * MINUTE)
        assert "attempt 1 ran it" in applied(world, "Revert", reason="it was better")
        assert world.status.pinned
        world.run_for(10 * MINUTE)
        assert world.status.stable
        assert (world.status.stable.version, world.status.stable.attempt) == ("1.0.0", 3)
        assert refused(world, "Revert", to="1.0.0") == "version 1.0.0 serves already"
        applied(world, "Retry")
        world.run_for(10 * MINUTE)
        assert world.status.stable.version == "2.0.0", "the spec says again what is wanted"

    def test_undoing_an_undo_leaves_nothing_to_be_mended(self) -> None:
        world = gone_back_to_1()
        world.run_for(3 * MINUTE)
        assert world.status.previous, "2.0.0 is warm still"
        applied(world, "Revert")
        self._rests_at_what_the_spec_asks_for(world)

    def test_aborting_a_version_gone_back_to_leaves_nothing_to_be_mended(self) -> None:
        world = gone_back_to_1()
        assert world.status.candidate
        applied(world, "Abort")
        self._rests_at_what_the_spec_asks_for(world)

    def _rests_at_what_the_spec_asks_for(self, world: World) -> None:
        world.run_for(30 * MINUTE, step=MINUTE)
        assert (world.status.phase, world.status.pinned, world.status.attempt) == (Phase.IDLE, None, 3)
        assert world.status.stable
        assert world.status.stable.version == "2.0.0"
        assert condition(world, "Ready") == (ConditionStatus.TRUE, "Serving")

    def test_the_kill_switch_takes_everything_back_and_keeps_new_versions_away_until_it_is_lifted(self) -> None:
        world = in_stage("canary-50")
        applied(world, "Kill", reason="incident 42")
        assert world.share_of(Colour.GREEN) == 0
        world.run_for(5 * MINUTE)
        world.change(make_spec("3.0.0"))
        world.run_for(30 * MINUTE, step=MINUTE)
        assert world.status.candidate is None
        assert condition(world, "Progressing")[1] == "Killed"
        assert condition(world, "Ready")[1] == "Killed"
        assert "kill switch" in refused(world, "Promote")
        applied(world, "Lift")
        world.run_for(timedelta(seconds=30))
        assert world.status.candidate
        assert world.status.candidate.version == "3.0.0"

    def test_cohorts_are_excluded_once_and_included_again(self) -> None:
        world = in_stage("canary-10")
        applied(world, "Exclude", cohort=RING)
        assert refused(world, "Exclude", cohort=RING) == "its requests stay on stable already"
        assert [one.value for one in world.status.excluded] == ["internal"]
        applied(world, "Include", cohort=RING)
        assert refused(world, "Include", cohort=RING) == "its requests are not excluded"
        assert "traffic.gatewayAPI" in refused(serving(make_spec(traffic={"replicas": {}})), "Exclude", cohort=RING)


class TestGradualWaysBack:
    """75, 50, 25 per cent, each judged."""

    GRADUAL: ClassVar[dict[str, Any]] = {"rollback": {"mode": "Gradual", "hold": "1m", "keepWarm": "1h"}}

    def test_a_promotion_is_undone_step_by_step(self) -> None:
        world = promoted(**self.GRADUAL)
        applied(world, "Revert")
        shares = []
        for _ in range(20):
            shares.append(world.share_of(Colour.GREEN))
            world.run_for(timedelta(seconds=15))
        assert list(dict.fromkeys(shares)) == [75, 50, 25, 0]
        assert shares == sorted(shares, reverse=True)
        assert world.status.stable
        assert world.status.stable.version == "1.0.0"

    def test_a_candidate_keeps_only_steps_below_what_it_had(self) -> None:
        world = in_stage("canary-50", **self.GRADUAL)
        applied(world, "Revert")
        assert world.share_of(Colour.GREEN) == 25
        assert world.status.weights.declared == 25

    def test_a_crash_between_the_route_and_the_status_passes_no_step_over(self) -> None:
        world = promoted(**self.GRADUAL)
        world.ask("Revert")
        steps = []
        for _ in range(20):
            world.reconcile(crash_after=1)
            world.settle()
            if world.status.way_back:
                steps.append(world.status.way_back.weight)
            world.now += MINUTE
        assert list(dict.fromkeys(steps)) == [75, 50, 25]
        assert world.share_of(Colour.GREEN) == 0

    def test_a_breach_on_the_way_takes_the_rest_back_at_once(self) -> None:
        world = promoted(**self.GRADUAL)
        applied(world, "Revert")
        world.run_for(timedelta(seconds=5))
        breach(world, times=2)
        assert world.share_of(Colour.GREEN) == 0
        assert "GoingBack" in reasons(world)

    def test_a_breach_in_a_stage_is_never_gradual(self) -> None:
        world = in_stage("canary-50", **self.GRADUAL)
        breach(world, times=2)
        assert world.share_of(Colour.GREEN) == 0

    def test_asked_again_the_rest_goes_back_at_once(self) -> None:
        world = promoted(**self.GRADUAL)
        applied(world, "Revert")
        applied(world, "Revert", mode="Immediate")
        assert world.share_of(Colour.GREEN) == 0
        assert refused(world, "Revert") == "the candidate is being taken back already"

    def test_silence_on_the_way_changes_nothing(self) -> None:
        world = promoted(**self.GRADUAL)
        applied(world, "Revert")
        world.looking = False
        world.run_for(10 * MINUTE)
        assert world.status.stable
        assert (world.status.stable.version, world.status.phase) == ("1.0.0", Phase.REVERTED)

    @pytest.mark.parametrize("version", ["3.0.0", "1.0.0"], ids=["a third version", "the version that serves again"])
    def test_whoever_asks_for_another_version_does_not_wait_for_the_steps(self, version: str) -> None:
        world = promoted(**self.GRADUAL)
        applied(world, "Revert")
        world.change(make_spec(version, **self.GRADUAL))
        world.reconcile()
        assert world.share_of(Colour.GREEN) == 0
        assert reasons(world)[-1] == "GoingBack"
        world.run_for(MINUTE)
        assert world.status.version == version
        assert world.status.attempt == (3 if version == "3.0.0" else 2)

    def test_an_edit_that_asks_for_no_other_version_leaves_the_steps_alone(self) -> None:
        world = promoted(**self.GRADUAL)
        applied(world, "Revert")
        world.change(make_spec("2.0.0", progressDeadline="1h", **self.GRADUAL))
        world.settle()
        assert world.share_of(Colour.GREEN) == 75

    def test_a_version_that_waited_before_somebody_went_back_step_by_step_waits_on(self) -> None:
        world = promoted(**self.GRADUAL)
        applied(world, "Pause")
        world.change(make_spec("3.0.0", **self.GRADUAL))
        world.settle()
        applied(world, "Revert")
        world.run_for(timedelta(seconds=30))
        assert world.share_of(Colour.GREEN) == 75


RETRIED: dict[str, Any] = {"retry": {"limit": 2, "after": "5m"}}


def gone_back_to_1() -> World:
    """A world in which 2.0.0 serves, and somebody has gone back to 1.0.0, which is not warm any more."""
    world = promoted(**RETRIED)
    world.run_for(timedelta(hours=2), step=10 * MINUTE)
    applied(world, "Revert")
    world.run_for(timedelta(seconds=10))
    return world


def promoted(**changes: object) -> World:
    """A world in which version 2.0.0 has just been promoted, and 1.0.0 is still warm."""
    world = in_stage("canary-100", **changes)
    while world.status.stage:
        world.run_for(timedelta(seconds=5))
    return world
