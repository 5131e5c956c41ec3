"""A metric over two axes of a sweep, the other axes at their best, median or fixed values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from adapters.sweep_columns import (
    STATUS_NOT_FINITE,
    Failures,
    FloatArray,
    PointArray,
    SweepColumns,
)
from adapters.sweep_field import AxisScale, Block, MetricField, build_field, build_scales
from adapters.sweep_quantiles import MAX_SELECTED, split_evenly
from backtest.errors import FieldError, InputError
from rules.spec import coerce_text

if TYPE_CHECKING:
    from rules.search_axes import Axis
    from rules.search_space import SearchSpace
    from rules.sweep_spec import SweepSpec

Other = Literal["best", "median", "fixed"]
_MOST_LISTED = 12
_FAILED_AT_ONCE = 131_072
OTHERS: tuple[Other, ...] = ("best", "median", "fixed")


def compute_heatmap(
    columns: SweepColumns,
    spec: SweepSpec,
    x: str,
    y: str,
    metric: str,
    other: Other = "best",
    fixed: Mapping[str, Any] | None = None,
    min_trades: int = 0,
    failures: Failures | None = None,
) -> dict[str, Any]:
    """Return a metric over two axes; see `measure_heatmap`.

    With `failures` the answer has ``n_failed`` too: a list of rows of columns, how many
    combinations of a cell have no result because they, or their chunks, failed.
    """
    space = spec.build_space()
    pins = validate_heatmap(space, x, y, other, fixed or {})
    field = build_field(columns, spec, metric, min_trades)
    found = measure_heatmap(field, space, x, y, other, pins)
    if failures is not None and failures.exist:
        scales = {scale.name: scale for scale in build_scales(space)}
        picked = (scales.pop(x), scales.pop(y))
        held: dict[AxisScale, int] = {}
        if other == "fixed":
            held = _complete_pins(field, list(scales.values()), pins)
        found["n_failed"] = _count_failures(columns, spec, *picked, held, failures)
    return found


def _count_failures(
    columns: SweepColumns,
    spec: SweepSpec,
    x: AxisScale,
    y: AxisScale,
    held: Mapping[AxisScale, int],
    failures: Failures,
) -> list[list[int]]:
    n = np.zeros(y.n_bins * x.n_bins, dtype=np.int64)
    for points in _iterate_failed(columns, spec, failures):
        kept = np.ones(len(points), dtype=bool)
        for scale, digit in held.items():
            kept &= scale.digits(points) == digit
        inside = Block(0, int(kept.sum()), np.empty(0), points[kept])
        cells = y.bins(inside).astype(np.int64) * x.n_bins + x.bins(inside)
        n += np.bincount(cells, minlength=len(n))
    rows: list[list[int]] = n.reshape(y.n_bins, x.n_bins).tolist()
    return rows


def _iterate_failed(
    columns: SweepColumns, spec: SweepSpec, failures: Failures
) -> Iterator[PointArray]:
    """Yield the points without a result: of chunks that are done, then of those that failed."""
    if failures.n_combinations:
        for chunk in columns.read(()):
            failed = np.flatnonzero(chunk.status >= STATUS_NOT_FINITE)
            if len(failed):
                yield chunk.points[failed]
    if spec.search.method == "adaptive":  # what a chunk would have tried is not known
        return
    order, space = spec.build_order(), spec.build_space()
    for first, stop in failures.ranges:
        for start in range(first, stop, _FAILED_AT_ONCE):
            points = order.points(start, min(start + _FAILED_AT_ONCE, stop))
            yield points[space.admitted(points)]


def validate_heatmap(
    space: SearchSpace, x: str, y: str, other: str, fixed: Mapping[str, Any]
) -> dict[str, int]:
    """Return the digits of the pinned axes by name, or raise InputError with every fault.

    Text among the values of `fixed` is read as in a form: ``14``, ``true``, ``off``.
    """
    axes = {axis.name: axis for axis in space.axes}
    errors = [
        FieldError(field, name, f"choose one of the swept parameters: {', '.join(axes)}")
        for field, name in (("x", x), ("y", y))
        if name not in axes
    ]
    if x == y:
        errors.append(FieldError("y", y, "x and y must be two different parameters"))
    if other not in OTHERS:
        errors.append(FieldError("other", other, f"choose one of {', '.join(OTHERS)}"))
    pins: dict[str, int] = {}
    for name, value in fixed.items():
        rest = [known for known in axes if known not in (x, y)]
        if name not in rest:
            remedy = f"choose one of {', '.join(rest)}" if rest else "no parameter is left to fix"
            errors.append(FieldError(f"fixed.{name}", value, remedy))
            continue
        axis = axes[name]
        is_text = isinstance(value, str) and axis.kind != "choice"
        try:
            pins[name] = axis.index(coerce_text(value) if is_text else value)
        except ValueError:
            remedy = f"not among the {axis.n_values} values of {name}: {_describe_values(axis)}"
            errors.append(FieldError(f"fixed.{name}", value, remedy))
    if errors:
        raise InputError(errors)
    return pins


def _describe_values(axis: Axis) -> str:
    """Return the values of an axis in words, `off` last; of a long ordered axis the ends."""
    if axis.n_values > _MOST_LISTED and axis.is_ordered:
        low, high = axis.bounds
        return f"from {low:.10g} to {high:.10g}{', or off' if axis.has_off else ''}"
    order = axis.neighbour_order()
    digits = range(min(axis.n_values, _MOST_LISTED)) if order is None else order.tolist()
    more = "" if axis.n_values <= _MOST_LISTED else ", ..."
    return ", ".join(_describe_level(axis[digit]) for digit in digits) + more


def _describe_level(value: Any) -> str:
    if value is None:
        return "off"
    return str(value).lower() if isinstance(value, bool) else str(value)


def measure_heatmap(
    field: MetricField,
    space: SearchSpace,
    x: str,
    y: str,
    other: Other = "best",
    pins: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Return a metric over the eligible combinations of every cell.

    A cell shows the value of one combination, its representative, or a median: `best`: the best
    value; `median`: the median over the cell, represented by the combination whose value is
    nearest to it; `fixed`: the other axes are pinned to the digits `pins`, where not given to those
    of the raw best. Among equals the lower position represents. Axes of more than 200 values are
    put together into even bins.

    Returns
    -------
    dict
        ``x``, ``y``: see `AxisScale.describe`; ``values``, ``index``, ``n``, ``n_combinations``:
        a list of rows (one per y) of columns (one per x), None where no combination is eligible;
        ``n`` counts the eligible ones and ``n_combinations`` all that are not excluded; ``min``
        and ``max`` of the values; ``fixed``: the pinned values by name, None unless `other` is so.
    """
    scales = {scale.name: scale for scale in build_scales(space)}
    picked = (scales.pop(x), scales.pop(y))
    held: dict[AxisScale, int] | None = None
    if other == "fixed":
        held = _complete_pins(field, list(scales.values()), pins or {})
    grid = _Grid(field, *picked, held)
    cells = _find_medians(grid) if other == "median" else _find_best(grid)
    shape = (picked[1].n_bins, picked[0].n_bins)
    defined = cells.values[cells.n > 0]
    return {
        "metric": field.metric,
        "other": other,
        "x": picked[0].describe(),
        "y": picked[1].describe(),
        "fixed": None if held is None else {s.name: s.axis[digit] for s, digit in held.items()},
        "values": _to_rows(cells.values, cells.n, shape),
        "index": _to_rows(cells.points, cells.n, shape),
        "n": cells.n.reshape(shape).tolist(),
        "n_combinations": cells.n_combinations.reshape(shape).tolist(),
        "min": float(defined.min()) if len(defined) else None,
        "max": float(defined.max()) if len(defined) else None,
    }


def _complete_pins(
    field: MetricField, scales: Sequence[AxisScale], pins: Mapping[str, int]
) -> dict[AxisScale, int]:
    best = field.find_best()
    point = np.array([0 if best is None else field.get_point(best)])
    return {scale: pins.get(scale.name, int(scale.digits(point)[0])) for scale in scales}


def _to_rows(values: NDArray[Any], n: PointArray, shape: tuple[int, int]) -> list[list[Any]]:
    cells = values.astype(object)
    cells[n == 0] = None
    rows: list[list[Any]] = cells.reshape(shape).tolist()
    return rows


@dataclass(frozen=True)
class _Cells:
    """Per cell, x fastest: value, representative, eligible combinations, all combinations."""

    values: FloatArray
    points: PointArray
    n: PointArray
    n_combinations: PointArray


class _Grid:
    """The cells that positions fall into, where the other axes are as they should be."""

    def __init__(
        self,
        field: MetricField,
        x: AxisScale,
        y: AxisScale,
        held: Mapping[AxisScale, int] | None,
    ) -> None:
        self.field = field
        self.n_cells = x.n_bins * y.n_bins
        self._x, self._y, self._held = x, y, held or {}

    def blocks(self) -> Iterator[tuple[Block, PointArray, PointArray]]:
        """Yield blocks with the offsets of their combinations, and the cell of each of them."""
        for block in self.field.blocks():
            wanted = ~np.isnan(block.values)
            if self._held:
                points = block.get_points()
                for scale, digit in self._held.items():
                    wanted &= scale.digits(points) == digit
            cells = self._y.bins(block).astype(np.int64)
            cells *= self._x.n_bins
            cells += self._x.bins(block)
            offsets = np.flatnonzero(wanted)
            yield block, offsets, cells if len(offsets) == len(cells) else cells[offsets]


def _find_best(grid: _Grid) -> _Cells:
    field, m = grid.field, grid.n_cells
    best, points = np.full(m, -np.inf), np.zeros(m, dtype=np.int64)
    n, n_combinations = np.zeros(m, dtype=np.int64), np.zeros(m, dtype=np.int64)
    for block, offsets, cells in grid.blocks():
        values = field.orient(block.values[offsets])
        n_combinations += np.bincount(cells, minlength=m)
        eligible = values > -np.inf
        if not eligible.all():
            values, cells, offsets = values[eligible], cells[eligible], offsets[eligible]
        n += np.bincount(cells, minlength=m)
        here = np.full(m, -np.inf)
        np.maximum.at(here, cells, values)
        # Of several hits the last assignment stands: backwards, that is the lowest position.
        hits = np.flatnonzero((values == here[cells]) & (values > best[cells]))[::-1]
        points[cells[hits]] = block.get_points()[offsets[hits]]
        np.maximum(best, here, out=best)
    return _Cells(best * field.sign, points, n, n_combinations)


def _find_medians(grid: _Grid) -> _Cells:
    m = grid.n_cells
    n, n_combinations = np.zeros(m, dtype=np.int64), np.zeros(m, dtype=np.int64)
    for block, offsets, cells in grid.blocks():
        n_combinations += np.bincount(cells, minlength=m)
        n += np.bincount(cells[np.isfinite(block.values[offsets])], minlength=m)
    medians, points = np.full(m, np.nan), np.zeros(m, dtype=np.int64)
    if not n.any():
        return _Cells(medians, points, n, n_combinations)
    for low, high in split_evenly(n, MAX_SELECTED):
        found = [
            (block.values[chosen], block.get_points()[chosen], cells[inside])
            for block, offsets, cells in grid.blocks()
            for inside in [(cells >= low) & (cells < high) & np.isfinite(block.values[offsets])]
            for chosen in [offsets[inside]]
        ]
        values, indexes, cells = (np.concatenate(column) for column in zip(*found, strict=True))
        part = slice(low, high)
        medians[part], points[part] = _take_medians(values, indexes, cells, n[part], low)
    return _Cells(medians, points, n, n_combinations)


def _take_medians(
    values: FloatArray, points: PointArray, cells: PointArray, n: PointArray, first: int
) -> tuple[FloatArray, PointArray]:
    """Return median and representative of each cell; values come in position order."""
    # By value, then by cell, both stable: equal values stay in position order. The second is a
    # radix sort, since cells fit in 16 bits.
    by_value = np.argsort(values, kind="stable")
    order = by_value[np.argsort(cells[by_value].astype(np.uint16), kind="stable")]
    ordered = values[order]
    held = np.flatnonzero(n)
    starts = (np.cumsum(n) - n)[held]
    low, high = ordered[starts + (n[held] - 1) // 2], ordered[starts + n[held] // 2]
    medians, result = np.full(len(n), np.nan), np.zeros(len(n), dtype=np.int64)
    medians[held] = (low + high) / 2
    distances = np.full(len(n), np.inf)
    local = cells - first
    away = np.abs(values - medians[local])
    np.minimum.at(distances, local, away)
    hits = np.flatnonzero(away == distances[local])[::-1]
    result[local[hits]] = points[hits]
    return medians, result
