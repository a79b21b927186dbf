"""A rollout with requests at random that the judge weighs for real: what it says is what people get to see.

`python -m unit.cli.judged FILE` draws the report that docs/judging.md shows.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from modelrollout.api.evidence import Counted
from modelrollout.api.quantities import parse_duration
from modelrollout.api.report import RolloutReport
from modelrollout.api.slo import Slo
from modelrollout.api.status import SloStatus
from modelrollout.engine.effects import Watch
from modelrollout.engine.snapshot import Readings
from modelrollout.judge.evidence import NOTHING, Book, Pair
from modelrollout.judge.guardrail import judge_evidence, pool
from modelrollout.judge.ledger import Coverage
from modelrollout.judge.noise import Noise
from modelrollout.judge.thresholds import Counts
from modelrollout.records.report import render
from support.rendering import rollout
from unit.engine.simulation import World, make_spec

LOOK = timedelta(seconds=10)
CANARY: dict[str, Any] = {
    "strategy": {
        "canary": {
            "steps": [{"weight": 5, "hold": "10m"}, {"weight": 25, "hold": "15m"}, {"weight": 100, "hold": "10m"}]
        }
    },
    "slos": [
        {"name": "errors", "metric": "error-ratio", "limit": "4%", "baseline": {"maxIncrease": "25%"}},
        {"name": "slow", "metric": "latency", "slowerThan": "250ms", "limit": "5%"},
    ],
}


@dataclass(kw_only=True)
class Judged(World):
    """A world in which requests are counted, and judged whenever it is looked at."""

    per_second: float = 50.0
    rates: Mapping[str, float] = field(default_factory=lambda: {"errors": 0.012, "slow": 0.028})
    """By SLO: the share of stable's requests that are bad."""
    times_as_bad: Mapping[str, float] = field(default_factory=dict)
    """By SLO: the candidate's rate in times of stable's, where it differs."""
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(5))
    _counted: list[tuple[datetime, dict[str, Pair]]] = field(default_factory=list)
    _books: dict[str, Book] = field(default_factory=dict)
    _weighed_for: Watch | None = None

    def _readings(self) -> Readings | None:
        if not self.watch:
            return None
        self._count(self.watch)
        self._open_books(self.watch)
        slos = {slo.name: slo for slo in self.spec.slos}
        weighed = {name: self._books[name].weigh(self._between(name), settled=self.now, now=self.now) for name in slos}
        pooled = pool(slos, weighed)
        coverage = Coverage(known=1, current=1, newest=self.now.timestamp())

        def judged(slo: Slo) -> SloStatus:
            counts = self._window(slo)
            return judge_evidence(slo, counts, weighed[slo.name], coverage, pooled=pooled[slo.name], now=self.now)

        return Readings(
            attempt=self.watch.attempt,
            stage=self.watch.stage,
            looked_at=self.now,
            by_slo={name: judged(slo) for name, slo in slos.items()},
            evidence={name: book.written() for name, book in self._books.items()},
        )

    def _count(self, watch: Watch) -> None:
        since = self._counted[-1][0] if self._counted else watch.since
        seconds = (self.now - since).total_seconds()
        if seconds > 0:
            share = self.share_of(watch.candidate) / 100
            ours, theirs = (int(self.random.poisson(self.per_second * seconds * part)) for part in (share, 1 - share))
            pairs = {name: self._drawn(name, ours, theirs) for name in self.rates}
            self._counted.append((self.now, pairs))

    def _drawn(self, name: str, ours: int, theirs: int) -> Pair:
        rate = self.rates[name]
        bad = int(self.random.binomial(ours, rate * self.times_as_bad.get(name, 1.0)))
        their_bad = int(self.random.binomial(theirs, rate))
        return Pair(candidate=Counted(bad=bad, total=ours), stable=Counted(bad=their_bad, total=theirs))

    def _open_books(self, watch: Watch) -> None:
        before = self._weighed_for
        for slo in self.spec.slos:
            if before is None or before.attempt != watch.attempt:
                self._books[slo.name] = Book(slo, noise=Noise(variation=0.08, block=5), since=watch.since)
            elif before.since != watch.since:
                self._books[slo.name].turn(self._between(slo.name), now=self.now, since=watch.since)
        self._weighed_for = watch

    def _between(self, name: str) -> Any:
        def between(after: datetime, until: datetime) -> Pair:
            return sum((pairs[name] for at, pairs in self._counted if after < at <= until), start=NOTHING)

        return between

    def _window(self, slo: Slo) -> Counts:
        window = parse_duration(slo.window)
        pair = self._between(slo.name)(self.now - window, self.now)
        return Counts(bad=pair.candidate.bad, total=pair.candidate.total, span=window, stable=pair.stable)


def on_trial(**changes: Any) -> Judged:
    """Version 2.0.0 is on trial; keyword arguments are fields of the world."""
    world = Judged(spec=make_spec(**CANARY), **changes)
    world.settle()
    world.change(make_spec("2.0.0", **CANARY))
    return world


def report_of(world: World) -> RolloutReport:
    """The report of the attempt, as it is in a cluster."""
    return RolloutReport.model_validate(render(rollout(), world.reports[2]))


def taken_back() -> RolloutReport:
    """Of a version that has half as many errors again as stable, in the second stage."""
    world = on_trial(times_as_bad={"errors": 1.9})
    world.run_for(timedelta(minutes=60), step=LOOK)
    return report_of(world)


if __name__ == "__main__":
    from modelrollout.cli.plot import draw

    Path(sys.argv[1]).write_text(draw(taken_back()), encoding="utf-8")
