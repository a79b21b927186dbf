"""Hashes that tell whether anything changed that matters."""

import hashlib
import json
from typing import Any

from modelrollout.api.spec import ModelRolloutSpec

_NO_OTHER_TRY: Any = {
    "replicas": True,
    "paused": True,
    "ready_when": True,
    "deletion_policy": True,
    "model": {"metadata"},
}
"""Autoscalers, people who pause, wait, take notes or tidy up do not ask for another try of what was taken back."""


def revision_of(name: str, spec: ModelRolloutSpec) -> str:
    """Hash of what the pods run: model name, version, uri and template. Another one is another attempt."""
    model = {"name": spec.model.name or name, "version": spec.model.version, "uri": spec.model.uri}
    return _digest({"model": model, "template": spec.template})


def fingerprint_of(spec: ModelRolloutSpec) -> str:
    """Hash of all that can make a failed version worth another try.

    Defaults are left out: an option that comes with a later release must not try again what this one took back.
    """
    return _digest(spec.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude=_NO_OTHER_TRY))


def _digest(value: Any) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]
