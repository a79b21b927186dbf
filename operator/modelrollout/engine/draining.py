"""How long a version that gets no more requests keeps its pods: until its last answers are given."""

from datetime import datetime, timedelta

from modelrollout.api.quantities import parse_duration
from modelrollout.api.spec import ModelRolloutSpec
from modelrollout.api.status import ColourStatus
from modelrollout.engine.capacity import ROUTE_SETTLES

_USUAL = timedelta(seconds=10)


def drain_time(spec: ModelRolloutSpec) -> timedelta:
    """From a colour's last requests to the end of its pods: data planes take a moment to follow, answers to end."""
    longest = spec.service.longest_answer
    return ROUTE_SETTLES + parse_duration(longest) if longest else _USUAL


def drained_at(spec: ModelRolloutSpec, previous: ColourStatus) -> datetime:
    """When the version before has finished its answers."""
    return previous.since + drain_time(spec)


def cold_at(spec: ModelRolloutSpec, previous: ColourStatus) -> datetime:
    """When the version before may go; not before it has finished its answers."""
    return max(previous.since + parse_duration(spec.rollback.keep_warm), drained_at(spec, previous))
