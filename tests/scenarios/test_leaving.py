"""The end of a ModelRollout, and what comes after it."""

from functools import partial

from kubernetes.client import V1Namespace

from scenarios.story import ENDLESS, Story, canary
from stack.history import NotReachedError, Object
from stack.operator_process import eventually

FIRST = ("AttemptStarted", "Promoted")
END_OF_NAMESPACE = 300.0
"""Seconds for what takes 25 when nothing else is told.

The namespace controller comes 5 s after the deletion, half a grace period after it has found pods, and 5 to 8 s after
it has found a finalizer; each time it lists and deletes kind by kind, in a hundred requests one behind the other. On
two busy processors one such round alone was seen to take 47 s, and some namespaces took 150.
"""


def test_deleting_a_rollout_leaves_its_version_serving(story: Story) -> None:
    stable = story.begin()
    story.route_leads_to(stable)
    pods = story.uids(stable)
    story.delete()
    assert "ownerReferences" not in story.deployment(stable)["metadata"]
    assert story.weights()[stable["colour"]] == 100
    assert story.selects() == stable["colour"]
    assert story.uids(stable) == pods


def test_deleting_a_rollout_with_the_policy_delete_leaves_nothing(story: Story) -> None:
    story.begin(deletionPolicy="Delete")
    story.delete()
    for kind in ("deployments", "services", "httproutes"):
        story.eventually(partial(_has_none, story, kind), f"all {kind} to be deleted")


def _has_none(story: Story, kind: str) -> bool:
    return not story.all(kind)


def test_deleting_a_rollout_in_mid_stage_takes_the_candidate_back_first(story: Story) -> None:
    before = story.begin(strategy=ENDLESS)
    routes, stable_pods = story.watch_routes(), story.watch_pods_of(before)
    story.apply("2.0.0")
    candidate = story.enters("canary-50")["candidate"]
    story.delete()
    assert [given[before["colour"]] for given in routes.given()] == [100, 50, 100]
    assert stable_pods.least() == 2
    names = {one["metadata"]["name"] for one in story.all("deployments")}
    assert names == {f"scorer-{before['colour']}"}, f"nothing is left of {candidate['version']}"


def test_deleted_and_made_anew_it_goes_on_with_what_serves(story: Story) -> None:
    before = story.begin()
    story.route_leads_to(before)
    pods = story.uids(before)
    story.delete()
    after = story.begin("1.0.0")
    assert (after["colour"], after["attempt"]) == (before["colour"], before["attempt"])
    assert story.uids(after) == pods
    story.tells(*FIRST, "Adopted")


def test_made_anew_with_another_version_it_goes_there_by_stages(story: Story) -> None:
    before = story.begin()
    story.route_leads_to(before)
    stable_pods = story.watch_pods_of(before)
    story.delete()
    story.apply("2.0.0")
    assert story.serves("2.0.0")["attempt"] == 2
    assert stable_pods.least() == 2
    story.tells(*FIRST, "Adopted", "AttemptStarted", "StageEntered", "StageEntered", "Promoted")


def test_made_anew_with_a_bad_version_it_goes_back_to_what_served(story: Story) -> None:
    before = story.begin()
    story.route_leads_to(before)
    story.delete()
    story.is_bad("2.0.0")
    story.apply("2.0.0", strategy=canary(20, 100))
    story.is_taken_back("2.0.0", "SLOBreached")
    assert story.status()["stable"]["attempt"] == before["attempt"]
    story.route_leads_to(before)


def test_a_namespace_can_be_deleted_in_mid_stage(story: Story) -> None:
    story.begin(strategy=ENDLESS)
    story.apply("2.0.0")
    story.enters("canary-50")
    story.pods.delete_namespace(story.namespace)
    try:
        eventually(lambda: not _namespace(story), "the end of the namespace", seconds=END_OF_NAMESPACE)
    except NotReachedError as error:
        raise NotReachedError(f"{error}\n{_remains(story)}") from None


def _namespace(story: Story) -> list[V1Namespace]:
    """The namespace of the story, if there is one."""
    found: list[V1Namespace] = story.pods.list_namespace(field_selector=f"metadata.name={story.namespace}").items
    return found


def _remains(story: Story) -> str:
    """What the namespace controller says that it waits for, and what is there now."""
    found: list[Object] = story.client.sanitize_for_serialization(_namespace(story))
    said = [one["message"] for namespace in found for one in namespace["status"].get("conditions", [])]
    kinds = story.bed.kubectl("api-resources", "--namespaced", "--verbs=list", "--output=name").split()
    left = story.kubectl("get", ",".join(kinds), "--output=name").split()
    rollout = story.kubectl("get", "mr", "--output=yaml", "--show-managed-fields=false")
    return "\n".join([*said, f"there remain: {', '.join(left) or 'nothing'}", rollout])
