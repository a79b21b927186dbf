"""How others judge, on minutes made by hand."""

from collections.abc import Sequence
from math import inf

import numpy as np
import pytest

from modelrollout.simulation.intervals import mann_whitney
from modelrollout.simulation.peers import argo, flagger, growthbook, is_shifted, kayenta

STABLE = (10, 1000)
GOOD, BAD, NONE = (1, 100), (3, 100), (0, 0)


def minutes(*candidate: tuple[int, int], stable: Sequence[tuple[int, int]] = ()) -> np.ndarray:
    """One rollout: what was counted of the candidate, and of stable, minute by minute."""
    theirs = list(stable) or [STABLE] * len(candidate)
    return np.array([[[one] for one in (*ours, *their)] for ours, their in zip(candidate, theirs, strict=True)])


@pytest.mark.parametrize(
    ("seen", "of_argo", "of_flagger"),
    [
        ([GOOD] * 9, inf, inf),
        ([BAD] * 9, 4, 5),
        ([BAD, GOOD, BAD, GOOD, BAD, GOOD, BAD, GOOD, BAD], 7, 9),
        ([BAD] * 3 + [GOOD] * 6, inf, inf),
        ([BAD] * 4 + [GOOD] * 5, 4, inf),
        ([NONE] * 9, 4, 5),
        ([(2, 100)] * 9, inf, inf),
    ],
    ids=["good", "bad", "now and then", "three times", "four times", "nothing asked", "at the limit"],
)
def test_failed_measurements_add_up(seen: list[tuple[int, int]], of_argo: float, of_flagger: float) -> None:
    assert argo(minutes(*seen), 0.02, False) == [of_argo]
    assert flagger(minutes(*seen), 0.02, False) == [of_flagger]


def test_of_what_is_good_less_fails() -> None:
    sold = minutes(*[(17, 100)] * 9)
    assert argo(sold, 0.18, True) == [4]
    assert argo(sold, 0.17, True) == [inf]


def seen_by_kayenta(length: int, begins: int) -> np.ndarray:
    """Shares that never repeat, three times as great from a minute on."""
    ours = [(1000 + 7 * at % 60 + (2000 if at >= begins else 0), 100_000) for at in range(length)]
    return minutes(*ours, stable=[(1001 + 11 * at % 60, 100_000) for at in range(length)])


@pytest.mark.parametrize(
    ("length", "begins", "at"), [(60, 60, inf), (60, 0, 20), (60, 12, 40), (30, 8, 30), (15, 0, 15), (90, 62, inf)]
)
def test_kayenta_looks_three_times(length: int, begins: int, at: float) -> None:
    assert kayenta(seen_by_kayenta(length, begins), 0.02, False) == [at]
    assert kayenta(seen_by_kayenta(length, begins), 0.02, True) == [inf]


def test_a_shift_must_be_beyond_a_quarter_of_its_estimate() -> None:
    """The first pair is significant alone; the interval of the second begins far enough from zero."""
    theirs, random = np.arange(20.0), np.random.default_rng(1)
    near = theirs + 10 + random.normal(0, 0.1, 20)
    interval = mann_whitney(near, theirs, confidence=0.98)
    assert interval is not None
    assert interval.low > 0
    assert is_shifted(near, theirs, less_is_worse=False) is bool(interval.low > 0.25 * interval.estimate)
    assert is_shifted(theirs + 100, theirs, less_is_worse=False)
    assert is_shifted(theirs - 100, theirs, less_is_worse=True)
    assert not is_shifted(theirs + 5.5, theirs, less_is_worse=False)


@pytest.mark.parametrize("ours", [[1.0, 2.0], [2.0, 1.0], [np.nan, 1.0, 2.0], [np.nan]])
def test_equal_points_and_none_are_no_shift(ours: list[float]) -> None:
    assert not is_shifted(np.array(ours), np.array([1.0, 2.0]), less_is_worse=False)


def test_points_that_are_all_the_same_have_no_interval() -> None:
    assert mann_whitney(np.ones(5), np.ones(9), confidence=0.95) is None


def test_growthbook_looks_at_all_that_was_counted() -> None:
    """Fifty times as many are found in the second minute; with nothing bad in stable it has nothing to compare with."""
    assert growthbook(minutes(*[(50, 100)] * 3), 0.02, False) == [2]
    assert growthbook(minutes(*[(1, 100)] * 9), 0.02, False) == [inf]
    assert growthbook(minutes(*[(50, 100)] * 3, stable=[(0, 1000)] * 3), 0.02, False) == [inf]
    assert growthbook(minutes(*[(0, 1000)] * 3, stable=[(500, 1000)] * 3), 0.02, True) == [1]
