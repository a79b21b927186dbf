"""Going back to a version of history: at once while it is warm, by the stages later, until the spec changes."""

from datetime import timedelta

from modelrollout.api.slo import Verdict
from modelrollout.api.status import Colour, Phase
from modelrollout.engine import effects as fx
from modelrollout.engine.wanted import find
from unit.engine.simulation import World, make_spec
from unit.engine.worlds import MINUTE, breach, condition, in_stage, reasons, serving

SHORT = {"rollback": {"keepWarm": "1m"}}


def with_history(*versions: str) -> World:
    """A world in which these versions have served one after the other, and none but the last is warm."""
    world = serving(make_spec(versions[0], **SHORT))
    for version in versions[1:]:
        world.change(make_spec(version, **SHORT))
        world.run_for(8 * MINUTE, step=timedelta(seconds=10))
    assert world.status.stable
    assert world.status.stable.version == versions[-1]
    assert world.status.previous is None
    return world


def test_a_warm_version_serves_again_in_one_write() -> None:
    world = serving()
    world.change(make_spec("2.0.0"))
    world.run_for(5 * MINUTE)
    assert world.go_back()
    before = len(world.log)
    world.reconcile()
    assert len([one for one in world.log[before:] if isinstance(one, fx.SetTraffic)]) == 1
    assert world.weights == {Colour.BLUE: 100, Colour.GREEN: 0}
    world.run_for(2 * MINUTE)
    assert world.status.stable
    assert world.status.stable.version == "1.0.0"
    assert condition(world, "Progressing")[1] == "Pinned"


def test_a_version_that_is_no_longer_warm_comes_back_by_the_stages_as_it_was_recorded() -> None:
    world = with_history("1.0.0", "2.0.0", "3.0.0")
    assert world.go_back("1.0.0")
    begun = len(world.events)
    world.run_for(8 * MINUTE, step=timedelta(seconds=10))
    assert reasons(world)[begun:] == ["AttemptStarted", *["StageEntered"] * 3, "Promoted", "Parked"]
    assert world.status.stable
    assert (world.status.stable.version, world.status.stable.attempt) == ("1.0.0", 4)
    assert world.workloads[world.status.stable.colour].version == "1.0.0"
    assert world.recorded[4].revision == world.recorded[1].revision
    assert {one.recorded for one in world.log if isinstance(one, fx.ApplyWorkload) and one.attempt == 4} == {1}


def test_it_stays_whatever_the_spec_says_until_the_spec_asks_for_something_else() -> None:
    world = with_history("1.0.0", "2.0.0")
    world.go_back("1.0.0")
    world.run_for(8 * MINUTE, step=timedelta(seconds=10))
    world.change(make_spec("2.0.0", **SHORT, paused=True, replicas=6))
    world.run_for(2 * MINUTE)
    world.change(make_spec("2.0.0", **SHORT, replicas=6))
    world.run_for(60 * MINUTE, step=MINUTE)
    assert world.status.stable
    assert world.status.stable.version == "1.0.0"
    assert world.workloads[world.status.stable.colour].desired == 6
    world.change(make_spec("3.0.0", **SHORT))
    world.run_for(8 * MINUTE, step=timedelta(seconds=10))
    assert world.status.pinned is None
    assert world.status.stable.version == "3.0.0"


def test_a_spec_that_follows_what_was_gone_back_to_starts_nothing() -> None:
    world = with_history("1.0.0", "2.0.0")
    world.go_back("1.0.0")
    world.run_for(8 * MINUTE, step=timedelta(seconds=10))
    attempt = world.status.attempt
    world.change(make_spec("1.0.0", **SHORT))
    world.run_for(8 * MINUTE, step=timedelta(seconds=10))
    assert world.status.pinned is None
    assert world.status.attempt == attempt


def test_a_candidate_on_trial_is_taken_back_first_and_the_reason_says_who_asked() -> None:
    world = in_stage("canary-50")
    world.go_back("1.0.0")
    first = world.reconcile().effects[0]
    assert isinstance(first, fx.SetTraffic)
    assert (first.stable, first.weight) == (Colour.BLUE, 0)
    world.run_for(MINUTE)
    assert world.status.phase is Phase.IDLE
    assert world.status.last_revert
    assert world.status.last_revert.reason == "Aborted"
    assert "jane" in world.status.last_revert.message


def test_a_version_gone_back_to_that_does_harm_is_taken_back_and_not_tried_again() -> None:
    world = with_history("1.0.0", "2.0.0")
    world.go_back("1.0.0")
    for _ in range(40):
        world.settle()
        world.now += timedelta(seconds=5)
        if world.status.stage and world.status.stage.reached_at:
            break
    breach(world, times=3)
    world.verdict = Verdict.PASS
    world.run_for(30 * MINUTE, step=MINUTE)
    assert world.status.phase is Phase.REVERTED
    assert world.status.stable
    assert (world.status.stable.version, world.status.attempt) == ("2.0.0", 3)
    assert world.go_back("1.0.0")
    world.run_for(8 * MINUTE, step=timedelta(seconds=10))
    assert world.status.phase is Phase.REVERTED, "the same attempt of history, and the same spec"


def test_a_version_that_failed_does_not_keep_people_from_going_back_to_another() -> None:
    world = with_history("1.0.0", "2.0.0")
    world.change(make_spec("3.0.0", **SHORT, progressDeadline="1m"))
    for _ in range(40):
        world.reconcile()
        world.now += timedelta(seconds=5)
    assert world.status.phase is Phase.REVERTED
    world.go_back("1.0.0")
    world.run_for(8 * MINUTE, step=timedelta(seconds=10))
    assert world.status.stable
    assert world.status.stable.version == "1.0.0"


def test_what_is_gone_back_to_is_not_forgotten_before_it_serves() -> None:
    keeping = SHORT | {"revisionHistoryLimit": 1}
    world = with_history("1.0.0", "2.0.0", "3.0.0")
    world.go_back("1.0.0")
    world.spec = make_spec("3.0.0", **keeping)
    world.settle()
    assert 1 in world.recorded
    assert world.status.pinned


def test_the_attempt_to_go_back_to_is_the_one_that_served_last() -> None:
    world = with_history("1.0.0", "2.0.0", "1.0.0", "3.0.0")
    for version, attempt in ((None, 3), ("1.0.0", 3), ("2.0.0", 2), ("9.9.9", None)):
        found = find(world.snapshot(), version)
        assert (found.attempt if found else None) == attempt
    del world.recorded[3]
    found = find(world.snapshot(), "1.0.0")
    assert found
    assert found.attempt == 1
