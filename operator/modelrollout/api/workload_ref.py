"""`spec.workloadRef`: a Deployment whose pod template is used in place of one in the spec.

For people who move in from a Deployment. What CEL cannot see, because it is in another object, is looked at here: by
the operator before anything moves, and by `lint` where the Deployment is in the same files.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from modelrollout.api.base import GROUP, ApiModel, worded
from modelrollout.api.labels import MANAGED_BY, MANAGER, NAME
from modelrollout.api.objects import Live
from modelrollout.api.template import MODEL_ENVIRONMENT, containers, has_port, model_environment

HANDED_OVER_TO = f"{GROUP}/handed-over-to"
"""Annotation of a Deployment: uid of the ModelRollout that it was scaled to 0 for. It is written with the 0."""

_RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"

_NAME_PATTERN = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"


class ScaleDown(StrEnum):
    """What becomes of the Deployment that a workloadRef names."""

    ONCE_SERVING = "OnceServing"
    NEVER = "Never"


class WorkloadRef(ApiModel):
    """A Deployment whose pod template is used, and nothing else of it. A change of that template starts an attempt."""

    name: Annotated[
        str, worded(_NAME_PATTERN, "must be the name of a Deployment, such as fraud-scorer", max_length=253)
    ] = Field(description="Name of the Deployment, in the namespace of the ModelRollout.")
    scale_down: ScaleDown = Field(
        description="OnceServing scales the Deployment to 0, once, as soon as the ModelRollout serves with at least as "
        "many pods; whoever scales it up again is left alone. Never leaves its number of pods to you.",
        default=ScaleDown.ONCE_SERVING,
    )


class UnusableError(ValueError):
    """A Deployment cannot stand in for a template; the text says why, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Referred:
    """What matters of a Deployment that a workloadRef names; small enough to be kept for each."""

    name: str
    uid: str
    replicas: int
    handed_over_to: str
    """uid of the ModelRollout that it was scaled to 0 for; empty before."""
    made_for: str | None
    """The ModelRollout that it belongs to, if it is one of the operator's own."""
    template: str
    """The pod template as JSON."""

    @classmethod
    def of(cls, deployment: Live) -> "Referred":
        metadata, spec = deployment["metadata"], deployment.get("spec") or {}
        labels = metadata.get("labels") or {}
        return cls(
            name=metadata["name"],
            uid=metadata.get("uid", ""),
            replicas=spec.get("replicas", 1),
            handed_over_to=handed_over_to(deployment),
            made_for=labels.get(NAME, "") if labels.get(MANAGED_BY) == MANAGER else None,
            template=json.dumps(_what_counts(spec.get("template") or {}), separators=(",", ":")),
        )

    def pod_template(self, model: Mapping[str, str], port: int | str) -> dict[str, Any]:
        """The pods that it describes, as they would be written in the spec.

        Args:
            model: name, version and uri of the model that they are to serve.
            port: `spec.service.targetPort`.

        Raises:
            UnusableError: they cannot be taken over.
        """
        template: dict[str, Any] = json.loads(self.template)
        for trouble in self._troubles(template, model_environment(model), port):
            raise UnusableError(f"Deployment {self.name}, which spec.workloadRef names, {trouble}")
        return _without_variables(template)

    def _troubles(self, template: Mapping[str, Any], variables: Mapping[str, str], port: int | str) -> Iterator[str]:
        if self.made_for is not None:
            yield (
                f"is one that the operator made for ModelRollout {self.made_for}: "
                "name the one that the model ran in before, or copy its template into spec.template"
            )
        if not (template.get("spec") or {}).get("containers"):
            yield "has no containers in its template: add them there"
            return
        reserved = [label for label in _labels(template) if label.startswith(f"{GROUP}/")]
        if reserved:
            yield f"gives its pods labels that the operator sets itself: remove {', '.join(reserved)} there"
        for container, variable in _model_variables(template):
            yield from _against(container, variable, variables)
        if not has_port(template, port):
            yield f"has no port named {port}: name a port so there, or set spec.service.targetPort to a number"


def handed_over_to(deployment: Live) -> str:
    """The ModelRollout that a Deployment was scaled to 0 for; its metadata is enough to tell."""
    annotations: Mapping[str, str] = deployment["metadata"].get("annotations") or {}
    return annotations.get(HANDED_OVER_TO, "")


def _what_counts(template: Mapping[str, Any]) -> dict[str, Any]:
    """The template without what says nothing of what the pods run: when it was made, and last restarted."""
    metadata = {key: value for key, value in (template.get("metadata") or {}).items() if key != "creationTimestamp"}
    said = metadata.pop("annotations", None) or {}
    annotations = {key: value for key, value in said.items() if key != _RESTARTED_AT}
    metadata |= {"annotations": annotations} if annotations else {}
    rest = {key: value for key, value in template.items() if key != "metadata"}
    return rest | ({"metadata": metadata} if metadata else {})


def _labels(template: Mapping[str, Any]) -> Mapping[str, str]:
    labels: Mapping[str, str] = (template.get("metadata") or {}).get("labels") or {}
    return labels


def _model_variables(template: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Variables that tell of the model already, as a Deployment may have them; each with the name of its container."""
    for container in containers(template):
        for variable in container.get("env") or []:
            if variable.get("name") in MODEL_ENVIRONMENT:
                yield container.get("name", "?"), variable


def _against(container: str, variable: Mapping[str, Any], ours: Mapping[str, str]) -> Iterator[str]:
    """One that says the same as the operator will is no trouble."""
    name, field = variable["name"], variable["name"].removeprefix("MODEL_").lower()
    if "value" not in variable:
        yield f"gives {container} {name} from elsewhere: remove it there and set spec.model.{field}"
    elif variable["value"] != ours[name]:
        yield (
            f"tells {container} that {name} is {variable['value']!r}: set spec.model.{field} to that, or remove it "
            "there"
        )


def _without_variables(template: dict[str, Any]) -> dict[str, Any]:
    """The template without variables that the operator sets."""
    for container in containers(template):
        if "env" in container:
            container["env"] = [one for one in container["env"] if one.get("name") not in MODEL_ENVIRONMENT]
    return template
