"""MACD for many parameter sets at once: an exponential average waits for itself, lanes do not.

Each step of an average needs the one before, some 12 cycles a bar in which a processor could do
dozens of others. So up to `N_LANES` sets go through the bars together, one set per SIMD lane, with
the expressions of `rules.indicator_kernels` in their order: equal bit for bit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backtest.jit import jit
from rules.indicator_kernels import compute_window_mean

Floats = NDArray[np.float64]
Lanes = NDArray[np.int8]

N_LANES = 32  # of 8, 16, 32 and 64 the fastest per lane: 1.6 us on 3,270 bars, one alone takes 50
_FAST, _SLOW, _LINE, _SIGNAL = range(4)


@jit
def advance_lane(
    close: Floats, windows: NDArray[np.int64], lane: int, stop: int, state: Floats, codes: Lanes
) -> None:
    """Bring one lane from the first bar to the one before `stop`, at which its signal line exists.

    Writes the crossings on the way, and the averages and lines of bar ``stop - 1`` into `state`.
    """
    fast, slow, signal = windows[0, lane], windows[1, lane], windows[2, lane]
    seed = slow - 1
    start = seed + signal - 1
    line = np.empty(start + 1 - seed)
    fast_average = compute_window_mean(close, seed - fast + 1, fast)
    slow_average = compute_window_mean(close, seed - slow + 1, slow)
    line[0] = fast_average - slow_average
    fast_step, slow_step, signal_step = 2.0 / (fast + 1), 2.0 / (slow + 1), 2.0 / (signal + 1)
    for t in range(seed + 1, start + 1):
        fast_average = (close[t] - fast_average) * fast_step + fast_average
        slow_average = (close[t] - slow_average) * slow_step + slow_average
        line[t - seed] = fast_average - slow_average
    value, average = line[start - seed], compute_window_mean(line, 0, signal)
    for t in range(start + 1, stop):
        fast_average = (close[t] - fast_average) * fast_step + fast_average
        slow_average = (close[t] - slow_average) * slow_step + slow_average
        next_value = fast_average - slow_average
        next_average = (next_value - average) * signal_step + average
        above = (value <= average) & (next_value > next_average)
        below = (value >= average) & (next_value < next_average)
        codes[t, lane] = np.int8(above) - np.int8(below)
        value, average = next_value, next_average
    state[_FAST, lane], state[_SLOW, lane] = fast_average, slow_average
    state[_LINE, lane], state[_SIGNAL, lane] = value, average


@jit
def advance_lanes(close: Floats, first: int, steps: Floats, state: Floats, codes: Lanes) -> None:
    """Bring all lanes from bar `first` to the last and write their crossings."""
    for t in range(first, close.size):
        for lane in range(N_LANES):
            fast = (close[t] - state[_FAST, lane]) * steps[0, lane] + state[_FAST, lane]
            slow = (close[t] - state[_SLOW, lane]) * steps[1, lane] + state[_SLOW, lane]
            value = fast - slow
            average = (value - state[_SIGNAL, lane]) * steps[2, lane] + state[_SIGNAL, lane]
            above = (state[_LINE, lane] <= state[_SIGNAL, lane]) & (value > average)
            below = (state[_LINE, lane] >= state[_SIGNAL, lane]) & (value < average)
            codes[t, lane] = np.int8(above) - np.int8(below)
            state[_FAST, lane], state[_SLOW, lane] = fast, slow
            state[_LINE, lane], state[_SIGNAL, lane] = value, average


@jit
def fill_macd_crosses(close: Floats, windows: NDArray[np.int64], codes: Lanes) -> None:
    """Write BUY where MACD crosses above its signal line and SELL where below, for all lanes.

    Parameters
    ----------
    windows : ndarray of int64, shape (3, N_LANES)
        Fast, slow and signal window of each lane.
    codes : ndarray of int8, shape (n_bars, N_LANES)
    """
    n_bars = close.size
    codes[:] = 0
    state = np.full((4, N_LANES), np.nan)
    steps = np.empty((3, N_LANES))
    steps[:] = 2.0 / (windows + 1.0)
    # Lanes go together from the bar on which the last of them has its signal line; one whose
    # windows are longer than the bars stays NaN, which never crosses.
    together = 0
    for lane in range(N_LANES):
        start = windows[1, lane] + windows[2, lane] - 2
        together = max(together, start + 1) if start < n_bars else together
    for lane in range(N_LANES):
        if windows[1, lane] + windows[2, lane] - 2 < n_bars:
            advance_lane(close, windows, lane, together, state, codes)
    advance_lanes(close, together, steps, state, codes)


@jit
def count_lanes(codes: Lanes, counts: NDArray[np.int64]) -> None:
    """Count what each lane says; in bytes for as many bars as these hold, one vector for all."""
    counts[:] = 0
    part = np.empty(N_LANES, np.int8)
    for start in range(0, codes.shape[0], 127):
        part[:] = 0
        for t in range(start, min(start + 127, codes.shape[0])):
            for lane in range(N_LANES):
                part[lane] += codes[t, lane] & 1  # BUY 1 and SELL -1 are both odd
        for lane in range(N_LANES):
            counts[lane] += part[lane]


@jit
def collect_macd_crosses(
    close: Floats,
    windows: NDArray[np.int64],
    first: int,
    codes: Lanes,
    words: NDArray[np.uint64],
    offsets: NDArray[np.int64],
    bar: NDArray[np.int32],
    code: NDArray[np.int8],
) -> int:
    """Collect the signals of all columns of `windows`, shape (3, n_signals), from `first` on.

    `words` is the memory of `codes`, eight lanes a word. Stops where there is no room for the next
    lanes and returns the number of signals done, a multiple of `N_LANES` until all are.
    """
    n_signals: int = windows.shape[1]
    lanes = np.empty((3, N_LANES), np.int64)
    place = np.empty(N_LANES, np.int64)
    while first < n_signals:
        used = min(N_LANES, n_signals - first)
        for lane in range(N_LANES):
            lanes[:, lane] = windows[:, first + min(lane, used - 1)]  # idle lanes repeat the last
        fill_macd_crosses(close, lanes, codes)
        count_lanes(codes, place)
        for lane in range(used):
            offsets[first + lane + 1] = offsets[first + lane] + place[lane]
        if offsets[first + used] > bar.size:
            return first
        place[:used] = offsets[first : first + used]
        write_lanes(codes, words, used, place, bar, code)
        first += used
    return n_signals


@jit
def write_lanes(
    codes: Lanes,
    words: NDArray[np.uint64],
    used: int,
    place: NDArray[np.int64],
    bar: NDArray[np.int32],
    code: NDArray[np.int8],
) -> None:
    """Write what the first `used` lanes say, each from its own place on."""
    for t in range(codes.shape[0]):
        for word_idx in range(words.shape[1]):
            if words[t, word_idx] == 0:
                continue
            for lane in range(8 * word_idx, min(8 * word_idx + 8, used)):
                if codes[t, lane] != 0:
                    bar[place[lane]] = t
                    code[place[lane]] = codes[t, lane]
                    place[lane] += 1
