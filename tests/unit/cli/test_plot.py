"""The picture of an attempt: what is in it, whatever there is to draw, and how it is asked for."""

import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from modelrollout.api.attempt import AttemptOutcome, TimelineEntry
from modelrollout.api.course import Course
from modelrollout.api.report import RolloutReport, RolloutReportSpec, RolloutReportStatus
from modelrollout.api.rollout import ModelRollout
from modelrollout.cli import cluster
from modelrollout.cli.plot import draw
from modelrollout.cli.records import report
from modelrollout.cli.trend import decision, spans, trend
from support.moments import in_canary_10, seen
from support.rollouts import Object
from unit.cli.judged import on_trial, report_of, taken_back

SVG = "{http://www.w3.org/2000/svg}"
STARTED = datetime(2026, 1, 5, 11, tzinfo=UTC)
ERRORS = Course(
    name="errors",
    asked="error-ratio",
    limit=0.04,
    tolerated=1.25,
    points=["30 0/100 10/1000 0.9", "60 4/130 22/2000 2.5", "90 8/300 30/3000 120"],
)
DRIFT = Course(name="drift", asked="drift()", limit=0.3, points=["30 -0.12", "90 0.31"])


def moved(seconds: int, reason: str, **changes: object) -> TimelineEntry:
    at = STARTED + timedelta(seconds=seconds)
    return TimelineEntry.model_validate({"at": at, "reason": reason, "message": "…", "moved": True} | changes)


TAKEN_BACK = [
    moved(0, "AttemptStarted"),
    moved(20, "StageEntered", stage="canary-5", weight=5),
    moved(60, "StageEntered", stage="canary-25", weight=25, left="canary-5"),
    moved(90, "Reverting", left="canary-25"),
    moved(100, "Reverted"),
]


def told(*timeline: TimelineEntry, course: tuple[Course, ...] = (ERRORS, DRIFT), **status: object) -> RolloutReport:
    spec = RolloutReportSpec(rollout="scorer", uid="u", attempt=2, version="2.1.0", from_version="2.0.0")
    over = {"outcome": AttemptOutcome.REVERTED, "reason": "SLOBreached", "message": "SLO errors breached"}
    wire = over | {"started": STARTED, "timeline": timeline or TAKEN_BACK, "course": course} | status
    return RolloutReport(metadata={}, spec=spec, status=RolloutReportStatus.model_validate(wire))


def drawn(one: RolloutReport) -> ElementTree.Element:
    return ElementTree.fromstring(draw(one))  # noqa: S314 - we drew it ourselves


def texts(picture: ElementTree.Element) -> list[str]:
    return ["".join(one.itertext()).strip() for one in picture.iter(f"{SVG}text")]


def panels(picture: ElementTree.Element) -> list[str]:
    return [one.attrib["id"] for one in picture.iter(f"{SVG}g") if " of " in one.attrib.get("id", "")]


def test_there_is_a_panel_for_each_slo_and_one_for_its_evidence() -> None:
    picture = drawn(told())
    assert panels(picture) == ["values of errors", "evidence of errors", "values of drift"]
    for title in ("errors: error-ratio, limit 4%, at most 1.25 times stable's", "drift: drift(), limit 0.3"):
        assert title in texts(picture)


def test_a_query_is_shown_as_it_is() -> None:
    query = 'max(drift{colour="$candidate"}[$window]) < 3'
    assert f"drift: {query}, limit 0.3" in texts(drawn(told(course=(DRIFT.model_copy(update={"asked": query}),))))


def test_stages_are_named_with_their_weights_and_the_decision_with_its_reason() -> None:
    found = texts(drawn(told()))
    assert {"preparing", "canary-5: 5 %", "canary-25: 25 %"} <= set(found)
    assert "Reverted: SLOBreached ▼" in found
    assert "scorer, attempt 2: version 2.1.0 (before: 2.0.0), Reverted" in found


def test_what_is_drawn_how_is_said_and_nothing_that_is_not_drawn() -> None:
    keys = {"candidate so far", "stable so far", "tolerated", "limit", "breach", "suspicious"}
    assert keys <= set(texts(drawn(told())))
    assert keys & set(texts(drawn(told(course=(DRIFT,))))) == {"candidate so far", "limit"}


def test_stages_that_were_too_short_for_their_names_write_over_no_other() -> None:
    entered = [
        moved(number, "StageEntered", stage=f"canary-{number}", weight=number, left=f"canary-{number - 1}")
        for number in range(1, 40)
    ]
    timeline = [*entered, moved(900, "Promoted", left="canary-39")]
    found = texts(drawn(told(*timeline, outcome=AttemptOutcome.PROMOTED, reason="Promoted")))
    assert "canary-39: 39 %" in found
    assert not [one for one in found if one.startswith("canary-3:")]
    assert "Promoted ▼" in found


def test_one_that_is_on_trial_still_has_no_decision() -> None:
    report = told(*TAKEN_BACK[:3], outcome=AttemptOutcome.IN_PROGRESS, reason="", message="")
    assert decision(report) is None
    assert [span.name for span in spans(report)] == ["preparing", "canary-5", "canary-25"]
    assert not [one for one in texts(drawn(report)) if "▼" in one]


def test_an_attempt_of_which_nothing_was_judged_can_be_drawn_too() -> None:
    picture = drawn(told(moved(0, "AttemptStarted"), moved(0, "Reverting"), course=()))
    assert panels(picture) == []
    assert "▼ Reverted: SLOBreached" in texts(picture)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "points", [[], ["0 0/0 0/0 1"], ["20 0/0 0/900 1", "50 0/80 0/1800 1e-17"], ["20 -3", "50 -2"]]
)
def test_so_can_silence_health_and_what_is_below_0(points: list[str]) -> None:
    silent = Course(name="errors", asked="error-ratio", points=points)
    assert panels(drawn(told(moved(0, "AttemptStarted"), course=(silent,))))[0] == "values of errors"


def test_steps_back_are_times_of_their_own_and_strategy_changes_begin_anew() -> None:
    back = [
        *TAKEN_BACK[:3],
        moved(70, "StrategyChanged", left="canary-25"),
        moved(75, "Paused"),
        moved(80, "StageEntered", stage="canary-50", weight=50),
        moved(90, "Reverting", left="canary-50", weight=25),
        moved(120, "Reverted"),
    ]
    found = spans(told(*back))
    names = ["preparing", "canary-5", "canary-25", "preparing", "canary-50", "way back"]
    assert [(one.name, one.weight) for one in found] == list(zip(names, [None, 5, 25, None, 50, 25], strict=True))
    assert all(before.end == after.start for before, after in pairwise(found))


def test_stretches_have_enough_requests_to_say_something_and_what_is_counted_anew_is_left_out() -> None:
    anew = ERRORS.model_copy(update={"points": [*ERRORS.points, "120 2/40 4/900 1", "150 4/140 9/1900 1"]})
    seen = trend(anew, STARTED)
    assert seen.candidate.values == pytest.approx([0, 4 / 130, 8 / 300, 2 / 40, 4 / 140])
    assert seen.candidate_in_stretches.values == pytest.approx([0, 8 / 200, 2 / 100])
    assert seen.stable_in_stretches.values == pytest.approx([0.01, 0.012, 0.008, 0.005])


def test_the_same_report_is_the_same_picture() -> None:
    assert draw(told()) == draw(told())


def test_the_report_of_a_rollout_that_was_judged_for_real_can_be_drawn() -> None:
    report = taken_back()
    assert report.status.reason == "SLOBreached"
    picture = draw(report)
    assert panels(ElementTree.fromstring(picture))[:2] == ["values of errors", "evidence of errors"]  # noqa: S314
    assert len(picture) < 60 * 1024
    evidence = trend(report.status.course[0], report.status.started).evidence
    assert evidence.values[-1] >= 100 > max(evidence.values[:-1])


def test_so_can_one_of_a_version_that_is_no_worse() -> None:
    world = on_trial()
    world.run_for(timedelta(minutes=40), step=timedelta(seconds=15))
    report = report_of(world)
    assert report.status.outcome is AttemptOutcome.PROMOTED
    assert "canary-100: 100 %" in texts(drawn(report))
    assert "Promoted ▼" in texts(drawn(report))


class FakeCluster:
    """A cluster that has one rollout, and the report of its attempt."""

    def __init__(self, found: RolloutReport, *, course: tuple[Course, ...] = ()) -> None:
        self._found = found
        record = {"attempt": 2, "version": "2.1.0", "started": STARTED.isoformat()}
        self._status = in_canary_10(records=[record | {"course": [one.to_wire() for one in course]}])

    def rollout(self, _name: str) -> ModelRollout:
        return seen(self._status)

    def read(self, _plural: str, _name: str) -> Object:
        return self._found.to_wire() | {"metadata": {"name": "scorer-2"}}


def asked_for(picture: Path, there: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> Result:
    monkeypatch.setattr(cluster, "connect", lambda _access: there)
    return CliRunner().invoke(report, ["scorer", "--plot", str(picture)])


def test_report_draws_and_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = tmp_path / "scorer.svg"
    done = asked_for(picture, FakeCluster(told()), monkeypatch)
    assert (done.exit_code, done.stdout.splitlines()[0]) == (
        0,
        "scorer, attempt 2: version 2.1.0 (before: 2.0.0), Reverted",
    )
    assert panels(ElementTree.parse(picture).getroot())  # noqa: S314


def test_an_attempt_under_way_is_drawn_up_to_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = tmp_path / "scorer.svg"
    under_way = told(*TAKEN_BACK[:2], course=(), outcome=AttemptOutcome.IN_PROGRESS, reason="", message="")
    assert asked_for(picture, FakeCluster(under_way, course=(ERRORS,)), monkeypatch).exit_code == 0
    assert panels(ElementTree.parse(picture).getroot()) == ["values of errors", "evidence of errors"]  # noqa: S314


def test_without_the_library_it_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "modelrollout.cli.plot")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = asked_for(tmp_path / "scorer.svg", FakeCluster(told()), monkeypatch)
    assert done.exit_code == 1
    assert "a picture needs matplotlib" in done.stderr
    assert not (tmp_path / "scorer.svg").exists()


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = asked_for(tmp_path / "nowhere" / "scorer.svg", FakeCluster(told()), monkeypatch)
    assert done.exit_code == 1
    assert "nowhere/scorer.svg" in done.stderr
