"""How much a version's rate varies beyond chance, and for how long, read off the past of the stable version."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

PAST_MINUTES = 240
"""How far back stable is looked at."""

LONGEST_BLOCK = 15
_ENOUGH_MINUTES = 60
_ENOUGH_BAD = 10
_SCALES = (2, 3, 5, 10, 15, 20, 30)
_LEAST, _MOST = 0.02, 1.0
_SURE = 2.33
"""Standard errors that are added: variation that might be there is reckoned with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Variation of a rate."""

    variation: float
    """Its coefficient of variation from one minute to the next, beyond what chance does to counts."""
    block: int
    """Minutes for which a deviation lasts; counts of so many are one block."""


UNKNOWN = Noise(variation=0.3, block=10)
"""What is assumed of a version that has not served for long, or never had anything bad."""


def calibrate(bad: ArrayLike, total: ArrayLike) -> Noise:
    """The noise of a rate from its bad ones and totals minute by minute, oldest first; minutes without requests are 0.

    What varies from minute to minute is seen in single minutes; what lasts longer does not average out over more of
    them as it should, and by how much it does not says how long it lasts.
    """
    counts = np.array([np.clip(bad, 0, total), total], dtype=np.float64)
    counts = counts[:, counts[1] > 0]
    if counts.shape[1] < _ENOUGH_MINUTES or counts[0].sum() < _ENOUGH_BAD:
        return UNKNOWN
    variation, block = calibrated(counts[0][np.newaxis], counts[1][np.newaxis])
    return Noise(variation=float(variation[0]), block=int(block[0]))


def calibrated(bad: ArrayLike, total: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Variation and block in minutes of many pasts at once, one in each row; every minute has requests."""
    bad, total = np.asarray(bad, dtype=np.float64), np.asarray(total, dtype=np.float64)
    minutes = bad.shape[1]
    excess, mean = _excess(bad, total)
    error = np.sqrt(2 / minutes) * (excess.clip(0) + 1 / np.maximum(mean, 1e-3))
    short = np.maximum(excess + _SURE * error, _LEAST**2)
    lasting = [scale * _excess(*_merged(bad, total, scale))[0] for scale in _SCALES if minutes >= 4 * scale]
    block = np.ceil(np.max([np.zeros_like(short), *lasting], axis=0) / short)
    return np.sqrt(np.minimum(short, _MOST**2)), np.clip(block, 1, LONGEST_BLOCK).astype(np.int64)


def _excess(bad: NDArray[np.float64], total: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Squared coefficient of variation of the rate beyond chance (below zero by chance), and the mean count."""
    blocks = bad.shape[1]
    share = bad.sum(axis=1, keepdims=True) / total.sum(axis=1, keepdims=True)
    expected = total * share
    beyond = np.square(bad - expected).sum(axis=1) * blocks / (blocks - 1) - (expected * (1 - share)).sum(axis=1)
    return beyond / np.maximum(np.square(expected).sum(axis=1), 1e-9), expected.mean(axis=1)


def _merged(
    bad: NDArray[np.float64], total: NDArray[np.float64], scale: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The newest minutes, so many to a block."""
    rows, blocks = bad.shape[0], bad.shape[1] // scale
    newest = slice(bad.shape[1] - blocks * scale, None)
    shape = (rows, blocks, scale)
    return bad[:, newest].reshape(shape).sum(axis=2), total[:, newest].reshape(shape).sum(axis=2)
