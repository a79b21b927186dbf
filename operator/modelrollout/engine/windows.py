"""When a stage may begin."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from modelrollout.api.window import Day, Window


def opens_at(window: Window | None, now: datetime) -> datetime:
    """The present moment if the window is open, or there is none; else the moment at which it opens next, in UTC."""
    if window is None:
        return now
    zone = ZoneInfo(window.time_zone)
    today = now.astimezone(zone).date()
    for days in range(8):
        date = today + timedelta(days=days)
        if list(Day)[date.weekday()] not in window.days:
            continue
        opens, closes = (
            datetime.combine(date, time.fromisoformat(at), zone).astimezone(UTC) for at in (window.from_, window.to)
        )
        if now < closes:
            return max(now, opens)
    raise AssertionError("a window has a day and opens on it within a week")
