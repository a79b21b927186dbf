"""Properties that every field of the CRD must have, whatever it is about."""

from collections.abc import Iterator
from typing import Any

import pytest

from generate.crd import KINDS, definition
from modelrollout.api.base import matches

Schema = dict[str, Any]


ROLLOUT = KINDS[0]
VERSION = definition(ROLLOUT)["spec"]["versions"][0]
ROOT: Schema = VERSION["schema"]["openAPIV3Schema"]


def nodes(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    """Every node of a schema with its path, in which `[]` stands for the items of a list or map."""
    yield path, schema
    for name, below in schema.get("properties", {}).items():
        yield from nodes(below, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from nodes(schema[key], f"{path}[]")


OURS = {path: node for part in ("spec", "status") for path, node in nodes(ROOT["properties"][part], part)}
"""All nodes but those of the root, which the API server describes and bounds itself."""


def test_is_structural() -> None:
    foreign = {"$ref", "$defs", "title", "anyOf", "oneOf", "allOf", "const", "nullable"}
    assert [path for path, node in OURS.items() if node.keys() & foreign] == []
    assert [path for path, node in OURS.items() if ("type" in node) == ("x-kubernetes-int-or-string" in node)] == []
    assert [path for path, node in OURS.items() if {"properties", "additionalProperties"} <= node.keys()] == []


def is_bounded(node: Schema) -> bool:
    match node.get("type"):
        case "array":
            return "maxItems" in node
        case "object" if "additionalProperties" in node:
            return "maxProperties" in node
        case "string" if "enum" not in node and node.get("format") != "date-time":
            return "maxLength" in node
    return True


def test_everything_is_bounded_so_that_rules_have_a_bounded_cost() -> None:
    assert [path for path, node in OURS.items() if not is_bounded(node)] == []


def test_every_field_describes_itself() -> None:
    fields = {path: node for path, node in OURS.items() if not path.endswith("[]")}
    assert [path for path, node in fields.items() if not node.get("description", "").endswith((".", "…"))] == []


def test_every_pattern_is_worded() -> None:
    def worded(node: Schema) -> bool:
        return matches("self", node["pattern"]) in [rule["rule"] for rule in node["x-kubernetes-validations"]]

    patterned = {path: node for path, node in OURS.items() if "pattern" in node}
    assert patterned
    assert [path for path, node in patterned.items() if not worded(node)] == []


def test_rules_point_at_fields_that_exist() -> None:
    for node in (ROOT, *OURS.values()):
        for rule in node.get("x-kubernetes-validations", ()):
            place = node
            for name in rule.get("fieldPath", "").split(".")[1:]:
                place = place["properties"][name]


def test_items_of_keyed_lists_have_their_keys() -> None:
    keyed = {path: node for path, node in OURS.items() if "x-kubernetes-list-map-keys" in node}
    assert {"spec.slos", "status.conditions"} <= keyed.keys()
    for node in keyed.values():
        assert set(node["x-kubernetes-list-map-keys"]) <= set(node["items"]["required"])


@pytest.mark.parametrize(
    ("path", "default"),
    [
        ("spec.replicas", 1),
        ("spec.service", {}),
        ("spec.service.port", 80),
        ("spec.service.targetPort", "http"),
        ("spec.strategy.canary.steps", [{"weight": weight} for weight in (1, 5, 10, 25, 50, 100)]),
        ("spec.strategy.canary.steps[].hold", "5m"),
        ("spec.strategy.blueGreen.steps", [{"weight": weight} for weight in (10, 50, 100)]),
        ("spec.traffic.gatewayAPI.parentRefs[].kind", "Gateway"),
        ("spec.slos[].window", "2m"),
        ("spec.rollback.keepWarm", "1h"),
        ("spec.deletionPolicy", "Retain"),
        ("spec.paused", False),
        ("status", {"observedGeneration": -1}),
    ],
)
def test_shows_its_defaults(path: str, default: Any) -> None:
    assert OURS[path]["default"] == default


@pytest.mark.parametrize(
    "path",
    [
        "spec.traffic",
        "spec.strategy",
        "spec.traffic.gatewayAPI",
        "spec.traffic.replicas",
        "spec.strategy.canary",
        "spec.strategy.blueGreen",
        "spec.slos[].metric",
        "spec.slos[].query",
        "spec.slos[].source",
        "spec.slos[].slowerThan",
        "spec.slos[].minSamples",
        "spec.strategy.canary.steps[].deadline",
        "spec.server",
    ],
)
def test_what_rules_ask_for_with_has_is_never_filled_in(path: str) -> None:
    assert "default" not in OURS[path]


def test_nothing_is_filled_into_the_template() -> None:
    """The revision is a hash of it: with a default that a later release fills in, all rollouts would start anew."""
    assert [path for path, node in OURS.items() if path.startswith("spec.template") and "default" in node] == []


def test_status_says_nothing_before_the_operator_does() -> None:
    assert [path for path, node in OURS.items() if path.startswith("status") and "default" in node] == ["status"]


def test_explains_plain_defaults_in_words() -> None:
    assert OURS["spec.slos[].window"]["description"].endswith(" Default: 2m.")
    assert OURS["spec.replicas"]["description"].endswith(" Default: 1.")
    assert OURS["spec.paused"]["description"].endswith(" Default: false.")
    assert "Default:" not in OURS["spec.service"]["description"]


def test_scales_and_prints_fields_that_exist() -> None:
    assert VERSION["subresources"]["status"] == {}
    assert all(path.removeprefix(".") in OURS for path in VERSION["subresources"]["scale"].values())
    printed = [column["jsonPath"].removeprefix(".").split("[?")[0] for column in VERSION["additionalPrinterColumns"]]
    assert [path for path in printed if path not in OURS] == ["metadata.creationTimestamp"]
