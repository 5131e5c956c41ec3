"""The loop over combinations: merge their events, then the fastest way that is right for each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backtest.jit import jit_loop
from backtest.sweep_fallback import spread_events, stream_combination
from backtest.sweep_tables import Tables
from backtest.sweep_walk import walk_combination

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
    for k in chosen:
        a, b = first_offsets[first_idx[k]], first_offsets[first_idx[k] + 1]
        c, d = second_offsets[second_idx[k]], second_offsets[second_idx[k] + 1]
        config = configs[config_idx[k]]
        has_financing = config[12] != 0.0 or config[13] != 0.0
        if not has_financing:
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
            is_done = False
            with_tables = True
            for _ in range(2):
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
                        with_tables,
                        config,
                        book,
                        out[k],
                    )
                with_tables = False
            if is_done:
                continue
        spread_events(
            first_bar[a:b],
            first_code[a:b],
            first_weight[a:b],
            second_bar[c:d],
            second_code[c:d],
            second_weight[c:d],
            signal,
            weight,
        )
        stream_combination(open_, high, low, close, signal, weight, config, book, out[k])
