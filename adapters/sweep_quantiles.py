"""Exact quantiles of more values than should be in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from adapters.sweep_columns import FloatArray, PointArray

# Values that are held at a time; with sorting they take four times their own 8 bytes.
MAX_SELECTED = 1_048_576
_N_PIVOTS = 4096

# Reads the values, piece by piece and from the start; pieces may be reordered.
ReadValues = Callable[[], Iterator[FloatArray]]


def compute_quantiles(read: ReadValues, n: int, quantiles: Sequence[float]) -> list[float]:
    """Return quantiles with linear interpolation, equal to ``numpy.quantile``.

    Parameters
    ----------
    read : function
        Returns an iterator over finite values; called three times if there are many.
    n : int
        How many values there are, at least 1.
    quantiles : sequence of float
        Each in [0, 1].
    """
    at = np.asarray(quantiles) * (n - 1)
    lower = np.floor(at).astype(np.int64)
    upper = np.minimum(lower + 1, n - 1)
    ranks = np.unique(np.concatenate([lower, upper]))
    if n <= MAX_SELECTED:
        pieces = list(read())
        values = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
        values.partition(ranks)
        found = values[ranks]
    else:
        found = _select(read, n, ranks)
    low, high = found[np.searchsorted(ranks, lower)], found[np.searchsorted(ranks, upper)]
    result: list[float] = (low + (high - low) * (at - lower)).tolist()
    return result


def _select(read: ReadValues, n: int, ranks: PointArray) -> FloatArray:
    """Return the values of the given ranks, 0 the smallest, without holding all values.

    Pivots from a sample cut the values into classes: between two pivots, or equal to one. Counting
    tells the class of every rank; only classes between pivots are then read and sorted, each about
    one in `_N_PIVOTS` of the values. Values that repeat often are pivots themselves.
    """
    step = max(1, n // (16 * _N_PIVOTS))
    sample = np.sort(np.concatenate([values[::step] for values in read()]))
    pivots = np.unique(sample[:: max(1, len(sample) // _N_PIVOTS)])
    counts = np.zeros(2 * len(pivots) + 1, dtype=np.int64)
    for values in read():
        counts += np.bincount(_classify(values, pivots), minlength=len(counts))
    ends = np.cumsum(counts)
    classes = np.searchsorted(ends, ranks, side="right")
    opened = np.unique(classes[classes % 2 == 0])
    kept = [values[np.isin(_classify(values, pivots), opened)] for values in read()]
    ordered = np.sort(np.concatenate(kept))
    starts = dict(zip(opened.tolist(), np.cumsum(counts[opened]) - counts[opened], strict=True))
    return np.array(
        [
            pivots[c // 2] if c % 2 else ordered[starts[c] + rank - (ends[c] - counts[c])]
            for c, rank in zip(classes.tolist(), ranks.tolist(), strict=True)
        ]
    )


def _classify(values: FloatArray, pivots: FloatArray) -> PointArray:
    """Return 2 i for values between pivots i - 1 and i, and 2 i + 1 for values equal to pivot i."""
    left = np.searchsorted(pivots, values, side="left")
    is_pivot = np.append(pivots, np.inf)[left] == values
    return np.asarray(2 * left + is_pivot)


def split_evenly(counts: PointArray, limit: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of groups that hold at most `limit` members together, or are a single group."""
    start, total = 0, 0
    for i, count in enumerate(counts.tolist()):
        if i > start and total + count > limit:
            yield start, i
            start, total = i, 0
        total += count
    yield start, len(counts)
