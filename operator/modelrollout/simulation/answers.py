"""What a simulation finds of a spec: how often good versions are taken back, how soon bad ones, how long it takes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from modelrollout.api.quantities import parse_number
from modelrollout.api.slo import Slo
from modelrollout.judge.eprocess import Array
from modelrollout.simulation.intervals import share_interval
from modelrollout.simulation.peers import PEERS
from modelrollout.simulation.requests import Counts, Rate
from modelrollout.simulation.schedule import Leg
from modelrollout.simulation.trials import Ended, Told, tried

OURS = "ModelRollout"

_TWICE = 2.0
"""Times stable's share: the limit that others are given where an SLO only compares."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is simulated: a rollout with what would be counted, so many times."""

    legs: Sequence[Leg]
    slos: Sequence[Slo]
    bases: Mapping[str, float]
    """By SLO: which share of stable's requests it counts."""
    per_second: float
    runs: int
    seed: int

    def limit_of_peers(self, slo: Slo) -> float:
        """What others, who have a limit and nothing else, hold the candidate's share against."""
        base = self.bases[slo.name]
        if slo.limit is not None:
            return parse_number(slo.limit)
        return base * slo.baseline.tolerated if less_is_worse(slo) and slo.baseline else _TWICE * base


@dataclass(frozen=True, kw_only=True)
class Found:
    """In how many rollouts a judge takes the candidate back, and when."""

    judge: str
    share: float
    low: float
    high: float
    """Ends of the share's 95 per cent interval: of so many rollouts it cannot be known exactly."""
    median: float | None
    """Minutes; None where fewer than half are taken back."""


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """How long healthy candidates take to be promoted, in minutes; None where fewer are."""

    share: float
    median: float | None
    p90: float | None
    p95: float | None


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What is found of candidates that are so many times worse in one SLO, and as good as stable in all others."""

    slo: str
    times: float
    judges: Sequence[Found]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """All of it."""

    healthy: Sequence[Found]
    promotion: Promotion
    faults: Sequence[Fault]


def answered(setting: Setting, times_worse: Sequence[float], *, told: Told = lambda _: None) -> Answer:
    """Simulate healthy candidates, and those that are so many times worse in one SLO after the other."""
    healthy = _tried(setting, {}, told)
    faults = [
        Fault(slo=slo.name, times=times, judges=list(_judges(setting, _tried(setting, {slo.name: times}, told))))
        for slo in setting.slos
        for times in times_worse
    ]
    promotion = promotion_of(healthy.promoted)
    return Answer(healthy=list(_judges(setting, healthy)), promotion=promotion, faults=faults)


def promotion_of(minutes: Array) -> Promotion:
    """When rollouts are promoted; infinite for those that are not."""
    median, p90, p95 = (_quantile(minutes, level) for level in (0.5, 0.9, 0.95))
    return Promotion(share=float(np.isfinite(minutes).mean()), median=median, p90=p90, p95=p95)


def found_by(judge: str, minutes: Array) -> Found:
    """When a judge takes rollouts back; infinite for those that it does not."""
    count = int(np.isfinite(minutes).sum())
    low, high = share_interval(count, len(minutes))
    return Found(judge=judge, share=count / len(minutes), low=low, high=high, median=_quantile(minutes, 0.5))


def less_is_worse(slo: Slo) -> bool:
    """Whether it counts what is good."""
    return slo.baseline is not None and slo.baseline.less_is_worse


def _tried(setting: Setting, worse: Mapping[str, float], told: Told) -> Ended:
    rates = {}
    for slo in setting.slos:
        times = worse.get(slo.name, 1.0)
        rates[slo.name] = Rate(base=setting.bases[slo.name], times=1 / times if less_is_worse(slo) else times)
    return tried(
        setting.legs,
        setting.slos,
        rates,
        per_second=setting.per_second,
        runs=setting.runs,
        seed=setting.seed,
        told=told,
    )


def _judges(setting: Setting, ended: Ended) -> Iterator[Found]:
    yield found_by(OURS, ended.taken_back)
    for name, judge in PEERS.items():
        yield found_by(name, _first_of_all(setting, judge, ended.by_minute))


def _first_of_all(
    setting: Setting, judge: Callable[[Counts, float, bool], Array], by_minute: Mapping[str, Counts]
) -> Array:
    """One SLO that is breached is enough, for all."""
    taken_back = [judge(by_minute[slo.name], setting.limit_of_peers(slo), less_is_worse(slo)) for slo in setting.slos]
    first: Array = np.min(taken_back, axis=0)
    return first


def _quantile(minutes: Array, level: float) -> float | None:
    quantile = float(np.quantile(minutes, level, method="inverted_cdf"))
    return quantile if np.isfinite(quantile) else None
