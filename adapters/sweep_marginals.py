"""What each level of each parameter does to a metric, and how the metric is distributed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from adapters.sweep_columns import FloatArray, PointArray, SweepColumns
from adapters.sweep_field import (
    AxisScale,
    BinArray,
    MetricField,
    allocate,
    build_field,
    build_scales,
    release,
)
from adapters.sweep_quantiles import (
    MAX_SELECTED,
    ReadValues,
    compute_quantiles,
    split_evenly,
)

if TYPE_CHECKING:
    from rules.sweep_spec import SweepSpec

HISTOGRAM_BINS = 60
QUANTILES = (0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999)


def compute_marginals(
    columns: SweepColumns, spec: SweepSpec, metric: str, min_trades: int = 0
) -> dict[str, Any]:
    """Return levels and distribution of a metric; see `measure_marginals`."""
    field = build_field(columns, spec, metric, min_trades)
    return measure_marginals(field, build_scales(spec.build_space()))


def measure_marginals(field: MetricField, scales: Sequence[AxisScale]) -> dict[str, Any]:
    """Describe a metric over the eligible combinations, level by level and as a whole.

    Returns
    -------
    dict
        ``axes``: per axis what `AxisScale.describe` says and columns over its levels: ``n``,
        ``mean``, ``min``, ``q1``, ``median``, ``q3``, ``max`` (None where n is 0; quartiles by
        linear interpolation); ``distribution``: see `measure_distribution`.
    """
    return {
        "metric": field.metric,
        "n": field.n_eligible,
        "axes": [{**scale.describe(), **_measure_levels(field, scale)} for scale in scales],
        "distribution": measure_distribution(field),
    }


def measure_distribution(field: MetricField) -> dict[str, Any]:
    """Return moments, quantiles and histogram of a metric over the eligible combinations.

    The histogram spans the 0.1 % to the 99.9 % quantile, so that one outlier does not flatten it;
    ``below`` and ``above`` count what lies outside. Figures are None without a combination.
    """

    def read() -> Iterator[FloatArray]:
        return (block.values[np.isfinite(block.values)] for block in field.blocks())

    names = ("mean", "std", "min", "max", "share_above_zero")
    keys = [str(quantile) for quantile in QUANTILES]
    n = field.n_eligible
    if n == 0:
        undefined = {**dict.fromkeys(names), "quantiles": dict.fromkeys(keys)}
        return {"n": 0, **undefined, "edges": [], "counts": [], "below": 0, "above": 0}
    low, *quantiles, high = compute_quantiles(read, n, (0.0, *QUANTILES, 1.0))
    mean = sum(float(values.sum()) for values in read()) / n
    squares = sum(float(((values - mean) ** 2).sum()) for values in read())
    n_above = sum(int((values > 0).sum()) for values in read())
    figures = (mean, math.sqrt(squares / n), low, high, n_above / n)
    return {
        "n": n,
        **dict(zip(names, figures, strict=True)),
        "quantiles": dict(zip(keys, quantiles, strict=True)),
        **_build_histogram(read, quantiles[0], quantiles[-1]),
    }


def _build_histogram(read: ReadValues, low: float, high: float) -> dict[str, Any]:
    # A range too narrow for its edges to differ is a single bin.
    n_bins = HISTOGRAM_BINS if high - low > 1e-12 * max(abs(low), abs(high)) else 1
    edges = np.linspace(low, high, n_bins + 1)
    counts = np.zeros(n_bins, dtype=np.int64)
    below = above = 0
    for values in read():
        too_low, too_high = int((values < low).sum()), int((values > high).sum())
        if n_bins == 1:
            counts += len(values) - too_low - too_high
        else:
            counts += np.histogram(values, n_bins, (low, high))[0]
        below, above = below + too_low, above + too_high
    return {"edges": edges.tolist(), "counts": counts.tolist(), "below": below, "above": above}


def _measure_levels(field: MetricField, scale: AxisScale) -> dict[str, list[Any]]:
    names = ("n", "mean", "min", "q1", "median", "q3", "max")
    rows = []
    for n, read in _iterate_levels(field, scale):
        figures: list[Any] = [None] * 6
        if n:
            mean = sum(float(values.sum()) for values in read()) / n
            figures = [mean, *compute_quantiles(read, n, (0.0, 0.25, 0.5, 0.75, 1.0))]
        rows.append([n, *figures])
    return {name: [row[i] for row in rows] for i, name in enumerate(names)}


def _iterate_levels(field: MetricField, scale: AxisScale) -> Iterator[tuple[int, ReadValues]]:
    """Yield count and eligible values of one bin after the other, in bounded memory."""
    bins: BinArray = allocate(len(field.values), np.uint8)
    counts = np.zeros(scale.n_bins, dtype=np.int64)
    for block in field.blocks():
        here = bins[block.first : block.stop]
        here[:] = scale.bins(block)
        counts += np.bincount(here[np.isfinite(block.values)], minlength=scale.n_bins)
        release(bins)
    for low, high in split_evenly(counts, MAX_SELECTED):
        n = counts[low:high]
        if n.sum() > MAX_SELECTED:  # a single level that is too large to hold
            yield int(n[0]), partial(_read_level, field, bins, low)
            continue
        for values in _group_levels(field, bins, low, high, n):
            yield len(values), partial(iter, [values])


def _read_level(field: MetricField, bins: BinArray, level: int) -> Iterator[FloatArray]:
    for block in field.blocks():
        chosen = bins[block.first : block.stop] == level
        yield block.values[chosen & np.isfinite(block.values)]
        release(bins)


def _group_levels(
    field: MetricField, bins: BinArray, low: int, high: int, n: PointArray
) -> list[FloatArray]:
    """Return the eligible values of the bins from `low` to before `high`."""
    values, levels = [np.empty(0)], [np.empty(0, dtype=np.uint8)]
    for block in field.blocks():
        here = bins[block.first : block.stop]
        chosen = np.isfinite(block.values) & (here >= low) & (here < high)
        values.append(block.values[chosen])
        levels.append(here[chosen])
        release(bins)
    # A stable sort of bytes is a radix sort: one pass.
    order = np.argsort(np.concatenate(levels), kind="stable")
    return np.split(np.concatenate(values)[order], np.cumsum(n)[:-1])
