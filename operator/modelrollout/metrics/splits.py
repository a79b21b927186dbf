"""Whether the requests of a stage are split as declared, as each SLO sees it that is compared with stable."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from modelrollout.api.slo import Slo
from modelrollout.engine.effects import Watch
from modelrollout.judge.evidence import Book, Weighed
from modelrollout.judge.ledger import Coverage
from modelrollout.judge.split import Mismatch, Requests, Split


class Splits:
    """The splits of one stage, each with the totals of its SLO: what a server counts, a gateway may not."""

    def __init__(
        self, watch: Watch, slos: Iterable[Slo], books: Mapping[str, Book], *, before: "Splits | None" = None
    ) -> None:
        """Those of `before` go on in the same stage with the same share, where the book does that has the totals."""
        self._stage = (watch.since, watch.split)
        self._books = books
        self._splits: dict[str, Split] = {}
        self._mismatches: dict[str, Mismatch] = {}
        for slo in slos:
            if watch.split is not None and slo.name in books and slo.baseline and slo.counts_requests:
                self._splits[slo.name] = Split(watch.split / 100)
        if before and before._stage == self._stage:
            self._go_on_with(before)

    def look(self, slo: Slo, weighed: Weighed, coverages: Sequence[Coverage], now: datetime) -> None:
        """Take in what was counted in the stage. While some pods cannot be scraped nobody knows what is missing."""
        split = self._splits.get(slo.name)
        if split is None:
            return
        self._mismatches.pop(slo.name, None)
        if any(one.down or not one.current for one in coverages):
            split.begin_anew()
            return
        requests = Requests(weighed.stage.candidate.total, weighed.stage.stable.total)
        lag = timedelta(seconds=max(one.interval for one in coverages))
        if found := split.weigh(requests, at=now, lag=lag):
            self._mismatches[slo.name] = found

    def mismatch(self, slo: Slo) -> Mismatch | None:
        """What is wrong with the split, for an SLO that is compared with stable.

        Those that do not count requests themselves take the word of the others.
        """
        if slo.baseline is None:
            return None
        if slo.name in self._splits:
            return self._mismatches.get(slo.name)
        return next(iter(self._mismatches.values()), None)

    def _go_on_with(self, before: "Splits") -> None:
        for name in self._splits:
            if name in before._splits and self._books[name] is before._books[name]:
                self._splits[name] = before._splits[name]
                if name in before._mismatches:
                    self._mismatches[name] = before._mismatches[name]
