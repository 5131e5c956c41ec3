"""A run's performance inside the sample of the publication that a rule comes from, and after it.

A rule was chosen because it worked in its published sample; only the years after it are a test.
numpy and the standard library only.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtest.bars import Spacing, find_range, format_times
from backtest.errors import InputError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def build_sample_split(
    published_sample: tuple[str, str] | None,
    timestamps: IntArray,
    spacing: Spacing,
    equity: FloatArray,
    *,
    initial_cash: float,
    periods_per_year: float,
    risk_free: float,
) -> dict[str, Any] | None:
    """Measure the bars inside the published sample, and those after it.

    Parameters
    ----------
    published_sample : tuple of (str, str) or None
        First and last date, inclusive.
    timestamps : ndarray of int64, shape (n_bars,)
        UTC ns.
    equity : ndarray of float64, shape (n_bars,)
        In currency, at each close.
    risk_free : float
        Per year, for the Sharpe ratio.

    Returns
    -------
    dict or None
        ``published`` (the two dates), ``inside`` and ``after``: what `measure_part` answers, None
        where no bar lies there, and ``reasons``, why a part is None. None without a sample. Bars
        before the sample are in neither part.
    """
    if published_sample is None:
        return None
    start, end = published_sample
    parts: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    after_first = _find_stop(timestamps, spacing, end)
    inside_first = _find_first(timestamps, spacing, start)
    for name, first, stop, words in (
        ("inside", inside_first, after_first, f"from {start} to {end}"),
        ("after", after_first, timestamps.size, f"after {end}"),
    ):
        if first >= stop:
            parts[name] = None
            reasons[name] = f"no bar of the run lies {words}"
            continue
        begin, finish = format_times(timestamps[[first, stop - 1]], spacing)
        base = float(equity[first - 1]) if first > 0 else initial_cash
        parts[name] = {
            "first_time": begin,
            "last_time": finish,
            **measure_part(base, equity[first:stop], periods_per_year, risk_free),
        }
    return {"published": [start, end], **parts, "reasons": reasons}


def measure_part(
    base: float, equity: FloatArray, periods_per_year: float, risk_free: float
) -> dict[str, Any]:
    """Measure a stretch of an equity curve as if the account had been opened with `base`.

    Parameters
    ----------
    base : float
        Equity before the first bar of the stretch, in currency.
    equity : ndarray of float64, shape (n_bars,)
        At least one bar.

    Returns
    -------
    dict
        ``total_return``, ``cagr``, ``volatility``, ``sharpe``, ``max_drawdown`` as definitions.md
        defines them for a run, None where undefined (all of them if the account was ruined before),
        and ``n_bars``.
    """
    n_bars = int(equity.size)
    figures: dict[str, float] = dict.fromkeys(
        ("total_return", "cagr", "volatility", "sharpe", "max_drawdown"), math.nan
    )
    if base > 0.0:
        marks = np.concatenate(([base], equity))
        growth = float(equity[-1]) / base
        figures["total_return"] = growth - 1.0
        if growth >= 0.0:
            with np.errstate(over="ignore"):  # beyond float64 undefined, as in a run's metrics
                figures["cagr"] = float(np.power(growth, periods_per_year / n_bars)) - 1.0
        figures["max_drawdown"] = float(np.min(marks / np.maximum.accumulate(marks)) - 1.0)
        figures |= _measure_returns(_compute_returns(marks), periods_per_year, risk_free)
    return {
        **{name: value if math.isfinite(value) else None for name, value in figures.items()},
        "n_bars": n_bars,
    }


def _compute_returns(marks: FloatArray) -> FloatArray:
    """Return simple returns; 0 where equity stands still, as it does after ruin."""
    before, now = marks[:-1], marks[1:]
    returns = np.zeros(now.size)
    np.divide(now, before, out=returns, where=now != before)
    returns[now != before] -= 1.0
    return returns


def _measure_returns(
    returns: FloatArray, periods_per_year: float, risk_free: float
) -> dict[str, float]:
    if returns.size < 2:
        return {}
    deviation = float(np.std(returns, ddof=1))
    root = math.sqrt(periods_per_year)
    figures = {"volatility": deviation * root}
    if float(returns.max()) == float(returns.min()):
        return {"volatility": 0.0}
    per_bar = (1.0 + risk_free) ** (1.0 / periods_per_year) - 1.0
    figures["sharpe"] = (float(np.mean(returns)) - per_bar) / deviation * root
    return figures


def _find_first(timestamps: IntArray, spacing: Spacing, start: str) -> int:
    """Return the first bar on or after a date, the number of bars if there is none."""
    try:
        return find_range(timestamps, spacing, start, None)[0]
    except InputError:
        return int(timestamps.size)


def _find_stop(timestamps: IntArray, spacing: Spacing, end: str) -> int:
    """Return the first bar after a date, 0 if every bar is."""
    try:
        return find_range(timestamps, spacing, None, end)[1]
    except InputError:
        return 0
