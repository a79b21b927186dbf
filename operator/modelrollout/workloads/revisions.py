"""What an attempt runs, and the record of it: the ControllerRevision NAME-ATTEMPT, whose data the API server never
lets anybody change."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from modelrollout.api.labels import ATTEMPT, COPIES, REVISION, VERSION, attempt_of, record_name
from modelrollout.api.objects import Live, Manifest
from modelrollout.api.owner import Rollout
from modelrollout.engine.effects import ApplyWorkload
from modelrollout.engine.snapshot import Recorded
from modelrollout.workloads.copies import Reference, with_copies


@dataclass(frozen=True, kw_only=True)
class Content:
    """What the pods of an attempt run: all that `engine.revision` hashes, and nothing else."""

    model: Mapping[str, str]
    """name, version and uri, the last of them empty where there is none."""
    template: Mapping[str, Any]
    copies: tuple[Reference, ...] = ()
    """The copies that the template names."""


def described(rollout: Rollout, copies: Mapping[Reference, str] | None = None) -> Content:
    """What the present spec describes, with copies in place of what they are copies of."""
    names = copies or {}
    return Content(
        model=rollout.spec.model.identity(rollout.name),
        template=with_copies(rollout.spec.pod_template, names) if names else rollout.spec.pod_template,
        copies=tuple(Reference(source.kind, name) for source, name in sorted(names.items())),
    )


def render(rollout: Rollout, effect: ApplyWorkload, content: Content) -> Manifest:
    """The record of an attempt.

    Nobody owns it: it outlives a ModelRollout whose pods do (Retain), for one that is made anew to go on with, and is
    deleted by name otherwise.
    """
    identity = {ATTEMPT: str(effect.attempt), REVISION: effect.revision, VERSION: content.model["version"]}
    return rollout.manifest(
        "apps/v1",
        "ControllerRevision",
        record_name(rollout.name, effect.attempt),
        labels=identity,
        annotations={COPIES: ",".join("/".join(copy) for copy in content.copies)} if content.copies else None,
        owned=False,
        revision=effect.attempt,
        data={
            "model": dict(content.model),
            "template": dict(content.template),
            "copies": ["/".join(copy) for copy in content.copies],
        },
    )


def observe(record: Live) -> tuple[int, Recorded]:
    """Which attempt a record is of, and what it says without its data."""
    labels = record["metadata"].get("labels") or {}
    return attempt_of(record), Recorded(revision=labels.get(REVISION, ""), version=labels.get(VERSION, ""))


def content_of(record: Live) -> Content:
    """What the attempt of a record ran."""
    data = record["data"]
    return Content(model=data["model"], template=data["template"], copies=_references(data["copies"]))


def copies_of(record: Live) -> tuple[Reference, ...]:
    """The copies that the pods of a record need; for this its data need not be there."""
    listed = (record["metadata"].get("annotations") or {}).get(COPIES, "")
    return _references(filter(None, listed.split(",")))


def _references(written: Iterable[str]) -> tuple[Reference, ...]:
    return tuple(Reference(*one.split("/")) for one in written)
