"""One combination by jumps: from event to event, looking only at the bars that hold a position.

Fills, stops and marks are the engine's own functions, so that the account is the engine's bit for
bit, and each return is; what differs is that flat bars are counted instead of visited.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from backtest.accounts import LONG_ONLY, SAME_CLOSE, SELL, SHORT_ONLY, BUY, Account, Bars, Terms
from backtest.bar_step import fill_signal, mark_bar, watch_stops
from backtest.headline import (
    Moments,
    accumulate,
    clear_book,
    compute_headline,
    lost_in_rounding,
    start_moments,
)
from backtest.jit import inlined, jit_loop

FloatArray = NDArray[np.float64]

EXACT_REPEATS = 16_384  # bars; up to here n roundings that all go one way stay below 2e-13 * total


@jit_loop
def repeat_add(total: float, value: float, n: int) -> float:
    """Return the total after adding the value n times, each addition rounded, in few steps.

    Adding one value over and over rounds the same way until the total's exponent changes, so that
    the error grows with n, not with its root: at a million bars n * value is off by 1e-11.
    """
    while n > 0:
        following = total + value
        step = following - total
        n -= 1
        if n > 8 and value <= total:
            _, exponent = math.frexp(total)
            limit = math.ldexp(1.0, exponent)
            is_tie = 2.0 * abs(value - step) == math.ldexp(1.0, exponent - 53)
            n_same = min(float(n), (limit - following) / step - 2.0) if step > 0.0 else float(n)
            if following < limit and not is_tie and n_same >= 1.0:
                n_same = math.floor(n_same)
                following += n_same * step
                n -= int(n_same)
        total = following
    return total


@inlined
def add_flat(moments: Moments, n: int, mar: float, n_bars: int) -> Moments:
    """Add n bars without a position; equity stays, r is 0."""
    if n_bars > EXACT_REPEATS:
        equity = repeat_add(moments.sum_equity, moments.equity, n)
        downside = moments.sum_downside
        if mar > 0.0:
            downside = repeat_add(downside, mar * mar, n)
    else:
        equity = moments.sum_equity + n * moments.equity
        downside = moments.sum_downside + (n * (mar * mar) if mar > 0.0 else 0.0)
    return Moments(
        moments.equity,
        moments.peak,
        moments.trough,
        min(moments.min_return, 0.0),
        max(moments.max_return, 0.0),
        moments.sum_return,
        moments.sum_square,
        downside,
        equity,
        moments.n_exposed,
    )


@inlined
def build_terms(config: FloatArray) -> Terms:
    """Return a row of the configuration matrix as the engine passes it around."""
    return Terms(
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
        0.0,
        0.0,
    )


@jit_loop
def walk_combination(
    open_: FloatArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    event_bar: NDArray[np.int32],
    event_code: NDArray[np.int8],
    event_weight: FloatArray,
    n_events: int,
    config: FloatArray,
    book: FloatArray,
    out: FloatArray,
) -> bool:
    """Write the headline metrics; False where the engine itself has to be asked."""
    terms = build_terms(config)
    initial_cash = config[0]
    mar = config[16]
    has_stops = not (
        math.isnan(terms.stop_loss)
        and math.isnan(terms.take_profit)
        and math.isnan(terms.trailing_stop)
    )
    n_bars = close.size
    same_close = terms.fill == SAME_CLOSE
    delay = 0 if same_close else 1
    clear_book(book)
    account = Account(initial_cash, 0.0, 0.0, 0.0, 0, 0.0, False, initial_cash, False)
    moments = start_moments(initial_cash)
    bars = Bars(open_, high, low, close, event_code, event_weight)
    at = 0
    t = 0
    while t < n_bars:
        position = account.position
        # The next event that does something to this position.
        code = 0
        stop = n_bars
        while at < n_events:
            code = event_code[at]
            if position != 0.0 and has_stops:
                acts = True  # a stop in between would change what the events after it do
            elif position == 0.0:
                acts = (code == BUY and terms.direction != SHORT_ONLY) or (
                    code == SELL and terms.direction != LONG_ONLY
                )
            elif position > 0.0:
                acts = code != BUY
            else:
                acts = code != SELL
            if acts and event_bar[at] + delay >= t:
                stop = min(event_bar[at] + delay, n_bars)
                break
            at += 1
        if position == 0.0:
            if stop > t:
                moments = add_flat(moments, stop - t, mar, n_bars)
        elif has_stops:
            while t < stop:
                account = Account(
                    account.cash,
                    account.position,
                    account.entry_price,
                    account.best,
                    account.entry_idx,
                    0.0,
                    False,
                    account.equity,
                    False,
                )
                account = watch_stops(t, bars, account, terms, book, None)
                account = mark_bar(t, bars, account, terms, book, None)
                moments = accumulate(moments, account.equity, account.exposed, mar, 0.0, book)
                t += 1
                if account.position == 0.0:
                    break
            if account.ruined:
                break
            if account.position == 0.0:
                continue
        else:
            while t < stop:
                equity = account.cash + account.position * close[t]
                if equity <= 0.0:
                    account = mark_bar(t, bars, account, terms, book, None)
                    moments = accumulate(moments, account.equity, True, mar, 0.0, book)
                    break
                moments = accumulate(moments, equity, True, mar, 0.0, book)
                t += 1
            if account.ruined:
                break
        t = stop
        if t == n_bars:
            break
        account = Account(
            account.cash,
            account.position,
            account.entry_price,
            account.best,
            account.entry_idx,
            0.0,
            False,
            moments.equity,
            False,
        )
        if not same_close:
            account = fill_signal(t, at, code, bars, account, terms, book, None)
        if has_stops:
            account = watch_stops(t, bars, account, terms, book, None)
        if same_close:
            account = fill_signal(t, at, code, bars, account, terms, book, None)
        account = mark_bar(t, bars, account, terms, book, None)
        moments = accumulate(moments, account.equity, account.exposed, mar, 0.0, book)
        at += 1
        t += 1
        if account.ruined:
            break
    if account.ruined or lost_in_rounding(n_bars, moments):
        return False
    compute_headline(n_bars, initial_cash, moments, 0.0, book, config[14], config[15], mar, out)
    return True
