"""The CEL rules of the schema, evaluated here as the API server evaluates them when an object is applied."""

import re
from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import cel

from modelrollout.cli.structure import Complaint, Schema, below


def _hours(moment: datetime, zone: str) -> int:
    try:
        return moment.astimezone(ZoneInfo(zone)).hour
    except OSError as error:
        raise ValueError(f"unknown time zone {zone}") from error


EXTENSIONS: dict[str, Callable[..., Any]] = {
    "isSorted": lambda items: list(items) == sorted(items),
    "sum": sum,
    "lowerAscii": lambda text: text.translate({upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}),
    "findAll": lambda text, pattern: [found.group() for found in re.finditer(pattern, text)],
    "replace": lambda text, old, new: text.replace(old, new),
    "getHours": _hours,
}
"""What Kubernetes adds to CEL, or has of it and the library lacks, as far as our rules use it."""


def broken_rules(value: Any, schema: Schema, found: Collection[Complaint], path: str = "") -> Iterator[Complaint]:
    """Rules that a value breaks, from the inside out.

    What holds a field of the wrong type, or lacks one, is not looked at: `found` are the complaints of before.
    """
    for at, held, inner in below(value, schema, path):
        yield from broken_rules(held, inner, found, at)
    if any(one.blocks and _is_in(one.field, path) for one in found):
        return
    for rule in schema.get("x-kubernetes-validations", ()):
        if not _holds(rule["rule"], value):
            yield Complaint(f"{path}{rule.get('fieldPath', '')}".removeprefix("."), rule["message"])


def _is_in(field: str, path: str) -> bool:
    return not path or field == path or field.startswith((f"{path}.", f"{path}["))


def _holds(rule: str, value: Any) -> bool:
    """Whether a rule is true; one that cannot be evaluated is not, as for the API server."""
    context = cel.Context({"self": value})
    for name, function in EXTENSIONS.items():
        context.add_function(name, function)
    try:
        return bool(_compiled(rule).execute(context))
    except (ValueError, TypeError, RuntimeError):
        return False


@cache
def _compiled(rule: str) -> cel.Program:
    return cel.compile(rule)
