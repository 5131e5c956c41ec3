"""Engine output turned into one JSON-safe view model, and the contract's result document.

Imported by the web tier: numpy and the standard library only at import. What needs compiled kernels
is imported inside `build_outcome`, which only a worker or the command line calls.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from adapters.conventions import Account, compute_conventions
from adapters.reasons import explain_undefined
from adapters.sample_split import build_sample_split
from adapters.tables import (
    build_return_tables,
    build_trade_histogram,
    compute_drawdown,
    find_drawdown_episodes,
    sum_traded_by_year,
    summarise_trades,
)
from backtest.bars import format_times
from backtest.version import DEFINITIONS_VERSION

if TYPE_CHECKING:
    from backtest.bars import Bars, DataWarning
    from backtest.engine import EngineConfig, EngineResult
    from rules.base_rule import RuleMetadata, RuleOutput
    from rules.spec import RunSpec

# Part of a run's fingerprint: raise it when metrics, adapter or loader change what they answer.
RESULTS_VERSION = "3"
EXIT_REASONS = ("signal", "stop_loss", "take_profit", "trailing_stop", "ruin", "open")
EQUITY_COLUMNS = ("equity", "cash", "position", "close")

# Shown beside the run's own figures; trade statistics of a single held position say nothing.
_BENCHMARK_METRICS = [
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
    "best_day",
    "worst_day",
    "best_month",
    "worst_month",
    "recovery_factor",
    "psr",
]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """Everything that is stored of a finished run, charts apart.

    Parameters
    ----------
    summary : dict
        JSON-safe view model of the five tabs; undefined numbers are None.
    trades : list of dict
        One entry per trade in the contract's shape plus ``entry_idx`` and ``exit_idx``.
    columns : dict of str to ndarray, shape (n_bars,)
        ``time`` int64 (UTC ns); prices as used, equity, cash, position (shares), position_value
        (shares times close), benchmark, drawdown, benchmark_drawdown, exposure and
        ``indicator:<name>`` float64, NaN where undefined.
    """

    summary: dict[str, Any]
    trades: list[dict[str, Any]]
    columns: dict[str, NDArray[Any]]


def build_outcome(
    *,
    spec: RunSpec,
    fingerprint: str,
    bars: Bars,
    rule: RuleMetadata,
    rule_output: RuleOutput,
    engine_result: EngineResult,
    metrics: Mapping[str, float],
    config: EngineConfig,
    warnings: Sequence[DataWarning],
) -> RunOutcome:
    """Derive everything that the page shows from one engine result.

    Parameters
    ----------
    bars : Bars
        As the engine saw them: adjusted and filtered.
    metrics : mapping of str to float
        From `backtest.metrics.compute_metrics`; NaN where undefined.
    """
    from backtest.engine import ENGINE_VERSION
    from backtest.metrics import compute_benchmark_equity

    benchmark = compute_benchmark_equity(bars.close, config)
    benchmark_metrics = _compute_benchmark_metrics(bars, benchmark, config)
    trades = build_trades(engine_result, bars)
    columns = _build_columns(bars, engine_result, benchmark, rule_output, config.initial_cash)
    first, last = format_times(bars.timestamps[[0, -1]], bars.spacing)
    clean_metrics = {name: to_json_number(value) for name, value in metrics.items()}
    summary = {
        "fingerprint": fingerprint,
        "engine_version": ENGINE_VERSION,
        "results_version": RESULTS_VERSION,
        "definitions_version": DEFINITIONS_VERSION,
        "spec": spec.to_json_dict(),
        "metrics": clean_metrics,
        "undefined": explain_undefined(clean_metrics),
        "conventions": compute_conventions(
            Account(
                timestamps=bars.timestamps,
                equity=engine_result.equity,
                initial_cash=config.initial_cash,
                spacing=bars.spacing,
                periods_per_year=config.periods_per_year,
                risk_free=config.risk_free,
                mar=config.mar,
                trades=trades,
            )
        ),
        "warnings": [
            {"code": item.code, "message": item.message, "count": item.count, "first": item.first}
            for item in warnings
        ],
        "spacing": bars.spacing,
        "n_bars": bars.n_bars,
        "first_time": first,
        "last_time": last,
        "periods_per_year": config.periods_per_year,
        "benchmark": {name: to_json_number(benchmark_metrics[name]) for name in _BENCHMARK_METRICS},
        "returns": build_return_tables(
            bars.timestamps, engine_result.equity, benchmark, config.initial_cash
        ),
        "drawdowns": find_drawdown_episodes(
            bars.timestamps, bars.spacing, engine_result.equity, config.initial_cash
        ),
        "trade_histogram": build_trade_histogram(trades),
        "trade_totals": summarise_trades(trades),
        "traded_by_year": sum_traded_by_year(
            bars.timestamps,
            engine_result.fills.bar_idx,
            engine_result.fills.shares,
            engine_result.fills.price,
        ),
        "final": {
            "equity": to_json_number(engine_result.equity[-1]),
            "benchmark": to_json_number(benchmark[-1]),
        },
        "sample": build_sample_split(
            rule.published_sample,
            bars.timestamps,
            bars.spacing,
            engine_result.equity,
            initial_cash=config.initial_cash,
            periods_per_year=config.periods_per_year,
            risk_free=config.risk_free,
        ),
        "rule": {
            "name": rule.name,
            "title": rule.title,
            "summary": rule.summary,
            "source": rule.source,
            "label": rule.label,
            "deviations": list(rule.deviations),
            "indicators": list(rule_output.indicators),
        },
    }
    return RunOutcome(summary=summary, trades=trades, columns=columns)


def build_trades(engine_result: EngineResult, bars: Bars) -> list[dict[str, Any]]:
    """Return one JSON-safe record per trade, the open one last."""
    trades = engine_result.trades
    entry_times = format_times(bars.timestamps[trades.entry_idx], bars.spacing)
    exit_times = format_times(bars.timestamps[trades.exit_idx], bars.spacing)
    numbers = [
        [to_json_number(value) for value in column.tolist()]
        for column in (
            trades.shares,
            trades.entry_price,
            trades.exit_price,
            trades.commission,
            trades.pnl,
            trades.return_,
            trades.mae,
            trades.mfe,
        )
    ]
    shares, entry_price, exit_price, commission, pnl, return_, mae, mfe = numbers
    return [
        {
            "entry_time": entry_times[i],
            "exit_time": exit_times[i],
            "direction": "long" if direction > 0 else "short",
            "shares": shares[i],
            "entry_price": entry_price[i],
            "exit_price": exit_price[i],
            "commission": commission[i],
            "pnl": pnl[i],
            "return": return_[i],
            "bars_held": bars_held,
            "exit_reason": EXIT_REASONS[reason],
            "mae": mae[i],
            "mfe": mfe[i],
            "entry_idx": entry_idx,
            "exit_idx": exit_idx,
        }
        for i, (direction, bars_held, reason, entry_idx, exit_idx) in enumerate(
            zip(
                trades.direction.tolist(),
                trades.bars_held.tolist(),
                trades.exit_reason.tolist(),
                trades.entry_idx.tolist(),
                trades.exit_idx.tolist(),
                strict=True,
            )
        )
    ]


def build_result_document(
    summary: Mapping[str, Any],
    trades: Sequence[Mapping[str, Any]],
    columns: Mapping[str, NDArray[Any]],
    run_id: str | None = None,
) -> dict[str, Any]:
    """Return the object of ``backtest --json`` and ``GET /api/v1/runs/<run_id>/result``."""
    internal = {"entry_idx", "exit_idx"}
    equity: dict[str, list[Any]] = {"time": format_times(columns["time"], summary["spacing"])}
    for name in EQUITY_COLUMNS:
        equity[name] = to_json_list(columns[name])
    return {
        **identify_result(summary, run_id),
        "engine_version": summary["engine_version"],
        "results_version": summary["results_version"],
        "spec": summary["spec"],
        "metrics": summary["metrics"],
        "trades": [
            {name: value for name, value in trade.items() if name not in internal}
            for trade in trades
        ],
        "equity": equity,
        "warnings": summary["warnings"],
        # Not in results stored by versions before "2".
        "sample": summary.get("sample"),
    }


def identify_result(summary: Mapping[str, Any], run_id: str | None) -> dict[str, Any]:
    """Return what every export carries: whose result it is, and what its numbers mean."""
    return {
        "run_id": run_id,
        "fingerprint": summary["fingerprint"],
        # Before results of version "3" there was one set of definitions only.
        "definitions_version": summary.get("definitions_version", "1"),
    }


def to_json_number(value: Any) -> Any:
    """Return a plain Python number; NaN and infinities become None."""
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def to_json_list(values: NDArray[Any]) -> list[Any]:
    """Return an array as a list in which NaN and infinities are None."""
    listed: list[Any] = values.tolist()
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        return [value if math.isfinite(value) else None for value in listed]
    return listed


def _compute_benchmark_metrics(
    bars: Bars, benchmark: FloatArray, config: EngineConfig
) -> dict[str, float]:
    """Measure the benchmark as if it were a run that holds one position from the first bar on."""
    from backtest.engine import build_curve_result
    from backtest.metrics import compute_metrics

    held = build_curve_result(benchmark)
    return compute_metrics(held, bars.close, bars.timestamps, config)


def _build_columns(
    bars: Bars,
    engine_result: EngineResult,
    benchmark: FloatArray,
    rule_output: RuleOutput,
    initial_cash: float,
) -> dict[str, NDArray[Any]]:
    position_value = engine_result.position * bars.close
    with np.errstate(divide="ignore", invalid="ignore"):
        exposure = position_value / engine_result.equity
    return {
        "time": bars.timestamps,
        "open": bars.open,
        "high": bars.high,
        "low": bars.low,
        "close": bars.close,
        "equity": engine_result.equity,
        "cash": engine_result.cash,
        "position": engine_result.position,
        "position_value": position_value,
        "benchmark": benchmark,
        "drawdown": compute_drawdown(engine_result.equity, initial_cash),
        "benchmark_drawdown": compute_drawdown(benchmark, initial_cash),
        "exposure": exposure,
        **{f"indicator:{name}": values for name, values in rule_output.indicators.items()},
    }
