"""One combination by jumps: from event to event, looking only at the bars that hold a position.

Fills, stops and marks are the engine's own functions, so that the account is the engine's bit for
bit, and each return is; what differs is that flat bars are counted instead of visited.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from backtest.accounts import BUY, LONG_ONLY, SAME_CLOSE, SELL, SHORT_ONLY, Account, Bars, Terms
from backtest.bar_step import fill_signal, mark_bar, watch_stops
from backtest.headline import (
    LOW_RATIO,
    Moments,
    accumulate,
    clear_book,
    compute_headline,
    lost_in_rounding,
    start_moments,
)
from backtest.jit import inlined, jit_loop
from backtest.sweep_tables import (
    CLOSE,
    DOWNSIDE,
    RETURN,
    SQUARE,
    Tables,
    find_shift,
    read_extremes,
    read_sum,
)

FloatArray = NDArray[np.float64]

NEGLIGIBLE = 1e-14  # cash beside a position, so that returns are the close's to 1e-14 of themselves
LEAST_SQUARES = 1e-4  # a root of 1 %
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
def follow_peak(peak: float, trough: float, equity: float, book: FloatArray) -> tuple[float, float]:
    """Return peak and trough after a mark; `headline.accumulate` says how."""
    rises = equity > peak
    if rises & (trough < book[LOW_RATIO] * peak * (1.0 + 1e-15)):
        book[LOW_RATIO] = min(book[LOW_RATIO], trough / peak)
    return equity if rises else peak, equity if rises | (equity < trough) else trough


@inlined
def add_four(
    moments: Moments, a: float, b: float, c: float, d: float, mar: float, book: FloatArray
) -> Moments:
    """Add four marks above 0 of a position, summed as pairs.

    One mark after the other waits for the sums of the one before; four at a time do not, and
    their divisions share an instruction where the processor has one for it.
    """
    before = moments.equity
    p, q, r, s = a / before - 1.0, b / a - 1.0, c / b - 1.0, d / c - 1.0
    v, w, x, y = min(p - mar, 0.0), min(q - mar, 0.0), min(r - mar, 0.0), min(s - mar, 0.0)
    peak, trough = moments.peak, moments.trough
    if max(max(a, b), max(c, d)) > peak:
        peak, trough = follow_peak(peak, trough, a, book)
        peak, trough = follow_peak(peak, trough, b, book)
        peak, trough = follow_peak(peak, trough, c, book)
        peak, trough = follow_peak(peak, trough, d, book)
    else:
        trough = min(trough, min(min(a, b), min(c, d)))
    return Moments(
        d,
        peak,
        trough,
        min(moments.min_return, min(min(p, q), min(r, s))),
        max(moments.max_return, max(max(p, q), max(r, s))),
        moments.sum_return + ((p + q) + (r + s)),
        moments.sum_square + ((p * p + q * q) + (r * r + s * s)),
        moments.sum_downside + ((v * v + w * w) + (x * x + y * y)),
        moments.sum_equity + ((a + b) + (c + d)),
        moments.n_exposed + 4,
    )


@inlined
def add_marks(
    moments: Moments,
    cash: float,
    position: float,
    first: int,
    stop: int,
    close: FloatArray,
    mar: float,
    book: FloatArray,
) -> tuple[Moments, int]:
    """Add bars first ... stop - 1 with a position, up to ruin; return the bar after the last."""
    t = first
    while t + 4 <= stop:
        a, b = cash + position * close[t], cash + position * close[t + 1]
        c, d = cash + position * close[t + 2], cash + position * close[t + 3]
        if min(min(a, b), min(c, d)) <= 0.0:
            break
        moments = add_four(moments, a, b, c, d, mar, book)
        t += 4
    while t < stop:
        equity = cash + position * close[t]
        if equity <= 0.0:
            break
        moments = accumulate(moments, equity, True, mar, 0.0, book)
        t += 1
    return moments, t


@inlined
def add_held(
    moments: Moments,
    cash: float,
    position: float,
    first: int,
    stop: int,
    close: FloatArray,
    tables: Tables,
    shift: int,
    mar: float,
    book: FloatArray,
) -> Moments:
    """Add bars first ... stop - 1 of a long position that holds everything.

    Cash is what rounding left over. Whole blocks come from the tables, if cash is nothing beside
    the position even at its lowest; the rest is walked.
    """
    block = (first + (1 << shift) - 1) >> shift
    block_stop = stop >> shift
    t = first
    if block_stop > block:
        lowest, highest, fall = read_extremes(tables, block, block_stop)
        if abs(cash) <= NEGLIGIBLE * position * lowest:
            moments, t = add_marks(moments, cash, position, t, block << shift, close, mar, book)
            t = block_stop << shift
            n_held = (block_stop - block) << shift
            low, high = cash + position * lowest, cash + position * highest
            # Every ratio so far goes into the book: a trough need not be remembered.
            ratio = min(book[LOW_RATIO], fall)
            depth = min(low, moments.trough)
            if depth < ratio * moments.peak:
                ratio = depth / moments.peak
            book[LOW_RATIO] = ratio
            equity = cash + position * close[t - 1]
            moments = Moments(
                equity,
                max(moments.peak, high),
                equity,
                -math.inf,  # not known, and different: the guards at the end see to that
                math.inf,
                moments.sum_return + read_sum(tables, RETURN, block, block_stop),
                moments.sum_square + read_sum(tables, SQUARE, block, block_stop),
                moments.sum_downside + read_sum(tables, DOWNSIDE, block, block_stop),
                moments.sum_equity
                + (position * read_sum(tables, CLOSE, block, block_stop) + n_held * cash),
                moments.n_exposed + n_held,
            )
    moments, t = add_marks(moments, cash, position, t, stop, close, mar, book)
    return moments


@inlined
def is_sound(n_bars: int, moments: Moments, mar: float, periods_per_year: float) -> bool:
    """Tell whether the sums from tables are exact enough for every metric.

    A return from the tables is off by up to 2e-16; dividing by a root of sums of squares, times
    the root of the year, must not make 1e-12 of it.
    """
    about_mean = moments.sum_square - moments.sum_return * moments.sum_return / n_bars
    enough = LEAST_SQUARES * max(1.0, periods_per_year / 252.0)
    has_shortfall = moments.sum_downside >= enough or (mar == 0.0 and moments.sum_downside == 0.0)
    return (
        moments.sum_square >= enough
        and about_mean >= 0.1 * moments.sum_square
        and has_shortfall
        and moments.sum_equity < math.inf
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
    tables: Tables,
    with_tables: bool,
    config: FloatArray,
    book: FloatArray,
    out: FloatArray,
) -> bool:
    """Write the headline metrics; False where another way has to be taken.

    Parameters
    ----------
    open_, high, low, close : array of shape (n_bars,)
    event_bar, event_code, event_weight : array of shape (n_events,) or more
        The combination's events in bar order; `event_weight` is empty for none.
    tables : Tables
        For the `mar` of the configuration.
    with_tables : bool
        Whether to use them; without them all sums are those of marks, bar by bar.
    config : array of shape (17,)
        A row of the configuration matrix, without financing.
    book, out : array of shape (10,) and (13,)
        Scratch and result, as in `engine_kernels.stream_kernel`.
    """
    terms = build_terms(config)
    mar = config[16]
    has_stops = watches(terms)
    n_bars = close.size
    shift = find_shift(n_bars)
    same_close = terms.fill == SAME_CLOSE
    delay = 0 if same_close else 1
    clear_book(book)
    account = Account(config[0], 0.0, 0.0, 0.0, 0, 0.0, False, config[0], False)
    moments = start_moments(config[0])
    bars = Bars(open_, high, low, close, event_code, event_weight)
    used_tables = False
    at = 0
    t = 0
    while t < n_bars and not account.ruined:
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
        stop = min(event_bar[ahead] + delay, n_bars) if ahead < n_events else n_bars
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
                moments = add_held(
                    moments, account.cash, position, t, following, close, tables, shift, mar, book
                )
                t = following
            else:
                moments, t = add_marks(
                    moments, account.cash, position, t, following, close, mar, book
                )
        if t == n_bars:
            break
        account = move_account(account, moments.equity, account.best)
        code = 0
        if t == stop:
            code = event_code[ahead]
            at = ahead + 1
        account = trade_bar(t, ahead, code, has_stops, bars, account, terms, book)
        moments = accumulate(moments, account.equity, account.exposed, mar, 0.0, book)
        t += 1
    if t < n_bars:
        moments = add_flat(moments, n_bars - t, mar, n_bars)
    is_lost = lost_in_rounding(n_bars, moments)
    if is_lost | (used_tables and not is_sound(n_bars, moments, mar, config[14])):
        return False
    compute_headline(n_bars, config[0], moments, 0.0, book, config[14], config[15], mar, out)
    return True
