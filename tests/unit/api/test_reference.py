"""The API reference tells everything that the schema says."""

import re

import pytest

from generate import reference
from generate.crd import KINDS, schema_of


@pytest.fixture(scope="module")
def text() -> str:
    return reference.written()


def test_every_link_leads_to_a_heading(text: str) -> None:
    headings = {
        re.sub(r"[^\w-]", "", title.lower().replace(" ", "-")) for title in re.findall(r"^#+ (.*)$", text, re.M)
    }
    targets = set(re.findall(r"\]\(#([^)]*)\)", text))
    assert targets
    assert targets <= headings


@pytest.mark.parametrize(
    "section", ["spec", "status", "spec.slos[]", "spec.strategy.canary.steps[]", "spec.template.spec"]
)
def test_has_a_row_for_every_field_of_a_section(text: str, section: str) -> None:
    node = schema_of(KINDS[0])
    for part in section.replace("[]", ".[]").split("."):
        node = node["items"] if part == "[]" else node["properties"][part]
    body = text.split(f"\n### {section}\n")[1].split("\n### ", maxsplit=1)[0]
    assert re.findall(r"^\| `(\w+)` \|", body, re.M) == list(node["properties"])


def test_tells_types_defaults_and_rules(text: str) -> None:
    assert "| `weight` | integer, 1 to 100 | **required** |" in text
    assert '| `hold` | [duration](#durations-numbers-and-names) | `"5m"` |' in text
    assert '| `onDeadline` | `Hold` or `Revert` or `Advance` | `"Hold"` |' in text
    assert "- name one router: remove either gatewayAPI or replicas" in text


def test_tells_a_shape_once(text: str) -> None:
    assert text.count("\n### spec.strategy.canary.steps[]\n") == 1
    assert "### spec.strategy.blueGreen.steps[]" not in text
