"""`covers`: whether the cluster already has what was rendered."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from modelrollout.api.manifests import RENDERED, covers, fence_of, fenced, is_fenced, stamped, unless_there
from modelrollout.api.status import Colour
from modelrollout.engine.effects import ApplyWorkload
from modelrollout.workloads.deployment import render
from support.rendering import live, rollout

scalars = st.one_of(st.booleans(), st.integers(), st.text(min_size=1))
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3) | st.dictionaries(st.sampled_from("abcde"), inner, min_size=1)
    ),
    max_leaves=12,
)
manifests = st.dictionaries(st.sampled_from("abcde"), values, min_size=1).map(
    lambda spec: stamped({"kind": "Thing", "metadata": {"name": "thing"}, "spec": spec})
)

Path = tuple[str | int, ...]


def leaves(value: Any, path: Path = ()) -> Iterator[Path]:
    """Paths of all scalars in an object."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from leaves(item, (*path, key))
    else:
        yield path


def replaced(value: Any, path: Path, by: Any) -> Any:
    changed = copy.deepcopy(value)
    part = changed
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = by
    return changed


def grown(value: Any) -> Any:
    """The same object after the API server filled in defaults everywhere."""
    if isinstance(value, dict):
        return {key: grown(item) for key, item in value.items()} | {"defaulted": "yes"}
    return [grown(item) for item in value] if isinstance(value, list) else value


def pod(**container: Any) -> dict[str, Any]:
    spec = {"containers": [{"name": "server", "image": "server:1", **container}]}
    return {"kind": "Deployment", "metadata": {"name": "d"}, "spec": {"template": {"spec": spec}}}


@given(manifests)
def test_what_was_just_written_is_covered_with_all_that_the_server_adds(manifest: dict[str, Any]) -> None:
    assert covers(manifest, live(manifest))
    assert covers(manifest, grown(live(manifest)))


@given(manifests, st.data())
def test_any_change_by_somebody_else_is_found(manifest: dict[str, Any], data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(list(leaves(manifest))))
    changed_to = data.draw(scalars)
    before: Any = manifest
    for key in path:
        before = before[key]
    assume((type(before), before) != (type(changed_to), changed_to))
    assert not covers(manifest, replaced(live(manifest), path, changed_to))


@given(manifests, manifests)
def test_any_change_of_our_own_mind_is_found(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Also one that only leaves something out, of which the object itself has no trace."""
    assume(old != new)
    assert not covers(new, live(old))


@given(manifests)
def test_a_fence_is_a_condition_and_not_content(manifest: dict[str, Any]) -> None:
    seen = live(manifest)
    only_for_it = fenced(manifest, fence_of(seen))
    assert {name: only_for_it["metadata"][name] for name in ("uid", "resourceVersion")} == {
        "uid": "uid-9",
        "resourceVersion": "41",
    }
    assert fenced(manifest, None) == manifest
    assert [is_fenced(one) for one in (only_for_it, manifest)] == [True, False]
    assert covers(only_for_it, live(manifest, uid="uid-10", resourceVersion="42"))
    assert covers(unless_there(manifest), seen)
    assert not is_fenced(unless_there(manifest)), "it is for no object that was seen"


def test_the_digest_stands_beside_other_annotations() -> None:
    manifest = stamped({"metadata": {"name": "x", "annotations": {"note": "kept"}}})
    assert manifest["metadata"]["annotations"].keys() == {"note", RENDERED}


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("1000m", "1"),
        ("0.5", "500m"),
        (0.1, "100m"),
        (2, "2"),
        ("1024Mi", "1Gi"),
        ("1e3", "1e3"),
        ("1.5Gi", "1536Mi"),
    ],
)
def test_amounts_are_compared_and_not_spellings(written: Any, stored: str) -> None:
    limits = {"resources": {"limits": {"memory": written}}}
    assert covers(pod(**limits), pod(resources={"limits": {"memory": stored}}))


@pytest.mark.parametrize(("written", "stored"), [("1", "1001m"), ("1Gi", "1G"), ("much", "1")])
def test_other_amounts_are_found(written: str, stored: str) -> None:
    limits = {"resources": {"limits": {"memory": written}}}
    assert not covers(pod(**limits), pod(resources={"limits": {"memory": stored}}))


def test_an_amount_that_was_taken_away_is_found() -> None:
    written = pod(resources={"limits": {"cpu": "1", "memory": "1Gi"}})
    assert not covers(written, pod(resources={"limits": {"cpu": "1"}}))


@pytest.mark.parametrize(
    "container",
    [
        {"command": []},
        {"workingDir": ""},
        {"env": [{"name": "EMPTY", "value": ""}]},
        {"volumeMounts": [{"mountPath": "/x", "name": "x", "readOnly": False}]},
        {"stdin": False},
        {"resources": {"limits": {}}},
        {"lifecycle": None},
    ],
)
def test_values_that_the_server_leaves_out_are_not_missed(container: dict[str, Any]) -> None:
    def without_zeros(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: without_zeros(item) for key, item in value.items() if item or isinstance(item, dict)}
        return [without_zeros(item) for item in value] if isinstance(value, list) else value

    stored = without_zeros(pod(**container))
    if "resources" in container:
        stored["spec"]["template"]["spec"]["containers"][0]["resources"] = {}
    assert covers(pod(**container), stored)


@pytest.mark.parametrize(
    "container",
    [
        {"securityContext": {"allowPrivilegeEscalation": False}},
        {"securityContext": {"runAsUser": 0}},
        {"lifecycle": {"preStop": {"sleep": {}}}},
    ],
)
def test_zeros_that_mean_something_are_missed(container: dict[str, Any]) -> None:
    emptied: dict[str, Any] = {field: {} for field in container}
    assert not covers(pod(**container), pod(**emptied))


def test_what_others_added_to_a_list_that_is_merged_by_key_is_theirs() -> None:
    ours = pod(env=[{"name": "A", "value": "1"}], ports=[{"containerPort": 8080}])
    theirs = pod(
        env=[{"name": "INJECTED", "value": "x"}, {"name": "A", "value": "1"}],
        ports=[{"containerPort": 8080, "protocol": "UDP"}, {"containerPort": 8080, "protocol": "TCP"}],
    )
    assert covers(ours, theirs)


def test_a_changed_item_of_such_a_list_is_found() -> None:
    assert not covers(pod(env=[{"name": "A", "value": "1"}]), pod(env=[{"name": "A", "value": "2"}]))
    assert not covers(pod(ports=[{"containerPort": 8080}]), pod(ports=[{"containerPort": 8080, "protocol": "UDP"}]))


def test_what_others_added_to_any_other_list_is_not_accepted() -> None:
    assert not covers(pod(args=["--fast"]), pod(args=["--fast", "--loose"]))


def test_a_list_whose_items_are_of_the_wrong_type_is_left_to_the_api_server_to_refuse() -> None:
    assert not covers(pod(env=["A=1"]), pod(env=[{"name": "A"}]))


def test_a_number_is_not_its_text_and_true_is_not_one() -> None:
    assert not covers(pod(x=8080), pod(x="8080"))
    assert not covers(pod(x=True), pod(x=1))


def test_a_rendered_deployment_is_covered_after_it_was_scaled_by_nobody_else() -> None:
    effect = ApplyWorkload(colour=Colour.BLUE, attempt=1, revision="r", replicas=3)
    rendered = render(rollout(), effect)
    assert covers(rendered, live(rendered))
    scaled = live(rendered)
    scaled["spec"] = {**scaled["spec"], "replicas": 2}
    assert not covers(rendered, scaled)
