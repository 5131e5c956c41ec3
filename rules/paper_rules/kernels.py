"""Compiled signals of the published rules: arrays and scalars in, a caller's signal filled.

Conventions of every ``fill_`` kernel
-------------------------------------
* `out` is int8 of shape (n_bars,), all HOLD (0) before; BUY 1, SELL -1 and EXIT 2 are written.
* Indicator rows are NaN before their warm-up; no comparison with NaN is true.
* Entry t is decided from bars <= t.

The slow, obvious twin of each stands in ``tests/unit/paper_twins.py``.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from backtest.jit import jit
from rules.indicator_kernels import Series

Signals = NDArray[np.int8]
Bars = NDArray[np.int64]
Channel = tuple[Series, Series]


@jit
def emit(before: int, after: int) -> int:
    """Return what leads from one position to another (1 long, 0 flat, -1 short); HOLD if equal."""
    if before == after:
        return 0
    return after if after != 0 else 2


@jit
def fill_band_state(short: Series, long: Series, band: float, out: Signals) -> None:
    """Follow a position: 1 where short > long (1 + band), -1 where < long (1 - band), else 0."""
    position = 0
    for t in range(short.size):
        wanted = 0
        if short[t] > long[t] * (1.0 + band):
            wanted = 1
        elif short[t] < long[t] * (1.0 - band):
            wanted = -1
        out[t] = emit(position, wanted)
        position = wanted


@jit
def fill_held_breaks(
    value: Series,
    upper: Series,
    lower: Series,
    band: float,
    hold: int,
    is_crossing: bool,
    out: Signals,
) -> None:
    """Enter where a value breaks out of a band, leave `hold` bars later, ignore all in between.

    A break is value > upper (1 + band) or value < lower (1 - band); with `is_crossing` the bar
    before must have had both values and no such break.
    """
    last_break = 0
    leave = -1
    for t in range(value.size):
        if upper[t] != upper[t] or value[t] != value[t]:
            continue
        broken = 0
        if value[t] > upper[t] * (1.0 + band):
            broken = 1
        elif value[t] < lower[t] * (1.0 - band):
            broken = -1
        is_new = broken != 0
        if is_crossing:
            was_known = t > 0 and upper[t - 1] == upper[t - 1] and value[t - 1] == value[t - 1]
            is_new = is_new and was_known and broken != last_break
        last_break = broken
        if t <= leave:
            if t == leave:
                out[t] = 2
        elif is_new:
            out[t] = broken
            leave = t + hold


@jit
def fill_near_high(close: Series, highest: Series, threshold: float, out: Signals) -> None:
    """Be long while close / highest >= threshold, else flat."""
    position = 0
    for t in range(close.size):
        wanted = 1 if close[t] / highest[t] >= threshold else 0
        out[t] = emit(position, wanted)
        position = wanted


@jit
def fill_pullback(
    close: Series, trend: Series, rsi: Series, average: Series, oversold: float, out: Signals
) -> None:
    """Buy where close > trend and rsi < oversold; leave where, on a later bar, close > average."""
    is_long = False
    for t in range(close.size):
        if is_long:
            if close[t] > average[t]:
                out[t] = 2
                is_long = False
        elif close[t] > trend[t] and rsi[t] < oversold:
            out[t] = 1
            is_long = True


@jit
def find_side(channel: Channel, price: float, t: int) -> int:
    """Return 1 above the channel of bar t, -1 below it, 0 within or where there is none."""
    if price > channel[0][t]:
        return 1
    return -1 if price < channel[1][t] else 0


@jit
def fill_channel(
    close: Series,
    channels: tuple[Channel, Channel, Channel],
    n: Series,
    skips: bool,
    out: Signals,
) -> None:
    """Enter on breakouts of one channel, leave on those of a shorter one.

    Parameters
    ----------
    channels : tuple
        Of entries, exits and the failsafe: highest high and lowest low of the bars before each bar.
    n : array
        Average true range; NaN before breakouts count.
    skips : bool
        Whether a breakout is left out if the last one would have won. `tracked` follows every
        breakout, taken or not: it ends lost where the close is 2 N or more against it or on an exit
        without profit, won on an exit with profit.
    """
    entry, leave, failsafe = channels
    position = 0
    tracked = 0
    tracked_price = 0.0
    tracked_n = 0.0
    has_won = False
    for t in range(close.size):
        price = close[t]
        if n[t] != n[t] or entry[0][t] != entry[0][t]:
            continue
        exit_side = find_side(leave, price, t)
        if tracked != 0:
            gain = tracked * (price - tracked_price)
            if gain <= -2.0 * tracked_n or tracked == -exit_side:
                has_won = gain > 0.0
                tracked = 0
        wanted = 0 if position == -exit_side else position
        side = find_side(entry, price, t)
        if side != 0 and tracked != side:
            # A breakout to the other side is an exit too, so that nothing is tracked by now.
            if not (skips and has_won):
                wanted = side
            tracked, tracked_price, tracked_n = side, price, n[t]
        if skips and wanted == 0:
            wanted = find_side(failsafe, price, t)
        out[t] = emit(position, wanted)
        position = wanted


@jit
def fill_month_positions(positions: Signals, decided: Bars, out: Signals) -> None:
    """Turn one position per month end into signals on the bars where the months are decided."""
    before = 0
    for k in range(positions.size):
        out[decided[k]] = emit(before, positions[k])
        before = positions[k]


@jit
def fill_momentum(
    close: Series, lookback: int, growth: float, goes_short: bool, decided: Bars, out: Signals
) -> None:
    """Be long after close / close `lookback` months before > growth, short or flat below it."""
    positions = np.zeros(close.size, dtype=np.int8)
    for k in range(lookback, close.size):
        ratio = close[k] / close[k - lookback]
        if ratio > growth:
            positions[k] = 1
        elif goes_short and ratio < growth:
            positions[k] = -1
    fill_month_positions(positions, decided, out)


@jit
def fill_above_average(close: Series, average: Series, decided: Bars, out: Signals) -> None:
    """Be long while the month-end close lies above its average, else flat."""
    positions = np.zeros(close.size, dtype=np.int8)
    for k in range(close.size):
        positions[k] = 1 if close[k] > average[k] else 0
    fill_month_positions(positions, decided, out)


@jit
def fill_cohorts(close: Series, formation: int, holding: int, decided: Bars, out: Signals) -> None:
    """Take the sign of the sum of the last `holding` months' signs of `formation`-month returns."""
    n = close.size
    positions = np.zeros(n, dtype=np.int8)
    signs = np.zeros(n, dtype=np.int64)
    total = 0
    for k in range(formation, n):
        rise = close[k] - close[k - formation]
        signs[k] = 1 if rise > 0.0 else (-1 if rise < 0.0 else 0)
        total += signs[k]
        if k >= holding:
            total -= signs[k - holding]
        positions[k] = 1 if total > 0 else (-1 if total < 0 else 0)
    fill_month_positions(positions, decided, out)


@jit
def fill_reversal(close: Series, formation: int, holding: int, decided: Bars, out: Signals) -> None:
    """Be long for `holding` months after a loss over `formation` months; judge anew at the end."""
    n = close.size
    positions = np.zeros(n, dtype=np.int8)
    until = -1
    for k in range(formation, n):
        if k >= until and close[k] < close[k - formation]:
            until = k + holding
        positions[k] = 1 if k < until else 0
    fill_month_positions(positions, decided, out)


@jit
def fill_ex_ante_volatility(
    close: Series, center_of_mass: float, periods_per_year: float, out: Series
) -> None:
    """Fill the annualised, exponentially weighted deviation of simple returns around their mean.

    Weights (1 - d) d^i with d / (1 - d) = `center_of_mass`, scaled to a sum of 1 over the returns
    that there are; NaN before the first return. West's update, so that nothing cancels: D. H. D.
    West, Updating mean and variance estimates, Communications of the ACM 22(9), 1979.
    """
    decay = center_of_mass / (1.0 + center_of_mass)
    total, mean, squares = 0.0, 0.0, 0.0
    for t in range(close.size):
        if t == 0:
            out[t] = np.nan
            continue
        value = close[t] / close[t - 1] - 1.0
        total = decay * total + 1.0
        distance = value - mean
        mean += distance / total
        squares = decay * squares + distance * (value - mean)
        out[t] = math.sqrt(squares / total * periods_per_year)
