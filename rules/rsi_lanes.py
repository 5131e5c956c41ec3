"""RSI of many windows at once, one per SIMD lane: a smoothed average waits for its own division.

The expressions are those of `rules.indicator_kernels.fill_rsi` in their order: equal bit for bit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backtest.jit import jit
from rules.indicator_kernels import compute_strength, fill_nan

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
    n_bars = x.size
    lanes, block = np.empty((3, N_LANES)), np.empty((_BLOCK, N_LANES))
    for first in range(0, windows.size, N_LANES):
        used = min(N_LANES, windows.size - first)
        longest = 0
        for lane in range(used):
            window = windows[first + lane]
            longest = max(longest, window) if window < n_bars else longest
        together = min(longest + 1, n_bars)
        for lane in range(N_LANES):
            row = first + min(lane, used - 1)  # idle lanes repeat the last
            if lane < used:
                lanes[0, lane], lanes[1, lane] = start_lane(x, windows[row], together, rows[row])
            else:
                lanes[0, lane], lanes[1, lane] = lanes[0, used - 1], lanes[1, used - 1]
            lanes[2, lane] = windows[row]
        for start in range(together, n_bars, _BLOCK):
            stop = min(start + _BLOCK, n_bars)
            advance_rsi(x, start, stop, lanes, block)
            for lane in range(used):
                for t in range(start, stop):
                    rows[first + lane, t] = block[t - start, lane]
