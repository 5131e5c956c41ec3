"""What the command line prints: JSON for programs, a short table for people."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TextIO

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
_SAMPLE_SHOWN = ("n_bars", "total_return", "cagr", "volatility", "sharpe", "max_drawdown")


class OutputFailed(Exception):
    """What was computed cannot be written where it should go; the message says where and why."""


@contextmanager
def writing_to(shown: str) -> Iterator[None]:
    """Turn a disk that is full and the like into `OutputFailed`; a closed pipe stays click's."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise OutputFailed(f"{shown} cannot be written: {reason}") from error


@contextmanager
def writing_output() -> Iterator[TextIO]:
    """Give standard output, flushed at the end, so that what cannot be written is noticed.

    Raises
    ------
    OutputFailed
        With what is left in the buffer thrown away, so that the interpreter does not try again.
    """
    try:
        with writing_to("standard output"):
            yield sys.stdout
            sys.stdout.flush()
    except OutputFailed:
        with suppress(OSError, ValueError):  # a stream without a descriptor holds nothing back
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


@contextmanager
def writing_file(path: Path) -> Iterator[BinaryIO]:
    """Give a file that takes the name `path` once it is whole; a failure leaves nothing behind.

    Raises
    ------
    OutputFailed
        If it cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with writing_to(str(path)):
            with part.open("wb") as stream:
                yield stream
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


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
    if document.get("sample"):
        _print_sample(document["sample"], stream)


def _print_sample(sample: Mapping[str, Any], stream: TextIO) -> None:
    """Print how the rule did where it was published, and afterwards."""
    start, end = sample["published"]
    stream.write(f"\nPublished sample {start} to {end}\n{'':<24}{'inside':>16}{'after':>16}\n")
    parts = [sample["inside"] or {}, sample["after"] or {}]
    for name in _SAMPLE_SHOWN:
        cells = "".join(f"{format_metric(name, part.get(name)):>16}" for part in parts)
        stream.write(f"{name:<24}{cells}\n")
    for reason in sample["reasons"].values():
        stream.write(f"{reason}\n")


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
