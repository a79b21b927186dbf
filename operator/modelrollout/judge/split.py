"""Whether the requests of a stage are split as it declares.

Where they are not, the two versions do not get the same kind of requests, and a comparison of what becomes of them says
nothing: a cache that sticks, clients that retry, a proxy with another route.

It is another e-process, of likelihood ratios: of a share beyond what is tolerated, on either side, over the one that is
just tolerated. Several are mixed that begin one after another, so that a split that was right for hours and then is not
is found as well; weighted so that all of them together are wrong in one of a thousand stages.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np

from modelrollout.api.evidence import GRID
from modelrollout.judge.eprocess import Array

_TOLERATED = np.log(1.25)
"""How far the odds may be off: no more than a fifth of the candidate's requests is not meant for it, or is missing.

Callers that ask for stable, pods that end with counts that nobody has read, and the like move a split by some per cent.
What sticks, or goes past the route, moves it by times as much, and is found hardly later for it.
"""

_ENOUGH = np.log(1000)

_BEYOND: Array = np.geomspace(0.05, 2.7, GRID)
"""Grid of log odds ratios beyond what is tolerated."""

_APART = timedelta(minutes=5)
"""Between the beginnings of two of the mixture. Who fits again is believed after as long."""

_KEPT = 48
"""So many beginnings are remembered besides the first."""

_LEAST_EXPECTED = 100.0
"""Requests of the version that gets fewer without which it is not said that a split fits again."""


class Requests(NamedTuple):
    """How many either version had."""

    candidate: int
    stable: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """A split that is not the declared one."""

    declared: float
    """The candidate's share, between 0 and 1."""
    requests: Requests
    since: datetime

    @property
    def words(self) -> str:
        """What is to be found out, for people."""
        ours, total = self.requests.candidate, sum(self.requests)
        return (
            f"{ours / total:.2%} of the requests went to the candidate ({ours:,} of {total:,} since "
            f"{self.since:%H:%M:%SZ}) and {self.declared:.2%} are declared, so it is not compared with stable: does "
            "something cache, ask for one version, or go past the route?"
        )


class _Beginning(NamedTuple):
    """Where one of the mixture began, and its part in it."""

    at: datetime
    requests: Requests
    weight: float


class Split:
    """The split of the requests of one stage, looked at as often as anybody likes."""

    def __init__(self, declared: float) -> None:
        """`declared` is the candidate's share, between 0 and 1."""
        self._declared = declared
        self._log_odds = float(np.log(declared / (1 - declared)))
        self._beginnings: list[_Beginning] = []
        self._begun = 0
        self._is_off = False

    def begin_anew(self) -> None:
        """What was counted so far says nothing of what comes."""
        self._beginnings, self._begun, self._is_off = [], 0, False

    def weigh(self, requests: Requests, *, at: datetime, lag: timedelta) -> Mismatch | None:
        """What is wrong with the split, from all requests of the stage until now; None when nothing is.

        `lag` is how much longer ago one version may have been scraped than the other, at any moment.
        """
        if not self._beginnings or at - self._beginnings[-1].at >= _APART:
            self._begin(requests, at)
        since = [Requests(*np.subtract(requests, one.requests).tolist()) for one in self._beginnings]
        missed = np.array([2 * lag / max(at - one.at, timedelta(seconds=1)) for one in self._beginnings])
        evidence = self._evidence(np.array(since, dtype=np.float64), missed)
        if not self._is_off:
            self._is_off = bool(np.logaddexp.reduce(evidence) >= _ENOUGH)
        elif self._fits_again(since, missed, at):
            self.begin_anew()
        if not self._is_off:
            return None
        worst = int(evidence.argmax())
        return Mismatch(declared=self._declared, requests=since[worst], since=self._beginnings[worst].at)

    def _begin(self, requests: Requests, at: datetime) -> None:
        """The first one has half of the weight. The others may be without end: theirs adds up to the other half."""
        weight = 3 / (np.pi * self._begun) ** 2 if self._begun else 0.5
        self._begun += 1
        first, later = self._beginnings[:1], self._beginnings[1:]
        self._beginnings = [*first, *later[1 - _KEPT :], _Beginning(at, requests, weight)]

    def _evidence(self, since: Array, missed: Array) -> Array:
        """By beginning: logarithm of its part in the mixture.

        In doubt whoever has fewer requests was scraped earlier, and had its share of the others' since. To add that
        makes each ratio less, so they hold whenever the scrapes are.
        """
        ours, theirs = since.T
        odds = np.exp(self._log_odds)
        more = _log_ratios(ours, theirs + missed * ours / odds, self._log_odds + _TOLERATED, _BEYOND)
        fewer = _log_ratios(ours + missed * theirs * odds, theirs, self._log_odds - _TOLERATED, -_BEYOND)
        mixed = np.logaddexp.reduce(np.concatenate([more, fewer], axis=1), axis=1) - np.log(2 * GRID)
        parts: Array = mixed + np.log([one.weight for one in self._beginnings])
        return parts

    def _fits_again(self, since: list[Requests], missed: Array, at: datetime) -> bool:
        """Whether the newest requests, as far back as they say anything, are split as tolerated, but for chance."""
        smaller = min(self._declared, 1 - self._declared)
        for one, requests, unseen in reversed(list(zip(self._beginnings, since, missed, strict=True))):
            expected = smaller * sum(requests)
            if at - one.at >= _APART and expected >= _LEAST_EXPECTED and all(requests):
                off, chance = np.log(requests.candidate / requests.stable) - self._log_odds, 1 / np.sqrt(expected)
                return bool(abs(off) <= _TOLERATED + np.log1p(unseen) + chance)
        return False


def _log_ratios(ours: Array, theirs: Array, tolerated: float, beyond: Array) -> Array:
    """By beginning and grid point: of log odds that far beyond those that are just tolerated, over these."""
    of_ours = _log_share(tolerated + beyond) - _log_share(np.array(tolerated))
    of_theirs = _log_share(-tolerated - beyond) - _log_share(np.array(-tolerated))
    ratios: Array = np.outer(ours, of_ours) + np.outer(theirs, of_theirs)
    return ratios


def _log_share(log_odds: Array) -> Array:
    share: Array = -np.logaddexp(0.0, -log_odds)
    return share
