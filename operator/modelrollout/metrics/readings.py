"""From the ledgers of both versions to what an SLO that counts is judged by."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from modelrollout.api.evidence import Counted
from modelrollout.api.quantities import parse_duration
from modelrollout.api.slo import Slo
from modelrollout.api.status import SloStatus
from modelrollout.judge.evidence import Pair
from modelrollout.judge.thresholds import Counts, VerdictReason, undecided
from modelrollout.metrics.batch import Feed
from modelrollout.metrics.exposed import NotFound
from modelrollout.metrics.meters import Histogram
from modelrollout.metrics.prometheus import QueryError, Trouble, Unavailable
from modelrollout.metrics.templates import ATTEMPT_LABEL, COLOUR_LABEL, NAME_LABEL, BackendLabels, Template


@dataclass(frozen=True, kw_only=True)
class Arms:
    """What one template says of the candidate and of stable."""

    candidate: Feed
    stable: Feed

    @property
    def looked_at(self) -> float | None:
        """When both were last asked for with success; None before that."""
        ours, theirs = self.candidate.looked_at, self.stable.looked_at
        return None if ours is None or theirs is None else min(ours, theirs)


def unreadable(slo: Slo, feed: Feed, now: datetime) -> SloStatus | None:
    """What an SLO says while its feed has nothing that can be judged; None when it has."""
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
    return None if feed.ledger.coverage(now.timestamp()).known else _absent(slo, feed, now)


def unknown_source(slo: Slo, unfound: NotFound | Trouble | None, now: datetime) -> SloStatus:
    """What an SLO says as long as nobody knows which server or proxy it is to be read from."""
    match unfound:
        case NotFound(message):
            return undecided(slo, VerdictReason.NO_DATA, message, at=now)
        case Unavailable(message):
            return undecided(slo, VerdictReason.PROMETHEUS_UNAVAILABLE, message, at=now)
        case QueryError(message):
            return undecided(slo, VerdictReason.QUERY_ERROR, message, at=now)
    return undecided(slo, VerdictReason.PENDING, "not known yet which server it is", at=now)


def counts(slo: Slo, arms: Arms, now: datetime) -> Counts:
    """What was counted in the window of an SLO."""
    window = parse_duration(slo.window)
    span = min(window, now - datetime.fromtimestamp(arms.candidate.since, tz=now.tzinfo))
    bad, total = _bad_of_all(slo, arms.candidate, after=now - window)
    return Counts(bad=bad, total=total, span=span, stable=_counted(slo, arms.stable, after=now - window))


def between(slo: Slo, arms: Arms, after: datetime, until: datetime) -> Pair:
    """What scrapes later than the first moment and not later than the second have counted in the stage."""
    return Pair(
        candidate=_counted(slo, arms.candidate, after=after, until=until),
        stable=_counted(slo, arms.stable, after=after, until=until),
    )


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


def _counted(slo: Slo, feed: Feed, *, after: datetime, until: datetime | None = None) -> Counted:
    """In whole ones. Counters are read one after the other: one may have a request already that another has not."""
    bad, total = _bad_of_all(slo, feed, after=after, until=until)
    if not (math.isfinite(bad) and math.isfinite(total)):
        return Counted()
    return Counted(bad=round(min(max(bad, 0.0), total)), total=round(total))


def _bad_of_all(slo: Slo, feed: Feed, *, after: datetime, until: datetime | None = None) -> tuple[float, float]:
    end = math.inf if until is None else until.timestamp()

    def total(tally: str) -> float:
        return feed.ledger.total(tally, after=after.timestamp(), until=end, since=feed.since)

    meter = feed.template.meter(slo, feed.seen)
    return meter.bad_of_all(slo, total) if meter else (0.0, 0.0)


def _absent(slo: Slo, feed: Feed, now: datetime) -> SloStatus:
    attribution = feed.template.attribution
    if isinstance(attribution, BackendLabels):
        message = f"Prometheus has no series with {attribution.matcher([feed.arm])} lately"
        return undecided(slo, VerdictReason.NO_DATA, message, at=now)
    arm = feed.arm
    message = (
        f"Prometheus scrapes no pod of the candidate: no target in namespace {arm.namespace} with "
        f'{NAME_LABEL}="{arm.rollout}", {COLOUR_LABEL}="{arm.colour}", {ATTEMPT_LABEL}="{arm.attempt}"'
    )
    return undecided(slo, VerdictReason.TARGET_DOWN, message, at=now)
