"""Compiled indicator kernels: arrays and scalars in, a caller's array filled; no validation.

`rules.technical_indicators` wraps them for people; other compiled code calls them directly and
brings its own output arrays, so that nothing is allocated per call where that matters.

Conventions of every ``fill_`` kernel
-------------------------------------
* All arrays are one-dimensional, float64 and of equal length; windows are at least 1.
* Value t uses inputs at bars <= t only; entries before warm-up are NaN, all of them where the
  input is shorter than the warm-up. Leading NaN of an input (the warm-up of another indicator)
  are skipped; a NaN after that reaches every value that depends on it. Bars themselves hold none.
* No running sums over the whole series. A value that enters a running sum leaves its rounding
  error there for good, and after a million bars, or one spike, the error is visible. Windows are
  summed blockwise instead (`fill_moments` says how), at the same cost of two additions a bar.

The order of operations is TA-Lib's where that is sound, and fast-math stays off: one unit in the
last place can flip a trade.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from backtest.jit import jit

Series = NDArray[np.float64]
Flags = NDArray[np.bool_]


@jit
def find_start(x: Series) -> int:
    """Return the index of the first entry that is not NaN, the length if there is none."""
    for t in range(x.size):
        if x[t] == x[t]:
            return t
    return x.size


@jit
def fill_nan(out: Series, stop: int) -> None:
    """Set the first `stop` entries to NaN, at most all."""
    for t in range(min(stop, out.size)):
        out[t] = np.nan


@jit
def compute_mean(pivot: float, deviation: float, window: int) -> float:
    """Return the mean of a window from a member of it and the sum of deviations from it.

    Exact where the sums are: a constant window gives its constant, and windows over whole numbers
    whose means are equal compare equal, so that averages of a flat market never cross by rounding.
    """
    return pivot if deviation == 0.0 else (window * pivot + deviation) / window


@jit
def compute_window_mean(x: Series, start: int, window: int) -> float:
    """Return the mean of ``x[start : start + window]``, summed in order."""
    pivot = x[start]
    deviation, total = 0.0, 0.0
    for i in range(start, start + window):
        deviation += abs(x[i] - pivot)
        total += x[i]
    return pivot if deviation == 0.0 else total / window


@jit
def fill_sma(x: Series, window: int, out: Series) -> None:
    """Fill the simple moving average; see `fill_moments` for the blockwise sums."""
    n = x.size
    base = find_start(x)
    fill_nan(out, base + window - 1)
    while base + window <= n:
        last = base + window - 1
        pivot = x[last]
        total = 0.0
        for i in range(last, base - 1, -1):
            total += x[i] - pivot
            if i + window - 1 < n:
                out[i + window - 1] = total
        total = 0.0
        for t in range(last, min(last + window, n)):
            total += x[t] - pivot
            out[t] = compute_mean(pivot, out[t] + total, window)
        base += window


@jit
def fill_moments(x: Series, window: int, ddof: int, mean: Series, std: Series) -> None:
    """Fill the rolling mean and standard deviation of the `window` values ending at t.

    The series is cut into blocks of `window` values. The windows that start in one block all
    contain the block's last value, the pivot, and consist of a tail of that block and a head of
    the next one. So one pass backwards (sums over tails) and one forwards (sums over heads) give
    every window without a subtraction, and only values of the window itself enter. Deviations are
    taken from the pivot: being a member it bounds the cancellation in
    ``sum(d^2) - sum(d)^2 / window``, which is at least half the largest d^2 and so never rounded
    below 0; and in a constant window both sums, and so the standard deviation, are exactly 0.
    """
    n = x.size
    base = find_start(x)
    share, freedom = 1.0 / window, 1.0 / (window - ddof)
    fill_nan(mean, base + window - 1)
    fill_nan(std, base + window - 1)
    while base + window <= n:
        last = base + window - 1
        pivot = x[last]
        first_sum, second_sum = 0.0, 0.0
        for i in range(last, base - 1, -1):
            deviation = x[i] - pivot
            first_sum += deviation
            second_sum += deviation * deviation
            if i + window - 1 < n:
                mean[i + window - 1] = first_sum
                std[i + window - 1] = second_sum
        first_sum, second_sum = 0.0, 0.0
        for t in range(last, min(last + window, n)):
            deviation = x[t] - pivot
            first_sum += deviation
            second_sum += deviation * deviation
            total = mean[t] + first_sum
            spread = std[t] + second_sum - total * total * share
            mean[t] = compute_mean(pivot, total, window)
            std[t] = math.sqrt(spread * freedom)
        base += window


@jit
def fill_extreme(x: Series, window: int, sign: float, out: Series) -> None:
    """Fill the rolling maximum (`sign` 1.0) or minimum (-1.0), by the blocks of `fill_moments`."""
    n = x.size
    base = find_start(x)
    fill_nan(out, base + window - 1)
    while base + window <= n:
        last = base + window - 1
        best = sign * x[last]
        for i in range(last, base - 1, -1):
            value = sign * x[i]
            best = value if value > best or value != value else best
            if i + window - 1 < n:
                out[i + window - 1] = best
        best = sign * x[last]
        for t in range(last, min(last + window, n)):
            value = sign * x[t]
            best = value if value > best or value != value else best
            tail = out[t]
            out[t] = sign * (best if best > tail or best != best else tail)
        base += window


@jit
def fill_ema(x: Series, window: int, seed: int, out: Series) -> None:
    """Fill the exponential moving average, alpha 2 / (window + 1), first value at bar `seed`.

    The first value is the mean of the `window` values ending there, which must exist.
    """
    fill_nan(out, seed)
    if seed >= x.size:
        return
    alpha = 2.0 / (window + 1)
    average = compute_window_mean(x, seed - window + 1, window)
    out[seed] = average
    for t in range(seed + 1, x.size):
        average = (x[t] - average) * alpha + average
        out[t] = average


@jit
def fill_rsi(x: Series, window: int, out: Series) -> None:
    """Fill Wilder's relative strength index, first value `window` bars after the first input."""
    start = find_start(x)
    fill_nan(out, start + window)
    if start + window >= x.size:
        return
    gain, loss = 0.0, 0.0
    for t in range(start + 1, start + window + 1):
        change = x[t] - x[t - 1]
        rise = 0.5 * (abs(change) + change)  # max(change, 0) without a branch; NaN stays NaN
        gain += rise
        loss += rise - change
    gain /= window
    loss /= window
    out[start + window] = compute_strength(gain, loss)
    for t in range(start + window + 1, x.size):
        change = x[t] - x[t - 1]
        rise = 0.5 * (abs(change) + change)
        gain = (gain * (window - 1) + rise) / window
        loss = (loss * (window - 1) + (rise - change)) / window
        out[t] = compute_strength(gain, loss)


@jit
def compute_strength(gain: float, loss: float) -> float:
    """Return 100 G / (G + L), 50 where nothing moved."""
    total = gain + loss
    return 50.0 if total == 0.0 else 100.0 * (gain / total)


@jit
def fill_macd(
    x: Series, windows: tuple[int, int, int], line: Series, signal_line: Series, histogram: Series
) -> None:
    """Fill MACD of ``windows = (fast, slow, signal)`` with fast <= slow.

    All three are NaN before slow + signal - 2. `histogram` holds the fast average
    meanwhile, so that no scratch array is needed.
    """
    fast, slow, signal = windows
    start = find_start(x)
    seed = start + slow - 1
    fill_ema(x, fast, seed, histogram)
    fill_ema(x, slow, seed, line)
    for t in range(min(seed, x.size), x.size):
        line[t] = histogram[t] - line[t]
    fill_ema(line, signal, seed + signal - 1, signal_line)
    fill_nan(line, seed + signal - 1)
    for t in range(x.size):
        histogram[t] = line[t] - signal_line[t]


@jit
def compute_true_range(high: Series, low: Series, close: Series, t: int) -> float:
    """Return the true range of bar t >= 1: the bar's range with the previous close included."""
    span: float = high[t] - low[t]
    up: float = abs(high[t] - close[t - 1])
    down: float = abs(low[t] - close[t - 1])
    greatest = up if up > down else down
    return span if span > greatest else greatest


@jit
def fill_atr(high: Series, low: Series, close: Series, window: int, out: Series) -> None:
    """Fill the average true range: the mean of TR[1..window], then Wilder's smoothing."""
    n = high.size
    fill_nan(out, window)
    if window >= n:
        return
    average = 0.0
    for t in range(1, window + 1):
        average += compute_true_range(high, low, close, t)
    average /= window
    out[window] = average
    for t in range(window + 1, n):
        true_range = compute_true_range(high, low, close, t)
        average = (average * (window - 1) + true_range) / window
        out[t] = average


@jit
def fill_adx(high: Series, low: Series, close: Series, window: int, out: Series) -> None:
    """Fill the average directional index, Wilder 1978, first value at 2 window - 1.

    Sums of true range and directional movement start over window - 1 bars, TA-Lib's convention.
    Where there is no movement at all DX is undefined and the index keeps its value.
    """
    n = high.size
    fill_nan(out, 2 * window - 1)
    if 2 * window - 1 >= n:
        return
    plus, minus, span = 0.0, 0.0, 0.0
    average = 0.0
    for t in range(1, n):
        if t >= window:
            plus -= plus / window
            minus -= minus / window
            span -= span / window
        up, down = high[t] - high[t - 1], low[t - 1] - low[t]
        if down > 0.0 and up < down:
            minus += down
        elif up > 0.0 and up > down:
            plus += up
        span += compute_true_range(high, low, close, t)
        if t < window:
            continue
        index = compute_directional_index(plus, minus, span)
        if t < 2 * window:
            average += 0.0 if index < 0.0 else index
            if t == 2 * window - 1:
                average /= window
        elif not index < 0.0:  # NaN goes on
            average = (average * (window - 1) + index) / window
        if t >= 2 * window - 1:
            out[t] = average


@jit
def compute_directional_index(plus: float, minus: float, span: float) -> float:
    """Return DX in [0, 100] from smoothed movements and true range, -1 where it is undefined."""
    if span == 0.0 or plus + minus == 0.0:
        return -1.0
    plus_index, minus_index = 100.0 * (plus / span), 100.0 * (minus / span)
    return 100.0 * (abs(plus_index - minus_index) / (plus_index + minus_index))


@jit
def fill_fast_stochastic(
    high: Series, low: Series, close: Series, window: int, out: Series
) -> None:
    """Fill the close's place in the range of the last `window` bars, 0 to 100, 0 where flat."""
    highest, lowest = np.empty(high.size), out
    fill_extreme(high, window, 1.0, highest)
    fill_extreme(low, window, -1.0, lowest)
    for t in range(min(window - 1, high.size), high.size):
        span = (highest[t] - lowest[t]) / 100.0
        out[t] = 0.0 if span == 0.0 else (close[t] - lowest[t]) / span


@jit
def fill_cci(typical: Series, window: int, out: Series) -> None:
    """Fill the commodity channel index; its mean deviation costs `window` steps a bar."""
    fill_sma(typical, window, out)
    for t in range(min(window - 1, typical.size), typical.size):
        average = out[t]
        deviation = 0.0
        for i in range(t - window + 1, t + 1):
            deviation += abs(typical[i] - average)
        distance = typical[t] - average
        out[t] = 0.0 if deviation == 0.0 else distance / (0.015 * (deviation / window))


@jit
def fill_roc(x: Series, window: int, out: Series) -> None:
    """Fill the change over `window` bars in percent; 0 where the base is 0, as in TA-Lib."""
    fill_nan(out, window)
    for t in range(min(window, x.size), x.size):
        base = x[t - window]
        out[t] = 0.0 if base == 0.0 else (x[t] / base - 1.0) * 100.0


@jit
def fill_obv(close: Series, volume: Series, out: Series) -> None:
    """Fill the on-balance volume: from volume[0], plus volume on a rise, minus on a fall."""
    total = 0.0
    for t in range(close.size):
        if t == 0 or close[t] > close[t - 1]:
            total += volume[t]
        elif close[t] < close[t - 1]:
            total -= volume[t]
        out[t] = total


@jit
def fill_realised_volatility(
    close: Series, window: int, periods_per_year: float, out: Series
) -> None:
    """Fill the annualised sample deviation of the last `window` >= 2 simple returns."""
    returns, mean = np.empty(close.size), np.empty(close.size)
    fill_nan(returns, 1)
    for t in range(1, close.size):
        returns[t] = close[t] / close[t - 1] - 1.0
    fill_moments(returns, window, 1, mean, out)
    scale = math.sqrt(periods_per_year)
    for t in range(close.size):
        out[t] *= scale


@jit
def fill_crosses(x: Series, y: Series, sign: float, out: Flags) -> None:
    """Mark where x crosses above y (`sign` 1.0) or below it (-1.0); NaN never crosses."""
    for t in range(x.size):
        out[t] = t > 0 and sign * x[t - 1] <= sign * y[t - 1] and sign * x[t] > sign * y[t]


@jit
def fill_recent(condition: Flags, lookback: int, out: Flags) -> None:
    """Mark where `condition` held on at least one of the last `lookback` bars, t included."""
    last = -lookback
    for t in range(condition.size):
        if condition[t]:
            last = t
        out[t] = t - last < lookback
