"""Which column of a file is which, and how a refusal names a place in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtest.bars import Bars, DataWarning, build_bars
from backtest.errors import FieldError, InputError
from storage.bar_dates import DateRefused, Stamps, choose_stamps

# First the better name: of `Date` and `Time` in one file, `Date` is read.
_DATE_NAMES = ("date", "datetime", "timestamp", "time")
# What pandas calls an index without a name: nothing at all, or this after another round trip.
_INDEX_NAMES = ("", "unnamed:0")
# And in Parquet, where it is the last column.
_PARQUET_INDEX = "indexlevel0"
_REQUIRED = ("open", "high", "low", "close")
_OPTIONAL = {"volume": ("volume",), "adj_close": ("adjclose", "adjustedclose")}
MAX_COLUMNS = 2_000


@dataclass(frozen=True, slots=True)
class RawColumns:
    """Columns of a file as read, not yet validated as bars.

    Parameters
    ----------
    stamps : Stamps
        Times of all rows.
    values : dict of str to ndarray of float64, shape (n,)
        open, high, low, close and, where the file has them, volume and adj_close.
    """

    stamps: Stamps
    values: dict[str, NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class RowNumbers:
    """How to say where in a file a bar stands.

    Parameters
    ----------
    rows : ndarray of int64, shape (n,)
        As a person counts them.
    note : str
        How that is.
    """

    rows: NDArray[np.int64]
    note: str

    def place(self, idx: int, column: str) -> str:
        """Return the words for one cell."""
        return f"row {int(self.rows[idx])} ({self.note}), column {column}"


@dataclass(frozen=True, slots=True)
class FileFacts:
    """How a file was understood.

    Parameters
    ----------
    kind : str
        For people, as ``CSV, semicolons``.
    names : tuple of str
        All its columns, in their order.
    roles : mapping of str to int
        Index of each column that was read; see `match_columns`.
    date_format : str
        How its dates were read: in ``strptime`` syntax, or in words.
    """

    kind: str
    names: tuple[str, ...]
    roles: Mapping[str, int]
    date_format: str


class LoadedBars(NamedTuple):
    """Bars of a file, what a person should know of them, and how the file was understood."""

    bars: Bars
    warnings: tuple[DataWarning, ...]
    facts: FileFacts


def match_columns(names: Sequence[str], file_name: str) -> dict[str, int]:
    """Find the columns of bars by name, whatever their case, spaces and underscores.

    Parameters
    ----------
    names : sequence of str
        All columns, in the order of the file.
    file_name : str
        For messages.

    Returns
    -------
    dict of str to int
        Index of ``date``, ``open``, ``high``, ``low``, ``close`` and, where present, ``volume`` and
        ``adj_close``.

    Raises
    ------
    InputError
        If a column is missing or two have the same meaning.
    """
    if len(names) > MAX_COLUMNS:
        raise InputError.of("file", file_name, f"has {len(names):,} columns; this is no bar file")
    places: dict[str, list[int]] = {}
    for idx, name in enumerate(names):
        key = name.strip().casefold().replace(" ", "").replace("_", "")
        places.setdefault(key, []).append(idx)
    wanted = {"date": _find_date_columns(places)}
    for role, keys in {**{name: (name,) for name in _REQUIRED}, **_OPTIONAL}.items():
        wanted[role] = [idx for key in keys for idx in places.get(key, [])]
    found: dict[str, int] = {}
    errors = []
    for role, candidates in wanted.items():
        if len(candidates) > 1:
            shown = " and ".join(repr(names[idx]) for idx in candidates)
            message = f"the columns {shown} mean the same; keep one"
            errors.append(FieldError("file", file_name, message))
        elif candidates:
            found[role] = candidates[0]
    missing = [role for role in ("date", *_REQUIRED) if role not in found]
    if missing and not errors:
        shown = ", ".join(repr(name) for name in names[:20])
        message = f"has no column {', '.join(missing)}; the first row must name the columns, "
        errors.append(FieldError("file", file_name, f"{message}and it reads {shown[:300]}"))
    if errors:
        raise InputError(errors)
    return found


def _find_date_columns(places: dict[str, list[int]]) -> list[int]:
    for key in _DATE_NAMES:
        if key in places:
            return places[key]
    # Without a name only the first column can be meant; lines may well end in a separator.
    if any(0 in places.get(key, []) for key in _INDEX_NAMES):
        return [0]
    return places.get(_PARQUET_INDEX, [])


def build_from_columns(
    raw: RawColumns, numbers: RowNumbers, kind: str, names: Sequence[str], roles: Mapping[str, int]
) -> LoadedBars:
    """Build bars of what was read; see `build_bars` for errors and `FileFacts` for the rest."""
    bars, warnings = build_bars(
        choose_stamps(raw.stamps), **raw.values, row_numbers=numbers.rows, row_note=numbers.note
    )
    facts = FileFacts(kind, tuple(names), dict(roles), raw.stamps.date_format)
    return LoadedBars(bars, warnings, facts)


def describe_refused_date(refused: DateRefused, numbers: RowNumbers, column: str) -> InputError:
    """Turn a refused date into an error that names its row and column."""
    if refused.idx is None:
        place = f"column {column}: " if refused.field == "file" else ""
        return InputError.of(refused.field, refused.value, place + refused.message)
    place = numbers.place(refused.idx, column)
    return InputError.of(refused.field, refused.value, f"{place}: {refused.message}")
