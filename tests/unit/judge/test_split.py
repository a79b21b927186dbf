"""Splits of simulated traffic, looked at again and again."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from math import log
from typing import Any

import numpy as np
import pytest

from modelrollout.judge.split import Mismatch, Requests, Split

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
DECLARED = 0.05
EDGE = 1 / (1 + 19 / 1.25)
"""The share whose odds are just tolerated."""
SCRAPED = timedelta(seconds=15)
AT_ONCE = timedelta()

Rate = Callable[[float], float]


def looks(
    generator: np.random.Generator,
    rps: float,
    *,
    share: Rate,
    minutes: int = 60,
    every: int = 60,
    lag: timedelta = SCRAPED,
) -> Iterator[tuple[float, Mismatch | None]]:
    """Minute by minute of a stage: what is said of a split in which each request goes to the candidate by chance."""
    split, seen = Split(DECLARED), Requests(0, 0)
    split.weigh(seen, at=START, lag=lag)
    for second in range(every, 60 * minutes + 1, every):
        requests = generator.poisson(rps * every)
        ours = generator.binomial(requests, share(second / 60))
        seen = Requests(seen.candidate + ours, seen.stable + requests - ours)
        yield second / 60, split.weigh(seen, at=START + timedelta(seconds=second), lag=lag)


def found_after(generator: np.random.Generator, rps: float, **given: Any) -> float | None:
    """Minutes until a mismatch is told; None when it is not."""
    return next((minute for minute, mismatch in looks(generator, rps, **given) if mismatch), None)


@pytest.mark.parametrize(("rps", "share"), [(50, DECLARED), (500, DECLARED), (50, EDGE), (500, EDGE)])
def test_a_split_that_is_tolerated_is_held_in_one_of_a_thousand_stages_at_most(rps: float, share: float) -> None:
    """Of 150, each looked at for an hour, more than two would be so once in two thousand runs of this test."""
    generator = np.random.default_rng(7)
    held = [found_after(generator, rps, share=lambda _: share, lag=AT_ONCE) is not None for _ in range(150)]
    assert sum(held) <= 2


@pytest.mark.parametrize(("rps", "within"), [(5, 15), (50, 4), (500, 3)])
@pytest.mark.parametrize("share", [0.1, 0.025])
def test_twice_or_half_the_declared_share_is_found_within_minutes(rps: float, within: float, share: float) -> None:
    generator = np.random.default_rng(1)
    found = [found_after(generator, rps, share=lambda _: share, every=15) for _ in range(20)]
    assert sorted(minute or 999 for minute in found)[10] <= within


def test_what_went_well_for_hours_does_not_hide_what_comes() -> None:
    generator = np.random.default_rng(2)
    after = found_after(generator, 50, share=lambda minute: DECLARED if minute <= 240 else 0.1, minutes=300)
    assert after is not None
    assert 240 < after <= 245


@pytest.mark.parametrize("rps", [5, 50])
def test_a_split_that_fits_again_is_compared_again_once_newer_requests_say_so(rps: float) -> None:
    generator = np.random.default_rng(3)
    said = list(looks(generator, rps, share=lambda minute: 0.1 if minute <= 30 else DECLARED, minutes=90))
    off = [minute for minute, mismatch in said if mismatch]
    assert off[0] <= 10
    assert 30 < off[-1] <= 45
    assert off == list(range(round(off[0]), round(off[-1]) + 1)), "in one piece"


def test_a_split_that_stays_wrong_stays_told() -> None:
    said = dict(looks(np.random.default_rng(4), 50, share=lambda _: 0.1, minutes=120))
    assert all(mismatch for minute, mismatch in said.items() if minute > 5)


@pytest.mark.parametrize("interval", [15, 60])
def test_versions_that_are_scraped_one_after_the_other_are_no_mismatch(interval: int) -> None:
    """Requests come in waves: each scrape has seen what the other version's scrape has not."""
    waves = np.random.default_rng(5).poisson(50 * (1 + 0.9 * np.sin(np.arange(3600) / interval * 2)))
    ours = np.random.default_rng(6).binomial(waves, DECLARED).cumsum()
    theirs = waves.cumsum() - ours

    def told(lag: timedelta) -> list[bool]:
        split, told = Split(DECLARED), []
        for second in range(60, 3600):
            of_ours, of_theirs = second // interval * interval, (second - interval // 2) // interval * interval
            of_theirs += interval // 2
            seen = Requests(int(ours[of_ours]), int(theirs[min(of_theirs, second)]))
            told.append(split.weigh(seen, at=START + timedelta(seconds=second), lag=lag) is not None)
        return told

    assert any(told(AT_ONCE)), "it takes the lag to know"
    assert not any(told(timedelta(seconds=interval)))


def test_a_candidate_that_gets_nothing_is_told_once_it_must_have_been_scraped() -> None:
    split, seconds = Split(DECLARED), 0
    split.weigh(Requests(0, 0), at=START, lag=SCRAPED)
    while not (mismatch := split.weigh(Requests(0, 50 * seconds), at=_after(seconds), lag=SCRAPED)):
        seconds += 1
    assert 30 < seconds < 90
    assert mismatch.words.startswith(
        f"0.00% of the requests went to the candidate (0 of {50 * seconds:,} since 12:00:00Z)"
    )
    assert "5.00% are declared" in mismatch.words


def test_what_was_counted_before_the_first_look_does_not_matter() -> None:
    split = Split(DECLARED)
    for seconds in range(600):
        seen = Requests(10_000 + 5 * seconds, 95 * seconds)
        assert split.weigh(seen, at=_after(seconds), lag=AT_ONCE) is None


def test_it_can_begin_anew() -> None:
    split = Split(DECLARED)
    split.weigh(Requests(0, 0), at=START, lag=AT_ONCE)
    assert split.weigh(Requests(500, 500), at=_after(60), lag=AT_ONCE)
    split.begin_anew()
    assert split.weigh(Requests(500, 500), at=_after(61), lag=AT_ONCE) is None


def test_the_evidence_of_one_beginning_is_the_likelihood_ratio_of_the_grid() -> None:
    """Worked out by hand for a single request, which may be the candidate's or not: the mean does not grow."""
    split = Split(0.5)
    split.weigh(Requests(0, 0), at=START, lag=AT_ONCE)
    edge = 1.25 / 2.25
    ours, theirs = (
        split._evidence(np.array([seen], dtype=float), np.zeros(1))[0] for seen in (Requests(1, 0), Requests(0, 1))
    )
    grid = np.geomspace(0.05, 2.7, 24)
    above, below = (1 / (1 + np.exp(-(sign * (log(1.25) + grid)))) for sign in (1, -1))
    assert np.exp(ours) == pytest.approx(0.5 * np.mean([*(above / edge), *(below / (1 - edge))]))
    assert np.exp(theirs) == pytest.approx(np.exp(ours)), "declared one half, both are alike"
    assert edge * np.exp(ours) + (1 - edge) * np.exp(theirs) <= 0.5 + 1e-9


def _after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)
