"""Evidence that holds however often one looks: e-processes over counts of bad ones out of totals.

An e-process starts at 1 and, as long as the hypothesis that it speaks against is true, is never expected to grow. So it
ever reaches a hundred with a probability of one in a hundred at most (Ville), at whatever moments somebody looks, and
may be stopped at any of them. Here it is a mixture of likelihood ratios: of an odds ratio that is worse than tolerated,
over the one that is just tolerated, for each of a grid of odds ratios. So it finds out by itself how much worse it is.

Beyond chance, the rate of each version varies from block to block. Counts of a block are therefore beta-binomial: with
the same rate all through the block, and another one in the next. Within a block that makes it a Pólya urn, so a block
that is not over yet may be looked at like any other.

All functions take numbers or arrays of one shape, and add the grid as a last axis.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaln, xlog1py, xlogy

from modelrollout.api.evidence import ENOUGH_EVIDENCE, GRID, SUSPICIOUS_EVIDENCE

Array = NDArray[np.float64]

ENOUGH = float(np.log(ENOUGH_EVIDENCE))
"""Logarithm of the evidence that takes a candidate back: wrong in one of a hundred healthy candidates at most."""

SUSPICIOUS = float(np.log(SUSPICIOUS_EVIDENCE))
"""Logarithm of the evidence from which on a candidate gets no more requests until it is less again."""

PROVEN = float(np.log(20))
"""Logarithm of the evidence that proves a candidate not to be worse than a margin: wrong in one of twenty at most."""

_NEAREST, _FARTHEST = 0.3, 2.7

WORSE: Array = np.square(np.linspace(_NEAREST**0.5, _FARTHEST**0.5, GRID))
"""Grid of log odds ratios beyond what is tolerated, from 1.35 to 15 times, denser near 1.

The square root spreads it so that the mixture costs about the same whatever is the truth. Beyond its end nothing is
lost: then every bad one counts for much anyway.
"""

BETTER: Array = -WORSE
"""The same grid on the other side: against being as bad as a margin, or in a rate of which less is worse."""

_LEAST_VARIATION = 1e-3
_ODDS = 1e-9, 1e9


class Tally(NamedTuple):
    """Bad ones out of all requests of one version: numbers, or arrays of one shape."""

    bad: ArrayLike
    total: ArrayLike


def against_stable(
    candidate: Tally, stable: Tally, *, tolerated: ArrayLike, variation: ArrayLike, grid: Array = WORSE
) -> Array:
    """Log likelihood ratios of one block against "the candidate's rate is `tolerated` times stable's at most".

    Of all bad ones, whose are how many? `variation` is the coefficient of variation of either version's rate from block
    to block. With the grid `BETTER` the hypothesis is the opposite one, "at least".
    """
    return _log_ratios(*_beside_stable(candidate, stable, tolerated, variation), grid)


def against_limit(candidate: Tally, *, limit: ArrayLike, variation: ArrayLike, grid: Array = WORSE) -> Array:
    """Log likelihood ratios of one block against "no more than a share of `limit` is bad of the candidate's"."""
    return _log_ratios(*_beside_limit(candidate, limit, variation), grid)


def most_against_stable(
    candidate: Tally, stable: Tally, *, tolerated: ArrayLike, variation: ArrayLike, less_is_worse: bool = False
) -> Array:
    """What none of the log likelihood ratios `against_stable` is above: quick, for whoever has many to look through."""
    return _most(*_beside_stable(candidate, stable, tolerated, variation), less_is_worse=less_is_worse)


def most_against_limit(candidate: Tally, *, limit: ArrayLike, variation: ArrayLike) -> Array:
    """The same of those `against_limit`."""
    return _most(*_beside_limit(candidate, limit, variation), less_is_worse=False)


def log_evidence(log_ratios: Array) -> Array:
    """Logarithm of the e-process, from the sums of its log likelihood ratios by grid point in the last axis."""
    mixed: Array = np.logaddexp.reduce(log_ratios, axis=-1) - np.log(log_ratios.shape[-1])
    return mixed


def _beside_stable(
    candidate: Tally, stable: Tally, tolerated: ArrayLike, variation: ArrayLike
) -> tuple[Array, Array, Array, Array]:
    """Bad ones, those that may be bad, the odds that are just tolerated, and the variance of their logarithm."""
    bad, in_all = _column(candidate.bad), _column(candidate.bad) + _column(stable.bad)
    with np.errstate(divide="ignore", invalid="ignore"):
        odds = np.nan_to_num(_column(tolerated) * _column(candidate.total) / _column(stable.total), nan=1.0)
    return bad, in_all, np.clip(odds, *_ODDS), 2 * _variance(variation)


def _beside_limit(candidate: Tally, limit: ArrayLike, variation: ArrayLike) -> tuple[Array, Array, Array, Array]:
    share = _column(limit)
    odds = np.clip(share / (1 - share), *_ODDS)
    return _column(candidate.bad), _column(candidate.total), odds, _variance(variation)


def _most(bad: Array, total: Array, odds: Array, variance: Array, *, less_is_worse: bool) -> Array:
    """No distribution explains counts better than a rate that is just the share of bad ones.

    The ratios grow with what is harm, so counts that are better than tolerated are no more evidence than those that are
    tolerated. That is so unless rates vary beyond all measure: there, nothing is promised.
    """
    tolerated = total * odds / (1 + odds)
    bad = np.minimum(bad, tolerated) if less_is_worse else np.maximum(bad, tolerated)
    share = np.divide(bad, total, out=np.zeros_like(bad), where=total > 0)
    best = xlogy(bad, share) + xlog1py(total - bad, -share)
    most: Array = np.where(variance <= 1, best - _log_likelihood(bad, total, odds, variance), np.inf)
    return most[..., 0]


def _log_ratios(bad: Array, total: Array, odds: Array, variance: Array, grid: Array) -> Array:
    hypotheses = odds * np.exp(np.concatenate(([0.0], grid)))  # all at once: it is the number of calls that costs
    likelihoods = _log_likelihood(bad, total, hypotheses, variance)
    return likelihoods[..., 1:] - likelihoods[..., :1]


def _log_likelihood(bad: Array, total: Array, odds: Array, variance: Array) -> Array:
    """Of a beta-binomial count, without the binomial coefficient, which ratios do not need.

    `variance` is that of the log odds; the share varies by it times (p(1 - p))².
    """
    share = odds / (1 + odds)
    spread = share * (1 - share)
    size = np.clip(1 / (variance * spread) - 1, 1e-2, 1e9)
    alpha, beta = share * size, (1 - share) * size
    likelihood: Array = betaln(bad + alpha, total - bad + beta) - betaln(alpha, beta)
    return likelihood


def _column(numbers: ArrayLike) -> Array:
    return np.asarray(numbers, dtype=np.float64)[..., np.newaxis]


def _variance(variation: ArrayLike) -> Array:
    return np.square(np.maximum(_column(variation), _LEAST_VARIATION))
