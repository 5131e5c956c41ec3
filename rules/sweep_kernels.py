"""Compiled loops behind the sweep hooks: indicator rows in, the events of a batch of signals out.

A signal is first written as one byte per bar, which the compiler does eight or more bars at a time,
and the bytes are then searched eight at a time: most bars hold. Every ``collect_`` kernel goes on
from signal `first`, stops where the output might not hold one more signal, and returns the number
of signals done; `rules.sweep_hooks` makes room and calls again.

No validation: the hooks pass what they were given by a validated space.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backtest.jit import jit

Rows = NDArray[np.float64]
Floats = NDArray[np.float64]
Codes = NDArray[np.int8]
Words = NDArray[np.uint64]
Bars32 = NDArray[np.int32]
Offsets = NDArray[np.int64]


@jit
def append_events(flags: Codes, words: Words, bar: Bars32, code: Codes, first: int) -> int:
    """Append the bars that do not hold from entry `first` on; return the number of entries.

    `words` is the same memory as `flags`, eight bars a word; what is behind the last bar holds.
    """
    count = first
    for word_idx in range(words.size):
        if words[word_idx] == 0:
            continue
        for t in range(8 * word_idx, 8 * word_idx + 8):
            # Written always and counted only if it speaks: cheaper than guessing which one does.
            bar[count] = t
            code[count] = flags[t]
            count += flags[t] != 0
    return count


@jit
def fill_level_crosses(row: Floats, level: float, sign: float, code: int, flags: Codes) -> None:
    """Write `code` where the row crosses above a level (`sign` 1.0) or below it (-1.0)."""
    flags[0] = 0
    if sign > 0.0:
        for t in range(1, row.size):
            flags[t] = code * ((row[t - 1] <= level) & (row[t] > level))
    else:
        for t in range(1, row.size):
            flags[t] = code * ((row[t - 1] >= level) & (row[t] < level))


@jit
def fill_row_crosses(x: Floats, y: Floats, flags: Codes) -> None:
    """Write BUY where x crosses above y and SELL where it crosses below."""
    flags[0] = 0
    for t in range(1, x.size):
        above = (x[t - 1] <= y[t - 1]) & (x[t] > y[t])
        below = (x[t - 1] >= y[t - 1]) & (x[t] < y[t])
        flags[t] = np.int8(above) - np.int8(below)


@jit
def fill_confirmed_onsets(
    extreme: Floats, level: float, trend: Floats, side: float, lookback: int, flags: Codes
) -> None:
    """Write `side` where "trend on that side, and a recent extreme" becomes true.

    The extreme is ``extreme <= level`` for the side 1.0 (BUY) and ``>=`` for -1.0 (SELL), recent if
    it is at most ``lookback - 1`` bars ago.
    """
    last = -lookback
    before = False
    for t in range(extreme.size):
        last = t if side * extreme[t] <= side * level else last
        holds = (side * trend[t] > 0.0) & (t - last < lookback)
        flags[t] = np.int8(side) * np.int8(holds & (not before))
        before = holds


@jit
def collect_level_crosses(
    rows: Rows,
    row_idx: Bars32,
    levels: Floats,
    signs: Floats,
    codes: Codes,
    first: int,
    flags: Codes,
    words: Words,
    offsets: Offsets,
    bar: Bars32,
    code: Codes,
) -> int:
    """Collect signals that cross a level, each with its own row, level, side and code."""
    n_bars = rows.shape[1]
    for i in range(first, row_idx.size):
        if offsets[i] + flags.size > bar.size:
            return i
        fill_level_crosses(rows[row_idx[i]], levels[i], signs[i], codes[i], flags[:n_bars])
        offsets[i + 1] = append_events(flags, words, bar, code, offsets[i])
    return row_idx.size


@jit
def collect_row_crosses(
    rows: Rows,
    x_idx: Bars32,
    y_idx: Bars32,
    first: int,
    flags: Codes,
    words: Words,
    offsets: Offsets,
    bar: Bars32,
    code: Codes,
) -> int:
    """Collect signals that buy where row x crosses above row y and sell where below."""
    n_bars = rows.shape[1]
    for i in range(first, x_idx.size):
        if offsets[i] + flags.size > bar.size:
            return i
        fill_row_crosses(rows[x_idx[i]], rows[y_idx[i]], flags[:n_bars])
        offsets[i + 1] = append_events(flags, words, bar, code, offsets[i])
    return x_idx.size


@jit
def collect_confirmed_onsets(
    extremes: Rows,
    extreme_idx: Bars32,
    levels: Floats,
    trends: Rows,
    trend_idx: Bars32,
    side: float,
    lookbacks: Offsets,
    first: int,
    flags: Codes,
    words: Words,
    offsets: Offsets,
    bar: Bars32,
    code: Codes,
) -> int:
    """Collect signals of `fill_confirmed_onsets`."""
    n_bars = extremes.shape[1]
    for i in range(first, extreme_idx.size):
        if offsets[i] + flags.size > bar.size:
            return i
        extreme, trend = extremes[extreme_idx[i]], trends[trend_idx[i]]
        fill_confirmed_onsets(extreme, levels[i], trend, side, lookbacks[i], flags[:n_bars])
        offsets[i + 1] = append_events(flags, words, bar, code, offsets[i])
    return extreme_idx.size


@jit
def find_fault(offsets: Offsets, bar: Bars32, code: Codes, weight: Floats, n_bars: int) -> int:
    """Return 0 for events that are signals of `n_bars` bars, or the number of what is wrong.

    1: bars outside, out of order or twice; 2: codes; 3: weights. The arrays' lengths fit, and the
    offsets begin with 0 and end with the number of events.
    """
    for i in range(offsets.size - 1):
        last = -1
        if offsets[i + 1] < offsets[i] or offsets[i + 1] > bar.size:
            return 1
        for j in range(offsets[i], offsets[i + 1]):
            if bar[j] <= last or bar[j] >= n_bars:
                return 1
            last = bar[j]
            if code[j] == 0 or code[j] < -1 or code[j] > 2:
                return 2
    for j in range(weight.size):
        if not 0.0 <= weight[j] <= 1.0:
            return 3
    return 0
