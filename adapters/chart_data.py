"""What the four report charts show: a pure step from a stored result to plain arrays.

Renderers only draw; two renderers of the same picture would share this step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters.views import select_points

FloatArray = NDArray[np.float64]
TimeArray = NDArray[np.datetime64]

# A picture is 900 pixels wide: more points than that are drawn on top of each other.
_MAX_POINTS = 1800


@dataclass(frozen=True, slots=True)
class Curves:
    """Run and benchmark over time, both fractions of the same kind."""

    title: str
    time: TimeArray
    run: FloatArray
    benchmark: FloatArray


@dataclass(frozen=True, slots=True)
class Markers:
    """Fills of one kind: times and prices of equal length."""

    time: TimeArray
    price: FloatArray


@dataclass(frozen=True, slots=True)
class OrdersData:
    """Price with entries and exits, exits by result; an even one neither won nor lost."""

    title: str
    time: TimeArray
    close: FloatArray
    entries: Markers
    gains: Markers
    losses: Markers
    evens: Markers


@dataclass(frozen=True, slots=True)
class TradePnlData:
    """Net P&L of every trade in order, the open one last."""

    title: str
    number: NDArray[np.int64]
    pnl: FloatArray


def prepare_drawdown(summary: Mapping[str, Any], columns: Mapping[str, NDArray[Any]]) -> Curves:
    """Return the underwater curves of run and benchmark."""
    return _curves("Drawdown", summary, columns, columns["drawdown"], columns["benchmark_drawdown"])


def prepare_cumulative_return(
    summary: Mapping[str, Any], columns: Mapping[str, NDArray[Any]]
) -> Curves:
    """Return cumulative returns since the start, run and benchmark."""
    initial_cash = summary["spec"]["trading"]["initial_cash"]
    run = columns["equity"] / initial_cash - 1.0
    benchmark = columns["benchmark"] / initial_cash - 1.0
    return _curves("Cumulative return", summary, columns, run, benchmark)


def prepare_orders(
    summary: Mapping[str, Any],
    trades: Sequence[Mapping[str, Any]],
    columns: Mapping[str, NDArray[Any]],
) -> OrdersData:
    """Return the close with a mark at every entry and every exit."""
    time, close = columns["time"], columns["close"]
    chosen = select_points([close], _MAX_POINTS)
    closed = [trade for trade in trades if trade["exit_reason"] != "open"]

    def mark(which: Sequence[Mapping[str, Any]], kind: str) -> Markers:
        idx = np.array([trade[f"{kind}_idx"] for trade in which], dtype=np.int64)
        price = np.array([trade[f"{kind}_price"] for trade in which], dtype=np.float64)
        return Markers(_stamps(time[idx]), price)

    return OrdersData(
        title=_title("Orders", summary),
        time=_stamps(time[chosen]),
        close=close[chosen],
        entries=mark(trades, "entry"),
        gains=mark([trade for trade in closed if trade["pnl"] > 0], "exit"),
        losses=mark([trade for trade in closed if trade["pnl"] < 0], "exit"),
        evens=mark([trade for trade in closed if trade["pnl"] == 0], "exit"),
    )


def prepare_trade_pnl(
    summary: Mapping[str, Any], trades: Sequence[Mapping[str, Any]]
) -> TradePnlData:
    """Return the P&L of every trade, numbered from 1."""
    pnl = np.array([trade["pnl"] for trade in trades], dtype=np.float64)
    return TradePnlData(_title("P&L by trade", summary), np.arange(1, pnl.size + 1), pnl)


def _curves(
    name: str,
    summary: Mapping[str, Any],
    columns: Mapping[str, NDArray[Any]],
    run: FloatArray,
    benchmark: FloatArray,
) -> Curves:
    chosen = select_points([run, benchmark], _MAX_POINTS)
    return Curves(
        title=_title(name, summary),
        time=_stamps(columns["time"][chosen]),
        run=run[chosen],
        benchmark=benchmark[chosen],
    )


def _stamps(time: NDArray[Any]) -> TimeArray:
    stamps: TimeArray = time.astype("datetime64[ns]").astype("datetime64[s]")
    return stamps


def _title(name: str, summary: Mapping[str, Any]) -> str:
    spec = summary["spec"]
    params = ", ".join(map(_word, spec["params"].values()))
    return f"{name}   {spec['dataset']['symbol']} {summary['rule']['title']}({params})"


def _word(value: object) -> str:
    """Return a parameter as people write it: 30, not 30.0."""
    return f"{value:g}" if isinstance(value, float) else str(value)
