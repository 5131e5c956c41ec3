"""How much of a metric's variance each parameter, and each pair of them, explains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from adapters.sweep_columns import FloatArray, PointArray, SweepColumns
from adapters.sweep_field import AxisScale, Block, MetricField, build_field, build_scales

if TYPE_CHECKING:
    from rules.sweep_spec import SweepSpec

# Axes beyond these are left to the rest: pairs grow with the square of the axes.
_MAX_AXES = 16
_MIN_SHARE_OF_ROUNDING = 1e-12


def compute_importance(
    columns: SweepColumns, spec: SweepSpec, metric: str, min_trades: int = 0
) -> dict[str, Any]:
    """Return the shares of variance; see `measure_importance`."""
    field = build_field(columns, spec, metric, min_trades)
    return measure_importance(field, build_scales(spec.build_space()))


def measure_importance(field: MetricField, scales: Sequence[AxisScale]) -> dict[str, Any]:
    """Split the variance of a metric over the eligible combinations by functional ANOVA.

    The main effect of an axis is the variance of its levels' means; the effect of a pair is the
    variance of its cells' means less both main effects. On a full grid the parts are orthogonal and
    add up; where combinations are missing they overlap, so that a pair never counts below 0, and
    parts that exceed the whole are scaled down to it.

    Returns
    -------
    dict
        ``n``, ``variance`` (population), ``effects``: largest first, each with ``axes`` (one or two
        names) and ``share`` in [0, 1]; ``rest``: the share of three-way effects and above. Shares
        are None where the metric does not vary.
    """
    scales = scales[:_MAX_AXES]
    totals, cells = _sum_cells(field, scales)
    document: dict[str, Any] = {"metric": field.metric, "n": totals.n}
    spread = totals.squares
    # A metric that is constant but for rounding has no variance to share out.
    floor = _MIN_SHARE_OF_ROUNDING**2 * totals.n * totals.centre**2
    if totals.n == 0 or spread <= floor:
        variance = 0.0 if totals.n else None
        return {**document, "variance": variance, "effects": [], "rest": None}
    parts = _split(cells, totals, len(scales))
    scale = spread if (explained := sum(parts.values())) <= spread else explained
    largest_first = sorted(parts.items(), key=lambda part: -part[1])
    effects = [
        {"axes": [scales[i].name for i in axes], "share": part / scale}
        for axes, part in largest_first
    ]
    rest = max(0.0, 1.0 - sum(parts.values()) / scale)
    return {**document, "variance": spread / totals.n, "effects": effects, "rest": rest}


@dataclass
class _Totals:
    """Over all eligible values: count, mean as `centre` + `shift`, squared deviations from it."""

    n: int
    centre: float
    shift: float
    squares: float


@dataclass
class _CellSums:
    """Count and sum of deviations from about the overall mean, per cell of two axes."""

    counts: NDArray[np.int64]  # (levels of the first axis, levels of the second)
    sums: FloatArray

    def add(self, ids: PointArray, deviations: FloatArray) -> None:
        """Add values by cell number, int64 (n,) and float64 (n,)."""
        self.counts += np.bincount(ids, minlength=self.counts.size).reshape(self.counts.shape)
        sums = np.bincount(ids, weights=deviations, minlength=self.counts.size)
        self.sums += sums.reshape(self.sums.shape)

    def marginalise(self, side: int) -> _CellSums:
        """Return the sums over the levels of one of the two axes, 0 or 1."""
        return _CellSums(self.counts.sum(axis=1 - side), self.sums.sum(axis=1 - side))

    def measure_spread(self, shift: float) -> float:
        """Return the sum over cells of n (mean - shift)^2."""
        held = self.counts > 0
        n = self.counts[held]
        return float((n * (self.sums[held] / n - shift) ** 2).sum())


def _sum_cells(
    field: MetricField, scales: Sequence[AxisScale]
) -> tuple[_Totals, dict[tuple[int, int], _CellSums]]:
    sizes = [scale.n_bins for scale in scales]
    # A lone axis is paired with one that has a single level.
    pairs = list(combinations(range(len(sizes)), 2)) if len(sizes) > 1 else [(0, 1)]
    sizes += [1] * (2 - len(sizes))
    shapes = {(i, j): (sizes[i], sizes[j]) for i, j in pairs}
    cells = {k: _CellSums(np.zeros(m, dtype=np.int64), np.zeros(m)) for k, m in shapes.items()}
    # Deviations from a mean lose fewer digits than the values themselves.
    n, centre = _compute_mean(field)
    shift = squares = 0.0
    for block in field.blocks():
        bins, deviations = _select_eligible(block, scales)
        deviations -= centre
        shift += float(deviations.sum())
        squares += float(deviations @ deviations)
        bins += [np.zeros_like(deviations, dtype=np.int64)] * (len(sizes) - len(bins))
        for (i, j), sums in cells.items():
            sums.add(bins[i] * sizes[j] + bins[j], deviations)
    shift = shift / n if n else 0.0
    return _Totals(n, centre, shift, squares - n * shift**2), cells


def _compute_mean(field: MetricField) -> tuple[int, float]:
    n, total = 0, 0.0
    for block in field.blocks():
        eligible = np.isfinite(block.values)
        n += int(eligible.sum())
        total += float(block.values.sum(where=eligible))
    return n, total / n if n else 0.0


def _select_eligible(
    block: Block, scales: Sequence[AxisScale]
) -> tuple[list[PointArray], FloatArray]:
    eligible = np.isfinite(block.values)
    # bincount takes intp only and would convert once per pair.
    if eligible.all():
        return [scale.bins(block).astype(np.int64) for scale in scales], block.values.copy()
    bins = [scale.bins(block)[eligible].astype(np.int64) for scale in scales]
    return bins, block.values[eligible]


def _split(
    cells: dict[tuple[int, int], _CellSums], totals: _Totals, n_axes: int
) -> dict[tuple[int, ...], float]:
    """Return the sum of squares that belongs to each axis and each pair."""
    mains: dict[int, float] = {}
    for axes, sums in cells.items():
        for side, axis in enumerate(axes):
            if axis not in mains:
                mains[axis] = sums.marginalise(side).measure_spread(totals.shift)
    parts: dict[tuple[int, ...], float] = {(axis,): mains[axis] for axis in range(n_axes)}
    for (i, j), sums in cells.items():
        if j < n_axes:
            parts[i, j] = max(0.0, sums.measure_spread(totals.shift) - mains[i] - mains[j])
    return parts
