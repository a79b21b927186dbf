"""The Deployment of a colour: what is rendered, and what is read back."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelrollout.api.manifests import covers
from modelrollout.api.owner import Rollout
from modelrollout.api.status import Colour
from modelrollout.engine.effects import ApplyWorkload, ScaleWorkload
from modelrollout.engine.snapshot import Workload
from modelrollout.workloads.deployment import observe, render, scale
from support.rendering import live, rollout, template

EFFECT = ApplyWorkload(colour=Colour.GREEN, attempt=3, revision="abc", replicas=4)
IDENTITY = {"modelrollout.io/name": "fraud", "modelrollout.io/colour": "green"}


def pod_template(subject: Rollout | None = None) -> dict[str, Any]:
    found: dict[str, Any] = render(subject or rollout(), EFFECT)["spec"]["template"]
    return found


def environment(container: dict[str, Any]) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in container["env"]}


def deployment(*, generation: int = 2, **status: Any) -> dict[str, Any]:
    return live(render(rollout(), EFFECT), generation=generation) | {"status": {"observedGeneration": 2, **status}}


def test_the_deployment_of_a_colour() -> None:
    rendered = render(rollout(), EFFECT)
    assert (rendered["apiVersion"], rendered["kind"]) == ("apps/v1", "Deployment")
    assert (rendered["metadata"]["namespace"], rendered["metadata"]["name"]) == ("ml", "fraud-green")
    assert rendered["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "modelrollout",
        **IDENTITY,
        "modelrollout.io/attempt": "3",
        "modelrollout.io/revision": "abc",
    }
    assert rendered["spec"]["replicas"] == 4
    assert rendered["spec"]["selector"] == {"matchLabels": IDENTITY}


def test_pods_carry_our_labels_beside_those_of_the_user() -> None:
    metadata = pod_template()["metadata"]
    assert metadata["labels"] == {
        "team": "risk",
        **IDENTITY,
        "modelrollout.io/attempt": "3",
        "modelrollout.io/revision": "abc",
        "modelrollout.io/version": "2.1.0",
    }
    assert metadata["annotations"] == {"note": "kept"}


def test_every_container_knows_the_model_before_its_own_variables() -> None:
    spec = pod_template()["spec"]
    (server,), (fetch,) = spec["containers"], spec["initContainers"]
    model = {"MODEL_NAME": "fraud", "MODEL_VERSION": "2.1.0", "MODEL_URI": "s3://models/fraud/2.1.0"}
    assert list(environment(server).items()) == [*model.items(), ("CACHE", "$(MODEL_NAME)")]
    assert environment(fetch) == model


def test_a_model_has_its_own_name_and_needs_no_uri() -> None:
    subject = rollout(model={"name": "scorer", "version": "1"})
    (server,) = pod_template(subject)["spec"]["containers"]
    assert environment(server) == {"MODEL_NAME": "scorer", "MODEL_VERSION": "1", "CACHE": "$(MODEL_NAME)"}


def test_a_template_of_one_container_is_enough() -> None:
    subject = rollout(template={"spec": {"containers": [{"name": "server", "image": "server:1"}]}})
    rendered = pod_template(subject)
    assert "initContainers" not in rendered["spec"]
    assert rendered["metadata"]["labels"].keys() >= IDENTITY.keys()


def test_the_rest_of_the_template_is_kept_and_the_spec_is_not_touched() -> None:
    written = template()
    written["spec"] |= {"nodeSelector": {"gpu": "yes"}, "terminationGracePeriodSeconds": 120}
    before = copy.deepcopy(written)
    spec = pod_template(rollout(template=written))["spec"]
    assert spec["nodeSelector"] == {"gpu": "yes"}
    assert spec["terminationGracePeriodSeconds"] == 120
    assert written == before


def grace(given: int | None = None, *, longest: str | None = "90s", live: dict[str, Any] | None = None) -> int | None:
    """Seconds that pods get to end, where the template and the spec say these."""
    written = template()
    if given is not None:
        written["spec"]["terminationGracePeriodSeconds"] = given
    subject = rollout(template=written, service={"longestAnswer": longest} if longest else {})
    found: int | None = render(subject, EFFECT, live=live)["spec"]["template"]["spec"].get(
        "terminationGracePeriodSeconds"
    )
    return found


@pytest.mark.parametrize(
    ("longest", "given", "wanted"),
    [
        (None, None, None),
        (None, 5, 5),
        ("90s", None, 120),
        ("1500ms", None, 32),
        ("90s", 5, 120),
        ("90s", 120, 120),
        ("90s", 600, 600),
    ],
)
def test_pods_may_finish_the_longest_answer_and_keep_what_the_template_gives_them(
    longest: str | None, given: int | None, wanted: int | None
) -> None:
    assert grace(given, longest=longest) == wanted


def test_a_change_of_the_longest_answer_leaves_pods_that_are_there_as_they_are() -> None:
    made = live(render(rollout(service={"longestAnswer": "90s"}), EFFECT))
    assert grace(longest="10m", live=made) == grace(longest=None, live=made) == 120
    made_without = live(render(rollout(), EFFECT))
    assert grace(longest="10m", live=made_without) is None
    assert covers(render(rollout(service={"longestAnswer": "10m"}), EFFECT, live=made_without), made_without)


@pytest.mark.parametrize("label", ["attempt", "revision"])
def test_the_next_attempt_in_its_place_has_the_longest_answer_of_its_own_time(label: str) -> None:
    made = render(rollout(service={"longestAnswer": "90s"}), EFFECT)
    made["metadata"]["labels"][f"modelrollout.io/{label}"] = "2"
    assert grace(longest="10m", live=live(made)) == 630


def test_no_serving_pod_goes_before_its_successor_is_ready() -> None:
    assert render(rollout(), EFFECT)["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_nothing_but_what_the_revision_stands_for_changes_the_pods() -> None:
    """Else a change that starts no attempt, such as of spec.replicas, would restart the pods that serve."""
    changes: dict[str, Any] = {
        "replicas": 9,
        "service": {"port": 81, "targetPort": 9000},
        "server": "mlserver",
        "traffic": {"gatewayAPI": {"parentRefs": [{"name": "public"}]}},
        "strategy": {"blueGreen": {}},
        "slos": [{"name": "drift", "query": {"value": "drift"}, "limit": "0.3"}],
        "warmUp": {"path": "/warm"},
        "rollback": {"keepWarm": "2h"},
        "progressDeadline": "30m",
        "paused": True,
        "deletionPolicy": "Delete",
    }
    serving = {"version": "2.1.0", "uri": "s3://models/fraud/2.1.0"}
    assert pod_template(rollout(**changes, model=serving | {"metadata": {"commit": "abc"}})) == pod_template()


def test_the_rollout_owns_it_only_where_its_deletion_shall_take_it_along() -> None:
    assert render(rollout(), EFFECT)["metadata"]["ownerReferences"] == []
    (owner,) = render(rollout(deletionPolicy="Delete"), EFFECT)["metadata"]["ownerReferences"]
    assert owner == {
        "apiVersion": "modelrollout.io/v1alpha1",
        "kind": "ModelRollout",
        "name": "fraud",
        "uid": "uid-1",
        "controller": True,
        "blockOwnerDeletion": True,
    }


def test_scaling_says_nothing_of_the_template() -> None:
    assert scale(ScaleWorkload(colour=Colour.BLUE, replicas=0)) == {"spec": {"replicas": 0}}


def test_a_settled_deployment_reads_back() -> None:
    seen = observe(deployment(replicas=4, updatedReplicas=4, readyReplicas=3))
    assert seen == Workload(
        revision="abc", attempt=3, version="2.1.0", desired=4, ready=3, answering=3, settled=True, total=4
    )


def test_a_new_deployment_has_no_ready_pods_and_is_not_settled() -> None:
    new = deployment(generation=1)
    del new["status"]
    seen = observe(new)
    assert (seen.ready, seen.total, seen.settled) == (0, 0, False)


@pytest.mark.parametrize(("generation", "settled"), [(1, True), (2, True), (3, False)])
def test_it_is_settled_once_the_newest_spec_was_seen(generation: int, settled: bool) -> None:
    assert observe(deployment(generation=generation)).settled is settled


@given(old=st.integers(0, 9), new=st.integers(0, 9), old_ready=st.integers(0, 9), new_ready=st.integers(0, 9))
def test_pods_of_an_older_template_are_never_counted_as_ready(
    old: int, new: int, old_ready: int, new_ready: int
) -> None:
    old_ready, new_ready = min(old, old_ready), min(new, new_ready)
    seen = observe(deployment(replicas=old + new, updatedReplicas=new, readyReplicas=old_ready + new_ready))
    assert 0 <= seen.ready <= new_ready
    assert seen.total == old + new
    if old == old_ready:
        assert seen.ready == new_ready


def test_why_pods_cannot_be_made_is_passed_on() -> None:
    conditions = [
        {"type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable", "message": "not yet"},
        {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "violates PodSecurity"},
    ]
    seen = observe(deployment(conditions=conditions))
    assert (seen.message, seen.shortage) == ("violates PodSecurity", None)


def test_a_failure_that_is_over_is_not_passed_on() -> None:
    over = [{"type": "ReplicaFailure", "status": "False", "reason": "FailedCreate", "message": "exceeded quota: gpu"}]
    assert observe(deployment(conditions=over)).message == ""


@pytest.mark.parametrize("labels", [{}, {"modelrollout.io/attempt": "first"}])
def test_a_deployment_without_our_labels_is_of_no_revision_and_no_attempt(labels: dict[str, str]) -> None:
    meddled = deployment()
    meddled["metadata"] = {"name": "fraud-green", "generation": 1, "labels": labels}
    seen = observe(meddled)
    assert (seen.revision, seen.attempt) == ("", 0)
