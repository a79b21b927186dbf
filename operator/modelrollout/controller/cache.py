"""What the operator knows of the cluster: the newest state of every object that it has seen.

Three sources write here: watches, answers to our own writes (so that the next decision sees what the last one did), and
LISTs. They overtake each other, so nothing older ever replaces something newer. Age is told by resourceVersion, which
Kubernetes guarantees to be comparable as an integer from 1.35 on; every API server on etcd (or on kine) has always
issued increasing integers, across all objects and incarnations of a kind. A server whose versions are no integers is
taken at its word: what comes last counts.

A removal leaves its resourceVersion behind as a tombstone until the next LIST, or an answer or a page that was under
way could raise the dead.

Objects are kept as compact JSON and decoded when they are looked at: 30,000 idle ones as dicts would take ten times the
memory. Decoded ones are shared for a while, so they must not be changed.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar

from modelrollout.api.objects import Live
from modelrollout.controller.kinds import Key, Kind, key_of

T = TypeVar("T")

_DECODED_AT_ONCE = 128
"""Of each kind: what one look reads several times, for all workers at once.

Decoding everything anew takes 0.2 ms a look; keeping 4,096 of each took 170 MiB more with 5,000 rollouts.
"""


@dataclass(frozen=True, slots=True)
class _Entry:
    resource_version: str
    text: bytes


class Cache(Generic[T]):
    """The objects of one kind by namespace and name, read as what `decode` makes of them."""

    def __init__(self, kind: Kind, decode: Callable[[Live], T]) -> None:
        self.kind = kind
        self._entries: dict[Key, _Entry] = {}
        self._tombstones: dict[Key, str] = {}
        self._decoded = lru_cache(maxsize=_DECODED_AT_ONCE)(lambda entry: decode(_decode(entry)))

    def get(self, key: Key) -> T | None:
        """The object as last seen, without what nobody here reads; not to be changed.

        Raises what `decode` raises.
        """
        entry = self._entries.get(key)
        return self._decoded(entry) if entry else None

    def last_seen(self, key: Key) -> Live | None:
        """The same as it came, undecoded."""
        entry = self._entries.get(key)
        return _decode(entry) if entry else None

    def __iter__(self) -> Iterator[Key]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, manifest: Live) -> bool:
        """Take an object in unless a newer state of it is known; true if anything but its resourceVersion is new."""
        key, resource_version = key_of(manifest), _version_of(manifest)
        known = self._known_version(key)
        if known is not None and not is_newer(resource_version, known):
            return False
        before = self._entries.get(key)
        entry = _Entry(resource_version, _encode(manifest))
        self._entries[key] = entry
        self._tombstones.pop(key, None)
        return before is None or before.text != entry.text

    def remove(self, manifest: Live) -> bool:
        """Forget an object that was deleted (or left the selector); true if it was known.

        The manifest is the last state, with the resourceVersion of the deletion: a newer incarnation stays. A change of
        ours that took the object out of the selector has the same resourceVersion as the removal that the watch tells.
        """
        key, resource_version = key_of(manifest), _version_of(manifest)
        known = self._known_version(key)
        if known is not None and is_newer(known, resource_version):
            return False
        self._tombstones[key] = resource_version
        return self._entries.pop(key, None) is not None

    def keep_only(self, listed: set[Key], *, namespace: str, resource_version: str) -> list[Live]:
        """Forget what a LIST did not show, although its resourceVersion is newer; returns what was forgotten.

        `namespace` is the one that was listed, or empty for all.
        """
        ghosts = [
            key
            for key, entry in self._entries.items()
            if key not in listed
            and namespace in ("", key.namespace)
            and not is_newer(entry.resource_version, resource_version)
        ]
        forgotten = [_decode(self._entries.pop(key)) for key in ghosts]
        self._tombstones = {
            key: died_at for key, died_at in self._tombstones.items() if is_newer(died_at, resource_version)
        }
        return forgotten

    def _known_version(self, key: Key) -> str | None:
        entry = self._entries.get(key)
        return entry.resource_version if entry else self._tombstones.get(key)


def _version_of(manifest: Live) -> str:
    return str(manifest["metadata"]["resourceVersion"])


def is_newer(one: str, other: str) -> bool:
    """Whether one resourceVersion came after the other."""
    try:
        return int(one) > int(other)
    except ValueError:
        return one != other


def _encode(manifest: Live) -> bytes:
    return json.dumps(_slim(manifest), separators=(",", ":"), ensure_ascii=False, sort_keys=True).encode()


def _decode(entry: _Entry) -> Live:
    manifest: dict[str, Any] = json.loads(entry.text)
    manifest["metadata"]["resourceVersion"] = entry.resource_version
    return manifest


def _slim(manifest: Live) -> dict[str, Any]:
    """Leave out what nobody here reads: half of the bytes, and all that changes without meaning anything to us."""
    metadata = {
        name: value for name, value in manifest["metadata"].items() if name not in {"managedFields", "resourceVersion"}
    }
    annotations = metadata.get("annotations", {})
    if _LAST_APPLIED in annotations:
        metadata["annotations"] = {name: value for name, value in annotations.items() if name != _LAST_APPLIED}
    slim = {**manifest, "metadata": metadata}
    if manifest.get("kind") == "Gateway":
        slim["status"] = _without_attached_routes(manifest.get("status") or {})
    if manifest.get("kind") == "Pod":
        slim = _as_scheduled(manifest)
    for field in _NEVER_READ.get(manifest.get("kind", ""), ()):
        slim.pop(field, None)
    return slim


_NEVER_READ = {
    "ControllerRevision": ("data",),
    "ConfigMap": ("data", "binaryData"),
    "Secret": ("data",),
    "PodDisruptionBudget": ("status",),
}
"""By kind of child: what an attempt ran is read from the API server when somebody goes back to it; copies never are.

The status of a budget changes with every pod that comes or goes, and nobody here needs it.
"""

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def _as_scheduled(pod: Live) -> dict[str, Any]:
    """A pod that waits, with what the scheduler says of it and nothing more."""
    metadata = {name: pod["metadata"].get(name) for name in ("namespace", "name", "labels")}
    conditions = (pod.get("status") or {}).get("conditions") or []
    said = [one for one in conditions if one["type"] == "PodScheduled"]
    return {"kind": "Pod", "metadata": metadata, "status": {"conditions": said}}


def _without_attached_routes(status: Live) -> dict[str, Any]:
    """Every new route changes this count, and every rollout on the Gateway would be looked at for it."""
    listeners = [
        {name: value for name, value in listener.items() if name != "attachedRoutes"}
        for listener in status.get("listeners") or []
    ]
    return {**status, "listeners": listeners}
