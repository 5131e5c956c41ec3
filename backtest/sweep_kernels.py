"""The loop over combinations: merge their events, then the fastest way that is right for each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backtest.jit import jit_loop
from backtest.sweep_fallback import spread_events, stream_combination
from backtest.sweep_tables import Tables
from backtest.sweep_walk import walk_combination

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
    book: FloatArray,
    out: FloatArray,
) -> None:
    """Write the metrics of the chosen combinations; from `event_bar` on arrays are scratch."""
    tables = Tables(sums, extremes, level)
    n_events = 0
    merged_first = merged_second = -1
    for k in chosen:
        i, j = first_idx[k], second_idx[k]
        a, b = first_offsets[i], first_offsets[i + 1]
        c, d = second_offsets[j], second_offsets[j + 1]
        config = configs[config_idx[k]]
        # Neighbours that differ in how they trade share their signal.
        if i != merged_first or j != merged_second:
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
        n_tries = 0 if config[CASH_RATE] != 0.0 or config[BORROW_RATE] != 0.0 else 2
        for attempt in range(n_tries):
            if not is_done:
                is_done = walk_combination(
                    open_,
                    high,
                    low,
                    close,
                    event_bar,
                    event_code,
                    event_weight,
                    n_events,
                    tables,
                    attempt == 0,
                    config,
                    book,
                    out[k],
                )
        if not is_done:
            spread_events(event_bar, event_code, event_weight, n_events, signal, weight)
            stream_combination(open_, high, low, close, signal, weight, config, book, out[k])
