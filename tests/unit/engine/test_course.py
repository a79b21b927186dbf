"""How SLOs went, in numbers: noted without a write of its own, bounded, and in the report in the end."""

import json
from dataclasses import replace
from datetime import timedelta
from itertools import accumulate, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelrollout.api.attempt import MOST_COURSES, AttemptOutcome, AttemptRecord
from modelrollout.api.course import MOST_POINTS, Course, Point
from modelrollout.api.evidence import Comparison, Counted
from modelrollout.api.slo import Verdict
from modelrollout.engine.course import thinned
from modelrollout.engine.decide import decide
from modelrollout.engine.effects import WriteStatus
from modelrollout.engine.snapshot import Readings
from unit.engine.simulation import World, make_spec
from unit.engine.worlds import MINUTE, in_stage, serving

ERRORS: dict[str, Any] = {"name": "errors", "metric": "error-ratio", "limit": "1%", "baseline": {}}
SECOND = timedelta(seconds=1)


class Counting(World):
    """A world in which the candidate gets ten requests a second and stable ninety, one of a hundred of which fails."""

    worse: int = 1
    """How many times as bad the candidate is."""

    def _readings(self) -> Readings | None:
        readings, began = super()._readings(), self.status.records[-1].started if self.status.records else self.now
        seconds = int((self.now - began) / SECOND)
        comparison = Comparison(
            candidate=Counted(bad=self.worse * seconds // 10, total=10 * seconds),
            stable=Counted(bad=90 * seconds // 100, total=90 * seconds),
            evidence=float(self.worse**3),
        )
        if readings is None:
            return None
        counted = {name: slo.model_copy(update={"comparison": comparison}) for name, slo in readings.by_slo.items()}
        return replace(readings, by_slo=counted)


def counting(**changes: Any) -> Counting:
    """The second version is on trial, in its first stage."""
    spec = {"slos": [ERRORS]} | changes
    world = Counting(spec=make_spec(**spec))
    world.settle()
    world.change(make_spec("2.0.0", **spec))
    world.run_for(5 * SECOND)
    return world


def course(record: AttemptRecord) -> list[Point]:
    (only,) = record.course
    return [Point.read(line) for line in only.points]


def test_what_an_slo_said_is_noted_each_half_minute_and_when_a_stage_is_left() -> None:
    world = counting()
    world.run_for(3.5 * MINUTE)
    report = world.reports[2]
    moments = [point.seconds for point in course(report)]
    assert moments[-1] == (report.timeline[-1].at - report.started) / SECOND
    left = [(entry.at - report.started) / SECOND for entry in report.timeline if entry.left]
    assert set(left) <= set(moments)
    assert max(later - earlier for earlier, later in pairwise(moments)) <= 35
    assert [entry.weight for entry in report.timeline] == [None, 10, 50, 100, None]


def test_a_point_says_what_was_counted_of_both_and_what_it_is_evidence_of() -> None:
    world = counting()
    world.run_for(MINUTE / 2)
    last = course(world.status.records[-1])[-1]
    counts = (Counted(bad=3, total=300), Counted(bad=27, total=2700))
    assert (last.seconds, last.candidate, last.stable, last.evidence) == (30, *counts, 1)
    (only,) = world.status.records[-1].course
    assert (only.name, only.asked, only.limit, only.tolerated) == ("errors", "error-ratio", 0.01, 1.25)


def test_what_was_asked_is_told_with_its_threshold() -> None:
    world = counting(slos=[{"name": "slow", "metric": "latency", "slowerThan": "250ms", "limit": "5%"}])
    world.run_for(MINUTE / 2)
    (slow,) = world.status.records[-1].course
    assert slow.asked == "latency over 250ms"


def test_the_breach_that_takes_a_candidate_back_is_the_last_point() -> None:
    world = counting()
    world.worse, world.verdict = 5, Verdict.BREACH
    world.run_for(MINUTE)
    report = world.reports[2]
    back = next(entry for entry in report.timeline if entry.reason == "Reverting")
    last = course(report)[-1]
    assert (last.seconds, last.evidence) == ((back.at - report.started) / SECOND, 125)


def test_it_costs_no_write_of_its_own() -> None:
    world = counting(strategy={"canary": {"steps": [{"weight": 10, "hold": "1h"}, {"weight": 100}]}})
    written = 0
    for _ in range(600):
        world.now += SECOND
        before = world.status
        world.reconcile()
        if world.status == before:
            continue
        written += 1
        bare = [
            status.model_copy(update={"records": [one.model_copy(update={"course": []}) for one in status.records]})
            for status in (before, world.status)
        ]
        assert bare[0] != bare[1]
    assert written <= 600 / 30 + 1


@pytest.mark.parametrize("comparison", [None, Comparison(points=12)])
def test_values_of_queries_have_a_course_too_and_silence_has_none(comparison: Comparison | None) -> None:
    """Also where they are compared with stable's, and nothing is counted."""
    world = in_stage("canary-10", slos=[{"name": "drift", "query": {"value": "drift()"}, "limit": "0.3"}])
    assert world.status.records[-1].course == []
    world.now += 40 * SECOND
    readings = world.snapshot().readings
    assert readings
    value = {"value": 0.123456789, "comparison": comparison}
    measured = {name: slo.model_copy(update=value) for name, slo in readings.by_slo.items()}
    decision = decide(replace(world.snapshot(), readings=replace(readings, by_slo=measured)), world.now)
    written = next(effect.status for effect in decision.effects if isinstance(effect, WriteStatus))
    (drift,) = written.records[-1].course
    assert drift.asked == "drift()"
    assert [line.split()[1] for line in drift.points] == ["0.123457"]


def test_an_edit_of_an_slo_begins_anew() -> None:
    world = counting()
    world.run_for(MINUTE / 2)
    assert len(course(world.status.records[-1])) > 1
    world.change(make_spec("2.0.0", slos=[ERRORS | {"limit": "2%"}]))
    world.run_for(32 * SECOND)
    (edited,) = world.status.records[-1].course
    assert (edited.limit, len(edited.points)) == (0.02, 1)


def test_the_status_forgets_it_once_the_report_has_it() -> None:
    world = counting()
    world.run_for(3 * MINUTE)
    world.reported.clear()
    world.run_for(2 * MINUTE)
    assert world.status.candidate is None
    assert world.reports[2].course
    assert world.status.records[-1].course == []


def test_what_is_seen_of_an_attempt_after_its_end_is_no_part_of_its_course() -> None:
    world = counting(rollback={"keepWarm": "1h"})
    world.run_for(5 * MINUTE)
    world.ask("Revert", mode="Gradual")
    without_reports(world, 2 * MINUTE)
    assert world.status.way_back
    assert world.status.slos
    (record,) = world.status.records
    assert (record.outcome, record.course) == (AttemptOutcome.UNDONE, [])


def test_a_report_that_was_refused_gets_the_course_later() -> None:
    world = counting()
    world.run_for(2 * MINUTE)
    seen = replace(world.snapshot(), reported=frozenset(), report_refused=True)
    world.worse, world.verdict = 5, Verdict.BREACH
    decision = decide(replace(seen, readings=world.snapshot().readings), world.now)
    written = next(effect.status for effect in decision.effects if isinstance(effect, WriteStatus))
    assert written.last_revert
    assert written.records[-1].course


GAPS = st.lists(st.integers(1, 10_000), min_size=MOST_POINTS - 2, max_size=2 * MOST_POINTS)
MOMENTS = GAPS.map(lambda gaps: list(accumulate(gaps)))


@given(moments=MOMENTS)
def test_points_are_bounded_in_order_and_keep_the_first_and_the_last(moments: list[int]) -> None:
    left: list[str] = []
    for moment in moments:
        left = thinned([*left, Point(seconds=moment, value=0.5).line()])
        assert len(left) <= MOST_POINTS
        assert (Point.read(left[0]).seconds, Point.read(left[-1]).seconds) == (moments[0], moment)
    kept = [Point.read(line).seconds for line in left]
    assert kept == sorted(set(kept))
    assert set(kept) <= set(moments)
    assert len(kept) == min(len(moments), MOST_POINTS)


@pytest.mark.parametrize("amount", [61, 200, 1000, 2880])
def test_points_stay_spread_evenly(amount: int) -> None:
    left: list[str] = []
    for number in range(amount):
        left = thinned([*left, Point(seconds=30 * number, value=0.5).line()])
    gaps = [Point.read(later).seconds - Point.read(earlier).seconds for earlier, later in pairwise(left)]
    assert max(gaps) <= 3 * 30 * amount / MOST_POINTS


NUMBERS = st.builds(Counted, bad=st.integers(0, 10**15), total=st.integers(0, 10**15))
LONGEST = 10_000_000
"""Seconds of four months."""


@given(
    seconds=st.integers(0, LONGEST),
    candidate=NUMBERS,
    stable=NUMBERS,
    evidence=st.floats(1e-300, 1e9),
)
def test_a_line_says_what_the_point_was_and_fits(
    seconds: int, candidate: Counted, stable: Counted, evidence: float
) -> None:
    point = Point(seconds=seconds, candidate=candidate, stable=stable, evidence=evidence)
    read = Point.read(point.line())
    assert (read.seconds, read.candidate, read.stable) == (seconds, candidate, stable)
    assert read.evidence == pytest.approx(evidence, rel=0.01)
    Course(name="errors", asked="error-ratio", points=[point.line()])


def test_the_largest_course_is_a_small_part_of_what_an_object_may_hold() -> None:
    """Etcd takes 1.5 MiB; a status has one course, and another one while the report before is refused."""
    counted = Counted(bad=10**9, total=10**12)
    line = Point(seconds=LONGEST, candidate=counted, stable=counted, evidence=1e-300).line()
    largest = [
        Course(name=f"{number}".rjust(63, "x"), asked="x" * 256, limit=0.01, points=[line] * MOST_POINTS).to_wire()
        for number in range(MOST_COURSES)
    ]
    assert len(json.dumps(largest)) < 80 * 1024
    usual = Point(seconds=7200, candidate=Counted(bad=43, total=18_000), stable=counted, evidence=1.31).line()
    assert len(json.dumps([usual] * MOST_POINTS)) < 4 * 1024


def test_of_several_reports_that_are_refused_one_keeps_its_course() -> None:
    world = counting()
    for number in range(3, 7):
        world.change(make_spec(f"{number}.0.0", slos=[ERRORS]))
        without_reports(world, 1.5 * MINUTE)
    assert [record.attempt for record in world.status.records] == [2, 3, 4, 5, 6]
    assert [bool(record.course) for record in world.status.records] == [False, False, False, True, True]


def without_reports(world: World, duration: timedelta) -> None:
    """Time passes, and no report is taken."""
    end = world.now + duration
    while world.now < end:
        world.now += 5 * SECOND
        for _ in range(4):
            seen = replace(world.snapshot(), report_refused=True, reported=frozenset())
            world.carry_out(seen, world.status_version)
            world.pods_follow()


def test_a_world_that_serves_has_no_course() -> None:
    assert all(record.course == [] for record in serving().status.records)
