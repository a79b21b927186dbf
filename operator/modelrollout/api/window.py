"""`window`: the hours of the week in which a stage may begin."""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from modelrollout.api.base import ApiModel, rule, rules, worded

TIME_PATTERN = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"

TimeOfDay = Annotated[str, worded(TIME_PATTERN, "must be a time of the day such as 09:00 or 17:30", max_length=5)]


class Day(StrEnum):
    """Days of the week."""

    MON = "Mon"
    TUE = "Tue"
    WED = "Wed"
    THU = "Thu"
    FRI = "Fri"
    SAT = "Sat"
    SUN = "Sun"


TimeZone = Annotated[
    str,
    worded(
        r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$",
        "must be a name of the IANA time zone database such as Europe/Berlin, or UTC",
        rule(
            "timestamp('2026-01-01T00:00:00Z').getHours(self) >= 0", "unknown time zone: name one such as Europe/Berlin"
        ),
        max_length=64,
    ),
]


class Window(ApiModel):
    """When a stage may begin. What has begun goes on outside it, and is taken back at any hour."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "self.from < self.to",
                "to must be later than from: a window ends on the day on which it opens",
                ".to",
            )
        )
    )
    days: list[Day] = Field(
        description="Days on which it opens; all when left out.",
        default_factory=lambda: list(Day),
        min_length=1,
        max_length=7,
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    from_: TimeOfDay = Field(description="When it opens, such as 09:00.", alias="from")
    to: TimeOfDay = Field(description="When it closes, such as 16:00.")
    time_zone: TimeZone = Field(description="Time zone of the two, such as Europe/Berlin.", default="UTC")
