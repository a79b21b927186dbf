"""Alerts that take a candidate back."""

from datetime import datetime

from modelrollout.api.status import ColourStatus, ModelRolloutStatus
from modelrollout.engine.reasons import Reason
from modelrollout.engine.snapshot import Alert, Snapshot

_LONGEST_SUMMARY = 400
_LONGEST_LABELS = 400


def harmful_alert(snapshot: Snapshot, candidate: ColourStatus, now: datetime) -> Alert | None:
    """The alert that has fired longest of those that the spec names and that speak of the candidate, if there is one.

    The caller knows whether the candidate takes requests.
    """
    names = {one.alertname for one in snapshot.spec.alerts.revert_on} if snapshot.spec.alerts else set()
    found = [
        alert
        for alert in snapshot.alerts
        if alert.name in names and alert.ends_at > now and _is_about(alert, candidate, snapshot.status)
    ]
    return min(found, key=lambda alert: alert.starts_at, default=None)


def told_of(alert: Alert) -> str:
    """The alert in a sentence, with what there is to find it by."""
    labels = ", ".join(f'{name}="{value}"' for name, value in sorted(alert.labels.items()) if name != "alertname")
    summary = f": {alert.summary[:_LONGEST_SUMMARY]}" if alert.summary else ""
    return f"alert {alert.name} fires{summary} ({labels[:_LONGEST_LABELS]})"


def _is_about(alert: Alert, candidate: ColourStatus, status: ModelRolloutStatus) -> bool:
    """Whether the candidate may be to blame: an alert without an attempt may be older than its first requests."""
    if alert.attempt:
        is_its_doing = alert.attempt == str(candidate.attempt)
    else:
        is_its_doing = alert.starts_at >= first_requests(candidate, status)
    return is_its_doing and alert.colour in ("", candidate.colour)


def first_requests(candidate: ColourStatus, status: ModelRolloutStatus) -> datetime:
    """When the candidate entered its first stage, as the record of its attempt has it."""
    entered = [
        entry.at
        for record in status.records
        for entry in record.timeline
        if record.attempt == candidate.attempt and entry.reason == Reason.STAGE_ENTERED
    ]
    return min(entered, default=candidate.since)
