"""Hashes that tell whether anything changed that matters."""

import hashlib
import json
from typing import Any

from modelrollout.api.spec import ModelRolloutSpec

_NOT_AN_ATTEMPT = {"replicas", "paused", "deletionPolicy"}
"""Autoscalers, people who pause and people who tidy up do not ask for another try of a version that was taken back."""


def revision_of(name: str, spec: ModelRolloutSpec) -> str:
    """Hash of what the pods run: model name, version, uri and template. Another one is another attempt."""
    model = {"name": spec.model.name or name, "version": spec.model.version, "uri": spec.model.uri}
    return _digest({"model": model, "template": spec.template})


def fingerprint_of(spec: ModelRolloutSpec) -> str:
    """Hash of all that can make a failed version worth another try."""
    return _digest({key: value for key, value in spec.to_wire().items() if key not in _NOT_AN_ATTEMPT})


def _digest(value: Any) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]
