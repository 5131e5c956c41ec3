"""Every metric of definitions.md section 4, from the engine's result.

The thirteen headline metrics come from the engine's own sums, so that a sweep and a single run
agree to the last bit; the rest takes a few compiled passes and one partition of the returns.
Undefined is NaN, never 0 and never infinity.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from backtest.engine import (
    EXIT_REASONS,
    HEADLINE_METRICS,
    EngineConfig,
    EngineResult,
    build_curve_result,
    measure_headline,
)
from backtest.metric_kernels import measure_curve, scan_tails, scan_trades
from backtest.overfitting import compute_psr

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

METRIC_NAMES: tuple[str, ...] = (
    "total_return",
    "cagr",
    "volatility",
    "sharpe",
    "sortino",
    "max_drawdown",
    "max_drawdown_bars",
    "max_drawdown_days",
    "calmar",
    "omega",
    "ulcer_index",
    "var_95",
    "cvar_95",
    "skew",
    "kurtosis",
    "tail_ratio",
    "exposure",
    "turnover",
    "win_rate",
    "profit_factor",
    "expectancy",
    "expectancy_return",
    "payoff_ratio",
    "sqn",
    "kelly",
    "longest_win_streak",
    "longest_loss_streak",
    "mean_trade_bars",
    "max_trade_bars",
    "best_trade",
    "worst_trade",
    "best_day",
    "worst_day",
    "best_month",
    "worst_month",
    "recovery_factor",
    "benchmark_total_return",
    "benchmark_cagr",
    "benchmark_sharpe",
    "benchmark_max_drawdown",
    "beta",
    "alpha",
    "correlation",
    "information_ratio",
    "tracking_error",
    "psr",
    "n_bars",
    "n_trades",
    "n_open_trades",
    "n_rejected_orders",
    "interest",
    "ruined",
)

_OPEN = EXIT_REASONS.index("open")
_BENCHMARK_METRICS = ("total_return", "cagr", "sharpe", "max_drawdown")
# What the kernels answer, in the order in which they answer it.
_CURVE_METRICS = (
    ("max_drawdown_bars", "max_drawdown_days", "ulcer_index"),
    ("best_day", "worst_day", "best_month", "worst_month"),
    ("skew", "kurtosis", "omega"),
    ("beta", "alpha", "correlation", "information_ratio", "tracking_error"),
)
_TAIL_METRICS = ("var_95", "cvar_95", "tail_ratio")
_TRADE_METRICS = (
    "expectancy_return",
    "payoff_ratio",
    "sqn",
    "kelly",
    "longest_win_streak",
    "longest_loss_streak",
    "mean_trade_bars",
    "max_trade_bars",
    "best_trade",
    "worst_trade",
)
_WITHOUT_CURVE = ("n_", "ruined", "benchmark_")
# Counts that are undefined without what they count; an int where they are defined.
_COUNTS = ("max_drawdown_bars", "longest_win_streak", "longest_loss_streak", "max_trade_bars")


def compute_metrics(
    result: EngineResult, close: FloatArray, timestamps: IntArray, config: EngineConfig
) -> dict[str, float]:
    """Return every metric of a run by name.

    Parameters
    ----------
    result : EngineResult
        What `run_engine` answered, or a curve wrapped by `build_curve_result`.
    close : array of shape (n_bars,)
        Closing prices the run was computed on, in currency.
    timestamps : array of shape (n_bars,)
        UTC nanoseconds, strictly increasing.
    config : EngineConfig
        What the run was computed with; its rates are annual.

    Returns
    -------
    dict
        `METRIC_NAMES` in their order. Fractions are fractions, `expectancy` and `interest` are in
        currency. Counts are int and `ruined` is bool, everything else float. NaN is undefined: no
        closed or no losing trade, no drawdown, returns that never vary, growth to below zero.

    Raises
    ------
    ValueError
        For arrays of different lengths.

    Notes
    -----
    The initial cash precedes the curve, so that returns and marks both have n_bars entries and the
    first bar's costs count.
    """
    n_bars = result.equity.shape[0]
    if close.shape != (n_bars,) or timestamps.shape != (n_bars,):
        raise ValueError(
            f"close {close.shape} and timestamps {timestamps.shape} must have the shape of the "
            f"run's equity, ({n_bars},)"
        )
    found: dict[str, float] = dict(
        zip(HEADLINE_METRICS, measure_headline(result, config).tolist(), strict=True)
    )
    benchmark = compute_benchmark_equity(close, config)
    _measure_benchmark(benchmark, config, found)
    _measure_returns(result, benchmark, timestamps, config, found)
    _measure_trades(result, found)
    drawdown = found["max_drawdown"]
    found["recovery_factor"] = found["total_return"] / abs(drawdown) if drawdown else math.nan
    sharpe_per_bar = found["sharpe"] / math.sqrt(config.periods_per_year)
    found["psr"] = compute_psr(sharpe_per_bar, n_bars, found["skew"], found["kurtosis"])
    if not math.isfinite(result.equity[-1]):
        # Equity beyond float64 leaves no curve to measure; what is counted still counts.
        found |= {name: math.nan for name in METRIC_NAMES if not name.startswith(_WITHOUT_CURVE)}
    # A sum can overflow on absurd but legal prices: undefined is never infinity.
    metrics = {
        name: found[name] if math.isfinite(found[name]) else math.nan for name in METRIC_NAMES
    }
    for name in _COUNTS:
        if metrics[name] == metrics[name]:  # not NaN
            metrics[name] = int(metrics[name])
    return metrics


def compute_benchmark_equity(close: FloatArray, config: EngineConfig) -> FloatArray:
    """Return the equity of buy and hold: bought at the first close with all cash, never sold.

    Parameters
    ----------
    close : array of shape (n_bars,)
        Closing prices in currency.
    config : EngineConfig
        Initial cash, fee and slippage; lots, sizes and interest do not apply.

    Returns
    -------
    array of shape (n_bars,)
        Marked at each close, in currency, the same expressions as the engine's. Just the cash if
        it does not cover the fixed fee.
    """
    cash = config.initial_cash
    price = close[0] * (1.0 + config.slippage)
    shares = (cash - config.fee_fixed) / (price * (1.0 + config.fee_rate))
    if shares <= 0.0:
        return np.full(close.shape, cash)
    cash = cash - shares * price - (config.fee_rate * shares * price + config.fee_fixed)
    equity: FloatArray = cash + shares * close
    return equity


def _measure_returns(
    result: EngineResult,
    benchmark: FloatArray,
    timestamps: IntArray,
    config: EngineConfig,
    found: dict[str, float],
) -> None:
    """Add what the returns, their tails and the drawdowns say, alone and against the benchmark."""
    n_bars = benchmark.shape[0]
    returns, benchmark_returns = np.empty((2, n_bars))
    periods_per_year, risk_free, _ = config.stream_args[-3:]
    measured = measure_curve(
        result.equity,
        benchmark,
        timestamps,
        config.initial_cash,
        result.ruin_idx + 1 if result.ruined else n_bars,
        risk_free,
        periods_per_year,
        returns,
        benchmark_returns,
    )
    for names, values in zip(_CURVE_METRICS, measured, strict=True):
        found.update(zip(names, values, strict=True))
    last = n_bars - 1
    low, high = int(0.05 * last), int(0.95 * last)
    ranks = (low, min(low + 1, last), high, min(high + 1, last))
    ordered = np.partition(returns, ranks)
    tails = scan_tails(returns, *(float(ordered[rank]) for rank in ranks))
    found.update(zip(_TAIL_METRICS, tails, strict=True))


def _measure_trades(result: EngineResult, found: dict[str, float]) -> None:
    """Add what the closed trades say, and the counts."""
    trades = result.trades
    n_trades = trades.pnl.shape[0]
    n_open = 1 if n_trades and trades.exit_reason[-1] == _OPEN else 0
    closed = slice(n_trades - n_open)
    measured = scan_trades(trades.pnl[closed], trades.return_[closed], trades.bars_held[closed])
    found.update(zip(_TRADE_METRICS, measured, strict=True))
    found["n_bars"] = result.equity.shape[0]
    found["n_trades"] = n_trades - n_open
    found["n_open_trades"] = n_open
    found["n_rejected_orders"] = result.n_rejected_orders
    found["interest"] = result.interest
    found["ruined"] = result.ruined


def _measure_benchmark(equity: FloatArray, config: EngineConfig, found: dict[str, float]) -> None:
    """Add the benchmark's own figures: those of a run that is invested at every bar."""
    headline = measure_headline(build_curve_result(equity), config).tolist()
    named = dict(zip(HEADLINE_METRICS, headline, strict=True))
    found.update({f"benchmark_{name}": named[name] for name in _BENCHMARK_METRICS})
