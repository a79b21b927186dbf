"""What happens to pods, of both versions, while a version is on its way."""

import time
from typing import Any

import pytest

from scenarios.story import ENDLESS, GATEWAY, NEVER_READY, READY, REPLICAS, Story, canary, condition_of, template
from stack.history import Object

FIRST = ("AttemptStarted", "Promoted")
ROUTERS = pytest.mark.parametrize("traffic", [GATEWAY, REPLICAS], ids=["gatewayAPI", "replicas"])


def test_a_candidate_that_never_gets_ready_is_taken_back_before_it_had_a_request(story: Story) -> None:
    before = story.begin()
    routes, stable_pods = story.watch_routes(), story.watch_pods_of(before)
    story.apply("2.0.0", template=NEVER_READY, progressDeadline="2s")
    record = story.is_taken_back("2.0.0", "ProgressDeadlineExceeded")
    assert record["message"].startswith("waiting for 2 ready pods of version 2.0.0")
    assert len(routes.given()) == 1
    assert stable_pods.least() == 2
    story.tells(*FIRST, "AttemptStarted", "Reverting", "Reverted")


def test_the_next_version_comes_up_after_one_that_never_got_ready(story: Story) -> None:
    story.begin()
    story.apply("2.0.0", template=NEVER_READY)
    story.wait_for(lambda status: status["phase"] == "Preparing", "the attempt")
    story.apply("2.0.1", template=READY)
    assert story.serves("2.0.1")["attempt"] == 3


def test_a_candidate_without_room_in_the_quota_says_so_and_goes_on_when_there_is_some(story: Story) -> None:
    before = story.begin()
    stable_pods = story.watch_pods_of(before)
    story.create(_quota(pods=2))
    story.apply("2.0.0")
    story.wait_for(
        lambda status: "exceeded quota" in condition_of(status, "Progressing").get("message", ""), "the quota's words"
    )
    story.kubectl("delete", "resourcequota", "room")
    story.serves("2.0.0")
    assert stable_pods.least() == 2


def test_a_candidate_without_room_in_the_quota_is_taken_back_and_the_record_says_why(story: Story) -> None:
    story.begin()
    story.create(_quota(pods=3))
    story.apply("2.0.0", progressDeadline="10s")
    record = story.is_taken_back("2.0.0", "ProgressDeadlineExceeded")
    assert "exceeded quota: room" in record["message"]


def test_a_candidate_without_room_on_any_node_is_taken_back(story: Story) -> None:
    before = story.begin()
    stable_pods = story.watch_pods_of(before)
    story.apply("2.0.0", template=template(resources={"requests": {"cpu": "5000"}}), progressDeadline="5s")
    story.is_taken_back("2.0.0", "ProgressDeadlineExceeded")
    assert stable_pods.least() == 2


def test_a_candidate_whose_pods_are_all_deleted_and_find_no_room_again_is_taken_back(story: Story) -> None:
    before = story.begin(strategy=ENDLESS)
    stable_pods = story.watch_pods_of(before)
    story.apply("2.0.0")
    candidate = story.enters("canary-50")["candidate"]
    story.create(_quota(pods=2))
    story.pods_are_deleted(candidate)
    story.is_taken_back("2.0.0", "CandidateUnavailable")
    story.route_leads_to(before)
    assert stable_pods.least() == 2


def test_a_candidate_whose_pods_are_all_deleted_is_taken_back_before_others_are_ready(story: Story) -> None:
    before = story.begin(strategy=ENDLESS)
    stable_pods = story.watch_pods_of(before)
    story.apply("2.0.0", template=NEVER_READY)
    candidate = story.says("Progressing", "WaitingForPods")["candidate"]
    story.eventually(lambda: len(story.pods_of(candidate)) == 2, "its pods")
    story.pods_are(candidate, "True")
    story.enters("canary-50")
    story.pods_are_deleted(candidate)
    story.is_taken_back("2.0.0", "CandidateUnavailable")
    story.route_leads_to(before)
    assert stable_pods.least() == 2
    story.tells(*FIRST, "AttemptStarted", "StageEntered", "Reverting", "Reverted")


@ROUTERS
def test_a_candidate_whose_pods_all_fail_late_is_taken_back(story: Story, traffic: Any) -> None:
    before = story.begin(strategy=ENDLESS, traffic=traffic)
    story.apply("2.0.0")
    candidate = story.enters("canary-50")["candidate"]
    story.pods_are(candidate, "False")
    story.is_taken_back("2.0.0", "CandidateUnavailable")
    story.eventually(lambda: story.selects() == before["colour"], "the Service to select stable")
    story.tells(*FIRST, "AttemptStarted", "StageEntered", "Reverting", "Reverted")


def test_a_candidate_that_lost_one_of_its_pods_waits_for_it(story: Story) -> None:
    steps = [{"weight": 50, "hold": "10s"}, {"weight": 100, "hold": "1s"}]
    story.begin(strategy={"canary": {"steps": steps}})
    story.apply("2.0.0")
    candidate = story.enters("canary-50")["candidate"]
    story.pods_are(candidate, "False", at_most=1)
    story.says("Progressing", "WaitingForPods")
    story.pods_are(candidate, "True")
    story.serves("2.0.0")


def test_one_pod_of_the_candidate_that_is_deleted_is_replaced_and_nothing_else_happens(story: Story) -> None:
    story.begin(strategy=ENDLESS)
    story.apply("2.0.0")
    candidate = story.enters("canary-50")["candidate"]
    pod = story.pods_of(candidate)[0].metadata
    story.pods.delete_namespaced_pod(pod.name, story.namespace, grace_period_seconds=0)
    story.eventually(lambda: len(story.uids(candidate) - {pod.uid}) == 2, "another pod")
    story.apply("2.0.0", strategy=canary(50, 100))
    assert story.serves("2.0.0")["attempt"] == 2


def test_while_no_stable_pod_is_ready_a_candidate_that_is_taken_back_keeps_its_requests(story: Story) -> None:
    before = story.begin(strategy=ENDLESS)
    story.apply("2.0.0")
    story.enters("canary-50")
    story.pods_are(before, "False")
    story.says("Ready", "StableUnavailable", status="False")
    story.apply("1.0.0")
    story.says("Progressing", "StableUnavailable")
    assert story.weights()[before["colour"]] == 50
    story.pods_are(before, "True")
    story.is_taken_back("2.0.0", "Aborted")
    story.route_leads_to(before)


def test_while_no_stable_pod_is_ready_the_candidate_stands_in_for_a_third_version(story: Story) -> None:
    before = story.begin(strategy=ENDLESS)
    story.apply("2.0.0")
    story.enters("canary-50")
    story.pods_are(before, "False")
    story.says("Ready", "StableUnavailable", status="False")
    story.apply("3.0.0", strategy=canary(50, 100))
    status = story.wait_for(lambda status: status["stable"]["version"] == "2.0.0", "the candidate to stand in")
    story.route_leads_to(status["stable"])
    story.serves("3.0.0")


def test_with_the_replicas_router_a_candidate_loses_its_part_while_stable_lacks_pods(story: Story) -> None:
    before = story.begin(traffic=REPLICAS, replicas=4, strategy=ENDLESS)
    story.apply("2.0.0")
    story.enters("canary-50")
    story.eventually(lambda: story.selects() == "both", "the Service to select both")
    story.pods_are(before, "False", at_most=2)
    story.eventually(lambda: story.selects() == before["colour"], "the Service to select stable alone")
    story.pods_are(before, "True")
    story.eventually(lambda: story.selects() == "both", "the Service to select both again")
    assert story.status()["attempt"] == 2


def test_stable_pods_that_fail_while_nothing_is_tried_are_said_and_touched_by_nobody(story: Story) -> None:
    stable = story.begin()
    pods = story.uids(stable)
    story.pods_are(stable, "False")
    story.says("Ready", "StableUnavailable", status="False")
    story.pods_are(stable, "True")
    story.says("Ready", "Serving", status="True")
    assert story.uids(stable) == pods
    story.tells(*FIRST)


def test_stable_pods_that_are_all_deleted_come_back_and_serve(story: Story) -> None:
    stable = story.begin()
    before = story.uids(stable)
    story.pods_are_deleted(stable)
    story.eventually(lambda: len(story.uids(stable) - before) == 2, "other pods")
    story.says("Ready", "Serving", status="True")
    assert story.status()["stable"] == stable
    story.tells(*FIRST)


def test_while_no_pod_of_either_version_is_ready_nothing_moves_and_all_goes_on_after(story: Story) -> None:
    before = story.begin(strategy=ENDLESS)
    story.apply("2.0.0")
    candidate = story.enters("canary-50")["candidate"]
    routes = story.watch_routes()
    story.pods_are(before, "False")
    story.says("Ready", "StableUnavailable", status="False")
    story.pods_are(candidate, "False")
    story.eventually(lambda: not story.deployment(candidate)["status"].get("readyReplicas"), "none to be ready")
    time.sleep(3)
    assert len(routes.given()) == 1
    story.pods_are(candidate, "True")
    story.pods_are(before, "True")
    story.says("Ready", "Serving", status="True")
    assert story.status()["stage"]["name"] == "canary-50"


def _quota(*, pods: int) -> Object:
    """So many pods, of both versions, and no more."""
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "room"}, "spec": {"hard": {"pods": pods}}}
