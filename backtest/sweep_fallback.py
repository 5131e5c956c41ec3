"""The slow, safe way for one combination: its events spread over the bars, then the engine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backtest.engine_kernels import stream_kernel
from backtest.jit import jit_loop

FloatArray = NDArray[np.float64]


@jit_loop
def spread_events(
    first_bar: NDArray[np.int32],
    first_code: NDArray[np.int8],
    first_weight: FloatArray,
    second_bar: NDArray[np.int32],
    second_code: NDArray[np.int8],
    second_weight: FloatArray,
    signal: NDArray[np.int8],
    weight: FloatArray,
) -> None:
    """Write the union of two event lists into a signal, and weights unless that array is empty.

    A bar in both lists holds. The arrays are cleared first.
    """
    signal[:] = 0
    weight[:] = 1.0
    for i in range(first_bar.size):
        signal[first_bar[i]] = first_code[i]
        if first_weight.size > 0 and weight.size > 0:
            weight[first_bar[i]] = first_weight[i]
    for i in range(second_bar.size):
        t = second_bar[i]
        signal[t] = second_code[i] if signal[t] == 0 else 0
        if second_weight.size > 0 and weight.size > 0:
            weight[t] = second_weight[i]


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
