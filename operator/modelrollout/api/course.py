"""How the SLOs went in an attempt, in numbers: kept in the status while it is under way, and then in the report.

A point is a short line and not an object. There may be a thousand of them in a status, which is written every half
minute, and which people read with `kubectl describe`.
"""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from modelrollout.api.base import ApiModel
from modelrollout.api.evidence import Counted

MOST_POINTS = 60
"""How many points there are of an SLO; of more than that those go that are nearest to others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What was known of an SLO at one moment: counts of the attempt so far and their evidence, or a value."""

    seconds: int
    """Since the attempt began."""
    value: float | None = None
    """Of an SLO that is no comparison of counts."""
    candidate: Counted | None = None
    stable: Counted | None = None
    evidence: float | None = None
    """Of harm: 1 is none, and 100 takes the candidate back."""

    def line(self) -> str:
        """As it is written: `90 7/1204 31/22870 1.3`, or `90 0.0123`."""
        if self.candidate is None or self.stable is None:
            return f"{self.seconds} {self.value:.6g}"
        counts = " ".join(f"{one.bad}/{one.total}" for one in (self.candidate, self.stable))
        return f"{self.seconds} {counts} {self.evidence:.3g}"

    @classmethod
    def read(cls, line: str) -> "Point":
        """What a line says.

        Raises:
            ValueError: it is not one that we write.
        """
        match line.split():
            case [seconds, value]:
                return cls(seconds=int(seconds), value=float(value))
            case [seconds, candidate, stable, evidence]:
                return cls(
                    seconds=int(seconds),
                    candidate=_counted(candidate),
                    stable=_counted(stable),
                    evidence=float(evidence),
                )
        raise ValueError(f"{line!r} is no point of a course")


def _counted(written: str) -> Counted:
    bad, total = map(int, written.split("/"))
    return Counted(bad=bad, total=total)


class Course(ApiModel):
    """How an SLO went in an attempt."""

    name: Annotated[str, Field(max_length=63)] = Field(description="Name of the SLO.")
    asked: Annotated[str, Field(max_length=256)] = Field(
        description="What was asked of Prometheus: a built-in metric by name, counters, or the query."
    )
    limit: float | None = Field(description="The limit it was held against.", default=None)
    tolerated: float | None = Field(
        description="The candidate's share in times of stable's that was just tolerated; below 1 where less is worse.",
        default=None,
    )
    points: list[Annotated[str, Field(max_length=96)]] = Field(
        description="What was known when, oldest first, such as `90 7/1204 31/22870 1.3`: the seconds since the "
        "attempt began; bad ones (or good ones, where these are counted) of all requests in the attempt so far, of the "
        "candidate and of stable; the evidence of harm. Of an SLO that is no such comparison `90 0.0123`: the seconds "
        "and the value.",
        default_factory=list,
        max_length=MOST_POINTS,
    )
