"""The page that tells of all trials."""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from statistics import median

from .cases import HOLD_MINUTES, USUAL, WEIGHT, Case
from .trials import RATE, SCRAPE_SECONDS, Trial

_ABOUT = """\
# Candidates on real pods

`make prove` has written this, and writes it anew: real pods of MLServer behind Envoy, a real Prometheus that scrapes
every {scrape} s, the operator from its chart, on {machine}. {rate} requests a second, of which the
candidate gets {weight} %. Of stable's, {usual:.0%} fail and as many are slow; both are compared with stable
(`maxIncrease: 25%`), nothing else is asked for. A healthy one goes on after {hold} minutes; one with a fault stays
until it is taken back.

Median, and from least to most. Seconds are between the first request that could come, or the first bad answer that a
caller got, and the route that takes the requests back, as a watch sees it.

| candidate | tried | taken back | its requests | seconds since the first | since its first bad answer |
|---|---|---|---|---|---|
"""


def written(trials: Sequence[Trial]) -> str:
    """All of it, in Markdown."""
    about = {"scrape": SCRAPE_SECONDS, "rate": RATE, "weight": WEIGHT, "usual": USUAL, "hold": HOLD_MINUTES}
    return _ABOUT.format(machine=_machine(), **about) + "".join(f"{row}\n" for row in _rows(trials))


def _rows(trials: Sequence[Trial]) -> Iterator[str]:
    of_case: dict[Case, list[Trial]] = defaultdict(list)
    for trial in trials:
        of_case[trial.case].append(trial)
    for case, some in of_case.items():
        back = [one for one in some if one.reverted]
        numbers = (
            _range([one.requests for one in some]),
            _range([one.since_stage for one in back if one.since_stage is not None]),
            _range([one.since_bad for one in back if one.since_bad is not None]),
        )
        yield f"| {case.name} | {len(some)} | {len(back)} | {' | '.join(numbers)} |"


def _range(numbers: Sequence[float]) -> str:
    if not numbers:
        return "-"
    return f"{median(numbers):,.1f} ({min(numbers):,.1f} to {max(numbers):,.1f})"


def _machine() -> str:
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{cores} cores with {memory:.0f} GiB"
