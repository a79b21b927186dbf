"""What becomes of pods when somebody drains their nodes; the disruption controller is the real one."""

from http import HTTPStatus
from typing import Any

from kubernetes.client import ApiException, V1Eviction, V1ObjectMeta

from scenarios.story import ENDLESS, Story
from stack.history import Object

BUDGETS = "poddisruptionbudgets"


def _budget(story: Story, part: Object) -> Object | None:
    """The budget of a version."""
    name = f"{story.name}-{part['colour']}"
    return next((one for one in story.all(BUDGETS) if one["metadata"]["name"] == name), None)


def _allows(story: Story, part: Object, pods: int, *, of: int) -> None:
    """Wait until the disruption controller would have so many pods of a version evicted, of those that it expects."""

    def look() -> bool:
        budget: Any = _budget(story, part) or {"metadata": {"generation": 0}}
        status = budget.get("status", {})
        is_newest = status.get("observedGeneration") == budget["metadata"]["generation"]
        return is_newest and (status["disruptionsAllowed"], status["expectedPods"]) == (pods, of)

    story.eventually(look, f"evictions of {pods} of {of} pods of {part['version']} to be allowed")


def _is_evicted(story: Story, pod: Any) -> bool:
    """Ask for the eviction of a pod, as `kubectl drain` does; false when the budget does not allow it."""
    name = pod.metadata.name
    eviction = V1Eviction(metadata=V1ObjectMeta(name=name, namespace=story.namespace))
    try:
        story.pods.create_namespaced_pod_eviction(name, story.namespace, eviction)
    except ApiException as refusal:
        if refusal.status != HTTPStatus.TOO_MANY_REQUESTS or "disruption budget" not in str(refusal.body):
            raise
        return False
    return True


def test_nobody_evicts_more_pods_of_stable_than_the_budget_allows(story: Story) -> None:
    stable = story.begin(disruptionBudget={"minAvailable": 2})
    _allows(story, stable, 0, of=2)
    pods = story.uids(stable)
    assert not _is_evicted(story, story.pods_of(stable)[0])
    assert story.uids(stable) == pods
    story.apply("1.0.0", disruptionBudget={"maxUnavailable": "50%"})
    _allows(story, stable, 1, of=2)
    assert _is_evicted(story, story.pods_of(stable)[0])


def test_a_pod_that_is_not_ready_holds_no_node_up(story: Story) -> None:
    stable = story.begin(disruptionBudget={"minAvailable": 2})
    _allows(story, stable, 0, of=2)
    story.pods_are(stable, "False", at_most=1)
    unready = story.pods_of(stable)[0]
    story.wait_for(lambda status: status["readyReplicas"] == 1, "the pod to be missed")
    assert _is_evicted(story, unready)


def test_each_version_has_a_budget_of_its_own(story: Story) -> None:
    before = story.begin(disruptionBudget={"maxUnavailable": 1}, strategy=ENDLESS, replicas=3)
    story.apply("2.0.0")
    candidate = story.enters("canary-50")["candidate"]
    for part in (before, candidate):
        _allows(story, part, 1, of=3)


def test_budgets_go_with_the_field_that_asked_for_them(story: Story) -> None:
    stable = story.begin(disruptionBudget={"minAvailable": 2})
    _allows(story, stable, 0, of=2)
    story.patch({"spec": {"disruptionBudget": None}})
    story.eventually(lambda: not story.all(BUDGETS), "the budgets to go")
    assert _is_evicted(story, story.pods_of(stable)[0])


def test_a_budget_that_somebody_deletes_comes_back(story: Story) -> None:
    stable = story.begin(disruptionBudget={"minAvailable": 2})
    _allows(story, stable, 0, of=2)
    story.kubectl("delete", "pdb", "--all")
    _allows(story, stable, 0, of=2)


def test_the_budget_of_what_serves_outlives_the_rollout(story: Story) -> None:
    stable = story.begin(disruptionBudget={"minAvailable": 2})
    _allows(story, stable, 0, of=2)
    story.delete()
    assert [one["metadata"]["name"] for one in story.all(BUDGETS)] == [f"scorer-{stable['colour']}"]
    assert not _is_evicted(story, story.pods_of(stable)[0])
