"""True counts from the raw samples of counters.

PromQL's `increase()` extrapolates, and loses the first value of a new series, which is exactly how a candidate's first
errors look: clients create the series of an error code with the first error. A ledger adds up what the samples say:

- a sample counts by how much it is above the one before it; missed scrapes in between change nothing;
- after a restart a sample counts whole. A restart shows when any counter of the target falls, and then holds for all of
  them that were not seen in between: an error count that went from 3 over a restart to 3 has grown by 3;
- a series that an earlier scrape of its target did not have counts whole from its first sample, and so does a target
  that appears while others of the same ledger have been scraped for a while. In doubt a first sample is only a base:
  an old total must never pass for new errors.

Answers may overlap, so that late samples are not lost; a sample is counted once however often it is seen.

Whoever reads the same counters in another way has a ledger of their own. One can follow the other: it takes over what
was counted, and what its counters are ahead, so that nothing is counted twice and nothing is lost.
"""

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

UNKNOWN_INTERVAL = 60.0
"""Seconds between scrapes that are assumed as long as too few were seen: Prometheus's own default."""

_STALE_INTERVALS = 3
_SCRAPE_SECONDS = 5.0
"""A sample bears the time at which its scrape began, and shows up when the scrape is over."""

_NEW_INTERVALS = 2
_RECENT = 8

_SURELY_LATER = 30.0
"""Seconds that two scrapes are apart at least of which one is surely the later, whatever clocks they are timed by."""

_CLOCKS = 5.0
"""Seconds by which the clocks of two ways to scrape may differ."""

Counter = tuple[str, Hashable]
"""A counter by its target and name."""


class Sample(NamedTuple):
    """Value of a counter at a time in seconds since the epoch."""

    time: float
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Samples of one counter of a target, oldest first, and the tallies that its increments belong to."""

    name: Hashable
    samples: Sequence[Sample]
    tallies: tuple[str, ...] = ()
    """Empty: not counted, but it shows when the target was scraped and restarted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrapes:
    """What an answer says of one target. `up` is 1 for a scrape that worked and 0 for one that failed."""

    target: str
    up: Sequence[Sample] = ()
    series: Sequence[Series] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How well the targets of a ledger were scraped of late. Targets that are scraped no more are not in it."""

    known: int
    """Targets ever seen."""
    current: int
    """Targets of which the newest scrape, worked or failed, is not older than a few intervals."""
    down: tuple[str, ...] = ()
    """Those of the current ones whose newest scrape failed."""
    newest: float | None = None
    """Time of the newest scrape that worked; None when none ever did."""
    interval: float = UNKNOWN_INTERVAL
    """Seconds between two scrapes of the target that is scraped most rarely."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Same:
    """What two ledgers both have."""

    counters: Mapping[Counter, Counter]
    """By counter of the one, that of the other."""
    targets: Mapping[str, Collection[str]]
    """By target of the one, those of the other in which it is seen as well."""


class _Step(NamedTuple):
    """From one sample of a series to the next."""

    name: Hashable
    tallies: tuple[str, ...]
    begin: float
    base: float
    sample: Sample


class _Increment(NamedTuple):
    """What happened to a counter between two scrapes."""

    counter: Counter
    begin: float
    end: float
    amount: float


class _Cursor(NamedTuple):
    """How far a series was counted."""

    time: float
    value: float
    tallies: tuple[str, ...]


@dataclass(slots=True)
class _Target:
    """Where the counting of one target's series stands."""

    scraped: list[float] = field(default_factory=list)
    """Times of scrapes, failed ones included."""
    answered: list[float] = field(default_factory=list)
    """Times of those that worked."""
    restarts: list[tuple[float, float]] = field(default_factory=list)
    """Between which times it restarted."""
    cursors: dict[Hashable, _Cursor] = field(default_factory=dict)
    first: float | None = None

    @property
    def is_down(self) -> bool:
        return not self.answered or self.answered[-1] < self.scraped[-1]

    def interval(self) -> float | None:
        """Usual seconds between scrapes; None after too few of them."""
        gaps = sorted(later - earlier for earlier, later in pairwise(self.scraped[-_RECENT:]))
        return gaps[len(gaps) // 2] if gaps else None

    def note(self, scrapes: Scrapes) -> None:
        """Remember when the target was scraped."""
        worked = {sample.time for series in scrapes.series for sample in series.samples}
        worked.update(sample.time for sample in scrapes.up if sample.value)
        failed = {sample.time for sample in scrapes.up if not sample.value}
        _extend(self.scraped, worked | failed)
        _extend(self.answered, worked)
        if self.first is None and self.scraped:
            self.first = self.scraped[0]

    def advance(self, series: Iterable[Series], born_after: float | None) -> list[_Step]:
        """The steps that are new in these series; `born_after` is known when the target is new."""
        steps: list[_Step] = []
        for one in series:
            cursor = self.cursors.get(one.name)
            for sample in one.samples:
                if cursor is None:
                    answer = self._last_answer_before(sample.time)
                    begin = born_after if answer is None else answer
                    if begin is not None:
                        steps.append(_Step(one.name, one.tallies, begin, 0.0, sample))
                elif sample.time <= cursor.time:
                    continue
                else:
                    steps.append(_Step(one.name, one.tallies, cursor.time, cursor.value, sample))
                    if sample.value < cursor.value:
                        self.restarts.append((cursor.time, sample.time))
                cursor = _Cursor(sample.time, sample.value, one.tallies)
            if cursor is not None:
                self.cursors[one.name] = cursor
        return steps

    def amount(self, step: _Step) -> float:
        """What a step counts, restarts considered."""
        end = step.sample.time
        restarted = any(step.begin <= begin and until <= end for begin, until in self.restarts)
        return step.sample.value if restarted else step.sample.value - step.base

    def has_restarted_since(self, time: float) -> bool:
        """Whether it has restarted later than that."""
        return any(begin >= time for begin, _ in self.restarts)

    def forget(self, before: float) -> None:
        """Drop times that no future step can reach back to; the newest always stay."""
        for times in (self.scraped, self.answered):
            del times[: max(0, min(bisect_left(times, before), len(times) - _RECENT))]
        self.restarts = [restart for restart in self.restarts if restart[1] > before]

    def _last_answer_before(self, time: float) -> float | None:
        position = bisect_left(self.answered, time)
        return self.answered[position - 1] if position else None


class Ledger:
    """Counts of one arm (one attempt of one colour), kept by tally: `requests`, `failed` and the like."""

    def __init__(self) -> None:
        self._targets: dict[str, _Target] = {}
        self._increments: dict[str, list[_Increment]] = defaultdict(list)

    def absorb(self, answer: Collection[Scrapes]) -> None:
        """Book what is new in an answer of Prometheus."""
        for scrapes in answer:
            self._targets.setdefault(scrapes.target, _Target()).note(scrapes)
        births = self._births()
        for scrapes in answer:
            target = self._targets[scrapes.target]
            for step in target.advance(scrapes.series, births.get(scrapes.target)):
                counter = (scrapes.target, step.name)
                increment = _Increment(counter, step.begin, step.sample.time, target.amount(step))
                for tally in step.tallies:
                    self._increments[tally].append(increment)

    def total(self, tally: str, *, after: float, since: float, until: float = math.inf) -> float:
        """What was counted by scrapes later than `after`, not later than `until`, and began no earlier than `since`.

        The bounds differ on purpose. `after` and `until` are edges of a window or a block. `since` is the start of a
        stage: what happened around it is left out until a scrape has drawn the line, because the warm-up was there too.
        """
        return sum(
            increment.amount
            for increment in self._increments[tally]
            if after < increment.end <= until and increment.begin >= since
        )

    def binned(self, tally: str, edges: Sequence[float]) -> list[float]:
        """What was counted by scrapes between each two of these moments and not at the earlier one, ascending."""
        sums = [0.0] * (len(edges) - 1)
        for increment in self._increments[tally]:
            place = bisect_left(edges, increment.end) - 1
            if 0 <= place < len(sums):
                sums[place] += increment.amount
        return sums

    def is_ahead_of(self, other: "Ledger", same: Same) -> bool:
        """Whether no counter that both have was read earlier here than there, so that this ledger can follow."""
        return all(
            mine.value >= theirs.value or mine.time > theirs.time + _SURELY_LATER
            for _, mine, theirs in self._in_both(other, same)
        )

    def follow(self, other: "Ledger", same: Same) -> None:
        """Go on from where a ledger of the same counters stands that this one is ahead of.

        What the other has counted stands, and so does what this one has counted of all that the other does not have:
        of a target that both have, since the other has last seen it. A counter that appears then may seem to have been
        there a little before, by another clock.
        """
        alone = {one for one in self.counters() if not same.targets.get(one[0])}
        seen = {target: max(map(other._last_answer, theirs)) for target, theirs in same.targets.items() if theirs}
        increments: dict[str, list[_Increment]] = defaultdict(list)
        for tally, theirs in other._increments.items():
            increments[tally] += [one for one in theirs if one.counter not in alone]
        for tally, ours in self._increments.items():
            fresh = [one for one in ours if one.counter[0] in self._targets and one.counter not in same.counters]
            increments[tally] += [one for one in fresh if one.end > seen.get(one.counter[0], -math.inf) - _CLOCKS]
        for tally, increment in self._appeared(seen, same, increments):
            increments[tally].append(increment)
        for tally, increment in self._ahead(other, same):
            increments[tally].append(increment)
        self._increments = increments

    def _appeared(
        self, seen: Mapping[str, float], same: Same, counted: Mapping[str, Sequence[_Increment]]
    ) -> list[tuple[str, _Increment]]:
        """What is not counted yet of counters that were not there when the other has last seen their target."""
        found = []
        for counter in self.counters() - same.counters.keys():
            for tally in self._cursor(counter).tallies if counter[0] in seen else ():
                cursor = self._cursor(counter)
                missing = cursor.value - sum(one.amount for one in counted.get(tally, ()) if one.counter == counter)
                if missing > 0:
                    found.append((tally, _Increment(counter, seen[counter[0]], cursor.time, missing)))
        return found

    def _ahead(self, other: "Ledger", same: Same) -> Iterable[tuple[str, _Increment]]:
        """What the counters that both have are ahead here, by tally."""
        in_both = list(self._in_both(other, same))
        fallen = {counter[0] for counter, mine, theirs in in_both if mine.value < theirs.value}
        for counter, mine, theirs in in_both:
            restarted = counter[0] in fallen or self._targets[counter[0]].has_restarted_since(
                theirs.time + _SURELY_LATER
            )
            amount = mine.value if restarted else mine.value - theirs.value
            for tally in mine.tallies:
                yield tally, _Increment(counter, theirs.time, mine.time, amount)

    def _in_both(self, other: "Ledger", same: Same) -> Iterable[tuple[Counter, _Cursor, _Cursor]]:
        """Counters that both have, and how far either is; without those that were gone here before they were there."""
        for counter, its in same.counters.items():
            mine, theirs = self._cursor(counter), other._cursor(its)
            is_gone = self._last_answer(counter[0]) > mine.time + _SURELY_LATER
            if not is_gone or mine.value >= theirs.value:
                yield counter, mine, theirs

    def coverage(self, now: float) -> Coverage:
        """How well the targets were scraped up to now."""
        usual = self._interval() or UNKNOWN_INTERVAL
        current = {
            name: target
            for name, target in self._targets.items()
            if target.scraped
            and now - target.scraped[-1] <= _STALE_INTERVALS * (target.interval() or usual) + _SCRAPE_SECONDS
        }
        return Coverage(
            known=len(self._targets),
            current=len(current),
            down=tuple(sorted(name for name, target in current.items() if target.is_down)),
            newest=self.newest,
            interval=usual,
        )

    @property
    def begun(self) -> float | None:
        """Time of the first scrape; None when there was none."""
        return min((target.first for target in self._targets.values() if target.first is not None), default=None)

    @property
    def newest(self) -> float | None:
        """Time of the newest scrape that worked; None when none ever did."""
        return max((target.answered[-1] for target in self._targets.values() if target.answered), default=None)

    def counters(self) -> frozenset[Counter]:
        """All that were counted in."""
        return frozenset((name, series) for name, target in self._targets.items() for series in target.cursors)

    def forget(self, before: float) -> None:
        """Drop what ended before a time that nobody will ask for again."""
        for tally, increments in self._increments.items():
            self._increments[tally] = [increment for increment in increments if increment.end > before]
        for target in self._targets.values():
            target.forget(before)

    def _cursor(self, counter: Counter) -> _Cursor:
        target, name = counter
        return self._targets[target].cursors[name]

    def _last_answer(self, target: str) -> float:
        answered = self._targets[target].answered if target in self._targets else []
        return answered[-1] if answered else -math.inf

    def _interval(self) -> float | None:
        return max((interval for target in self._targets.values() if (interval := target.interval())), default=None)

    def _births(self) -> dict[str, float]:
        """When targets began at the earliest: those only of which others show that they were not there before."""
        interval = self._interval()
        firsts = {name: target.first for name, target in self._targets.items() if target.first is not None}
        if interval is None:
            return {}
        begun = min(firsts.values())
        births = {name: first - _NEW_INTERVALS * interval for name, first in firsts.items()}
        return {name: birth for name, birth in births.items() if birth >= begun}


def _extend(times: list[float], seen: set[float]) -> None:
    newest = times[-1] if times else float("-inf")
    times.extend(sorted(time for time in seen if time > newest))
