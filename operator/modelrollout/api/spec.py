"""`ModelRollout.spec`: what users write.

Docstrings and descriptions here are what `kubectl explain` and the API reference show. CEL rules stand beside the
fields they check, so that everything wrong that can be seen at `kubectl apply` is refused there, with the field named.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from modelrollout.api.alerts import Alerts
from modelrollout.api.base import ApiModel, listed_by, rule, rules, worded
from modelrollout.api.capacity import Capacity
from modelrollout.api.disruption import DisruptionBudget
from modelrollout.api.offers import metric_rules
from modelrollout.api.quantities import LABEL_VALUE_PATTERN, DnsLabel, Duration, HttpPath, PositiveDuration
from modelrollout.api.scrapes import SCRAPE_RULES, DirectScrapes
from modelrollout.api.slo import Slo
from modelrollout.api.status import MOST_HISTORY
from modelrollout.api.strategy import Bake, Strategy
from modelrollout.api.template import Template
from modelrollout.api.traffic import Traffic
from modelrollout.api.workload_ref import WorkloadRef

_WORD = (r"^[^ \t\r\n]*$", "must hold no spaces or line breaks")


class Model(ApiModel):
    """Which model version should serve. A change of name, version or uri starts an attempt."""

    name: Annotated[str, worded(*_WORD, max_length=253)] = Field(
        description="Name of the model; the pods get it as MODEL_NAME. By default the name of the ModelRollout.",
        default="",
    )
    version: Annotated[
        str,
        worded(
            LABEL_VALUE_PATTERN,
            "must be a label value: letters, digits, '-', '_' and '.', starting and ending with a letter or digit; "
            "write 2.1.0-build5 instead of 2.1.0+build5",
            max_length=63,
        ),
    ] = Field(
        description="Version of the model, such as 2.1.0 or model-v2.1.0-20240115-1600, in quotes where YAML would "
        "read a number; the pods get it as MODEL_VERSION and carry it as a label, so it must be a label value.",
    )
    uri: Annotated[str, worded(*_WORD, max_length=2048)] = Field(
        description="Where the model server finds the model, such as s3://models/fraud/2.1.0; the pods get it "
        "as MODEL_URI.",
        default="",
    )
    metadata: dict[str, Any] = Field(
        description="What is known of this version: algorithm, training data, commit, offline metrics. Recorded, never "
        "interpreted; a change here alone starts no attempt.",
        default_factory=dict,
    )

    def identity(self, rollout: str) -> dict[str, str]:
        """What pods of a rollout of this name are told of it. One more field would make an attempt of every model."""
        return {"name": self.name or rollout, "version": self.version, "uri": self.uri}


class Service(ApiModel):
    """The port on which callers reach the model, and the port of the pods behind it."""

    port: int = Field(description="Port of the Services.", default=80, ge=1, le=65535)
    target_port: int | Annotated[str, Field(max_length=15)] = Field(
        description="Port of the pods: a number, or the name of a container port.",
        default="http",
        json_schema_extra={"x-kubernetes-int-or-string": True, "maxLength": 15}
        | rules(
            rule(
                "type(self) != int || (self >= 1 && self <= 65535)",
                "must be a number from 1 to 65535, or the name of a container port",
            )
        ),
    )
    longest_answer: PositiveDuration | None = Field(
        description="The longest time that an answer takes, such as 10m for a model that writes long texts. A version "
        "that gets no more requests keeps its pods for that long, pods of later attempts get a grace period that is "
        "longer by 30s, and the HTTPRoute of gatewayAPI cuts answers off only then. When left out, pods are kept for "
        "10s, and the gateway's own limit holds: that of Envoy Gateway is 15s.",
        default=None,
    )


class ServerKind(StrEnum):
    """Model servers whose metrics are known by name."""

    AUTO = "auto"
    BENTOML = "bentoml"
    KNATIVE = "knative"
    KSERVE = "kserve"
    MLSERVER = "mlserver"
    RAY_SERVE = "ray-serve"
    SELDON = "seldon"
    SGLANG = "sglang"
    TENSORFLOW_SERVING = "tensorflow-serving"
    TGI = "tgi"
    TORCHSERVE = "torchserve"
    TRITON = "triton"
    VLLM = "vllm"


class WarmUp(ApiModel):
    """Requests sent to every candidate pod before it gets any traffic: Ready is not warm."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "self.method != 'GET' || !has(self.body) || self.body == ''",
                "GET carries no body: remove body, or set method to POST",
                ".body",
            )
        )
    )
    path: HttpPath = Field(description="Path of the request.")
    method: Literal["GET", "POST"] = Field(description="Method of the request.", default="POST")
    body: str = Field(description="Body of the request.", default="", max_length=65536)
    content_type: Annotated[
        str, worded(r"^[!-~]+/[ -~]+$", "must be a content type such as application/json", max_length=255)
    ] = Field(description="Content type of the body.", default="application/json")
    requests: int = Field(description="Successful answers wanted from each pod.", default=10, ge=1, le=1000)
    timeout: PositiveDuration = Field(description="Longest wait for one answer.", default="30s")


class RevertMode(StrEnum):
    """How a candidate is taken back when it is not breached: a breach always takes it back at once."""

    IMMEDIATE = "Immediate"
    GRADUAL = "Gradual"


class Rollback(ApiModel):
    """How the way back is kept open, and how it is gone."""

    mode: RevertMode = Field(
        description="Immediate takes all requests back in one write. Gradual goes by 75, 50 and 25 per cent, each "
        "judged, and falls to Immediate on a breach; breaches are always Immediate.",
        default=RevertMode.IMMEDIATE,
    )
    hold: Duration = Field(description="Least time at each step of a Gradual way back.", default="1m")
    keep_warm: Duration = Field(
        description="How long the previous version stays at full size after a promotion, so that going back to it "
        "takes one routing write.",
        default="1h",
    )


class Retry(ApiModel):
    """Trying a version again that was taken back, for faults that pass, such as a dependency that was down."""

    limit: int = Field(description="How often, before a person has to act.", ge=1, le=10)
    after: PositiveDuration = Field(description="How long after it was taken back.")


class ReadyWhen(StrEnum):
    """When the condition Ready is True, for those who wait for it: kubectl wait, Argo CD, Flux."""

    SERVING = "Serving"
    COMPLETE = "Complete"


class Copies(ApiModel):
    """What of the things that the template names is copied for each attempt."""

    config_maps: bool = Field(
        description="Copy ConfigMaps: a change of one is a new attempt, and the version that serves keeps its own.",
        default=True,
    )
    secrets: bool = Field(
        description="Copy Secrets as well, where the operator may (its option --copy-secrets).", default=False
    )


class DeletionPolicy(StrEnum):
    """What deleting a ModelRollout leaves."""

    RETAIN = "Retain"
    DELETE = "Delete"


_HAS_GATEWAY = "(has(self.traffic) && has(self.traffic.gatewayAPI))"

_STAGE_LISTS = ("canary.steps", "blueGreen.steps", "percentage.steps", "ring.rings", "stages")


def _slos_are_there(names: str) -> str:
    """CEL for "each of these names is that of an SLO"."""
    return f"{names}.all(name, has(self.slos) && self.slos.exists(slo, slo.name == name))"


def _requires_what_is_there(stages: str) -> dict[str, str]:
    preset, _, field = stages.partition(".")
    there = f"has(self.strategy) && has(self.strategy.{preset})" + (f" && has(self.strategy.{stages})" if field else "")
    required = _slos_are_there("one.require.slos")
    return rule(
        f"!({there}) || self.strategy.{stages}.all(one, !has(one.require) || !has(one.require.slos) || {required})",
        "require.slos names an SLO that is not in spec.slos: add it there, or correct the name",
        f".strategy.{preset}",
    )


def _proves_what_is_compared(stages: str) -> dict[str, str]:
    preset, _, field = stages.partition(".")
    there = f"has(self.strategy) && has(self.strategy.{preset})" + (f" && has(self.strategy.{stages})" if field else "")
    return rule(
        f"!({there}) || !self.strategy.{stages}.exists(one, has(one.require) && has(one.require.proof) && "
        "one.require.proof) || (has(self.slos) && self.slos.exists(slo, has(slo.baseline) && !has(slo.query)))",
        "proof is of not being worse than stable: give an SLO that counts a baseline, or remove require.proof",
        f".strategy.{preset}",
    )


_IS_STABLE_HEADER = (
    "cohort.header.lowerAscii() == self.traffic.gatewayAPI.stableHeader.header.lowerAscii() && "
    "cohort.value == self.traffic.gatewayAPI.stableHeader.value"
)


def _cohort_rules(stages: str, match: str) -> list[dict[str, str]]:
    """What cohorts need besides themselves; `match` is where a ring or stage names them."""
    preset = stages.partition(".")[0]

    def some_cohort(condition: str) -> str:
        matches = f"has(one.{match}) && one.{match}.exists(cohort, {condition})"
        return f"(has(self.strategy) && has(self.strategy.{preset}) && self.strategy.{stages}.exists(one, {matches}))"

    return [
        rule(
            f"{_HAS_GATEWAY} || !{some_cohort('true')}",
            "match needs traffic.gatewayAPI: set it, or remove match and use weights",
            f".strategy.{preset}",
        ),
        rule(
            f"!{_HAS_GATEWAY} || !{some_cohort(_IS_STABLE_HEADER)}",
            "match names traffic.gatewayAPI.stableHeader, whose requests go to stable: use another header or value",
            f".strategy.{preset}",
        ),
    ]


_SPEC_RULES = rules(
    rule(
        "has(self.template) || has(self.workloadRef)",
        "the pods are missing: write a template, or name the Deployment that has one under workloadRef",
        ".template",
    ),
    rule(
        "!has(self.template) || !has(self.workloadRef)",
        "workloadRef takes the place of template: remove one of the two",
        ".workloadRef",
    ),
    *_cohort_rules("ring.rings", "match"),
    *_cohort_rules("stages", "traffic.match"),
    *(_requires_what_is_there(stages) for stages in _STAGE_LISTS),
    *(_proves_what_is_compared(stages) for stages in _STAGE_LISTS),
    rule(
        f"!has(self.bake) || !has(self.bake.slos) || {_slos_are_there('self.bake.slos')}",
        "bake.slos names an SLO that is not in spec.slos: add it there, or correct the name",
        ".bake",
    ),
    rule(
        "!has(self.slos) || self.slos.all(slo, !has(slo.metric) || has(slo.source) || has(self.server) || "
        f"{_HAS_GATEWAY})",
        "a built-in metric must be read somewhere: set spec.server, or route with traffic.gatewayAPI, or use query",
        ".slos",
    ),
    rule(
        "!has(self.slos) || self.slos.all(slo, !has(slo.source) || slo.source != 'Server' || has(self.server))",
        "source Server needs spec.server: name the model server there",
        ".slos",
    ),
    rule(
        f"!has(self.slos) || self.slos.all(slo, !has(slo.source) || slo.source != 'Gateway' || {_HAS_GATEWAY})",
        "source Gateway needs traffic.gatewayAPI: set it, or use source Server",
        ".slos",
    ),
    *metric_rules(),
    *SCRAPE_RULES,
    rule(
        "!has(self.capacity) || !has(self.capacity.candidate) || self.capacity.candidate != 'Proportional' || "
        f"{_HAS_GATEWAY}",
        "Proportional needs weights: route with traffic.gatewayAPI, or remove it (replicas is proportional anyway)",
        ".capacity.candidate",
    ),
    rule(
        f"!has(self.capacity) || !has(self.capacity.candidate) || self.capacity.candidate != 'Fixed' || {_HAS_GATEWAY}",
        "Fixed needs weights: route with traffic.gatewayAPI, or remove it (with replicas, pods are the weight)",
        ".capacity.candidate",
    ),
    rule(
        f"!has(self.rollback) || !has(self.rollback.mode) || self.rollback.mode != 'Gradual' || {_HAS_GATEWAY}",
        "Gradual needs weights: route with traffic.gatewayAPI, or set mode to Immediate",
        ".rollback.mode",
    ),
    rule(
        "type(self.service.targetPort) == int || !has(self.template) || "
        "self.template.spec.containers.exists(container, has(container.ports) && "
        "container.ports.exists(port, has(port.name) && port.name == self.service.targetPort)) || "
        "(has(self.template.spec.initContainers) && "
        "self.template.spec.initContainers.exists(container, has(container.ports) && "
        "container.ports.exists(port, has(port.name) && port.name == self.service.targetPort)))",
        "no container has a port of this name: name a port so in the template, or set targetPort to a number",
        ".service.targetPort",
    ),
)


class ModelRolloutSpec(ApiModel):
    """Which model version should serve, how it gets there and what must hold on the way."""

    model_config = ConfigDict(json_schema_extra=_SPEC_RULES)

    model: Model = Field(
        description="Which model version should serve. A change of name, version or uri starts an attempt."
    )
    replicas: int = Field(
        description="Pods of the version that serves; the scale subresource, so an HPA can target the ModelRollout.",
        default=1,
        ge=1,
        le=10_000,
    )
    template: Template | None = Field(
        description="The pods that serve the model: a PodTemplateSpec. A change starts an attempt.", default=None
    )
    workload_ref: WorkloadRef | None = Field(
        description="A Deployment of the same namespace whose pod template is used in place of template, for those who "
        "move in from there.",
        default=None,
    )
    service: Service = Field(description="How callers reach the model.", default_factory=Service)
    server: ServerKind | None = Field(
        description="The model server in the pods, whose metrics are then known by name. auto finds out which it is by "
        "the series that the pods expose.",
        default=None,
    )
    traffic: Traffic = Field(
        description="Who splits the requests. Name one router; without any it is replicas.",
        default_factory=Traffic,
        exclude_if=lambda traffic: traffic == Traffic(),
    )
    strategy: Strategy = Field(
        description="How the candidate gets its traffic. Name one strategy; without any it is canary.",
        default_factory=Strategy,
        exclude_if=lambda strategy: strategy == Strategy(),
    )
    slos: list[Slo] = Field(
        description="What must hold while the candidate takes traffic. A breach takes the candidate back; "
        "silence holds it.",
        default_factory=list,
        max_length=16,
        json_schema_extra=listed_by("name"),
    )
    prometheus: DnsLabel | None = Field(
        description="Which Prometheus all SLOs are asked of, by a name that the operator was told "
        "(prometheus.sources of its chart). Its default when left out.",
        default=None,
    )
    direct_scrapes: DirectScrapes | None = Field(
        description="Let the operator itself scrape the pods of both versions, every few seconds, for SLOs that count "
        "what the pods expose: sooner than Prometheus, and while it is stale or down. It has to reach the pods.",
        default=None,
    )
    alerts: Alerts | None = Field(
        description="Alerting rules of Prometheus that take a candidate back, where the operator takes alerts "
        "(alerts.enabled of its chart).",
        default=None,
    )
    bake: Bake | None = Field(
        description="A last stage at 100 per cent, in which the version before can still take everything back at once.",
        default=None,
    )
    warm_up: WarmUp | None = Field(
        description="Requests sent to every candidate pod before it gets any traffic: Ready is not warm.", default=None
    )
    rollback: Rollback = Field(description="How the way back is kept open.", default_factory=Rollback)
    capacity: Capacity = Field(
        description="How many pods the candidate has before it serves everything, and what happens without room.",
        default_factory=Capacity,
    )
    disruption_budget: DisruptionBudget | None = Field(
        description="How many pods of a version may be evicted at once. Leave it out where you have budgets of your "
        "own: a pod that two of them select cannot be evicted at all.",
        default=None,
    )
    retry: Retry | None = Field(
        description="Trying a version again that was taken back, unless a person took it back. Without it that takes a "
        "change of the spec.",
        default=None,
    )
    progress_deadline: PositiveDuration | None = Field(
        description="How long the candidate's pods may take to become ready and warm. By default three times what the "
        "stable version took, and at least ten minutes.",
        default=None,
    )
    copies: Copies = Field(
        description="What of the things that the template names is copied for each attempt.", default_factory=Copies
    )
    revision_history_limit: int = Field(
        description="How many attempts that are not in use are kept to go back to, and their RolloutReports.",
        default=10,
        ge=0,
        le=MOST_HISTORY,
    )
    paused: bool = Field(
        description="Nothing starts and no stage is left upwards; breaches still take the candidate back.",
        default=False,
    )
    ready_when: ReadyWhen = Field(
        description="Serving: the condition Ready is True while the stable version serves and nothing needs a person, "
        "however long an attempt takes. Complete: it is True only once what the spec asks for serves everybody, so "
        "that whoever waits for it waits for the whole rollout.",
        default=ReadyWhen.SERVING,
    )
    deletion_policy: DeletionPolicy = Field(
        description="Retain leaves the stable version serving when the ModelRollout is deleted; Delete removes "
        "everything.",
        default=DeletionPolicy.RETAIN,
    )

    @property
    def pod_template(self) -> dict[str, Any]:
        """The template, once it was put in the place of a workloadRef; raises LookupError before."""
        if self.template is None:
            raise LookupError("the template behind spec.workloadRef is not known")
        return self.template
