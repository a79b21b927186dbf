"""An hour of canaries that never were, seen by the judge alone: whatever it says, the stages go on as scheduled."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from modelrollout.api.slo import Baseline, BuiltInMetric, Slo
from modelrollout.judge.eprocess import ENOUGH, Array
from modelrollout.simulation.books import Books, weighed
from modelrollout.simulation.requests import Counts, Rate, Traffic
from modelrollout.simulation.schedule import LOOK

SLO = Slo(name="errors", metric=BuiltInMetric.ERROR_RATIO, baseline=Baseline())
TOLERATED = Baseline().tolerated
STAGES: Sequence[tuple[float, int]] = ((0.05, 20), (0.25, 20), (0.5, 20))
"""The candidate's share of the requests, and minutes."""


@dataclass(frozen=True, kw_only=True)
class World:
    """What happens in an hour of a rollout."""

    per_second: float
    """Requests of both versions together."""
    rate: Rate


def minutes_to_revert(world: World, *, runs: int, seed: int) -> Array:
    """For each run the minutes until the candidate is taken back; infinite when it is not."""
    traffic = _traffic(world, runs, seed)
    variation, block = traffic.noise[SLO.name]
    books = {SLO.name: Books(SLO, variation=variation, block=block)}
    everybody, taken_back = np.arange(runs), np.full(runs, np.inf)
    minute = 0
    for share, length in STAGES:
        for second in range(LOOK, length * 60 + 1, LOOK):
            now = minute + (second - LOOK) // 60
            counted = traffic.scheduled(share=share, minute=now, seconds=LOOK)[SLO.name]
            rows = np.flatnonzero(np.isinf(taken_back))
            books[SLO.name].count(counted[:, rows], rows)
            said = weighed(books, rows, at=second)[SLO.name]
            taken_back[rows[said.worse >= ENOUGH]] = minute + second / 60
        books[SLO.name].turn(everybody)
        minute += length
    return taken_back


def minute_by_minute(world: World, *, runs: int, seed: int) -> Counts:
    """What others see of such an hour: minute, then as `Counts`."""
    traffic = _traffic(world, runs, seed)
    shares = [share for share, length in STAGES for _ in range(length)]
    return np.array(
        [traffic.scheduled(share=share, minute=at, seconds=60)[SLO.name] for at, share in enumerate(shares)]
    )


def bound(world: World) -> float:
    """Minutes that nobody can be quicker than, on average: ln(100) over the relative entropy of what is seen."""
    missing, passed = ENOUGH, 0.0
    for share, length in STAGES:
        ours, theirs = world.per_second * 60 * share, world.per_second * 60 * (1 - share)
        odds = ours / theirs
        seen, tolerated = (times * odds / (1 + times * odds) for times in (world.rate.times, TOLERATED))
        entropy = seen * np.log(seen / tolerated) + (1 - seen) * np.log((1 - seen) / (1 - tolerated))
        gain = world.rate.base * (world.rate.times * ours + theirs) * entropy
        if missing <= gain * length:
            return float(passed + missing / gain)
        missing, passed = missing - gain * length, passed + length
    return float("inf")


def _traffic(world: World, runs: int, seed: int) -> Traffic:
    minutes = sum(length for _, length in STAGES)
    return Traffic({SLO.name: world.rate}, per_second=world.per_second, runs=runs, minutes=minutes, seed=seed)
