"""Bars: the arrays every backtest runs on, and what makes them acceptable.

Definitions 1. Numpy and the standard library only: the web tier imports this module.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from backtest.bar_checks import PRICE_COLUMNS, FloatArray, describe_faults, find_faults
from backtest.bar_times import (
    DAY_NS,
    Spacing,
    compute_periods_per_year,
    compute_spacing,
    find_range,
    format_times,
)
from backtest.errors import InputError

__all__ = [
    "COLUMNS",
    "Bars",
    "DataWarning",
    "Spacing",
    "adjust_bars",
    "build_bars",
    "collect_warnings",
    "compute_dataset_hash",
    "filter_bars",
    "find_range",
    "format_times",
]

COLUMNS = ("timestamps", *PRICE_COLUMNS, "volume", "adj_factor")

JUMP_LIMIT = 0.4  # fraction; above it a change of the close looks like an unadjusted split
GAP_DAYS = 7  # calendar days; daily data has holidays, but not this many in a row

_HASH_PREFIX = b"stock-backtest bars 1\n"


@dataclass(frozen=True, slots=True)
class DataWarning:
    """Something about the data that a person should know before trusting a result.

    Parameters
    ----------
    code : {"price_jump", "date_gap", "zero_volume", "clamped_bar"}
        For programs.
    message : str
        For people, one sentence.
    count : int
        How many bars are concerned.
    first : str or None
        Time of the first of them, printed as the page prints it.
    """

    code: str
    message: str
    count: int
    first: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Bars:
    """Bars of one instrument, oldest first.

    Parameters
    ----------
    timestamps : ndarray of int64, shape (n_bars,)
        UTC ns, strictly increasing; daily bars and longer lie at 00:00 of their calendar date.
    open, high, low, close : ndarray of float64, shape (n_bars,)
        Prices in currency, finite and positive.
    volume : ndarray of float64, shape (n_bars,)
        Shares or contracts, finite and not negative; zeros where the source has no volume.
    adj_factor : ndarray of float64, shape (n_bars,)
        Adjusted close / close; ones where the source has no adjusted close or it is applied.
    spacing : {"intraday", "daily", "weekly", "monthly"}
        Of the whole dataset; a filtered part keeps it.
    periods_per_year : float
        Bars per year of the whole dataset; a filtered part keeps it.

    Notes
    -----
    The arrays are held C-contiguous and read-only; a copy is made only where they were not
    contiguous or of another type. NaN does not occur.
    """

    timestamps: NDArray[np.int64]
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    adj_factor: FloatArray
    spacing: Spacing
    periods_per_year: float

    def __post_init__(self) -> None:
        n_bars = np.shape(self.timestamps)
        for name in COLUMNS:
            kind = np.int64 if name == "timestamps" else np.float64
            array = np.ascontiguousarray(getattr(self, name), dtype=kind).view()
            if array.ndim != 1 or array.shape != n_bars:
                raise ValueError(f"{name} has shape {array.shape}, timestamps have {n_bars}")
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @property
    def n_bars(self) -> int:
        """Number of bars."""
        return int(self.timestamps.size)

    @property
    def has_adjustment(self) -> bool:
        """Whether any bar has an adjustment factor other than 1."""
        return bool((self.adj_factor != 1.0).any())


def build_bars(
    timestamps: ArrayLike,
    open: ArrayLike,  # noqa: A002  # the column's name everywhere
    high: ArrayLike,
    low: ArrayLike,
    close: ArrayLike,
    volume: ArrayLike | None = None,
    adj_close: ArrayLike | None = None,
    *,
    row_numbers: Sequence[int] | NDArray[np.int64] | None = None,
    row_note: str = "the first bar is row 1",
) -> tuple[Bars, tuple[DataWarning, ...]]:
    """Validate columns, clamp what lies within tolerance and build bars.

    Parameters
    ----------
    timestamps : array_like of int, shape (n_bars,)
        UTC ns. Where their spacing is daily or longer they are cut to 00:00 of their day, so a
        caller that knows zones passes local calendar dates.
    open, high, low, close : array_like of float, shape (n_bars,)
        Prices as read.
    volume, adj_close : array_like of float, shape (n_bars,), optional
        Default zeros, and no adjustment.
    row_numbers : sequence of int, shape (n_bars,), optional
        Row of each bar in its file, for messages; default 1, 2, ...
    row_note : str
        How rows are counted, for messages.

    Returns
    -------
    bars : Bars
    warnings : tuple of DataWarning
        Clamped bars, and what `collect_warnings` finds in the prices as read.

    Raises
    ------
    InputError
        On field ``file``, with the first faulty row of every kind of fault in every column: NaN or
        infinite values, a price <= 0, negative volume, duplicate or decreasing times, high below or
        low above open or close by more than the tolerance, fewer than 2 bars.
    """
    stamps = np.array(timestamps, dtype=np.int64)
    prices = {
        # Clamping writes into highs and lows; the caller's own arrays stay as they are.
        "open": np.asarray(open, dtype=np.float64),
        "high": np.array(high, dtype=np.float64),
        "low": np.array(low, dtype=np.float64),
        "close": np.asarray(close, dtype=np.float64),
    }
    volumes = np.zeros(stamps.shape) if volume is None else np.asarray(volume, dtype=np.float64)
    adjusted = None if adj_close is None else np.asarray(adj_close, dtype=np.float64)
    if stamps.size < 2:
        raise InputError.of("file", int(stamps.size), "too few bars; a dataset needs at least 2")
    spacing = compute_spacing(stamps)
    if spacing != "intraday":
        stamps -= stamps % DAY_NS
    faults = find_faults(stamps, spacing, prices, volumes, adjusted)
    if faults:
        numbers = np.arange(1, stamps.size + 1) if row_numbers is None else row_numbers
        raise InputError(describe_faults(faults, numbers, row_note))
    factor = np.ones(stamps.shape) if adjusted is None else adjusted / prices["close"]
    clamped = _clamp(**prices)
    bars = Bars(
        timestamps=stamps,
        volume=volumes + 0.0,  # -0.0 becomes 0.0, so that equal data has an equal hash
        adj_factor=factor,
        spacing=spacing,
        periods_per_year=compute_periods_per_year(stamps, spacing),
        **prices,
    )
    return bars, (*_warn_clamped(bars, clamped), *collect_warnings(bars))


def _clamp(
    open: FloatArray,  # noqa: A002  # the column's name everywhere
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
) -> NDArray[np.bool_]:
    """Widen high and low in place to hold open and close; return which bars it changed."""
    top, bottom = np.maximum(open, close), np.minimum(open, close)
    changed = (high < top) | (low > bottom)
    np.maximum(high, top, out=high)
    np.minimum(low, bottom, out=low)
    return np.asarray(changed)


def adjust_bars(bars: Bars) -> Bars:
    """Multiply prices by the adjustment factor and divide volume by it.

    Returns
    -------
    Bars
        With factors of 1, so that adjusting twice changes nothing; `bars` itself where there is
        nothing to adjust.
    """
    if not bars.has_adjustment:
        return bars
    return replace(
        bars,
        open=bars.open * bars.adj_factor,
        high=bars.high * bars.adj_factor,
        low=bars.low * bars.adj_factor,
        close=bars.close * bars.adj_factor,
        volume=bars.volume / bars.adj_factor,
        adj_factor=np.ones(bars.n_bars),
    )


def filter_bars(bars: Bars, start: str | None, end: str | None) -> Bars:
    """Keep the bars between two inclusive bounds; see `find_range` for bounds and errors."""
    first, stop = find_range(bars.timestamps, bars.spacing, start, end)
    if (first, stop) == (0, bars.n_bars):
        return bars
    return replace(bars, **{name: getattr(bars, name)[first:stop] for name in COLUMNS})


def compute_dataset_hash(bars: Bars) -> str:
    r"""Return the SHA-256 of the canonical arrays, as 64 hexadecimal digits.

    Take it of a whole dataset before `adjust_bars`. Hashed are, one after the other: the ASCII
    text ``stock-backtest bars 1\n``; n_bars as unsigned 64-bit integer; `timestamps` as signed
    64-bit integers; `open`, `high`, `low`, `close`, `volume`, `adj_factor` as IEEE 754 doubles,
    each array whole, everything little-endian.
    """
    digest = hashlib.sha256(_HASH_PREFIX)
    digest.update(bars.n_bars.to_bytes(8, "little"))
    for name in COLUMNS:
        kind = "<i8" if name == "timestamps" else "<f8"
        digest.update(np.ascontiguousarray(getattr(bars, name), dtype=kind).data)
    return digest.hexdigest()


def collect_warnings(bars: Bars) -> tuple[DataWarning, ...]:
    """Find price jumps, date gaps and zero volume in bars as a run uses them.

    Parameters
    ----------
    bars : Bars
        Adjusted and filtered as the run sees them.

    Returns
    -------
    tuple of DataWarning
        At most one of each code: a close more than 40 % from the one before; more than 7 calendar
        days between two daily bars; bars without volume.
    """
    found: list[DataWarning] = []
    change = np.diff(bars.close)
    np.abs(change, out=change)
    change /= bars.close[:-1]
    jumps = change > JUMP_LIMIT
    found += _warn_at(
        bars,
        np.flatnonzero(jumps) + 1,
        "price_jump",
        "the close lies more than 40 % from the one before on {bars}; an unadjusted split?",
    )
    if bars.spacing == "daily":
        # Unsigned: two bars may lie further apart than int64 counts nanoseconds, 292 years.
        gaps = np.diff(bars.timestamps.view(np.uint64)) > np.uint64(GAP_DAYS * DAY_NS)
        message = "more than 7 calendar days without data before {bars}"
        found += _warn_at(bars, np.flatnonzero(gaps) + 1, "date_gap", message)
    idle = np.flatnonzero(bars.volume == 0.0)
    if idle.size == bars.n_bars:
        message = "no bar has any volume; rules that look at volume see zeros"
    else:
        message = "the volume is zero on {bars}"
    found += _warn_at(bars, idle, "zero_volume", message)
    return tuple(found)


def _warn_clamped(bars: Bars, clamped: NDArray[np.bool_]) -> list[DataWarning]:
    message = "high or low missed the open or close by a rounding error on {bars} and was widened"
    return _warn_at(bars, np.flatnonzero(clamped), "clamped_bar", message)


def _warn_at(bars: Bars, idx: NDArray[np.intp], code: str, message: str) -> list[DataWarning]:
    if not idx.size:
        return []
    counted = "1 bar" if idx.size == 1 else f"{idx.size:,} bars"
    first = format_times(bars.timestamps[idx[:1]], bars.spacing)[0]
    return [DataWarning(code, message.format(bars=counted), int(idx.size), first)]
