"""What the bar step passes around, and how it writes down fills and trades."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtest.headline import FILL_VALUE, N_FILLS
from backtest.jit import inlined, jit_loop

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
ByteArray = NDArray[np.int8]

BUY, SELL, EXIT = 1, -1, 2
LONG_ONLY, LONG_SHORT, SHORT_ONLY = 0, 1, 2
NEXT_OPEN, SAME_CLOSE, WORST_OF_BAR = 0, 1, 2
PERCENT, VALUE, SHARES = 0, 1, 2
BY_SIGNAL, BY_STOP_LOSS, BY_TAKE_PROFIT, BY_TRAILING_STOP, BY_RUIN, BY_END = 0, 1, 2, 3, 4, 5


class Terms(NamedTuple):
    """What trading costs and how it is done; every rate is per bar, NaN switches a stop off."""

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


class Bars(NamedTuple):
    """What a run reads, each of shape (n_bars,); `weight` is empty for none."""

    open_: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    signal: ByteArray
    weight: FloatArray


class Ledger(NamedTuple):
    """Where fills and trades are written; streaming has none (None), and its code is left out."""

    fill_bar: IntArray  # (n_fills,)
    fill_side: ByteArray  # (n_fills,)
    fill_values: FloatArray  # (3, n_fills): shares, price, commission
    trade_bars: IntArray  # (3, n_trades): entry_idx, exit_idx, bars_held
    trade_codes: ByteArray  # (2, n_trades): direction, exit_reason
    trade_values: FloatArray  # (8, n_trades): shares ... mfe, as in engine.Trades


class Account(NamedTuple):
    """The state that a bar leaves behind; position is signed, in shares."""

    cash: float
    position: float
    entry_price: float
    best: float  # best price since entry: the entry's or a close
    entry_idx: int
    interest: float
    exposed: bool  # a position at the mark, or a fill closed one in the bar
    equity: float
    ruined: bool


@inlined
def record_fill(
    t: int,
    side: float,
    shares: float,
    price: float,
    fee: float,
    book: FloatArray,
    ledger: Ledger | None,
) -> None:
    """Add a fill to the turnover and, if a ledger is kept, to its rows."""
    book[FILL_VALUE] += shares * price
    if ledger is not None:
        row = int(book[N_FILLS])
        ledger.fill_bar[row] = t
        ledger.fill_side[row] = 1 if side > 0.0 else -1
        ledger.fill_values[0, row] = shares
        ledger.fill_values[1, row] = price
        ledger.fill_values[2, row] = fee
        book[N_FILLS] += 1.0


@jit_loop
def compute_excursions(
    high: FloatArray,
    low: FloatArray,
    first: int,
    last: int,
    side: float,
    entry: float,
    exit_: float,
) -> tuple[float, float]:
    """Return MAE and MFE, fractions of the entry price, over bars first ... last and the exit."""
    lowest = exit_
    highest = exit_
    for t in range(first, last + 1):
        lowest = min(lowest, low[t])
        highest = max(highest, high[t])
    worst = lowest if side > 0.0 else highest
    best = highest if side > 0.0 else lowest
    mae = min(side * (worst - entry) / entry, 0.0)
    mfe = max(side * (best - entry) / entry, 0.0)
    return mae + 0.0, mfe + 0.0  # a zero without a sign: -0.0 + 0.0 is 0.0


@inlined
def record_trade(
    t: int,
    price: float,
    fee: float,
    pnl: float,
    reason: int,
    account: Account,
    terms: Terms,
    bars: Bars,
    row: int,
    ledger: Ledger,
) -> None:
    """Write one round trip; an exit at a close includes its bar's range in the excursions."""
    shares = abs(account.position)
    side = 1.0 if account.position > 0.0 else -1.0
    same_close = terms.fill == SAME_CLOSE
    at_close = reason >= BY_RUIN or (reason == BY_SIGNAL and same_close)
    mae, mfe = compute_excursions(
        bars.high,
        bars.low,
        account.entry_idx + 1 if same_close else account.entry_idx,
        t if at_close else t - 1,
        side,
        account.entry_price,
        price,
    )
    ledger.trade_bars[0, row] = account.entry_idx
    ledger.trade_bars[1, row] = t
    ledger.trade_bars[2, row] = t - account.entry_idx
    ledger.trade_codes[0, row] = 1 if side > 0.0 else -1
    ledger.trade_codes[1, row] = reason
    ledger.trade_values[0, row] = shares
    ledger.trade_values[1, row] = account.entry_price
    ledger.trade_values[2, row] = price
    ledger.trade_values[3, row] = fee
    ledger.trade_values[4, row] = pnl
    ledger.trade_values[5, row] = pnl / (shares * account.entry_price)
    ledger.trade_values[6, row] = mae
    ledger.trade_values[7, row] = mfe
