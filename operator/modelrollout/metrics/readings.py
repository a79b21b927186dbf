"""From a ledger to the verdict of a built-in metric."""

from collections.abc import Iterable
from datetime import datetime

from modelrollout.api.quantities import parse_duration
from modelrollout.api.slo import Slo
from modelrollout.api.status import SloStatus
from modelrollout.judge.thresholds import Counts, VerdictReason, judge_counts, undecided
from modelrollout.metrics.batch import Feed
from modelrollout.metrics.exposed import NotFound
from modelrollout.metrics.meters import Histogram, Meter
from modelrollout.metrics.prometheus import QueryError, Trouble, Unavailable
from modelrollout.metrics.templates import ATTEMPT_LABEL, COLOUR_LABEL, NAME_LABEL, OneLabel, Template


def read(slo: Slo, feed: Feed, now: datetime) -> SloStatus:
    """What an SLO with a built-in metric says by what its feed has so far."""
    match feed.trouble:
        case Unavailable(message):
            return undecided(slo, VerdictReason.PROMETHEUS_UNAVAILABLE, message, at=now)
        case QueryError(message):
            return undecided(slo, VerdictReason.QUERY_ERROR, message, at=now)
    meter = feed.template.meter(slo, feed.seen)
    if meter is None:
        return undecided(slo, VerdictReason.NO_DATA, not_there(slo, feed.template), at=now)
    if isinstance(meter, Histogram) and _lacks_the_bucket(slo, meter, feed):
        message = off_the_edges(slo, meter, meter.edges)
        return undecided(slo, VerdictReason.NOT_ON_BUCKET_EDGE, message, at=now)
    if feed.looked_at is None:
        return undecided(slo, VerdictReason.PENDING, "not looked at yet", at=now)
    coverage = feed.ledger.coverage(now.timestamp())
    if not coverage.known:
        return _absent(slo, feed, now)
    return judge_counts(slo, _counts(slo, meter, feed, now), coverage, now=now)


def unknown_server(slo: Slo, unfound: NotFound | Trouble | None, now: datetime) -> SloStatus:
    """What an SLO says as long as nobody knows which server it is to be read from."""
    match unfound:
        case NotFound(message):
            return undecided(slo, VerdictReason.NO_DATA, message, at=now)
        case Unavailable(message):
            return undecided(slo, VerdictReason.PROMETHEUS_UNAVAILABLE, message, at=now)
        case QueryError(message):
            return undecided(slo, VerdictReason.QUERY_ERROR, message, at=now)
    return undecided(slo, VerdictReason.PENDING, "not known yet which server it is", at=now)


def off_the_edges(slo: Slo, histogram: Histogram, edges: Iterable[float]) -> str:
    """Why the threshold of an SLO cannot be judged, and what to write instead."""
    nearest = " or ".join(histogram.nearest(slo.slower_than or "", edges))
    return (
        f"slowerThan {slo.slower_than} is no bucket edge of {histogram.histogram}, "
        f"so what is slower than it cannot be counted; the nearest edges are {nearest}"
    )


def not_there(slo: Slo, template: Template) -> str:
    """Why the metric of an SLO cannot be judged by this server, and what to use instead."""
    there = " and ".join(template.metrics)
    instead = f"{template.name} has {there}; use one of them, or a query"
    return f"metric {slo.metric}: {template.instead.get(slo.metric, instead) if slo.metric else instead}"


def _lacks_the_bucket(slo: Slo, histogram: Histogram, feed: Feed) -> bool:
    """Whether the server has no such bucket; until it has shown any, those that it has by default count."""
    edge = histogram.edge(slo.slower_than or "", histogram.edges)
    shown = histogram.everything in feed.seen
    return histogram.within(edge) not in feed.seen if shown else edge not in histogram.edges


def _counts(slo: Slo, meter: Meter, feed: Feed, now: datetime) -> Counts:
    window = parse_duration(slo.window)

    def total(tally: str) -> float:
        return feed.ledger.total(tally, after=(now - window).timestamp(), since=feed.since)

    bad, of_all = meter.bad_of_all(slo, total)
    span = min(window, now - datetime.fromtimestamp(feed.since, tz=now.tzinfo))
    return Counts(bad=bad, total=of_all, span=span)


def _absent(slo: Slo, feed: Feed, now: datetime) -> SloStatus:
    attribution = feed.template.attribution
    if isinstance(attribution, OneLabel):
        message = f'Prometheus has no series with {attribution.label}="{feed.keys[0][0]}" lately'
        return undecided(slo, VerdictReason.NO_DATA, message, at=now)
    arm = feed.arm
    message = (
        f"Prometheus scrapes no pod of the candidate: no target in namespace {arm.namespace} with "
        f'{NAME_LABEL}="{arm.rollout}", {COLOUR_LABEL}="{arm.colour}", {ATTEMPT_LABEL}="{arm.attempt}"'
    )
    return undecided(slo, VerdictReason.TARGET_DOWN, message, at=now)
