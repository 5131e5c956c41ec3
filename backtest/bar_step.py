"""One bar of trading: the whole of definitions.md section 2, compiled into whoever loops over it.

Expressions and their order are normative in float64. A short mirrors a long by a sign: a product
with 1.0 or -1.0 is exact, so ``1.0 - side * x`` is ``1 - x`` for a long and ``1 + x`` for a short.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtest.headline import (
    ENTRY_FEE,
    FILL_VALUE,
    N_CLOSED,
    N_FILLS,
    N_REJECTED,
    count_trade,
)
from backtest.jit import inlined, jit

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
def move_price(price: float, side: float, slippage: float) -> float:
    """Return the fill price: slippage moves it against a buyer (side 1) and a seller (-1)."""
    return price * (1.0 + slippage) if side > 0 else price * (1.0 - slippage)


@inlined
def compute_shares(cash: float, weight: float, price: float, terms: Terms) -> float:
    """Return the shares that an entry at the fill price gets; not above 0 is a rejection."""
    unit_cost = price * (1.0 + terms.fee_rate)
    if terms.size_type == PERCENT:
        shares = (min(terms.size * weight * cash, cash) - terms.fee_fixed) / unit_cost
    elif terms.size_type == VALUE:
        shares = (min(terms.size * weight, cash) - terms.fee_fixed) / unit_cost
    else:
        shares = min(terms.size * weight, (cash - terms.fee_fixed) / unit_cost)
    if terms.lot_size > 0.0:
        shares = math.floor(shares / terms.lot_size) * terms.lot_size
    return shares


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


@jit
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
    return mae, mfe


@inlined
def record_trade(
    t: int,
    price: float,
    fee: float,
    pnl: float,
    reason: int,
    account: Account,
    terms: Terms,
    high: FloatArray,
    low: FloatArray,
    row: int,
    ledger: Ledger,
) -> None:
    """Write one round trip; an exit at a close includes its bar's range in the excursions."""
    shares = abs(account.position)
    side = 1.0 if account.position > 0.0 else -1.0
    same_close = terms.fill == SAME_CLOSE
    at_close = reason >= BY_RUIN or (reason == BY_SIGNAL and same_close)
    mae, mfe = compute_excursions(
        high,
        low,
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


@inlined
def close_position(
    t: int,
    price: float,
    reason: int,
    account: Account,
    terms: Terms,
    high: FloatArray,
    low: FloatArray,
    book: FloatArray,
    ledger: Ledger | None,
) -> Account:
    """Close the whole position at a fill price; closing fills are never cut or refused."""
    shares = abs(account.position)
    fee = terms.fee_rate * shares * price + terms.fee_fixed
    if account.position > 0.0:
        cash = account.cash + shares * price - fee
    else:
        cash = account.cash - shares * price - fee
    record_fill(t, -account.position, shares, price, fee, book, ledger)
    fees = book[ENTRY_FEE] + fee
    pnl = account.position * (price - account.entry_price) - fees
    if ledger is not None:
        row = int(book[N_CLOSED])
        record_trade(t, price, fees, pnl, reason, account, terms, high, low, row, ledger)
    count_trade(pnl, book)
    return Account(
        cash, 0.0, 0.0, 0.0, account.entry_idx, account.interest, True, account.equity, False
    )


@inlined
def open_position(
    t: int,
    side: float,
    price: float,
    weight: float,
    account: Account,
    terms: Terms,
    book: FloatArray,
    ledger: Ledger | None,
) -> Account:
    """Open a position from flat at a fill price, or count a rejected order."""
    shares = compute_shares(account.cash, weight, price, terms)
    if not shares > 0.0:
        book[N_REJECTED] += 1.0
        return account
    fee = terms.fee_rate * shares * price + terms.fee_fixed
    if side > 0.0:
        cash = account.cash - shares * price - fee
    else:
        cash = account.cash + shares * price - fee
    record_fill(t, side, shares, price, fee, book, ledger)
    book[ENTRY_FEE] = fee
    return Account(
        cash,
        side * shares,
        price,
        price,
        t,
        account.interest,
        account.exposed,
        account.equity,
        False,
    )


@inlined
def fill_signal(
    t: int,
    code: int,
    weight: float,
    buy_price: float,
    sell_price: float,
    account: Account,
    terms: Terms,
    high: FloatArray,
    low: FloatArray,
    book: FloatArray,
    ledger: Ledger | None,
) -> Account:
    """Fill one signal: close what opposes it, then open what it asks for; else drop it."""
    position = account.position
    closes = (position > 0.0 and code != BUY) or (position < 0.0 and code != SELL)
    buys = code == BUY or (code == EXIT and position < 0.0)
    side = 1.0 if buys else -1.0
    price = move_price(buy_price if buys else sell_price, side, terms.slippage)
    if closes:
        account = close_position(t, price, BY_SIGNAL, account, terms, high, low, book, ledger)
    wanted = (code == BUY and terms.direction != SHORT_ONLY) or (
        code == SELL and terms.direction != LONG_ONLY
    )
    if wanted and account.position == 0.0:
        account = open_position(t, side, price, weight, account, terms, book, ledger)
    return account


@inlined
def find_exit(
    account: Account, open_: float, high: float, low: float, terms: Terms
) -> tuple[int, float]:
    """Return the reason and the fill price of a stop in this bar; reason 0 is none.

    A comparison with the level of a stop that is off (NaN) is false.
    """
    side = 1.0 if account.position > 0.0 else -1.0
    against = low if side > 0.0 else high
    favour = high if side > 0.0 else low
    reason = BY_STOP_LOSS
    level = account.entry_price * (1.0 - side * terms.stop_loss)
    trailing = account.best * (1.0 - side * terms.trailing_stop)
    if math.isnan(level) or side * trailing > side * level:
        reason = BY_TRAILING_STOP
        level = trailing
    if side * against <= side * level:
        price = open_ if side * open_ <= side * level else level
        return reason, move_price(price, -side, terms.slippage)
    profit = account.entry_price * (1.0 + side * terms.take_profit)
    if side * favour >= side * profit:
        return BY_TAKE_PROFIT, open_ if side * open_ >= side * profit else profit
    return BY_SIGNAL, 0.0


@inlined
def step_bar(
    t: int,
    open_: FloatArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    signal: ByteArray,
    weight: FloatArray,
    account: Account,
    terms: Terms,
    has_stops: bool,
    has_financing: bool,
    book: FloatArray,
    ledger: Ledger | None,
) -> Account:
    """Trade one bar: financing, the pending fill, stops, the fill at the close, the mark, ruin."""
    cash, interest = account.cash, account.interest
    if has_financing and t > 0:
        short_value = -account.position * close[t - 1] if account.position < 0.0 else 0.0
        change = (
            terms.cash_rate * max(0.0, cash - 2.0 * short_value) - terms.borrow_rate * short_value
        )
        cash += change
        interest += change
    account = Account(
        cash,
        account.position,
        account.entry_price,
        account.best,
        account.entry_idx,
        interest,
        False,
        account.equity,
        False,
    )
    same_close = terms.fill == SAME_CLOSE
    decided = t if same_close else t - 1
    if not same_close and t > 0 and signal[decided] != 0:
        share = weight[decided] if weight.size > 0 else 1.0
        buy_price = open_[t] if terms.fill == NEXT_OPEN else high[t]
        sell_price = open_[t] if terms.fill == NEXT_OPEN else low[t]
        account = fill_signal(
            t,
            signal[decided],
            share,
            buy_price,
            sell_price,
            account,
            terms,
            high,
            low,
            book,
            ledger,
        )
    if has_stops and account.position != 0.0 and (account.entry_idx < t or terms.fill == NEXT_OPEN):
        reason, price = find_exit(account, open_[t], high[t], low[t], terms)
        if reason != BY_SIGNAL:
            account = close_position(t, price, reason, account, terms, high, low, book, ledger)
    if same_close and signal[t] != 0:
        share = weight[t] if weight.size > 0 else 1.0
        account = fill_signal(
            t, signal[t], share, close[t], close[t], account, terms, high, low, book, ledger
        )
    return mark_bar(t, high, low, close[t], account, terms, book, ledger)


@inlined
def mark_bar(
    t: int,
    high: FloatArray,
    low: FloatArray,
    close: float,
    account: Account,
    terms: Terms,
    book: FloatArray,
    ledger: Ledger | None,
) -> Account:
    """Mark equity at the close; equity at or below 0 closes the position and ends trading."""
    equity = account.cash + account.position * close
    ruined = equity <= 0.0
    if ruined:
        if account.position != 0.0:
            price = move_price(close, -account.position, terms.slippage)
            account = close_position(t, price, BY_RUIN, account, terms, high, low, book, ledger)
        equity = account.cash
    best = account.best
    if account.position > 0.0:
        best = max(best, close)
    elif account.position < 0.0:
        best = min(best, close)
    return Account(
        account.cash,
        account.position,
        account.entry_price,
        best,
        account.entry_idx,
        account.interest,
        account.exposed or account.position != 0.0,
        equity,
        ruined,
    )
