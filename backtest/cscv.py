"""Probability of backtest overfitting: whether ranks of many trials carry over to other bars."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from backtest.trials import multiply

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

N_BLOCKS = 16
# Relative to the squares: what is left by rounding where returns are all the same.
_NO_SPREAD = 1e-10
_SPLITS_AT_ONCE = 512
# Halves and their complements: enough that a draw's own error is small against the band.
_NULL_HALVES = 128


@dataclass(frozen=True, slots=True)
class Cscv:
    """What combinatorially symmetric cross-validation says about a set of trials.

    Attributes
    ----------
    pbo : float
        Share of splits whose in-sample best is in the worse half out of sample.
    loss_share : float
        Share of splits whose in-sample best has a Sharpe ratio below 0 out of sample.
    in_sample, out_of_sample : float
        Median Sharpe ratio per period of the in-sample best, in and out of sample.
    n_splits, n_columns, n_blocks : int
        Splits, distinct trials, and blocks of time.

    All floats are NaN with fewer than two distinct trials or two periods a block.
    """

    pbo: float
    loss_share: float
    in_sample: float
    out_of_sample: float
    n_splits: int
    n_columns: int
    n_blocks: int


def compute_cscv(returns: FloatArray, n_blocks: int = N_BLOCKS) -> Cscv:
    """Return the probability of backtest overfitting of a set of trials.

    Time is cut into even blocks. Every way to call half of them in-sample is a split: the trial
    that is best in sample by Sharpe ratio is looked up among all trials out of sample. Its
    ascending rank (best = N, ties averaged) over N + 1 is w, and PBO is the share of splits with
    ln(w / (1 - w)) <= 0.

    Parameters
    ----------
    returns : ndarray of float64, shape (n_periods, n_trials)
        Finite. Identical trials count once; the first n_periods mod n_blocks are left out. A trial
        whose Sharpe ratio is undefined ranks lowest.
    n_blocks : int
        Even.

    References
    ----------
    Bailey, D. H., Borwein, J. M., Lopez de Prado, M. and Zhu, Q. J. (2017), The probability of
    backtest overfitting, Journal of Computational Finance 20(4), 39-69.
    """
    blocks = _cut(_drop_identical(returns), n_blocks)
    length, n_columns = blocks.shape[1:]
    if length < 2 or n_columns < 2:
        return Cscv(*(math.nan,) * 4, 0, n_columns, n_blocks)
    sums, squares = blocks.sum(axis=1), np.square(blocks).sum(axis=1)
    n_half = length * (n_blocks // 2)
    n_overfit, inside, outside = 0, [], []
    halves = _list_halves(n_blocks)
    for first in range(0, len(halves), _SPLITS_AT_ONCE):
        part = halves[first : first + _SPLITS_AT_ONCE]
        one = _measure_sharpes(multiply(part, sums), multiply(part, squares), n_half)
        rest = 1.0 - part
        other = _measure_sharpes(multiply(rest, sums), multiply(rest, squares), n_half)
        for own, unseen in ((one, other), (other, one)):
            best = own.argmax(axis=1)
            n_overfit += int(_is_in_worse_half(unseen, best).sum())
            rows = np.arange(len(best))
            inside.append(own[rows, best])
            outside.append(unseen[rows, best])
    found = np.concatenate(outside)
    n_splits = 2 * len(halves)
    return Cscv(
        n_overfit / n_splits,
        float(np.count_nonzero(found < 0.0)) / n_splits,
        _take_median(np.concatenate(inside)),
        _take_median(found),
        n_splits,
        n_columns,
        n_blocks,
    )


def simulate_pbo_null(
    returns: FloatArray, seed: int, n_draws: int = 200, n_blocks: int = N_BLOCKS
) -> FloatArray:
    """Return what PBO would be if no trial had merit, drawn many times.

    Each draw takes away every trial's mean and gives every period a random sign, the same for all
    trials: what remains has no better trial, but varies and moves together as before. Each draw
    looks at a random part of the splits.

    Parameters
    ----------
    returns : ndarray of float64, shape (n_periods, n_trials)
        As for `compute_cscv`.
    seed : int
        The same seed gives the same draws.

    Returns
    -------
    ndarray of float64, shape (n_draws,)
        In rising order; empty where `compute_cscv` has no PBO.

    References
    ----------
    Random signs: Wu, C. F. J. (1986), Jackknife, bootstrap and other resampling methods in
    regression analysis, Annals of Statistics 14(4), 1261-1295; with the weights of Liu, R. Y.
    (1988), Annals of Statistics 16(4), 1696-1708.
    """
    blocks = _cut(_drop_identical(returns), n_blocks)
    length, n_columns = blocks.shape[1:]
    if length < 2 or n_columns < 2:
        return np.empty(0)
    rng = np.random.default_rng(seed)
    blocks = blocks - blocks.mean(axis=(0, 1))
    signs = rng.integers(0, 2, (n_blocks, n_draws, length)).astype(np.float64) * 2.0 - 1.0
    sums = np.stack([multiply(sign, block) for sign, block in zip(signs, blocks, strict=True)])
    squares = np.square(blocks).sum(axis=1)
    halves = _list_halves(n_blocks)
    chosen = rng.permutation(len(halves))[:_NULL_HALVES]
    part = halves[np.sort(chosen)]
    rest = 1.0 - part
    # For ranks the sum over the root of the squares will do: the Sharpe ratio rises with it.
    scales = [_invert_roots(multiply(half, squares)) for half in (part, rest)]
    draws = np.empty(n_draws)
    for i in range(n_draws):
        one, other = (
            np.where(scale > 0.0, multiply(half, sums[:, i]) * scale, -np.inf)
            for half, scale in zip((part, rest), scales, strict=True)
        )
        n_overfit = _is_in_worse_half(other, one.argmax(axis=1)).sum()
        n_overfit += _is_in_worse_half(one, other.argmax(axis=1)).sum()
        draws[i] = n_overfit / (2 * len(part))
    return np.sort(draws)


def _drop_identical(returns: FloatArray) -> FloatArray:
    columns = np.ascontiguousarray(returns.T)
    first = {column.tobytes(): i for i, column in reversed(list(enumerate(columns)))}
    return np.ascontiguousarray(columns[sorted(first.values())].T)


def _cut(returns: FloatArray, n_blocks: int) -> FloatArray:
    """Return shape (n_blocks, length, n_columns)."""
    n_periods, n_columns = returns.shape
    length = n_periods // n_blocks
    return returns[n_periods - length * n_blocks :].reshape(n_blocks, length, n_columns)


def _list_halves(n_blocks: int) -> FloatArray:
    """Return which blocks are in sample: one of each split and its complement, (n, n_blocks)."""
    others = list(combinations(range(1, n_blocks), n_blocks // 2 - 1))
    halves = np.zeros((len(others), n_blocks))
    halves[:, 0] = 1.0
    halves[np.arange(len(others))[:, None], np.array(others, dtype=np.int64)] = 1.0
    return halves


def _measure_sharpes(sums: FloatArray, squares: FloatArray, n: int) -> FloatArray:
    """Return Sharpe ratios per period from sums over n periods, -inf where undefined."""
    mean = sums / n
    spread = squares - sums * mean
    is_defined = spread > _NO_SPREAD * squares
    deviation = np.sqrt(np.where(is_defined, spread, 1.0) / (n - 1))
    return np.where(is_defined, mean / deviation, -np.inf)


def _invert_roots(squares: FloatArray) -> FloatArray:
    return np.where(squares > 0.0, 1.0 / np.sqrt(np.where(squares > 0.0, squares, 1.0)), 0.0)


def _is_in_worse_half(values: FloatArray, best: NDArray[np.int64]) -> BoolArray:
    """Return whether the rank of one column of each row is not above the middle."""
    own = values[np.arange(len(best)), best][:, None]
    n_below = np.count_nonzero(values < own, axis=1)
    n_above = np.count_nonzero(values > own, axis=1)
    # w <= 1/2 with ties averaged, in whole numbers.
    is_worse: BoolArray = n_below <= n_above
    return is_worse


def _take_median(values: FloatArray) -> float:
    """Return the median of what is defined."""
    values = values[np.isfinite(values)]
    return float(np.median(values)) if values.size else math.nan
