"""The course of an attempt: what was known of each SLO when, noted in its record whenever it is written anyway.

What an SLO says is written when its verdict changes, every half minute while it has requests, and when a stage is left.
So a course costs no write of its own. Nor does it make a report be written: that waits for the next entry.
"""

from collections.abc import Sequence
from datetime import datetime

from modelrollout.api.attempt import AttemptRecord
from modelrollout.api.course import MOST_POINTS, Course, Point
from modelrollout.api.quantities import parse_number
from modelrollout.api.slo import Slo
from modelrollout.api.status import ModelRolloutStatus, SloStatus
from modelrollout.engine.move import evolve
from modelrollout.engine.slos import fold
from modelrollout.engine.snapshot import Snapshot

_ASKED_LENGTH = 256


def with_course(record: AttemptRecord, snapshot: Snapshot, after: ModelRolloutStatus, now: datetime) -> AttemptRecord:
    """The record with a point more of each SLO of which the status is about to say something new.

    An attempt that is over has its course in its report, and nowhere else: what is seen of it later is not in it.
    """
    if record.ended:
        return record
    seconds = int((now - record.started).total_seconds())
    specs = {slo.name: slo for slo in snapshot.spec.slos}
    courses = {one.name: one for one in record.course}
    for said in _newly_said(snapshot, after, now):
        if point := _point(said, seconds):
            before, fresh = courses.get(said.name), _begun(specs[said.name])
            courses[said.name] = _longer(before if before and _is_same(before, fresh) else fresh, point)
    known = [name for name in specs if name in courses]
    return evolve(record, course=[courses[name] for name in known]) if known else record


def asked(slo: Slo) -> str:
    """What is asked of Prometheus, in short."""
    if slo.query:
        return slo.query.value[:_ASKED_LENGTH]
    if slo.counter:
        return f"{slo.counter.bad or slo.counter.good} of {slo.counter.total}"[:_ASKED_LENGTH]
    return f"{slo.metric} over {slo.slower_than}" if slo.slower_than else str(slo.metric)


def thinned(points: Sequence[str]) -> list[str]:
    """As many points as there is room for, the first and the last among them, and spread as evenly as they were."""
    left = list(points)
    while len(left) > MOST_POINTS:
        moments = [Point.read(line).seconds for line in left]
        apart = {place: moments[place + 1] - moments[place - 1] for place in range(1, len(left) - 1)}
        del left[min(apart, key=apart.__getitem__)]
    return left


def _newly_said(snapshot: Snapshot, after: ModelRolloutStatus, now: datetime) -> list[SloStatus]:
    """What SLOs say that the status does not say yet; all that they said in a stage or a step back that is left."""
    before = snapshot.status
    step, following = before.stage or before.way_back, after.stage or after.way_back
    if step and (following is None or following.entered_at != step.entered_at):
        return fold(snapshot, now)
    return [slo for slo in after.slos if slo not in before.slos]


def _point(said: SloStatus, seconds: int) -> Point | None:
    """None where nothing was counted or measured."""
    if said.comparison and said.comparison.points is None:
        counted = said.comparison
        return Point(seconds=seconds, candidate=counted.candidate, stable=counted.stable, evidence=counted.evidence)
    return None if said.value is None else Point(seconds=seconds, value=said.value)


def _begun(slo: Slo) -> Course:
    return Course(
        name=slo.name,
        asked=asked(slo),
        limit=None if slo.limit is None else parse_number(slo.limit),
        tolerated=slo.baseline.tolerated if slo.baseline else None,
    )


def _is_same(course: Course, fresh: Course) -> bool:
    """Whether it is about the same as before; an edit of the SLO begins anew, as evidence does."""
    return evolve(course, points=[]) == fresh


def _longer(course: Course, point: Point) -> Course:
    """With one point more, or another one of the same moment."""
    earlier = [line for line in course.points if Point.read(line).seconds < point.seconds]
    return evolve(course, points=thinned([*earlier, point.line()]))
