"""What can be seen to be wrong with a rollout's SLOs before any traffic moves.

Only what is surely wrong: before the first request many counters do not exist yet, and a new version may bring its own.
"""

import asyncio
import difflib
from collections.abc import Collection, Sequence
from datetime import timedelta
from enum import StrEnum

import promql_parser

from modelrollout.api.quantities import parse_duration
from modelrollout.api.slo import Slo
from modelrollout.api.spec import ModelRolloutSpec, ServerKind
from modelrollout.engine.snapshot import Obstacle
from modelrollout.metrics import exposed, proxies
from modelrollout.metrics.exposed import NotFound
from modelrollout.metrics.meters import Histogram, Meter, Ratio
from modelrollout.metrics.prometheus import ManySeries, NoData, QueryError, Single, Source, Trouble, Unavailable, Value
from modelrollout.metrics.queries import Scope, basis, newest_sample
from modelrollout.metrics.readings import not_there, off_the_edges
from modelrollout.metrics.templates import (
    ATTEMPT_LABEL,
    COLOUR_LABEL,
    NAME_LABEL,
    UP,
    BackendLabels,
    Template,
    is_of_server,
    load,
    of_counter,
    template_for,
)

SETTLED = timedelta(minutes=3)
"""A version that serves this long has been found and scraped by Prometheus, or never will be."""

_DERIVED = ("_total", "_created", "_bucket", "_count", "_sum", "_info")
"""What a metric's series may have at the end of their name that its metadata does not."""


Finding = Obstacle | Unavailable | None
"""What one look found in the way; None: nothing."""


class ObstacleReason(StrEnum):
    """Why SLOs cannot be judged."""

    PROMETHEUS_NOT_CONFIGURED = "PrometheusNotConfigured"
    PROMETHEUS_UNKNOWN = "PrometheusUnknown"
    PROMETHEUS_UNAVAILABLE = "PrometheusUnavailable"
    QUERY_INVALID = "QueryInvalid"
    METRIC_NOT_FOUND = "MetricNotFound"
    SERVER_NOT_FOUND = "ServerNotFound"
    PROXY_NOT_KNOWN = "ProxyNotKnown"
    TARGET_DOWN = "TargetDown"
    NOT_ON_BUCKET_EDGE = "ThresholdNotOnBucketEdge"
    SCRAPE_PORT_UNKNOWN = "ScrapePortUnknown"


async def check(
    source: Source | None,
    spec: ModelRolloutSpec,
    scope: Scope,
    *,
    serving_for: timedelta,
    known: Collection[str] = (),
    controllers: frozenset[str] = frozenset(),
) -> tuple[Obstacle, ...]:
    """What a person has to mend before the SLOs of a spec can be judged; nothing when there are none.

    `source` is None when the operator knows no Prometheus of the name in the spec, but only those that are `known`;
    `serving_for` says how long the stable version has served, `controllers` names those that serve the route.
    """
    if not spec.slos:
        return ()
    if source is None:
        return (_without_source(spec, known), *_offline(spec, scope, controllers))
    settled = serving_for >= SETTLED
    of_server = [slo for slo in spec.slos if slo.metric and is_of_server(slo, spec.server)]
    of_gateway = [slo for slo in spec.slos if slo.metric and not is_of_server(slo, spec.server)]
    looks = await asyncio.gather(
        *(_check_query(source, slo, scope) for slo in spec.slos if slo.query),
        _check_server(source, of_server, spec.server, scope, settled),
        _check_gateway(source, of_gateway, controllers, scope, settled),
        _check_counters(source, spec),
    )
    found = [one for look in looks for one in look]
    unavailable = next((one for one in found if isinstance(one, Unavailable)), None)
    if unavailable:
        away = _obstacle(ObstacleReason.PROMETHEUS_UNAVAILABLE, unavailable.message)
        return (away, *_offline(spec, scope, controllers))
    return (*(one for one in found if isinstance(one, Obstacle)), *_unscrapable(spec))


def _offline(spec: ModelRolloutSpec, scope: Scope, controllers: frozenset[str]) -> list[Obstacle]:
    """What can be said without Prometheus."""
    proxy = proxies.find(controllers)
    known = [(slo, template_for(slo, spec.server, proxy)) for slo in spec.slos if slo.metric and _knows(slo, spec)]
    found = [_off_the_edges(slo, template) for slo, template in known if isinstance(template, Template)]
    unknown = {template for _, template in known if isinstance(template, NotFound) and controllers}
    return [
        *(_obstacle(ObstacleReason.PROXY_NOT_KNOWN, one.message) for one in unknown),
        *(obstacle for obstacle in found if obstacle),
        *_unparsable(spec, scope),
        *_bad_counters(spec),
        *_unscrapable(spec),
    ]


def _unscrapable(spec: ModelRolloutSpec) -> list[Obstacle]:
    """Whether there is no saying at which port the pods are to be scraped directly."""
    if spec.direct_scrapes and spec.template:
        try:
            spec.direct_scrapes.endpoint(spec.template)
        except ValueError as error:
            return [_obstacle(ObstacleReason.SCRAPE_PORT_UNKNOWN, str(error))]
    return []


def _bad_counters(spec: ModelRolloutSpec) -> list[Obstacle]:
    """Selectors of counters that do not parse."""
    found = []
    for slo in spec.slos:
        if slo.counter:
            try:
                of_counter(slo.counter)
            except ValueError as error:
                found.append(_obstacle(ObstacleReason.QUERY_INVALID, f'slo "{slo.name}": {error}'))
    return found


async def _check_counters(source: Source, spec: ModelRolloutSpec) -> list[Finding]:
    """Whether the user's own counters parse and exist; one that has never counted anything may not be there yet."""
    bad = _bad_counters(spec)
    counters = [slo for slo in spec.slos if slo.counter]
    if bad or not counters:
        return [*bad]
    looks = await asyncio.gather(*(_check_names(source, slo, _total_of(slo)) for slo in counters))
    return list(looks)


def _total_of(slo: Slo) -> list[str]:
    """The series that a counter of the user's takes all from."""
    meters = of_counter(slo.counter).meters if slo.counter else []
    return [name for meter in meters for name in meter.proof]


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


def _knows(slo: Slo, spec: ModelRolloutSpec) -> bool:
    return spec.server is not ServerKind.AUTO or not is_of_server(slo, spec.server)


def _off_the_edges(
    slo: Slo, template: Template, meter: Meter | None = None, edges: Collection[float] = ()
) -> Obstacle | None:
    """Whether the threshold of an SLO lies between bucket edges: these, or where none are known the usual ones."""
    meter = meter or template.meter(slo, ())
    if not isinstance(meter, Histogram):
        return None
    edges = edges or meter.edges
    if meter.edge(slo.slower_than or "", meter.edges) in edges:
        return None
    return _obstacle(ObstacleReason.NOT_ON_BUCKET_EDGE, f'slo "{slo.name}": {off_the_edges(slo, meter, edges)}')


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


async def _check_query(source: Source, slo: Slo, scope: Scope) -> list[Finding]:
    return [await _ask_query(source, slo, scope)]


async def _ask_query(source: Source, slo: Slo, scope: Scope) -> Finding:
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
            return await _check_names(source, slo, basis(_filled(slo, scope)).names)
    newest = await newest_sample(source, basis(_filled(slo, scope)))
    return _invalid(slo, scope, newest.message) if isinstance(newest, QueryError) else None


async def _check_names(source: Source, slo: Slo, names: Sequence[str]) -> Obstacle | None:
    """A query that yields nothing may only lack traffic, unless it asks for metrics that exist nowhere.

    Not everything that speaks Prometheus's API can tell what exists; nothing is wrong with the query then.
    """
    known = await source.names()
    if not isinstance(known, frozenset):
        return None
    for name in names:
        if not _is_known(name, known):
            message = f'slo "{slo.name}": Prometheus knows no metric named {name}{await _nearest(name, known)}'
            return _obstacle(ObstacleReason.METRIC_NOT_FOUND, message)
    return None


def _is_known(name: str, known: frozenset[str]) -> bool:
    return bool(({name} | {name.removesuffix(suffix) for suffix in _DERIVED}) & known)


async def _nearest(name: str, known: Collection[str]) -> str:
    """A hint at a metric that there is."""
    nearest = await asyncio.to_thread(difflib.get_close_matches, name, known, n=1)
    return f"; did you mean {nearest[0]}?" if nearest else ""


async def _check_server(
    source: Source, slos: Sequence[Slo], server: ServerKind | None, scope: Scope, settled: bool
) -> list[Finding]:
    """Whether Prometheus has what SLOs need of the pods, as far as the stable version shows it."""
    if not slos or server is None:
        return []
    pods = await _check_pods(source, scope, settled)
    names = await exposed.names(source, scope.namespace, scope.rollout)
    if isinstance(names, Trouble):
        return [pods, _unavailable(names)]
    if server is ServerKind.AUTO:
        identified = exposed.identify(names)
        if isinstance(identified, exposed.NotFound):
            wrong = settled or bool(exposed.servers(names))
            return [pods, _obstacle(ObstacleReason.SERVER_NOT_FOUND, identified.message) if wrong else None]
        server = identified
    template = load(server.value)
    if other := _other_server(template, names):
        return [pods, other]
    matchers = f'namespace="{scope.namespace}",{NAME_LABEL}="{scope.rollout}"'
    looks = [await _check_metric(source, slo, template, names, matchers, settled=settled and not pods) for slo in slos]
    return [pods, *looks]


async def _check_gateway(
    source: Source, slos: Sequence[Slo], controllers: frozenset[str], scope: Scope, settled: bool
) -> list[Finding]:
    """Whether it is known whose proxies serve the route, and Prometheus has what SLOs need of them."""
    if not slos:
        return []
    proxy = proxies.find(controllers)
    if isinstance(proxy, NotFound):
        return [_obstacle(ObstacleReason.PROXY_NOT_KNOWN, proxy.message)] if controllers or settled else []
    backends = proxy.attribution
    if not isinstance(backends, BackendLabels):
        raise TypeError(f"{proxy.name} tells backends apart by pod labels, which a proxy does not have")
    matchers = backends.both(scope.namespace, scope.rollout)
    missing = await _check_proxy(source, proxy, matchers) if settled else None
    return [missing, *[await _check_edges(source, slo, proxy, proxy.meter(slo, ()), matchers) for slo in slos]]


def _other_server(template: Template, names: frozenset[str]) -> Finding:
    """Whether the pods show to be another server than the one that was named."""
    shown = exposed.servers(names)
    if not shown or template.name in shown:
        return None
    message = (
        f"spec.server is {template.name}, but the pods expose none of {', '.join(template.signs)}; "
        f"by their series they are {' and '.join(shown)}: correct spec.server"
    )
    return _obstacle(ObstacleReason.SERVER_NOT_FOUND, message)


async def _check_metric(
    source: Source, slo: Slo, template: Template, names: frozenset[str], matchers: str, *, settled: bool
) -> Finding:
    """Whether the pods have what the metric of an SLO is counted in.

    It comes with the first request, so it is only missing where there have been some, or where no such server was ever
    scraped.
    """
    meters = template.metrics.get(slo.metric, ()) if slo.metric else ()
    if not meters:
        return _obstacle(ObstacleReason.METRIC_NOT_FOUND, f'slo "{slo.name}": {not_there(slo, template)}')
    present = next((meter for meter in meters if meter.proof & names), None)
    if present or not settled or not names:
        return await _check_edges(source, slo, template, present, matchers)
    if await _was_scraped(source, template) and not await _had_requests(source, template, matchers):
        return await _check_edges(source, slo, template, present, matchers)
    name = min(meters[0].proof)
    message = f'slo "{slo.name}": the pods expose no series named {name}{await _nearest(name, names)}'
    return _obstacle(ObstacleReason.METRIC_NOT_FOUND, message)


async def _was_scraped(source: Source, template: Template) -> bool:
    """Whether Prometheus knows of such a server at all; where that cannot be told, it may."""
    known = await source.names()
    return not isinstance(known, frozenset) or any(_is_known(sign, known) for sign in template.signs)


async def _had_requests(source: Source, template: Template, matchers: str) -> bool:
    """Whether the pods have counted any request to the model."""
    ratios = [meter for meter in template.meters if isinstance(meter, Ratio)]
    counters = [f"{counter.selector(matchers)} > 0" for ratio in ratios for counter in ratio.requests]
    return bool(counters) and isinstance(await source.value(f"count({' or '.join(counters)})"), Value)


async def _check_edges(source: Source, slo: Slo, template: Template, meter: Meter | None, matchers: str) -> Finding:
    """Whether the threshold is a bucket edge: one of those that the series have, which may not be the usual ones."""
    if not isinstance(meter, Histogram):
        return _off_the_edges(slo, template)
    shown = await exposed.edges(source, meter, matchers)
    if isinstance(shown, Trouble):
        return _unavailable(shown)
    return _off_the_edges(slo, template, meter, shown)


async def _check_pods(source: Source, scope: Scope, settled: bool) -> Finding:
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


async def _check_proxy(source: Source, proxy: Template, matchers: str) -> Finding:
    """Whether Prometheus has what proxies count of a route that was there for a while.

    Where it comes with the first request, it is only missing if Prometheus knows of no request to anybody.
    """
    (requests,) = proxy.heartbeats
    answer = await source.value(f"count({requests}{{{matchers}}})")
    if not isinstance(answer, NoData) or await _waits_for_requests(source, proxy, requests):
        return _unavailable(answer)
    message = (
        f"Prometheus has no series {requests} with {matchers}: it does not scrape the proxies of {proxy.name}, or the "
        "HTTPRoute is not in use there"
    )
    return _obstacle(ObstacleReason.METRIC_NOT_FOUND, message)


async def _waits_for_requests(source: Source, proxy: Template, requests: str) -> bool:
    if isinstance(proxy.attribution, BackendLabels) and proxy.attribution.from_the_start:
        return False
    known = await source.names()
    return not isinstance(known, frozenset) or _is_known(requests, known)


def _filled(slo: Slo, scope: Scope) -> str:
    """What is compared with stable is asked for stable: of the candidate there is nothing yet."""
    arm = scope.stable if slo.baseline else scope.candidate
    return scope.fill(slo.query.value, parse_duration(slo.window), arm=arm) if slo.query else ""


def _invalid(slo: Slo, scope: Scope, message: str) -> Obstacle:
    return _obstacle(
        ObstacleReason.QUERY_INVALID, f'slo "{slo.name}": {message}; filled in, the query is {_filled(slo, scope)}'
    )


def _unavailable(answer: Single | Trouble) -> Unavailable | None:
    return answer if isinstance(answer, Unavailable) else None


def _obstacle(reason: ObstacleReason, message: str) -> Obstacle:
    return Obstacle(condition="MetricsReady", reason=reason, message=message)
