"""One bar of trading: the whole of definitions.md section 2, compiled into whoever loops over it.

Expressions and their order are normative in float64. A short mirrors a long by a sign: a product
with 1.0 or -1.0 is exact, so ``1.0 - side * x`` is ``1 - x`` for a long and ``1 + x`` for a short.
"""

from __future__ import annotations

import math

import numpy as np

from backtest.accounts import (
    BUY,
    BY_RUIN,
    BY_SIGNAL,
    BY_STOP_LOSS,
    BY_TAKE_PROFIT,
    BY_TRAILING_STOP,
    EXIT,
    LONG_ONLY,
    NEXT_OPEN,
    PERCENT,
    SAME_CLOSE,
    SELL,
    SHORT_ONLY,
    VALUE,
    Account,
    Bars,
    FloatArray,
    Ledger,
    Terms,
    record_fill,
    record_trade,
)
from backtest.headline import ENTRY_FEE, N_CLOSED, N_REJECTED, count_trade
from backtest.jit import inlined


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
        shares = np.floor(shares / terms.lot_size) * terms.lot_size
    return shares


@inlined
def close_position(
    t: int,
    price: float,
    reason: int,
    account: Account,
    terms: Terms,
    bars: Bars,
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
    pnl = account.position * (price - account.entry_price) - fees + 0.0  # no -0.0
    if ledger is not None:
        row = int(book[N_CLOSED])
        record_trade(t, price, fees, pnl, reason, account, terms, bars, row, ledger)
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
    # Infinite where a tiny price or lot overflows the division: no order either.
    if not 0.0 < shares < math.inf:
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
    decided: int,
    code: int,
    bars: Bars,
    account: Account,
    terms: Terms,
    book: FloatArray,
    ledger: Ledger | None,
) -> Account:
    """Fill the signal of bar `decided` in bar t: close what opposes it, then open what it asks for.

    A signal that asks for nothing is dropped.
    """
    position = account.position
    buys = code == BUY or (code == EXIT and position < 0.0)
    side = 1.0 if buys else -1.0
    if terms.fill == NEXT_OPEN:
        quote = bars.open_[t]
    elif terms.fill == SAME_CLOSE:
        quote = bars.close[t]
    else:
        quote = bars.high[t] if buys else bars.low[t]
    price = move_price(quote, side, terms.slippage)
    if (position > 0.0 and not buys) or (position < 0.0 and buys):
        account = close_position(t, price, BY_SIGNAL, account, terms, bars, book, ledger)
    wanted = (code == BUY and terms.direction != SHORT_ONLY) or (
        code == SELL and terms.direction != LONG_ONLY
    )
    if wanted and account.position == 0.0:
        share = bars.weight[decided] if bars.weight.size > 0 else 1.0
        account = open_position(t, side, price, share, account, terms, book, ledger)
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
def charge_financing(account: Account, previous_close: float, terms: Terms) -> Account:
    """Pay interest on cash and charge the loan of a short's shares, for one bar."""
    short = -account.position * previous_close if account.position < 0.0 else 0.0
    change = terms.cash_rate * max(0.0, account.cash - 2.0 * short) - terms.borrow_rate * short
    return Account(
        account.cash + change,
        account.position,
        account.entry_price,
        account.best,
        account.entry_idx,
        account.interest + change,
        account.exposed,
        account.equity,
        False,
    )


@inlined
def watch_stops(
    t: int,
    bars: Bars,
    account: Account,
    terms: Terms,
    book: FloatArray,
    ledger: Ledger | None,
) -> Account:
    """Test the stops against bar t, from the fill bar on under `next_open`, else from the next."""
    if account.position == 0.0 or (account.entry_idx == t and terms.fill != NEXT_OPEN):
        return account
    best = account.best
    if account.entry_idx < t:
        best = (
            max(best, bars.close[t - 1]) if account.position > 0.0 else min(best, bars.close[t - 1])
        )
    account = Account(
        account.cash,
        account.position,
        account.entry_price,
        best,
        account.entry_idx,
        account.interest,
        account.exposed,
        account.equity,
        False,
    )
    reason, price = find_exit(account, bars.open_[t], bars.high[t], bars.low[t], terms)
    if reason != BY_SIGNAL:
        account = close_position(t, price, reason, account, terms, bars, book, ledger)
    return account


@inlined
def read_signal(t: int, bars: Bars, terms: Terms) -> int:
    """Return the signal that fills in bar t: its own under `same_close`, else the one before."""
    if terms.fill == SAME_CLOSE:
        return int(bars.signal[t])
    return int(bars.signal[t - 1]) if t > 0 else 0


@inlined
def step_bar(
    t: int,
    bars: Bars,
    account: Account,
    terms: Terms,
    has_stops: bool,
    has_financing: bool,
    book: FloatArray,
    ledger: Ledger | None,
) -> Account:
    """Trade one bar: financing, the pending fill, stops, the fill at the close, the mark, ruin.

    Most bars have no signal to fill, no stop to watch and no financing: they are only marked.
    """
    account = Account(
        account.cash,
        account.position,
        account.entry_price,
        account.best,
        account.entry_idx,
        account.interest,
        False,
        account.equity,
        False,
    )
    code = read_signal(t, bars, terms)
    is_watched = has_stops & (account.position != 0.0)
    if (code == 0) & (not has_financing) & (not is_watched):
        return mark_bar(t, bars, account, terms, book, ledger)
    same_close = terms.fill == SAME_CLOSE
    if has_financing and t > 0:
        account = charge_financing(account, bars.close[t - 1], terms)
    if code != 0 and not same_close:
        account = fill_signal(t, t - 1, code, bars, account, terms, book, ledger)
    if has_stops:
        account = watch_stops(t, bars, account, terms, book, ledger)
    if code != 0 and same_close:
        account = fill_signal(t, t, code, bars, account, terms, book, ledger)
    return mark_bar(t, bars, account, terms, book, ledger)


@inlined
def mark_bar(
    t: int,
    bars: Bars,
    account: Account,
    terms: Terms,
    book: FloatArray,
    ledger: Ledger | None,
) -> Account:
    """Mark equity at the close; equity at or below 0 closes the position and ends trading."""
    equity = account.cash + account.position * bars.close[t]
    ruined = equity <= 0.0
    if ruined:
        if account.position != 0.0:
            price = move_price(bars.close[t], -account.position, terms.slippage)
            account = close_position(t, price, BY_RUIN, account, terms, bars, book, ledger)
        equity = account.cash
    return Account(
        account.cash,
        account.position,
        account.entry_price,
        account.best,
        account.entry_idx,
        account.interest,
        account.exposed or account.position != 0.0,
        equity,
        ruined,
    )
