"""What can be seen to be wrong with a rollout's SLOs before any traffic moves.

Only what is surely wrong: before the first request many counters do not exist yet, and a new version may bring its own.
"""

import asyncio
import difflib
from collections.abc import Collection
from datetime import timedelta
from enum import StrEnum

import promql_parser

from modelrollout.api.quantities import parse_duration
from modelrollout.api.slo import BuiltInMetric, Slo
from modelrollout.api.spec import ModelRolloutSpec
from modelrollout.engine.snapshot import Obstacle
from modelrollout.metrics.prometheus import ManySeries, NoData, QueryError, Single, Source, Unavailable, Value
from modelrollout.metrics.queries import Scope, basis, newest_sample
from modelrollout.metrics.readings import off_the_edges
from modelrollout.metrics.templates import (
    ATTEMPT_LABEL,
    COLOUR_LABEL,
    NAME_LABEL,
    UP,
    OneLabel,
    Template,
    template_for,
)

SETTLED = timedelta(minutes=3)
"""A version that serves this long has been found and scraped by Prometheus, or never will be."""

_DERIVED = ("_total", "_created", "_bucket", "_count", "_sum", "_info")
"""What a metric's series may have at the end of their name that its metadata does not."""


class ObstacleReason(StrEnum):
    """Why SLOs cannot be judged."""

    PROMETHEUS_NOT_CONFIGURED = "PrometheusNotConfigured"
    PROMETHEUS_UNKNOWN = "PrometheusUnknown"
    PROMETHEUS_UNAVAILABLE = "PrometheusUnavailable"
    QUERY_INVALID = "QueryInvalid"
    METRIC_NOT_FOUND = "MetricNotFound"
    TARGET_DOWN = "TargetDown"
    NOT_ON_BUCKET_EDGE = "ThresholdNotOnBucketEdge"


async def check(
    source: Source | None,
    spec: ModelRolloutSpec,
    scope: Scope,
    *,
    serving_for: timedelta,
    known: Collection[str] = (),
) -> tuple[Obstacle, ...]:
    """What a person has to mend before the SLOs of a spec can be judged; nothing when there are none.

    `source` is None when the operator knows no Prometheus of the name in the spec, but only those that are `known`;
    `serving_for` says how long the stable version has served.
    """
    if not spec.slos:
        return ()
    offline = [obstacle for slo in spec.slos for obstacle in _off_the_edges(slo, spec)]
    if source is None:
        return (_without_source(spec, known), *offline, *_unparsable(spec, scope))
    found = await asyncio.gather(
        *(_check_query(source, slo, scope) for slo in spec.slos if slo.query),
        *(_check_series(source, template, scope, serving_for) for template in _templates(spec)),
    )
    unavailable = next((answer for answer in found if isinstance(answer, Unavailable)), None)
    if unavailable:
        return (
            _obstacle(ObstacleReason.PROMETHEUS_UNAVAILABLE, unavailable.message),
            *offline,
            *_unparsable(spec, scope),
        )
    return (*offline, *(obstacle for obstacle in found if isinstance(obstacle, Obstacle)))


def _without_source(spec: ModelRolloutSpec, known: Collection[str]) -> Obstacle:
    names = ", ".join(known)
    if spec.prometheus:
        message = (
            f"spec.prometheus: the operator knows no Prometheus named {spec.prometheus}; it knows {names or 'none'}"
        )
        return _obstacle(ObstacleReason.PROMETHEUS_UNKNOWN, message)
    if known:
        message = f"the operator has no default Prometheus (--prometheus-url): set spec.prometheus to one of {names}"
    else:
        message = "the operator was started without the URL of a Prometheus (--prometheus-url), so no SLO can be judged"
    return _obstacle(ObstacleReason.PROMETHEUS_NOT_CONFIGURED, message)


def _templates(spec: ModelRolloutSpec) -> list[Template]:
    found = {slo.name: template_for(slo, spec.server) for slo in spec.slos if slo.metric}
    return list({template.name: template for template in found.values()}.values())


def _off_the_edges(slo: Slo, spec: ModelRolloutSpec) -> list[Obstacle]:
    if slo.metric is not BuiltInMetric.LATENCY:
        return []
    template = template_for(slo, spec.server)
    if template.wanted(slo):
        return []
    return [_obstacle(ObstacleReason.NOT_ON_BUCKET_EDGE, f'slo "{slo.name}": {off_the_edges(slo, template)}')]


def _unparsable(spec: ModelRolloutSpec, scope: Scope) -> list[Obstacle]:
    """Queries that do not parse here: all that can be said of them without Prometheus."""
    found = []
    for slo in spec.slos:
        if slo.query:
            try:
                promql_parser.parse(_filled(slo, scope))
            except ValueError as error:
                found.append(_invalid(slo, scope, str(error)))
    return found


async def _check_query(source: Source, slo: Slo, scope: Scope) -> Obstacle | Unavailable | None:
    """Ask a free query once. Prometheus itself is the judge of what parses, and names the position."""
    answer = await source.value(_filled(slo, scope))
    match answer:
        case Unavailable():
            return answer
        case QueryError(message):
            return _invalid(slo, scope, message)
        case ManySeries(count):
            return _invalid(slo, scope, f"it yields {count} series where one is wanted; aggregate them")
        case NoData():
            return await _check_names(source, slo, scope)
    newest = await newest_sample(source, basis(_filled(slo, scope)))
    return _invalid(slo, scope, newest.message) if isinstance(newest, QueryError) else None


async def _check_names(source: Source, slo: Slo, scope: Scope) -> Obstacle | None:
    """A query that yields nothing may only lack traffic, unless it asks for metrics that exist nowhere.

    Not everything that speaks Prometheus's API can tell what exists; nothing is wrong with the query then.
    """
    known = await source.names()
    if not isinstance(known, frozenset):
        return None
    for name in basis(_filled(slo, scope)).names:
        if not ({name} | {name.removesuffix(suffix) for suffix in _DERIVED}) & known:
            nearest = await asyncio.to_thread(difflib.get_close_matches, name, known, n=1)
            hint = f"; did you mean {nearest[0]}?" if nearest else ""
            message = f'slo "{slo.name}": Prometheus knows no metric named {name}{hint}'
            return _obstacle(ObstacleReason.METRIC_NOT_FOUND, message)
    return None


async def _check_series(
    source: Source, template: Template, scope: Scope, serving_for: timedelta
) -> Obstacle | Unavailable | None:
    """Whether Prometheus has what a template needs of the stable version; the candidate's series come with its pods."""
    settled = serving_for >= SETTLED
    if isinstance(template.attribution, OneLabel):
        return await _check_proxy(source, template, template.attribution, scope, settled)
    return await _check_pods(source, scope, settled)


async def _check_pods(source: Source, scope: Scope, settled: bool) -> Obstacle | Unavailable | None:
    rollout = f"{scope.namespace}/{scope.rollout}"
    labels = f'namespace="{scope.namespace}",{NAME_LABEL}="{scope.rollout}",{COLOUR_LABEL}="{scope.stable}"'
    answer = await source.value(f'max(max_over_time({UP}{{{labels},{ATTEMPT_LABEL}!=""}}[2m]))')
    if isinstance(answer, Value) and settled and not answer.value:
        message = (
            f"Prometheus has failed to scrape every stable pod of {rollout} for two minutes: see its targets; the port "
            "or the path of the metrics may be wrong in the PodMonitor or scrape configuration"
        )
        return _obstacle(ObstacleReason.TARGET_DOWN, message)
    if not isinstance(answer, NoData):
        return _unavailable(answer)
    pods = f'namespace="{scope.namespace}",pod=~"{scope.rollout}-{scope.stable}-[a-z0-9]+-[a-z0-9]+"'
    answer = await source.value(f"count({UP}{{{pods}}})")
    if isinstance(answer, Value):
        message = (
            f"Prometheus scrapes pods of {rollout} without their labels {NAME_LABEL}, {COLOUR_LABEL} and "
            f"{ATTEMPT_LABEL}: carry the pod labels over (podTargetLabels of the PodMonitor, or a labelmap in the "
            "scrape configuration)"
        )
        return _obstacle(ObstacleReason.METRIC_NOT_FOUND, message)
    if isinstance(answer, NoData) and settled:
        message = (
            f"Prometheus scrapes no stable pod of {rollout}: no target has {labels}; a PodMonitor or scrape "
            "configuration that finds the pods is missing"
        )
        return _obstacle(ObstacleReason.METRIC_NOT_FOUND, message)
    return _unavailable(answer)


async def _check_proxy(
    source: Source, template: Template, clusters: OneLabel, scope: Scope, settled: bool
) -> Obstacle | Unavailable | None:
    values = clusters.any_backend(scope.namespace, scope.rollout)
    answer = await source.value(f'count({template.requests.series}{{{clusters.label}=~"{values}"}})')
    if isinstance(answer, NoData) and settled:
        message = (
            f"Prometheus has no series {template.requests.series} with {clusters.label} like {values}: it does not "
            "scrape the gateway's proxies, or the HTTPRoute is not in use there"
        )
        return _obstacle(ObstacleReason.METRIC_NOT_FOUND, message)
    return _unavailable(answer)


def _filled(slo: Slo, scope: Scope) -> str:
    return scope.fill(slo.query.value, parse_duration(slo.window)) if slo.query else ""


def _invalid(slo: Slo, scope: Scope, message: str) -> Obstacle:
    return _obstacle(
        ObstacleReason.QUERY_INVALID, f'slo "{slo.name}": {message}; filled in, the query is {_filled(slo, scope)}'
    )


def _unavailable(answer: Single) -> Unavailable | None:
    return answer if isinstance(answer, Unavailable) else None


def _obstacle(reason: ObstacleReason, message: str) -> Obstacle:
    return Obstacle(condition="MetricsReady", reason=reason, message=message)
