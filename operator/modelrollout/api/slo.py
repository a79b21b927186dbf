"""`spec.slos`: what must hold while the candidate takes traffic."""

from enum import StrEnum

from pydantic import ConfigDict, Field

from modelrollout.api.base import ApiModel, matches, rule, rules
from modelrollout.api.quantities import SHARE_PATTERN, DnsLabel, Number, PositiveDuration


class BuiltInMetric(StrEnum):
    """Metrics that the templates of model servers and proxies provide."""

    ERROR_RATIO = "error-ratio"
    LATENCY = "latency"
    TIME_TO_FIRST_TOKEN = "time-to-first-token"  # noqa: S105 - no password
    TIME_PER_OUTPUT_TOKEN = "time-per-output-token"  # noqa: S105


class MetricSource(StrEnum):
    """Whose template a built-in metric is read from."""

    SERVER = "Server"
    GATEWAY = "Gateway"


QUERY_VARIABLES = ("namespace", "rollout", "candidate", "stable", "service_candidate", "service_stable", "window")
"""What is filled in where a query says $NAME or ${NAME}."""


class Verdict(StrEnum):
    """What an SLO says. Inconclusive is neither health nor harm."""

    PASS = "Pass"  # noqa: S105 - no password
    BREACH = "Breach"
    INCONCLUSIVE = "Inconclusive"


class OnBreach(StrEnum):
    """What a breach does to the candidate."""

    REVERT = "Revert"
    HOLD = "Hold"


class Query(ApiModel):
    """A free PromQL query that yields one value."""

    value: str = Field(
        description="PromQL that yields a single series or a scalar. $namespace, $rollout, $candidate and $stable (the "
        "two colours), $service_candidate, $service_stable and $window are filled in.",
        min_length=1,
        max_length=2048,
        json_schema_extra=rules(
            rule(
                "self.replace('${', '$').findAll('[$][A-Za-z_][A-Za-z0-9_]*').all(found, found in "
                f"{[f'${name}' for name in QUERY_VARIABLES]})",
                f"only these are filled in: {', '.join(f'${name}' for name in QUERY_VARIABLES)}; correct the others",
            )
        ),
    )


class Slo(ApiModel):
    """One thing that must hold while the candidate takes traffic."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.metric) != has(self.query)",
                "name one of metric and query: metric for error-ratio or latency, query for PromQL of your own",
            ),
            rule(
                "!has(self.metric) || self.metric == 'error-ratio' || has(self.slowerThan)",
                "all metrics but error-ratio count what is slower than slowerThan: set it, such as 120ms",
                ".slowerThan",
            ),
            rule(
                "!has(self.slowerThan) || (has(self.metric) && self.metric != 'error-ratio')",
                "slowerThan belongs to metric latency and the like: remove it here",
                ".slowerThan",
            ),
            rule(
                "!has(self.revertAfter) || (has(self.onBreach) && self.onBreach == 'Hold')",
                "revertAfter belongs to onBreach Hold: set that, or remove revertAfter",
                ".revertAfter",
            ),
            rule("!has(self.source) || has(self.metric)", "source belongs to metric: remove it here", ".source"),
            rule(
                "!has(self.minSamples) || has(self.metric)",
                "minSamples belongs to metric: remove it here, and let the query yield nothing when it saw too little",
                ".minSamples",
            ),
            rule(
                f"!has(self.metric) || {matches('self.limit', SHARE_PATTERN)}",
                "the limit of a built-in metric is a share of the requests, from 0% to under 100%, such as 0.5%",
                ".limit",
            ),
        )
    )
    name: DnsLabel = Field(description="Name of the SLO, unique in the list.")
    metric: BuiltInMetric | None = Field(
        description="A built-in metric: error-ratio (failed of all requests), latency (requests slower than "
        "slowerThan), and of servers that generate text time-to-first-token and time-per-output-token (which took "
        "longer than slowerThan). docs/metrics.md says which server has which.",
        default=None,
    )
    source: MetricSource | None = Field(
        description="Where a built-in metric comes from: the model Server or the Gateway. By default the server when "
        "spec.server names one, else the gateway.",
        default=None,
    )
    slower_than: PositiveDuration | None = Field(
        description="Threshold of metric latency and the like. It must be one of the histogram's bucket edges; the "
        "nearest are named when it is not.",
        default=None,
    )
    query: Query | None = Field(description="A free query, asked on its own.", default=None)
    limit: Number = Field(
        description="The candidate breaches the SLO when the value is above this: 0.5% for a share, 0.3 for a "
        "query's value."
    )
    window: PositiveDuration = Field(
        description="How far back requests count, never further than the start of the stage.", default="2m"
    )
    min_samples: int | None = Field(
        description="Fewer requests than this in the window decide nothing; 50 when left out. Of built-in metrics "
        "only: let a query that has seen too little yield nothing.",
        default=None,
        ge=1,
        le=1_000_000,
    )
    consecutive_breaches: int = Field(
        description="Breaches in a row, each on new samples, after which onBreach applies.",
        default=2,
        ge=1,
        le=100,
    )
    on_breach: OnBreach = Field(
        description="Revert takes the candidate back. Hold keeps it in its stage until the SLO passes.",
        default=OnBreach.REVERT,
    )
    revert_after: PositiveDuration | None = Field(
        description="With onBreach Hold: take the candidate back when it has been breached for this long.", default=None
    )
