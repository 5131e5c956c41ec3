"""The engine: signals and bars in, equity, fills and trades out; definitions.md sections 2 and 3.

This file, and every module of ours that it imports, is frozen: a manifest of SHA-256 digests is
compared by a test. A new behaviour is a new engine beside this one, with its own version.

Wrappers check shapes, types and ranges; kernels see arrays and scalars only. A sweep calls
`stream_kernel` from its own kernel, with `EngineConfig.stream_args` for the scalars.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtest.engine_config import (
    DIRECTIONS,
    FILLS,
    SIZE_TYPES,
    EngineConfig,
    build_engine_config,
)
from backtest.engine_kernels import inspect_kernel, run_kernel, stream_kernel
from backtest.engine_result import (
    EXIT_REASONS,
    ByteArray,
    EngineResult,
    Fills,
    FloatArray,
    Trades,
    build_curve_result,
)
from backtest.headline import (
    BOOK_SIZE,
    FILL_VALUE,
    N_CLOSED,
    N_FILLS,
    N_HEADLINE,
    N_REJECTED,
    measure_kernel,
)

__all__ = [
    "DIRECTIONS",
    "ENGINE_VERSION",
    "EXIT_REASONS",
    "FILLS",
    "HEADLINE_METRICS",
    "SIZE_TYPES",
    "EngineConfig",
    "EngineResult",
    "Fills",
    "Trades",
    "build_curve_result",
    "build_engine_config",
    "measure_headline",
    "measure_kernel",
    "run_engine",
    "stream_engine",
    "stream_kernel",
]

ENGINE_VERSION = "1.0.0"

HEADLINE_METRICS: tuple[str, ...] = (
    "total_return",
    "cagr",
    "volatility",
    "sharpe",
    "sortino",
    "max_drawdown",
    "calmar",
    "win_rate",
    "profit_factor",
    "expectancy",
    "exposure",
    "turnover",
    "n_trades",
)

_NO_WEIGHT = np.empty(0)
_NO_WEIGHT.flags.writeable = False
_INPUT_NAMES = ("open", "high", "low", "close", "signal", "weight")
_INPUT_TYPES = (*(np.dtype(np.float64),) * 4, np.dtype(np.int8), np.dtype(np.float64))
_FAULTS = (
    "",
    "prices must be finite and above 0, with high and low enclosing open and close",
    "signal must hold 0 (hold), 1 (buy), -1 (sell) and 2 (exit) only",
    "weight must be in [0, 1]",
)


def run_engine(
    open: FloatArray,  # noqa: A002
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    signal: ByteArray,
    weight: FloatArray | None,
    config: EngineConfig,
) -> EngineResult:
    """Run one backtest and record everything.

    Parameters
    ----------
    open, high, low, close : ndarray of float64, shape (n_bars,)
        Finite prices above 0, C-contiguous; high and low enclose open and close.
    signal : ndarray of int8, shape (n_bars,)
        HOLD 0, BUY 1, SELL -1, EXIT 2, decided at each bar's close.
    weight : ndarray of float64, shape (n_bars,), optional
        In [0, 1], multiplies the size of an entry decided at that bar.
    config : EngineConfig

    Returns
    -------
    EngineResult

    Raises
    ------
    ValueError
        For arrays of another shape, type, layout or range.
    """
    inputs, n_entries = _validate_inputs(open, high, low, close, signal, weight)
    n_bars = close.shape[0]
    marks = np.empty((3, n_bars))
    exposed = np.empty(n_bars, np.bool_)
    fill_bar = np.empty(2 * n_entries, np.int64)
    fill_side = np.empty(2 * n_entries, np.int8)
    fill_values = np.empty((3, 2 * n_entries))
    trade_bars = np.empty((3, n_entries), np.int64)
    trade_codes = np.empty((2, n_entries), np.int8)
    trade_values = np.empty((8, n_entries))
    book = np.empty(BOOK_SIZE)
    rows = (fill_bar, fill_side, fill_values, trade_bars, trade_codes, trade_values)
    arguments: tuple[Any, ...] = (*inputs, *config.run_args, marks, exposed, *rows, book)
    interest, ruin_idx, has_open = run_kernel(*arguments)
    n_fills = int(book[N_FILLS])
    n_trades = int(book[N_CLOSED]) + has_open
    # Copies: a view would keep the room for every signal alive as long as the result.
    entry_idx, exit_idx, bars_held = trade_bars[:, :n_trades].copy()
    direction, exit_reason = trade_codes[:, :n_trades].copy()
    shares, entry_price, exit_price, commission, pnl, return_, mae, mfe = trade_values[
        :, :n_trades
    ].copy()
    trades = Trades(
        entry_idx,
        exit_idx,
        direction,
        shares,
        entry_price,
        exit_price,
        commission,
        pnl,
        return_,
        bars_held,
        exit_reason,
        mae,
        mfe,
    )
    fills = Fills(
        fill_bar[:n_fills].copy(), fill_side[:n_fills].copy(), *fill_values[:, :n_fills].copy()
    )
    equity, cash, position = marks
    return EngineResult(
        equity,
        cash,
        position,
        exposed,
        fills,
        trades,
        interest,
        int(book[N_REJECTED]),
        ruin_idx >= 0,
        ruin_idx,
        float(book[FILL_VALUE]),
    )


def stream_engine(
    open: FloatArray,  # noqa: A002
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    signal: ByteArray,
    weight: FloatArray | None,
    config: EngineConfig,
) -> FloatArray:
    """Run one backtest and keep its headline metrics only; allocates nothing per bar.

    Parameters and errors as `run_engine`.

    Returns
    -------
    ndarray of float64, shape (13,)
        `HEADLINE_METRICS`, NaN where undefined; equal to `measure_headline` of the recorded run,
        bit for bit.
    """
    inputs, _ = _validate_inputs(open, high, low, close, signal, weight)
    out = np.empty(N_HEADLINE)
    arguments: tuple[Any, ...] = (*inputs, *config.stream_args, np.empty(BOOK_SIZE), out)
    stream_kernel(*arguments)
    return out


def measure_headline(result: EngineResult, config: EngineConfig) -> FloatArray:
    """Compute the headline metrics of a recorded run.

    Returns
    -------
    ndarray of float64, shape (13,)
        `HEADLINE_METRICS`, NaN where undefined.
    """
    trades = result.trades
    n_closed = trades.pnl.shape[0]
    if n_closed and trades.exit_reason[-1] == len(EXIT_REASONS) - 1:
        n_closed -= 1
    out = np.empty(N_HEADLINE)
    measure_kernel(
        result.equity,
        result.exposed,
        trades.pnl[:n_closed],
        result.fill_value,
        float(config.initial_cash),
        *config.measure_args,
        np.empty(BOOK_SIZE),
        out,
    )
    return out


def _validate_inputs(
    open_: FloatArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    signal: ByteArray,
    weight: FloatArray | None,
) -> tuple[tuple[NDArray[Any], ...], int]:
    """Return the inputs as kernels take them, and the number of signals that may open a trade.

    Kernels are compiled for read-only inputs, as `Bars` holds them; a writable array is passed as
    a read-only view, so that one compilation serves all callers.
    """
    arrays: tuple[NDArray[Any], ...] = (open_, high, low, close, signal)
    if weight is not None:
        arrays = (*arrays, weight)
    shape = close.shape
    if len(shape) != 1 or shape[0] == 0:
        raise ValueError(f"close has shape {shape}: a run needs at least one bar, one-dimensional")
    inputs = []
    for name, dtype, array in zip(_INPUT_NAMES, _INPUT_TYPES, arrays, strict=False):
        if array.shape != shape:
            raise ValueError(
                f"{name} has shape {array.shape}, close has {shape}: pass equal shapes"
            )
        if array.dtype != dtype:
            raise ValueError(f"{name} is {array.dtype}: pass {dtype}")
        if not array.flags.c_contiguous:
            raise ValueError(f"{name} is not contiguous: pass numpy.ascontiguousarray of it")
        if array.flags.writeable:
            array = array.view()
            array.flags.writeable = False
        inputs.append(array)
    if weight is None:
        inputs.append(_NO_WEIGHT)
    n_entries, fault = inspect_kernel(*inputs)
    if fault:
        raise ValueError(_FAULTS[fault])
    return tuple(inputs), n_entries
