"""How much a rate varies beyond chance, and for how long: found again where it was put in."""

import numpy as np
import pytest

from modelrollout.judge.noise import UNKNOWN, calibrate

MINUTES = 240


def past(
    *, a_minute: float, base: float, variation: float = 0.0, lasting: int = 1, seed: int = 1
) -> tuple[list[float], list[float]]:
    """Bad ones and totals by minute of a rate that varies so."""
    random = np.random.default_rng(seed)
    factors = np.ones(MINUTES)
    if variation:
        shape = 1 / variation**2
        factors = np.repeat(random.gamma(shape, 1 / shape, size=MINUTES // lasting + 1), lasting)[:MINUTES]
    bad = random.binomial(round(a_minute), np.clip(base * factors, 0, 1))
    return [float(one) for one in bad], [a_minute] * MINUTES


def test_chance_alone_is_little_noise() -> None:
    noise = calibrate(*past(a_minute=3000, base=0.01))
    assert noise.variation < 0.12
    assert noise.block <= 10


@pytest.mark.parametrize("variation", [0.3, 0.5, 0.8])
def test_variation_from_minute_to_minute_is_found_in_single_minutes(variation: float) -> None:
    noise = calibrate(*past(a_minute=3000, base=0.01, variation=variation))
    assert variation * 0.9 < noise.variation < variation * 1.4
    assert noise.block <= 3


@pytest.mark.parametrize("lasting", [5, 10])
def test_variation_that_lasts_makes_long_blocks(lasting: int) -> None:
    blocks = [
        calibrate(*past(a_minute=3000, base=0.01, variation=0.3, lasting=lasting, seed=seed)).block for seed in range(9)
    ]
    assert lasting / 2 <= np.median(blocks) <= lasting * 2


@pytest.mark.parametrize("minutes", [0, 1, 59])
def test_a_short_past_tells_nothing(minutes: int) -> None:
    bad, total = past(a_minute=3000, base=0.01)
    assert calibrate(bad[:minutes], total[:minutes]) == UNKNOWN


def test_a_past_without_anything_bad_tells_nothing() -> None:
    assert calibrate([0.0] * MINUTES, [100.0] * MINUTES) == UNKNOWN


def test_minutes_without_requests_do_not_count() -> None:
    bad, total = past(a_minute=3000, base=0.01)
    pauses = [0.0] * 30
    assert calibrate([*bad, *pauses], [*total, *pauses]) == calibrate(bad, total)


def test_more_bad_ones_than_requests_in_a_minute_are_no_more_than_all() -> None:
    """Counters are read one after the other."""
    bad, total = past(a_minute=3000, base=0.01)
    assert calibrate([*bad, 4000.0], [*total, 3000.0]).variation > calibrate(bad, total).variation
