"""Verdicts of SLOs with an absolute limit: what was counted or measured against what is allowed.

Three-valued on purpose. Silence is neither health nor harm, so whatever cannot be told is Inconclusive and says why.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from modelrollout.api.quantities import parse_duration, parse_number
from modelrollout.api.slo import BuiltInMetric, Slo, Verdict
from modelrollout.api.status import SloStatus
from modelrollout.judge.ledger import Coverage

_MESSAGE_LENGTH = 1024
_MIN_SAMPLES = 50
"""Of an SLO that does not say how many requests decide."""

_BAD = {
    BuiltInMetric.ERROR_RATIO: "requests failed",
    BuiltInMetric.LATENCY: "requests took longer than {}",
    BuiltInMetric.TIME_TO_FIRST_TOKEN: "first tokens took longer than {}",
    BuiltInMetric.TIME_PER_OUTPUT_TOKEN: "samples took longer than {} a token",
}
"""What counts against the limit. Some servers time each token, others tell one mean for each request."""

_ROUNDING = 1e-9
"""Two ways to write one share (0.1% and 1 of 1000) differ by rounding at most."""


class VerdictReason(StrEnum):
    """Why an SLO has its verdict."""

    WITHIN_LIMIT = "WithinLimit"
    ABOVE_LIMIT = "AboveLimit"
    NO_TRAFFIC = "NoTraffic"
    TOO_FEW_SAMPLES = "TooFewSamples"
    TARGET_DOWN = "TargetDown"
    STALE_SCRAPE = "StaleScrape"
    NO_DATA = "NoData"
    NOT_A_NUMBER = "NotANumber"
    MANY_SERIES = "ManySeries"
    QUERY_ERROR = "QueryError"
    PROMETHEUS_UNAVAILABLE = "PrometheusUnavailable"
    NOT_ON_BUCKET_EDGE = "ThresholdNotOnBucketEdge"
    PENDING = "Pending"
    NOT_LOOKED_AT = "NotLookedAt"


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Bad ones among all requests of the candidate, and how long the counting goes back."""

    bad: float
    total: float
    span: timedelta


def judge_counts(slo: Slo, counts: Counts, coverage: Coverage, *, now: datetime) -> SloStatus:
    """Verdict of a built-in metric over requests that were counted.

    What was seen may show a breach while some targets cannot be scraped; that all is well it cannot show.
    """
    at = datetime.fromtimestamp(coverage.newest, tz=now.tzinfo) if coverage.newest is not None else now
    if not coverage.current:
        return _gone(slo, coverage, at, now)
    if not (math.isfinite(counts.bad) and math.isfinite(counts.total)):
        message = f"the counters yield {counts.bad:g} of {counts.total:g} requests, not finite numbers"
        return undecided(slo, VerdictReason.NOT_A_NUMBER, message, at=at)
    if counts.total <= 0:
        return _silent(slo, counts, coverage, at)
    value = counts.bad / counts.total
    evidence = {"value": value, "limit": parse_number(slo.limit), "samples": round(counts.total), "at": at}
    message = _count_message(slo, counts)
    least = _MIN_SAMPLES if slo.min_samples is None else slo.min_samples
    if counts.total < least:
        message = f"{message}; fewer than {least} requests decide nothing"
        return _status(slo, Verdict.INCONCLUSIVE, VerdictReason.TOO_FEW_SAMPLES, message, **evidence)
    if _exceeds(value, parse_number(slo.limit)):
        return _status(slo, Verdict.BREACH, VerdictReason.ABOVE_LIMIT, message, **evidence)
    if coverage.down:
        message = f"{message}, but {_down(coverage)}"
        return _status(slo, Verdict.INCONCLUSIVE, VerdictReason.TARGET_DOWN, message, **evidence)
    return _status(slo, Verdict.PASS, VerdictReason.WITHIN_LIMIT, message, **evidence)


def judge_value(slo: Slo, value: float, *, at: datetime) -> SloStatus:
    """Verdict of a free query that yielded one value, as of the newest sample behind it."""
    if not math.isfinite(value):
        return undecided(slo, VerdictReason.NOT_A_NUMBER, f"the query yields {value}, not a finite number", at=at)
    limit = parse_number(slo.limit)
    message = f"the query yields {value:.6g}, limit {slo.limit}"
    if _exceeds(value, limit):
        return _status(slo, Verdict.BREACH, VerdictReason.ABOVE_LIMIT, message, value=value, limit=limit, at=at)
    return _status(slo, Verdict.PASS, VerdictReason.WITHIN_LIMIT, message, value=value, limit=limit, at=at)


def undecided(slo: Slo, reason: VerdictReason, message: str, *, at: datetime) -> SloStatus:
    """The status of an SLO about which nothing can be told."""
    return _status(slo, Verdict.INCONCLUSIVE, reason, message, limit=parse_number(slo.limit), at=at)


def describe(length: timedelta) -> str:
    """A length of time for people, to the second: 2m, 1h30m, 40s."""
    seconds = max(0, round(length.total_seconds()))
    parts = [(seconds // 3600, "h"), (seconds // 60 % 60, "m"), (seconds % 60, "s")]
    return "".join(f"{amount}{unit}" for amount, unit in parts if amount) or "0s"


def _gone(slo: Slo, coverage: Coverage, at: datetime, now: datetime) -> SloStatus:
    if coverage.newest is None:
        message = "Prometheus never got an answer from the candidate, and scrapes it no more"
        return undecided(slo, VerdictReason.TARGET_DOWN, message, at=at)
    message = f"the candidate was scraped {describe(now - at)} ago, and not again"
    return undecided(slo, VerdictReason.STALE_SCRAPE, message, at=at)


def _silent(slo: Slo, counts: Counts, coverage: Coverage, at: datetime) -> SloStatus:
    if coverage.down:
        return undecided(slo, VerdictReason.TARGET_DOWN, f"{_down(coverage)}; no request was counted", at=at)
    message = f"the candidate was scraped and had no request, last {describe(counts.span)}"
    return undecided(slo, VerdictReason.NO_TRAFFIC, message, at=at)


def _status(slo: Slo, verdict: Verdict, reason: VerdictReason, message: str, **evidence: object) -> SloStatus:
    return SloStatus.model_validate(
        {"name": slo.name, "verdict": verdict, "reason": reason, "message": message[:_MESSAGE_LENGTH], **evidence}
    )


def _exceeds(value: float, limit: float) -> bool:
    return value > limit and not math.isclose(value, limit, rel_tol=_ROUNDING)


def _count_message(slo: Slo, counts: Counts) -> str:
    what = _BAD[slo.metric or BuiltInMetric.ERROR_RATIO].format(slo.slower_than)
    share = counts.bad / counts.total
    window = slo.window if counts.span >= parse_duration(slo.window) else describe(counts.span)
    return f"{counts.bad:.0f} of {counts.total:.0f} {what} ({100 * share:.2f}%), limit {slo.limit}, last {window}"


def _down(coverage: Coverage) -> str:
    more = f" and {len(coverage.down) - 1} more" if len(coverage.down) > 1 else ""
    return f"Prometheus cannot scrape {coverage.down[0]}{more}"
