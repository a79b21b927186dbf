"""`spec.alerts`: alerting rules of Prometheus that take a candidate back."""

from typing import Annotated

from pydantic import Field

from modelrollout.api.base import ApiModel, listed_by, worded


class AlertRef(ApiModel):
    """An alerting rule, by its name."""

    alertname: Annotated[
        str,
        worded(
            r"^[^ \t\r\n]([^\t\r\n]*[^ \t\r\n])?$",
            "must be the name of an alerting rule: the label alertname, without spaces around it",
            max_length=253,
        ),
    ] = Field(description="Name of the rule, as the label alertname has it.")


class Alerts(ApiModel):
    """Alerting rules of Prometheus that take a candidate back."""

    revert_on: list[AlertRef] = Field(
        description="When one of these fires while the candidate takes requests, it is taken back at once. The alert "
        "says by its labels namespace and modelrollout_io_name which rollout it is about; one that names another "
        "modelrollout_io_colour or modelrollout_io_attempt than the candidate's does nothing, and neither does one "
        "that names no attempt and fired before the candidate had its first requests.",
        min_length=1,
        max_length=16,
        json_schema_extra=listed_by("alertname"),
    )
