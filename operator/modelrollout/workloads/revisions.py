"""What an attempt runs, and the record of it: the ControllerRevision NAME-ATTEMPT, whose data the API server never
lets anybody change."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelrollout.api.labels import ATTEMPT, REVISION, VERSION, attempt_of, record_name
from modelrollout.api.objects import Live, Manifest
from modelrollout.api.owner import Rollout
from modelrollout.engine.effects import ApplyWorkload
from modelrollout.engine.snapshot import Recorded


@dataclass(frozen=True, kw_only=True)
class Content:
    """What the pods of an attempt run: all that `engine.revision` hashes, and nothing else."""

    model: Mapping[str, str]
    """name, version and uri, the last of them empty where there is none."""
    template: Mapping[str, Any]


def described(rollout: Rollout) -> Content:
    """What the present spec describes."""
    model = rollout.spec.model
    return Content(
        model={"name": model.name or rollout.name, "version": model.version, "uri": model.uri},
        template=rollout.spec.template,
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
        owned=False,
        revision=effect.attempt,
        data={"model": dict(content.model), "template": dict(content.template)},
    )


def observe(record: Live) -> tuple[int, Recorded]:
    """Which attempt a record is of, and what it says without its data."""
    labels = record["metadata"].get("labels") or {}
    return attempt_of(record), Recorded(revision=labels.get(REVISION, ""), version=labels.get(VERSION, ""))


def content_of(record: Live) -> Content:
    """What the attempt of a record ran."""
    data = record["data"]
    return Content(model=data["model"], template=data["template"])
