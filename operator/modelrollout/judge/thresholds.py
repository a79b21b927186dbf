"""Verdicts of plain limits: what was counted or measured in a window against what is allowed.

Three-valued on purpose. Silence is neither health nor harm, so whatever cannot be told is Inconclusive and says why.
"""

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from modelrollout.api.evidence import Counted
from modelrollout.api.quantities import parse_duration, parse_number
from modelrollout.api.slo import ABOVE_WARNING, EVERY_REQUEST_FAILS, BuiltInMetric, SharedIncident, Slo, Verdict
from modelrollout.api.status import SloStatus
from modelrollout.judge.ledger import Coverage

MESSAGE_LENGTH = 1024
_MIN_SAMPLES = 50
"""Of an SLO that does not say how many requests decide."""

BEYOND_DOUBT = 10
"""Requests in a row that fail, all of them, before that is enough."""

_BAD = {
    BuiltInMetric.ERROR_RATIO: "requests failed",
    BuiltInMetric.LATENCY: "requests took longer than {}",
    BuiltInMetric.TIME_TO_FIRST_TOKEN: "first tokens took longer than {}",
    BuiltInMetric.TIME_PER_OUTPUT_TOKEN: "samples took longer than {} a token",
}
"""What counts against the limit. Some servers time each token, others tell one mean for each request."""

ROUNDING = 1e-9
"""Two ways to write one share (0.1% and 1 of 1000) differ by rounding at most."""


class VerdictReason(StrEnum):
    """Why an SLO has its verdict."""

    WITHIN_LIMIT = "WithinLimit"
    ABOVE_WARNING = ABOVE_WARNING
    NO_WORSE = "NoWorse"
    ABOVE_LIMIT = "AboveLimit"
    WORSE_THAN_STABLE = "WorseThanStable"
    EVERY_REQUEST_FAILS = EVERY_REQUEST_FAILS
    SUSPICIOUS = "Suspicious"
    SHARED_INCIDENT = "SharedIncident"
    SPLIT_MISMATCH = "SplitMismatch"
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
    """Bad ones among all requests of the candidate, and of stable in the same time, and how long that goes back."""

    bad: float
    total: float
    span: timedelta
    stable: Counted = field(default_factory=Counted)

    @property
    def share(self) -> float:
        """Of the bad ones; there must be requests."""
        return self.bad / self.total


def judge_counts(slo: Slo, counts: Counts, coverage: Coverage, *, now: datetime) -> SloStatus:
    """Verdict of a plain limit over requests that were counted.

    What was seen may show a breach while some targets cannot be scraped; that all is well it cannot show.
    """
    at = looked_at(coverage, now)
    if unknown := nothing_to_judge(slo, counts, coverage, now):
        return unknown
    limit = parse_number(slo.limit or "")
    evidence = {"value": counts.share, "limit": limit, "samples": round(counts.total), "at": at}
    message = count_message(slo, counts)
    if every_request_fails(slo, counts):
        return status(slo, Verdict.BREACH, VerdictReason.EVERY_REQUEST_FAILS, message, **evidence)
    least = least_samples(slo)
    if counts.total < least:
        message = f"{message}; fewer than {least} requests decide nothing"
        return status(slo, Verdict.INCONCLUSIVE, VerdictReason.TOO_FEW_SAMPLES, message, **evidence)
    if exceeds(counts.share, limit):
        if is_shared(slo, counts.stable, limit):
            message = f"{message}; {shared_words(counts)}"
            return status(slo, Verdict.INCONCLUSIVE, VerdictReason.SHARED_INCIDENT, message, **evidence)
        return status(slo, Verdict.BREACH, VerdictReason.ABOVE_LIMIT, message, **evidence)
    if coverage.down:
        message = f"{message}, but {down(coverage)}"
        return status(slo, Verdict.INCONCLUSIVE, VerdictReason.TARGET_DOWN, message, **evidence)
    return status(slo, Verdict.PASS, passing(slo, counts.share, VerdictReason.WITHIN_LIMIT), message, **evidence)


def judge_value(slo: Slo, value: float, *, at: datetime) -> SloStatus:
    """Verdict of a free query that yielded one value, as of the newest sample behind it."""
    if not math.isfinite(value):
        return undecided(slo, VerdictReason.NOT_A_NUMBER, f"the query yields {value}, not a finite number", at=at)
    limit = parse_number(slo.limit or "")
    message = f"the query yields {value:.6g}, limit {slo.limit}"
    if exceeds(value, limit):
        return status(slo, Verdict.BREACH, VerdictReason.ABOVE_LIMIT, message, value=value, limit=limit, at=at)
    reason = passing(slo, value, VerdictReason.WITHIN_LIMIT)
    return status(slo, Verdict.PASS, reason, message, value=value, limit=limit, at=at)


def nothing_to_judge(slo: Slo, counts: Counts, coverage: Coverage, now: datetime) -> SloStatus | None:
    """The status of an SLO of which nothing was counted, for whatever reason; None when something was."""
    at = looked_at(coverage, now)
    if not coverage.current:
        return _gone(slo, coverage, at, now)
    if not (math.isfinite(counts.bad) and math.isfinite(counts.total)):
        message = f"the counters yield {counts.bad:g} of {counts.total:g} requests, not finite numbers"
        return undecided(slo, VerdictReason.NOT_A_NUMBER, message, at=at)
    return _silent(slo, counts, coverage, at) if counts.total <= 0 else None


def undecided(slo: Slo, reason: VerdictReason, message: str, *, at: datetime) -> SloStatus:
    """The status of an SLO about which nothing can be told."""
    limit = None if slo.limit is None else parse_number(slo.limit)
    return status(slo, Verdict.INCONCLUSIVE, reason, message, limit=limit, at=at)


def status(slo: Slo, verdict: Verdict, reason: VerdictReason, message: str, **evidence: object) -> SloStatus:
    """The status of an SLO, its message cut to what the API takes."""
    return SloStatus.model_validate(
        {"name": slo.name, "verdict": verdict, "reason": reason, "message": message[:MESSAGE_LENGTH], **evidence}
    )


def looked_at(coverage: Coverage, now: datetime) -> datetime:
    """Time of the newest scrape, or of the look without any."""
    return datetime.fromtimestamp(coverage.newest, tz=now.tzinfo) if coverage.newest is not None else now


def least_samples(slo: Slo) -> int:
    """Requests without which an SLO does not pass."""
    return _MIN_SAMPLES if slo.min_samples is None else slo.min_samples


def every_request_fails(slo: Slo, counts: Counts) -> bool:
    """Whether all requests fail, and not stable's as well: that needs no statistics."""
    theirs = counts.stable
    all_fail = slo.metric is BuiltInMetric.ERROR_RATIO and counts.bad == counts.total >= BEYOND_DOUBT
    return all_fail and not 0 < theirs.total == theirs.bad


def is_shared(slo: Slo, stable: Counted, limit: float) -> bool:
    """Whether stable is above the limit as well, and that matters."""
    shared = stable.share is not None and exceeds(stable.share, limit)
    return shared and slo.shared_incident is SharedIncident.HOLD


def shared_words(counts: Counts) -> str:
    """What an incident that stable suffers from as well means, for people."""
    return f"so are {counts.stable.share:.2%} of stable's: something that both depend on is broken"


def passing(slo: Slo, value: float, reason: VerdictReason) -> VerdictReason:
    """Why an SLO passes, unless it is above its warning."""
    is_warned = slo.warning is not None and exceeds(value, parse_number(slo.warning))
    return VerdictReason.ABOVE_WARNING if is_warned else reason


def exceeds(value: float, limit: float) -> bool:
    """Whether a value is above a limit, but for rounding."""
    return value > limit and not math.isclose(value, limit, rel_tol=ROUNDING)


def count_message(slo: Slo, counts: Counts) -> str:
    """What was counted in the window, for people."""
    window = slo.window if counts.span >= parse_duration(slo.window) else describe(counts.span)
    limit = "" if slo.limit is None else f", limit {slo.limit}"
    return f"{counted_words(slo, counts.bad, counts.total)}{limit}, last {window}"


def counted_words(slo: Slo, bad: float, total: float) -> str:
    """So many of so many, and what about them."""
    if slo.counter:
        what = f"of {slo.counter.total} are {'good' if slo.counter.good else 'bad'}"
    else:
        what = _BAD[slo.metric or BuiltInMetric.ERROR_RATIO].format(slo.slower_than)
    return f"{bad:,.0f} of {total:,.0f} {what} ({bad / total:.2%})"


def describe(length: timedelta) -> str:
    """A length of time for people, to the second: 2m, 1h30m, 40s."""
    seconds = max(0, round(length.total_seconds()))
    parts = [(seconds // 3600, "h"), (seconds // 60 % 60, "m"), (seconds % 60, "s")]
    return "".join(f"{amount}{unit}" for amount, unit in parts if amount) or "0s"


def down(coverage: Coverage) -> str:
    """Which targets cannot be scraped, for people."""
    more = f" and {len(coverage.down) - 1} more" if len(coverage.down) > 1 else ""
    return f"{coverage.down[0]}{more} cannot be scraped"


def _gone(slo: Slo, coverage: Coverage, at: datetime, now: datetime) -> SloStatus:
    if coverage.newest is None:
        message = "Prometheus never got an answer from the candidate, and scrapes it no more"
        return undecided(slo, VerdictReason.TARGET_DOWN, message, at=at)
    message = f"the candidate was scraped {describe(now - at)} ago, and not again"
    return undecided(slo, VerdictReason.STALE_SCRAPE, message, at=at)


def _silent(slo: Slo, counts: Counts, coverage: Coverage, at: datetime) -> SloStatus:
    if coverage.down:
        return undecided(slo, VerdictReason.TARGET_DOWN, f"{down(coverage)}; no request was counted", at=at)
    message = f"the candidate was scraped and had no request, last {describe(counts.span)}"
    return undecided(slo, VerdictReason.NO_TRAFFIC, message, at=at)
