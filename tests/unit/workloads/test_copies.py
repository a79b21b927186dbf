"""Which objects a template names, and the template with copies in their place."""

import copy
from typing import Any

import pytest

from modelrollout.workloads.copies import Reference, digest_of, name_of, named, render, with_copies
from support.rendering import rollout, template

SETTINGS = Reference("ConfigMap", "settings")
PASSWORD = Reference("Secret", "password")
BOTH = ("ConfigMap", "Secret")


def pod(**spec: Any) -> dict[str, Any]:
    changed = template()
    changed["spec"] |= spec
    return changed


def container(**fields: Any) -> dict[str, Any]:
    return pod(containers=[{"name": "server", "image": "server:1", **fields}])


def places(name: str, **more: Any) -> dict[str, dict[str, Any]]:
    """Every place where a template can name a ConfigMap, and with the same name a Secret."""
    ref = {"name": name, **more}
    keyed = {**ref, "key": "level"}
    return {
        "volume": pod(volumes=[{"name": "v", "configMap": ref}, {"name": "w", "secret": {"secretName": name, **more}}]),
        "projected": pod(volumes=[{"name": "v", "projected": {"sources": [{"configMap": ref}, {"secret": ref}]}}]),
        "envFrom": container(envFrom=[{"prefix": "A_", "configMapRef": ref}, {"secretRef": ref}]),
        "env": container(
            env=[
                {"name": "A", "value": "plain"},
                {"name": "B", "valueFrom": {"configMapKeyRef": keyed}},
                {"name": "C", "valueFrom": {"secretKeyRef": keyed}},
                {"name": "D", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            ]
        ),
        "init": pod(
            initContainers=[{"name": "i", "image": "i", "envFrom": [{"configMapRef": ref}, {"secretRef": ref}]}]
        ),
    }


@pytest.mark.parametrize("place", places(""))
def test_every_place_that_names_an_object_is_found_and_gets_the_copy(place: str) -> None:
    written, expected = places("settings")[place], places("copy")[place]
    before = copy.deepcopy(written)
    assert named(written, BOTH) == {SETTINGS: True, Reference("Secret", "settings"): True}
    assert named(written, ["ConfigMap"]) == {SETTINGS: True}
    both = {SETTINGS: "copy", Reference("Secret", "settings"): "copy"}
    assert with_copies(written, both) == expected
    assert with_copies(written, {}) == written == before


@pytest.mark.parametrize("place", places(""))
def test_what_is_optional_everywhere_is_not_required(place: str) -> None:
    assert named(places("settings", optional=True)[place], ["ConfigMap"]) == {SETTINGS: False}


def test_what_is_optional_in_one_place_only_is_required() -> None:
    sources = [{"configMapRef": {"name": "settings", "optional": optional}} for optional in (True, False, True)]
    assert named(container(envFrom=sources), ["ConfigMap"]) == {SETTINGS: True}


@pytest.mark.parametrize(
    "odd",
    [
        pod(volumes=None),
        pod(volumes="settings"),
        pod(volumes=["settings", {"name": "v", "configMap": None}, {"name": "w", "configMap": {"name": 7}}]),
        pod(volumes=[{"name": "v", "projected": {"sources": None}}, {"name": "w", "projected": "x"}]),
        container(envFrom=[{"configMapRef": "settings"}], env=[{"name": "A", "valueFrom": "settings"}]),
        pod(initContainers=None),
    ],
)
def test_what_only_the_api_server_can_refuse_is_passed_on_as_it_is(odd: dict[str, Any]) -> None:
    assert named(odd, BOTH) == {}
    assert with_copies(odd, {SETTINGS: "copy"}) == odd


def test_only_what_is_in_an_object_counts() -> None:
    kind, data = {"kind": "ConfigMap"}, {"data": {"LEVEL": "info"}}
    source = kind | data | {"metadata": {"name": "settings", "uid": "1", "labels": {"a": "b"}}}
    same = kind | data | {"metadata": {"name": "other", "uid": "2", "resourceVersion": "7"}, "immutable": True}
    assert digest_of(source) == digest_of(same) == digest_of(source | {"binaryData": None})
    assert digest_of(source) != digest_of(source | {"binaryData": {"blob": "AA=="}})
    assert digest_of(source) != digest_of(source | {"data": {"LEVEL": "debug"}})


def test_what_is_in_a_secret_cannot_be_guessed_from_the_name_of_its_copy() -> None:
    source = {"kind": "Secret", "metadata": {"name": "password", "uid": "1"}, "data": {"PASSWORD": "MTIzNA=="}}
    assert digest_of(source) != digest_of(source | {"metadata": {"name": "password", "uid": "2"}})
    assert digest_of(source) == digest_of(source | {"metadata": {"name": "password", "uid": "1", "labels": {}}})


def test_a_copy_can_never_be_changed_and_belongs_to_nobody() -> None:
    source = {"metadata": {"name": "settings"}, "data": {"LEVEL": "info"}}
    rendered = render(rollout(deletionPolicy="Delete"), SETTINGS, source, "fraud-settings-1")
    assert (rendered["kind"], rendered["immutable"], rendered["data"]) == ("ConfigMap", True, {"LEVEL": "info"})
    assert rendered["metadata"]["ownerReferences"] == []
    assert rendered["metadata"]["labels"]["modelrollout.io/name"] == "fraud"


def test_names_of_copies_are_names_whatever_they_are_copies_of() -> None:
    assert name_of("fraud", PASSWORD, "0123456789") == "fraud-password-0123456789"
    long = name_of("s" * 57, Reference("ConfigMap", "a." * 126 + "a"), "0123456789")
    assert len(long) <= 253
    assert ".-" not in long
    assert long.endswith("-0123456789")
