"""Tables derived from an equity curve and its trades: pure, numpy only."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtest.bars import Spacing, format_times

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_NS_PER_DAY = 86_400_000_000_000
_MAX_EPISODES = 10
_MAX_BINS = 30
# Round widths, so that a bin's edges read well: 0.5 % ... 1000 %.
_BIN_WIDTHS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def compute_drawdown(equity: FloatArray, initial_cash: float) -> FloatArray:
    """Return equity / running maximum - 1, the initial cash included in the maximum; shape (n,)."""
    peak = np.maximum(np.maximum.accumulate(equity), initial_cash)
    drawdown: FloatArray = equity / peak - 1.0
    return drawdown


def find_drawdown_episodes(
    timestamps: IntArray, spacing: Spacing, equity: FloatArray, initial_cash: float
) -> list[dict[str, Any]]:
    """Return the ten deepest drawdowns, deepest first.

    An episode runs from the last bar at its peak to the bar that reaches the peak again; an open
    one is counted to the last bar and its recovery is None. A peak that is the initial cash is
    dated at the first bar.
    """
    drawdown = compute_drawdown(equity, initial_cash)
    under = np.concatenate(([False], drawdown < 0.0, [False]))
    edges = np.flatnonzero(under[1:] != under[:-1])
    starts, ends = edges[::2], edges[1::2]
    if starts.size == 0:
        return []
    depths = np.minimum.reduceat(drawdown, starts)
    last_idx = equity.size - 1
    episodes = []
    for which in np.argsort(depths, kind="stable")[:_MAX_EPISODES]:
        start, end = int(starts[which]), int(ends[which])
        peak_idx = max(start - 1, 0)
        trough_idx = start + int(np.argmin(drawdown[start:end]))
        recovery_idx = end if end <= last_idx else None
        until = recovery_idx if recovery_idx is not None else last_idx
        peak_time, trough_time, until_time = format_times(
            timestamps[[peak_idx, trough_idx, until]], spacing
        )
        episodes.append(
            {
                "peak_time": peak_time,
                "trough_time": trough_time,
                "recovery_time": until_time if recovery_idx is not None else None,
                "depth": float(depths[which]),
                # [bars] from the peak; the initial cash lies one bar before the first.
                "bars": until - (start - 1),
                "days": float((timestamps[until] - timestamps[peak_idx]) / _NS_PER_DAY),
                "peak_idx": peak_idx,
                "trough_idx": trough_idx,
                "recovery_idx": recovery_idx,
            }
        )
    return episodes


def build_return_tables(
    timestamps: IntArray, equity: FloatArray, benchmark: FloatArray, initial_cash: float
) -> dict[str, list[dict[str, Any]]]:
    """Return monthly and yearly returns of run and benchmark, partial periods included.

    A period's return is None where the equity before it is not positive.
    """
    stamps = timestamps.astype("datetime64[ns]")
    months = stamps.astype("datetime64[M]").astype(np.int64)  # months since 1970-01
    monthly = [
        {"year": 1970 + key // 12, "month": key % 12 + 1, "run": run, "benchmark": held}
        for key, run, held in _period_returns(months, equity, benchmark, initial_cash)
    ]
    yearly = [
        {"year": 1970 + key, "run": run, "benchmark": held}
        for key, run, held in _period_returns(months // 12, equity, benchmark, initial_cash)
    ]
    return {"monthly": monthly, "yearly": yearly}


def _period_returns(
    keys: IntArray, equity: FloatArray, benchmark: FloatArray, initial_cash: float
) -> list[tuple[int, float | None, float | None]]:
    last_of_period = np.concatenate((np.flatnonzero(keys[1:] != keys[:-1]), [keys.size - 1]))
    columns = []
    for curve in (equity, benchmark):
        marks = np.concatenate(([initial_cash], curve[last_of_period]))
        columns.append(
            [
                float(after / before - 1.0) if before > 0.0 else None
                for before, after in zip(marks[:-1].tolist(), marks[1:].tolist(), strict=True)
            ]
        )
    return list(zip(keys[last_of_period].tolist(), columns[0], columns[1], strict=True))


def build_trade_histogram(trades: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a histogram of the closed trades' returns; zero is always an edge."""
    returns = np.array(
        [trade["return"] for trade in trades if trade["exit_reason"] != "open"], dtype=np.float64
    )
    if returns.size == 0:
        return {"edges": [], "counts": [], "bin_width": None}
    span = float(returns.max() - returns.min())
    width = next((w for w in _BIN_WIDTHS if span / w <= _MAX_BINS), None) or span / _MAX_BINS
    low = math.floor(float(returns.min()) / width)
    high = max(math.floor(float(returns.max()) / width) + 1, low + 1)
    bin_idx = np.floor(returns / width).astype(np.int64) - low
    counts = np.bincount(bin_idx, minlength=high - low)
    edges = [round(step * width, 12) for step in range(low, high + 1)]
    return {"edges": edges, "counts": counts.tolist(), "bin_width": width}


def sum_traded_by_year(
    timestamps: IntArray, fill_idx: IntArray, shares: FloatArray, price: FloatArray
) -> list[dict[str, Any]]:
    """Return number and value of the fills of every calendar year (UTC) that has one, by year.

    Parameters
    ----------
    timestamps : ndarray of int64, shape (n_bars,)
    fill_idx, shares, price : ndarray, shape (n_fills,)
        Bar, size and price (after slippage) of every fill; a value is shares times price.
    """
    bar_years = timestamps[fill_idx].astype("datetime64[ns]").astype("datetime64[Y]")
    years, which, counts = np.unique(
        bar_years.astype(np.int64) + 1970, return_inverse=True, return_counts=True
    )
    values = np.bincount(which, weights=shares * price, minlength=years.size)
    return [
        {"year": year, "fills": fills, "value": value}
        for year, fills, value in zip(years.tolist(), counts.tolist(), values.tolist(), strict=True)
    ]


def summarise_trades(trades: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the totals row of the trades table: sums of P&L and costs, means of the rest."""
    closed = [trade for trade in trades if trade["exit_reason"] != "open"]

    def mean(name: str) -> float | None:
        return sum(trade[name] for trade in closed) / len(closed) if closed else None

    return {
        "n_closed": len(closed),
        "n_open": len(trades) - len(closed),
        "pnl": sum(trade["pnl"] for trade in closed),
        "commission": sum(trade["commission"] for trade in trades),
        "mean_return": mean("return"),
        "mean_mae": mean("mae"),
        "mean_mfe": mean("mfe"),
        "mean_bars": mean("bars_held"),
        "reasons": dict(Counter(trade["exit_reason"] for trade in trades).most_common()),
    }
