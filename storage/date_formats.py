"""``strptime`` for whole columns: the directives that price files use, as one regular expression.

The expressions of the directives are those of Python's ``_strptime``, so that a row that matches
here reads as ``datetime.strptime`` reads it. What they do not cover is left to that function.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from backtest.bar_times import DAY_NS, SECOND_NS

Ints = NDArray[np.int64]

_DIRECTIVES = {
    "Y": r"(?P<Y>[0-9]{4})",
    "y": r"(?P<y>[0-9]{2})",
    "m": r"(?P<m>1[0-2]|0[1-9]|[1-9])",
    "d": r"(?P<d>3[01]|[12][0-9]|0[1-9]|[1-9])",
    "H": r"(?P<H>2[0-3]|[01][0-9]|[0-9])",
    "I": r"(?P<I>1[0-2]|0[1-9]|[1-9])",
    "M": r"(?P<M>[0-5][0-9]|[0-9])",
    "S": r"(?P<S>[0-5][0-9]|[0-9])",
    "f": r"(?P<f>[0-9]{1,6})",
    "p": r"(?P<p>[AaPp][Mm])",
    "%": "%",
}
_TOKEN = re.compile(r"%(.)|(\s+)|([^%\s]+)", re.DOTALL)

# int64 ns reach from 1677-09-21 to 2262-04-11; whole years keep the arithmetic safe.
FIRST_YEAR, LAST_YEAR = 1678, 2261


@dataclass(frozen=True, slots=True)
class FormatMatch:
    """What a format makes of a column.

    Parameters
    ----------
    local : ndarray of int64, shape (n,)
        ns since the epoch on the clock of the text; meaningless where `is_read` is False.
    is_read : ndarray of bool, shape (n,)
        Rows that fit.
    """

    local: Ints
    is_read: NDArray[np.bool_]


def match_format(texts: pa.Array, date_format: str) -> FormatMatch | None:
    """Read texts by a format, or return None if it has a directive that is not covered here.

    Parameters
    ----------
    texts : pyarrow.Array of string, shape (n,)
        Without nulls.
    date_format : str
        In ``strptime`` syntax; valid.
    """
    pattern = _build_pattern(date_format)
    if pattern is None:
        return None
    found = pc.extract_regex(texts, pattern)
    is_read = np.asarray(found.is_valid().to_numpy(zero_copy_only=False))
    parts = {name: _read_part(found, name, is_read) for name in re.findall(r"\?P<(.)>", pattern)}
    years = parts["Y"] if "Y" in parts else _expand_years(parts["y"])
    days, is_day = _count_days(years, parts["m"], parts["d"])
    clock = _read_clock(parts)
    return FormatMatch(days * DAY_NS + clock, is_read & is_day)


def _build_pattern(date_format: str) -> str | None:
    """Translate a format, or return None unless it is a full date of covered directives."""
    pattern, names = "", []
    for directive, space, literal in _TOKEN.findall(date_format):
        if directive:
            if directive not in _DIRECTIVES or directive in names:
                return None
            names.append(directive)
            pattern += _DIRECTIVES[directive]
        else:
            pattern += r"[ \t]+" if space else re.escape(literal)
    has_date = {"m", "d"} <= set(names) and len({"Y", "y"} & set(names)) == 1
    # A half of the day without an hour of twelve, or the reverse, has rules of its own.
    has_clock = ("I" in names) == ("p" in names) and not {"H", "I"} <= set(names)
    return f"^{pattern}$" if has_date and has_clock else None


def _read_part(found: pa.Array, name: str, is_read: NDArray[np.bool_]) -> Ints:
    texts = pc.struct_field(found, name)
    if name == "p":
        afternoon = pc.equal(pc.ascii_lower(texts), "pm").fill_null(False)
        return np.asarray(afternoon.cast(pa.int8()).to_numpy(), dtype=np.int64)
    if name == "f":  # a fraction: .5 is 500000 microseconds
        texts = pc.ascii_rpad(texts, 6, "0")
    numbers = pc.if_else(pa.array(is_read), texts, "1").cast(pa.int64())
    return np.asarray(numbers.to_numpy(), dtype=np.int64)


def _expand_years(years: Ints) -> Ints:
    """Read two digits as POSIX and Python do: 69 to 99 are of the twentieth century."""
    return np.where(years < 69, 2000, 1900) + years


def _count_days(years: Ints, months: Ints, days: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """Return days since the epoch, and which of the dates exist."""
    month_starts = ((years - 1970) * 12 + months - 1).astype("M8[M]")
    dates = month_starts.astype("M8[D]") + (days - 1)
    exists = dates.astype("M8[M]") == month_starts
    in_range = (years >= FIRST_YEAR) & (years <= LAST_YEAR)
    return dates.astype(np.int64), np.asarray(exists & in_range)


def _read_clock(parts: dict[str, Ints]) -> Ints:
    """Return the ns since midnight."""
    zero = np.int64(0)
    hours = parts.get("H", zero)
    if "I" in parts:  # 12 AM is hour 0, 12 PM is hour 12
        hours = parts["I"] % 12 + 12 * parts["p"]
    seconds = (hours * 60 + parts.get("M", zero)) * 60 + parts.get("S", zero)
    # [microseconds] * [ns / microsecond] = [ns]
    return np.asarray(seconds * SECOND_NS + parts.get("f", zero) * 1_000, dtype=np.int64)
