"""What combinations share: sums, extremes and drawdowns of the close over any range of blocks.

A position that holds everything moves with the close, so that its returns are the close's. Their
sums over a held range are differences of prefix sums, kept as two float64 each: the difference is
right relative to the range, however long and wild the bars before it were.

Lowest, highest and deepest fall over a range come from a disjoint sparse table: level v holds, for
each block, what lies between it and the middle of its group of 2^(v+1), so that any range is a
left part and a right part of one middle.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtest.jit import inlined, jit_loop

FloatArray = NDArray[np.float64]

SMALL = 32_768  # bars; up to here a block is one bar, and tables fit the second-level cache
WIDE_SHIFT = 5  # at least 2; beyond, blocks of 32: 10 MB a million bars, edges are walked
STRETCH = 8_192  # bars of a walk at a stroke; with their tables half a second-level cache

# Columns of `sums`: each sum's leading and trailing part.
RETURN, SQUARE, CLOSE, DOWNSIDE = 0, 2, 4, 6
N_SUMS = 8
LOWEST, HIGHEST, FALL = 0, 1, 2
N_EXTREMES = 4  # three and one unused: a power of two keeps an entry within a cache line


class Tables(NamedTuple):
    """Of one dataset and one minimum acceptable return; block k holds bars k << shift and on."""

    sums: FloatArray  # (n_blocks + 1, 8): over the blocks before k
    extremes: FloatArray  # (n_levels, n_blocks, 4): lowest, highest, smallest later / earlier
    level: NDArray[np.uint8]  # (power of two above n_blocks,): highest bit of its index


@inlined
def find_shift(n_bars: int) -> int:
    """Return the binary logarithm of the bars in a block."""
    return 0 if n_bars <= SMALL else WIDE_SHIFT


@inlined
def find_stretch(n_bars: int) -> int:
    """Return how many bars are walked at a stroke; no range that is looked up crosses its ends."""
    return n_bars if n_bars <= SMALL else STRETCH


def build_extremes(close: FloatArray) -> tuple[FloatArray, NDArray[np.uint8]]:
    """Build `extremes` and `level` of `Tables`, both read-only."""
    shift = int(find_shift(close.size))
    n_blocks = close.size >> shift
    longest = min(n_blocks, int(find_stretch(close.size)) >> shift)
    n_levels = max(1, (longest - 1).bit_length())
    extremes = np.empty((n_levels, n_blocks, N_EXTREMES))
    _fill_extremes(close, shift, extremes)
    index = np.arange(1 << n_levels)
    level = np.maximum(np.frexp(index)[1] - 1, 0).astype(np.uint8)
    for array in (extremes, level):
        array.flags.writeable = False
    return extremes, level


def build_sums(close: FloatArray, mar: float) -> FloatArray:
    """Build `sums` of `Tables`, read-only."""
    shift = int(find_shift(close.size))
    sums = np.empty(((close.size >> shift) + 1, N_SUMS))
    _fill_sums(close, mar, shift, sums)
    sums.flags.writeable = False
    return sums


@inlined
def _add(leading: float, trailing: float, value: float) -> tuple[float, float]:
    """Add a value to a sum of two parts (Knuth's two-sum, then renormalised)."""
    total = leading + value
    part = total - leading
    trailing += (leading - (total - part)) + (value - part)
    renewed = total + trailing
    return renewed, trailing - (renewed - total)


@jit_loop
def _fill_sums(close: FloatArray, mar: float, shift: int, sums: FloatArray) -> None:
    size = 1 << shift
    sums[0] = 0.0
    for k in range(sums.shape[0] - 1):
        row, following = sums[k], sums[k + 1]
        for column in range(N_SUMS):
            following[column] = row[column]
        added = _sum_bar(close, k, mar) if size == 1 else _sum_block(close, k * size, size, mar)
        following[0], following[1] = _add(following[0], following[1], added[0])
        following[2], following[3] = _add(following[2], following[3], added[1])
        following[4], following[5] = _add(following[4], following[5], added[2])
        following[6], following[7] = _add(following[6], following[7], added[3])


@inlined
def _sum_bar(close: FloatArray, t: int, mar: float) -> tuple[float, float, float, float]:
    """Return what one bar adds to the sums."""
    change = close[t] / close[t - 1] - 1.0 if t > 0 else 0.0
    shortfall = min(change - mar, 0.0)
    return change, change * change, close[t], shortfall * shortfall


@inlined
def _sum_block(
    close: FloatArray, first: int, size: int, mar: float
) -> tuple[float, float, float, float]:
    """Return the sums of a block, four bars side by side and then as pairs.

    Three roundings more than one bar's, in a quarter of the time of carrying two parts along.
    """
    p = _sum_bar(close, first, mar)
    q = _sum_bar(close, first + 1, mar)
    r = _sum_bar(close, first + 2, mar)
    s = _sum_bar(close, first + 3, mar)
    for t in range(first + 4, first + size, 4):
        p = _add_bar(p, _sum_bar(close, t, mar))
        q = _add_bar(q, _sum_bar(close, t + 1, mar))
        r = _add_bar(r, _sum_bar(close, t + 2, mar))
        s = _add_bar(s, _sum_bar(close, t + 3, mar))
    return _add_bar(_add_bar(p, q), _add_bar(r, s))


@inlined
def _add_bar(
    a: tuple[float, float, float, float], b: tuple[float, float, float, float]
) -> tuple[float, float, float, float]:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]


@jit_loop
def _fill_extremes(close: FloatArray, shift: int, extremes: FloatArray) -> None:
    size = 1 << shift
    n_levels, n_blocks = extremes.shape[0], extremes.shape[1]
    for k in range(n_blocks):
        lowest = highest = close[k * size]
        fall = 1.0
        for t in range(k * size, (k + 1) * size):
            highest = max(highest, close[t])
            lowest = min(lowest, close[t])
            fall = min(fall, close[t] / highest)
        extremes[0, k, 0], extremes[0, k, 1], extremes[0, k, 2] = lowest, highest, fall
    for v in range(1, n_levels):
        half = 1 << v
        for middle in range(half, n_blocks + half, 2 * half):
            left = min(middle, n_blocks) - 1
            if middle <= n_blocks:
                _copy(extremes[0, left], extremes[v, left])
                for k in range(left - 1, middle - half - 1, -1):
                    _join(extremes[0, k], extremes[v, k + 1], extremes[v, k])
            else:  # no range of this group crosses its middle
                for k in range(middle - half, n_blocks):
                    _copy(extremes[0, k], extremes[v, k])
            if middle < n_blocks:
                _copy(extremes[0, middle], extremes[v, middle])
                for k in range(middle + 1, min(middle + half, n_blocks)):
                    _join(extremes[v, k - 1], extremes[0, k], extremes[v, k])


@inlined
def _copy(source: FloatArray, target: FloatArray) -> None:
    target[0], target[1], target[2] = source[0], source[1], source[2]


@inlined
def _join(left: FloatArray, right: FloatArray, out: FloatArray) -> None:
    """Write the extremes of two neighbouring ranges; a fall may span both."""
    out[2] = min(left[2], right[2], right[0] / left[1])
    out[0] = min(left[0], right[0])
    out[1] = max(left[1], right[1])


@inlined
def read_sum(tables: Tables, column: int, first: int, stop: int) -> float:
    """Return a sum over blocks first ... stop - 1."""
    sums = tables.sums
    leading: float = sums[stop, column] - sums[first, column]
    trailing: float = sums[stop, column + 1] - sums[first, column + 1]
    return leading + trailing


@inlined
def read_extremes(tables: Tables, first: int, stop: int) -> tuple[float, float, float]:
    """Return lowest, highest and fall over blocks first ... stop - 1."""
    last = stop - 1
    if first == last:
        only = tables.extremes[0, first]
        return only[LOWEST], only[HIGHEST], only[FALL]
    level = tables.level[first ^ last]
    left, right = tables.extremes[level, first], tables.extremes[level, last]
    return (
        min(left[LOWEST], right[LOWEST]),
        max(left[HIGHEST], right[HIGHEST]),
        min(left[FALL], right[FALL], right[LOWEST] / left[HIGHEST]),
    )
