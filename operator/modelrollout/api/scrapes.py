"""`spec.directScrapes`: the pods of both versions asked for their metrics, without Prometheus in between."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from modelrollout.api.base import ApiModel, matches, rule, rules, worded
from modelrollout.api.quantities import DURATION_PATTERN, HttpPath
from modelrollout.api.template import containers

METRICS_PORT = "metrics"
"""Name of the container port that is scraped when nothing says which."""

PORT_ANNOTATION = "prometheus.io/port"
PATH_ANNOTATION = "prometheus.io/path"

_USUAL_PATH = "/metrics"


class DirectScrapes(ApiModel):
    """Scrapes of the pods of both versions by the operator itself."""

    port: int | Annotated[str, Field(max_length=15)] | None = Field(
        description="Port of the pods on which they expose their metrics: a number, or the name of a container port. "
        f"By default that of the annotation {PORT_ANNOTATION}, or else the container port named {METRICS_PORT}.",
        default=None,
        json_schema_extra={"x-kubernetes-int-or-string": True, "maxLength": 15}
        | rules(
            rule(
                "type(self) != int || (self >= 1 && self <= 65535)",
                "must be a number from 1 to 65535, or the name of a container port",
            )
        ),
    )
    path: HttpPath | None = Field(
        description=f"Path of the metrics. By default that of the annotation {PATH_ANNOTATION}, or else {_USUAL_PATH}.",
        default=None,
    )
    interval: Annotated[
        str,
        worded(
            DURATION_PATTERN,
            "must be a duration such as 2s or 2500ms",
            rule(
                f"!{matches('self', DURATION_PATTERN)} || "
                "(duration(self) >= duration('1s') && duration(self) <= duration('10s'))",
                "must be from 1s to 10s",
            ),
            max_length=32,
        ),
    ] = Field(
        description="How often each pod is scraped in the first ten minutes of a stage; later a third as often.",
        default="2s",
    )

    def endpoint(self, pod: Mapping[str, Any]) -> tuple[int, str]:
        """Port and path at which a pod, or one of such a template, exposes its metrics.

        Raises:
            ValueError: there is no saying; the text is the field and the fix.
        """
        annotations = (pod.get("metadata") or {}).get("annotations") or {}
        path = self.path or annotations.get(PATH_ANNOTATION) or _USUAL_PATH
        return self._port(pod, annotations), path if path.startswith("/") else f"/{path}"

    def _port(self, pod: Mapping[str, Any], annotations: Mapping[str, str]) -> int:
        if isinstance(self.port, int):
            return self.port
        annotated = annotations.get(PORT_ANNOTATION)
        if self.port is None and annotated is not None:
            if annotated.isdecimal() and 1 <= int(annotated) <= 65535:
                return int(annotated)
            raise ValueError(f"spec.directScrapes: the annotation {PORT_ANNOTATION} is {annotated!r}, and no port")
        wanted = self.port or METRICS_PORT
        ports = [port for container in containers(pod) for port in container.get("ports") or []]
        for port in ports:
            if port.get("name") == wanted:
                return int(port["containerPort"])
        known = ", ".join(port["name"] for port in ports if port.get("name")) or "none with a name"
        raise ValueError(
            f"spec.directScrapes: the pods have no port named {wanted}, but {known}: set spec.directScrapes.port"
        )


def _has_port(name: str) -> str:
    """CEL for "a container of the template has a port of this name"."""
    in_some = f"exists(one, has(one.ports) && one.ports.exists(port, has(port.name) && port.name == {name}))"
    spec = "self.template.spec"
    return f"({spec}.containers.{in_some} || (has({spec}.initContainers) && {spec}.initContainers.{in_some}))"


_IS_ANNOTATED = (
    "(has(self.template.metadata) && has(self.template.metadata.annotations) && "
    f"'{PORT_ANNOTATION}' in self.template.metadata.annotations)"
)

_COUNTS_PODS = (
    "has(slo.counter) || (has(slo.metric) && has(self.server) && (!has(slo.source) || slo.source != 'Gateway'))"
)

SCRAPE_RULES = (
    rule(
        "!has(self.directScrapes) || has(self.directScrapes.port) || !has(self.template) || "
        f"{_IS_ANNOTATED} || {_has_port(repr(METRICS_PORT))}",
        f"nothing says where the pods expose their metrics: set port, or name a container port {METRICS_PORT}, or "
        f"annotate the pods with {PORT_ANNOTATION}",
        ".directScrapes",
    ),
    rule(
        "!has(self.directScrapes) || !has(self.directScrapes.port) || type(self.directScrapes.port) == int || "
        f"!has(self.template) || {_has_port('self.directScrapes.port')}",
        "no container has a port of this name: name a port so in the template, or set directScrapes.port to a number",
        ".directScrapes.port",
    ),
    rule(
        f"!has(self.directScrapes) || (has(self.slos) && self.slos.exists(slo, {_COUNTS_PODS}))",
        "directScrapes is for SLOs that count what the pods expose: add one with counter, or with metric and "
        "spec.server, or remove directScrapes",
        ".directScrapes",
    ),
)
"""Of the spec."""
