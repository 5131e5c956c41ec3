"""One metric over a whole sweep, and where each position lies on the axes of the search space.

What the heat map, marginals, importance and plateau share: the metric is read once, into one array
that lies in a temporary file where a sweep is large.
"""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from adapters.sweep_columns import (
    METRIC_SIGN,
    STATUS_EXCLUDED,
    ColumnChunk,
    FloatArray,
    PointArray,
    SweepColumns,
)
from backtest.errors import InputError

if TYPE_CHECKING:
    from rules.optimizer import Axis, SearchSpace
    from rules.sweep_spec import SweepSpec

# More levels than this are put together, evenly: neither a picture nor a person tells them apart,
# and a bin's number stays within one byte.
MAX_BINS = 200
# Longer axes are not sorted by level; see `Axis.neighbour_order`.
_MAX_SORTED_LENGTH = 1_000_000
# Up to here an array stays in memory: 32 MB of float64.
_MAX_IN_MEMORY = 4_194_304
_BLOCK = 131_072
# What is released less often only costs memory, what more often only page faults.
_BLOCKS_IN_MEMORY = 8
_SCATTERED_IN_MEMORY = 64

BinArray = NDArray[np.uint8]


def allocate(n: int, dtype: Any) -> NDArray[Any]:
    """Return an uninitialised array (n,), in an unnamed temporary file where it is large.

    The system can then write its pages out instead of killing the process; the file goes with the
    array.
    """
    if n <= _MAX_IN_MEMORY:
        return np.empty(n, dtype)
    with tempfile.TemporaryFile() as file:  # the mapping keeps the file alive
        return np.memmap(file, dtype, "w+", shape=(n,))


def release(*arrays: NDArray[Any] | None) -> None:
    """Take the pages of arrays from `allocate` out of this process; their file keeps the values.

    Otherwise whatever was touched once counts as this process's memory until the end.
    """
    for array in arrays:
        base: object = None if array is None else array.base
        if isinstance(base, mmap.mmap):
            base.madvise(mmap.MADV_DONTNEED)


def iterate_scattered(n: int, *arrays: NDArray[Any] | None) -> Iterator[slice]:
    """Yield slices of `n` look-ups all over `arrays`, few at a time if those lie in files.

    The system maps the surroundings of every entry that is looked at, so that a thousand of them
    would bring in a whole array.
    """
    is_mapped = any(isinstance(array, np.memmap) for array in arrays)
    step = _SCATTERED_IN_MEMORY if is_mapped else max(n, 1)
    for first in range(0, n, step):
        yield slice(first, first + step)
        release(*arrays)


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive positions: their values, and their points (None where points are positions)."""

    first: int
    stop: int
    values: FloatArray
    points: PointArray | None

    def get_points(self) -> PointArray:
        """Return the points, int64 (stop - first,)."""
        return np.arange(self.first, self.stop) if self.points is None else self.points


@dataclass(frozen=True)
class MetricField:
    """One metric at every position.

    Attributes
    ----------
    metric : str
        Its name.
    sign : int
        +1 where the largest value is the best, -1 where the smallest is.
    values : array of float64, shape (n_positions,)
        The metric where the combination is eligible; the worst infinity (``-inf * sign``) where it
        is not; NaN where there is no combination (excluded, or not computed yet).
    points : array of int64, shape (n_positions,), or None
        Index in the search space; None for a grid, where it is the position.
    """

    metric: str
    sign: int
    values: FloatArray
    points: PointArray | None

    def blocks(self) -> Iterator[Block]:
        """Yield all positions, a cacheful at a time."""
        for first in range(0, len(self.values), _BLOCK):
            stop = min(first + _BLOCK, len(self.values))
            points = None if self.points is None else self.points[first:stop]
            yield Block(first, stop, self.values[first:stop], points)
            if stop % (_BLOCKS_IN_MEMORY * _BLOCK) == 0 or stop == len(self.values):
                release(self.values, self.points)

    @property
    def is_large(self) -> bool:
        """Whether it lies in files instead of in memory."""
        return len(self.values) > _MAX_IN_MEMORY

    @cached_property
    def n_eligible(self) -> int:
        """How many combinations are eligible."""
        return sum(int(np.isfinite(block.values).sum()) for block in self.blocks())

    def find_best(self) -> int | None:
        """Return the position of the best eligible value, the lowest of equals; None without."""
        best, position = -np.inf, None
        for block in self.blocks():
            oriented = self.orient(block.values)
            finite = np.where(np.isfinite(oriented), oriented, -np.inf)
            i = int(finite.argmax())
            if finite[i] > best:
                best, position = finite[i], block.first + i
        return position

    def orient(self, values: FloatArray) -> FloatArray:
        """Return `values` such that the largest is the best."""
        return values if self.sign > 0 else -values

    def look_up(self, positions: PointArray) -> tuple[PointArray, FloatArray]:
        """Return points and values of positions, int64 (n,) and float64 (n,)."""
        points, values = positions.copy(), np.empty(len(positions))
        for part in iterate_scattered(len(positions), self.values, self.points):
            values[part] = self.values[positions[part]]
            if self.points is not None:
                points[part] = self.points[positions[part]]
        return points, values

    def get_point(self, position: int) -> int:
        """Return the index in the search space of a position."""
        return position if self.points is None else int(self.points[position])


class FieldBuilder:
    """Fills a `MetricField` chunk by chunk; what is never added stays "no combination"."""

    def __init__(self, n_positions: int, metric: str, *, is_grid: bool) -> None:
        self._metric = metric
        self._sign = METRIC_SIGN[metric]
        self._values = allocate(n_positions, np.float64)
        self._points = None if is_grid else allocate(n_positions, np.int64)
        self._end = 0

    def add(self, chunk: ColumnChunk, eligible: FloatArray) -> None:
        """Add a chunk with its metric, float64 (n,), NaN where it is not eligible."""
        part = slice(chunk.first, chunk.first + len(chunk))
        self._clear(chunk.first)
        worst = -np.inf * self._sign
        values = self._values[part]
        values[:] = eligible
        np.copyto(values, worst, where=~np.isfinite(values))
        np.copyto(values, np.nan, where=chunk.status == STATUS_EXCLUDED)
        if self._points is not None:
            self._points[part] = chunk.points
        self._end = part.stop
        release(self._values, self._points)

    def _clear(self, stop: int) -> None:
        self._values[self._end : stop] = np.nan
        if self._points is not None:
            self._points[self._end : stop] = -1

    def build(self) -> MetricField:
        """Return the field."""
        self._clear(len(self._values))
        return MetricField(self._metric, self._sign, self._values, self._points)


def build_field(
    columns: SweepColumns, spec: SweepSpec, metric: str, min_trades: int = 0
) -> MetricField:
    """Read one metric of a sweep.

    Parameters
    ----------
    columns : SweepColumns
        The results; `metric`, and `n_trades` where `min_trades` is positive, are read once.
    spec : SweepSpec
        Says whether points are positions.
    metric : str
        One of `HEADLINE_METRICS`.
    min_trades : int
        Combinations with fewer closed trades are not eligible.

    Raises
    ------
    InputError
        If there is no such metric.
    """
    validate_metric(metric)
    builder = FieldBuilder(columns.n_positions, metric, is_grid=is_grid(spec))
    for chunk, values in _read_eligible(columns, metric, min_trades):
        builder.add(chunk, values)
    return builder.build()


def build_field_at(
    columns: SweepColumns,
    spec: SweepSpec,
    metric: str,
    points: PointArray,
    min_trades: int = 0,
) -> MetricField:
    """Read one metric of some combinations only; see `build_field`.

    Parameters
    ----------
    points : array of int64, shape (n,)
        Indexes in the search space, rising, each once.

    Returns
    -------
    MetricField
        Of n positions, those of `points`; NaN where the sweep has no such combination.
    """
    sign = METRIC_SIGN[metric]
    found = np.full(len(points), np.nan)
    for chunk, eligible in _read_eligible(columns, metric, min_trades):
        # On a grid points are positions: no need to look through a chunk for them.
        if is_grid(spec):
            start, stop = np.searchsorted(points, [chunk.first, chunk.first + len(chunk)])
            places = np.arange(start, stop)
            rows = points[start:stop] - chunk.first
        else:
            places = np.minimum(np.searchsorted(points, chunk.points), len(points) - 1)
            rows = np.flatnonzero(points[places] == chunk.points)
            places = places[rows]
        values = eligible[rows]
        values = np.where(np.isfinite(values), values, -np.inf * sign)
        found[places] = np.where(chunk.status[rows] == STATUS_EXCLUDED, np.nan, values)
    return MetricField(metric, sign, found, points)


def _read_eligible(
    columns: SweepColumns, metric: str, min_trades: int
) -> Iterator[tuple[ColumnChunk, FloatArray]]:
    """Yield the chunks with a metric, NaN where there are fewer closed trades."""
    names = [metric] if min_trades <= 0 or metric == "n_trades" else [metric, "n_trades"]
    for chunk in columns.read(names):
        values = chunk.columns[metric]
        if min_trades > 0:
            values = np.where(chunk.columns["n_trades"] >= min_trades, values, np.nan)
        yield chunk, values


def is_grid(spec: SweepSpec) -> bool:
    """Return whether a sweep visits every point in order, so that points are positions."""
    return spec.search.method == "grid"


def validate_metric(metric: str, field: str = "metric") -> None:
    """Raise InputError unless `metric` is a headline metric."""
    if metric not in METRIC_SIGN:
        raise InputError.of(field, metric, f"choose one of {', '.join(METRIC_SIGN)}")


class AxisScale:
    """An axis cut into at most `max_bins` even bins of neighbouring levels.

    Levels are sorted (`off` beyond the largest); unordered values stay as they were given.

    Attributes
    ----------
    name : str
        Of the axis.
    axis : Axis
        The axis itself.
    width : int
        Levels per bin, 1 where nothing is put together; the last bin may hold fewer.
    n_bins : int
        Number of bins.
    """

    def __init__(self, axis: Axis, stride: int, max_bins: int = MAX_BINS) -> None:
        self.axis = axis
        self.name = axis.name
        self.stride = stride
        self.n_values = axis.n_values
        self.width = -(-self.n_values // max_bins)
        self.n_bins = -(-self.n_values // self.width)
        self.order: PointArray | None = None
        self._bin_of_digit: BinArray | None = None
        if self.n_values <= _MAX_SORTED_LENGTH:
            order = axis.neighbour_order()
            self.order = np.arange(self.n_values) if order is None else order
            ranks = np.empty(self.n_values, dtype=np.int64)
            ranks[self.order] = np.arange(self.n_values)
            self._bin_of_digit = (ranks // self.width).astype(np.uint8)

    def bins(self, block: Block) -> BinArray:
        """Return the bin of each position of a block, uint8 (n,)."""
        if block.points is not None:
            return self._bins_of_digits(self.digits(block.points))
        # Digits of consecutive points come in runs of `stride`.
        runs = np.arange(block.first // self.stride, (block.stop - 1) // self.stride + 1)
        bins = self._bins_of_digits(_remainder(runs, self.n_values))
        if self.stride == 1:
            return bins
        counts = np.full(len(runs), self.stride)
        counts[-1] = block.stop - int(runs[-1]) * self.stride
        counts[0] -= block.first - int(runs[0]) * self.stride
        return np.repeat(bins, counts)

    def digits(self, points: PointArray) -> PointArray:
        """Return the digit of each point on this axis, int64 (n,)."""
        return _remainder(points // self.stride, self.n_values)

    def _bins_of_digits(self, digits: PointArray) -> BinArray:
        if self._bin_of_digit is not None:
            return self._bin_of_digit[digits]
        return (digits // self.width).astype(np.uint8)

    def describe(self) -> dict[str, Any]:
        """Return name, first value of every bin, and how much was put together.

        `values` holds one entry per bin; where bins hold several levels, `last_values` ends them.
        """
        starts = range(0, self.n_values, self.width)
        described = {
            "name": self.name,
            "ordered": self.axis.is_ordered,
            "n_values": self.n_values,
            "binned": self.width > 1,
            "values": [self._get_level(start) for start in starts],
        }
        if self.width > 1:
            ends = [min(start + self.width, self.n_values) - 1 for start in starts]
            described["last_values"] = [self._get_level(end) for end in ends]
        return described

    def _get_level(self, rank: int) -> Any:
        return self.axis[rank if self.order is None else int(self.order[rank])]


def build_scales(space: SearchSpace, max_bins: int = MAX_BINS) -> list[AxisScale]:
    """Return a scale for every axis of a space, in its order."""
    return [
        AxisScale(axis, stride, max_bins)
        for axis, stride in zip(space.axes, space.strides, strict=True)
    ]


def _remainder(numbers: PointArray, divisor: int) -> PointArray:
    # numpy divides by a scalar in SIMD lanes, its remainder does not.
    return numbers - (numbers // divisor) * divisor
