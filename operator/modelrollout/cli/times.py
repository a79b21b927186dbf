"""Moments and lengths of time as people read them."""

from datetime import datetime, timedelta


def written(length: timedelta) -> str:
    """`1h30m`, as it is written in a spec."""
    seconds = int(length.total_seconds())
    parts = ((seconds // 3600, "h"), (seconds // 60 % 60, "m"), (seconds % 60, "s"))
    return "".join(f"{amount}{unit}" for amount, unit in parts if amount) or "0s"


def rough(length: timedelta) -> str:
    """`3d4h`, `2h5m`, `12m30s` or `45s`: the two largest units, as kubectl tells ages. Never below `0s`."""
    seconds = max(int(length.total_seconds()), 0)
    amounts = ((seconds // 86400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "m"), (seconds % 60, "s"))
    first = next((index for index, (amount, _) in enumerate(amounts) if amount), 3)
    return "".join(f"{amount}{unit}" for amount, unit in amounts[first : first + 2] if amount) or "0s"


def clock(moment: datetime, now: datetime) -> str:
    """The time of the day here, with its zone, since messages are in UTC, and with the day unless it is today."""
    here, today = moment.astimezone(), now.astimezone()
    return here.strftime("%H:%M:%S %Z" if here.date() == today.date() else "%a %d %b %H:%M %Z")
