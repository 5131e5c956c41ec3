"""Reading the date column of a bar file: one meaning for the whole column, or a refusal.

Definitions 1, "Dates" and "Zones". Every format has a vectorised reading; where that does not
cover a row, Python's own parser decides, so both agree and the faulty row is named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from backtest.bar_times import DAY_NS, SECOND_NS, compute_spacing
from storage.date_formats import FIRST_YEAR, LAST_YEAR, match_format

Stamp = NDArray[np.int64]

# Whole numbers are epoch seconds if int64 ns can hold them as such (up to the year 2262), else
# milliseconds. Below the first limit lie row numbers, spreadsheet dates and years, not prices'
# times: 1e8 s is March 1973.
_SMALLEST_EPOCH = 100_000_000
_LARGEST_SECONDS = (2**63 - 1) // SECOND_NS
_MILLISECOND_NS = SECOND_NS // 1_000

_NONE = np.int64(0)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?", re.ASCII)
_BASIC_DATE = re.compile(r"(1[6-9]|2[0-2])[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])")
_SLASH_OR_DOT = re.compile(r"[0-9]{1,4}([/.])[0-9]{1,2}\1[0-9]{1,4}(?![0-9])")
_ISO = re.compile(r"[0-9]{4}-?(?:[0-9]{2}|W[0-9]{2})[0-9:TZtz.,+\- ]*")
_NANOSECONDS = re.compile(r"[.,][0-9]{6}([0-9]{1,3})(?![0-9])")
_TIME_FORMATS = (
    "",
    *(" " + clock + zone for clock in ("%H:%M", "%H:%M:%S", "%H:%M:%S.%f") for zone in ("", "%z")),
    " %I:%M %p",
    " %I:%M:%S %p",
)
_DATE_ORDERS = tuple(
    order
    for year in ("%Y", "%y")
    for order in (("%m", "%d", year), ("%d", "%m", year), (year, "%m", "%d"))
)
_SLICE_ROWS = 65_536
_MICROSECOND = timedelta(microseconds=1)
_ISO_REMEDY = "is not a date as YYYY-MM-DD or time as YYYY-MM-DDTHH:MM:SSZ; name another format "
_ISO_REMEDY += "with --date-format (date_format), for example %d-%b-%Y"


class DateRefused(ValueError):
    """A date column that cannot be read.

    Parameters
    ----------
    idx : int or None
        First faulty bar, None if the column as a whole is at fault.
    value : object
        As read.
    message : str
        What is wrong and what to do.
    field : str
        ``date_format`` if the given format is at fault.
    """

    def __init__(self, idx: int | None, value: object, message: str, field: str = "file") -> None:
        super().__init__(message)
        self.idx, self.value, self.message, self.field = idx, value, message, field


@dataclass(frozen=True, slots=True)
class Stamps:
    """Times of all rows, both ways.

    Parameters
    ----------
    utc : ndarray of int64, shape (n,)
        ns since the epoch; times without a zone are taken as UTC.
    local : ndarray of int64, shape (n,)
        The same instants as their own clocks show them.
    date_format : str
        How they were read, for people.
    """

    utc: Stamp
    local: Stamp
    date_format: str


def choose_stamps(stamps: Stamps) -> Stamp:
    """Return UTC for intraday bars and the local calendar date at 00:00 for longer ones."""
    if compute_spacing(stamps.utc) == "intraday":
        return stamps.utc
    return stamps.local - stamps.local % DAY_NS


def parse_dates(texts: pa.Array, date_format: str | None) -> Stamps:
    """Read a column of date texts.

    Parameters
    ----------
    texts : pyarrow.Array of string, shape (n,)
        Without nulls, n >= 1.
    date_format : str or None
        In ``strptime`` syntax; None decides for the whole column, see the module.

    Raises
    ------
    DateRefused
        If a row does not parse, or if two formats fit.
    """
    texts = pc.ascii_trim(texts, " \t")
    first = texts[0].as_py()
    if date_format is not None:
        return _parse_with_format(texts, date_format)
    if _BASIC_DATE.fullmatch(first):
        return _parse_with_format(texts, "%Y%m%d")
    if _NUMBER.fullmatch(first):
        return _parse_numbers(texts)
    if separator := _SLASH_OR_DOT.match(first):
        return _parse_undeclared(texts, separator[1])
    return _parse_iso(texts)


def parse_epochs(whole: Stamp, billionths: Stamp | np.int64 = _NONE) -> Stamps:
    """Read epoch seconds or milliseconds, decided by the largest of the column.

    Parameters
    ----------
    whole : ndarray of int64, shape (n,)
        Whole seconds or milliseconds, n >= 1.
    billionths : ndarray of int64, shape (n,), optional
        Of the same unit, to be added.

    Raises
    ------
    DateRefused
        If the numbers are too small or too large for either.
    """
    # Not np.abs, which leaves the smallest int64 negative.
    idx = int(np.argmax(np.maximum(whole, -(whole + 1))))
    largest = abs(int(whole[idx]))
    if largest < _SMALLEST_EPOCH:
        message = "is too small for epoch seconds; write dates as YYYY-MM-DD"
        raise DateRefused(0, int(whole[0]), message)
    if largest > _LARGEST_SECONDS * 1_000:
        message = "is too large for epoch milliseconds; use seconds or milliseconds"
        raise DateRefused(idx, int(whole[idx]), message)
    unit = SECOND_NS if largest <= _LARGEST_SECONDS else _MILLISECOND_NS
    # [ns / unit] * [unit / billionth] = [ns / billionth]
    utc = np.asarray(whole * unit + billionths // (SECOND_NS // unit), dtype=np.int64)
    return Stamps(utc, utc, f"epoch {'seconds' if unit == SECOND_NS else 'milliseconds'}")


def _parse_numbers(texts: pa.Array) -> Stamps:
    found = pc.extract_regex(
        texts, r"^(?P<sign>[+-]?)(?P<whole>[0-9]{1,18})(?:\.(?P<part>[0-9]{1,9}))?$"
    )
    if found.null_count:
        idx = int(np.argmax(np.asarray(found.is_null().to_numpy(zero_copy_only=False))))
        message = "is not a number of epoch seconds or milliseconds as in the rows above"
        raise DateRefused(idx, texts[idx].as_py(), message)
    sign = np.where(
        pc.equal(pc.struct_field(found, "sign"), "-").to_numpy(zero_copy_only=False), -1, 1
    )
    whole = pc.struct_field(found, "whole").cast(pa.int64()).to_numpy()
    part = pc.ascii_rpad(pc.struct_field(found, "part"), 9, "0").cast(pa.int64()).to_numpy()
    return parse_epochs(sign * whole, sign * part)


def _parse_iso(texts: pa.Array) -> Stamps:
    """Read ISO 8601: columns of one shape at once, others row by row."""
    offset: Stamp | np.int64 = _NONE
    local_texts = texts
    try:
        if _all_match(texts, "[T ].*Z$"):
            local_texts = pc.utf8_slice_codeunits(texts, 0, -1)
        elif _all_match(texts, "[T ].*[+-][0-9]{2}:[0-9]{2}$"):
            local_texts = pc.utf8_slice_codeunits(texts, 0, -6)
            offset = _read_offsets(pc.utf8_slice_codeunits(texts, -6))
        parsed = local_texts.cast(pa.timestamp("ns"))
    except ValueError:  # pyarrow's included: the slow reading decides, and finds the row
        return _parse_each(texts, _read_iso, _ISO_REMEDY, "ISO 8601")
    local = np.asarray(parsed.cast(pa.int64()).to_numpy(), dtype=np.int64)
    return Stamps(local - offset, local, "ISO 8601")


def _all_match(texts: pa.Array, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(texts, pattern)).as_py())


def _read_offsets(texts: pa.Array) -> Stamp:
    """Return the ns by which each ``+hh:mm`` runs ahead of UTC."""
    encoded = texts.dictionary_encode()
    offsets = [
        datetime.strptime(text, "%z").utcoffset() or timedelta(0)
        for text in encoded.dictionary.to_pylist()
    ]
    seconds = np.array([int(offset.total_seconds()) for offset in offsets], dtype=np.int64)
    return np.asarray(seconds[encoded.indices.to_numpy()] * SECOND_NS)


def _read_iso(text: str) -> tuple[datetime, int]:
    """Return the time and the nanoseconds below its microsecond."""
    if not _ISO.fullmatch(text):
        raise ValueError(text)
    beyond = _NANOSECONDS.search(text)
    return datetime.fromisoformat(text), int(beyond[1].ljust(3, "0")) if beyond else 0


def _parse_with_format(texts: pa.Array, date_format: str) -> Stamps:
    """Read by an explicit format; a row that does not fit is refused."""

    def read(text: str) -> tuple[datetime, int]:
        return datetime.strptime(text, date_format), 0

    message = f"does not fit the date format {date_format}"
    _validate_format(date_format)
    match = match_format(texts, date_format)
    if match is not None and match.is_read.all():
        return Stamps(match.local, match.local, date_format)
    if match is not None:
        # Refuse by the first doubtful row alone before all are read slowly.
        idx = int(match.is_read.argmin())
        _parse_each(texts[idx : idx + 1], read, message, date_format, first_idx=idx)
    return _parse_each(texts, read, message, date_format)


def _validate_format(date_format: str) -> None:
    try:
        datetime.strptime("", date_format)
    except ValueError as error:
        # An empty text never fits; any other complaint is about the format itself.
        if "does not match" not in str(error):
            message = f"is not in strptime syntax ({error}); for example %d.%m.%Y"
            raise DateRefused(None, date_format, message, "date_format") from None
    except re.error:
        message = "repeats a part of the date; for example %d.%m.%Y"
        raise DateRefused(None, date_format, message, "date_format") from None
    if not re.search("%[YyGcx]", date_format):
        message = "has no year (%Y or %y); for example %d.%m.%Y"
        raise DateRefused(None, date_format, message, "date_format")


def _parse_each(
    texts: pa.Array,
    read: Callable[[str], tuple[datetime, int]],
    message: str,
    date_format: str,
    first_idx: int = 0,
) -> Stamps:
    """Read row by row with Python's parsers; slow, but precise about the row at fault."""
    utc, local = np.empty(len(texts), dtype=np.int64), np.empty(len(texts), dtype=np.int64)
    for idx, text in enumerate(_iterate_texts(texts)):
        try:
            moment, nanoseconds = read(text)
        except ValueError:
            raise DateRefused(first_idx + idx, text, message) from None
        if not FIRST_YEAR <= moment.year <= LAST_YEAR:
            years = f"{FIRST_YEAR} to {LAST_YEAR}"
            raise DateRefused(first_idx + idx, text, f"lies outside the years {years}")
        offset = moment.utcoffset() or timedelta(0)
        on_clock = (moment.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND * 1_000 + nanoseconds
        local[idx] = on_clock
        utc[idx] = on_clock - offset // _MICROSECOND * 1_000
    return Stamps(utc, local, date_format)


def _iterate_texts(texts: pa.Array) -> Iterator[str]:
    # Python's own strings of a whole column would take three times the column's memory.
    for start in range(0, len(texts), _SLICE_ROWS):
        yield from texts[start : start + _SLICE_ROWS].to_pylist()


def _parse_undeclared(texts: pa.Array, separator: str) -> Stamps:
    """Find the one slash or dot format that reads every row and increases.

    Raises
    ------
    DateRefused
        If none reads every row, naming the row at which the best one fails; if several do and not
        exactly one of their readings increases.
    """
    readings: dict[str, Stamps] = {}
    failures: list[DateRefused] = []
    for date_format in _list_candidates(texts[0].as_py(), separator):
        try:
            stamps = _parse_with_format(texts, date_format)
        except DateRefused as refused:
            failures.append(refused)
            continue
        # Two formats that read every row alike (01/01/2020, 02/02/2020) do not contradict.
        if not any(np.array_equal(stamps.local, other.local) for other in readings.values()):
            readings[date_format] = stamps
    if not readings:
        if not failures:
            raise DateRefused(0, texts[0].as_py(), _ISO_REMEDY)
        raise max(failures, key=lambda refused: refused.idx or 0)
    if len(readings) == 1:
        return next(iter(readings.values()))
    rising = {name: item for name, item in readings.items() if (np.diff(item.utc) > 0).all()}
    if len(rising) == 1:
        return next(iter(rising.values()))
    fitting = " and ".join(rising or readings)
    message = f"could be {fitting}; say which with --date-format (date_format)"
    if not rising:
        message += ", and sort the rows, oldest first"
    raise DateRefused(None, texts[0].as_py(), message)


def _list_candidates(text: str, separator: str) -> list[str]:
    """Return the formats with this separator that read one text."""
    candidates = []
    for order, clock in product(_DATE_ORDERS, _TIME_FORMATS):
        date_format = separator.join(order) + clock
        try:
            datetime.strptime(text, date_format)
        except ValueError:
            continue
        candidates.append(date_format)
    return candidates
