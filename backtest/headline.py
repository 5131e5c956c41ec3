"""Headline metrics from running sums: taken bar by bar while streaming, or from recorded output.

Both roads call `accumulate` in bar order, `count_trade` in trade order and `compute_headline` at
the end, so that they agree bit for bit. A sweep kernel that runs combinations side by side repeats
these sums, in this order, per combination.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtest.jit import inlined, jit_loop

FloatArray = NDArray[np.float64]

N_HEADLINE = 13

# What changes only when something fills or a drawdown ends lives in memory, one float64 each: the
# bar loop's registers are for what changes on every bar. Counts are exact up to 2^53.
BOOK_SIZE = 10
N_CLOSED, N_WINS, SUM_PNL, SUM_WON, SUM_LOST = 0, 1, 2, 3, 4
FILL_VALUE, N_REJECTED, N_FILLS, ENTRY_FEE, LOW_RATIO = 5, 6, 7, 8, 9  # smallest trough / peak


class Moments(NamedTuple):
    """Running sums over the equity curve, in bar order; r is the return of a bar."""

    equity: float  # at the previous mark
    peak: float
    trough: float  # lowest equity since the peak
    min_return: float
    max_return: float
    sum_return: float  # sum of r - shift
    sum_square: float  # sum of (r - shift)^2
    sum_downside: float  # sum of min(r - mar, 0)^2
    sum_equity: float
    n_exposed: int


@inlined
def clear_book(book: FloatArray) -> None:
    """Empty the book; before the first bar equity stands at its peak."""
    book[:] = 0.0
    book[LOW_RATIO] = 1.0


@inlined
def count_trade(pnl: float, book: FloatArray) -> None:
    """Add one closed trade; a trade that neither wins nor loses counts as a trade only."""
    book[N_CLOSED] += 1.0
    book[SUM_PNL] += pnl
    if pnl > 0.0:
        book[N_WINS] += 1.0
        book[SUM_WON] += pnl
    elif pnl < 0.0:
        book[SUM_LOST] += pnl


@inlined
def start_moments(initial_cash: float) -> Moments:
    """Return the sums before the first bar."""
    return Moments(
        initial_cash, initial_cash, initial_cash, math.inf, -math.inf, 0.0, 0.0, 0.0, 0.0, 0
    )


@inlined
def accumulate(
    moments: Moments, equity: float, exposed: bool, mar: float, shift: float, book: FloatArray
) -> Moments:
    """Add one mark to the running sums; after ruin, where equity is constant, r is 0.

    A trough is divided by its peak only when the next peak ends it and it may be the lowest ratio
    yet. The guard is wider than the rounding of both sides, so that the lowest is exactly that of
    all marks; it lies in memory because a compiler that sees it in a register divides on every bar.
    """
    change = equity / moments.equity - 1.0 if moments.equity > 0.0 else 0.0
    rises = equity > moments.peak
    if rises & (moments.trough < book[LOW_RATIO] * moments.peak * (1.0 + 1e-15)):
        book[LOW_RATIO] = min(book[LOW_RATIO], moments.trough / moments.peak)
    shortfall = change - mar if change < mar else 0.0
    shifted = change - shift
    return Moments(
        equity,
        equity if rises else moments.peak,
        equity if rises | (equity < moments.trough) else moments.trough,
        change if change < moments.min_return else moments.min_return,
        change if change > moments.max_return else moments.max_return,
        moments.sum_return + shifted,
        moments.sum_square + shifted * shifted,
        moments.sum_downside + shortfall * shortfall,
        moments.sum_equity + equity,
        moments.n_exposed + exposed,
    )


@inlined
def lost_in_rounding(n_bars: int, moments: Moments) -> bool:
    """Tell whether the spread of r about its mean is too small to be taken from raw sums.

    The sum of squares about the mean is a difference of two sums; where it is under a thousandth
    of them, three digits cancel, and the sums are taken again, shifted by the mean. Returns that
    never vary need no second pass.
    """
    about_mean = moments.sum_square - moments.sum_return * moments.sum_return / n_bars
    return moments.min_return < moments.max_return and about_mean < 1e-3 * moments.sum_square


@inlined
def finite_or_nan(value: float) -> float:
    """Return the value, NaN for an infinite one: undefined is never infinity."""
    return value if abs(value) < math.inf else math.nan


@inlined
def divide(numerator: float, denominator: float) -> float:
    """Return the quotient, NaN where the denominator is 0."""
    return numerator / denominator if denominator != 0.0 else math.nan


@inlined
def compute_headline(
    n_bars: int,
    initial_cash: float,
    moments: Moments,
    shift: float,
    book: FloatArray,
    periods_per_year: float,
    risk_free: float,
    mar: float,
    out: FloatArray,
) -> None:
    """Write the thirteen headline metrics, in their order in definitions.md section 4.

    `risk_free` and `mar` are per bar; of `book` all but its scratch entries are read. Equity beyond
    float64 leaves no curve to measure: everything but the count is undefined.
    """
    if not abs(moments.sum_equity) < math.inf:
        out[:] = math.nan
        out[12] = book[N_CLOSED]
        return
    growth = moments.equity / initial_cash
    mean = shift + moments.sum_return / n_bars
    squares = moments.sum_square - moments.sum_return * moments.sum_return / n_bars
    deviation = math.nan
    if n_bars > 1:
        varies = moments.min_return < moments.max_return
        deviation = math.sqrt(max(squares, 0.0) / (n_bars - 1)) if varies else 0.0
    per_year = math.sqrt(periods_per_year)
    downside = math.sqrt(moments.sum_downside / n_bars)
    cagr = growth ** (periods_per_year / n_bars) - 1.0 if growth >= 0.0 else math.nan
    drawdown = min(book[LOW_RATIO], moments.trough / moments.peak) - 1.0
    n_closed = book[N_CLOSED]
    out[0] = growth - 1.0
    out[1] = cagr
    out[2] = deviation * per_year
    out[3] = divide(mean - risk_free, deviation) * per_year
    out[4] = divide((mean - mar) * per_year, downside)
    out[5] = drawdown
    out[6] = divide(cagr, abs(drawdown))
    out[7] = divide(book[N_WINS], n_closed)
    out[8] = divide(book[SUM_WON], abs(book[SUM_LOST]))
    out[9] = divide(book[SUM_PNL], n_closed)
    out[10] = moments.n_exposed / n_bars
    out[11] = divide(book[FILL_VALUE], moments.sum_equity / n_bars) * periods_per_year / n_bars
    out[12] = n_closed
    for i in range(N_HEADLINE):
        out[i] = finite_or_nan(out[i])


@jit_loop
def measure_kernel(
    equity: FloatArray,
    exposed: NDArray[np.bool_],
    pnl: FloatArray,
    fill_value: float,
    initial_cash: float,
    periods_per_year: float,
    risk_free: float,
    mar: float,
    book: FloatArray,
    out: FloatArray,
) -> None:
    """Write the headline metrics of recorded output, bit for bit those of `stream_kernel`.

    Parameters
    ----------
    equity, exposed : arrays of shape (n_bars,)
        As in `engine.EngineResult`.
    pnl : array of shape (n_closed,)
        Of the closed trades only, in their order.
    fill_value, initial_cash : float
        Sum of shares times price over all fills; the cash before the first bar. Currency.
    periods_per_year, risk_free, mar : float
        The rates are per bar.
    book : array of shape (10,)
        Scratch.
    out : array of shape (13,)
        Receives `engine.HEADLINE_METRICS`; NaN where undefined.
    """
    clear_book(book)
    book[FILL_VALUE] = fill_value
    for value in pnl:
        count_trade(value, book)
    shift = 0.0
    moments = start_moments(initial_cash)
    for attempt in range(2):
        moments = start_moments(initial_cash)
        for t in range(equity.size):
            moments = accumulate(moments, equity[t], exposed[t], mar, shift, book)
        if attempt == 1 or not lost_in_rounding(equity.size, moments):
            break
        shift = moments.sum_return / equity.size
    compute_headline(
        equity.size, initial_cash, moments, shift, book, periods_per_year, risk_free, mar, out
    )
