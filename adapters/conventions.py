"""Headline metrics as other libraries would compute them from the same equity curve and trades.

Pure functions of numpy arrays, one a library; where each of them differs is said in words in
`adapters.convention_terms`. What a library answers as infinity, or not at all, is None here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Figures = dict[str, float | int | None]

_METRICS = (
    *("total_return", "cagr", "volatility", "sharpe", "sortino", "max_drawdown", "calmar"),
    *("win_rate", "profit_factor", "expectancy", "exposure", "turnover", "n_trades"),
)
_NS_PER_DAY = 86_400_000_000_000
_TRADING_DAYS = 252
_VECTORBT_DAYS = 365.0  # its default `year_freq`
# backtesting.py reads the length of a bar off the last hundred.
_PERIOD_SAMPLE = 100


@dataclass(frozen=True, slots=True)
class Account:
    """What the libraries are given.

    Parameters
    ----------
    timestamps : ndarray of int64, shape (n_bars,)
        UTC nanoseconds.
    equity : ndarray of float64, shape (n_bars,)
        Currency, at the close of every bar.
    initial_cash : float
        Equity before the first bar.
    spacing : str
        ``intraday``, ``daily``, ``weekly`` or ``monthly``.
    periods_per_year : float
        As the run was annualised; turns the two annual rates into rates per bar.
    risk_free, mar : float
        Annual, fractions.
    trades : sequence of mapping
        As `adapters.adapter.build_trades` answers them, the open one last.
    """

    timestamps: IntArray
    equity: FloatArray
    initial_cash: float
    spacing: str
    periods_per_year: float
    risk_free: float
    mar: float
    trades: Sequence[Mapping[str, Any]]

    @property
    def closed(self) -> list[Mapping[str, Any]]:
        """The trades that ended."""
        return [trade for trade in self.trades if trade["exit_reason"] != "open"]


def compute_conventions(account: Account) -> dict[str, Figures]:
    """Return the headline metrics of every library by its name; None where it has no figure."""
    if account.timestamps.size < 2:  # the length of a bar is not known
        return {name: dict.fromkeys(_METRICS) for name in _LIBRARIES}
    with np.errstate(all="ignore"):
        computed = {name: compute(account) for name, compute in _LIBRARIES.items()}
    return {
        library: {name: _finite(value) for name, value in figures.items()}
        for library, figures in computed.items()
    }


def compute_vectorbt(account: Account) -> Figures:
    """Follow `Portfolio.stats` of vectorbt 1.2: every bar counts, a year has 365 days."""
    r = _returns(account.equity, account.initial_cash)
    days_per_bar = float(np.median(np.diff(account.timestamps))) / _NS_PER_DAY
    bars_per_year = _VECTORBT_DAYS / days_per_bar
    risk_free, mar = (
        (1.0 + rate) ** (1.0 / account.periods_per_year) - 1.0
        for rate in (account.risk_free, account.mar)
    )
    growth = np.prod(1.0 + r)
    cagr = growth ** (bars_per_year / r.size) - 1.0
    wealth = np.cumprod(1.0 + r)
    deepest = _max_drawdown(wealth, float(wealth[0]))
    downside = np.sqrt(np.mean(np.minimum(r - mar, 0.0) ** 2) * bars_per_year)
    pnl = np.array([trade["pnl"] for trade in account.closed])
    return {
        "total_return": growth - 1.0,
        "cagr": cagr,
        "volatility": _deviation(r) * np.sqrt(bars_per_year),
        "sharpe": np.mean(r - risk_free) / _deviation(r - risk_free) * np.sqrt(bars_per_year),
        "sortino": np.mean(r - mar) * bars_per_year / downside,
        "max_drawdown": deepest,
        "calmar": cagr / abs(deepest),
        "win_rate": _share(pnl > 0.0),
        "profit_factor": pnl[pnl > 0.0].sum() / abs(pnl[pnl < 0.0].sum()),
        "expectancy": pnl.mean() if pnl.size else None,
        "exposure": None,
        "turnover": None,
        "n_trades": len(account.trades),
    }


def compute_backtesting_py(account: Account) -> Figures:
    """Follow `compute_stats` of backtesting.py 0.6.6: geometric means of calendar days."""
    equity, closed = account.equity, account.closed
    keys, per_year = _backtesting_periods(account.timestamps)
    marks = equity[_last_of(keys)]
    # Bars of a single day have no return from day to day: what follows from it is undefined.
    r = marks[1:] / marks[:-1] - 1.0 if marks.size > 1 else np.array([np.nan])
    # numpy's floats overflow to infinity where Python's raise.
    mean = np.float64(0.0 if np.any(r <= -1.0) else np.exp(np.log1p(r).mean()) - 1.0)
    annual = (1.0 + mean) ** per_year - 1.0
    variance = np.var(r, ddof=1) if r.size > 1 else np.nan
    spread = (variance + (1.0 + mean) ** 2) ** per_year - (1.0 + mean) ** (2 * per_year)
    volatility = np.sqrt(spread)
    downside = np.sqrt(np.mean(np.minimum(r, 0.0) ** 2)) * np.sqrt(per_year)
    deepest = _max_drawdown(equity, equity[0])
    years = (account.timestamps[-1] - account.timestamps[0]) / _NS_PER_DAY / 365.25
    results = np.array([trade["return"] for trade in closed])
    held = np.zeros(equity.size, dtype=bool)
    for trade in closed:
        held[trade["entry_idx"] : trade["exit_idx"] + 1] = True
    return {
        "total_return": equity[-1] / equity[0] - 1.0,
        "cagr": np.power(equity[-1] / equity[0], 1.0 / years) - 1.0,
        "volatility": volatility,
        "sharpe": (annual - account.risk_free) / volatility,
        "sortino": (annual - account.risk_free) / downside,
        "max_drawdown": deepest,
        "calmar": annual / abs(deepest),
        "win_rate": _share(np.array([trade["pnl"] > 0.0 for trade in closed])),
        "profit_factor": results[results > 0.0].sum() / abs(results[results < 0.0].sum()),
        "expectancy": results.mean() if results.size else None,
        "exposure": held.mean(),
        "turnover": None,
        "n_trades": len(closed),
    }


def compute_quantstats(account: Account) -> Figures:
    """Follow the defaults of quantstats 0.0.86: returns of days, 252 of them a year, no trades."""
    r = _daily_returns(account)
    excess = r - ((1.0 + account.risk_free) ** (1.0 / _TRADING_DAYS) - 1.0)
    growth = np.prod(1.0 + r)
    cagr = np.power(growth, _TRADING_DAYS / r.size) - 1.0
    deepest = _max_drawdown(np.cumprod(1.0 + r), 1.0)
    downside = np.sqrt(np.sum(np.minimum(excess, 0.0) ** 2) / r.size)
    moved = r[r != 0.0]
    return {
        "total_return": growth - 1.0,
        "cagr": cagr,
        "volatility": _deviation(r) * math.sqrt(_TRADING_DAYS),
        "sharpe": np.mean(excess) / _deviation(excess) * math.sqrt(_TRADING_DAYS),
        "sortino": np.mean(excess) / downside * math.sqrt(_TRADING_DAYS),
        "max_drawdown": deepest,
        "calmar": cagr / abs(deepest),
        "win_rate": _share(moved > 0.0) if moved.size else 0.0,
        "profit_factor": r[r > 0.0].sum() / abs(r[r < 0.0].sum()),
        "expectancy": None,
        "exposure": math.ceil(moved.size / r.size * 100) / 100,
        "turnover": None,
        "n_trades": None,
    }


def compute_lean(account: Account) -> Figures:
    """Follow the published source of LEAN, `PortfolioStatistics` and `Statistics`.

    Common/Statistics/PortfolioStatistics.cs and Statistics.cs of QuantConnect/Lean: annual
    performance is (1 + mean daily return)^252 - 1, downside deviation is the sample deviation of
    the losing days. LEAN samples equity daily, so that wider bars have no daily return.
    """
    first, last = account.timestamps[[0, -1]]
    years = (last - first) / _NS_PER_DAY / 365.0
    growth = account.equity[-1] / account.initial_cash
    deepest = _max_drawdown(account.equity, account.initial_cash)
    pnl = [float(trade["pnl"]) for trade in account.closed]
    n_wins = sum(value > 0.0 for value in pnl)
    win_rate = n_wins / len(pnl) if pnl else 0.0
    daily = _lean_daily_figures(account)
    return {
        "total_return": growth - 1.0,
        "cagr": np.power(growth, 1.0 / years) - 1.0 if years > 0.0 else 0.0,
        **daily,
        "max_drawdown": -round(abs(float(deepest)), 3),
        "calmar": None,
        "win_rate": win_rate,
        "profit_factor": None,
        "expectancy": win_rate * _lean_payoff(pnl, account.initial_cash)
        - ((1.0 - win_rate) if pnl else 0.0),
        "exposure": None,
        "turnover": None,
        "n_trades": len(account.trades) + len(pnl),
    }


def _lean_daily_figures(account: Account) -> Figures:
    if account.spacing not in ("daily", "intraday"):
        return {"volatility": None, "sharpe": None, "sortino": None}
    r = _daily_returns(account)
    days = 365 if _trades_weekends(account.timestamps) else _TRADING_DAYS
    annual = float((1.0 + np.mean(r)) ** days) - 1.0
    volatility = _deviation(r) * math.sqrt(days)
    losing = r[r < 0.0]
    downside = _deviation(losing) * math.sqrt(days) if losing.size > 1 else 0.0
    return {
        "volatility": volatility,
        # It answers 0 where nothing varies.
        "sharpe": (annual - account.risk_free) / volatility if volatility else 0.0,
        "sortino": (annual - account.risk_free) / downside if downside else 0.0,
    }


def _lean_payoff(pnl: Sequence[float], cash: float) -> float:
    """Return the mean win over the mean loss, each as a share of the closed balance before it."""
    wins: list[float] = []
    losses: list[float] = []
    for value in pnl:
        (wins if value > 0.0 else losses).append(value / cash if cash else math.nan)
        cash += value
    if not wins or not losses or sum(losses) == 0.0:
        return 0.0
    return abs((sum(wins) / len(wins)) / (sum(losses) / len(losses)))


def _returns(marks: FloatArray, before: float) -> FloatArray:
    """Return simple returns; `before` precedes the first mark."""
    whole = np.concatenate(([before], marks))
    returns: FloatArray = whole[1:] / whole[:-1] - 1.0
    return returns


def _daily_returns(account: Account) -> FloatArray:
    """Return one return a calendar day (UTC) where bars are shorter, one a bar elsewhere."""
    marks = account.equity
    if account.spacing == "intraday":
        marks = marks[_last_of(account.timestamps // _NS_PER_DAY)]
    return _returns(marks, account.initial_cash)


def _last_of(keys: IntArray) -> IntArray:
    """Return the index of the last bar of every run of equal keys."""
    return np.concatenate((np.flatnonzero(keys[1:] != keys[:-1]), [keys.size - 1]))


def _trades_weekends(timestamps: IntArray) -> bool:
    weekday = (timestamps // _NS_PER_DAY + 3) % 7  # 1970-01-01 was a Thursday; Monday is 0
    return bool(np.mean(weekday >= 5) > 2 / 7 * 0.6)


def _backtesting_periods(timestamps: IntArray) -> tuple[IntArray, int]:
    """Return the key of the period that each bar is in, and periods a year, as backtesting.py."""
    days = timestamps // _NS_PER_DAY
    step = np.median(np.diff(timestamps[-_PERIOD_SAMPLE:])) // _NS_PER_DAY
    stamps = timestamps.astype("datetime64[ns]")
    if step == 7:
        return (days + 3) // 7, 52
    if step == 31:
        return stamps.astype("datetime64[M]").astype(np.int64), 12
    if step == 365:
        return stamps.astype("datetime64[Y]").astype(np.int64), 1
    return days, 365 if _trades_weekends(timestamps) else _TRADING_DAYS


def _max_drawdown(curve: NDArray[np.floating[Any]], before: float) -> np.float64:
    peak = np.maximum(np.maximum.accumulate(curve), before)
    return np.float64(np.min(curve / peak - 1.0))


def _deviation(values: FloatArray) -> float:
    """Return the sample standard deviation, exactly 0 where nothing varies."""
    if values.size < 2:
        return math.nan
    return float(np.std(values, ddof=1)) if values.max() > values.min() else 0.0


def _share(flags: NDArray[np.bool_]) -> float | None:
    return float(flags.mean()) if flags.size else None


def _finite(value: Any) -> float | int | None:
    if value is None or isinstance(value, int):
        return value
    number = float(value)
    return number if math.isfinite(number) else None


_LIBRARIES: dict[str, Callable[[Account], Figures]] = {
    "vectorbt": compute_vectorbt,
    "backtesting_py": compute_backtesting_py,
    "quantstats": compute_quantstats,
    "lean": compute_lean,
}
