"""From a pydantic model to the structural schema that a CustomResourceDefinition takes.

JSON schema says more than the API server allows: references, unions with null, constants, titles. What can be said in
its own words is rewritten here; anything else raises `UnsupportedSchemaError`, so that nothing is lost in silence.
"""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, NoDefault
from pydantic_core.core_schema import WithDefaultSchema

Schema = dict[str, Any]

_KEPT = (
    "description",
    "type",
    "format",
    "x-kubernetes-int-or-string",
    "default",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "required",
    "properties",
    "additionalProperties",
    "items",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-validations",
)
"""What a structural schema may say, in the order in which it is written."""

_NULL = {"type": "null"}
_RULES = "x-kubernetes-validations"
_PRESERVE = "x-kubernetes-preserve-unknown-fields"


class UnsupportedSchemaError(Exception):
    """A model says something that a structural schema cannot."""


def structural(model: type[BaseModel]) -> Schema:
    """The structural schema of a model: self-contained, with the defaults that the API server shall fill in."""
    document = model.model_json_schema(by_alias=True, schema_generator=_WithFactories)
    return _node(document, document.get("$defs", {}), model.__name__)


class _WithFactories(GenerateJsonSchema):
    """Counts what a default factory makes as a default, written as a user would write it.

    A part of a model that was left to its own defaults is left out, because the API server fills those in one by one:
    the default of `spec.service` is `{}`.
    """

    def get_default_value(self, schema: WithDefaultSchema) -> Any:
        if "default_factory" not in schema:
            return schema.get("default", NoDefault)
        made = schema["default_factory"]()  # type: ignore[call-arg]  # none of ours takes the validated data
        return _as_written(made)


def _as_written(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if isinstance(value, list):
        return [_as_written(item) for item in value]
    return value


def _node(schema: Schema, definitions: Schema, path: str) -> Schema:
    """One node with everything below it; `path` is for the error only."""
    flat = _without_union(_inlined(schema, definitions), definitions, path)
    flat = _without_constant(_without_title_and_idle_default(flat))
    if flat.get("additionalProperties") is True:
        del flat["additionalProperties"]
        flat[_PRESERVE] = True
    for key in ("items", "additionalProperties"):
        if key in flat:
            flat[key] = _node(flat[key], definitions, f"{path}.{key}")
    if "properties" in flat:
        flat["properties"] = {
            name: _node(below, definitions, f"{path}.{name}") for name, below in flat["properties"].items()
        }
    if unknown := flat.keys() - set(_KEPT):
        raise UnsupportedSchemaError(f"{path}: a structural schema has no {', '.join(sorted(unknown))}")
    return {key: flat[key] for key in _KEPT if key in flat}


def _inlined(schema: Schema, definitions: Schema) -> Schema:
    """The definition in place of a reference to it; what stands beside the reference overrides, rules add up."""
    schema = {key: value for key, value in schema.items() if key != "$defs"}
    if "$ref" not in schema:
        return schema
    name = schema.pop("$ref").removeprefix("#/$defs/")
    return _merged(_inlined(definitions[name], definitions), schema)


def _merged(below: Schema, above: Schema) -> Schema:
    merged = below | above
    if _RULES in below and _RULES in above:
        merged[_RULES] = below[_RULES] + above[_RULES]
    return merged


def _without_union(schema: Schema, definitions: Schema, path: str) -> Schema:
    """An optional field is one that may be left out, so null goes; a number or a string has a type of its own.

    Fields are not `nullable`: the API server takes a null for no value then, or refuses it.
    """
    if "anyOf" not in schema:
        return schema
    schema = dict(schema)
    members = [member for member in schema.pop("anyOf") if member != _NULL]
    if schema.get("x-kubernetes-int-or-string"):
        return schema
    if len(members) != 1:
        raise UnsupportedSchemaError(f"{path}: a structural schema gives a field one type, not {len(members)}")
    return _merged(_inlined(members[0], definitions), schema)


def _without_title_and_idle_default(schema: Schema) -> Schema:
    """Empty defaults would only clutter what `kubectl get -o yaml` shows and make `has()` true of nothing.

    An empty object is no idle default if that brings in the defaults of its fields.
    """
    default = schema.get("default")
    idle = default in (None, "", []) or (default == {} and not _fills_in(schema))
    return {key: value for key, value in schema.items() if key != "title" and not (key == "default" and idle)}


def _fills_in(schema: Schema) -> bool:
    return any(below.get("default") not in (None, "", []) for below in schema.get("properties", {}).values())


def _without_constant(schema: Schema) -> Schema:
    if "const" not in schema:
        return schema
    schema = dict(schema)
    return schema | {"enum": [schema.pop("const")]}
