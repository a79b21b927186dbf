"""No room for two full copies: quotas that are used up, and nodes without another accelerator."""

import json
from typing import Any

import pytest

from scenarios.story import GATEWAY, READY, REPLICAS, Story, canary, template
from stack.history import Object
from stack.operator_process import eventually

NODE = "kwok-0"
LASTING = 240.0
"""Seconds: a shortage counts after a minute, and then pods take turns."""


def quota(story: Story, pods: int) -> Object:
    """Room for so many pods in the namespace; returns a template for them."""
    story.create(
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "room"},
            "spec": {"hard": {"pods": str(pods)}},
        }
    )
    return READY


def accelerators(story: Story, pods: int) -> Object:
    """So many accelerators of a kind of the story's own; returns a template for pods that need one each."""
    name = f"nvidia.com/{story.namespace}"
    has: dict[str, Any] = {"status": {"allocatable": {name: str(pods)}, "capacity": {name: str(pods)}}}
    story.bed.kubectl("patch", "node", NODE, "--subresource=status", "--type=merge", f"--patch={json.dumps(has)}")
    return template(resources={"limits": {name: "1"}})


def serves_in_the_end(story: Story, version: str) -> Object:
    return story.wait_for(
        lambda status: status["phase"] == "Idle" and status["stable"]["version"] == version,
        f"version {version} to serve",
        seconds=LASTING,
    )


@pytest.mark.parametrize("traffic", [GATEWAY, REPLICAS], ids=["gatewayAPI", "replicas"])
@pytest.mark.parametrize(
    ("room", "reason"), [(quota, "QuotaExceeded"), (accelerators, "Unschedulable")], ids=["quota", "accelerators"]
)
def test_with_room_for_one_more_the_versions_take_turns_and_there_are_always_enough_pods(
    story: Story, traffic: Object, room: Any, reason: str
) -> None:
    before = story.begin(
        replicas=4,
        traffic=traffic,
        template=room(story, 5),
        slos=[],
        strategy=canary(25, 50, 100),
        bake={"duration": "1s"},
    )
    ready = story.watch_ready()
    story.apply("2.0.0")
    status = story.wait_for(lambda seen: seen["capacity"]["plan"] == "ShrinkStable", "another plan", seconds=LASTING)
    assert (status["capacity"]["reason"], status["capacity"]["room"]) == (reason, 5)
    status = serves_in_the_end(story, "2.0.0")
    assert status["capacity"]["revertCapacity"] == 25
    assert ready.fewest() == 4
    assert "NoRoom" in story.events()
    eventually(lambda: story.deployment(before)["spec"]["replicas"] == 1, "the version before to keep what fits")


def test_a_version_that_turns_out_bad_gives_stable_all_of_its_pods_back(story: Story) -> None:
    before = story.begin(replicas=4, template=accelerators(story, 5), strategy=canary(50, 100, hold="1h"))
    story.apply("2.0.0")
    status = story.wait_for(
        lambda seen: seen.get("stage", {}).get("name") == "canary-50" and seen["weights"]["observed"] == 50,
        "half of the requests",
        seconds=LASTING,
    )
    story.eventually(lambda: story.deployment(before)["spec"]["replicas"] == 3, "stable to make room")
    story.turns_bad(status["candidate"])
    story.is_taken_back("2.0.0", "SLOBreached")
    story.route_leads_to(before)
    story.eventually(lambda: story.deployment(before)["status"].get("readyReplicas") == 4, "stable to be whole again")


def test_who_waits_for_room_gets_the_scheduler_s_words_and_a_way_out(story: Story) -> None:
    before = story.begin(replicas=2, template=accelerators(story, 3), capacity={"noRoom": "Wait"})
    stable_pods = story.watch_pods_of(before)
    story.apply("2.0.0", progressDeadline="70s")
    record = story.is_taken_back("2.0.0", "ProgressDeadlineExceeded", seconds=LASTING)
    assert f"Insufficient nvidia.com/{story.namespace}" in record["message"]
    assert "set spec.capacity.noRoom to ShrinkStable" in record["message"]
    assert stable_pods.least() == 2


def test_a_single_pod_without_room_for_another_is_recreated_where_that_is_allowed(story: Story) -> None:
    before = story.begin(replicas=1, template=accelerators(story, 1), slos=[], capacity={"noRoom": "Recreate"})
    story.apply("2.0.0")
    serves_in_the_end(story, "2.0.0")
    story.wait_for(lambda seen: "capacity" not in seen, "nothing to be kept to go back to")
    assert story.deployment(before)["spec"]["replicas"] == 0
    story.apply("3.0.0", capacity={"noRoom": "ShrinkStable"}, progressDeadline="70s")
    record = story.is_taken_back("3.0.0", "ProgressDeadlineExceeded", seconds=LASTING)
    assert "make room for one pod more, or set spec.capacity.noRoom to Recreate" in record["message"]


def test_where_no_node_is_the_right_one_nobody_gives_anything_up(story: Story) -> None:
    before = story.begin(replicas=2, template=accelerators(story, 2), capacity={"noRoom": "Recreate"})
    stable_pods = story.watch_pods_of(before)
    elsewhere = template(resources={"limits": {f"nvidia.com/{story.namespace}": "1"}})
    elsewhere["spec"]["nodeSelector"] = {"zone": "nowhere"}
    story.apply("2.0.0", template=elsewhere, progressDeadline="75s")
    record = story.is_taken_back("2.0.0", "ProgressDeadlineExceeded", seconds=LASTING)
    assert "didn't match Pod's node affinity/selector" in record["message"]
    assert stable_pods.least() == 2
