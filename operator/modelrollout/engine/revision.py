"""Hashes that tell whether anything changed that matters."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from modelrollout.api.spec import ModelRolloutSpec

_NO_OTHER_TRY: Any = {
    **dict.fromkeys(
        ("replicas", "paused", "ready_when", "deletion_policy", "revision_history_limit", "disruption_budget"), True
    ),
    "model": {"metadata"},
}
"""Autoscalers, people who pause, wait, take notes or tidy up do not ask for another try of what was taken back."""


_WITH_A_REFERENCE: Any = _NO_OTHER_TRY | {"template": True, "workload_ref": {"scale_down"}}
"""The template behind a workloadRef is somebody else's, and may be unknown: it is told apart from the spec."""


def revision_of(name: str, spec: ModelRolloutSpec, copied: Mapping[str, str] | None = None) -> str:
    """Hash of what the pods run: model name, version, uri, template, and what is copied. Another is another attempt."""
    content = {"model": spec.model.identity(name), "template": spec.template}
    return _digest(content | ({"copied": dict(copied)} if copied else {}))


def fingerprint_of(spec: ModelRolloutSpec) -> str:
    """Hash of all that can make a failed version worth another try.

    Defaults are left out: an option that comes with a later release must not try again what this one took back. How
    long answers may take is not why a version is good, and whoever tunes it has not asked for one that was pulled.
    """
    exclude = _WITH_A_REFERENCE if spec.workload_ref else _NO_OTHER_TRY
    service = spec.service.model_copy(update={"longest_answer": None})
    spec = spec.model_copy(update={"service": service})
    return _digest(spec.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude=exclude))


def template_fingerprint(spec: ModelRolloutSpec) -> str:
    """Hash of the template behind a workloadRef; empty where there is none, and as long as it is unknown."""
    return _digest(spec.template) if spec.workload_ref and spec.template else ""


def _digest(value: Any) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]
