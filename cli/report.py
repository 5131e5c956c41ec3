"""What the command line prints: JSON for programs, a short table for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

_FRACTIONS = frozenset(
    {
        "total_return",
        "cagr",
        "volatility",
        "max_drawdown",
        "win_rate",
        "exposure",
        "benchmark_total_return",
        "benchmark_cagr",
        "benchmark_max_drawdown",
    }
)
_SHOWN = (
    "total_return",
    "cagr",
    "volatility",
    "sharpe",
    "sortino",
    "max_drawdown",
    "calmar",
    "win_rate",
    "profit_factor",
    "expectancy",
    "exposure",
    "turnover",
    "n_trades",
    "psr",
    "benchmark_total_return",
    "benchmark_cagr",
    "benchmark_sharpe",
    "benchmark_max_drawdown",
)


def print_json(document: Mapping[str, Any], stream: TextIO) -> None:
    """Print one JSON object; floats in full precision, undefined as null."""
    json.dump(document, stream, allow_nan=False, separators=(",", ":"))
    stream.write("\n")


def print_report(document: Mapping[str, Any], stream: TextIO) -> None:
    """Print what was run and its main figures, aligned for a terminal."""
    spec, metrics = document["spec"], document["metrics"]
    params = ", ".join(f"{name}={value}" for name, value in spec["params"].items())
    times = document["equity"]["time"]
    stream.write(f"{spec['dataset']['symbol']}  {spec['rule']}({params})\n")
    stream.write(f"{times[0]} to {times[-1]}, {len(times):,} bars\n\n")
    for name in _SHOWN:
        stream.write(f"{name:<24}{format_metric(name, metrics[name]):>16}\n")
    if metrics["ruined"]:
        stream.write("\nThe account was ruined: equity fell to zero or below.\n")


def format_metric(name: str, value: Any) -> str:
    """Return one figure for a terminal; undefined is a dash."""
    if value is None:
        return "-"
    if name in _FRACTIONS:
        return f"{value:,.2%}"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4f}"


def print_table(headings: Sequence[str], rows: Sequence[Sequence[object]], stream: TextIO) -> None:
    """Print left-aligned columns as wide as their widest cell."""
    table = [[str(cell) for cell in row] for row in (headings, *rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(headings))]
    for row in table:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        stream.write("  ".join(cells).rstrip() + "\n")
