"""What a RolloutReport says, and which of them stay."""

from datetime import UTC, datetime, timedelta

import pytest

from modelrollout.api.attempt import AttemptOutcome, AttemptRecord, Consent, Evidence, TimelineEntry
from modelrollout.api.course import Course
from modelrollout.api.objects import Manifest
from modelrollout.api.report import RolloutReport
from modelrollout.api.slo import Verdict
from modelrollout.records.report import render, surplus, with_course_of
from support.rendering import rollout

STARTED = datetime(2026, 1, 1, tzinfo=UTC)
SAID = Evidence(
    name="errors",
    verdict=Verdict.BREACH,
    reason="AboveLimit",
    message="2 % of 500 requests failed",
    value=0.02,
    limit=0.01,
    samples=500,
    asked="error-ratio",
    window="2m",
)
TIMELINE = [
    TimelineEntry(at=STARTED, reason="AttemptStarted", message="Attempt 3", moved=True),
    TimelineEntry(at=STARTED, reason="Reverting", message="…", left="canary-5", moved=True, evidence=[SAID]),
]
RECORD = AttemptRecord(
    attempt=3, version="2.1.0", from_version="2.0.0", started=STARTED, timeline=TIMELINE, consents=[]
)


def ended(after: timedelta) -> AttemptRecord:
    return RECORD.model_copy(
        update={"ended": STARTED + after, "outcome": AttemptOutcome.REVERTED, "reason": "SLOBreached"}
    )


def test_it_is_named_and_labelled_after_rollout_and_attempt() -> None:
    metadata = render(rollout(), RECORD)["metadata"]
    assert (metadata["namespace"], metadata["name"]) == ("ml", "fraud-3")
    assert metadata["labels"]["modelrollout.io/name"] == "fraud"
    assert metadata["labels"]["modelrollout.io/attempt"] == "3"
    assert metadata["labels"]["modelrollout.io/version"] == "2.1.0"


def test_it_fits_its_own_api_and_loses_nothing_of_the_record() -> None:
    consent = Consent(by="alva", at=STARTED, stage="canary-5", role="security")
    report = RolloutReport.model_validate(render(rollout(), RECORD.model_copy(update={"consents": [consent]})))
    assert (report.spec.rollout, report.spec.uid, report.spec.attempt) == ("fraud", "uid-1", 3)
    assert (report.spec.version, report.spec.from_version) == ("2.1.0", "2.0.0")
    assert report.status.timeline == TIMELINE
    assert report.status.consents == [consent]


COURSE = [Course(name="errors", asked="error-ratio", limit=0.01, points=["0 0/0 0/0 1", "30 3/200 20/1800 1.4"])]


def with_course(uid: str = "uid-1") -> Manifest:
    """A report as it stands in the cluster, of the ModelRollout with this uid."""
    there = render(rollout(), RECORD.model_copy(update={"course": COURSE}))
    return {**there, "spec": there["spec"] | {"uid": uid}}


def test_it_tells_the_course() -> None:
    assert RolloutReport.model_validate(with_course()).status.course == COURSE


def test_it_keeps_a_course_that_the_record_has_forgotten() -> None:
    kept = with_course_of(with_course(), render(rollout(), ended(timedelta(minutes=5))))
    assert RolloutReport.model_validate(kept).status.course == COURSE
    assert kept["status"]["reason"] == "SLOBreached"


def test_but_not_one_of_another_rollout_nor_one_of_which_more_is_known() -> None:
    fresh = render(rollout(), RECORD)
    assert with_course_of(with_course("another"), fresh) == fresh
    longer = [COURSE[0].model_copy(update={"points": [*COURSE[0].points, "60 6/400 40/3600 1.9"]})]
    known = render(rollout(), RECORD.model_copy(update={"course": longer}))
    assert with_course_of(with_course(), known) == known
    assert with_course_of(None, fresh) == fresh


def test_it_does_not_say_what_is_not_there() -> None:
    status = render(rollout(), RECORD)["status"]
    assert status["outcome"] == "InProgress"
    assert set(status) == {"outcome", "started", "timeline"}
    assert set(status["timeline"][0]) == {"at", "reason", "message", "moved"}


@pytest.mark.parametrize(
    ("took", "written"),
    [
        (timedelta(milliseconds=300), "0s"),
        (timedelta(seconds=59.9), "59s"),
        (timedelta(minutes=5), "5m"),
        (timedelta(days=1, minutes=1, seconds=2), "24h1m2s"),
    ],
)
def test_how_long_it_took_is_written_once_it_is_over(took: timedelta, written: str) -> None:
    assert render(rollout(), ended(took))["status"]["duration"] == written


def test_it_outlives_the_rollout_under_retain_and_goes_with_it_under_delete() -> None:
    assert render(rollout(), RECORD)["metadata"]["ownerReferences"] == []
    (owner,) = render(rollout(deletionPolicy="Delete"), RECORD)["metadata"]["ownerReferences"]
    assert owner["uid"] == "uid-1"


def test_of_too_many_the_oldest_go_by_their_numbers_unless_they_are_in_use() -> None:
    reports = [
        render(rollout(), RECORD.model_copy(update={"attempt": attempt})) for attempt in (9, 10, 11, *range(1, 9), 12)
    ]
    going = surplus(reports, limit=8, in_use={2, 12})
    assert [one["metadata"]["name"] for one in going] == ["fraud-3", "fraud-1"]
    assert surplus(reports[:3], limit=3, in_use=()) == []
