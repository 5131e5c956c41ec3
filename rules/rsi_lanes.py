"""RSI of many windows at once, one per SIMD lane: a smoothed average waits for its own division.

The expressions are those of `rules.indicator_kernels.fill_rsi` in their order: equal bit for bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.cpython.unsafe.numbers import trailing_zeros
from numpy.typing import NDArray

from backtest.jit import jit, jit_loop
from rules.indicator_kernels import compute_strength, fill_nan

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bars32 = NDArray[np.int32]

N_LANES = 8
# Of a 64-bit integer; numba declares its intrinsics as they are written, not as they are called.
find_lowest: Any = trailing_zeros
BLOCK = 512  # bars; lanes are written side by side and then turned into rows, 32 KB at a time


@jit
def allocate_lanes(n_rows: int) -> Floats:
    """Return an array of shape (n_rows, N_LANES) whose rows lie in one cache line each.

    Averages go through memory from bar to bar: across two lines that takes twice the time.
    """
    spare = np.empty((n_rows + 1) * N_LANES)
    first = -(spare.ctypes.data // 8) % N_LANES
    return spare[first : first + n_rows * N_LANES].reshape(n_rows, N_LANES)


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


@jit_loop
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
    lanes, block = allocate_lanes(3), allocate_lanes(BLOCK)
    for first in range(0, windows.size, N_LANES):
        used = min(N_LANES, windows.size - first)
        head = start_lanes(x, windows[first : first + used], lanes)
        together = head.shape[1]
        rows[first : first + used, :together] = head
        for start in range(together, x.size, BLOCK):
            stop = min(start + BLOCK, x.size)
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


@jit_loop
def find_rises(row: Floats, near: float, far: float) -> Any:  # uint64, which Python has not
    """Return a bit for each of the first 64 steps that may rise above a level in [near, far].

    Its own function, of a slice: in a loop of another one the compiler finds no vectors in it.
    """
    found = np.uint64(0)
    for k in range(64):
        rises = (row[k] <= far) & (row[k + 1] > near) & (row[k + 1] > row[k])
        found |= np.uint64(rises) << np.uint64(k)
    return found


@jit_loop
def find_falls(row: Floats, near: float, far: float) -> Any:
    """Return a bit for each of the first 64 steps that may fall below a level in [far, near]."""
    found = np.uint64(0)
    for k in range(64):
        falls = (row[k] >= far) & (row[k + 1] < near) & (row[k + 1] < row[k])
        found |= np.uint64(falls) << np.uint64(k)
    return found


@jit_loop
def find_last(row: Floats) -> Any:
    """Return a bit for each step of a row that is shorter than 64 steps: any may cross."""
    found = np.uint64(0)
    for k in range(row.size - 1):
        found |= np.uint64(1) << np.uint64(k)
    return found


@jit_loop
def append_crosses(
    row: Floats,
    base: int,
    sign: float,
    levels: Floats,
    signals: Ints,
    bar: Bars32,
    signal: Bars32,
    place: int,
) -> int:
    """Append where a stretch of a row crosses any of several levels; return the next free entry.

    Entry 0 of `row` is bar `base`, which itself is not looked at. Steps that cross no level at all
    are told from the outermost two, 64 at a time; only the others meet every level.
    """
    near, far = levels[0], levels[0]
    for level in levels:
        near = level if sign * level < sign * near else near
        far = level if sign * level > sign * far else far
    for first in range(0, row.size - 1, 64):
        if first + 64 >= row.size:
            found = find_last(row[first:])
        elif sign > 0.0:
            found = find_rises(row[first:], near, far)
        else:
            found = find_falls(row[first:], near, far)
        while found != 0:
            t = first + 1 + find_lowest(found)
            found &= found - np.uint64(1)  # the lowest bit is done
            before, now = sign * row[t - 1], sign * row[t]
            for k in range(levels.size):
                # Written always and counted only if it crosses: cheaper than guessing.
                level = sign * levels[k]
                bar[place], signal[place] = base + t, signals[k]
                place += (before <= level) & (now > level)
    return place


@jit_loop
def scan_rsi_crosses(
    x: Floats,
    first: int,
    stop: int,
    lanes: Floats,
    block: Floats,
    stretch: Floats,
    starts: Ints,
    lane_of: Ints,
    signs: Floats,
    levels: Floats,
    signals: Ints,
    bar: Bars32,
    signal: Bars32,
) -> int:
    """Log the crossings of up to `N_LANES` windows over bars [first, stop); return their number.

    Parameters
    ----------
    lanes : ndarray of float64, shape (3, N_LANES)
        As `start_lanes` leaves them before bar `first`.
    block : ndarray of float64, shape (BLOCK, N_LANES)
        Scratch.
    stretch : ndarray of float64, shape (n_windows, BLOCK + 1)
        The last entry of a row is the index at the bar before `first`, afterwards before `stop`.
    starts, lane_of, signs : ndarray, shape (n_groups + 1,) and (n_groups,)
        Levels ``starts[g] : starts[g + 1]`` are met by that lane in that direction: 1.0 above,
        -1.0 below.
    levels, signals : ndarray, shape (n_signals,)
        What is crossed, and the number that is logged for it.
    bar, signal : ndarray of int32
        The log: for each signal its bars in their order. A signal speaks on every second bar at
        most; one entry more than that is written.
    """
    place = 0
    for start in range(first, stop, BLOCK):
        size = min(BLOCK, stop - start)
        advance_rsi(x, start, start + size, lanes, block)
        for lane in range(stretch.shape[0]):
            stretch[lane, 0] = stretch[lane, BLOCK]
            for t in range(size):
                stretch[lane, t + 1] = block[t, lane]
            stretch[lane, BLOCK] = stretch[lane, size]
        for g in range(lane_of.size):
            a, b = starts[g], starts[g + 1]
            place = append_crosses(
                stretch[lane_of[g], : size + 1],
                start - 1,
                signs[g],
                levels[a:b],
                signals[a:b],
                bar,
                signal,
                place,
            )
    return place


@jit_loop
def place_events(bar: Bars32, signal: Bars32, places: Ints, out: Bars32) -> None:
    """Write logged bars behind those that their signal has already; `places` count up."""
    for i in range(bar.size):
        out[places[signal[i]]] = bar[i]
        places[signal[i]] += 1
