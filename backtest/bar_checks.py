"""What makes columns of bars unacceptable: the checks behind `backtest.bars.build_bars`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from backtest.bar_times import Spacing, format_times
from backtest.errors import FieldError

FloatArray = NDArray[np.float64]

PRICE_COLUMNS = ("open", "high", "low", "close")

# A difference of two prices read from decimal text carries rounding of about one unit in the last
# place of each; 100.01 - 100.00 must not count as more than 0.01.
_ROUNDING = 4 * float(np.finfo(np.float64).eps)

_DUPLICATE = "the same time as the bar before; keep one of the two"
_DUPLICATE += ", or join date and hour in one column"


@dataclass(frozen=True, slots=True)
class Fault:
    """The first faulty bar of one kind in one column, and how many there are."""

    idx: int
    column: str
    value: object
    message: str
    count: int


def find_faults(
    stamps: NDArray[np.int64],
    spacing: Spacing,
    prices: dict[str, FloatArray],
    volume: FloatArray,
    adjusted: FloatArray | None,
) -> list[Fault]:
    """Find the first faulty bar of every kind of fault in every column.

    Parameters
    ----------
    stamps : ndarray of int64, shape (n_bars,)
        UTC ns, at least two.
    spacing : {"intraday", "daily", "weekly", "monthly"}
        Decides how a faulty time is printed.
    prices : dict of str to ndarray of float64, shape (n_bars,)
        open, high, low, close as read.
    volume, adjusted : ndarray of float64, shape (n_bars,)
        `adjusted` is the adjusted close, None where there is none.
    """
    return [
        *_find_time_faults(stamps, spacing),
        *_find_value_faults({**prices, "volume": volume, "adj close": adjusted}),
        *_find_range_faults(**prices),
        *_find_factor_faults(prices, volume, adjusted),
    ]


def _first_fault(
    mask: NDArray[np.bool_], column: str, values: FloatArray, message: str
) -> Iterator[Fault]:
    count = int(np.count_nonzero(mask))
    if count:
        idx = int(mask.argmax())
        yield Fault(idx, column, float(values[idx]), message, count)


def _find_time_faults(stamps: NDArray[np.int64], spacing: Spacing) -> Iterator[Fault]:
    for mask, message in (
        (stamps[1:] == stamps[:-1], _DUPLICATE),
        (stamps[1:] < stamps[:-1], "earlier than the bar before; sort the rows, oldest first"),
    ):
        for fault in _first_fault(mask, "date", stamps[1:].astype(np.float64), message):
            idx = fault.idx + 1
            shown = format_times(stamps[idx : idx + 1], spacing)[0]
            yield replace(fault, idx=idx, value=shown)


def _find_value_faults(columns: dict[str, FloatArray | None]) -> Iterator[Fault]:
    for name, values in columns.items():
        if values is None:
            continue
        finite = np.isfinite(values)
        yield from _first_fault(~finite, name, values, "must be a finite number")
        if name == "volume":
            yield from _first_fault(finite & (values < 0), name, values, "must not be negative")
        else:
            yield from _first_fault(finite & (values <= 0), name, values, "must be above 0")


def _compute_tolerance(price: FloatArray) -> FloatArray:
    """Return by how much a high or low may miss `price`: definitions 1, plus float rounding."""
    tolerance = np.minimum(np.maximum(1e-6 * price, 0.01), 1e-2 * price)
    return np.asarray(tolerance + _ROUNDING * price)


def _find_range_faults(
    open: FloatArray,  # noqa: A002  # the column's name everywhere
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
) -> Iterator[Fault]:
    top, bottom = np.maximum(open, close), np.minimum(open, close)
    # NaN and infinite prices are reported on their own; their comparisons are meaningless here.
    with np.errstate(invalid="ignore", over="ignore"):
        too_low = (top - high > _compute_tolerance(top)) & np.isfinite(top - high)
        too_high = (low - bottom > _compute_tolerance(bottom)) & np.isfinite(low - bottom)
    yield from _first_fault(too_low & (high > 0), "high", high, "lies below the open or close")
    yield from _first_fault(too_high & (bottom > 0), "low", low, "lies above the open or close")


def _find_factor_faults(
    prices: dict[str, FloatArray], volume: FloatArray, adjusted: FloatArray | None
) -> Iterator[Fault]:
    """Find adjusted closes so far from the close that adjusted values leave float64."""
    if adjusted is None:
        return
    close = prices["close"]
    sound = np.isfinite(adjusted) & (adjusted > 0) & np.isfinite(close) & (close > 0)
    for values in (prices["low"], prices["high"], volume):
        sound &= np.isfinite(values) & (values >= 0)
    with np.errstate(all="ignore"):
        factor = adjusted / close
        usable = (factor > 0) & np.isfinite(factor) & (prices["low"] * factor > 0)
        usable &= np.isfinite(prices["high"] * factor) & np.isfinite(volume / factor)
    message = "cannot belong to this close; prices or volume adjusted by their ratio overflow"
    yield from _first_fault(sound & ~usable, "adj close", adjusted, message)


def describe_faults(
    faults: Iterable[Fault], row_numbers: Sequence[int] | NDArray[np.int64], row_note: str
) -> Iterator[FieldError]:
    """Turn faults into errors that name row, column and value, in the order of the rows."""
    for fault in sorted(faults, key=lambda item: item.idx):
        more = f"; {fault.count} rows are like this" if fault.count > 1 else ""
        place = f"row {int(row_numbers[fault.idx])} ({row_note}), column {fault.column}"
        # JSON has no NaN: what is not finite is shown as text.
        finite = not isinstance(fault.value, float) or math.isfinite(fault.value)
        value = fault.value if finite else str(fault.value)
        yield FieldError("file", value, f"{place}: {fault.message}{more}")
