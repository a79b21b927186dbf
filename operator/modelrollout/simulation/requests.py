"""Requests that never were: how many either version gets between two looks, and how many of them are bad."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modelrollout.judge.eprocess import Array
from modelrollout.judge.noise import PAST_MINUTES, calibrated

Counts = NDArray[np.int64]
"""Four rows: bad ones and all of the candidate, bad ones and all of stable. Columns are rollouts."""

Rows = NDArray[np.intp]
"""Some of the rollouts, by their place."""


@dataclass(frozen=True, kw_only=True)
class Rate:
    """Which share of the requests is bad, in the sense of one SLO."""

    base: float
    """Of stable's."""
    times: float = 1.0
    """The candidate's in times of stable's."""
    variation: float = 0.0
    """Of either version's rate, beyond chance."""
    lasting: int = 1
    """Minutes that such a deviation lasts."""
    incident: tuple[int, int, float] | None = None
    """From one minute to another, both versions have this share of bad ones."""

    def in_minute(self, minute: int) -> float:
        """Stable's share then, but for deviations."""
        begins, ends, share = self.incident or (0, 0, 0.0)
        return share if begins <= minute < ends else self.base


class Traffic:
    """Requests of many rollouts at once; whatever SLOs there are count the same ones.

    Requests arrive as a Poisson process. What is scheduled is drawn from random numbers of its own, so it is the same
    whatever somebody decides, and several judges may be held against each other on it.
    """

    def __init__(self, rates: Mapping[str, Rate], *, per_second: float, runs: int, minutes: int, seed: int = 1) -> None:
        """`per_second` is of both versions together, `minutes` how long a rollout is scheduled to take."""
        self._rates, self._per_second, self._runs, self._minutes = rates, per_second, runs, minutes
        self._random, self._later = np.random.default_rng(seed), np.random.default_rng([seed, 1])
        self.noise: dict[str, tuple[Array, NDArray[np.int64]]] = {}
        """By SLO: variation and block of each rollout, as read off four hours of stable's past."""
        self._deviations: dict[str, tuple[Array, Array]] = {}
        for name, rate in rates.items():
            self.noise[name] = calibrated(*self._past(rate))
            self._deviations[name] = self._deviating(rate, minutes), self._deviating(rate, minutes)

    def scheduled(self, *, share: float, minute: int, seconds: float) -> dict[str, Counts]:
        """What each SLO counts of all rollouts in so many seconds, the candidate's share being so much."""
        return self._counted(self._random, np.arange(self._runs), share, minute, seconds)

    def further(self, rows: Rows, *, share: float, minute: int, seconds: float) -> dict[str, Counts]:
        """The same of some rollouts, which take longer than is scheduled."""
        return self._counted(self._later, rows, share, minute, seconds)

    def _counted(
        self, random: np.random.Generator, rows: Rows, share: float, minute: int, seconds: float
    ) -> dict[str, Counts]:
        requests, runs = self._per_second * seconds, len(rows)
        candidates, stables = random.poisson(requests * share, runs), random.poisson(requests * (1 - share), runs)
        counted = {}
        for name, rate in self._rates.items():
            ours, theirs = (deviations[rows, minute % self._minutes] for deviations in self._deviations[name])
            base = rate.in_minute(minute)
            bad = random.binomial(candidates, np.clip(base * rate.times * ours, 0, 1))
            counted[name] = np.array([bad, candidates, random.binomial(stables, np.clip(base * theirs, 0, 1)), stables])
        return counted

    def _past(self, rate: Rate) -> tuple[Counts, Counts]:
        """Stable's bad ones and requests minute by minute, before the rollout."""
        factors = self._deviating(rate, PAST_MINUTES)
        total = np.full((self._runs, PAST_MINUTES), max(1, round(self._per_second * 60)))
        return self._random.binomial(total, np.clip(rate.base * factors, 0, 1)), total

    def _deviating(self, rate: Rate, minutes: int) -> Array:
        """By rollout and minute: the rate in times of its mean, from a gamma distribution, at an offset of its own."""
        if not rate.variation:
            return np.ones((self._runs, minutes))
        shape = 1 / rate.variation**2
        drawn = self._random.gamma(shape, 1 / shape, size=(self._runs, minutes // rate.lasting + 2))
        offsets = self._random.integers(0, rate.lasting, size=(self._runs, 1))
        return np.take_along_axis(drawn, (np.arange(minutes) + offsets) // rate.lasting, axis=1)
