"""What the API server does with an object before its rules: unknown fields, defaults, and the schema. Pure.

A structural schema is small, and the API server has words of its own for each part of it. A general validator of JSON
schema has other words, and knows nothing of defaults, unknown fields and lists with keys.
"""

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Schema = dict[str, Any]

_RULES = "x-kubernetes-validations"
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


@dataclass(frozen=True)
class Complaint:
    """One thing that is wrong, in the words of the API server."""

    field: str
    message: str
    blocks: bool = False
    """Whether rules about what holds this field cannot be looked at."""

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


def unknown_fields(value: Any, schema: Schema, path: str = "") -> Iterator[Complaint]:
    """Fields that the schema does not have, where it does not leave room for any."""
    for at, below, inner in _below(value, schema, path):
        if inner is None:
            yield Complaint(at, f'unknown field "{at}"')
        else:
            yield from unknown_fields(below, inner, at)


def defaulted(value: Any, schema: Schema) -> Any:
    """The value as the API server stores it: nulls gone, defaults filled in."""
    if isinstance(value, list):
        return [defaulted(item, schema.get("items", {})) for item in value]
    if not isinstance(value, dict):
        return value
    known, others = schema.get("properties", {}), schema.get("additionalProperties") or {}
    there = {name: below for name, below in value.items() if below is not None or not (name in known or others)}
    missing = {name: copy.deepcopy(field["default"]) for name, field in known.items() if "default" in field}
    return {name: defaulted(below, known.get(name, others)) for name, below in (missing | there).items()}


def misfits(value: Any, schema: Schema, path: str = "") -> Iterator[Complaint]:
    """What does not fit the schema."""
    if wrong := _wrong_type(value, schema):
        yield Complaint(path, wrong, blocks=True)
        return
    yield from _about_the_value(value, schema, path)
    for name in schema.get("required", ()):
        if name not in value:
            yield Complaint(_joined(path, name), "Required value", blocks=True)
    yield from _repeated(value, schema, path)
    for at, below, inner in _below(value, schema, path):
        yield from misfits(below, inner or {}, at)


def below(value: Any, schema: Schema, path: str) -> Iterator[tuple[str, Any, Schema]]:
    """What an object or a list holds and the schema knows, with the path of each."""
    return ((at, held, inner) for at, held, inner in _below(value, schema, path) if inner is not None)


def _below(value: Any, schema: Schema, path: str) -> Iterator[tuple[str, Any, Schema | None]]:
    """What a value holds, with its path and schema; None for what the schema does not know and has no room for."""
    if isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            yield f"{path}[{index}]", item, schema["items"]
    if not isinstance(value, dict):
        return
    known, others = schema.get("properties", {}), schema.get("additionalProperties")
    for name, held in value.items():
        if name in known:
            yield _joined(path, name), held, known[name]
        elif others:
            yield f"{path}[{name}]", held, others
        elif not schema.get("x-kubernetes-preserve-unknown-fields"):
            yield _joined(path, name), held, None


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _wrong_type(value: Any, schema: Schema) -> str:
    if schema.get("x-kubernetes-int-or-string"):
        wanted, fits = "integer or string", isinstance(value, int | str) and not isinstance(value, bool)
    else:
        wanted = schema.get("type", "")
        fits = not wanted or _is_a(value, wanted)
    return "" if fits else f"Invalid value: {_type_of(value)}: must be of type {wanted}: {_type_of(value)}"


def _is_a(value: Any, wanted: str) -> bool:
    if wanted == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[wanted]) and (wanted == "boolean" or not isinstance(value, bool))


def _type_of(value: Any) -> str:
    if value is None:
        return '"null"'
    return f'"{next((name for name in ("boolean", *_TYPES) if _is_a(value, name)), "unknown")}"'


def _about_the_value(value: Any, schema: Schema, path: str) -> Iterator[Complaint]:
    shown = json.dumps(value, ensure_ascii=False, default=str)
    if "enum" in schema and value not in schema["enum"]:
        supported = ", ".join(json.dumps(one) for one in schema["enum"])
        yield Complaint(path, f"Unsupported value: {shown}: supported values: {supported}")
    if "minimum" in schema and value < schema["minimum"]:
        yield Complaint(path, f"Invalid value: {shown}: should be greater than or equal to {schema['minimum']}")
    if "maximum" in schema and value > schema["maximum"]:
        yield Complaint(path, f"Invalid value: {shown}: should be less than or equal to {schema['maximum']}")
    if "minLength" in schema and len(value) < schema["minLength"]:
        yield Complaint(path, f"Invalid value: {shown}: should be at least {schema['minLength']} chars long")
    if "maxLength" in schema and isinstance(value, str) and len(value) > schema["maxLength"]:
        yield Complaint(path, f"Too long: may not be more than {schema['maxLength']} bytes", blocks=True)
    if "minItems" in schema and len(value) < schema["minItems"]:
        yield Complaint(path, f"Invalid value: {len(value)}: should have at least {schema['minItems']} items")
    for most in ("maxItems", "maxProperties"):
        if most in schema and len(value) > schema[most]:
            yield Complaint(path, f"Too many: {len(value)}: must have at most {schema[most]} items", blocks=True)


def _repeated(value: Any, schema: Schema, path: str) -> Iterator[Complaint]:
    """Items that a list may hold once and holds again."""
    kind = schema.get("x-kubernetes-list-type")
    if kind not in ("map", "set"):
        return
    keys, seen = schema.get("x-kubernetes-list-map-keys", ()), []
    for index, item in enumerate(value):
        identity = {key: item.get(key) for key in keys} if kind == "map" and isinstance(item, dict) else item
        if identity in seen:
            yield Complaint(f"{path}[{index}]", f"Duplicate value: {json.dumps(identity, default=str)}")
        seen.append(identity)
