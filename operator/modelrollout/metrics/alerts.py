"""Alerts as Prometheus pushes them to an Alertmanager, and the rollouts that they are about."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from modelrollout.engine.snapshot import Alert
from modelrollout.metrics.templates import ATTEMPT_LABEL, COLOUR_LABEL, NAME_LABEL

_LASTS = timedelta(minutes=5)
"""How long an alert fires that does not say until when, unless it is heard again; as with Alertmanager."""

_Text = Annotated[str, Field(max_length=4096)]


class _Posted(BaseModel):
    """`postableAlert` of Alertmanager's API."""

    model_config = ConfigDict(alias_generator=to_camel)

    labels: Annotated[Mapping[_Text, _Text], Field(min_length=1, max_length=64)]
    annotations: Mapping[str, str] = {}
    starts_at: AwareDatetime | None = None
    ends_at: AwareDatetime | None = None


_POSTED = TypeAdapter(list[_Posted])


@dataclass(frozen=True, kw_only=True)
class AlertLabels:
    """The labels by which alerts name a rollout."""

    namespace: str = "namespace"
    rollout: str = NAME_LABEL


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """An alert, and the namespace and the name of the rollout that it names."""

    rollout: tuple[str, str]
    alert: Alert


def read(body: bytes, named_by: AlertLabels, now: datetime) -> list[Pushed]:
    """The alerts of a request that name a rollout; others are somebody else's.

    Raises:
        ValueError: it is none of Alertmanager's API; the text says what does not fit.
    """
    try:
        posted = _POSTED.validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc'])) or 'the body'}: {first['msg']}") from None
    found = ((one.labels.get(named_by.namespace), one.labels.get(named_by.rollout), one) for one in posted)
    return [
        Pushed(rollout=(namespace, rollout), alert=_alert(one, now))
        for namespace, rollout, one in found
        if namespace and rollout
    ]


def _alert(posted: _Posted, now: datetime) -> Alert:
    labels, annotations = posted.labels, posted.annotations
    return Alert(
        name=labels.get("alertname", ""),
        labels=dict(labels),
        summary=annotations.get("summary") or annotations.get("description") or "",
        starts_at=_given(posted.starts_at) or now,
        ends_at=_given(posted.ends_at) or now + _LASTS,
        colour=labels.get(COLOUR_LABEL, ""),
        attempt=labels.get(ATTEMPT_LABEL, ""),
    )


def _given(moment: datetime | None) -> datetime | None:
    """Programs in Go write the year 1 for a time that they do not give."""
    return moment if moment and moment.year > 1 else None
