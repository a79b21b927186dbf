"""One question for many rollouts: raw samples of everything that is watched, sorted into ledgers."""

import logging
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from modelrollout.judge.ledger import Counter, Ledger, Sample, Scrapes, Series
from modelrollout.metrics.prometheus import Matrix, QueryError, RawSeries, Trouble
from modelrollout.metrics.templates import UP, Arm, ArmKey, Template

_log = logging.getLogger(__name__)

BASE = 60.0
"""Seconds that the first question goes back beyond the window: what a series was before is what it counts from."""

LONGEST_REACH = 1200.0
"""Seconds that the first question goes back at most: an operator that was away for longer counts from then on."""

_PROMPT = 3.0
_LATE = 15.0
"""Seconds between the time of a sample and its showing up: of nearly all, and of all at the usual scrape time-out."""

_SWEEP = 5.0
"""Seconds between questions that wait for the late ones too; those in between fetch a fraction of the samples."""

_Name = tuple[tuple[str, str], ...]


@dataclass(slots=True, kw_only=True)
class _Known:
    """What is known of a series once it was seen, so that each look costs only what is new."""

    target: str
    tallies: tuple[str, ...] | None
    """None when it is none of this feed's business."""
    newest: float = float("-inf")


@dataclass(kw_only=True)
class Feed:
    """What one template says of one arm: what has to be asked, and the ledger of the answers.

    A ledger begins anew when other tallies are wanted. It takes a series that an earlier answer did not hold for a new
    one, so it must never meet a series that was merely not asked for.
    """

    template: Template
    arm: Arm
    wanted: frozenset[str]
    since: float
    """Start of the stage: what comes before does not count."""
    window: float
    """Seconds that the longest window of its SLOs goes back."""
    counts_from: float = math.inf
    """From when on somebody counts who has not counted yet: the first question goes back to there, if it can."""
    ledger: Ledger = field(default_factory=Ledger)
    looked_at: float | None = None
    """When it was last asked for with success."""
    trouble: Trouble | None = None
    """Why the last question got no answer."""
    news: bool = True
    """Whether something has changed since the readings were last told."""
    seen: set[str] = field(default_factory=set)
    """Tallies that there are series of: a bucket that is missing is not one that is empty."""
    _known: dict[_Name, _Known] = field(default_factory=dict)

    @property
    def keys(self) -> tuple[ArmKey, ...]:
        """The label values by which its series are known."""
        return self.template.attribution.keys(self.arm)

    def reach(self, now: float) -> float:
        """Seconds that the next question has to go back; clocks that were set back do not make it negative."""
        window = max(0.0, min(self.window, now - self.since))
        if self.looked_at is None:
            return max(window, min(now - self.counts_from, LONGEST_REACH)) + BASE
        sweeps = now // _SWEEP != self.looked_at // _SWEEP  # at the same times for all, who share a question
        overlap = _LATE if sweeps else _PROMPT
        return max(0.0, min(window, now - self.looked_at)) + overlap

    def absorb(self, answer: Iterable[RawSeries], now: float) -> None:
        """Book the part of an answer, given at `now`, that is about this arm."""
        if scrapes := self._scrapes(answer):
            self.ledger.absorb(scrapes)
            self.ledger.forget(min(now - self.window, self.counts_from))
            self.news = True
        self.news |= self.trouble is not None or self.looked_at is None
        self.looked_at, self.trouble = now, None

    def fail(self, trouble: Trouble) -> None:
        """There was no answer; the feed says so until there is one."""
        self.trouble, self.news = trouble, True

    def known(self) -> Iterator[tuple[Mapping[str, str], Counter]]:
        """The labels of what was seen, and by what the ledger knows it; `up` is among it, and no counter."""
        for name, one in self._known.items():
            if one.tallies is not None:
                yield dict(name), (one.target, name)

    def _scrapes(self, answer: Iterable[RawSeries]) -> list[Scrapes]:
        """What is new in an answer, by target."""
        up: dict[str, list[Sample]] = defaultdict(list)
        series: dict[str, list[Series]] = defaultdict(list)
        for raw in answer:
            name = tuple(raw.labels.items())
            known = self._known.get(name) or self._known.setdefault(name, self._classify(raw.labels))
            if known.tallies is None or raw.samples[-1][0] <= known.newest:
                continue
            new = [Sample(time, float(value)) for time, value in raw.samples if time > known.newest]
            known.newest = new[-1].time
            samples = [sample for sample in new if math.isfinite(sample.value)]  # no count is anything else
            if raw.labels["__name__"] == UP:
                up[known.target] += samples
            else:
                series[known.target].append(Series(name=name, samples=samples, tallies=known.tallies))
        return [Scrapes(target=target, up=up[target], series=series[target]) for target in {**up, **series}]

    def _classify(self, labels: Mapping[str, str]) -> _Known:
        name = labels["__name__"]
        counted = tuple(self.template.tallies(labels) & self.wanted)
        self.seen.update(counted)
        heartbeat = name == UP or name in self.template.heartbeats
        target = _target(labels, self.template.attribution.restarts_by)
        return _Known(target=target, tallies=counted if counted or heartbeat else None)


def past(feed: Feed, *, minutes: int) -> str:
    """A question for what the series of a feed have been, minute by minute."""
    return f"{_instant_selector([feed])}[{minutes}m:1m]"


@dataclass(frozen=True, kw_only=True)
class Question:
    """A range vector selector, and the feeds that its answer is for."""

    promql: str
    feeds: tuple[Feed, ...]


def questions(feeds: Iterable[Feed], *, now: float) -> list[Question]:
    """As few questions as cover all feeds: one for the pods of each colour and one for each kind of proxy."""
    groups: dict[tuple[str, ...], list[Feed]] = defaultdict(list)
    for feed in feeds:
        groups[feed.template.attribution.group(feed.arm)].append(feed)
    return [Question(promql=_selector(group, now), feeds=tuple(group)) for group in groups.values()]


def absorb(question: Question, answer: Matrix | Trouble, *, now: float) -> None:
    """Hand an answer, given at `now`, to the feeds that it is for; what one cannot read is no trouble of the others."""
    if not isinstance(answer, Matrix):
        for feed in question.feeds:
            feed.fail(answer)
        return
    key_in = question.feeds[0].template.attribution.key_in
    of_arm: dict[ArmKey, list[RawSeries]] = defaultdict(list)
    for raw in answer.series:
        of_arm[key_in(raw.labels)].append(raw)
    for feed in question.feeds:
        try:
            feed.absorb([raw for key in feed.keys for raw in of_arm.get(key, ())], now)
        except Exception as error:
            _log.exception("the series of %s cannot be read", feed.arm)
            feed.fail(QueryError(f"the answer of Prometheus cannot be read: {error!r}"))


def _selector(feeds: Sequence[Feed], now: float) -> str:
    return f"{_instant_selector(feeds)}[{math.ceil(max(feed.reach(now) for feed in feeds))}s]"


def _instant_selector(feeds: Sequence[Feed]) -> str:
    """The empty alternative of `le` is for the series that have no such label."""
    kinds = {(feed.template.name, feed.wanted): feed.template for feed in feeds}
    names = {name for (_, wanted), template in kinds.items() for name in template.series_names(wanted)}
    matchers = [f'__name__=~"{"|".join(sorted(names))}"']
    matchers.append(feeds[0].template.attribution.matcher(feed.arm for feed in feeds))
    if edges := {re.escape(edge) for (_, wanted), template in kinds.items() for edge in template.edge_labels(wanted)}:
        alternatives = "|".join(sorted(edges)).replace("\\", "\\\\")  # once for the expression, once for the string
        matchers.append(f'le=~"|{alternatives}"')
    return f"{{{','.join(matchers)}}}"


def _target(labels: Mapping[str, str], restarts_by: Sequence[str]) -> str:
    """What a series was scraped from, in words: Prometheus knows a target by its job and instance.

    Counters of one target that do not begin anew together are told apart by more labels.
    """
    pod = "/".join(labels[label] for label in ("namespace", "pod") if label in labels)
    address = " ".join(f"{label}={labels[label]}" for label in ("instance", "job", *restarts_by) if label in labels)
    return f"{pod} ({address})" if pod else address
