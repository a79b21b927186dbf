"""Durations and numbers."""

import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelrollout.api.quantities import (
    DURATION_PATTERN,
    NUMBER_PATTERN,
    SHARE_PATTERN,
    parse_duration,
    parse_number,
)

MILLISECONDS = {"h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
PARTS = st.lists(st.tuples(st.integers(0, 99_999), st.sampled_from(sorted(MILLISECONDS))), min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", timedelta(seconds=90)),
        ("1h30m", timedelta(hours=1, minutes=30)),
        ("120ms", timedelta(milliseconds=120)),
        ("1m1ms", timedelta(minutes=1, milliseconds=1)),
        ("0s", timedelta()),
    ],
)
def test_reads_durations(text: str, expected: timedelta) -> None:
    assert parse_duration(text) == expected


@given(PARTS)
def test_a_duration_is_the_sum_of_its_parts(parts: list[tuple[int, str]]) -> None:
    text = "".join(f"{amount}{unit}" for amount, unit in parts)
    total = sum(amount * MILLISECONDS[unit] for amount, unit in parts)
    assert parse_duration(text) == timedelta(milliseconds=total)


@given(st.from_regex(DURATION_PATTERN, fullmatch=True))
def test_reads_every_duration_that_the_api_server_lets_in(text: str) -> None:
    assert timedelta() <= parse_duration(text) <= timedelta(hours=4 * 99_999)


@pytest.mark.parametrize(
    "text", ["", "5", "1d", "1.5h", "-5m", "5 m", "5m ", "5m\n", "m", "100000s", "1s1s1s1s1s", "٣s"]
)
def test_refuses_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration such as 90s"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "expected"), [("0.3", 0.3), ("0.1%", 0.001), ("5%", 0.05), ("-2", -2.0), ("1e3", 1000.0), ("1e-3%", 1e-5)]
)
def test_reads_numbers_and_shares(text: str, expected: float) -> None:
    assert parse_number(text) == pytest.approx(expected)


@given(st.decimals(min_value=-999_999, max_value=999_999, places=6))
def test_a_share_is_a_hundredth_of_the_number(value: object) -> None:
    assert parse_number(f"{value:f}%") == pytest.approx(parse_number(f"{value:f}") / 100)


@given(st.from_regex(NUMBER_PATTERN, fullmatch=True))
def test_reads_every_number_that_the_api_server_lets_in_as_finite(text: str) -> None:
    assert math.isfinite(parse_number(text))


@given(st.from_regex(SHARE_PATTERN, fullmatch=True))
def test_a_share_lies_between_nothing_and_all(text: str) -> None:
    assert 0 <= parse_number(text) < 1


@pytest.mark.parametrize(
    "text", ["", "%", "nan", "inf", "0,5", ".5", "5.", "+1", "1e999", "0x1", "1 %", "1%\n", "1_000"]
)
def test_refuses_what_is_no_number(text: str) -> None:
    with pytest.raises(ValueError, match=r"is neither a number such as 0\.3 nor a share"):
        parse_number(text)
