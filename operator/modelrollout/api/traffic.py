"""`spec.traffic`: who splits the requests between stable and candidate."""

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field

from modelrollout.api.base import ApiModel, listed_by, rule, rules, worded
from modelrollout.api.quantities import DnsLabel

VARIANT_HEADER = "x-model-variant"
"""Header that tells callers (and splits Envoy's metrics by) stable and candidate, and by which they ask for stable."""

_HOSTNAME = r"^([*][.])?[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"

Hostname = Annotated[
    str,
    worded(
        _HOSTNAME,
        "must be a host name such as fraud.example.com or *.example.com: lower case, no scheme, no port",
        max_length=253,
    ),
]


PathPrefix = Annotated[
    str,
    worded(
        r"^/[-A-Za-z0-9/._~!$&()*+,;=:@]*$",
        "must be a path that starts with /, such as /v2",
        rule(
            "!self.matches(r'//|/[.]{1,2}(/|$)')",
            "must hold no empty, . or .. segment: an HTTPRoute takes none",
        ),
        max_length=1024,
    ),
]


class HeaderMatch(ApiModel):
    """Requests that carry a header with exactly this value."""

    header: Annotated[
        str,
        worded(
            r"^[A-Za-z0-9!#$%&*+.^_`|~-]+$",
            "must be the name of a header such as x-ring",
            max_length=256,
        ),
        AfterValidator(str.lower),
    ] = Field(description="Name of the header; upper and lower case are the same.")
    value: Annotated[
        str,
        worded(
            r"^[!-~]([ -~]*[!-~])?$",
            "must be what a header can carry: visible ASCII characters, and spaces between them",
            max_length=1024,
        ),
    ] = Field(description="Its value, in full and in this very spelling.")

    def __str__(self) -> str:
        return f"{self.header}: {self.value}"


MOST_COHORTS = 64
"""How many header matches a rule of an HTTPRoute takes."""

Cohorts = Annotated[list[HeaderMatch], Field(max_length=16, json_schema_extra=listed_by("header", "value"))]
"""Groups of callers, each known by a header."""


class ParentRef(ApiModel):
    """The Gateway (or Service, for a mesh) that the route attaches to."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "self.kind != 'Service' || self.group == ''",
                "kind Service is in the core group: set group to the empty string",
                ".group",
            )
        )
    )
    group: str = Field(description="API group of the parent.", default="gateway.networking.k8s.io", max_length=253)
    kind: str = Field(description="Kind of the parent.", default="Gateway", min_length=1, max_length=63)
    name: str = Field(description="Name of the parent.", min_length=1, max_length=253)
    namespace: DnsLabel | None = Field(
        description="Namespace of the parent; that of the ModelRollout when left out.", default=None
    )
    section_name: Annotated[str, Field(min_length=1, max_length=253)] | None = Field(
        description="Listener of the Gateway; all that fit when left out.", default=None
    )
    port: int | None = Field(
        description="Port of the parent; all that fit when left out.", default=None, ge=1, le=65535
    )


class GatewayApiRouter(ApiModel):
    """Splits requests by weight with an HTTPRoute that the operator owns whole."""

    parent_refs: list[ParentRef] = Field(
        description="What the HTTPRoute attaches to.",
        min_length=1,
        max_length=8,
        json_schema_extra=rules(
            rule(
                "self.all(one, self.exists_one(other, one == other))",
                "each parent may be named once: remove the repeated one, or tell them apart by sectionName or port",
            )
        ),
    )
    hostnames: list[Hostname] = Field(
        description="Host names that the HTTPRoute answers to; all of the listener's when empty.",
        default_factory=list,
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    path_prefix: PathPrefix = Field(description="Path below which the HTTPRoute matches.", default="/")
    stable_header: HeaderMatch = Field(
        description="Requests that carry it go to the stable version in every stage, so that a client whose answer was "
        "wrong can ask that one. It comes before cohorts and weights.",
        default_factory=lambda: HeaderMatch(header=VARIANT_HEADER, value="stable"),
    )


class Unreachable(StrEnum):
    """What to do with a stage whose weight the router cannot reach."""

    SKIP = "Skip"
    REFUSE = "Refuse"


class ReplicasRouter(ApiModel):
    """Splits requests by the number of ready pods behind one Service: nothing to install, coarse weights.

    With n replicas the reachable weights are c/(c+n) for c = 1..n, then 100; a stage never gets more than it declares.
    """

    unreachable: Unreachable = Field(
        description="A stage whose weight is below the smallest reachable one is left out (Skip), though not its "
        "approvals and its checklist, or the rollout does not start (Refuse).",
        default=Unreachable.SKIP,
    )


class Traffic(ApiModel):
    """Who splits the requests. Name one router; without any it is `replicas`.

    The routers have no defaults: one that the API server filled in would stand beside the one that the user names. None
    at all is refused, because the API server makes that of `gatewayAPI:` with nothing after it.
    """

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!(has(self.gatewayAPI) && has(self.replicas))",
                "name one router: remove either gatewayAPI or replicas",
            ),
            rule(
                "has(self.gatewayAPI) || has(self.replicas)",
                "name a router, such as replicas: {} for its defaults, or remove traffic for the same",
            ),
        )
    )
    gateway_api: GatewayApiRouter | None = Field(
        description="Weights in an HTTPRoute of the Gateway API.", default=None, alias="gatewayAPI"
    )
    replicas: ReplicasRouter | None = Field(
        description="Weights by numbers of ready pods: nothing to install, coarse.", default=None
    )
