"""Reading bars from CSV text: fast with pyarrow, and precisely where that refuses.

The fast reading accepts a subset of what the precise one accepts, with the same values; whatever
it cannot read, and every error, is told by the precise one, which knows rows and cells.
"""

from __future__ import annotations

import csv
import io
import re
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
from numpy.typing import NDArray

from backtest.errors import InputError
from storage.bar_columns import (
    LoadedBars,
    RawColumns,
    RowNumbers,
    build_from_columns,
    describe_refused_date,
    match_columns,
)
from storage.bar_dates import DateRefused, parse_dates
from storage.text_stream import TextStream

_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_MAX_HEADER = 1 << 16  # characters
_BATCH_ROWS = 65_536
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_THOUSANDS = re.compile(r"[+-]?[0-9]{1,3}([., '\u00a0\u202f][0-9]{3})+([.,][0-9]+)?")
_NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class CsvShape:
    """What the header tells of a CSV file.

    Parameters
    ----------
    header_row : int
        Line of the header; blank lines before it are skipped.
    delimiter : {",", ";", tab}
        Between cells.
    names : tuple of str
        All columns, in their order.
    columns : dict of str to int
        Index of each column that is read, as `match_columns` finds them.
    """

    header_row: int
    delimiter: str
    names: tuple[str, ...]
    columns: dict[str, int]

    @property
    def n_columns(self) -> int:
        """Cells of every row."""
        return len(self.names)

    def build(self, raw: RawColumns, numbers: RowNumbers) -> LoadedBars:
        """Build bars of what was read."""
        kind = f"CSV, {_DELIMITERS[self.delimiter]}"
        return build_from_columns(raw, numbers, kind, self.names, self.columns)


@dataclass(frozen=True, slots=True)
class _FastColumns:
    """What pyarrow read: date texts, numbers, and whether every line below the header is a bar."""

    dates: pa.Array
    values: dict[str, NDArray[np.float64]]
    is_line_per_bar: bool


def load_csv(
    open_text: Callable[[], TextStream], name: str, date_format: str | None, max_bars: int
) -> LoadedBars:
    """Read bars from CSV text.

    Parameters
    ----------
    open_text : callable
        Opens the text from its start; called up to four times.
    name : str
        For messages.
    date_format : str or None
        In ``strptime`` syntax.
    max_bars : int
        More rows are refused.

    Raises
    ------
    InputError
        On field ``file`` or ``date_format``.
    """
    with open_text() as text:
        shape = _read_header(text, name)
    columns = _read_fast(open_text, shape, name, max_bars)
    if columns is not None:
        numbers = _number_rows(shape, len(columns.dates))
        try:
            raw = RawColumns(parse_dates(columns.dates, date_format), columns.values)
            return shape.build(raw, numbers)
        except DateRefused as refused:
            if columns.is_line_per_bar or refused.idx is None:
                raise describe_refused_date(refused, numbers, "date") from None
        except InputError:
            if columns.is_line_per_bar:
                raise
    # Also for an error found above: blank lines and line breaks in cells shift the rows it names.
    return _load_precisely(open_text, shape, name, date_format, max_bars)


def _number_rows(shape: CsvShape, n_bars: int) -> RowNumbers:
    """Count rows as if no line were blank and no cell held a line break."""
    return RowNumbers(np.arange(n_bars) + shape.header_row + 1, _describe_rows(shape))


def _describe_rows(shape: CsvShape) -> str:
    return f"the header is row {shape.header_row}"


def _read_header(text: TextStream, name: str) -> CsvShape:
    lines = io.TextIOWrapper(io.BufferedReader(text), encoding="utf-8", newline="")
    row, line = 1, lines.readline(_MAX_HEADER).removeprefix("\ufeff")  # the byte order mark
    while line and not line.strip():
        row, line = row + 1, lines.readline(_MAX_HEADER)
    if not line:
        raise InputError.of("file", name, "is empty")
    if len(line) == _MAX_HEADER:
        raise InputError.of("file", name, f"row {row} is too long to name columns")
    candidates = [(delimiter, _split_header(line, delimiter)) for delimiter in _DELIMITERS]
    # The separator is the one that finds the most columns we know; a tie keeps the comma.
    delimiter, names = max(candidates, key=lambda item: _count_known(item[1]))
    return CsvShape(row, delimiter, tuple(names), match_columns(names, name))


def _split_header(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line.rstrip("\r\n")], delimiter=delimiter))
    except csv.Error:
        return [line]


def _count_known(names: list[str]) -> int:
    known = {"open", "high", "low", "close"}
    return len(known & {name.strip().casefold() for name in names})


def _read_fast(
    open_text: Callable[[], TextStream], shape: CsvShape, name: str, max_bars: int
) -> _FastColumns | None:
    """Read with pyarrow, or return None if it cannot read every row."""
    decimal_points = ".," if shape.delimiter == ";" else "."
    for decimal_point in decimal_points:
        with open_text() as text:
            try:
                return _read_batches(text, shape, decimal_point, name, max_bars)
            except pa.ArrowInvalid:
                continue
    return None


def _read_batches(
    text: TextStream, shape: CsvShape, decimal_point: str, name: str, max_bars: int
) -> _FastColumns | None:
    types = {
        str(idx): pa.string() if role == "date" else pa.float64()
        for role, idx in shape.columns.items()
    }
    reader = pacsv.open_csv(
        text,
        pacsv.ReadOptions(
            column_names=[str(idx) for idx in range(shape.n_columns)],
            skip_rows=shape.header_row,
            use_threads=False,
        ),
        pacsv.ParseOptions(delimiter=shape.delimiter, newlines_in_values=True),
        pacsv.ConvertOptions(
            column_types=types,
            include_columns=list(types),
            null_values=[],
            decimal_point=decimal_point,
        ),
    )
    parts: dict[str, list[NDArray[np.float64]]] = {
        role: [] for role in shape.columns if role != "date"
    }
    dates: list[pa.Array] = []
    n_bars = 0
    for batch in reader:
        n_bars += batch.num_rows
        _refuse_too_many(n_bars, max_bars, name)
        for column, role in enumerate(shape.columns):
            if role == "date":
                dates.append(batch.column(column))
            else:
                parts[role].append(batch.column(column).to_numpy())
    if not n_bars:
        return None
    return _FastColumns(
        pa.concat_arrays(dates),
        {role: np.concatenate(parts.pop(role)) for role in list(parts)},
        text.n_lines == shape.header_row + n_bars,
    )


def _refuse_too_many(n_bars: int, max_bars: int, name: str) -> None:
    if n_bars > max_bars:
        message = f"has more than {max_bars:,} bars; split it or use longer bars"
        raise InputError.of("file", name, message)


def _load_precisely(
    open_text: Callable[[], TextStream],
    shape: CsvShape,
    name: str,
    date_format: str | None,
    max_bars: int,
) -> LoadedBars:
    rows = array("q")
    values = {role: array("d") for role in shape.columns if role != "date"}
    dates: list[pa.Array] = []
    pending: list[str] = []
    read_number = _NumberReader(shape.delimiter)
    with open_text() as text:
        for row, cells in _iterate_rows(text, shape):
            rows.append(row)
            _refuse_too_many(len(rows), max_bars, name)
            pending.append(cells[shape.columns["date"]])
            if len(pending) == _BATCH_ROWS:  # a third of the memory of Python's own strings
                dates.append(pa.array(pending, pa.string()))
                pending.clear()
            for role, column in values.items():
                column.append(read_number(cells[shape.columns[role]], row, role, shape))
    dates.append(pa.array(pending, pa.string()))
    numbers = RowNumbers(np.asarray(rows), _describe_rows(shape))
    if not rows:
        raise InputError.of("file", name, "has no rows below its header")
    try:
        stamps = parse_dates(pa.concat_arrays(dates), date_format)
    except DateRefused as refused:
        raise describe_refused_date(refused, numbers, "date") from None
    raw = RawColumns(stamps, {role: np.asarray(column) for role, column in values.items()})
    return shape.build(raw, numbers)


def _iterate_rows(text: TextStream, shape: CsvShape) -> Iterator[tuple[int, list[str]]]:
    """Yield every row that is not blank, with the line on which it ends."""
    lines = io.TextIOWrapper(io.BufferedReader(text), encoding="utf-8", newline="")
    for _ in range(shape.header_row):
        lines.readline()
    reader = csv.reader(lines, delimiter=shape.delimiter)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            row = reader.line_num + shape.header_row
            message = f"row {row} ({_describe_rows(shape)}): {error}"
            raise InputError.of("file", None, message) from None
        if not cells or (len(cells) == 1 and not cells[0].strip()):
            continue
        row = reader.line_num + shape.header_row
        if len(cells) != shape.n_columns:
            message = f"row {row} ({_describe_rows(shape)}) has {len(cells):,} cells, the header "
            message += f"has {shape.n_columns:,}; correct or quote the cells"
            raise InputError.of("file", shape.delimiter.join(cells[:20])[:200], message)
        yield row, cells


class _NumberReader:
    """Reads cells as ``float()`` does, and nothing else that ``float()`` accepts.

    The decimal sign is settled by the first number that has one: a file that mixes them is more
    likely to have thousands separators than prices.
    """

    def __init__(self, delimiter: str) -> None:
        self._decimal = "" if delimiter == ";" else "."

    def __call__(self, text: str, row: int, role: str, shape: CsvShape) -> float:
        number = text.strip(" \t")
        if not self._decimal and len({".", ","} & set(number)) == 1:
            self._decimal = "," if "," in number else "."
        plain = number
        if self._decimal == ",":
            plain = number.replace(".", "?").replace(",", ".")
        if not _NUMBER.fullmatch(plain):
            place = f"row {row} ({_describe_rows(shape)}), column {role.replace('_', ' ')}"
            raise InputError.of("file", text[:200], f"{place}: {self._explain(number, shape)}")
        return float(plain)

    def _explain(self, number: str, shape: CsvShape) -> str:
        if not number:
            return "the cell is empty; remove the row or fill in the number"
        if _NOT_FINITE.fullmatch(number):
            return "must be a finite number"
        if shape.delimiter != ";" and re.fullmatch(r"[+-]?[0-9]+,[0-9]+", number):
            return "a decimal comma is read only where semicolons separate the columns"
        if self._decimal and self._decimal not in number and {".", ","} & set(number):
            return f"the rows above have {self._decimal!r} as decimal sign; use one throughout"
        if _THOUSANDS.fullmatch(number):
            return "write numbers without thousands separators and with one decimal sign"
        return "is not a number such as 1234.5 or 1.2e-3"
