"""Clusters of trials and their effective number, against obvious twins."""

from __future__ import annotations

import numpy as np
import pytest

from backtest.trials import cluster_trials, compound_periods, estimate_n_trials, multiply
from tests.support import peers


def draw_returns(seed: int, n_periods: int, n_trials: int, n_ideas: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    ideas = rng.normal(size=(n_periods, n_ideas))
    noise = rng.normal(size=(n_periods, n_trials)) * rng.uniform(0.1, 1.5, n_trials)
    return ideas[:, rng.integers(0, n_ideas, n_trials)] + noise


def cluster_slowly(returns: np.ndarray, cut: float) -> list[set[int]]:
    """Join the two clusters with the highest mean correlation until it is below the cut."""
    correlation = np.corrcoef(returns, rowvar=False)
    clusters = [{i} for i in range(returns.shape[1])]
    while len(clusters) > 1:
        pairs = [
            (np.mean([correlation[a, b] for a in one for b in other]), i, i + 1 + j)
            for i, one in enumerate(clusters)
            for j, other in enumerate(clusters[i + 1 :])
        ]
        highest, i, j = max(pairs)
        if highest < cut:
            break
        clusters[i] |= clusters.pop(j)
    return clusters


@pytest.mark.parametrize("cut", [0.2, 0.5, 0.9])
def test_clusters_are_those_of_joining_by_hand(cut):
    returns = draw_returns(3, 60, 14, 4)
    labels = cluster_trials(returns, cut)
    found = [set(np.flatnonzero(labels == label).tolist()) for label in range(labels.max() + 1)]
    assert sorted(map(sorted, found)) == sorted(map(sorted, cluster_slowly(returns, cut)))


@pytest.mark.parametrize("seed", range(4))
def test_clusters_of_many_trials_are_those_of_scipy(seed):
    returns = draw_returns(seed, 200, 150, 12)
    labels = cluster_trials(returns, 0.5)
    distance = (1.0 - np.corrcoef(returns, rowvar=False))[np.triu_indices(150, 1)]
    tree = peers.hierarchy.linkage(distance, "average")
    theirs = peers.hierarchy.fcluster(tree, 0.5, "distance")
    assert len({*zip(labels.tolist(), theirs.tolist(), strict=True)}) == theirs.max()
    assert labels.max() + 1 == theirs.max()


def test_trials_that_do_nothing_belong_to_no_cluster():
    returns = draw_returns(1, 50, 4, 4)
    returns[:, 1] = 0.0
    returns[:, 3] = -1e-5
    assert cluster_trials(returns).tolist() == [0, -1, 1, -1]
    assert cluster_trials(np.zeros((5, 3))).tolist() == [-1, -1, -1]
    assert cluster_trials(np.empty((0, 0))).size == 0


def test_the_size_of_returns_does_not_matter():
    returns = draw_returns(2, 80, 20, 5)
    scaled = returns * np.geomspace(1e-200, 1e200, 20)
    assert cluster_trials(scaled, 0.5).tolist() == cluster_trials(returns, 0.5).tolist()


def test_the_unseen_are_estimated_from_those_met_once_and_twice():
    labels = np.array([0, 1, 2, 3, 4, 4, 5, 5, 6, 6, 6, -1])
    # 7 clusters, 11 members; 4 are met once, 2 twice: 7 + 10/11 * 4 * 3 / (2 * 3)
    assert estimate_n_trials(labels, 1000) == pytest.approx(7 + 10 / 11 * 2)
    assert estimate_n_trials(labels, 12) == 7.0  # a sample of all misses none
    assert estimate_n_trials(np.arange(10), 12) == 12.0  # no more than there are
    assert estimate_n_trials(np.array([-1, -1]), 50) == 1.0


def test_an_estimate_from_a_sample_is_near_what_all_trials_show():
    returns = draw_returns(5, 150, 400, 40)
    everything = cluster_trials(returns, 0.6).max() + 1
    chosen = np.random.default_rng(1).choice(400, 150, replace=False)
    seen = cluster_trials(returns[:, chosen], 0.6)
    estimate = estimate_n_trials(seen, 400)
    assert abs(estimate - everything) < abs(seen.max() + 1 - everything)


def test_longer_periods_compound_the_shorter_ones():
    returns = np.random.default_rng(4).uniform(-0.1, 0.1, (23, 3))
    found = compound_periods(returns, 6)  # four bars each, the first three left out
    assert found.shape == (5, 3)
    for i in range(5):
        for j in range(3):
            growth = 1.0
            for k in range(3 + 4 * i, 7 + 4 * i):
                growth *= 1.0 + returns[k, j]
            assert found[i, j] == pytest.approx(growth - 1.0, rel=1e-12)
    assert compound_periods(returns, 23) is returns


def test_products_are_those_of_matrices():
    rng = np.random.default_rng(6)
    one, other = rng.normal(size=(7, 5)), rng.normal(size=(5, 9))
    np.testing.assert_allclose(multiply(one, other), one @ other, rtol=1e-12)
