"""Sums over stretches of bars: counted where flat, from tables or mark by mark where held."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from backtest.headline import LOW_RATIO, Moments, accumulate
from backtest.jit import inlined, jit_loop
from backtest.sweep_tables import (
    CLOSE,
    DOWNSIDE,
    RETURN,
    SQUARE,
    Tables,
    read_extremes,
    read_sum,
)

FloatArray = NDArray[np.float64]

NEGLIGIBLE = 1e-14  # cash beside a position, so that returns are the close's to 1e-14 of themselves
LEAST_SQUARES = 2.5e-5  # a root of 0.5 %
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
        # Debts make the total small, and then every addition rounds in its own way.
        if n > 8 and 0.0 < value <= total:
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
    if n_bars > EXACT_REPEATS or moments.equity < 0.0:
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
) -> tuple[Moments, int]:
    """Add bars first ... stop - 1 of a long position that holds everything, up to ruin.

    Returns the bar after the last one added: marks that are walked may meet ruin.

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
            if t < block << shift:
                return moments, t
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
    return add_marks(moments, cash, position, t, stop, close, mar, book)


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
def cancels(n_bars: int, moments: Moments) -> bool:
    """Tell whether the sum of equity is small beside its parts.

    Equity is below 0 after ruin only, constant from there on, so that the parts are at most the sum
    and twice what the last equity would add up to over all bars.
    """
    return moments.equity < 0.0 and abs(moments.sum_equity) < -0.2 * n_bars * moments.equity
