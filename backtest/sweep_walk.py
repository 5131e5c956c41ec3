"""One combination by jumps: from event to event, looking only at the bars that hold a position.

Fills, stops and marks are the engine's own functions, so that the account is the engine's bit for
bit, and each return is; what differs is that flat bars are counted instead of visited.

A walk can stop at any bar and go on later: over long bars many combinations walk the same stretch
one after the other, while it lies in the cache.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from backtest.accounts import BUY, LONG_ONLY, SAME_CLOSE, SELL, SHORT_ONLY, Account, Bars, Terms
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
from backtest.sweep_sums import NEGLIGIBLE, add_flat, add_held, add_marks, cancels, is_sound
from backtest.sweep_tables import Tables, find_shift

FloatArray = NDArray[np.float64]

# A walk between two bars, one float64 each: bar, account (1 to 7), whether tables were used,
# moments (9 to 18), and from `BOOK` on the book. Rows begin at cache lines.
USED_TABLES, BOOK = 8, 24
STATE_SIZE = 40


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


@inlined
def move_account(account: Account, equity: float, best: float) -> Account:
    """Return the account as it enters another bar."""
    return Account(
        account.cash,
        account.position,
        account.entry_price,
        best,
        account.entry_idx,
        0.0,
        False,
        equity,
        False,
    )


@inlined
def skip_quiet(t: int, stop: int, account: Account, terms: Terms, bars: Bars) -> tuple[int, float]:
    """Return the first bar from t on that may touch a stop, or `stop`; and the best before it.

    Levels and comparisons are those of `bar_step.find_exit`. Without a trailing stop nothing reads
    the best price, and it is not kept.
    """
    side = 1.0 if account.position > 0.0 else -1.0
    against = bars.low if side > 0.0 else bars.high
    favour = bars.high if side > 0.0 else bars.low
    level = side * (account.entry_price * (1.0 - side * terms.stop_loss))
    profit = side * (account.entry_price * (1.0 + side * terms.take_profit))
    best = account.best
    if math.isnan(terms.trailing_stop):
        while t < stop and not (side * against[t] <= level) | (side * favour[t] >= profit):
            t += 1
        return t, best
    while t < stop:
        before = bars.close[t - 1]
        following = max(best, before) if side > 0.0 else min(best, before)
        trailing = side * (following * (1.0 - side * terms.trailing_stop))
        worst = side * against[t]
        if (worst <= level) | (worst <= trailing) | (side * favour[t] >= profit):
            break
        best = following
        t += 1
    return t, best


@inlined
def find_event(
    at: int,
    n_events: int,
    event_code: NDArray[np.int8],
    event_bar: NDArray[np.int32],
    earliest: int,
    position: float,
    direction: int,
    any_code: bool,
) -> int:
    """Return the first event from `at` on that lies late enough and acts on the position."""
    while at < n_events:
        code = event_code[at]
        if position == 0.0:
            acts = (code == BUY and direction != SHORT_ONLY) or (
                code == SELL and direction != LONG_ONLY
            )
        else:
            acts = any_code or code != (BUY if position > 0.0 else SELL)
        if acts and event_bar[at] >= earliest:
            break
        at += 1
    return at


@inlined
def trade_bar(
    t: int,
    decided: int,
    code: int,
    has_stops: bool,
    bars: Bars,
    account: Account,
    terms: Terms,
    book: FloatArray,
) -> Account:
    """Trade a bar in which a signal fills (0 for none) or a stop may be touched, and mark it.

    The order is that of `bar_step.step_bar`; `decided` numbers the event, and so its weight.
    """
    if code != 0 and terms.fill != SAME_CLOSE:
        account = fill_signal(t, decided, code, bars, account, terms, book, None)
    if has_stops:
        account = watch_stops(t, bars, account, terms, book, None)
    if code != 0 and terms.fill == SAME_CLOSE:
        account = fill_signal(t, decided, code, bars, account, terms, book, None)
    return mark_bar(t, bars, account, terms, book, None)


@inlined
def watches(terms: Terms) -> bool:
    """Tell whether any stop is on."""
    return not (
        math.isnan(terms.stop_loss)
        and math.isnan(terms.take_profit)
        and math.isnan(terms.trailing_stop)
    )


@inlined
def load_account(state: FloatArray) -> Account:
    """Return the account as `store_walk` left it."""
    return Account(
        state[1], state[2], state[3], state[4], int(state[5]), 0.0, False, state[6], state[7] != 0.0
    )


@inlined
def load_moments(state: FloatArray) -> Moments:
    """Return the sums as `store_walk` left them."""
    return Moments(
        state[9],
        state[10],
        state[11],
        state[12],
        state[13],
        state[14],
        state[15],
        state[16],
        state[17],
        int(state[18]),
    )


@inlined
def store_walk(
    t: int, account: Account, used_tables: bool, moments: Moments, state: FloatArray
) -> None:
    """Write down a walk between two bars; counts are exact up to 2^53."""
    state[0] = t
    state[1], state[2] = account.cash, account.position
    state[3], state[4], state[5] = account.entry_price, account.best, account.entry_idx
    state[6], state[7] = account.equity, account.ruined
    state[USED_TABLES] = used_tables
    state[9], state[10], state[11] = moments.equity, moments.peak, moments.trough
    state[12], state[13] = moments.min_return, moments.max_return
    state[14], state[15] = moments.sum_return, moments.sum_square
    state[16], state[17], state[18] = moments.sum_downside, moments.sum_equity, moments.n_exposed


@inlined
def start_walk(initial_cash: float, state: FloatArray) -> None:
    """Write down a walk before the first bar; see `advance_walk`."""
    clear_book(state[BOOK:])
    account = Account(initial_cash, 0.0, 0.0, 0.0, 0, 0.0, False, initial_cash, False)
    store_walk(0, account, False, start_moments(initial_cash), state)


@jit_loop
def advance_walk(
    open_: FloatArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    event_bar: NDArray[np.int32],
    event_code: NDArray[np.int8],
    event_weight: FloatArray,
    n_events: int,
    tables: Tables,
    with_tables: bool,
    limit: int,
    config: FloatArray,
    state: FloatArray,
) -> None:
    """Walk on up to a bar.

    Parameters
    ----------
    open_, high, low, close : array of shape (n_bars,)
    event_bar, event_code, event_weight : array of shape (n_events,) or more
        Events of the combination in bar order, all that may fill before bar `limit` and have not;
        earlier and later ones do no harm. `event_weight` is empty for none.
    tables : Tables
        For the `mar` of the configuration.
    with_tables : bool
        Whether to use them; without them all sums are those of marks, bar by bar.
    limit : int
        The first bar that is not walked, `n_bars` at most. Sums are taken up to it, so that the
        last bits of a result depend on where a walk is interrupted.
    config : array of shape (17,)
        A row of the configuration matrix, without financing.
    state : array of shape (STATE_SIZE,)
        From `start_walk` or an earlier call; its end is the book of `headline`.
    """
    terms = build_terms(config)
    mar = config[16]
    has_stops = watches(terms)
    n_bars = close.size
    shift = find_shift(n_bars)
    same_close = terms.fill == SAME_CLOSE
    delay = 0 if same_close else 1
    bars = Bars(open_, high, low, close, event_code, event_weight)
    book = state[BOOK:]
    account, moments = load_account(state), load_moments(state)
    used_tables = state[USED_TABLES] != 0.0
    at = 0
    t = int(state[0])
    while t < limit and not account.ruined:
        position = account.position
        # After a stop at a bar, an event that meant nothing to the position fills at its close.
        ahead = find_event(
            at,
            n_events,
            event_code,
            event_bar,
            t - delay,
            position,
            terms.direction,
            has_stops & same_close,
        )
        stop = min(event_bar[ahead] + delay, limit) if ahead < n_events else limit
        if position == 0.0:
            at = ahead
            if stop > t:
                moments = add_flat(moments, stop - t, mar, n_bars)
            t = stop
        else:
            best = account.best
            following = stop
            if has_stops:
                following, best = skip_quiet(t, stop, account, terms, bars)
                account = move_account(account, moments.equity, best)
            is_close = abs(account.cash) <= NEGLIGIBLE * position * account.entry_price
            if with_tables and is_close:
                used_tables = True
                moments, t = add_held(
                    moments, account.cash, position, t, following, close, tables, shift, mar, book
                )
            else:
                moments, t = add_marks(
                    moments, account.cash, position, t, following, close, mar, book
                )
        if t == limit:
            break
        account = move_account(account, moments.equity, account.best)
        code = 0
        if t == stop:
            code = event_code[ahead]
            at = ahead + 1
        account = trade_bar(t, ahead, code, has_stops, bars, account, terms, book)
        moments = accumulate(moments, account.equity, account.exposed, mar, 0.0, book)
        t += 1
    if t < limit:
        moments = add_flat(moments, limit - t, mar, n_bars)
        t = limit
    store_walk(t, account, used_tables, moments, state)


@jit_loop
def finish_walk(n_bars: int, config: FloatArray, state: FloatArray, out: FloatArray) -> bool:
    """Write the headline metrics of a walk over all bars; False where another way has to be taken.

    Parameters
    ----------
    config, state : arrays
        As in `advance_walk`.
    out : array of shape (13,)
        The result, as in `engine_kernels.stream_kernel`.
    """
    moments = load_moments(state)
    mar = config[16]
    used_tables = state[USED_TABLES] != 0.0
    if (lost_in_rounding(n_bars, moments) | cancels(n_bars, moments)) or (
        used_tables and not is_sound(n_bars, moments, mar, config[14])
    ):
        return False
    compute_headline(
        n_bars, config[0], moments, 0.0, state[BOOK:], config[14], config[15], mar, out
    )
    return True
