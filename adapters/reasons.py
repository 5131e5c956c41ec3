"""Why a metric is undefined, in words that stand beside its dash."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TRADE_METRICS = frozenset(
    [
        "win_rate",
        "profit_factor",
        "expectancy",
        "expectancy_return",
        "payoff_ratio",
        "sqn",
        "kelly",
        "mean_trade_bars",
        "max_trade_bars",
        "best_trade",
        "worst_trade",
        "longest_win_streak",
        "longest_loss_streak",
    ]
)
_NEEDS_LOSS = frozenset(("profit_factor", "payoff_ratio", "kelly"))
_NEEDS_DRAWDOWN = frozenset(("calmar", "recovery_factor", "max_drawdown_bars", "max_drawdown_days"))
_NEEDS_VARIATION = frozenset(
    [
        "sharpe",
        "skew",
        "kurtosis",
        "psr",
        "correlation",
        "beta",
        "alpha",
        "information_ratio",
        "volatility",
        "tail_ratio",
    ]
)


def explain_undefined(metrics: Mapping[str, Any]) -> dict[str, str]:
    """Return a reason for every metric that is None."""
    return {name: _explain(name, metrics) for name, value in metrics.items() if value is None}


def _explain(name: str, metrics: Mapping[str, Any]) -> str:
    if name in _TRADE_METRICS:
        return _explain_trade_metric(name, metrics)
    if metrics.get("n_bars", 0) < 2:
        return "needs at least two bars"
    if name in ("cagr", "calmar") and (metrics.get("total_return") or 0.0) < -1.0:
        return "equity ended below zero, so there is no growth rate"
    if name in _NEEDS_DRAWDOWN:
        return "there was no drawdown"
    if name == "sortino":
        return "no bar lost, so there is no downside"
    if name == "omega":
        return "no bar lost, so there is no ratio"
    if name in _NEEDS_VARIATION and metrics.get("volatility") in (0.0, None):
        return "returns never vary"
    if name in ("beta", "alpha", "correlation", "information_ratio"):
        return "the benchmark or the difference to it never varies"
    return "not defined for these returns"


def _explain_trade_metric(name: str, metrics: Mapping[str, Any]) -> str:
    if not metrics.get("n_trades"):
        return "no closed trade"
    if name == "sqn":
        return "needs two closed trades with different results"
    win_rate = metrics.get("win_rate")
    if name in _NEEDS_LOSS and win_rate == 0.0:
        return "no winning trade, so there is no ratio"
    if name in _NEEDS_LOSS:
        return "no losing trade, so there is no ratio"
    return "not defined for these trades"
