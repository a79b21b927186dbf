"""The part of a PodTemplateSpec that is checked when a ModelRollout is applied.

Everything else in the template is kept as it is written; the API server checks it when the Deployment is written, and
a condition reports what it says. The whole PodTemplateSpec in the CRD would be half a megabyte that ages with each
release of Kubernetes.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from modelrollout.api.base import GROUP, ApiModel, listed_by, rule, rules, worded
from modelrollout.api.quantities import DNS_LABEL_PATTERN, DnsLabel

MODEL_ENVIRONMENT = ("MODEL_NAME", "MODEL_VERSION", "MODEL_URI")
"""Variables by which the operator tells the containers about the model."""

_LABEL_VALUE_OR_NOTHING = r"^([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?$"

LabelValue = Annotated[
    str,
    worded(
        _LABEL_VALUE_OR_NOTHING,
        "must be a label value: letters, digits, '-', '_' and '.', starting and ending with a letter or digit",
        max_length=63,
    ),
]


class SchemaOf:
    """Annotation that gives a field the JSON schema of a model, while the program sees the plain object."""

    def __init__(self, model: type[BaseModel]) -> None:
        self._model = model

    def __get_pydantic_json_schema__(self, _: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(self._model.__pydantic_core_schema__)


class _Open(ApiModel):
    """Keeps fields that it does not know."""

    model_config = ConfigDict(extra="allow")


class PodMetadata(_Open):
    """Labels and annotations of the pods."""

    labels: dict[str, LabelValue] = Field(
        description=f"Labels of the pods; those below {GROUP}/ are the operator's.",
        default_factory=dict,
        max_length=64,
        json_schema_extra=rules(
            rule(
                f"self.all(key, !key.startsWith('{GROUP}/'))",
                f"labels that start with {GROUP}/ are set by the operator: remove them from the template",
            )
        ),
    )
    annotations: dict[str, Annotated[str, Field(max_length=262_144)]] = Field(
        description="Annotations of the pods.", default_factory=dict, max_length=256
    )


class ContainerPort(_Open):
    """A port that a container listens on."""

    name: (
        Annotated[
            str,
            worded(
                DNS_LABEL_PATTERN, "must hold only lower-case letters, digits and hyphens, such as http", max_length=15
            ),
        ]
        | None
    ) = Field(description="Name of the port; spec.service.targetPort can refer to it.", default=None)
    container_port: int = Field(description="Number of the port.", ge=1, le=65535)


class EnvVar(_Open):
    """A variable in the environment of a container."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                f"!(self.name in {list(MODEL_ENVIRONMENT)})",
                "the operator sets MODEL_NAME, MODEL_VERSION and MODEL_URI from spec.model: remove it here and set "
                "spec.model.name, version or uri",
                ".name",
            )
        )
    )
    name: str = Field(description="Name of the variable.", min_length=1, max_length=1024)
    value: Annotated[str, Field(max_length=131_072)] | None = Field(
        description="Value of the variable, always a string: quote numbers and booleans.", default=None
    )


class Container(_Open):
    """A container of the pods; whatever else a container of Kubernetes has may be set too."""

    name: DnsLabel = Field(description="Name of the container, unique in the pod.")
    image: Annotated[str, worded(r"^[^ \t\r\n]+$", "must be the name of an image, without spaces", max_length=1024)] = (
        Field(description="Image of the container.")
    )
    env: list[EnvVar] = Field(
        description="Environment of the container; MODEL_NAME, MODEL_VERSION and MODEL_URI are added to it.",
        default_factory=list,
        max_length=512,
        json_schema_extra=listed_by("name"),
    )
    ports: list[ContainerPort] = Field(description="Ports of the container.", default_factory=list, max_length=64)


class PodSpec(_Open):
    """What runs in the pods; whatever else a pod of Kubernetes has may be set too."""

    restart_policy: Literal["Always"] | None = Field(
        description="Always, or left out: a Deployment has no other.", default=None
    )
    termination_grace_period_seconds: int | None = Field(
        description="Seconds that a pod has to end in; at least spec.service.longestAnswer and 30 more, where that is "
        "given.",
        default=None,
        ge=0,
    )
    containers: list[Container] = Field(
        description="Containers of the pods, the model server first.",
        min_length=1,
        max_length=32,
        json_schema_extra=listed_by("name"),
    )
    init_containers: list[Container] = Field(
        description="Containers that run before the others start, such as one that fetches the model.",
        default_factory=list,
        max_length=32,
        json_schema_extra=listed_by("name"),
    )


class PodTemplate(ApiModel):
    """The pods that serve the model, as in a Deployment."""

    metadata: PodMetadata | None = Field(description="Labels and annotations of the pods.", default=None)
    spec: PodSpec = Field(
        description="What runs in the pods: a PodSpec. The fields below are checked when the ModelRollout is applied, "
        "all others when the Deployments are."
    )


Template = Annotated[dict[str, Any], SchemaOf(PodTemplate)]
"""A PodTemplateSpec as the user wrote it; what PodTemplate says of it holds."""


def model_environment(model: Mapping[str, str]) -> dict[str, str]:
    """What there is to tell the containers about a model of this name, version and uri."""
    return dict(zip(MODEL_ENVIRONMENT, (model["name"], model["version"], model["uri"]), strict=True))


def containers(template: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """All containers of a template, also those that run before the others."""
    for field in ("containers", "initContainers"):
        yield from template["spec"].get(field) or []


def has_port(template: Mapping[str, Any], target_port: int | str) -> bool:
    """Whether pods have the port that `spec.service.targetPort` means; a number needs no container that tells of it."""
    names = {port.get("name", "") for container in containers(template) for port in container.get("ports") or []}
    return isinstance(target_port, int) or target_port in names
