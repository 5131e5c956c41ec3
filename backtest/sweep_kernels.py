"""The loop over combinations: merge their events, then the fastest way that is right for each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backtest.headline import BOOK_SIZE
from backtest.jit import inlined, jit_loop
from backtest.sweep_fallback import spread_events, stream_combination
from backtest.sweep_tables import Tables, find_stretch
from backtest.sweep_walk import BOOK, advance_walk, finish_walk, start_walk

CASH_RATE, BORROW_RATE = 12, 13  # columns of a configuration

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int32]
ByteArray = NDArray[np.int8]


@jit_loop
def merge_events(
    first_bar: IntArray,
    first_code: ByteArray,
    first_weight: FloatArray,
    second_bar: IntArray,
    second_code: ByteArray,
    second_weight: FloatArray,
    bar: IntArray,
    code: ByteArray,
    weight: FloatArray,
) -> int:
    """Write the union of two event lists, in bar order, and return its length.

    A bar in both holds. The outputs have room for both lists and one more; `weight` is empty if
    neither list has weights.
    """
    n_first, n_second = first_bar.size, second_bar.size
    i = j = n = 0
    # Written always, kept only where the bars differ: branches here are mispredicted half the time.
    while i < n_first and j < n_second:
        x, y = first_bar[i], second_bar[j]
        bar[n] = min(x, y)
        code[n] = first_code[i] if x < y else second_code[j]
        if weight.size > 0:
            if x < y:
                weight[n] = first_weight[i] if first_weight.size > 0 else 1.0
            else:
                weight[n] = second_weight[j] if second_weight.size > 0 else 1.0
        i += x <= y
        j += y <= x
        n += x != y
    while i < n_first:
        bar[n], code[n] = first_bar[i], first_code[i]
        if weight.size > 0:
            weight[n] = first_weight[i] if first_weight.size > 0 else 1.0
        i += 1
        n += 1
    while j < n_second:
        bar[n], code[n] = second_bar[j], second_code[j]
        if weight.size > 0:
            weight[n] = second_weight[j] if second_weight.size > 0 else 1.0
        j += 1
        n += 1
    return n


@inlined
def find_bar(bar: IntArray, first: int, stop: int, wanted: int) -> int:
    """Return the first entry of [first, stop) whose bar is `wanted` or later, or `stop`."""
    while first < stop:
        middle = (first + stop) // 2
        if bar[middle] < wanted:
            first = middle + 1
        else:
            stop = middle
    return first


@jit_loop
def cut_events(
    offsets: NDArray[np.int64], bar: IntArray, first: int, stop: int, cuts: NDArray[np.int64]
) -> None:
    """Write the entries of each signal that lie on bars [first, stop).

    Parameters
    ----------
    cuts : ndarray of int64, shape (n_signals, 2)
        Begin and end of each signal's entries, as they were for the stretch of bars before.
    """
    for i in range(cuts.shape[0]):
        # The stretch before ended a bar later than this one begins: its last entry comes again.
        begin = max(offsets[i], cuts[i, 1] - 1) if first > 0 else offsets[i]
        cuts[i, 0] = find_bar(bar, begin, offsets[i + 1], first)
        cuts[i, 1] = find_bar(bar, cuts[i, 0], offsets[i + 1], stop)


@jit_loop
def stream_events(
    open_: FloatArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    event_bar: IntArray,
    event_code: ByteArray,
    event_weight: FloatArray,
    n_events: int,
    tables: Tables,
    config: FloatArray,
    state: FloatArray,
    signal: ByteArray,
    weight: FloatArray,
    out: FloatArray,
) -> None:
    """Write the metrics of a combination, all of its events given, without tables."""
    if config[CASH_RATE] == 0.0 and config[BORROW_RATE] == 0.0:
        start_walk(config[0], state)
        advance_walk(
            open_,
            high,
            low,
            close,
            event_bar,
            event_code,
            event_weight,
            n_events,
            tables,
            False,
            close.size,
            config,
            state,
        )
        if finish_walk(close.size, config, state, out):
            return
    spread_events(event_bar, event_code, event_weight, n_events, signal, weight)
    book = state[BOOK : BOOK + BOOK_SIZE]
    stream_combination(open_, high, low, close, signal, weight, config, book, out)


@jit_loop
def compute_kernel(
    open_: FloatArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    first_offsets: NDArray[np.int64],
    first_bar: IntArray,
    first_code: ByteArray,
    first_weight: FloatArray,
    first_idx: IntArray,
    second_offsets: NDArray[np.int64],
    second_bar: IntArray,
    second_code: ByteArray,
    second_weight: FloatArray,
    second_idx: IntArray,
    configs: FloatArray,
    config_idx: IntArray,
    chosen: NDArray[np.int64],
    sums: FloatArray,
    extremes: FloatArray,
    level: NDArray[np.uint8],
    event_bar: IntArray,
    event_code: ByteArray,
    event_weight: FloatArray,
    signal: ByteArray,
    weight: FloatArray,
    first_cuts: NDArray[np.int64],
    second_cuts: NDArray[np.int64],
    states: FloatArray,
    out: FloatArray,
) -> None:
    """Write the metrics of the chosen combinations; from `event_bar` to `states` is scratch.

    Stretch by stretch of long bars, and each for all combinations, so that prices and tables are
    read from memory once. `states` has a row for each combination, or one if all bars are one
    stretch.
    """
    tables = Tables(sums, extremes, level)
    n_bars = close.size
    stretch = find_stretch(n_bars)
    for start in range(0, n_bars, stretch):
        stop = min(start + stretch, n_bars)
        # What is decided on the bar before fills on the first.
        cut_events(first_offsets, first_bar, start - 1, stop, first_cuts)
        cut_events(second_offsets, second_bar, start - 1, stop, second_cuts)
        n_events = 0
        merged_first = merged_second = -1
        for row in range(chosen.size):
            k = chosen[row]
            config = configs[config_idx[k]]
            state = states[min(row, states.shape[0] - 1)]
            i, j = first_idx[k], second_idx[k]
            is_walked = config[CASH_RATE] == 0.0 and config[BORROW_RATE] == 0.0
            # Neighbours that differ in how they trade share their signal.
            if is_walked and (i != merged_first or j != merged_second):
                a, b = first_cuts[i]
                c, d = second_cuts[j]
                n_events = merge_events(
                    first_bar[a:b],
                    first_code[a:b],
                    first_weight[a:b],
                    second_bar[c:d],
                    second_code[c:d],
                    second_weight[c:d],
                    event_bar,
                    event_code,
                    event_weight,
                )
                merged_first, merged_second = i, j
            is_done = False
            if is_walked:
                if start == 0:
                    start_walk(config[0], state)
                advance_walk(
                    open_,
                    high,
                    low,
                    close,
                    event_bar,
                    event_code,
                    event_weight,
                    n_events,
                    tables,
                    True,
                    stop,
                    config,
                    state,
                )
                is_done = stop < n_bars or finish_walk(n_bars, config, state, out[k])
            if stop == n_bars and not is_done:
                a, b = first_offsets[i], first_offsets[i + 1]
                c, d = second_offsets[j], second_offsets[j + 1]
                n_events = merge_events(
                    first_bar[a:b],
                    first_code[a:b],
                    first_weight[a:b],
                    second_bar[c:d],
                    second_code[c:d],
                    second_weight[c:d],
                    event_bar,
                    event_code,
                    event_weight,
                )
                merged_first = merged_second = -1
                stream_events(
                    open_,
                    high,
                    low,
                    close,
                    event_bar,
                    event_code,
                    event_weight,
                    n_events,
                    tables,
                    config,
                    state,
                    signal,
                    weight,
                    out[k],
                )
