"""Durations, ratios, names and the other small values that users write as strings.

A structural schema gives each field one type, so these are strings with a pattern: the API server refuses what does not
match, and the functions here never see anything else.
"""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import Field

from modelrollout.api.base import matches, rule, worded

DURATION_PATTERN = r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"
"""The durations of the Gateway API (GEP-2257), which CEL's `duration()` and Go read too."""
NUMBER_PATTERN = r"^-?[0-9]{1,15}([.][0-9]{1,15})?(e-?[0-9]{1,2})?%?$"
SHARE_PATTERN = r"^[0-9]{1,2}([.][0-9]{1,15})?%$"
"""From 0% to under 100%."""
LABEL_VALUE_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$"
DNS_LABEL_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"

_DURATION_WORDS = "must be a duration such as 90s, 5m, 1h30m or 120ms (a day is 24h)"

Duration = Annotated[str, worded(DURATION_PATTERN, _DURATION_WORDS, max_length=32)]
"""A length of time such as `90s`, `5m`, `1h30m` or `120ms`."""

PositiveDuration = Annotated[
    str,
    worded(
        DURATION_PATTERN,
        _DURATION_WORDS,
        rule(
            f"!{matches('self', DURATION_PATTERN)} || duration(self) > duration('0s')",
            "must be longer than 0s",
        ),
        max_length=32,
    ),
]
"""A duration that is not zero."""

Number = Annotated[
    str, worded(NUMBER_PATTERN, "must be a number such as 0.3, or a share such as 0.1%, in quotes", max_length=32)
]
"""A number such as `0.3`, or a share such as `0.1%` (which is 0.001)."""

Share = Annotated[
    str, worded(SHARE_PATTERN, "must be a share from 0% to under 100%, such as 25%, in quotes", max_length=32)
]
"""A share such as `25%`."""

Increase = Annotated[
    str, worded(r"^[0-9]{1,4}([.][0-9]{1,15})?%$", "must be a share such as 25% or 150%, in quotes", max_length=32)
]
"""By how much something may be more, such as `25%`."""

Weight = Annotated[int, Field(ge=1, le=100)]
"""Per cent of the requests that a step gives to the candidate."""

DnsLabel = Annotated[
    str,
    worded(
        DNS_LABEL_PATTERN,
        "must hold only lower-case letters, digits and hyphens, and start and end with a letter or digit",
        max_length=63,
    ),
]
"""A name as of a namespace or a container."""

HttpPath = Annotated[
    str,
    worded(
        r"^/[-A-Za-z0-9/._~!$&()*+,;=:@%?]*$", "must be a path that starts with /, such as /v2/health", max_length=1024
    ),
]
"""Path of a request, without scheme and host."""

_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
}


def parse_duration(text: str) -> timedelta:
    """Turn `1h30m` into a timedelta; raises ValueError when the text is not a duration."""
    if not re.fullmatch(DURATION_PATTERN, text):
        raise ValueError(f"{text!r} is not a duration such as 90s, 5m, 1h30m or 120ms")
    parts = re.findall(r"([0-9]+)(ms|s|m|h)", text)
    return sum((int(amount) * _UNITS[unit] for amount, unit in parts), timedelta())


def parse_number(text: str) -> float:
    """Turn `0.1%` into 0.001 and `0.3` into 0.3; raises ValueError when the text is neither."""
    if not re.fullmatch(NUMBER_PATTERN, text):
        raise ValueError(f"{text!r} is neither a number such as 0.3 nor a share such as 0.1%")
    if text.endswith("%"):
        return float(text.removesuffix("%")) / 100
    return float(text)
