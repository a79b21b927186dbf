"""From pydantic models to structural schemas."""

from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from pydantic import ConfigDict, Field

from generate.structural import UnsupportedSchemaError, structural
from modelrollout.api.base import ApiModel, rule, rules


class Tone(StrEnum):
    """Of a colour."""

    LIGHT = "light"
    DARK = "dark"


class Part(ApiModel):
    """A part."""

    model_config = ConfigDict(json_schema_extra=rules(rule("true", "of the part")))

    size: int = Field(default=1, ge=1, le=9)
    tone: Tone = Tone.DARK


def schema_of_field(annotation: Any, field: Any = ...) -> dict[str, Any]:
    """The structural schema of one field of a model."""
    model = type("Whole", (ApiModel,), {"__annotations__": {"it": annotation}, "it": field})
    schema: dict[str, Any] = structural(model)["properties"]["it"]
    return schema


def test_puts_definitions_in_place_of_references() -> None:
    schema = schema_of_field(Part, Field(description="The one."))
    assert schema == {
        "description": "The one.",
        "type": "object",
        "properties": {
            "size": {"type": "integer", "default": 1, "minimum": 1, "maximum": 9},
            "tone": {"description": "Of a colour.", "type": "string", "default": "dark", "enum": ["light", "dark"]},
        },
        "x-kubernetes-validations": [{"rule": "true", "message": "of the part"}],
    }


def test_keeps_the_rules_of_a_definition_and_of_its_field() -> None:
    field = Field(json_schema_extra=rules(rule("false", "of the field")))
    messages = [told["message"] for told in schema_of_field(Part, field)["x-kubernetes-validations"]]
    assert messages == ["of the part", "of the field"]


@pytest.mark.parametrize("annotation", [Part | None, Annotated[str, Field(max_length=5)] | None, list[Part] | None])
def test_an_optional_field_may_be_left_out_and_is_not_nullable(annotation: Any) -> None:
    schema = schema_of_field(annotation, None)
    assert not schema.keys() & {"nullable", "anyOf", "default"}
    assert schema["type"] in {"object", "string", "array"}


def test_leaves_out_defaults_that_say_nothing() -> None:
    for annotation, empty in [(str, ""), (list[str], []), (dict[str, str], {})]:
        assert "default" not in schema_of_field(annotation, empty)
    assert schema_of_field(bool, False)["default"] is False
    assert schema_of_field(int, 0)["default"] == 0


class Bare(ApiModel):
    """A part without defaults."""

    size: int | None = None


def test_an_empty_object_is_a_default_only_if_it_brings_in_others() -> None:
    assert "default" not in schema_of_field(Bare, Field(default_factory=Bare))
    assert schema_of_field(Part, Field(default_factory=Part))["default"] == {}


def test_writes_the_defaults_of_factories_as_a_user_would() -> None:
    parts = Field(default_factory=lambda: [Part(size=2), Part()])
    assert schema_of_field(list[Part], parts)["default"] == [{"size": 2}, {}]


def test_a_constant_is_an_enumeration_of_one() -> None:
    assert schema_of_field(Literal["x"])["enum"] == ["x"]


def test_unknown_fields_of_an_open_object_are_preserved() -> None:
    schema = schema_of_field(dict[str, Any])
    assert schema == {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    assert schema_of_field(dict[str, int])["additionalProperties"] == {"type": "integer"}


def test_a_number_or_a_string_has_its_own_type() -> None:
    field = Field(json_schema_extra={"x-kubernetes-int-or-string": True})
    assert schema_of_field(int | str, field) == {"x-kubernetes-int-or-string": True}


@pytest.mark.parametrize(
    ("annotation", "field", "missing"),
    [
        (int | str, ..., "one type, not 2"),
        (tuple[int, str], ..., "prefixItems"),
        (int, Field(gt=1), "exclusiveMinimum"),
        (int, Field(multiple_of=2), "multipleOf"),
    ],
)
def test_refuses_what_a_structural_schema_cannot_say(annotation: Any, field: Any, missing: str) -> None:
    with pytest.raises(UnsupportedSchemaError, match=rf"Whole\.it: .*{missing}"):
        schema_of_field(annotation, field)
