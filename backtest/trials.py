"""How many independent trials many similar ones amount to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Trials that are more alike than this count as one. At 0.5 all combinations of a rule that is long
# on one market are one trial, and the best of pure noise passes for skill three times in ten.
CUT_CORRELATION = 0.95


def cluster_trials(returns: FloatArray, cut: float = CUT_CORRELATION) -> IntArray:
    """Return the cluster of each trial, by the correlation of their returns.

    Average linkage (UPGMA, Sokal and Michener 1958) on the distance 1 - correlation: the two
    closest clusters are joined until the closest are further apart than 1 - `cut`.

    Parameters
    ----------
    returns : ndarray of float64, shape (n_periods, n_trials)
        Finite.
    cut : float
        Mean correlation between two clusters below which they are different ideas.

    Returns
    -------
    ndarray of int64, shape (n_trials,)
        Numbers from 0 in the order of each cluster's first trial. -1 for a trial that never varies:
        it did nothing.
    """
    labels = np.full(returns.shape[1], -1, dtype=np.int64)
    highest, lowest = returns.max(axis=0, initial=-np.inf), returns.min(axis=0, initial=np.inf)
    varies = np.flatnonzero(highest > lowest)
    if varies.size:
        members = _link(1.0 - _correlate(returns[:, varies]), 1.0 - cut)
        labels[varies] = np.unique(members, return_inverse=True)[1]
    return labels


def estimate_n_trials(labels: IntArray, n_all: int) -> float:
    """Return the effective number of independent trials behind a random sample of them.

    A sample does not meet every cluster. Those it missed are estimated from those it met once and
    twice, as the unseen species of a habitat are: Chao's lower bound,
    S + (m - 1)/m f1 (f1 - 1) / (2 (f2 + 1)).

    Parameters
    ----------
    labels : ndarray of int64, shape (m,)
        Cluster of each trial of the sample, from `cluster_trials`.
    n_all : int
        All trials, sampled or not; the estimate never exceeds it.

    Returns
    -------
    float
        At least 1.

    References
    ----------
    Chao, A. (1984), Nonparametric estimation of the number of classes in a population,
    Scandinavian Journal of Statistics 11(4), 265-270; bias-corrected as in Chao, A. (2005),
    Species estimation and applications, Encyclopedia of Statistical Sciences.
    """
    sizes = np.bincount(labels[labels >= 0])
    seen, m = float(sizes.size), int(sizes.sum())
    if labels.size < n_all and m > 0:
        once, twice = np.count_nonzero(sizes == 1), np.count_nonzero(sizes == 2)
        seen += (m - 1) / m * once * (once - 1) / (2.0 * (twice + 1))
    return max(1.0, min(seen, float(n_all)))


def compound_periods(returns: FloatArray, n_most: int) -> FloatArray:
    """Return the returns of longer periods, all of one length, so that there are at most `n_most`.

    Parameters
    ----------
    returns : ndarray of float64, shape (n_periods, n_trials)
        The first ones are left out if the length does not divide them.
    """
    length = -(-len(returns) // n_most)
    if length <= 1:
        return returns
    n_kept = len(returns) // length
    kept = returns[len(returns) - n_kept * length :]
    compounded: FloatArray = (1.0 + kept.reshape(n_kept, length, -1)).prod(axis=1) - 1.0
    return compounded


def multiply(one: FloatArray, other: FloatArray) -> FloatArray:
    """Return the product of two matrices, the same bits whatever the number of threads.

    A BLAS adds up in an order that depends on its threads, and several processes whose BLAS starts
    a thread a core each wait for one another.
    """
    product: FloatArray = np.einsum("ij,jk->ik", one, other, optimize=False)
    return product


def _correlate(returns: FloatArray) -> FloatArray:
    centred = returns - returns.mean(axis=0)
    # Scaled first, so that no square underflows or overflows.
    centred /= np.abs(centred).max(axis=0)
    centred /= np.sqrt(np.einsum("ij,ij->j", centred, centred))
    return np.clip(multiply(centred.T, centred), -1.0, 1.0)


def _link(distance: FloatArray, limit: float) -> IntArray:
    """Return for each item the lowest item of its cluster; `distance` is used up."""
    n = distance.shape[0]
    lowest = np.arange(n)
    sizes = np.ones(n)
    np.fill_diagonal(distance, np.inf)
    # The nearest other cluster of each, so that a step costs O(n) and not O(n^2).
    nearest = distance.argmin(axis=1)
    gaps = distance[np.arange(n), nearest]
    while n > 1:
        i = int(gaps.argmin())
        if not gaps[i] <= limit:
            break
        i, j = sorted((i, int(nearest[i])))
        joined = (sizes[i] * distance[i] + sizes[j] * distance[j]) / (sizes[i] + sizes[j])
        joined[[i, j]] = np.inf
        distance[i] = distance[:, i] = joined
        distance[j] = distance[:, j] = np.inf
        sizes[i] += sizes[j]
        lowest[lowest == j] = i
        gaps[j] = np.inf
        # Average linkage never brings a third cluster closer than the nearer of the two was.
        for k in {i, *np.flatnonzero((nearest == i) | (nearest == j)).tolist()} - {j}:
            nearest[k] = distance[k].argmin()
            gaps[k] = distance[k, nearest[k]]
    return lowest
