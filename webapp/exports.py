"""Tables of a run as CSV and JSON, streamed in blocks so that a million bars need little memory."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, repeat
from typing import Any, cast

import orjson
from numpy.typing import NDArray

from adapters.adapter import build_result_document, to_json_list
from backtest.bars import Spacing, format_times
from webapp.responses import encode_json

_BLOCK_ROWS = 10_000
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")

# Columns of the exports that have one row per bar.
SERIES_TABLES = {
    "equity": ("equity", "benchmark", "close"),
    "drawdown": ("drawdown", "benchmark_drawdown"),
    "portfolio": ("cash", "position", "position_value", "exposure", "close"),
}
TABLES = ("metrics", *SERIES_TABLES, "trades")


def neutralise_cell(value: object) -> object:
    """Return a CSV cell that no spreadsheet runs as a formula.

    Text that starts like a formula is led by an apostrophe unless it reads as a number; None and
    undefined numbers are empty.
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS) and not _is_number(value):
        return "'" + value
    return value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return not text[:1].isspace()


def write_csv(
    header: Sequence[str],
    rows: Iterable[Sequence[object]],
    identity: Mapping[str, object] | None = None,
) -> Iterator[bytes]:
    """Yield a CSV table (RFC 4180) block by block, every cell neutralised.

    `identity` says whose table it is: columns at the right end that the first row fills. A comment
    above the header would break readers, and a value in every row would double large tables.
    """
    named = dict(identity or {})
    blank = [""] * len(named)
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow([neutralise_cell(name) for name in (*header, *named)])
    for n_rows, row in enumerate(rows, start=1):
        ending = list(named.values()) if n_rows == 1 else blank
        writer.writerow([neutralise_cell(value) for value in (*row, *ending)])
        if n_rows % _BLOCK_ROWS == 0:
            yield _drain(buffer)
    yield _drain(buffer)


def _drain(buffer: io.StringIO) -> bytes:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text.encode()


def iterate_series_rows(
    columns: Mapping[str, NDArray[Any]], names: Sequence[str], spacing: Spacing
) -> Iterator[Sequence[object]]:
    """Yield one row per bar: its time and the named columns."""
    n_bars = columns["time"].size
    for first in range(0, n_bars, _BLOCK_ROWS):
        block = slice(first, first + _BLOCK_ROWS)
        times = format_times(columns["time"][block], spacing)
        yield from zip(times, *(columns[name][block].tolist() for name in names), strict=True)


def iterate_beside(
    rows: Iterable[Sequence[object]], others: Iterable[Sequence[object]], n_columns: int
) -> Iterator[Sequence[object]]:
    """Yield every row with one of the `others` at its right end, blank cells once they are over."""
    blank: Sequence[object] = [""] * n_columns
    # The rows say how many there are.
    for row, other in zip(rows, chain(others, repeat(blank)), strict=False):
        yield *row, *other


def list_episodes(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the deepest drawdowns in the order of `EPISODE_COLUMNS`, numbered from 1."""
    return [
        {"episode": number, **{name: found[name] for name in EPISODE_COLUMNS[1:]}}
        for number, found in enumerate(summary["drawdowns"], start=1)
    ]


EPISODE_COLUMNS = (
    *("episode", "depth", "peak_time", "trough_time", "recovery_time"),
    *("bars", "days"),  # how long it lasted
)


def iterate_metric_rows(summary: Mapping[str, Any]) -> Iterator[Sequence[object]]:
    """Yield one row per metric: name, the run's value, buy and hold's."""
    for name, value in summary["metrics"].items():
        yield name, value, summary["benchmark"].get(name)


def iterate_trade_rows(trades: Sequence[Mapping[str, Any]]) -> Iterator[Sequence[object]]:
    """Yield one row per trade in the order of `TRADE_COLUMNS`."""
    for trade in trades:
        yield [trade[name] for name in TRADE_COLUMNS]


TRADE_COLUMNS = (
    "entry_time",
    "exit_time",
    "direction",
    "shares",
    "entry_price",
    "exit_price",
    "commission",
    "pnl",
    "return",
    "bars_held",
    "exit_reason",
    "mae",
    "mfe",
)


def write_series_json(
    columns: Mapping[str, NDArray[Any]],
    names: Sequence[str],
    spacing: Spacing,
    identity: Mapping[str, object] | None = None,
) -> Iterator[bytes]:
    """Yield ``{"time": [...], name: [...]}`` block by block, `identity` before it.

    Undefined values are null.
    """
    yield b"{" + b"".join(
        orjson.dumps(name) + b":" + encode_json(value) + b","
        for name, value in (identity or {}).items()
    )
    yield b'"time":'
    yield from _write_list(columns["time"], spacing)
    for name in names:
        yield b"," + orjson.dumps(name) + b":"
        yield from _write_list(columns[name], None)
    yield b"}"


def _write_list(values: NDArray[Any], spacing: Spacing | None) -> Iterator[bytes]:
    separator = b"["
    for first in range(0, values.size, _BLOCK_ROWS):
        block = values[first : first + _BLOCK_ROWS]
        items = to_json_list(block) if spacing is None else format_times(block, spacing)
        yield separator + orjson.dumps(items)[1:-1]
        separator = b","
    yield b"[]" if values.size == 0 else b"]"


def write_result(
    summary: Mapping[str, Any],
    trades: Sequence[Mapping[str, Any]],
    columns: Mapping[str, NDArray[Any]],
    run_id: str,
) -> Iterator[bytes]:
    """Yield the object of ``backtest --json`` block by block.

    The adapter builds it once without bars; the columns are then streamed into its place for them.
    """
    empty = {name: values[:0] for name, values in columns.items()}
    document = build_result_document(summary, trades, empty, run_id)
    names = [name for name in document["equity"] if name != "time"]
    separator = b"{"
    for key, value in document.items():
        yield separator + orjson.dumps(key) + b":"
        separator = b","
        if key == "equity":
            yield from write_series_json(columns, names, cast(Spacing, summary["spacing"]))
        else:
            yield encode_json(value)
    yield b"}"
