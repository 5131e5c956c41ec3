"""The two loops over the bar step: one that records everything, one that keeps only sums.

Kernels see arrays and scalars only; what they are given has been checked by `engine.py`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from backtest.accounts import (
    BY_END,
    Account,
    Bars,
    ByteArray,
    IntArray,
    Ledger,
    Terms,
    record_trade,
)
from backtest.bar_step import step_bar
from backtest.headline import (
    ENTRY_FEE,
    N_CLOSED,
    FloatArray,
    accumulate,
    clear_book,
    compute_headline,
    lost_in_rounding,
    start_moments,
)
from backtest.jit import jit_loop


@jit_loop
def inspect_kernel(
    open_: FloatArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    signal: ByteArray,
    weight: FloatArray,
) -> tuple[int, int]:
    """Count the signals that may open a position, and check every value on the way.

    Returns
    -------
    n_entries : int
        BUY and SELL signals: no run can have more trades.
    fault : int
        0, or 1 for a price (not finite, not above 0, or high and low not enclosing open and
        close), 2 for a signal and 3 for a weight out of range.
    """
    sound = True
    for t in range(close.size):
        sound &= (
            (low[t] > 0.0)
            & (low[t] <= open_[t])
            & (low[t] <= close[t])
            & (high[t] >= open_[t])
            & (high[t] >= close[t])
            & (high[t] < math.inf)
        )
    if not sound:
        return 0, 1
    n_entries = 0
    for t in range(signal.size):
        sound &= (signal[t] >= -1) & (signal[t] <= 2)
        n_entries += signal[t] & 1
    if not sound:
        return 0, 2
    for t in range(weight.size):
        sound &= (weight[t] >= 0.0) & (weight[t] <= 1.0)
    return n_entries, 0 if sound else 3


@jit_loop
def run_kernel(
    open_: FloatArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    signal: ByteArray,
    weight: FloatArray,
    initial_cash: float,
    fee_rate: float,
    fee_fixed: float,
    slippage: float,
    size: float,
    size_type: int,
    lot_size: float,
    direction: int,
    fill: int,
    stop_loss: float,
    take_profit: float,
    trailing_stop: float,
    cash_rate: float,
    borrow_rate: float,
    marks: FloatArray,
    exposed: NDArray[np.bool_],
    fill_bar: IntArray,
    fill_side: ByteArray,
    fill_values: FloatArray,
    trade_bars: IntArray,
    trade_codes: ByteArray,
    trade_values: FloatArray,
    book: FloatArray,
) -> tuple[float, int, bool]:
    """Run one backtest and record everything.

    Inputs as in `stream_kernel`. `marks` of shape (3, n_bars) receives equity, cash and position,
    `exposed` (n_bars,) its flags, the other arrays the rows of `bar_step.Ledger`, with room for
    every BUY and SELL signal (twice that for fills). `book` is scratch of shape (10,) from
    which counts and sums are read afterwards.

    Returns
    -------
    interest : float
        Sum of all financing, currency.
    ruin_idx : int
        Bar of the ruin, or -1.
    has_open : bool
        Whether the row after the closed trades holds a trade that is still open.
    """
    terms = Terms(
        fee_rate,
        fee_fixed,
        slippage,
        size,
        size_type,
        lot_size,
        direction,
        fill,
        stop_loss,
        take_profit,
        trailing_stop,
        cash_rate,
        borrow_rate,
    )
    has_stops = not (
        math.isnan(stop_loss) and math.isnan(take_profit) and math.isnan(trailing_stop)
    )
    has_financing = cash_rate != 0.0 or borrow_rate != 0.0
    ledger = Ledger(fill_bar, fill_side, fill_values, trade_bars, trade_codes, trade_values)
    clear_book(book)
    account = Account(initial_cash, 0.0, 0.0, 0.0, 0, 0.0, False, initial_cash, False)
    bars = Bars(open_, high, low, close, signal, weight)
    n_bars = close.size
    ruin_idx = -1
    for t in range(n_bars):
        if ruin_idx < 0:
            account = step_bar(t, bars, account, terms, has_stops, has_financing, book, ledger)
            exposed[t] = account.exposed
            if account.ruined:
                ruin_idx = t
        else:
            exposed[t] = False
        marks[0, t] = account.equity
        marks[1, t] = account.cash
        marks[2, t] = account.position
    has_open = account.position != 0.0
    if has_open:
        last = n_bars - 1
        fee = book[ENTRY_FEE]
        pnl = account.position * (close[last] - account.entry_price) - fee + 0.0  # no -0.0
        row = int(book[N_CLOSED])
        record_trade(last, close[last], fee, pnl, BY_END, account, terms, bars, row, ledger)
    return account.interest, ruin_idx, has_open


@jit_loop
def stream_kernel(
    open_: FloatArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    signal: ByteArray,
    weight: FloatArray,
    initial_cash: float,
    fee_rate: float,
    fee_fixed: float,
    slippage: float,
    size: float,
    size_type: int,
    lot_size: float,
    direction: int,
    fill: int,
    stop_loss: float,
    take_profit: float,
    trailing_stop: float,
    cash_rate: float,
    borrow_rate: float,
    periods_per_year: float,
    risk_free: float,
    mar: float,
    book: FloatArray,
    out: FloatArray,
) -> None:
    """Run one backtest and keep nothing but its headline metrics; allocates nothing.

    The entry point for other kernels. Inputs are those of `engine.stream_engine`, already
    validated; the rates `cash_rate`, `borrow_rate`, `risk_free` and `mar` are per bar, `weight`
    is empty for none. `book` is scratch of shape (10,), `out` receives the metrics, shape (13,).
    """
    terms = Terms(
        fee_rate,
        fee_fixed,
        slippage,
        size,
        size_type,
        lot_size,
        direction,
        fill,
        stop_loss,
        take_profit,
        trailing_stop,
        cash_rate,
        borrow_rate,
    )
    has_stops = not (
        math.isnan(stop_loss) and math.isnan(take_profit) and math.isnan(trailing_stop)
    )
    has_financing = cash_rate != 0.0 or borrow_rate != 0.0
    bars = Bars(open_, high, low, close, signal, weight)
    n_bars = close.size
    shift = 0.0
    moments = start_moments(initial_cash)
    for attempt in range(2):
        clear_book(book)
        account = Account(initial_cash, 0.0, 0.0, 0.0, 0, 0.0, False, initial_cash, False)
        moments = start_moments(initial_cash)
        n_marked = 0
        for t in range(n_bars):
            account = step_bar(t, bars, account, terms, has_stops, has_financing, book, None)
            moments = accumulate(moments, account.equity, account.exposed, mar, shift, book)
            n_marked = t + 1
            if account.ruined:
                break
        for _ in range(n_marked, n_bars):
            moments = accumulate(moments, account.equity, False, mar, shift, book)
        if attempt == 1 or not lost_in_rounding(n_bars, moments):
            break
        shift = moments.sum_return / n_bars
    compute_headline(
        n_bars, initial_cash, moments, shift, book, periods_per_year, risk_free, mar, out
    )
