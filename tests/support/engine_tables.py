"""Hand-worked bar tables: what goes into the engine on the left, what must come out beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from backtest.engine import EXIT_REASONS, EngineResult, build_engine_config, run_engine

HOLD, BUY, SELL, EXIT = 0, 1, -1, 2

# No costs, everything on one card: numbers stay round, each table switches on what it is about.
FREE = {
    "initial_cash": 10_000.0,
    "fee_rate": 0.0,
    "fee_fixed": 0.0,
    "slippage": 0.0,
    "size": 1.0,
    "size_type": "percent",
    "lot_size": 0.0,
    "direction": "long_only",
    "fill": "next_open",
    "stop_loss": None,
    "take_profit": None,
    "trailing_stop": None,
    "cash_rate": 0.0,
    "borrow_rate": 0.0,
    "periods_per_year": None,
    "risk_free": 0.0,
    "mar": 0.0,
}


@dataclass(frozen=True)
class Expected:
    """One trade; what is None was not worked out and is not compared."""

    direction: str
    entry_idx: int
    exit_idx: int
    shares: float
    entry_price: float
    exit_price: float
    reason: str
    pnl: float
    commission: float | None = None
    return_: float | None = None
    mae: float | None = None
    mfe: float | None = None


@dataclass(frozen=True)
class Table:
    """A sentence, rows of (open, high, low, close, signal), and what they must lead to."""

    sentence: str
    rows: list[tuple[float, float, float, float, int]]
    trades: list[Expected]
    trading: dict[str, Any] = field(default_factory=dict)
    weight: list[float] | None = None
    equity: list[float] | None = None
    cash: list[float] | None = None
    position: list[float] | None = None
    exposed: list[bool] | None = None
    rejected: int = 0
    interest: float = 0.0
    ruin_idx: int = -1


def run_rows(rows, trading, weight=None, periods_per_year=1.0) -> EngineResult:
    """Run rows of (open, high, low, close, signal); a period is a year, so rates are per bar."""
    *prices, signal = zip(*rows, strict=True)
    columns = [np.array(column, dtype=np.float64) for column in prices]
    return run_engine(
        *columns,
        np.array(signal, dtype=np.int8),
        None if weight is None else np.array(weight, dtype=np.float64),
        build_engine_config({**FREE, **trading}, periods_per_year),
    )


def check_table(table: Table) -> None:
    """Run the table and compare everything that was worked out, to 1e-12."""
    result = run_rows(table.rows, table.trading, table.weight)
    found = [describe_trade(result, row) for row in range(len(result.trades.pnl))]
    assert len(found) == len(table.trades), found
    for trade, expected in zip(found, table.trades, strict=True):
        for name, value in vars(expected).items():
            if value is not None:
                assert trade[name] == same(value), (name, trade)
    for name in ("equity", "cash", "position", "exposed"):
        expected_column = getattr(table, name)
        if expected_column is not None:
            assert getattr(result, name).tolist() == same(expected_column), name
    assert result.n_rejected_orders == table.rejected
    assert result.interest == same(table.interest)
    assert result.ruin_idx == table.ruin_idx
    assert result.ruined == (table.ruin_idx >= 0)


def describe_trade(result: EngineResult, row: int) -> dict[str, Any]:
    trades = result.trades
    return {
        "direction": {1: "long", -1: "short"}[int(trades.direction[row])],
        "entry_idx": int(trades.entry_idx[row]),
        "exit_idx": int(trades.exit_idx[row]),
        "shares": float(trades.shares[row]),
        "entry_price": float(trades.entry_price[row]),
        "exit_price": float(trades.exit_price[row]),
        "reason": EXIT_REASONS[trades.exit_reason[row]],
        "pnl": float(trades.pnl[row]),
        "commission": float(trades.commission[row]),
        "return_": float(trades.return_[row]),
        "mae": float(trades.mae[row]),
        "mfe": float(trades.mfe[row]),
    }


def same(value: Any) -> Any:
    """Compare numbers to 1e-12, everything else exactly."""
    if isinstance(value, float | int) and not isinstance(value, bool):
        return pytest.approx(value, rel=1e-12, abs=1e-12)
    if isinstance(value, list) and not isinstance(value[0], bool):
        return pytest.approx(value, rel=1e-12, abs=1e-12)
    return value
