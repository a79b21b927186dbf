"""How one metric is counted in the series of a model server or proxy: which of them, and what they add up to.

What is counted together is a tally, named after the series that it is counted in: the same metric may be there under an
old and a new name, and must not be counted twice.
"""

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from modelrollout.api.quantities import parse_duration
from modelrollout.api.slo import Slo

_METRIC_NAME = r"^[a-zA-Z_:][a-zA-Z0-9_:]*$"

_MILLISECONDS = {"s": 1000.0, "ms": 1.0, "us": 0.001}


class Data(BaseModel):
    """A part of a data file."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


def is_regex(text: str) -> str:
    """The text, if it is a regular expression; raises re.error otherwise."""
    re.compile(text)
    return text


Patterns = Mapping[str, Annotated[str, AfterValidator(is_regex)]]
"""Regular expressions that whole label values match."""


class Filter(Data):
    """Which series of a family count."""

    where: Patterns = {}
    unless: Patterns = {}

    def matches(self, series: Mapping[str, str]) -> bool:
        """Whether a series counts, by its labels."""
        return all(re.fullmatch(pattern, series.get(label, "")) for label, pattern in self.where.items()) and not any(
            re.fullmatch(pattern, series.get(label, "")) for label, pattern in self.unless.items()
        )


class Counter(Filter):
    """Series of a counter."""

    series: str = Field(pattern=_METRIC_NAME)

    def counts(self, series: Mapping[str, str]) -> bool:
        """Whether a series is one of those that count."""
        return series["__name__"] == self.series and self.matches(series)

    def selector(self, matchers: str) -> str:
        """Those of them that match more, as PromQL."""
        where = [f"{label}=~{json.dumps(pattern)}" for label, pattern in self.where.items()]
        unless = [f"{label}!~{json.dumps(pattern)}" for label, pattern in self.unless.items()]
        return f"{self.series}{{{','.join([*where, *unless, matchers])}}}"


class Ratio(Data):
    """Failed ones of all requests; either is what some counters add up to."""

    requests: tuple[Counter, ...] = Field(min_length=1)
    failed: tuple[Counter, ...] = Field(min_length=1)

    @property
    def everything(self) -> str:
        """Tally of all requests."""
        return f"requests in {self.requests[0].series}"

    @property
    def bad(self) -> str:
        """Tally of those that failed."""
        return f"failed in {self.requests[0].series}"

    @property
    def proof(self) -> frozenset[str]:
        """Names of series that are there once there was a request; those of failures may come with the first one."""
        return frozenset(counter.series for counter in self.requests)

    def wanted(self, slo: Slo) -> frozenset[str]:  # noqa: ARG002
        """Tallies that an SLO is judged by."""
        return frozenset({self.everything, self.bad})

    def series_names(self, wanted: Collection[str]) -> set[str]:
        """Names of the series to ask for."""
        counters = {self.everything: self.requests, self.bad: self.failed}
        return {counter.series for tally in wanted for counter in counters.get(tally, ())}

    def edge_labels(self, wanted: Collection[str]) -> set[str]:  # noqa: ARG002
        """No buckets are asked for."""
        return set()

    def tallies(self, series: Mapping[str, str]) -> set[str]:
        """Tallies that a series counts for."""
        counters = {self.everything: self.requests, self.bad: self.failed}
        return {tally for tally, some in counters.items() if any(counter.counts(series) for counter in some)}

    def bad_of_all(self, slo: Slo, total: Callable[[str], float]) -> tuple[float, float]:  # noqa: ARG002
        """What was counted, given what is in each tally."""
        return total(self.bad), total(self.everything)


class Histogram(Filter):
    """Series of a classic histogram of durations: those above a bucket edge are the slow ones."""

    histogram: str = Field(pattern=_METRIC_NAME)
    unit: Literal["s", "ms", "us"]
    edges: tuple[Annotated[float, Field(gt=0)], ...] = Field(min_length=1)
    """In `unit`, ascending, as the server has them by default; those that its series show count."""

    @property
    def everything(self) -> str:
        """Tally of all that were timed."""
        return f"timed in {self.histogram}"

    @property
    def proof(self) -> frozenset[str]:
        """Names of series that are there once something was timed."""
        return frozenset({f"{self.histogram}_count"})

    def within(self, edge: float) -> str:
        """Tally of those that took no longer than a bucket edge."""
        return f"{self._within}{float(edge)!r}"

    def wanted(self, slo: Slo) -> frozenset[str]:
        """Tallies that an SLO is judged by; the server may lack the bucket of the second."""
        return frozenset({self.everything, self.within(self.edge(slo.slower_than or "", self.edges))})

    def series_names(self, wanted: Collection[str]) -> set[str]:
        """Names of the series to ask for."""
        names = {f"{self.histogram}_bucket" for tally in wanted if tally.startswith(self._within)}
        return names | ({f"{self.histogram}_count"} if self.everything in wanted else set())

    def edge_labels(self, wanted: Collection[str]) -> set[str]:
        """Values of `le` to ask for, in every spelling that servers and Prometheus versions use (1, 1.0, 3.6e+06)."""
        edges = [float(tally.removeprefix(self._within)) for tally in wanted if tally.startswith(self._within)]
        return {spelling for edge in edges for spelling in (f"{edge:g}", f"{edge:.15g}", str(edge))}

    def tallies(self, series: Mapping[str, str]) -> set[str]:
        """Tallies that a series counts for."""
        name = series["__name__"]
        if name == f"{self.histogram}_count":
            return {self.everything} if self.matches(series) else set()
        if name == f"{self.histogram}_bucket":
            return {self.within(float(series.get("le", "nan")))} if self.matches(series) else set()
        return set()

    def bad_of_all(self, slo: Slo, total: Callable[[str], float]) -> tuple[float, float]:
        """What was counted, given what is in each tally."""
        timed = total(self.everything)
        return timed - total(self.within(self.edge(slo.slower_than or "", self.edges))), timed

    def edge(self, slower_than: str, edges: Iterable[float]) -> float:
        """The edge among these that a duration stands for, to the millisecond; the duration itself when it is none."""
        wanted = parse_duration(slower_than).total_seconds() * 1000
        exact = round(wanted) / _MILLISECONDS[self.unit]
        meant = [edge for edge in edges if self._rounded(edge) == round(wanted)]
        return min(meant, key=lambda edge: abs(edge - exact), default=exact)

    def nearest(self, slower_than: str, edges: Iterable[float]) -> list[str]:
        """The edges among these on both sides of a duration, as users write them."""
        wanted = round(parse_duration(slower_than).total_seconds() * 1000)
        written = sorted({self._rounded(edge) for edge in edges} - {0})
        below = [edge for edge in written if edge < wanted][-1:]
        above = [edge for edge in written if edge > wanted][:1]
        return [f"{edge // 1000}s" if edge % 1000 == 0 else f"{edge}ms" for edge in below + above]

    @property
    def _within(self) -> str:
        return f"{self.histogram} within "

    def _rounded(self, edge: float) -> int:
        """Durations are written in whole milliseconds, and the edges of some servers are none."""
        return round(edge * _MILLISECONDS[self.unit])


Meter = Ratio | Histogram
