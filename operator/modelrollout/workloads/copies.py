"""Copies of the ConfigMaps that a pod template names: immutable, and named after what is in them.

A pod that starts after a person has edited a ConfigMap then still runs what its attempt ran from the beginning on; and
an edit is a change like any other, that goes through the stages.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from modelrollout.api.objects import Live, Manifest
from modelrollout.api.owner import Rollout

LONGEST_NAME = 253
_DIGITS = 10

_Sites = Mapping[str, tuple[str, str]]
"""By field of a template that refers to an object: the kind of that object, and the field with its name."""

_VOLUME: _Sites = {"configMap": ("ConfigMap", "name"), "secret": ("Secret", "secretName")}
_PROJECTED: _Sites = {"configMap": ("ConfigMap", "name"), "secret": ("Secret", "name")}
_ENV_FROM: _Sites = {"configMapRef": ("ConfigMap", "name"), "secretRef": ("Secret", "name")}
_VALUE_FROM: _Sites = {"configMapKeyRef": ("ConfigMap", "name"), "secretKeyRef": ("Secret", "name")}


class Reference(NamedTuple):
    """An object that a template names, in the namespace of its rollout."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def named(template: Mapping[str, Any], kinds: Iterable[str]) -> dict[Reference, bool]:
    """The objects of these kinds that a template names, and whether pods cannot start without them."""
    wanted, found = set(kinds), dict[Reference, bool]()

    def note(reference: Reference, *, optional: bool) -> str:
        if reference.kind in wanted:
            found[reference] = found.get(reference, False) or not optional
        return reference.name

    _renamed(template, note)
    return found


def with_copies(template: Mapping[str, Any], copies: Mapping[Reference, str]) -> dict[str, Any]:
    """The template with copies in place of the objects that they are copies of."""
    return _renamed(template, lambda reference, **_: copies.get(reference, reference.name))


def digest_of(source: Live) -> str:
    """Hash of what is in an object.

    It shows in names that many may read. That of a Secret is mixed with its uid, which takes the right to read it: else
    anybody could try out guesses of a weak password against it.
    """
    salt = {"uid": source["metadata"]["uid"]} if source["kind"] == "Secret" else {}
    canonical = json.dumps(_data(source) | salt, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:_DIGITS]


def name_of(rollout: str, reference: Reference, digest: str) -> str:
    """Name of the copy of an object whose content has this hash."""
    return f"{rollout}-{reference.name}"[: LONGEST_NAME - _DIGITS - 1].rstrip("-.") + f"-{digest}"


def render(rollout: Rollout, reference: Reference, source: Live, name: str) -> Manifest:
    """A copy. Like the records of attempts it belongs to nobody: pods that stay need it."""
    return rollout.manifest("v1", reference.kind, name, owned=False, immutable=True, **_data(source))


def _data(source: Live) -> dict[str, Any]:
    return {field: source[field] for field in ("type", "data", "binaryData") if source.get(field)}


class _NameFor(Protocol):
    """Which object is to stand in a place where the template names one."""

    def __call__(self, reference: Reference, *, optional: bool) -> str: ...


def _renamed(template: Mapping[str, Any], name_for: _NameFor) -> dict[str, Any]:
    """The template with the names that are asked for at every place where Kubernetes looks an object up by its name."""
    pod = dict(template["spec"])
    if "volumes" in pod:
        pod["volumes"] = _each(pod["volumes"], lambda volume: _volume(volume, name_for))
    for field in ("containers", "initContainers"):
        if field in pod:
            pod[field] = _each(pod[field], lambda container: _container(container, name_for))
    return {**template, "spec": pod}


def _volume(volume: dict[str, Any], name_for: _NameFor) -> dict[str, Any]:
    volume = _at(volume, _VOLUME, name_for)
    projected = volume.get("projected")
    if isinstance(projected, dict):
        sources = _each(projected.get("sources"), lambda source: _at(source, _PROJECTED, name_for))
        volume["projected"] = {**projected, "sources": sources}
    return volume


def _container(container: dict[str, Any], name_for: _NameFor) -> dict[str, Any]:
    container = dict(container)
    if "envFrom" in container:
        container["envFrom"] = _each(container["envFrom"], lambda source: _at(source, _ENV_FROM, name_for))
    if "env" in container:
        container["env"] = _each(container["env"], lambda variable: _variable(variable, name_for))
    return container


def _variable(variable: dict[str, Any], name_for: _NameFor) -> dict[str, Any]:
    value_from = variable.get("valueFrom")
    return {**variable, "valueFrom": _at(value_from, _VALUE_FROM, name_for)} if value_from else variable


def _at(holder: Any, sites: _Sites, name_for: _NameFor) -> Any:
    """The holder with other names at these sites. Nobody has checked the shape of all that is in a template."""
    if not isinstance(holder, dict):
        return holder
    changed = dict(holder)
    for field, (kind, name_field) in sites.items():
        found = holder.get(field)
        if isinstance(found, dict) and isinstance(found.get(name_field), str) and found[name_field]:
            name = name_for(Reference(kind, found[name_field]), optional=bool(found.get("optional")))
            changed[field] = {**found, name_field: name}
    return changed


def _each(items: Any, change: Callable[[dict[str, Any]], Any]) -> Any:
    if not isinstance(items, list):
        return items
    return [change(item) if isinstance(item, dict) else item for item in items]
