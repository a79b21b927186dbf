"""The two ways in which counts come, by Prometheus and from the pods themselves, and which of them counts.

Each has ledgers of its own, and one way counts at a time, for both versions. The other one takes over only when its
counters are further, and goes on from what was counted: so nothing is counted twice, and nothing is lost.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from modelrollout.judge.ledger import Counter, Same
from modelrollout.metrics.batch import Feed
from modelrollout.metrics.readings import Arms
from modelrollout.metrics.templates import ATTEMPT_LABEL, COLOUR_LABEL, NAME_LABEL

_OF_TARGETS = frozenset({"namespace", "pod", "instance", NAME_LABEL, COLOUR_LABEL, ATTEMPT_LABEL})
"""Labels that tell where a direct scrape went to, and not what it counts."""


_BEGINNING = 5.0
"""Seconds of a stage in which direct scrapes begin, unless the operator has only just been started."""

Labels = Mapping[str, str]


@dataclass(kw_only=True, eq=False)
class Ways:
    """What one template says of both versions, either way."""

    prometheus: Arms
    direct: Arms | None = None
    """None: the pods are not scraped directly."""
    is_direct: bool = False
    """Whether it is what the pods themselves say that counts."""

    @property
    def arms(self) -> Arms:
        """What counts."""
        return self.direct if self.direct and self.is_direct else self.prometheus

    @property
    def feeds(self) -> Iterable[Feed]:
        """All there are."""
        for arms in (self.prometheus, self.direct):
            if arms:
                yield from (arms.candidate, arms.stable)

    @property
    def has_news(self) -> bool:
        """Whether any of them has something that was not told yet."""
        return any(feed.news for feed in self.feeds)

    def goes_on_in(self, ways: "Ways") -> bool:
        """Whether it is the pods that count, and these other ways have the same ledgers of what they said."""
        if not (self.is_direct and self.direct and ways.direct):
            return False
        return ways.direct.candidate is self.direct.candidate and ways.direct.stable is self.direct.stable

    def choose(self, now: float, *, lasts: float) -> None:
        """Let direct scrapes count while both versions answer, and else Prometheus, as soon as it can take over.

        `lasts` is for how many seconds a direct scrape tells of the present.
        """
        if self.direct is None:
            return
        answer = all(_newest(feed) > now - lasts for feed in (self.direct.candidate, self.direct.stable))
        is_complete = _saw_the_beginning(self.direct) or _was_asked(self.prometheus)
        if not self.is_direct and answer and is_complete:
            self.is_direct = _follow(self.direct, self.prometheus)
        elif self.is_direct and not answer and _is_newer(self.prometheus, self.direct):
            self.is_direct = not _follow(self.prometheus, self.direct)


def _saw_the_beginning(arms: Arms) -> bool:
    """Whether nothing of the stage was missed, so that nobody else has to be asked what was before."""
    feeds = (arms.candidate, arms.stable)
    return all(feed.ledger.begun is not None and feed.ledger.begun <= feed.since + _BEGINNING for feed in feeds)


def _was_asked(arms: Arms) -> bool:
    """Whether Prometheus has told what it knows of before, or cannot."""
    return all(feed.looked_at is not None or feed.trouble is not None for feed in (arms.candidate, arms.stable))


def _is_newer(arms: Arms, others: Arms) -> bool:
    pairs = ((arms.candidate, others.candidate), (arms.stable, others.stable))
    return all(_newest(one) > _newest(other) for one, other in pairs)


def _newest(feed: Feed) -> float:
    newest = feed.ledger.newest
    return float("-inf") if newest is None else newest


def _follow(arms: Arms, others: Arms) -> bool:
    """Go on from where the others stand, with both versions or with neither; whether that could be done."""
    pairs = [(arms.candidate, others.candidate), (arms.stable, others.stable)]
    in_both = [same(one, other) for one, other in pairs]
    if not all(one.ledger.is_ahead_of(other.ledger, both) for (one, other), both in zip(pairs, in_both, strict=True)):
        return False
    for (one, other), both in zip(pairs, in_both, strict=True):
        one.ledger.follow(other.ledger, both)
        one.news = True
    return True


def same(one: Feed, other: Feed) -> Same:
    """What of one feed is in the other as well: pods by their names or addresses, counters by their labels."""
    theirs: dict[str, list[tuple[Labels, Counter]]] = defaultdict(list)
    for labels, counter in other.known():
        for key in _keys(labels):
            theirs[key].append((labels, counter))
    ours, its = one.ledger.counters(), other.ledger.counters()
    counters: dict[Counter, Counter] = {}
    targets: dict[str, set[str]] = defaultdict(set)
    for labels, counter in one.known():
        for key in _keys(labels):
            for their_labels, their_counter in theirs.get(key, ()):
                if not _are_of_one_pod(labels, their_labels):
                    continue
                targets[counter[0]].add(their_counter[0])
                if counter in ours and their_counter in its and _count_the_same(labels, their_labels):
                    counters[counter] = their_counter
    return Same(counters=counters, targets=targets)


def _keys(labels: Labels) -> list[str]:
    """By what series of one pod may be found."""
    return [key for key in (labels.get("pod"), _address(labels)) if key]


def _are_of_one_pod(one: Labels, other: Labels) -> bool:
    """By their names, or where Prometheus does not have those by their addresses, which pods of a node may share."""
    if "pod" in one and "pod" in other:
        return one["pod"] == other["pod"]
    return _address(one) == _address(other)


def _address(labels: Labels) -> str:
    return labels.get("instance", "").rpartition(":")[0]


def _count_the_same(one: Labels, other: Labels) -> bool:
    """Prometheus adds labels, and keeps all of the pod's: those that are in its way with `exported_` before them."""
    fewer, more = sorted((one, other), key=len)
    return one["__name__"] == other["__name__"] and all(
        _value(name, text) in (_value(name, more.get(name)), more.get(f"exported_{name}"))
        for name, text in fewer.items()
        if name not in _OF_TARGETS
    )


def _value(name: str, text: str | None) -> str | float | None:
    """Of edges of buckets there are several spellings: 1, 1.0, 1e+00."""
    return float(text) if name == "le" and text else text
