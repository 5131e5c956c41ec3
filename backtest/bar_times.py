"""Times of bars: spacing, periods per year, date ranges and how a time is printed.

Definitions 1. Numpy and the standard library only, because the web tier answers from stored time
stamps whether a date range holds bars.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from backtest.errors import FieldError, InputError

Spacing = Literal["intraday", "daily", "weekly", "monthly"]

SECOND_NS = 1_000_000_000
HOUR_NS = 3_600 * SECOND_NS
DAY_NS = 24 * HOUR_NS

# Upper ends (exclusive) of the median step, definitions 1.
_STEP_LIMITS: tuple[tuple[int, Spacing], ...] = (
    (20 * HOUR_NS, "intraday"),
    (4 * DAY_NS, "daily"),
    (15 * DAY_NS, "weekly"),
)

# Bars "fall on weekends" when more than one in twenty does. Markets that trade every day have
# 2/7 of them there; a few special Saturday sessions (India), or the two hours of a Sunday evening
# in which currencies open, do not make 365 trading days a year.
_WEEKEND_SHARE = 0.05

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INT64 = np.iinfo(np.int64)
_NANOSECONDS = re.compile(r"[.,][0-9]{6}([0-9]{1,3})")


def compute_spacing(timestamps: NDArray[np.int64]) -> Spacing:
    """Classify bars by the median step between them.

    Parameters
    ----------
    timestamps : ndarray of int64, shape (n_bars,)
        UTC ns, in any order; with fewer than two there is no step and the bars count as daily.

    Returns
    -------
    {"intraday", "daily", "weekly", "monthly"}
        Below 20 h, below 4 days, below 15 days, anything longer.
    """
    if timestamps.size < 2:
        return "daily"
    # Whole seconds: differences of two int64 ns could overflow, and 20 h needs no more.
    steps = np.abs(np.diff(timestamps // SECOND_NS))
    # Duplicates are refused later, and should be printed as the dates they are.
    steps = steps[steps > 0] if steps.any() else steps
    step_ns = float(np.median(steps)) * SECOND_NS
    for limit, spacing in _STEP_LIMITS:
        if step_ns < limit:
            return spacing
    return "monthly"


def compute_periods_per_year(timestamps: NDArray[np.int64], spacing: Spacing) -> float:
    """Return how many bars make a year.

    Parameters
    ----------
    timestamps : ndarray of int64, shape (n_bars,)
        UTC ns, increasing.
    spacing : {"intraday", "daily", "weekly", "monthly"}
        As `compute_spacing` tells it.

    Returns
    -------
    float
        252 for daily bars, 365 if more than one bar in twenty falls on a Saturday or Sunday (UTC),
        52, 12; for intraday bars the daily figure times the median number of bars per UTC day.
    """
    if spacing == "weekly":
        return 52.0
    if spacing == "monthly":
        return 12.0
    days = timestamps // DAY_NS
    # Day 0 of the epoch was a Thursday; Monday is 0.
    weekend_share = float(np.mean((days + 3) % 7 >= 5)) if days.size else 0.0
    trading_days = 365.0 if weekend_share > _WEEKEND_SHARE else 252.0
    if spacing == "daily" or not days.size:
        return trading_days
    _, bars_per_day = np.unique(days, return_counts=True)
    # [days / year] * [bars / day] = [bars / year]
    return trading_days * float(np.median(bars_per_day))


def format_times(timestamps: NDArray[np.int64], spacing: Spacing) -> list[str]:
    """Print times: ``YYYY-MM-DD``, or ISO 8601 with ``Z`` for intraday bars.

    Parameters
    ----------
    timestamps : ndarray of int64, shape (n,)
        UTC ns.
    spacing : {"intraday", "daily", "weekly", "monthly"}
        Decides the form; fractions of a second are printed only where there are any.
    """
    stamps = np.asarray(timestamps, dtype=np.int64)
    if spacing != "intraday":
        return [str(day) for day in np.datetime_as_string(stamps.view("M8[ns]"), unit="D")]
    whole = np.datetime_as_string(stamps.view("M8[ns]"), unit="s")
    fractions = stamps % SECOND_NS
    if not fractions.any():
        return [f"{text}Z" for text in whole]
    return [
        f"{text}{_format_fraction(int(fraction))}Z"
        for text, fraction in zip(whole, fractions, strict=True)
    ]


def _format_fraction(nanoseconds: int) -> str:
    digits = f"{nanoseconds:09d}"
    while digits.endswith("000"):
        digits = digits[:-3]
    return f".{digits}" if digits else ""


def find_range(
    timestamps: NDArray[np.int64], spacing: Spacing, start: str | None, end: str | None
) -> tuple[int, int]:
    """Find the bars between two inclusive bounds.

    A bare date as `end` includes that whole day. For intraday bars a naive time is UTC and an aware
    one is converted; for daily bars and longer only the calendar date of a bound counts, in
    whatever zone it was written. Naive and aware bounds may be mixed.

    Parameters
    ----------
    timestamps : ndarray of int64, shape (n_bars,)
        UTC ns, strictly increasing.
    spacing : {"intraday", "daily", "weekly", "monthly"}
        Of the whole dataset.
    start, end : str or None
        ISO 8601 date or date-time; None or empty leaves that side open.

    Returns
    -------
    tuple of int
        Half-open index range, never empty.

    Raises
    ------
    InputError
        On field ``start`` or ``end``: not a date, start after end, or no bar in between.
    """
    errors: list[FieldError] = []
    bounds = [int(_INT64.min), int(_INT64.max)]
    for side, (field, text) in enumerate((("start", start), ("end", end))):
        if text is None or not text.strip():
            continue
        try:
            bounds[side] = _parse_bound(text.strip(), spacing, is_end=field == "end")
        except ValueError:
            message = "write a date as YYYY-MM-DD or a time as YYYY-MM-DDTHH:MM:SSZ"
            errors.append(FieldError(field, text, message))
    if errors:
        raise InputError(errors)
    lower, upper = bounds
    if start and end and lower >= upper:
        raise InputError.of("start", start, f"lies after the end, {end}; swap or correct them")
    # A bound beyond what int64 ns can hold (years 1678 to 2262) lies beyond every bar.
    clipped = np.clip(np.array(bounds, dtype=object), _INT64.min, _INT64.max).astype(np.int64)
    first, stop = (int(idx) for idx in np.searchsorted(timestamps, clipped, side="left"))
    if first >= stop:
        _refuse_empty_range(timestamps, spacing, start, end, first)
    return first, stop


def _refuse_empty_range(
    timestamps: NDArray[np.int64], spacing: Spacing, start: str | None, end: str | None, first: int
) -> None:
    if not timestamps.size:
        raise InputError.of("start", start, "the dataset has no bars")
    oldest, newest = format_times(timestamps[[0, -1]], spacing)
    field, value = ("start", start) if start and (first > 0 or not end) else ("end", end)
    raise InputError.of(
        field, value, f"no bar lies in this range; the data runs from {oldest} to {newest}"
    )


def _parse_bound(text: str, spacing: Spacing, *, is_end: bool) -> int:
    """Return the bound as ns since the epoch: a start inclusive, an end exclusive."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        moment = datetime.fromisoformat(text)
        if spacing == "intraday":
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            microseconds = (moment - _EPOCH) // timedelta(microseconds=1)
            # datetime drops what lies below a microsecond; stamps are printed with it.
            beyond = _NANOSECONDS.search(text)
            nanoseconds = int(beyond[1].ljust(3, "0")) if beyond else 0
            return microseconds * 1_000 + nanoseconds + int(is_end)
        day = moment.date()
    return (day.toordinal() - _EPOCH_ORDINAL + int(is_end)) * DAY_NS
