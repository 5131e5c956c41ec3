"""RSI of many windows at once, one per SIMD lane: a smoothed average waits for its own division.

The expressions are those of `rules.indicator_kernels.fill_rsi` in their order: equal bit for bit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backtest.jit import jit
from rules.indicator_kernels import compute_strength, fill_nan
from rules.sweep_kernels import fill_level_crosses

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

N_LANES = 8
_BLOCK = 512  # bars; lanes are written side by side and then turned into rows, 32 KB at a time


@jit
def start_lane(x: Floats, window: int, stop: int, out: Floats) -> tuple[float, float]:
    """Fill one row up to the bar before `stop`; return the averages of gains and losses there."""
    fill_nan(out, window)
    if window >= x.size:
        return np.nan, np.nan
    gain, loss = 0.0, 0.0
    for t in range(1, window + 1):
        change = x[t] - x[t - 1]
        rise = 0.5 * (abs(change) + change)
        gain += rise
        loss += rise - change
    gain /= window
    loss /= window
    out[window] = compute_strength(gain, loss)
    for t in range(window + 1, stop):
        change = x[t] - x[t - 1]
        rise = 0.5 * (abs(change) + change)
        gain = (gain * (window - 1) + rise) / window
        loss = (loss * (window - 1) + (rise - change)) / window
        out[t] = compute_strength(gain, loss)
    return gain, loss


@jit
def advance_rsi(x: Floats, first: int, stop: int, lanes: Floats, block: Floats) -> None:
    """Bring all lanes from bar `first` to the one before `stop`; `lanes` are gain, loss, window."""
    for t in range(first, stop):
        change = x[t] - x[t - 1]
        rise = 0.5 * (abs(change) + change)
        fall = rise - change
        # Not N_LANES: the compiler unrolls eight known steps and then finds no vector in them.
        for lane in range(lanes.shape[1]):
            window = lanes[2, lane]
            gain = (lanes[0, lane] * (window - 1.0) + rise) / window
            loss = (lanes[1, lane] * (window - 1.0) + fall) / window
            total = gain + loss
            strength = 100.0 * (gain / total)
            block[t - first, lane] = 50.0 if total == 0.0 else strength
            lanes[0, lane], lanes[1, lane] = gain, loss


@jit
def fill_rsi_rows(x: Floats, windows: Ints, rows: Floats) -> None:
    """Fill the relative strength index of each window.

    Parameters
    ----------
    x : ndarray of float64, shape (n_bars,)
        Without NaN.
    windows : ndarray of int64, shape (n_rows,)
    rows : ndarray of float64, shape (n_rows, n_bars)
    """
    lanes, block = np.empty((3, N_LANES)), np.empty((_BLOCK, N_LANES))
    for first in range(0, windows.size, N_LANES):
        used = min(N_LANES, windows.size - first)
        head = start_lanes(x, windows[first : first + used], lanes)
        together = head.shape[1]
        rows[first : first + used, :together] = head
        for start in range(together, x.size, _BLOCK):
            stop = min(start + _BLOCK, x.size)
            advance_rsi(x, start, stop, lanes, block)
            for lane in range(used):
                for t in range(start, stop):
                    rows[first + lane, t] = block[t - start, lane]


@jit
def start_lanes(x: Floats, windows: Ints, lanes: Floats) -> Floats:
    """Bring up to `N_LANES` windows to the bar from which they go together.

    Fills gain, loss and window of all lanes, idle ones like the last, and returns what the windows
    have had until then, shape (n_windows, bars before), bar by bar.
    """
    longest = 0
    for window in windows:
        longest = max(longest, window) if window < x.size else longest
    head = np.empty((windows.size, min(longest + 1, x.size)))
    for lane in range(N_LANES):
        row = min(lane, windows.size - 1)
        if lane == row:
            gain, loss = start_lane(x, windows[row], head.shape[1], head[row])
        lanes[0, lane], lanes[1, lane], lanes[2, lane] = gain, loss, windows[row]
    return head


@jit
def append_crosses(
    row: Floats,
    base: int,
    level: float,
    sign: float,
    flags: NDArray[np.int8],
    words: NDArray[np.uint64],
    bar: NDArray[np.int32],
    place: int,
) -> int:
    """Append the bars at which a stretch of a row crosses a level; return the next free entry.

    Entry 0 of `row` is bar `base`, which itself is not looked at. Without room for bars, an empty
    `bar`, they are only counted.
    """
    if bar.size == 0:
        count = 0
        for t in range(1, row.size):
            count += (sign * row[t - 1] <= sign * level) & (sign * row[t] > sign * level)
        return place + count
    words[(row.size - 1) // 8] = 0  # the last word may reach beyond the row
    fill_level_crosses(row, level, sign, 1, flags[: row.size])
    for word_idx in range((row.size + 7) // 8):
        if words[word_idx] == 0:
            continue
        for t in range(8 * word_idx, 8 * word_idx + 8):
            if flags[t] != 0:
                bar[place] = base + t
                place += 1
    return place


@jit
def scan_rsi_crosses(
    x: Floats,
    windows: Ints,
    starts: Ints,
    order: Ints,
    levels: Floats,
    signs: Floats,
    places: Ints,
    bar: NDArray[np.int32],
) -> None:
    """Count where signals cross their levels, or write the bars; no row is ever held whole.

    Parameters
    ----------
    windows : ndarray of int64, shape (n_windows,)
        Distinct ones; the signals of window w are ``order[starts[w] : starts[w + 1]]``.
    levels, signs : ndarray of float64, shape (n_signals,)
        As `fill_level_crosses` takes them.
    places : ndarray of int64, shape (n_signals,)
        Where each signal's next bar goes; counts up.
    bar : ndarray of int32, shape (n_events,) or (0,)
        Empty to count only.
    """
    lanes, block = np.empty((3, N_LANES)), np.empty((_BLOCK, N_LANES))
    stretch = np.empty((N_LANES, _BLOCK + 1))
    words = np.zeros((max(_BLOCK + 1, x.size) + 7) // 8, np.uint64)
    flags = words.view(np.int8)
    for first in range(0, windows.size, N_LANES):
        used = min(N_LANES, windows.size - first)
        head = start_lanes(x, windows[first : first + used], lanes)
        together = head.shape[1]
        for lane in range(used):
            for i in order[starts[first + lane] : starts[first + lane + 1]]:
                places[i] = append_crosses(
                    head[lane], 0, levels[i], signs[i], flags, words, bar, places[i]
                )
            stretch[lane, _BLOCK] = head[lane, together - 1]
        for start in range(together, x.size, _BLOCK):
            stop = min(start + _BLOCK, x.size)
            advance_rsi(x, start, stop, lanes, block)
            for lane in range(used):
                stretch[lane, 0] = stretch[lane, _BLOCK]
                for t in range(stop - start):
                    stretch[lane, t + 1] = block[t, lane]
                for i in order[starts[first + lane] : starts[first + lane + 1]]:
                    places[i] = append_crosses(
                        stretch[lane, : stop - start + 1],
                        start - 1,
                        levels[i],
                        signs[i],
                        flags,
                        words,
                        bar,
                        places[i],
                    )
