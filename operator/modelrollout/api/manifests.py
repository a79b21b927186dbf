"""Whether the cluster already has what we rendered, so that nothing is written when nothing changed.

Two questions have two answers. Did *we* change our mind since the last write, be it by leaving something out? The
rendered object carries a digest of itself. Did somebody *else* change what we wrote? Then some rendered field differs
in the live object, which otherwise holds more than was rendered: defaults, status, what others added.
"""

import hashlib
import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from kubernetes.utils.quantity import parse_quantity

from modelrollout.api.base import GROUP
from modelrollout.api.objects import Live, Manifest

RENDERED = f"{GROUP}/rendered"
"""Annotation with the digest of what was rendered."""

_QUANTITIES = frozenset({"sizeLimit", "divisor"})
_QUANTITY_MAPS = frozenset({"limits", "requests", "overhead"})

_OMITTED_WHEN_ZERO = frozenset(
    {
        *("labels", "annotations", "nodeSelector", "matchLabels", "limits", "requests", "overhead"),
        *("hostNetwork", "hostPID", "hostIPC", "stdin", "stdinOnce", "tty", "readOnly", "optional"),
        *("hostPort", "initialDelaySeconds", "minReadySeconds"),
    }
)
"""Fields that the API server leaves out when they are empty, false or 0. In others such a value differs from none."""

_Identity = Callable[[Mapping[str, Any]], Hashable]


def _by(*fields: str) -> _Identity:
    return lambda item: tuple(item.get(field) for field in fields)


_LIST_KEYS: Mapping[str, _Identity] = {
    **dict.fromkeys(("containers", "initContainers", "volumes", "env", "imagePullSecrets"), _by("name")),
    "ports": lambda item: (item.get("containerPort"), item.get("port"), item.get("protocol", "TCP")),
    "volumeMounts": _by("mountPath"),
    "volumeDevices": _by("devicePath"),
    "ownerReferences": _by("uid"),
    "hostAliases": _by("ip"),
    "topologySpreadConstraints": _by("topologyKey", "whenUnsatisfiable"),
}
"""Lists that server-side apply merges item by item, so that others may have added items of their own."""


def stamped(manifest: Manifest) -> Manifest:
    """The same object with the digest of itself in an annotation."""
    canonical = json.dumps(manifest, sort_keys=True, separators=(",", ":"), default=str)
    digest = hashlib.sha256(canonical.encode()).hexdigest()[:16]
    metadata = manifest["metadata"]
    annotations = {**metadata.get("annotations", {}), RENDERED: digest}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}


_FENCE = ("uid", "resourceVersion")


def seen_as(metadata: Mapping[str, Any]) -> dict[str, str]:
    """What of its metadata tells an object, as it was seen, from any other and from any other state of it."""
    return {name: metadata[name] for name in _FENCE}


def fence_of(live: Live) -> str:
    """What tells this object, as it was seen, from any other and from any other state of it, in one string."""
    return "/".join(seen_as(live["metadata"]).values())


def fenced(manifest: Manifest, fence: str | None) -> Manifest:
    """The same object, to be refused by the API server unless the live one is as it was seen.

    By its resourceVersion alone the API server would make an object anew that is gone.
    """
    if not fence:
        return manifest
    return {**manifest, "metadata": {**manifest["metadata"], **dict(zip(_FENCE, fence.split("/"), strict=True))}}


def unless_there(manifest: Manifest) -> Manifest:
    """The same object, to be refused by the API server if there is one already: none has the version that it names."""
    return {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": _BEFORE_ALL}}


_BEFORE_ALL = "1"
"""The revision of etcd, and of what stands in for it, before anything was written."""


def only_onto(live: Live | None, manifest: Manifest) -> Manifest:
    """The same write, for the object as it was seen, or for none: it may arrive when we have long been deposed.

    One that is for an object that was seen stays as it is.
    """
    if is_fenced(manifest):
        return manifest
    return fenced(manifest, fence_of(live)) if live else unless_there(manifest)


def is_fenced(manifest: Manifest) -> bool:
    """Whether a manifest is only for an object that was seen."""
    return "uid" in manifest["metadata"]


def covers(rendered: Live, live: Live) -> bool:
    """Whether applying the rendered object would leave the live one as it is.

    A fence in the rendered object is a condition on the write, not content, and is left aside.
    """
    metadata = {key: value for key, value in rendered["metadata"].items() if key not in _FENCE}
    return _mapping({**rendered, "metadata": metadata}, live)


def _mapping(rendered: Mapping[str, Any], live: Mapping[str, Any]) -> bool:
    return all(_field(name, value, live.get(name)) for name, value in rendered.items())


def _field(name: str, rendered: Any, live: Any) -> bool:
    if rendered is None:
        return True
    if live is None:
        return _is_left_out(name, rendered)
    if name in _QUANTITIES:
        return _same_quantity(rendered, live)
    if name in _QUANTITY_MAPS and isinstance(rendered, Mapping) and isinstance(live, Mapping):
        return all(key in live and _same_quantity(amount, live[key]) for key, amount in rendered.items())
    if name in _LIST_KEYS and isinstance(rendered, list) and isinstance(live, list):
        return _keyed_list(rendered, live, _LIST_KEYS[name])
    return _value(rendered, live)


def _value(rendered: Any, live: Any) -> bool:
    if isinstance(rendered, Mapping):
        return isinstance(live, Mapping) and _mapping(rendered, live)
    if isinstance(rendered, list):
        return isinstance(live, list) and len(rendered) == len(live) and all(map(_value, rendered, live))
    return isinstance(rendered, bool) == isinstance(live, bool) and bool(rendered == live)


def _keyed_list(rendered: Sequence[Any], live: Sequence[Any], identity: _Identity) -> bool:
    if not all(isinstance(item, Mapping) for item in (*rendered, *live)):
        return False
    by_identity = {identity(item): item for item in live}
    return all(identity(item) in by_identity and _value(item, by_identity[identity(item)]) for item in rendered)


def _is_left_out(name: str, rendered: Any) -> bool:
    """Whether the API server stores this value by leaving the field out."""
    return rendered in ("", []) or (not rendered and name in _OMITTED_WHEN_ZERO)


def _same_quantity(rendered: Any, live: Any) -> bool:
    """`500m` and 0.5 are one amount; the API server keeps its own spelling."""
    try:
        return _amount(rendered) == _amount(live)
    except ValueError:
        return False


def _amount(quantity: Any) -> Decimal:
    # a float by its text: 0.1 is meant as a tenth, not as the nearest binary fraction
    return Decimal(parse_quantity(str(quantity)))  # type: ignore[no-untyped-call]
