"""What a course says of values over time: of the attempt so far, and of one stretch after the other. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from modelrollout.api.attempt import TimelineEntry
from modelrollout.api.course import Course, Point
from modelrollout.api.evidence import Counted
from modelrollout.api.report import RolloutReport
from modelrollout.engine.reasons import Reason

LEAST = 50
"""Requests without which a share says so little that it is told together with that of the next stretch."""

_PREPARING = "preparing"

_DECISIONS = (Reason.PROMOTED, Reason.REVERTING, Reason.STABLE_UNAVAILABLE, Reason.DELETED)


@dataclass(frozen=True, kw_only=True)
class Span:
    """A time that an attempt spent in a stage, on the way to the first one, or on a step back."""

    name: str
    weight: int | None
    start: datetime
    end: datetime


@dataclass(frozen=True, kw_only=True)
class Line:
    """Values at moments."""

    at: tuple[datetime, ...] = ()
    values: tuple[float, ...] = ()

    @classmethod
    def of(cls, values: Sequence[tuple[datetime, float | None]]) -> "Line":
        """Without the moments at which there is no value."""
        known = [(at, value) for at, value in values if value is not None]
        return cls(at=tuple(at for at, _ in known), values=tuple(value for _, value in known))


@dataclass(frozen=True, kw_only=True)
class Trend:
    """One SLO over an attempt."""

    course: Course
    candidate: Line
    """Its share of all requests in the attempt so far, or the value."""
    candidate_in_stretches: Line
    stable: Line
    stable_in_stretches: Line
    evidence: Line

    @property
    def is_share(self) -> bool:
        """Whether it is about counts of both versions, and not about a value."""
        return bool(self.evidence.values)


def trend(course: Course, started: datetime) -> Trend:
    """What the points of a course say."""
    points = [Point.read(line) for line in course.points]

    def at(point: Point) -> datetime:
        return started + timedelta(seconds=point.seconds)

    ours = [(at(point), point.candidate) for point in points if point.candidate]
    theirs = [(at(point), point.stable) for point in points if point.stable]
    values = [(at(point), point.value) for point in points]
    return Trend(
        course=course,
        candidate=Line.of([(moment, counted.share) for moment, counted in ours] or values),
        candidate_in_stretches=Line.of(list(_stretches(ours))),
        stable=Line.of([(moment, counted.share) for moment, counted in theirs]),
        stable_in_stretches=Line.of(list(_stretches(theirs))),
        evidence=Line.of([(at(point), point.evidence) for point in points]),
    )


def spans(told: RolloutReport) -> list[Span]:
    """The stages of an attempt, and what was before and after them, in order and without a gap."""
    begun: list[tuple[str, int | None, datetime]] = [(_PREPARING, None, told.status.started)]
    for entry in told.status.timeline:
        place = _place(entry) if entry.moved else None
        if place and place != begun[-1][:2]:
            begun.append((*place, entry.at))
    ends = [*(start for _, _, start in begun[1:]), end(told)]
    found = [Span(name=one[0], weight=one[1], start=one[2], end=until) for one, until in zip(begun, ends, strict=True)]
    return [span for span in found if span.end > span.start]


def end(told: RolloutReport) -> datetime:
    """When the trial ended, or when the last thing happened that is known of one that goes on."""
    status = told.status
    courses = [Point.read(course.points[-1]) for course in status.course if course.points]
    seen = [status.started + timedelta(seconds=point.seconds) for point in courses]
    told_at = [status.ended] if status.ended else [entry.at for entry in status.timeline]
    return max(status.started, *told_at, *seen)


def decision(told: RolloutReport) -> TimelineEntry | None:
    """The move that decided about the candidate; None while it is on trial."""
    return next((entry for entry in told.status.timeline if entry.moved and entry.reason in _DECISIONS), None)


def _place(entry: TimelineEntry) -> tuple[str, int | None] | None:
    """Where the candidate is after a move; None for where it was."""
    if entry.stage:
        return entry.stage, entry.weight
    if entry.weight is not None:
        return "way back", entry.weight
    if not entry.left:
        return None
    return _PREPARING if entry.reason == Reason.STRATEGY_CHANGED else "", None


def _stretches(counted: Sequence[tuple[datetime, Counted]]) -> Iterator[tuple[datetime, float]]:
    """Shares of what came between points, each as of its end. What was counted anew is less than before: left out."""
    if not counted:
        return
    since = Counted()
    for moment, now in counted:
        if now.total < since.total or now.bad < since.bad:
            since = now
        elif now.total - since.total >= LEAST:
            yield moment, min((now.bad - since.bad) / (now.total - since.total), 1.0)
            since = now
