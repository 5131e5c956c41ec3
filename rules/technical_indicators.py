"""Technical indicators: validated, allocated and documented entries to the compiled kernels.

Every function takes series of shape (n_bars,), oldest first, and returns new float64 arrays of the
same shape. All are causal (value t uses bars <= t) and NaN before the warm-up named with each; an
input shorter than that gives NaN throughout, never an error. Leading NaN of an input are skipped,
so that indicators chain; a NaN after that reaches every value that depends on it.

Equal to TA-Lib 0.8 to 1e-9 where TA-Lib has the indicator, except where a series stands still:
there TA-Lib answers 0 for an RSI (here 50, neither bulls nor bears) and lets the rounding of its
running sums through as noise (here exact: deviation 0, CCI 0, MACD 0).

Importing this module loads numba. Rules import it inside ``compute``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rules import indicator_kernels as kernels
from rules.indicator_kernels import Flags, Series


def compute_sma(values: ArrayLike, window: int) -> Series:
    """Compute the simple moving average; first value at ``window - 1``."""
    (series,), out = _prepare(window, values)
    kernels.fill_sma(series, window, out)
    return out


def compute_ema(values: ArrayLike, window: int) -> Series:
    """Compute the exponential moving average, alpha ``2 / (window + 1)``.

    Seeded with the mean of the first `window` values; first value at ``window - 1``.
    """
    (series,), out = _prepare(window, values)
    kernels.fill_ema(series, window, kernels.find_start(series) + window - 1, out)
    return out


def compute_rsi(close: ArrayLike, window: int = 14) -> Series:
    """Compute the relative strength index, 0 to 100; first value at `window`.

    ``100 G / (G + L)`` with G and L the averages of gains and losses: the mean of the first
    `window` changes, then ``(previous * (window - 1) + change) / window``. 50 where both are 0.

    References
    ----------
    J. Welles Wilder, New Concepts in Technical Trading Systems, Trend Research, 1978.
    """
    (series,), out = _prepare(window, close)
    kernels.fill_rsi(series, window, out)
    return out


def compute_macd(
    close: ArrayLike, fast: int = 12, slow: int = 26, signal: int = 9
) -> tuple[Series, Series, Series]:
    """Compute MACD, its signal line and the histogram; first values at ``slow + signal - 2``.

    The fast average is seeded late, with the mean of the `fast` values ending at ``slow - 1``, so
    that both averages start on the same bar.

    Raises
    ------
    ValueError
        If `fast` exceeds `slow`.
    """
    for name, window in (("fast", fast), ("signal", signal)):
        _check_window(window, name=name)
    if fast > slow:
        raise ValueError(f"fast ({fast}) must not exceed slow ({slow}); swap them")
    (series,), line = _prepare(slow, close)
    signal_line, histogram = np.empty_like(line), np.empty_like(line)
    kernels.fill_macd(series, (fast, slow, signal), line, signal_line, histogram)
    return line, signal_line, histogram


def compute_bollinger(
    close: ArrayLike, window: int = 20, width: float = 2.0
) -> tuple[Series, Series, Series]:
    """Compute the upper, middle and lower Bollinger band; first values at ``window - 1``.

    The middle is the simple moving average, the others lie `width` population standard deviations
    above and below it.
    """
    (series,), middle = _prepare(window, close)
    std = np.empty_like(middle)
    kernels.fill_moments(series, window, 0, middle, std)
    return middle + width * std, middle, middle - width * std


def compute_rolling_std(values: ArrayLike, window: int, ddof: int = 0) -> Series:
    """Compute the rolling standard deviation with divisor ``window - ddof``.

    First value at ``window - 1``; exactly 0 in a constant window.
    """
    (series,), std = _prepare(window, values, minimum=ddof + 1)
    kernels.fill_moments(series, window, ddof, np.empty_like(std), std)
    return std


def compute_realised_volatility(
    close: ArrayLike, window: int = 20, periods_per_year: float = 252.0
) -> Series:
    """Compute the annualised standard deviation (ddof=1) of simple returns.

    A fraction per year; first value at `window`, at least 2, since it takes `window` returns.
    """
    (series,), out = _prepare(window, close, minimum=2)
    kernels.fill_realised_volatility(series, window, periods_per_year, out)
    return out


def compute_atr(high: ArrayLike, low: ArrayLike, close: ArrayLike, window: int = 14) -> Series:
    """Compute Wilder's average true range in units of price; first value at `window`."""
    (highs, lows, closes), out = _prepare(window, high, low, close)
    kernels.fill_atr(highs, lows, closes, window, out)
    return out


def compute_adx(high: ArrayLike, low: ArrayLike, close: ArrayLike, window: int = 14) -> Series:
    """Compute Wilder's average directional index, 0 to 100; first value at ``2 window - 1``.

    It keeps its value over bars where the directional index is undefined (no movement at all).
    """
    (highs, lows, closes), out = _prepare(window, high, low, close)
    kernels.fill_adx(highs, lows, closes, window, out)
    return out


def compute_stochastic(
    high: ArrayLike,
    low: ArrayLike,
    close: ArrayLike,
    window: int = 14,
    k_smooth: int = 3,
    d_smooth: int = 3,
) -> tuple[Series, Series]:
    """Compute the slow stochastic, %K and %D, 0 to 100.

    Both start at ``window + k_smooth + d_smooth - 3`` (17 by default). The raw value is 0 where
    the range of the window is flat.
    """
    _check_window(k_smooth, name="k_smooth")
    _check_window(d_smooth, name="d_smooth")
    (highs, lows, closes), raw = _prepare(window, high, low, close)
    kernels.fill_fast_stochastic(highs, lows, closes, window, raw)
    slow_k, slow_d = np.empty_like(raw), np.empty_like(raw)
    kernels.fill_sma(raw, k_smooth, slow_k)
    kernels.fill_sma(slow_k, d_smooth, slow_d)
    kernels.fill_nan(slow_k, window + k_smooth + d_smooth - 3)
    return slow_k, slow_d


def compute_cci(high: ArrayLike, low: ArrayLike, close: ArrayLike, window: int = 20) -> Series:
    """Compute the commodity channel index; first value at ``window - 1``, 0 where flat.

    References
    ----------
    Donald R. Lambert, Commodity Channel Index, Commodities 9(10), 1980.
    """
    (highs, lows, closes), out = _prepare(window, high, low, close)
    kernels.fill_cci((highs + lows + closes) / 3.0, window, out)
    return out


def compute_roc(close: ArrayLike, window: int = 10) -> Series:
    """Compute the change over `window` bars in percent (x 100); first value at `window`."""
    (series,), out = _prepare(window, close)
    kernels.fill_roc(series, window, out)
    return out


def compute_obv(close: ArrayLike, volume: ArrayLike) -> Series:
    """Compute on-balance volume in shares, ``volume[0]`` on the first bar."""
    (closes, volumes), out = _prepare(1, close, volume)
    kernels.fill_obv(closes, volumes, out)
    return out


def compute_donchian(
    high: ArrayLike, low: ArrayLike, window: int = 20
) -> tuple[Series, Series, Series]:
    """Compute the upper, middle and lower channel of the `window` bars before each bar.

    The current bar is excluded, so that its close can break out; first value at `window`.
    """
    (highs, lows), upper = _prepare(window, high, low)
    lower = np.empty_like(upper)
    for series, sign, out in ((highs, 1.0, upper), (lows, -1.0, lower)):
        out[:1] = np.nan
        kernels.fill_extreme(series[:-1], window, sign, out[1:])
    return upper, (upper + lower) / 2.0, lower


def compute_crosses_above(x: ArrayLike, y: ArrayLike) -> Flags:
    """Tell where `x` crosses above `y`: ``x[t-1] <= y[t-1] and x[t] > y[t]``.

    Either may be a number, a fixed level. NaN never crosses.
    """
    return _compute_crosses(x, y, 1.0)


def compute_crosses_below(x: ArrayLike, y: ArrayLike) -> Flags:
    """Tell where `x` crosses below `y`: ``x[t-1] >= y[t-1] and x[t] < y[t]``."""
    return _compute_crosses(x, y, -1.0)


def compute_recent(condition: Flags, lookback: int) -> Flags:
    """Tell where `condition` held on at least one of the last `lookback` bars, this included."""
    _check_window(lookback, name="lookback")
    out = np.empty(condition.shape, dtype=np.bool_)
    kernels.fill_recent(condition, lookback, out)
    return out


def compute_onsets(condition: Flags) -> Flags:
    """Tell where `condition` becomes true; before the first bar it counts as false."""
    out = condition.copy()
    out[1:] &= ~condition[:-1]
    return out


def build_signal(buy: Flags, sell: Flags) -> NDArray[np.int8]:
    """Build a rule's signal from the bars where it buys and where it sells; never both."""
    return buy.astype(np.int8) - sell.astype(np.int8)


def _compute_crosses(x: ArrayLike, y: ArrayLike, sign: float) -> Flags:
    left, right = np.broadcast_arrays(x, y)
    (left, right), _ = _prepare(1, left, right)
    out = np.empty(left.shape, dtype=np.bool_)
    kernels.fill_crosses(left, right, sign, out)
    return out


def _prepare(window: int, *series: ArrayLike, minimum: int = 1) -> tuple[list[Series], Series]:
    """Check the window and the inputs; return these as kernels want them, and an output array."""
    _check_window(window, minimum)
    arrays = [np.ascontiguousarray(values, dtype=np.float64) for values in series]
    shapes = {array.shape for array in arrays}
    if len(shapes) != 1 or arrays[0].ndim != 1:
        shown = ", ".join(str(array.shape) for array in arrays)
        raise ValueError(f"series must be one-dimensional and of equal length, got shapes {shown}")
    return arrays, np.empty(arrays[0].shape)


def _check_window(window: int, minimum: int = 1, name: str = "window") -> None:
    if window < minimum:
        raise ValueError(f"{name} must be at least {minimum} bars, got {window}")
