"""Headline metrics of many combinations of one dataset, equal to the engine's to 1e-12."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from backtest.bars import Bars
from backtest.engine_kernels import inspect_kernel
from backtest.headline import BOOK_SIZE, N_HEADLINE
from backtest.jit import jit_loop
from backtest.signal_events import SignalEvents, build_events
from backtest.sweep_configs import CONFIG_COLUMNS, build_config_matrix
from backtest.sweep_fallback import spread_events, stream_combination

__all__ = [
    "CONFIG_COLUMNS",
    "STATUS_NOT_FINITE",
    "STATUS_OK",
    "SweepBars",
    "build_config_matrix",
    "build_sweep_bars",
    "compute_combinations",
]

FloatArray = NDArray[np.float64]

STATUS_OK, STATUS_NOT_FINITE = 0, 2

_EXPOSURE = 10  # the metric that is defined unless equity is beyond float64


class SweepBars:
    """Prices that combinations are run on.

    Parameters
    ----------
    open, high, low, close : ndarray of float64, shape (n_bars,)
        As `engine.stream_engine` takes them.

    Raises
    ------
    ValueError
        For prices that the engine refuses.
    """

    def __init__(
        self,
        open: FloatArray,  # noqa: A002
        high: FloatArray,
        low: FloatArray,
        close: FloatArray,
    ) -> None:
        columns = []
        for column in (open, high, low, close):
            array = np.ascontiguousarray(column, dtype=np.float64).view()
            if array.ndim != 1 or array.shape != np.shape(close) or array.size == 0:
                raise ValueError(f"prices have shapes {array.shape} and {np.shape(close)}")
            array.flags.writeable = False
            columns.append(array)
        self.open, self.high, self.low, self.close = columns
        signal, weight = np.empty(0, np.int8), np.empty(0)
        if inspect_kernel(self.open, self.high, self.low, self.close, signal, weight)[1]:
            raise ValueError("prices must be finite and above 0, high and low the outermost")

    @property
    def n_bars(self) -> int:
        """Number of bars."""
        return int(self.close.size)


def build_sweep_bars(bars: Bars) -> SweepBars:
    """Build what a sweep over these bars, adjusted and filtered as it uses them, shares."""
    return SweepBars(bars.open, bars.high, bars.low, bars.close)


def compute_combinations(
    bars: SweepBars,
    first: SignalEvents,
    first_idx: NDArray[np.int32],
    second: SignalEvents | None,
    second_idx: NDArray[np.int32] | None,
    configs: FloatArray,
    config_idx: NDArray[np.int32],
) -> tuple[FloatArray, NDArray[np.uint8]]:
    """Compute the headline metrics of n combinations.

    Parameters
    ----------
    bars : SweepBars
    first, second : SignalEvents
        Tables of signals; a combination trades the union of one signal of each, and a bar in
        both holds. `second` may be None.
    first_idx, second_idx : ndarray of int32, shape (n,)
        Which signal of each table.
    configs : ndarray of float64, shape (m, 17)
        From `build_config_matrix`.
    config_idx : ndarray of int32, shape (n,)
        Row of `configs`.

    Returns
    -------
    metrics : ndarray of float64, shape (n, 13)
        `engine.HEADLINE_METRICS`, NaN where undefined; each within 1e-12, absolute or relative,
        of `engine.stream_engine`. The bits of a combination depend on nothing but itself.
    status : ndarray of uint8, shape (n,)
        0, or 2 where equity is beyond float64: all of its metrics are NaN.

    Raises
    ------
    ValueError
        For an index out of range, or events that are no signal of these bars.
    """
    if second is None or second_idx is None:
        second, second_idx = build_events(np.empty(0, np.int8)), np.zeros(first_idx.size, np.int32)
    out = np.empty((first_idx.size, N_HEADLINE))
    has_weight = first.weight.size > 0 or second.weight.size > 0
    _compute_all(
        bars.open,
        bars.high,
        bars.low,
        bars.close,
        *(first.offsets, first.bar, first.code, first.weight, first_idx),
        *(second.offsets, second.bar, second.code, second.weight, second_idx),
        configs,
        config_idx,
        np.empty(bars.n_bars, np.int8),
        np.empty(bars.n_bars if has_weight else 0),
        np.empty(BOOK_SIZE),
        out,
    )
    status = np.where(np.isnan(out[:, _EXPOSURE]), STATUS_NOT_FINITE, STATUS_OK).astype(np.uint8)
    out[status != STATUS_OK] = math.nan
    return out, status


@jit_loop
def _compute_all(
    open_: FloatArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    first_offsets: NDArray[np.int64],
    first_bar: NDArray[np.int32],
    first_code: NDArray[np.int8],
    first_weight: FloatArray,
    first_idx: NDArray[np.int32],
    second_offsets: NDArray[np.int64],
    second_bar: NDArray[np.int32],
    second_code: NDArray[np.int8],
    second_weight: FloatArray,
    second_idx: NDArray[np.int32],
    configs: FloatArray,
    config_idx: NDArray[np.int32],
    signal: NDArray[np.int8],
    weight: FloatArray,
    book: FloatArray,
    out: FloatArray,
) -> None:
    for k in range(first_idx.size):
        a, b = first_offsets[first_idx[k]], first_offsets[first_idx[k] + 1]
        c, d = second_offsets[second_idx[k]], second_offsets[second_idx[k] + 1]
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
        config = configs[config_idx[k]]
        stream_combination(open_, high, low, close, signal, weight, config, book, out[k])
