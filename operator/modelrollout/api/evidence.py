"""What was counted in an attempt, and what it says in comparison: kept in the status, told in the report."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from modelrollout.api.base import ApiModel

GRID = 24
"""Points of the grids of the sequential tests."""

ENOUGH_EVIDENCE, SUSPICIOUS_EVIDENCE = 100, 10
"""Evidence of harm that takes a candidate back, and from which on it gets no more requests until it is less again."""

LogRatios = Annotated[list[float], Field(max_length=GRID)]


class Counted(ApiModel):
    """Bad ones out of all requests of one version."""

    bad: int = Field(description="Bad ones.", default=0, ge=0)
    total: int = Field(description="All.", default=0, ge=0)

    def __add__(self, other: "Counted") -> "Counted":
        return Counted(bad=self.bad + other.bad, total=self.total + other.total)

    @property
    def share(self) -> float | None:
        """Of the bad ones; None without any request."""
        return self.bad / self.total if self.total else None


class Means(ApiModel):
    """Points at which a query was asked for both versions, in sums that let the mean difference be judged."""

    points: int = Field(description="How many.", default=0, ge=0)
    candidate: float = Field(description="Mean of the candidate's values.", default=0)
    stable: float = Field(description="Mean of stable's values.", default=0)
    excess: float = Field(description="Mean of how much worse than tolerated the candidate was.", default=0)
    squares: float = Field(description="Sum of the squared deviations of that from its mean.", default=0)
    cubes: float = Field(description="Sum of the cubed ones.", default=0)
    steps: float = Field(description="Sum of its squared changes from one point to the next.", default=0)
    last_candidate: float = Field(description="The candidate's value at the newest point.", default=0)
    last_stable: float = Field(description="Stable's value there.", default=0)


class SloEvidence(ApiModel):
    """Where the sequential tests of an SLO stand in this attempt. Written when a block is over, so that an operator
    that starts anew goes on from there.
    """

    name: Annotated[str, Field(max_length=63)] = Field(description="Name of the SLO.")
    question: Annotated[str, Field(max_length=2560)] = Field(
        description="What was counted and what it was held against; evidence on another question says nothing."
    )
    counted_to: datetime = Field(description="What was scraped until then is in it.")
    candidate: Counted = Field(description="Counts of the version on trial.", default_factory=Counted)
    stable: Counted = Field(description="Counts of the stable version at the same time.", default_factory=Counted)
    variation: float = Field(
        description="Coefficient of variation of the rate beyond chance, as the stable version's past shows it; 0 of a "
        "query.",
        default=0,
    )
    block: int = Field(description="Minutes for which such a deviation lasts, or from one point to the next.", ge=1)
    means: Means | None = Field(description="What a query was answered for both versions.", default=None)
    limit: LogRatios = Field(
        description="Log likelihood ratios against being within the limit, by grid point.", default_factory=list
    )
    baseline: LogRatios = Field(
        description="Log likelihood ratios against being no worse than stable, by grid point.", default_factory=list
    )
    proof: LogRatios = Field(
        description="Log likelihood ratios against being twice as bad as stable, by grid point.", default_factory=list
    )


class Comparison(ApiModel):
    """A candidate beside stable, over the whole attempt."""

    candidate: Counted = Field(description="Counts of the version on trial; 0 of a query.", default_factory=Counted)
    stable: Counted = Field(
        description="Counts of the stable version at the same time; 0 of a query.", default_factory=Counted
    )
    points: int | None = Field(description="Of a query: points at which both versions had a value.", default=None)
    points_needed: int | None = Field(
        description="Of a query: further points before anything is decided; left out when there are enough.",
        default=None,
    )
    ratio: float | None = Field(
        description="The candidate's share of bad ones, or mean value, in times of stable's.", default=None
    )
    ratio_low: float | None = Field(
        description="Lower end of its 95 per cent interval; of a query one that holds whenever it is looked at.",
        default=None,
    )
    ratio_high: float | None = Field(description="Upper end; left out when there is none.", default=None)
    evidence: float = Field(
        description="How strong the evidence of harm is by now: 1 is none, and 100 takes the candidate back.", default=1
    )
    samples_needed: int | None = Field(
        description="Further requests of the candidate until the evidence is enough, if it goes on like this; left out "
        "when it would never be.",
        default=None,
    )
    decision_at: datetime | None = Field(
        description="When that would be, at the present rate; of a query, when there are enough points.", default=None
    )
    proven: bool = Field(description="Whether it is proven not to be twice as bad.", default=False)

    @property
    def in_words(self) -> str:
        """What is known so far, for people."""
        evidence = f"evidence of harm {_in_words(self.evidence)} of {ENOUGH_EVIDENCE}"
        return f"{self._counts}{self._times}; {evidence}{self._outlook}"

    @property
    def _counts(self) -> str:
        if self.points is not None:
            return f"{self.points} points"
        ours = _share_in_words(self.candidate)
        if not self.stable.total:
            return ours
        return f"{ours} against stable's {_share_in_words(self.stable)}"

    @property
    def _times(self) -> str:
        if self.ratio is None or self.ratio_low is None:
            return ""
        end = "or more" if self.ratio_high is None else f"to {_in_words(self.ratio_high)}"
        return f" ({_in_words(self.ratio)} times, 95% {_in_words(self.ratio_low)} {end})"

    @property
    def _outlook(self) -> str:
        if self.points_needed:
            return f"; {self.points_needed} more at least decide"
        if not self.samples_needed:
            return ""
        about = float(f"{self.samples_needed:.2g}")
        when = f" (about {self.decision_at:%Y-%m-%d %H:%MZ})" if self.decision_at else ""
        return f"; about {about:,.0f} more requests like these decide{when}"


def _share_in_words(counted: Counted) -> str:
    return "no request" if counted.share is None else f"{counted.share:.2%} of {counted.total:,}"


def _in_words(number: float) -> str:
    """To three digits, and without exponents."""
    if 0 < number < 0.01:
        return "under 0.01"
    return f"{number:.3g}" if number < 1000 else f"{number:,.0f}"
