"""The slow, safe way for one combination: its events spread over the bars, then the engine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backtest.engine_kernels import stream_kernel
from backtest.jit import jit_loop

FloatArray = NDArray[np.float64]


@jit_loop
def spread_events(
    event_bar: NDArray[np.int32],
    event_code: NDArray[np.int8],
    event_weight: FloatArray,
    n_events: int,
    signal: NDArray[np.int8],
    weight: FloatArray,
) -> None:
    """Write events into a signal of shape (n_bars,), and their weights unless there are none."""
    signal[:] = 0
    weight[:] = 1.0
    for i in range(n_events):
        signal[event_bar[i]] = event_code[i]
        if weight.size > 0:
            weight[event_bar[i]] = event_weight[i]


@jit_loop
def stream_combination(
    open_: FloatArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    signal: NDArray[np.int8],
    weight: FloatArray,
    config: FloatArray,
    book: FloatArray,
    out: FloatArray,
) -> None:
    """Call `engine_kernels.stream_kernel` with a row of the configuration matrix."""
    stream_kernel(
        open_,
        high,
        low,
        close,
        signal,
        weight,
        config[0],
        config[1],
        config[2],
        config[3],
        config[4],
        int(config[5]),
        config[6],
        int(config[7]),
        int(config[8]),
        config[9],
        config[10],
        config[11],
        config[12],
        config[13],
        config[14],
        config[15],
        config[16],
        book,
        out,
    )
