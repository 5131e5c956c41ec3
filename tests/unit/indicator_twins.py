"""Slow, obvious Python twins of the indicators: every window summed anew, no state to go wrong.

Written from the definitions, not from the kernels. Lists of floats in and out, NaN before warm-up.
"""

from __future__ import annotations

import itertools
import math
from statistics import fmean

NAN = math.nan


def sma(x, window):
    return [fmean(x[t - window + 1 : t + 1]) if t >= window - 1 else NAN for t in range(len(x))]


def ema(x, window, seed=None):
    seed = window - 1 if seed is None else seed
    out = [NAN] * len(x)
    if seed < len(x):
        out[seed] = fmean(x[seed - window + 1 : seed + 1])
    for t in range(seed + 1, len(x)):
        out[t] = out[t - 1] + 2 / (window + 1) * (x[t] - out[t - 1])
    return out


def std(x, window, ddof):
    out = []
    for t in range(len(x)):
        values = x[t - window + 1 : t + 1]
        if t < window - 1 or any(math.isnan(value) for value in values):
            out.append(NAN)
            continue
        mean = fmean(values)
        out.append(math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (window - ddof)))
    return out


def wilder(x, window, first):
    """Smooth: mean of the `window` values ending at `first`, then (previous * (n - 1) + x) / n."""
    out = [NAN] * len(x)
    if first < len(x):
        out[first] = fmean(x[first - window + 1 : first + 1])
    for t in range(first + 1, len(x)):
        out[t] = (out[t - 1] * (window - 1) + x[t]) / window
    return out


def rsi(x, window):
    changes = [NAN, *(b - a for a, b in itertools.pairwise(x))]
    gains = wilder([max(change, 0.0) for change in changes], window, window)
    losses = wilder([max(-change, 0.0) for change in changes], window, window)
    return [
        50.0 if gain + loss == 0 else 100 * gain / (gain + loss)
        for gain, loss in zip(gains, losses, strict=True)
    ]


def macd(x, fast, slow, signal):
    fast_average, slow_average = ema(x, fast, slow - 1), ema(x, slow)
    line = [a - b for a, b in zip(fast_average, slow_average, strict=True)]
    defined = line[slow - 1 :]
    signal_line = [NAN] * (len(line) - len(defined)) + ema(defined, signal)
    line = [NAN if math.isnan(s) else v for v, s in zip(line, signal_line, strict=True)]
    return line, signal_line, [a - b for a, b in zip(line, signal_line, strict=True)]


def true_range(high, low, close):
    ranges = [NAN] * len(high)
    for t in range(1, len(high)):
        ranges[t] = max(high[t], close[t - 1]) - min(low[t], close[t - 1])
    return ranges


def atr(high, low, close, window):
    return wilder(true_range(high, low, close), window, window)


def adx(high, low, close, window):
    n = len(high)
    plus_moves, minus_moves = [0.0] * n, [0.0] * n
    for t in range(1, n):
        up, down = high[t] - high[t - 1], low[t - 1] - low[t]
        plus_moves[t] = up if up > max(down, 0) else 0.0
        minus_moves[t] = down if down > max(up, 0) else 0.0

    def smooth(x):  # a sum over window - 1 bars, then Wilder's sum
        out = [NAN] * n
        total = math.fsum(x[1:window])
        for t in range(window, n):
            total = total - total / window + x[t]
            out[t] = total
        return out

    plus, minus = smooth(plus_moves), smooth(minus_moves)
    spans = smooth(true_range(high, low, close))
    indexes = []
    for a, b, span in zip(plus, minus, spans, strict=True):
        if math.isnan(span):
            indexes.append(NAN)
        elif span == 0 or a + b == 0:
            indexes.append(None)  # no movement: undefined
        else:
            indexes.append(100 * abs(a / span - b / span) / (a / span + b / span))
    first = 2 * window - 1
    out = [NAN] * n
    if first < n:
        out[first] = fmean(index or 0.0 for index in indexes[window : first + 1])
    for t in range(first + 1, n):
        index = indexes[t]
        out[t] = out[t - 1] if index is None else (out[t - 1] * (window - 1) + index) / window
    return out


def stochastic(high, low, close, window, k_smooth, d_smooth):
    raw = []
    for t in range(window - 1, len(close)):
        top, bottom = max(high[t - window + 1 : t + 1]), min(low[t - window + 1 : t + 1])
        raw.append(0.0 if top == bottom else 100 * (close[t] - bottom) / (top - bottom))
    slow_k = sma(raw, k_smooth)
    slow_d = [NAN] * (k_smooth - 1) + sma(slow_k[k_smooth - 1 :], d_smooth)
    slow_d = slow_d[: len(slow_k)]
    slow_k = [NAN if math.isnan(d) else k for k, d in zip(slow_k, slow_d, strict=True)]
    pad = [NAN] * (len(close) - len(raw))
    return pad + slow_k, pad + slow_d


def cci(high, low, close, window):
    typical = [(a + b + c) / 3 for a, b, c in zip(high, low, close, strict=True)]
    out = [NAN] * len(typical)
    for t in range(window - 1, len(typical)):
        values = typical[t - window + 1 : t + 1]
        if max(values) == min(values):
            out[t] = 0.0
            continue
        mean = fmean(values)
        deviation = fmean(abs(value - mean) for value in values)
        out[t] = (typical[t] - mean) / (0.015 * deviation)
    return out


def roc(x, window):
    return [
        NAN if t < window else 100 * (x[t] - x[t - window]) / x[t - window] for t in range(len(x))
    ]


def obv(close, volume):
    out = [volume[0]]
    for t in range(1, len(close)):
        step = (close[t] > close[t - 1]) - (close[t] < close[t - 1])
        out.append(out[-1] + step * volume[t])
    return out


def donchian(high, low, window):
    upper, lower = [NAN] * len(high), [NAN] * len(high)
    for t in range(window, len(high)):
        upper[t], lower[t] = max(high[t - window : t]), min(low[t - window : t])
    return upper, [(a + b) / 2 for a, b in zip(upper, lower, strict=True)], lower


def realised_volatility(close, window, periods_per_year):
    returns = [NAN, *(b / a - 1 for a, b in itertools.pairwise(close))]
    return [value * math.sqrt(periods_per_year) for value in std(returns, window, 1)]


def crosses_above(x, y):
    return [
        t > 0 and x[t - 1] <= y[t - 1] and x[t] > y[t]  # NaN compares false
        for t in range(len(x))
    ]


def recent(condition, lookback):
    return [any(condition[max(0, t - lookback + 1) : t + 1]) for t in range(len(condition))]
