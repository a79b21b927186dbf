"""What people change while a version is on its way."""

import time
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from kubernetes.client import ApiException

from scenarios.story import (
    ENDLESS,
    ERRORS,
    GATEWAY,
    NEVER_READY,
    READY,
    REPLICAS,
    Story,
    canary,
    condition_of,
    template,
)
from stack.history import Object

FIRST = ("AttemptStarted", "Promoted")


def test_an_invalid_spec_is_refused_and_changes_nothing_until_it_is_fixed(story: Story) -> None:
    story.begin(strategy=ENDLESS)
    story.apply("2.0.0")
    before = story.enters("canary-50")
    with pytest.raises(ApiException, match="weights must ascend"):
        story.apply("3.0.0", strategy=canary(50, 20, 100))
    assert story.status()["candidate"] == before["candidate"]
    story.apply("3.0.0", strategy=canary(20, 100))
    story.serves("3.0.0")


def test_a_template_that_the_api_server_refuses_is_said_and_then_fixed(story: Story) -> None:
    before = story.begin()
    stable_pods = story.watch_pods_of(before)
    story.apply("2.0.0", template=template(resources={"requests": {"cpu": "-1"}}))
    status = story.says("Progressing", "WaitingForPods")
    story.wait_for(
        lambda status: "must be greater than or equal to 0" in condition_of(status, "Progressing")["message"],
        "the API server's words",
    )
    assert status["stable"] == before
    story.apply("2.0.0", template=READY)
    story.serves("2.0.0")
    assert stable_pods.least() == 2


def test_another_template_is_another_attempt_of_the_same_version(story: Story) -> None:
    story.begin()
    story.apply("1.0.0", template=template(env=[{"name": "THREADS", "value": "2"}]))
    story.wait_for(lambda status: status["attempt"] == 2 and status["phase"] == "Idle", "the second attempt to serve")
    story.tells(*FIRST, "AttemptStarted", "StageEntered", "StageEntered", "Promoted")


def test_notes_on_a_model_start_nothing(story: Story) -> None:
    before = story.begin()
    story.patch({"spec": {"model": {"metadata": {"gitCommit": "abc123"}}}, "metadata": {"annotations": {"a": "b"}}})
    status = story.serves("1.0.0")
    assert (status["stable"], status["attempt"]) == (before, 1)
    story.tells(*FIRST)


def test_spec_and_replicas_changed_together_scale_stable_and_bring_the_new_version_in_that_size(story: Story) -> None:
    before = story.begin()
    stable_pods = story.watch_pods_of(before)
    story.apply("2.0.0", replicas=3)
    status = story.serves("2.0.0")
    assert status["replicas"] == 3
    assert stable_pods.sizes() == [2, 3]
    assert stable_pods.least() == 2


def test_scaling_in_mid_stage_scales_both_and_moves_no_request(story: Story) -> None:
    before = story.begin(strategy=ENDLESS)
    story.apply("2.0.0")
    candidate = story.enters("canary-50")["candidate"]
    routes = story.watch_routes()
    story.apply("2.0.0", replicas=4)
    for part in (before, candidate):
        story.eventually(partial(_has_four_pods, story, part), "four pods")
    assert story.status()["stage"]["name"] == "canary-50"
    assert len(routes.given()) == 1


def _has_four_pods(story: Story, part: Object) -> bool:
    return bool(story.deployment(part)["status"].get("readyReplicas") == 4)


def test_scaling_while_paused_scales_and_goes_nowhere(story: Story) -> None:
    before = story.begin(strategy=canary(50, 100))
    story.apply("2.0.0", paused=True)
    story.says("Progressing", "Paused")
    story.apply("2.0.0", replicas=3)
    story.wait_for(lambda status: status["replicas"] == 3, "stable to be scaled")
    assert story.status()["stable"] == before
    story.tells(*FIRST)
    story.apply("2.0.0", paused=False)
    assert story.serves("2.0.0")["replicas"] == 3


def test_scaling_down_in_mid_stage_skips_a_stage_that_is_out_of_reach_by_then(story: Story) -> None:
    steps = [{"weight": 20, "hold": "1h"}, {"weight": 50, "hold": "1s"}, {"weight": 100, "hold": "1s"}]
    story.begin(traffic=REPLICAS, replicas=4, strategy={"canary": {"steps": steps}})
    story.apply("2.0.0")
    story.enters("canary-20")
    story.apply("2.0.0", replicas=2)
    story.serves("2.0.0")


def test_the_scale_subresource_scales_what_serves(story: Story) -> None:
    stable = story.begin()
    story.kubectl("scale", "mr", story.name, "--replicas=3")
    status = story.wait_for(lambda status: status["readyReplicas"] == 3, "three pods")
    selected: list[Any] = story.pods.list_namespaced_pod(story.namespace, label_selector=status["selector"]).items
    assert {pod.metadata.uid for pod in selected} == story.uids(stable)
    assert len(selected) == 3


def test_an_overloaded_stable_is_scaled_while_the_kill_switch_is_pulled(story: Story) -> None:
    before = story.begin(strategy=ENDLESS)
    story.apply("2.0.0")
    story.enters("canary-50")
    story.asks("Kill")
    story.kubectl("scale", "mr", story.name, "--replicas=4")
    status = story.wait_for(lambda status: status["readyReplicas"] == 4, "four pods of stable")
    assert status["stable"] == before
    story.is_taken_back("2.0.0", "Killed")
    assert story.status()["replicas"] == 4


def test_an_autoscaler_scales_the_rollout_itself(story: Story) -> None:
    story.begin()
    resource = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}
    story.create(
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "scorer"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "modelrollout.io/v1alpha1", "kind": "ModelRollout", "name": "scorer"},
                "minReplicas": 3,
                "maxReplicas": 5,
                "metrics": [{"type": "Resource", "resource": resource}],
            },
        }
    )
    story.wait_for(lambda status: status["readyReplicas"] == 3, "the autoscaler's minimum", seconds=120)
    story.tells(*FIRST)


def test_nothing_starts_while_paused_and_all_goes_on_after(story: Story) -> None:
    story.begin()
    story.apply("2.0.0", paused=True)
    status = story.says("Progressing", "Paused", status="False")
    assert "candidate" not in status
    story.says("Ready", "Serving", status="True")
    story.apply("2.0.0", paused=False)
    story.serves("2.0.0")


def test_a_stage_is_not_left_while_paused(story: Story) -> None:
    story.begin(strategy=canary(50, 100))
    story.apply("2.0.0")
    story.enters("canary-50")
    story.apply("2.0.0", paused=True)
    story.says("Progressing", "Paused")
    time.sleep(3)
    assert story.status()["stage"]["name"] == "canary-50"
    story.apply("2.0.0", paused=False)
    story.serves("2.0.0")


def test_a_breach_takes_the_candidate_back_also_while_paused(story: Story) -> None:
    before = story.begin(strategy=ENDLESS)
    story.apply("2.0.0")
    candidate = story.enters("canary-50")["candidate"]
    story.apply("2.0.0", paused=True)
    story.says("Progressing", "Paused")
    story.turns_bad(candidate)
    story.is_taken_back("2.0.0", "SLOBreached")
    story.route_leads_to(before)


def test_a_pause_longer_than_the_progress_deadline_takes_nothing_back(story: Story) -> None:
    story.begin()
    story.apply("2.0.0", template=NEVER_READY, progressDeadline="15s")
    story.wait_for(lambda status: status["phase"] == "Preparing", "the attempt")
    story.apply("2.0.0", paused=True)
    candidate = story.says("Progressing", "WaitingForPods")["candidate"]
    time.sleep(15)
    assert story.status()["phase"] == "Preparing"
    story.pods_are(candidate, "True")
    story.wait_for(lambda status: status["candidate"]["warm"], "the pods to be ready")
    story.apply("2.0.0", paused=False)
    story.serves("2.0.0")


def test_a_pause_longer_than_the_stages_deadline_takes_nothing_back(story: Story) -> None:
    story.begin(strategy=canary(50, 100, deadline="10s", onDeadline="Revert"))
    story.is_silent("2.0.0")
    story.apply("2.0.0")
    candidate = story.enters("canary-50")["candidate"]
    story.apply("2.0.0", paused=True)
    due = datetime.now(UTC) + timedelta(seconds=10)
    story.says("Progressing", "Paused")
    time.sleep(max(0.0, (due - datetime.now(UTC)).total_seconds()))
    assert story.status()["phase"] == "Progressing"
    story.speaks(candidate)
    story.apply("2.0.0", paused=False)
    story.serves("2.0.0")


def test_a_shorter_hold_lets_the_candidate_go_on_from_where_it_is(story: Story) -> None:
    story.begin(strategy=ENDLESS)
    story.apply("2.0.0")
    story.enters("canary-50")
    story.apply("2.0.0", strategy=canary(20, 50, 100))
    assert story.serves("2.0.0")["attempt"] == 2
    story.tells(*FIRST, "AttemptStarted", "StageEntered", "StageEntered", "Promoted")


def test_without_its_stage_a_candidate_begins_anew_with_the_same_pods(story: Story) -> None:
    before = story.begin(strategy=ENDLESS)
    story.apply("2.0.0")
    candidate = story.enters("canary-50")["candidate"]
    pods, routes = story.uids(candidate), story.watch_routes()
    story.apply("2.0.0", strategy=canary(20, 100))
    story.serves("2.0.0")
    assert story.uids(candidate) == pods
    assert [given[before["colour"]] for given in routes.given()] == [50, 100, 80, 0]
    story.tells(*FIRST, "AttemptStarted", "StageEntered", "StrategyChanged", "StageEntered", "StageEntered", "Promoted")


def test_limits_can_be_mended_in_mid_stage(story: Story) -> None:
    never = {"name": "never", "query": {"value": "vector(1)"}, "limit": "0", "onBreach": "Hold"}
    story.begin(strategy=canary(50, 100))
    story.apply("2.0.0", slos=[never])
    story.says("Progressing", "SLOBreached")
    story.apply("2.0.0", slos=[ERRORS])
    assert story.serves("2.0.0")["attempt"] == 2


@pytest.mark.parametrize(("this", "that"), [(GATEWAY, REPLICAS), (REPLICAS, GATEWAY)], ids=["off", "on"])
def test_another_router_takes_over_where_a_version_serves(story: Story, this: Any, that: Any) -> None:
    stable = story.begin(traffic=this)
    story.apply("1.0.0", traffic=that)
    routes = 1 if that is GATEWAY else 0
    story.eventually(lambda: len(story.all("httproutes")) == routes, f"{routes} HTTPRoutes")
    assert story.selects() == stable["colour"]
    story.apply("2.0.0", strategy=canary(50, 100))
    story.serves("2.0.0")


def test_a_stage_that_is_entered_a_second_time_is_told_a_second_time(story: Story) -> None:
    story.begin(strategy=ENDLESS)
    story.apply("2.0.0")
    story.enters("canary-50")
    story.apply("2.0.0", strategy=canary(20, 100, hold="1h"))
    story.enters("canary-20")
    story.apply("2.0.0", strategy=ENDLESS)
    story.enters("canary-50")
    story.tells(*FIRST, "AttemptStarted", "StageEntered", *["StrategyChanged", "StageEntered"] * 2)


def test_another_router_in_mid_stage_never_leaves_stable_without_requests(story: Story) -> None:
    before = story.begin(strategy=ENDLESS)
    stable_pods = story.watch_pods_of(before)
    story.apply("2.0.0")
    story.enters("canary-50")
    story.apply("2.0.0", traffic=REPLICAS)
    story.eventually(lambda: story.selects() == "both", "the Service to split the requests")
    story.eventually(lambda: not story.all("httproutes"), "the HTTPRoute to go")
    story.apply("2.0.0", strategy=canary(50, 100))
    assert story.serves("2.0.0")["attempt"] == 2
    assert stable_pods.least() == 2


def test_another_host_name_is_no_attempt_and_moves_no_weight(story: Story) -> None:
    story.begin(strategy=ENDLESS)
    story.apply("2.0.0")
    story.enters("canary-50")
    routes = story.watch_routes()
    traffic = {"gatewayAPI": GATEWAY["gatewayAPI"] | {"hostnames": ["scorer.example.com"]}}
    story.apply("2.0.0", traffic=traffic)
    story.eventually(
        lambda: [one["spec"].get("hostnames") for one in story.all("httproutes")] == [["scorer.example.com"]],
        "the host name in the route",
    )
    assert len(routes.given()) == 1
    assert story.status()["stage"]["name"] == "canary-50"


def test_a_config_map_that_is_deleted_in_mid_stage_is_no_change(story: Story) -> None:
    story.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"LEVEL": "info"}})
    named = template(envFrom=[{"configMapRef": {"name": "settings"}}])
    story.begin(template=named, strategy=ENDLESS)
    story.apply("2.0.0")
    story.enters("canary-50")
    story.kubectl("delete", "configmap", "settings")
    time.sleep(3)
    assert story.status()["phase"] == "Progressing"
    story.apply("2.0.0", strategy=canary(50, 100))
    assert story.serves("2.0.0")["attempt"] == 2
    story.says("Ready", "ConfigurationMissing")


def test_another_template_in_mid_stage_takes_the_place_of_the_one_on_trial(story: Story) -> None:
    before = story.begin(strategy=ENDLESS)
    stable_pods = story.watch_pods_of(before)
    story.apply("2.0.0")
    story.enters("canary-50")
    story.apply("2.0.0", template=template(env=[{"name": "THREADS", "value": "2"}]))
    status = story.enters("canary-50")
    assert (status["attempt"], status["lastRevert"]["reason"]) == (3, "Superseded")
    assert stable_pods.least() == 2


def test_going_back_to_stables_version_in_the_bake_takes_everything_back_at_once(story: Story) -> None:
    before = story.begin(strategy=canary(50, 100), bake={"duration": "1h"})
    story.apply("2.0.0")
    story.enters("bake")
    routes = story.watch_routes()
    story.apply("1.0.0")
    story.is_taken_back("2.0.0", "Aborted")
    assert [given[before["colour"]] for given in routes.given()] == [0, 100]
