"""The probability of backtest overfitting against an obvious twin."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from backtest.cscv import Cscv, compute_cscv, simulate_pbo_null


def measure_sharpe(returns: np.ndarray) -> float:
    if returns.max() == returns.min():
        return -math.inf
    return float(returns.mean() / returns.std(ddof=1))


def compute_slowly(returns: np.ndarray, n_blocks: int) -> tuple[float, float, float, float]:
    """As the paper says it: every split, every rank, one after the other."""
    distinct = []
    for column in returns.T:
        if not any((column == other).all() for other in distinct):
            distinct.append(column)
    columns = np.array(distinct).T[len(returns) % n_blocks :]
    blocks = np.split(columns, n_blocks)
    logits, inside, outside = [], [], []
    for chosen in combinations(range(n_blocks), n_blocks // 2):
        seen = np.concatenate([blocks[i] for i in chosen])
        unseen = np.concatenate([blocks[i] for i in range(n_blocks) if i not in chosen])
        own = [measure_sharpe(column) for column in seen.T]
        other = [measure_sharpe(column) for column in unseen.T]
        best = own.index(max(own))
        below = sum(value < other[best] for value in other)
        alike = sum(value == other[best] for value in other)
        w = (below + (alike + 1) / 2) / (len(own) + 1)
        logits.append(math.log(w / (1 - w)))
        inside.append(own[best])
        outside.append(other[best])
    n = len(logits)
    defined = [value for value in outside if value > -math.inf]
    return (
        sum(logit <= 1e-12 for logit in logits) / n,
        sum(value < 0 for value in outside) / n,
        float(np.median(inside)),
        float(np.median(defined)),
    )


def read(found: Cscv) -> tuple[float, float, float, float]:
    return found.pbo, found.loss_share, found.in_sample, found.out_of_sample


@pytest.mark.parametrize("seed", range(6))
def test_it_is_what_the_paper_says(seed):
    rng = np.random.default_rng(seed)
    n_blocks, n_trials = rng.choice([4, 6, 8]), int(rng.integers(2, 9))
    returns = rng.normal(size=(rng.integers(40, 70), n_trials)) + rng.normal(size=n_trials) * 0.2
    returns = np.column_stack([returns, returns[:, 0], np.zeros(len(returns))])
    returns[: len(returns) // 2, 1] = 0.01  # no Sharpe ratio in some splits
    found = compute_cscv(returns, n_blocks)
    assert read(found) == pytest.approx(compute_slowly(returns, n_blocks), rel=1e-9, abs=1e-12)
    assert found.n_splits == math.comb(n_blocks, n_blocks // 2)
    assert (found.n_columns, found.n_blocks) == (n_trials + 1, n_blocks)


def test_a_trial_that_is_better_everywhere_is_not_overfitted():
    returns = np.random.default_rng(1).normal(size=(320, 20)) * 0.01
    returns[:, 7] += 0.02
    found = compute_cscv(returns)
    assert (found.pbo, found.loss_share, found.n_splits) == (0.0, 0.0, 12_870)


def test_a_trial_that_is_good_in_one_half_only_is():
    # What one half gains the other half loses, so that the best in sample is the worst outside.
    rng = np.random.default_rng(2)
    gains = rng.permuted(np.tile([1.0, 1.0, -1.0, -1.0], (6, 1)), axis=1)
    returns = np.repeat(gains.T, 10, axis=0) + rng.normal(size=(40, 6)) * 0.1
    assert compute_cscv(returns, 4).pbo > 0.6


@pytest.mark.parametrize("shape", [(320, 1), (31, 5), (0, 0)])
def test_it_is_undefined_with_one_trial_or_too_few_periods(shape):
    returns = np.random.default_rng(3).normal(size=shape)
    found = compute_cscv(returns)
    assert all(math.isnan(value) for value in read(found))
    assert found.n_splits == 0
    assert simulate_pbo_null(returns, seed=1).size == 0


def test_identical_trials_count_once():
    column = np.random.default_rng(3).normal(size=(64, 1))
    assert math.isnan(compute_cscv(np.repeat(column, 5, axis=1)).pbo)


def test_the_null_band_of_noise_is_as_wide_as_published():
    returns = np.random.default_rng(8).normal(size=(1008, 50))
    low, high = np.quantile(simulate_pbo_null(returns, seed=1), [0.05, 0.95])
    assert low == pytest.approx(0.24, abs=0.07)
    assert high == pytest.approx(0.79, abs=0.07)


def test_noise_lies_in_its_null_band_about_as_often_as_promised():
    inside = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        common = rng.normal(size=(160, 1))
        returns = common * rng.uniform(0, 1, 12) + rng.normal(size=(160, 12))
        low, high = np.quantile(simulate_pbo_null(returns, seed=1), [0.05, 0.95])
        inside += low <= compute_cscv(returns).pbo <= high
    assert 23 <= inside <= 30


def test_the_same_seed_gives_the_same_band():
    returns = np.random.default_rng(9).normal(size=(64, 4))
    one, same, other = (simulate_pbo_null(returns, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    assert (np.diff(one) >= 0).all()
