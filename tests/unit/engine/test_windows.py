"""When a stage may begin, through weekends and changes of the clock."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelrollout.api.status import ConditionStatus
from modelrollout.api.window import Day, Window
from modelrollout.engine.windows import opens_at
from unit.engine.simulation import make_spec
from unit.engine.worlds import MINUTE, condition, in_stage

OFFICE = {"days": ["Mon", "Tue", "Wed", "Thu"], "from": "09:00", "to": "16:00", "timeZone": "Europe/Berlin"}


def window(**changes: Any) -> Window:
    return Window.model_validate(OFFICE | changes)


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2026-01-05T07:59", "2026-01-05T08:00"),
        ("2026-01-05T08:00", "2026-01-05T08:00"),
        ("2026-01-05T14:59", "2026-01-05T14:59"),
        ("2026-01-05T15:00", "2026-01-06T08:00"),
        ("2026-01-08T15:00", "2026-01-12T08:00"),
        ("2026-03-26T15:00", "2026-03-30T07:00"),
    ],
    ids=["before", "at the opening", "the last minute", "closed for the day", "over the weekend", "into summer time"],
)
def test_a_window_of_office_hours_in_berlin(now: str, opens: str) -> None:
    moment, expected = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (now, opens))
    assert opens_at(window(), moment) == expected


def test_without_a_window_it_is_always_open() -> None:
    now = datetime(2026, 1, 3, tzinfo=UTC)
    assert opens_at(None, now) == now


@given(
    now=st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),
    days=st.sets(st.sampled_from(Day), min_size=1),
    hours=st.tuples(st.integers(0, 23), st.integers(0, 23)).filter(lambda pair: pair[0] < pair[1]),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]),
)
def test_it_opens_within_a_week_and_is_open_then(
    now: datetime, days: set[Day], hours: tuple[int, int], zone: str
) -> None:
    begins, ends = (f"{hour:02}:30" for hour in hours)
    window = Window.model_validate({"days": sorted(days), "from": begins, "to": ends, "timeZone": zone})
    opens = opens_at(window, now)
    assert now <= opens <= now + timedelta(days=7, hours=2)
    assert opens_at(window, opens) == opens
    if opens > now:
        assert opens_at(window, opens - timedelta(seconds=1)) == opens


def test_a_stage_outside_its_window_is_not_entered_and_says_when_it_will_be() -> None:
    steps = [{"weight": 10, "hold": "1m"}, {"weight": 100, "window": {"from": "09:00", "to": "16:00"}}]
    world = in_stage("canary-10", strategy={"canary": {"steps": steps}})
    world.run_for(10 * MINUTE)
    assert condition(world, "Progressing") == (ConditionStatus.TRUE, "OutsideWindow")
    waiting = world.reconcile()
    assert waiting.wake_at == datetime(2026, 1, 1, 9, tzinfo=UTC)
    assert world.status.stage
    assert world.status.stage.name == "canary-10"
    world.now = waiting.wake_at
    world.settle()
    assert world.status.stage
    assert world.status.stage.name == "canary-100"


def test_an_attempt_prepares_outside_the_window_of_its_first_stage() -> None:
    steps = [{"weight": 100, "window": {"from": "09:00", "to": "16:00"}}]
    spec = make_spec("2.0.0", strategy={"canary": {"steps": steps}})
    world = in_stage("canary-10")
    world.change(spec)
    world.run_for(10 * MINUTE)
    assert condition(world, "Progressing") == (ConditionStatus.TRUE, "OutsideWindow")
    assert world.status.candidate
    assert world.status.candidate.warm
