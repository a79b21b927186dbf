"""Bounds are those of the binomial distribution, and counts are counts."""

import random
from fractions import Fraction
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.evidence import UNLIKELY, Window, by_version, describe, failed, is_models_own, most_of, share
from traffic_client import Answer


def answer(at: float, *, variant: str = "stable", status: int = 200, version: str = "1", error: str = "") -> Answer:
    return Answer(sent_at=at, seconds=0.01, status=status, variant=variant, version=version, error=error)


@pytest.mark.parametrize(
    ("requests", "probability", "most"),
    [
        # As scipy.stats.binom has them.
        (100, 0.1, 23),
        (1000, 0.1, 137),
        (10, 0.5, 10),
        (50, 0.0, 0),
        (50, 1.0, 50),
        (0, 0.3, 0),
    ],
)
def test_bound_of_a_count(requests: int, probability: float, most: int) -> None:
    assert most_of(requests, probability) == most


@settings(max_examples=50)
@given(requests=st.integers(1, 400), per_cent=st.integers(1, 99))
def test_the_bound_is_passed_seldom_and_the_number_below_it_is_not(requests: int, per_cent: int) -> None:
    most = most_of(requests, per_cent / 100)
    assert _tail_beyond(most, requests, per_cent) < UNLIKELY
    assert most == 0 or _tail_beyond(most - 1, requests, per_cent) >= UNLIKELY * (1 - 1e-9)


def test_chance_stays_within_the_bound() -> None:
    chance = random.Random(7)  # noqa: S311 - reproducible
    within = sum(sum(chance.random() < 0.1 for _ in range(300)) <= most_of(300, 0.1) for _ in range(2000))
    assert within == 2000


def test_share_counts_what_was_sent_in_the_window() -> None:
    answers = [
        answer(9.9, variant="candidate"),
        *(answer(10 + i / 10) for i in range(9)),
        answer(10.95, variant="candidate"),
    ]
    found = share(Window(10, 11, 10), answers)
    assert (found.candidate, found.total, found.per_cent) == (1, 10, 10.0)
    assert found.is_within


def test_share_beyond_its_weight_is_seen() -> None:
    answers = [answer(i, variant="candidate" if i % 4 == 0 else "stable") for i in range(1000)]
    assert not share(Window(0, 1000, 20), answers).is_within
    assert share(Window(0, 1000, 25), answers).is_within


def test_failures_of_the_model_are_told_from_all_others() -> None:
    own = answer(1, status=500, version="", error="Internal Server Error", variant="candidate")
    dropped = answer(
        2,
        status=503,
        error="upstream connect error or disconnect/reset before headers. reset reason: connection termination",
    )
    others = [answer(2, status=503, error="no healthy upstream"), answer(3, status=0, error="TimeoutError: ")]
    assert failed([answer(0), own, *others]) == [own, *others]
    assert [is_models_own(one) for one in (own, dropped, *others)] == [True, True, False, False]
    assert describe([own, own, others[0]]) == (
        "2 x 500 from candidate: 'Internal Server Error'; 1 x 503 from stable: 'no healthy upstream'"
    )


def test_good_answers_by_version() -> None:
    counts = by_version([answer(0), answer(1), answer(2, version="2"), answer(3, status=500, version="")])
    assert counts == {"1": 2, "2": 1}


def _tail_beyond(most: int, requests: int, per_cent: int) -> Fraction:
    """The chance of more, exactly."""
    ways = (
        comb(requests, count) * per_cent**count * (100 - per_cent) ** (requests - count) for count in range(most + 1)
    )
    return 1 - Fraction(sum(ways), 100**requests)
