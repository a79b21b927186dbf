"""People and programs that change what the operator owns, and things of others that are in its way."""

import json
from typing import Any

import pytest

from scenarios.story import ENDLESS, GATEWAY, REPLICAS, Story, canary
from stack.history import Object

FIRST = ("AttemptStarted", "Promoted")


def test_weights_that_somebody_changed_are_put_back_in_mid_stage(story: Story) -> None:
    before = story.begin(strategy=ENDLESS)
    story.apply("2.0.0")
    story.enters("canary-50")
    _give_all_to_the_other_one(story, before)
    story.eventually(lambda: set(story.weights().values()) == {50}, "the weights of the stage")
    assert story.status()["stage"]["name"] == "canary-50"


def test_weights_that_somebody_changed_are_put_back_while_nothing_is_tried(story: Story) -> None:
    story.begin()
    story.apply("2.0.0")
    stable = story.serves("2.0.0")["stable"]
    story.route_leads_to(stable)
    _give_all_to_the_other_one(story, stable)
    story.route_leads_to(stable)


def test_a_route_that_somebody_deletes_is_made_again_and_the_stage_goes_on(story: Story) -> None:
    story.begin(strategy=ENDLESS)
    story.apply("2.0.0")
    story.enters("canary-50")
    story.kubectl("delete", "httproute", story.name)
    story.eventually(lambda: set(story.weights().values()) == {50}, "the weights of the stage")
    assert story.status()["attempt"] == 2


@pytest.mark.parametrize("traffic", [GATEWAY, REPLICAS], ids=["gatewayAPI", "replicas"])
def test_a_service_that_somebody_leads_elsewhere_is_led_back(story: Story, traffic: Any) -> None:
    stable = story.begin(traffic=traffic)
    story.eventually(lambda: story.selects() == stable["colour"], "the Service")
    elsewhere = {"spec": {"selector": {"modelrollout.io/colour": "red"}}}
    story.kubectl("patch", "service", story.name, "--type=merge", "--patch", json.dumps(elsewhere))
    story.eventually(lambda: story.selects() == stable["colour"], "the Service to select stable")


def test_a_service_that_somebody_deletes_is_made_again(story: Story) -> None:
    stable = story.begin()
    service = f"{story.name}-{stable['colour']}"
    story.eventually(lambda: story.selects() == stable["colour"], "the Service")
    story.kubectl("delete", "service", service, story.name)
    names = {service, story.name}
    story.eventually(lambda: names <= {one["metadata"]["name"] for one in story.all("services")}, "both Services")


def test_a_stable_deployment_that_somebody_scales_is_put_back(story: Story) -> None:
    stable = story.begin()
    story.kubectl("scale", "deployment", f"{story.name}-{stable['colour']}", "--replicas=1")
    story.eventually(lambda: story.deployment(stable)["status"].get("readyReplicas") == 2, "two pods")
    story.tells(*FIRST)


def test_a_candidates_deployment_that_somebody_scales_is_put_back(story: Story) -> None:
    story.begin(strategy=ENDLESS)
    story.apply("2.0.0")
    candidate = story.enters("canary-50")["candidate"]
    story.kubectl("scale", "deployment", f"{story.name}-{candidate['colour']}", "--replicas=1")
    story.eventually(lambda: story.deployment(candidate)["status"].get("readyReplicas") == 2, "two pods")
    assert story.status()["stage"]["name"] == "canary-50"


def test_a_restart_of_what_serves_is_let_be(story: Story) -> None:
    stable = story.begin()
    before, pods = story.uids(stable), story.watch_pods_of(stable)
    story.kubectl("rollout", "restart", "deployment", f"{story.name}-{stable['colour']}")
    story.eventually(lambda: len(story.uids(stable)) == 2 and not story.uids(stable) & before, "other pods")
    assert pods.least() == 2
    assert story.status()["attempt"] == 1
    story.tells(*FIRST)


def test_a_stable_deployment_that_somebody_deletes_is_made_again(story: Story) -> None:
    stable = story.begin()
    uid = story.deployment(stable)["metadata"]["uid"]
    story.kubectl("delete", "deployment", f"{story.name}-{stable['colour']}")
    story.eventually(lambda: _ready_again(story, stable, uid), "another one with two pods")
    story.says("Ready", "Serving", status="True")
    assert story.status()["stable"] == stable


def test_a_candidates_deployment_that_somebody_deletes_takes_it_back(story: Story) -> None:
    before = story.begin(strategy=ENDLESS)
    story.apply("2.0.0")
    candidate = story.enters("canary-50")["candidate"]
    story.kubectl("delete", "deployment", f"{story.name}-{candidate['colour']}")
    story.is_taken_back("2.0.0", "CandidateUnavailable")
    story.route_leads_to(before)


def test_a_stable_deployment_that_somebody_deletes_in_mid_stage_is_said_and_comes_back_when_asked_for(
    story: Story,
) -> None:
    before = story.begin(strategy=ENDLESS)
    story.apply("2.0.0")
    candidate = story.enters("canary-50")["candidate"]
    story.kubectl("delete", "deployment", f"{story.name}-{before['colour']}")
    story.says("Ready", "StableMissing", status="False")
    assert story.weights()[candidate["colour"]] == 50, "whoever answers goes on answering"
    story.apply("1.0.0")
    story.is_taken_back("2.0.0", "Aborted")
    story.route_leads_to(before)
    assert story.deployment(before)["status"]["readyReplicas"] == 2


FOREIGN: dict[str, Object] = {
    "Service": {"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 80}], "selector": {"app": "other"}}},
    "HTTPRoute": {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "spec": {}},
    "Deployment": {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": "other"}},
            "template": {
                "metadata": {"labels": {"app": "other"}},
                "spec": {"containers": [{"name": "other", "image": "other"}]},
            },
        },
    },
}


@pytest.mark.parametrize(
    ("kind", "name"),
    [("Service", "scorer"), ("Service", "scorer-green"), ("HTTPRoute", "scorer"), ("Deployment", "scorer-blue")],
)
def test_what_is_somebody_elses_is_named_and_not_taken_over(story: Story, kind: str, name: str) -> None:
    story.create(FOREIGN[kind] | {"metadata": {"name": name}})
    before = story.get(kind, name)
    story.apply("1.0.0")
    story.wait_for(
        lambda status: f"{name} exists and is not ours" in json.dumps(status["conditions"]), "its name in a condition"
    )
    after = story.get(kind, name)
    assert (after["spec"], after["metadata"].get("labels")) == (before["spec"], before["metadata"].get("labels"))
    story.kubectl("delete", kind, name)
    stable = story.serves("1.0.0")["stable"]
    story.eventually(lambda: story.selects() == stable["colour"], "the Service to select stable")
    story.says("Ready", "Serving", status="True")


def test_a_lost_status_is_found_again_in_what_serves(story: Story) -> None:
    story.begin()
    story.apply("2.0.0")
    before = story.serves("2.0.0")["stable"]
    story.route_leads_to(before)
    pods = story.uids(before)
    story.lose_status()
    after = story.serves("2.0.0")["stable"]
    assert (after["colour"], after["attempt"]) == (before["colour"], before["attempt"])
    assert story.uids(after) == pods
    story.tells(*FIRST, "AttemptStarted", "StageEntered", "StageEntered", "Promoted", "Adopted")


def test_a_status_lost_in_mid_stage_begins_with_what_was_stable(story: Story) -> None:
    before = story.begin(strategy=ENDLESS)
    stable_pods = story.watch_pods_of(before)
    story.apply("2.0.0")
    story.enters("canary-50")
    story.lose_status()
    status = story.enters("canary-50")
    assert (status["stable"]["colour"], status["stable"]["attempt"]) == (before["colour"], before["attempt"])
    assert status["candidate"]["attempt"] == 3
    assert stable_pods.least() == 2
    story.apply("2.0.0", strategy=canary(50, 100))
    story.serves("2.0.0")


def test_a_status_lost_while_a_candidate_is_taken_back_does_not_keep_it(story: Story) -> None:
    before = story.begin(strategy=ENDLESS)
    story.apply("2.0.0")
    story.enters("canary-50")
    story.apply("1.0.0")
    story.wait_for(lambda status: status["phase"] == "Reverting", "the way back")
    story.lose_status()
    status = story.serves("1.0.0")
    assert (status["stable"]["colour"], status["stable"]["attempt"]) == (before["colour"], before["attempt"])
    story.route_leads_to(before)
    gone = "green" if before["colour"] == "blue" else "blue"
    story.eventually(lambda: story.deployment({"colour": gone})["spec"]["replicas"] == 0, "the candidate's pods to go")


def _give_all_to_the_other_one(story: Story, stable: Object) -> None:
    """Somebody leads every request to the colour that is not stable."""
    (route,) = story.all("httproutes")
    for backend in route["spec"]["rules"][0]["backendRefs"]:
        backend["weight"] = 0 if backend["name"].endswith(stable["colour"]) else 1
    rules = {"spec": {"rules": route["spec"]["rules"]}}
    story.kubectl("patch", "httproute", story.name, "--type=merge", "--patch", json.dumps(rules))


def _ready_again(story: Story, part: Object, before: str) -> bool:
    """Whether there is another Deployment of a version, with all its pods."""
    found = [one for one in story.all("deployments") if one["metadata"]["name"].endswith(part["colour"])]
    return any(one["metadata"]["uid"] != before and one["status"].get("readyReplicas") == 2 for one in found)
