"""The RolloutReport of an attempt, and which of them go when there are too many."""

from collections.abc import Collection, Iterable
from datetime import timedelta

from modelrollout.api.attempt import AttemptRecord
from modelrollout.api.base import API_VERSION
from modelrollout.api.labels import ATTEMPT, VERSION, attempt_of
from modelrollout.api.objects import Live, Manifest
from modelrollout.api.owner import Rollout
from modelrollout.api.report import RolloutReportSpec, RolloutReportStatus, report_name


def render(rollout: Rollout, record: AttemptRecord) -> Manifest:
    """The report as the record has it. Nothing in it depends on anything else, so it can be written again at any time.

    It is owned like everything else of the rollout: under Retain it is evidence that outlives the ModelRollout, as what
    serves does; under Delete it goes with it.
    """
    about = RolloutReportSpec(
        rollout=rollout.name,
        uid=rollout.uid,
        attempt=record.attempt,
        version=record.version,
        from_version=record.from_version,
    )
    happened = RolloutReportStatus(
        outcome=record.outcome,
        reason=record.reason,
        message=record.message,
        started=record.started,
        ended=record.ended,
        duration=_written(record.ended - record.started) if record.ended else "",
        timeline=record.timeline,
        omitted=record.omitted,
        course=record.course,
        consents=record.consents,
        actions=record.actions,
    )
    return rollout.manifest(
        API_VERSION,
        "RolloutReport",
        report_name(rollout.name, record.attempt),
        spec=about.to_wire(),
        labels={ATTEMPT: str(record.attempt), VERSION: record.version},
        # people read it: what is not so, or not there, is not said
        status=happened.model_dump(mode="json", by_alias=True, exclude_defaults=True),
    )


def with_course_of(there: Live | None, manifest: Manifest) -> Manifest:
    """The report with the course of the one in the cluster: the record of an attempt that is over has it no more."""
    if there is None or there["spec"] != manifest["spec"] or "course" in manifest["status"]:
        return manifest
    course = there.get("status", {}).get("course", [])
    return {**manifest, "status": {**manifest["status"], "course": course}} if course else manifest


def surplus(reports: Iterable[Live], *, limit: int, in_use: Collection[int]) -> list[Live]:
    """The reports of a rollout that go: of attempts not in use the oldest, beyond as many as are kept."""
    spare = sorted((one for one in reports if attempt_of(one) not in in_use), key=attempt_of, reverse=True)
    return spare[limit:]


def _written(duration: timedelta) -> str:
    """To the second, as people write it: 1h2m3s."""
    minutes, seconds = divmod(int(duration.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    parts = (f"{hours}h" if hours else "", f"{minutes}m" if minutes else "", f"{seconds}s" if seconds else "")
    return "".join(parts) or "0s"
