"""How others would judge the same requests: when each takes a candidate back.

All look at shares minute by minute, and see them as they were; what scrapes and queries add to that is left out, in
their favour. They are set up as their documentation suggests:

- Argo Rollouts: a measurement a minute, failureLimit 3, so the fourth one that fails takes the candidate back, in a
  row or not. Without requests the query yields no number, which does not meet the success condition: it fails.
- Flagger: a check a minute, threshold 5; failed checks add up, and one without requests fails.
- Kayenta: after 20, 40 and 60 minutes, and at the end of what is shorter, the Mann-Whitney test on the points of all
  minutes with requests: confidence 98 %, and the shift must be beyond a quarter of its estimate.
- GrowthBook: once a minute, whether the sequential interval of the relative change lies above zero. It adds up what
  was counted so far, as it does, so rates that change while weights do are held against the candidate; in ramps of its
  own both versions get equally many requests, and that cannot be.
"""

from collections.abc import Callable, Mapping

import numpy as np

from modelrollout.judge.eprocess import Array
from modelrollout.simulation.books import Which, exceeds
from modelrollout.simulation.intervals import mann_whitney, sequential_lift
from modelrollout.simulation.requests import Counts

_ARGO_FAILURES = 4
_FLAGGER_FAILURES = 5
_KAYENTA_LOOKS = 20, 40, 60
_KAYENTA_CONFIDENCE = 0.98
_KAYENTA_TOLERANCE = 0.25

Judge = Callable[[Counts, float, bool], Array]
"""From minutes as in `Ended.by_minute`, a limit of the share, and whether less is worse, to the minutes until each
rollout is taken back; infinite if it is not.
"""


def argo(minutes: Counts, limit: float, less_is_worse: bool) -> Array:
    """As Argo Rollouts judges."""
    return _first(_failing(minutes, limit, less_is_worse).cumsum(axis=0) >= _ARGO_FAILURES)


def flagger(minutes: Counts, limit: float, less_is_worse: bool) -> Array:
    """As Flagger judges."""
    return _first(_failing(minutes, limit, less_is_worse).cumsum(axis=0) >= _FLAGGER_FAILURES)


def kayenta(minutes: Counts, limit: float, less_is_worse: bool) -> Array:  # noqa: ARG001 - as all judges
    """As Kayenta judges: it compares, and has no limit."""
    length, _, runs = minutes.shape
    ours, theirs = _points(minutes[:, 0], minutes[:, 1]), _points(minutes[:, 2], minutes[:, 3])
    taken_back = np.full(runs, np.inf)
    for look in sorted({min(look, length) for look in _KAYENTA_LOOKS} - {0}):
        for run in np.flatnonzero(np.isinf(taken_back)):
            if is_shifted(ours[:look, run], theirs[:look, run], less_is_worse=less_is_worse):
                taken_back[run] = look
    return taken_back


def growthbook(minutes: Counts, limit: float, less_is_worse: bool) -> Array:  # noqa: ARG001 - as all judges
    """As GrowthBook's safe rollouts judge: they compare, and have no limit."""
    interval = sequential_lift(*np.moveaxis(minutes.cumsum(axis=0), 1, 0))
    return _first(interval.high < 0 if less_is_worse else interval.low > 0)


PEERS: Mapping[str, Judge] = {
    "Argo Rollouts": argo,
    "Flagger": flagger,
    "Kayenta": kayenta,
    "GrowthBook": growthbook,
}


def is_shifted(ours: Array, theirs: Array, *, less_is_worse: bool) -> bool:
    """Whether Kayenta calls a metric high, or low where less is worse; points that are no number are left out."""
    ours, theirs = ours[~np.isnan(ours)], theirs[~np.isnan(theirs)]
    if not (len(ours) and len(theirs)) or np.array_equal(np.sort(ours), np.sort(theirs)):
        return False
    interval = mann_whitney(ours, theirs, confidence=_KAYENTA_CONFIDENCE)
    if interval is None:
        return False
    beyond = _KAYENTA_TOLERANCE * abs(interval.estimate)
    return bool(interval.high < -beyond if less_is_worse else interval.low > beyond)


def _failing(minutes: Counts, limit: float, less_is_worse: bool) -> Which:
    shares = _points(minutes[:, 0], minutes[:, 1])
    kept = shares >= limit if less_is_worse else ~exceeds(np.nan_to_num(shares), limit)
    failing: Which = np.isnan(shares) | ~kept
    return failing


def _points(bad: Counts, total: Counts) -> Array:
    points: Array = np.divide(bad, total, out=np.full(bad.shape, np.nan), where=total > 0)
    return points


def _first(taken_back: Which) -> Array:
    """The minute by which something is so; infinite where it never is."""
    minutes: Array = np.where(taken_back.any(axis=0), taken_back.argmax(axis=0) + 1.0, np.inf)
    return minutes
