"""`spec.slos`: what must hold while the candidate takes traffic."""

from enum import StrEnum
from hashlib import sha256
from typing import Annotated

from pydantic import ConfigDict, Field

from modelrollout.api.base import ApiModel, matches, rule, rules
from modelrollout.api.quantities import (
    NUMBER_PATTERN,
    SHARE_PATTERN,
    DnsLabel,
    Increase,
    Number,
    PositiveDuration,
    Share,
    parse_number,
)


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


QUERY_VARIABLES = (
    *("namespace", "rollout", "candidate", "stable", "service_candidate", "service_stable"),
    *("arm", "service_arm", "window"),
)
"""What is filled in where a query says $NAME or ${NAME}."""


EVERY_REQUEST_FAILS = "EveryRequestFails"
"""Reason of a breach that is beyond any doubt, and counts at once however often in a row breaches have to."""


ABOVE_WARNING = "AboveWarning"
"""Reason of an SLO that passes, and of which people are told."""


class Verdict(StrEnum):
    """What an SLO says. Inconclusive is neither health nor harm."""

    PASS = "Pass"  # noqa: S105 - no password
    BREACH = "Breach"
    INCONCLUSIVE = "Inconclusive"


class OnBreach(StrEnum):
    """What a breach does to the candidate."""

    REVERT = "Revert"
    HOLD = "Hold"
    NOTIFY = "Notify"


class Test(StrEnum):
    """How counts, and values beside stable's, are held against what is allowed."""

    __test__ = False  # to pytest, which takes what is named so for tests

    SEQUENTIAL = "Sequential"
    PLAIN = "Plain"


class SharedIncident(StrEnum):
    """What a breach means when stable is above the limit as well."""

    HOLD = "Hold"
    IGNORE = "Ignore"


_TOLERATED = "25%"

Selector = Annotated[str, Field(min_length=1, max_length=1024)]


class Counter(ApiModel):
    """Counters of the pods, of either version: what share of all is bad, or good."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.bad) != has(self.good)",
                "name one of bad and good: the counter of those of which more is worse, or of which more is better",
            )
        )
    )
    bad: Selector | None = Field(
        description='Series selector of the counter of bad ones, such as alerts_total{action="dismiss"}.', default=None
    )
    good: Selector | None = Field(
        description="Series selector of the counter of good ones, such as purchases_total, in place of bad.",
        default=None,
    )
    total: Selector = Field(description="Series selector of the counter of all, such as alerts_total.")


class Baseline(ApiModel):
    """How much worse than stable the candidate may be, relative to it."""

    max_increase: Increase | None = Field(
        description="How much greater than stable's the candidate's share or value may be, relative to it: with "
        "25%, 1.25% is tolerated where stable has 1%. 25% when both are left out; of a query, one has to be set.",
        default=None,
    )
    max_decrease: Share | None = Field(
        description="How much smaller it may be, where less is worse.",
        default=None,
    )

    @property
    def tolerated(self) -> float:
        """The candidate's rate or value in times of stable's that is just tolerated."""
        if self.max_decrease is not None:
            return 1 - parse_number(self.max_decrease)
        return 1 + parse_number(_TOLERATED if self.max_increase is None else self.max_increase)

    @property
    def less_is_worse(self) -> bool:
        """Whether less than stable's is harm, and more is not."""
        return self.max_decrease is not None


class Query(ApiModel):
    """A free PromQL query that yields one value."""

    value: str = Field(
        description="PromQL that yields a single series or a scalar. $namespace, $rollout, $candidate and $stable (the "
        "two colours), $service_candidate, $service_stable and $window are filled in. $arm and $service_arm are the "
        "version that is asked for: the candidate, and with a baseline stable as well, at the same moment.",
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


_LESS_IS_WORSE = "(has(self.counter) && has(self.counter.good))"
_COMPARED_QUERY = "(has(self.query) && has(self.baseline))"


def _number(field: str) -> str:
    return f"double(self.{field}.replace('%', ''))"


def _at_most(less: str, more: str) -> str:
    """CEL for "not above", of numbers that are written alike: both with a per cent sign or both without."""
    alike = f"self.{less}.endsWith('%') == self.{more}.endsWith('%')"
    readable = " && ".join(matches(f"self.{field}", NUMBER_PATTERN) for field in (less, more))
    return (
        f"!has(self.{less}) || !has(self.{more}) || !({readable}) || !({alike}) || {_number(less)} <= {_number(more)}"
    )


class Slo(ApiModel):
    """One thing that must hold while the candidate takes traffic."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "(has(self.metric) ? 1 : 0) + (has(self.counter) ? 1 : 0) + (has(self.query) ? 1 : 0) == 1",
                "name one of metric, counter and query: metric for one that is built in, counter for counters of your "
                "own, query for any other PromQL",
            ),
            rule(
                "has(self.limit) || has(self.baseline)",
                "nothing says what is bad: set limit, or baseline for a comparison with stable, or both",
            ),
            rule(
                f"!{_COMPARED_QUERY} || has(self.baseline.maxIncrease) || has(self.baseline.maxDecrease)",
                "a query does not say whether more or less is worse: set maxIncrease or maxDecrease",
                ".baseline",
            ),
            rule(
                f"!{_COMPARED_QUERY} || {matches('self.query.value', '[$][{]?(service_)?arm')}",
                "with baseline both versions are asked the same: write $arm where the query names the colour",
                ".query.value",
            ),
            rule(
                f"!{_COMPARED_QUERY} || !has(self.limit)",
                "a limit and a comparison of one query are two SLOs: remove limit here, or baseline",
                ".limit",
            ),
            rule(
                "!has(self.baseline) || !has(self.baseline.maxIncrease) || !has(self.baseline.maxDecrease)",
                "set one of maxIncrease and maxDecrease: counts are worse in one direction only",
                ".baseline",
            ),
            rule(
                f"!has(self.baseline) || !has(self.baseline.maxDecrease) || has(self.query) || {_LESS_IS_WORSE}",
                "maxDecrease is for what is good: use maxIncrease, or name the counter under good",
                ".baseline.maxDecrease",
            ),
            rule(
                f"!{_LESS_IS_WORSE} || (has(self.baseline) && has(self.baseline.maxDecrease))",
                "a counter of good ones is compared with stable: set baseline.maxDecrease, or name the bad ones",
                ".counter.good",
            ),
            rule(
                f"!{_LESS_IS_WORSE} || !has(self.limit)",
                "limit is for what is bad: remove it, or count the bad ones",
                ".limit",
            ),
            rule(
                "!has(self.baseline) || !has(self.test) || has(self.query) || self.test == 'Sequential'",
                "only Sequential compares counts with stable: remove test, or remove baseline",
                ".test",
            ),
            rule(
                "!has(self.test) || !has(self.query) || has(self.baseline)",
                "a query that has a limit is judged by that alone: remove test here",
                ".test",
            ),
            *(
                rule(
                    f"!has(self.{less}) || has(self.limit)",
                    f"{less} is less than a limit: set limit as well",
                    f".{less}",
                )
                for less in ("target", "warning")
            ),
            rule(_at_most("warning", "limit"), "warning must not be above limit", ".warning"),
            rule(_at_most("target", "limit"), "target must not be above limit", ".target"),
            rule(_at_most("target", "warning"), "target must not be above warning", ".target"),
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
                "!has(self.minSamples) || !has(self.query)",
                "minSamples is for counts: remove it here, and let the query yield nothing when it saw too little",
                ".minSamples",
            ),
            rule(
                f"has(self.query) || !has(self.limit) || {matches('self.limit', SHARE_PATTERN)}",
                "the limit of a count is a share of all, from 0% to under 100%, such as 0.5%",
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
    counter: Counter | None = Field(
        description="Counters of the pods that are not built in, such as of business events or of delayed labels.",
        default=None,
    )
    query: Query | None = Field(description="A free query, asked on its own.", default=None)
    target: Number | None = Field(
        description="What is aimed for. It is told in reports and decides nothing.", default=None
    )
    warning: Number | None = Field(description="Above this people are told; nothing is held.", default=None)
    limit: Number | None = Field(
        description="The candidate breaches the SLO when the value is above this: 0.5% for a share, 0.3 for a "
        "query's value.",
        default=None,
    )
    baseline: Baseline | None = Field(
        description="The candidate breaches the SLO when it is worse than stable at the same time, by more than this.",
        default=None,
    )
    test: Test | None = Field(
        description="How counts, and queries with a baseline, are judged. Sequential, the default, weighs all of the "
        "attempt: it may be looked at at any time, and a healthy candidate is taken back in one of a hundred attempts "
        "at most. Plain holds the share in the window against the limit, or the value of a query against stable's, "
        "consecutiveBreaches times in a row.",
        default=None,
    )
    window: PositiveDuration = Field(
        description="How far back the value that is shown goes, never further than the start of the stage. Plain "
        "limits and queries are judged by it.",
        default="2m",
    )
    min_samples: int | None = Field(
        description="With fewer requests than this in the stage (Plain: in the window) an SLO does not pass; 50 when "
        "left out. Not of queries: let one that has seen too little yield nothing.",
        default=None,
        ge=1,
        le=1_000_000,
    )
    consecutive_breaches: int = Field(
        description="Breaches in a row, each on new samples, after which onBreach applies. Sequential needs one.",
        default=2,
        ge=1,
        le=100,
    )
    total_breaches: int | None = Field(
        description="Breaches in one stage, in a row or not, after which onBreach applies as well.",
        default=None,
        ge=1,
        le=1000,
    )
    on_breach: OnBreach = Field(
        description="Revert takes the candidate back. Hold keeps it in its stage until the SLO passes. Notify tells "
        "people, and nothing else.",
        default=OnBreach.REVERT,
    )
    revert_after: PositiveDuration | None = Field(
        description="With onBreach Hold: take the candidate back when it has been breached for this long.", default=None
    )
    dry_run: bool = Field(
        description="Judge and tell, and let it decide nothing: to find out what an SLO would have done.", default=False
    )
    shared_incident: SharedIncident = Field(
        description="When stable is above the limit as well, something that both depend on is broken: Hold waits "
        "until one of them is not. Ignore takes the candidate back.",
        default=SharedIncident.HOLD,
    )
    stages: list[Annotated[str, Field(min_length=1, max_length=63)]] | None = Field(
        description="Names of the stages in which it is judged, such as canary-5 or bake; all when left out.",
        default=None,
        min_length=1,
        max_length=32,
    )

    @property
    def question(self) -> str:
        """What is counted and what it is held against: with another one, evidence begins anew.

        Of a query only a digest: one may be longer than what a status should carry along.
        """
        if self.query:
            asked = self.model_dump_json(include={"query", "window", "baseline"}, by_alias=True)
            return sha256(asked.encode()).hexdigest()
        of = {"metric", "source", "slower_than", "counter", "limit", "baseline", "shared_incident"}
        return self.model_dump_json(include=of, exclude_defaults=True, by_alias=True)

    @property
    def counts(self) -> bool:
        """Whether it is about bad ones out of all, in counters."""
        return self.query is None

    @property
    def counts_requests(self) -> bool:
        """Whether its total is one of requests: not of tokens, nor of events that versions may differ in."""
        return self.metric is not None and self.metric is not BuiltInMetric.TIME_PER_OUTPUT_TOKEN

    @property
    def is_sequential(self) -> bool:
        """Whether it is judged by the evidence of the whole attempt, at any moment."""
        return (self.counts or self.baseline is not None) and self.test is not Test.PLAIN

    @property
    def breaches_needed(self) -> int:
        """Breaches in a row that make it count."""
        return 1 if self.is_sequential else self.consecutive_breaches

    def applies_in(self, stage: str) -> bool:
        """Whether it is judged in the stage of that name."""
        return self.stages is None or stage in self.stages
