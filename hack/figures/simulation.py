"""Canaries that never were: requests at random, judged by the very functions that the operator judges with."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modelrollout.api.evidence import GRID
from modelrollout.judge.eprocess import ENOUGH, Array, Tally, against_stable, log_evidence
from modelrollout.judge.noise import PAST_MINUTES, calibrated

TOLERATED = 1.25
LOOK = 5
"""Seconds between two looks: a usual interval of scrapes early in a stage."""

Counts = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class World:
    """What happens in an hour of a rollout."""

    per_second: float
    """Requests of both versions together."""
    times_as_bad: float = 1.0
    """The candidate's rate in times of stable's."""
    base: float = 0.01
    """Stable's share of bad ones."""
    variation: float = 0.0
    """Of either version's rate, beyond chance."""
    lasting: int = 1
    """Minutes that such a deviation lasts."""
    incident: tuple[int, int, float] | None = None
    """From one minute to another, both versions have this share of bad ones."""
    stages: Sequence[tuple[float, int]] = ((0.05, 20), (0.25, 20), (0.5, 20))
    """The candidate's share of the requests, and minutes."""


def minutes_to_revert(world: World, *, runs: int, seed: int) -> Array:
    """For each run the minutes until the candidate is taken back; infinite when it is not."""
    random = np.random.default_rng(seed)
    variation, block = calibrated(*_past(world, runs, random))
    ours, theirs = _deviations(world, runs, random), _deviations(world, runs, random)
    folded, bad_and_all = np.zeros((runs, GRID)), np.zeros((4, runs))
    taken_back, begun = np.full(runs, np.inf), np.zeros(runs)
    minute = 0
    for share, length in world.stages:
        for _ in range(length):
            for second in range(LOOK, 60 + 1, LOOK):
                bad_and_all += _counted(
                    world, random, share=share, minute=minute, ours=ours[:, minute], theirs=theirs[:, minute]
                )
                logs = folded + _evidence(bad_and_all, variation)
                fresh = np.isinf(taken_back) & (log_evidence(logs) >= ENOUGH)
                taken_back[fresh] = minute + second / 60
            minute += 1
            over = minute - begun >= block
            folded[over], begun[over] = logs[over], minute
            bad_and_all[:, over] = 0
        folded, begun = folded + _evidence(bad_and_all, variation), np.full(runs, float(minute))
        bad_and_all[:] = 0
    return taken_back


def bound(world: World) -> float:
    """Minutes that nobody can be quicker than, on average: ln(100) over the relative entropy of what is seen."""
    missing, passed = ENOUGH, 0.0
    for share, length in world.stages:
        ours, theirs = world.per_second * 60 * share, world.per_second * 60 * (1 - share)
        odds = ours / theirs
        seen, tolerated = (times * odds / (1 + times * odds) for times in (world.times_as_bad, TOLERATED))
        entropy = seen * np.log(seen / tolerated) + (1 - seen) * np.log((1 - seen) / (1 - tolerated))
        gain = world.base * (world.times_as_bad * ours + theirs) * entropy
        if missing <= gain * length:
            return float(passed + missing / gain)
        missing, passed = missing - gain * length, passed + length
    return float("inf")


def _evidence(bad_and_all: Array, variation: Array) -> Array:
    ours, theirs = Tally(bad_and_all[0], bad_and_all[1]), Tally(bad_and_all[2], bad_and_all[3])
    return against_stable(ours, theirs, tolerated=TOLERATED, variation=variation)


def _counted(
    world: World, random: np.random.Generator, *, share: float, minute: int, ours: Array, theirs: Array
) -> Counts:
    """Bad ones and all of the candidate, and of stable, between two looks."""
    requests, base = world.per_second * LOOK, world.base
    if world.incident and world.incident[0] <= minute < world.incident[1]:
        base = world.incident[2]
    runs = len(ours)
    candidates, stables = random.poisson(requests * share, runs), random.poisson(requests * (1 - share), runs)
    bad = random.binomial(candidates, np.clip(base * world.times_as_bad * ours, 0, 1))
    their_bad = random.binomial(stables, np.clip(base * theirs, 0, 1))
    return np.array([bad, candidates, their_bad, stables])


def _past(world: World, runs: int, random: np.random.Generator) -> tuple[Counts, Counts]:
    """Stable's bad ones and requests minute by minute, before the rollout."""
    factors = _deviations(world, runs, random, minutes=PAST_MINUTES)
    total = np.full((runs, PAST_MINUTES), max(1, round(world.per_second * 60)))
    return random.binomial(total, np.clip(world.base * factors, 0, 1)), total


def _deviations(world: World, runs: int, random: np.random.Generator, *, minutes: int | None = None) -> Array:
    """By run and minute: what the rate is in times of its mean, from a gamma distribution, at an offset of its own."""
    minutes = sum(length for _, length in world.stages) if minutes is None else minutes
    if not world.variation:
        return np.ones((runs, minutes))
    shape = 1 / world.variation**2
    drawn = random.gamma(shape, 1 / shape, size=(runs, minutes // world.lasting + 2))
    places = (np.arange(minutes) + random.integers(0, world.lasting, size=(runs, 1))) // world.lasting
    return np.take_along_axis(drawn, places, axis=1)
