"""Good versions and bad ones, one after the other."""

from typing import Any

import pytest

from scenarios.story import ENDLESS, GATEWAY, NEVER_READY, READY, REPLICAS, Story, canary

ROUTERS = pytest.mark.parametrize("traffic", [GATEWAY, REPLICAS], ids=["gatewayAPI", "replicas"])

FIRST = ("AttemptStarted", "Promoted")
PROMOTED = ("AttemptStarted", "StageEntered", "StageEntered", "Promoted")
TAKEN_BACK = ("AttemptStarted", "StageEntered", "AboveLimit", "Reverting", "Reverted")
LEFT_EARLY = ("AttemptStarted", "StageEntered", "Reverting", "Reverted")


@ROUTERS
def test_the_first_version_serves_as_soon_as_it_is_ready_without_stages(story: Story, traffic: Any) -> None:
    stable = story.begin(traffic=traffic)
    assert story.deployment(stable)["status"]["readyReplicas"] == 2
    story.eventually(lambda: story.selects() == stable["colour"], "the Service to select its pods")
    story.tells(*FIRST)


def test_good_after_good_goes_through_every_stage_and_stays_where_it_stands(story: Story) -> None:
    before = story.begin(strategy=canary(20, 50, 100))
    routes, stable_pods = story.watch_routes(), story.watch_pods_of(before)
    story.apply("2.0.0")
    after = story.serves("2.0.0")["stable"]
    old, new = before["colour"], after["colour"]
    assert [(given[old], given[new]) for given in routes.given()] == [(100, 0), (80, 20), (50, 50), (0, 100)]
    routes.never_gave_more_than_declared()
    assert stable_pods.least() == 2, "the version before could have taken everything back at any time"
    story.tells(*FIRST, "AttemptStarted", *["StageEntered"] * 3, "Promoted")


def test_bad_after_good_is_taken_back_and_the_status_says_why(story: Story) -> None:
    before = story.begin()
    routes, stable_pods = story.watch_routes(), story.watch_pods_of(before)
    story.is_bad("2.0.0")
    story.apply("2.0.0")
    record = story.is_taken_back("2.0.0", "SLOBreached")
    assert record["stage"] == "canary-20"
    assert "SLO errors breached" in record["message"]
    assert "limit 10%" in record["message"]
    assert story.weights()[before["colour"]] == 100
    assert stable_pods.least() == 2
    routes.never_gave_more_than_declared()
    story.says("Stalled", "Reverted", status="True")
    story.tells(*FIRST, *TAKEN_BACK)


def test_bad_after_good_gives_the_service_back_to_stable_with_the_replicas_router(story: Story) -> None:
    before = story.begin(traffic=REPLICAS, strategy=canary(50, 100))
    stable_pods = story.watch_pods_of(before)
    story.is_bad("2.0.0")
    story.apply("2.0.0")
    story.is_taken_back("2.0.0", "SLOBreached")
    assert story.selects() == before["colour"]
    assert stable_pods.least() == 2
    story.tells(*FIRST, *TAKEN_BACK)


def test_a_version_that_turns_bad_late_gives_everything_back_at_once(story: Story) -> None:
    before = story.begin(strategy={"canary": {"steps": [{"weight": 20, "hold": "1s"}, {"weight": 100, "hold": "1h"}]}})
    routes = story.watch_routes()
    story.apply("2.0.0")
    candidate = story.enters("canary-100")["candidate"]
    story.turns_bad(candidate)
    assert story.is_taken_back("2.0.0", "SLOBreached")["stage"] == "canary-100"
    assert [given[before["colour"]] for given in routes.given()] == [100, 80, 0, 100]


def test_good_after_bad_goes_through_every_stage(story: Story) -> None:
    story.begin()
    story.is_bad("2.0.0")
    story.apply("2.0.0")
    story.is_taken_back("2.0.0", "SLOBreached")
    story.apply("2.0.1")
    status = story.serves("2.0.1")
    assert status["stable"]["attempt"] == 3
    assert "lastRevert" not in status
    story.tells(*FIRST, *TAKEN_BACK, *PROMOTED)


def test_bad_after_bad_are_both_taken_back_and_stable_never_moves(story: Story) -> None:
    before = story.begin()
    stable_pods = story.watch_pods_of(before)
    story.is_bad("2.0.0", "2.0.1")
    for version in ("2.0.0", "2.0.1"):
        story.apply(version)
        story.is_taken_back(version, "SLOBreached")
    assert story.status()["stable"] == before
    assert stable_pods.least() == 2
    story.tells(*FIRST, *TAKEN_BACK, *TAKEN_BACK)


def test_a_bad_version_is_not_tried_again_because_of_a_change_of_something_else(story: Story) -> None:
    story.begin()
    story.is_bad("2.0.0")
    story.apply("2.0.0")
    story.is_taken_back("2.0.0", "SLOBreached")
    story.apply("2.0.0", replicas=3)
    status = story.wait_for(lambda status: status["replicas"] == 3, "stable to be scaled")
    assert (status["phase"], status["attempt"]) == ("Reverted", 2)


def test_a_bad_version_is_tried_again_once_its_limits_are_others(story: Story) -> None:
    story.begin()
    story.is_bad("2.0.0")
    story.apply("2.0.0")
    story.is_taken_back("2.0.0", "SLOBreached")
    story.apply("2.0.0", slos=[])
    assert story.serves("2.0.0")["attempt"] == 3


def test_a_bad_version_is_tried_again_after_stable_was_asked_for_in_between(story: Story) -> None:
    story.begin()
    story.is_bad("2.0.0")
    story.apply("2.0.0")
    story.is_taken_back("2.0.0", "SLOBreached")
    story.apply("1.0.0")
    story.serves("1.0.0")
    story.is_good_again("2.0.0")
    story.apply("2.0.0")
    assert story.serves("2.0.0")["attempt"] == 3


def test_a_fault_that_passes_is_outlived_by_a_retry(story: Story) -> None:
    story.begin(retry={"limit": 1, "after": "1s"})
    story.is_bad("2.0.0")
    story.apply("2.0.0")
    story.wait_for(lambda status: status["phase"] == "Reverting", "the way back")
    story.is_good_again("2.0.0")
    assert story.serves("2.0.0")["attempt"] == 3
    story.tells(*FIRST, *TAKEN_BACK, *PROMOTED)


def test_after_the_last_retry_a_person_has_to_act(story: Story) -> None:
    story.begin(retry={"limit": 1, "after": "1s"})
    story.is_bad("2.0.0")
    story.apply("2.0.0")
    story.wait_for(lambda status: status.get("lastRevert", {}).get("times") == 2, "the second revert")
    story.says("Stalled", "Reverted", status="True")
    story.tells(*FIRST, *TAKEN_BACK, *TAKEN_BACK)


def test_a_third_version_in_mid_stage_takes_the_place_of_the_second(story: Story) -> None:
    before = story.begin(strategy=ENDLESS)
    routes, stable_pods = story.watch_routes(), story.watch_pods_of(before)
    story.apply("2.0.0")
    story.enters("canary-50")
    story.apply("3.0.0")
    status = story.enters("canary-50")
    assert status["candidate"]["version"] == "3.0.0"
    assert (status["lastRevert"]["version"], status["lastRevert"]["reason"]) == ("2.0.0", "Superseded")
    assert status["stable"] == before
    assert stable_pods.least() == 2
    routes.never_gave_more_than_declared()
    story.tells(*FIRST, *LEFT_EARLY, "AttemptStarted", "StageEntered")


def test_of_versions_that_follow_fast_only_the_last_one_gets_to_its_stages(story: Story) -> None:
    story.begin()
    for version in ("2.0.0", "2.0.1", "2.0.2", "2.0.3"):
        story.apply(version)
    story.serves("2.0.3")
    staged = {version for _, version, stage in story.phases() if stage}
    assert staged == {"2.0.3"}


def test_a_b_a_c_ends_at_c(story: Story) -> None:
    before = story.begin(strategy=ENDLESS)
    story.apply("2.0.0")
    story.enters("canary-50")
    story.apply("1.0.0")
    story.apply("3.0.0", strategy=canary(20, 100))
    status = story.serves("3.0.0")
    assert status["attempt"] == 3
    assert status["previous"]["version"] == before["version"]
    story.tells(*FIRST, *LEFT_EARLY, *PROMOTED)


def test_going_back_to_stables_version_in_mid_stage_is_an_abort_and_serves_at_once(story: Story) -> None:
    before = story.begin(strategy=ENDLESS)
    story.apply("2.0.0")
    story.enters("canary-50")
    routes = story.watch_routes()
    story.apply("1.0.0")
    story.wait_for(lambda status: status["phase"] == "Reverting", "the way back")
    story.route_leads_to(before)
    story.is_taken_back("2.0.0", "Aborted")
    assert [given[before["colour"]] for given in routes.given()] == [50, 100]
    assert story.status()["stable"] == before
    story.tells(*FIRST, *LEFT_EARLY)


def test_going_back_to_stables_version_before_any_stage_moves_nothing(story: Story) -> None:
    story.begin()
    routes = story.watch_routes()
    story.apply("2.0.0", template=NEVER_READY)
    story.wait_for(lambda status: status["phase"] == "Preparing", "the attempt")
    story.apply("1.0.0", template=READY)
    story.is_taken_back("2.0.0", "Aborted")
    assert len(routes.given()) == 1
    story.tells(*FIRST, "AttemptStarted", "Reverting", "Reverted")


def test_the_version_before_is_back_in_one_write_while_it_is_warm(story: Story) -> None:
    before = story.begin()
    story.apply("2.0.0")
    losing = story.serves("2.0.0")["stable"]
    story.route_leads_to(losing)
    routes, pods = story.watch_routes(), story.uids(before)
    story.apply("1.0.0")
    story.serves("1.0.0")
    story.route_leads_to(before)
    assert routes.writes() == 1
    assert story.uids(before) == pods, "its model is not loaded again"
    story.tells(*FIRST, *PROMOTED, "Restored")


def test_the_version_before_waits_for_its_pods_if_they_are_not_ready(story: Story) -> None:
    before = story.begin()
    story.apply("2.0.0")
    story.serves("2.0.0")
    story.pods_are(before, "False")
    story.eventually(lambda: not story.deployment(before)["status"].get("readyReplicas"), "its pods to be unready")
    story.apply("1.0.0")
    story.says("Ready", "WaitingForPods", status="False")
    story.pods_are(before, "True")
    story.serves("1.0.0")
    story.tells(*FIRST, *PROMOTED, "Restored")


def test_the_version_before_comes_back_by_stages_once_it_was_parked(story: Story) -> None:
    story.begin(rollback={"keepWarm": "1s"})
    story.apply("2.0.0")
    status = story.serves("2.0.0")
    story.wait_for(lambda status: "previous" not in status, "the version before to be parked")
    parked = status["previous"]
    story.eventually(lambda: story.deployment(parked)["spec"]["replicas"] == 0, "its pods to go")
    story.apply("1.0.0")
    assert story.serves("1.0.0")["attempt"] == 3
    story.tells(*FIRST, *PROMOTED, "Parked", *PROMOTED)


def test_a_first_version_that_does_not_come_up_gives_way_to_the_next(story: Story) -> None:
    story.apply("1.0.0", template=NEVER_READY, progressDeadline="2s")
    story.is_taken_back("1.0.0", "ProgressDeadlineExceeded")
    story.says("Ready", "Reverted", status="False")
    story.apply("1.0.1", template=READY, progressDeadline="10m")
    story.serves("1.0.1")
    story.tells("AttemptStarted", "Reverting", "Reverted", *FIRST)
