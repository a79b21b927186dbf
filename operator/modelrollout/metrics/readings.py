"""From a ledger to the verdict of a built-in metric."""

from datetime import datetime

from modelrollout.api.quantities import parse_duration
from modelrollout.api.slo import BuiltInMetric, Slo
from modelrollout.api.status import SloStatus
from modelrollout.judge.thresholds import Counts, VerdictReason, judge_counts, undecided
from modelrollout.metrics.batch import Feed
from modelrollout.metrics.prometheus import QueryError, Unavailable
from modelrollout.metrics.templates import (
    ATTEMPT_LABEL,
    COLOUR_LABEL,
    FAILED,
    NAME_LABEL,
    REQUESTS,
    TIMED,
    OneLabel,
    Template,
    within,
)


def read(slo: Slo, feed: Feed, now: datetime) -> SloStatus:
    """What an SLO with a built-in metric says by what its feed has so far."""
    match feed.trouble:
        case Unavailable(message):
            return undecided(slo, VerdictReason.PROMETHEUS_UNAVAILABLE, message, at=now)
        case QueryError(message):
            return undecided(slo, VerdictReason.QUERY_ERROR, message, at=now)
    if not feed.template.wanted(slo):
        return undecided(slo, VerdictReason.NOT_ON_BUCKET_EDGE, off_the_edges(slo, feed.template), at=now)
    if feed.looked_at is None:
        return undecided(slo, VerdictReason.PENDING, "not looked at yet", at=now)
    coverage = feed.ledger.coverage(now.timestamp())
    if not coverage.known:
        return _absent(slo, feed, now)
    return judge_counts(slo, _counts(slo, feed, now), coverage, now=now)


def off_the_edges(slo: Slo, template: Template) -> str:
    """Why a latency threshold cannot be judged, and what to write instead."""
    nearest = " or ".join(template.durations.nearest(slo.slower_than or ""))
    return (
        f"slowerThan {slo.slower_than} is no bucket edge of {template.durations.histogram}, "
        f"so requests slower than it cannot be counted; the nearest edges are {nearest}"
    )


def _counts(slo: Slo, feed: Feed, now: datetime) -> Counts:
    window = parse_duration(slo.window)

    def total(tally: str) -> float:
        return feed.ledger.total(tally, after=(now - window).timestamp(), since=feed.since)

    span = min(window, now - datetime.fromtimestamp(feed.since, tz=now.tzinfo))
    if slo.metric is BuiltInMetric.ERROR_RATIO:
        return Counts(bad=total(FAILED), total=total(REQUESTS), span=span)
    edge = feed.template.durations.edge(slo.slower_than or "")
    timed = total(TIMED)
    return Counts(bad=timed - total(within(edge or 0.0)), total=timed, span=span)


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
