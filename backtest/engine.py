"""The engine: signals and bars in, equity, fills and trades out; definitions.md sections 2 and 3.

This file, and every module of ours that it imports, is frozen: a manifest of SHA-256 digests is
compared by a test. A new behaviour is a new engine beside this one, with its own version.

Wrappers check shapes, types and ranges; kernels see arrays and scalars only. A sweep calls
`stream_kernel` from its own kernel, with `EngineConfig.stream_args` for the scalars.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtest.engine_kernels import inspect_kernel, run_kernel, stream_kernel
from backtest.headline import (
    BOOK_SIZE,
    FILL_VALUE,
    N_CLOSED,
    N_FILLS,
    N_HEADLINE,
    N_REJECTED,
    measure_kernel,
)

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
DIRECTIONS = {"long_only": 0, "long_short": 1, "short_only": 2}
FILLS = {"next_open": 0, "same_close": 1, "worst_of_bar": 2}
SIZE_TYPES = {"percent": 0, "value": 1, "shares": 2}
EXIT_REASONS = ("signal", "stop_loss", "take_profit", "trailing_stop", "ruin", "open")

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
ByteArray = NDArray[np.int8]

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

_TINY, _HUGE = math.nextafter(0.0, 1.0), sys.float_info.max
_BELOW_ONE, _ABOVE_LOSS = math.nextafter(1.0, 0.0), math.nextafter(-1.0, 0.0)
_ABOVE_ZERO = (_TINY, _HUGE, "finite and above 0")
_NOT_NEGATIVE = (0.0, _HUGE, "finite and not negative")
_SHARE = (0.0, _BELOW_ONE, "a fraction in [0, 1)")
_STOP = (_TINY, _BELOW_ONE, "a fraction above 0 and below 1, or NaN for off")
_RATE = (_ABOVE_LOSS, _HUGE, "finite and above -1")
_OPTIONAL = ("stop_loss", "take_profit", "trailing_stop")
_RANGES: dict[str, tuple[float, float, str]] = {
    "initial_cash": _ABOVE_ZERO,
    "fee_rate": _SHARE,
    "fee_fixed": _NOT_NEGATIVE,
    "slippage": _SHARE,
    "size": _ABOVE_ZERO,
    "lot_size": _NOT_NEGATIVE,
    "stop_loss": _STOP,
    "take_profit": (_TINY, _HUGE, "finite and above 0, or NaN for off"),
    "trailing_stop": _STOP,
    "cash_rate": _RATE,
    "borrow_rate": _RATE,
    "periods_per_year": _ABOVE_ZERO,
    "risk_free": _RATE,
    "mar": _RATE,
}


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Everything but the data that a run depends on; see `rules.spec.TradingSpec` for the units.

    Fractions are fractions, rates are per year, codes are those of `DIRECTIONS`, `FILLS` and
    `SIZE_TYPES`.

    Parameters
    ----------
    initial_cash : float
        Cash before the first bar, above 0.
    fee_rate, fee_fixed : float
        Commission of a fill: a fraction of its value in [0, 1), and an amount >= 0.
    slippage : float
        Fraction in [0, 1) by which a fill's price moves against its trader.
    size : float
        Above 0: a fraction up to 1 (percent), an amount (value) or a number (shares).
    size_type : int
        What `size` counts.
    lot_size : float
        Shares are rounded down to a multiple of it; 0 allows fractions.
    direction, fill : int
        Which positions may be opened; when and at which price a signal fills.
    stop_loss, take_profit, trailing_stop : float
        Distances as fractions, above 0 (stops below 1); NaN is off.
    cash_rate, borrow_rate : float
        Interest on idle cash and cost of borrowed shares, per year, above -1.
    periods_per_year : float
        Bars per year, above 0.
    risk_free, mar : float
        Rates per year that Sharpe and Sortino measure against, above -1.

    Raises
    ------
    ValueError
        Naming the field, its value and what is allowed.
    """

    initial_cash: float
    fee_rate: float
    fee_fixed: float
    slippage: float
    size: float
    size_type: int
    lot_size: float
    direction: int
    fill: int
    stop_loss: float
    take_profit: float
    trailing_stop: float
    cash_rate: float
    borrow_rate: float
    periods_per_year: float
    risk_free: float
    mar: float
    run_args: tuple[Any, ...] = field(init=False, repr=False, compare=False)
    stream_args: tuple[Any, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _validate_config(self)
        run_args = (
            float(self.initial_cash),
            float(self.fee_rate),
            float(self.fee_fixed),
            float(self.slippage),
            float(self.size),
            int(self.size_type),
            float(self.lot_size),
            int(self.direction),
            int(self.fill),
            float(self.stop_loss),
            float(self.take_profit),
            float(self.trailing_stop),
            self._per_bar(self.cash_rate),
            self._per_bar(self.borrow_rate),
        )
        object.__setattr__(self, "run_args", run_args)
        object.__setattr__(self, "stream_args", run_args + self.measure_args)

    @property
    def measure_args(self) -> tuple[float, float, float]:
        """Periods per year, and risk-free rate and minimum acceptable return per bar."""
        return (
            float(self.periods_per_year),
            self._per_bar(self.risk_free),
            self._per_bar(self.mar),
        )

    def _per_bar(self, annual: float) -> float:
        # (1 + 0)^x - 1 is 0 exactly: a rate of 0 leaves its code path off.
        return float((1.0 + annual) ** (1.0 / self.periods_per_year) - 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Fills:
    """Columns of all fills in the order they happened, each of shape (n_fills,)."""

    bar_idx: IntArray
    side: ByteArray  # +1 bought, -1 sold
    shares: FloatArray
    price: FloatArray  # after slippage
    commission: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Trades:
    """Columns of all round trips by exit, each of shape (n_trades,); an open one comes last."""

    entry_idx: IntArray
    exit_idx: IntArray
    direction: ByteArray  # +1 long, -1 short
    shares: FloatArray
    entry_price: FloatArray
    exit_price: FloatArray
    commission: FloatArray  # of both fills; of the entry, if still open
    pnl: FloatArray  # net of commission
    return_: FloatArray  # pnl / (shares * entry_price)
    bars_held: IntArray
    exit_reason: ByteArray  # index into EXIT_REASONS
    mae: FloatArray  # <= 0, fraction of the entry price
    mfe: FloatArray  # >= 0, fraction of the entry price


@dataclass(frozen=True, slots=True, eq=False)
class EngineResult:
    """Everything one run leaves behind; per-bar arrays have shape (n_bars,)."""

    equity: FloatArray  # marked at the close
    cash: FloatArray
    position: FloatArray  # shares, negative for a short
    exposed: NDArray[np.bool_]  # a position at the mark, or a fill closed one in the bar
    fills: Fills
    trades: Trades
    interest: float  # sum of all financing
    n_rejected_orders: int
    ruined: bool
    ruin_idx: int  # -1 if not ruined
    fill_value: float  # sum of shares times price over all fills


def build_engine_config(trading: Mapping[str, Any], periods_per_year: float) -> EngineConfig:
    """Build the configuration from `TradingSpec.model_dump()`.

    Parameters
    ----------
    trading : mapping
        Names as codes (``"long_only"``), None for a stop that is off; its `periods_per_year`
        overrides the other unless it is None.
    periods_per_year : float
        Of the bars.

    Raises
    ------
    ValueError
        For an unknown name or a value out of range; KeyError for a missing one.
    """
    values = {item.name: trading[item.name] for item in fields(EngineConfig) if item.init}
    for name, codes in (("size_type", SIZE_TYPES), ("direction", DIRECTIONS), ("fill", FILLS)):
        if values[name] not in codes:
            raise ValueError(f"{name} = {values[name]!r}: choose one of {', '.join(codes)}")
        values[name] = codes[values[name]]
    for name in ("stop_loss", "take_profit", "trailing_stop"):
        if values[name] is None:
            values[name] = math.nan
    if values["periods_per_year"] is None:
        values["periods_per_year"] = periods_per_year
    return EngineConfig(**values)


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
    book = np.zeros(BOOK_SIZE)
    interest, ruin_idx, has_open = run_kernel(
        *inputs,
        *config.run_args,
        marks,
        exposed,
        fill_bar,
        fill_side,
        fill_values,
        trade_bars,
        trade_codes,
        trade_values,
        book,
    )
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
    stream_kernel(*inputs, *config.stream_args, np.empty(BOOK_SIZE), out)
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
        config.run_args[0],
        *config.stream_args[-3:],
        out,
    )
    return out


def build_curve_result(equity: FloatArray) -> EngineResult:
    """Wrap a bare equity curve, such as a benchmark's, so that it can be measured like a run.

    Parameters
    ----------
    equity : ndarray of float64, shape (n_bars,)
        Marks at each close, the initial cash not among them.

    Returns
    -------
    EngineResult
        Invested at every bar, without fills and trades; cash is 0 and position NaN.
    """
    n_bars = equity.shape[0]
    floats, ints, codes = np.empty(0), np.empty(0, np.int64), np.empty(0, np.int8)
    return EngineResult(
        equity=equity,
        cash=np.zeros(n_bars),
        position=np.full(n_bars, np.nan),
        exposed=np.ones(n_bars, np.bool_),
        fills=Fills(ints, codes, floats, floats, floats),
        trades=Trades(
            entry_idx=ints,
            exit_idx=ints,
            direction=codes,
            shares=floats,
            entry_price=floats,
            exit_price=floats,
            commission=floats,
            pnl=floats,
            return_=floats,
            bars_held=ints,
            exit_reason=codes,
            mae=floats,
            mfe=floats,
        ),
        interest=0.0,
        n_rejected_orders=0,
        ruined=False,
        ruin_idx=-1,
        fill_value=0.0,
    )


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


def _validate_config(config: EngineConfig) -> None:
    """Raise ValueError for the first field out of range; NaN is out of every range but a stop's."""
    for name, (low, high, allowed) in _RANGES.items():
        value = getattr(config, name)
        is_off = name in _OPTIONAL and math.isnan(value)
        if not is_off and not low <= value <= high:
            raise ValueError(f"{name} = {value!r}: must be {allowed}")
    if config.size_type == SIZE_TYPES["percent"] and config.size > 1.0:
        raise ValueError(f"size = {config.size!r}: percent takes a fraction in (0, 1]")
    for name, codes in (("size_type", SIZE_TYPES), ("direction", DIRECTIONS), ("fill", FILLS)):
        if getattr(config, name) not in codes.values():
            raise ValueError(f"{name} = {getattr(config, name)!r}: must be one of {codes}")
