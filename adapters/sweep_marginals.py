"""What each level of each parameter does to a metric, and how the metric is distributed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from adapters.sweep_columns import FloatArray, SweepColumns
from adapters.sweep_field import AxisScale, MetricField, build_field, build_scales

if TYPE_CHECKING:
    from rules.sweep_spec import SweepSpec

HISTOGRAM_BINS = 60
QUANTILES = (0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999)
# Levels are taken together until about this many values are in memory.
_BATCH = 2_000_000


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
    values = np.concatenate([*_iterate_eligible(field), np.empty(0)])
    names = ["mean", "std", "min", "max", "share_above_zero"]
    keys = [str(quantile) for quantile in QUANTILES]
    if len(values) == 0:
        undefined = {**dict.fromkeys(names), "quantiles": dict.fromkeys(keys)}
        return {"n": 0, **undefined, "edges": [], "counts": [], "below": 0, "above": 0}
    figures = [values.mean(), values.std(), values.min(), values.max(), (values > 0).mean()]
    quantiles = _compute_quantiles(values, QUANTILES)
    return {
        "n": len(values),
        **{name: float(figure) for name, figure in zip(names, figures, strict=True)},
        "quantiles": dict(zip(keys, quantiles, strict=True)),
        **_build_histogram(values, quantiles[0], quantiles[-1]),
    }


def _iterate_eligible(field: MetricField) -> Iterator[FloatArray]:
    return (block.values[np.isfinite(block.values)] for block in field.blocks())


def _build_histogram(values: FloatArray, low: float, high: float) -> dict[str, Any]:
    # A range too narrow for its edges to differ is a single bin.
    n_bins = HISTOGRAM_BINS if high - low > 1e-12 * max(abs(low), abs(high)) else 1
    edges = np.linspace(low, high, n_bins + 1) if n_bins > 1 else np.array([low, high])
    below, above = int((values < low).sum()), int((values > high).sum())
    if n_bins == 1:
        counts = [len(values) - below - above]
    else:
        counts = np.histogram(values, edges)[0].tolist()
    return {"edges": edges.tolist(), "counts": counts, "below": below, "above": above}


def _measure_levels(field: MetricField, scale: AxisScale) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {
        name: [] for name in ("n", "mean", "min", "q1", "median", "q3", "max")
    }
    for values in _iterate_levels(field, scale):
        figures: list[float | None] = [None] * 6
        if len(values):
            mean, low, high = float(values.mean()), float(values.min()), float(values.max())
            figures = [mean, low, *_compute_quantiles(values, (0.25, 0.5, 0.75)), high]
        for name, figure in zip(columns, [len(values), *figures], strict=True):
            columns[name].append(figure)
    return columns


def _iterate_levels(field: MetricField, scale: AxisScale) -> Iterator[FloatArray]:
    """Yield the eligible values of one bin after the other, in a bounded amount of memory."""
    n_levels = max(1, _BATCH * scale.n_bins // max(_BATCH, len(field.values)))
    for low in range(0, scale.n_bins, n_levels):
        high = min(low + n_levels, scale.n_bins)
        values, bins = [np.empty(0)], [np.empty(0, dtype=np.uint8)]
        for block in field.blocks():
            block_bins = scale.bins(block)
            chosen = np.isfinite(block.values)
            if n_levels < scale.n_bins:
                chosen &= (block_bins >= low) & (block_bins < high)
            values.append(block.values[chosen])
            bins.append(block_bins[chosen])
        # A stable sort of bytes is a radix sort: one pass.
        joined = np.concatenate(bins)
        grouped = np.concatenate(values)[np.argsort(joined, kind="stable")]
        ends = np.cumsum(np.bincount(joined, minlength=high)[low:high])
        yield from np.split(grouped, ends[:-1])


def _compute_quantiles(values: FloatArray, quantiles: Sequence[float]) -> list[float]:
    """Return linear quantiles; reorders `values`."""
    # As numpy.quantile, which takes longer by checks and copies for many small groups.
    at = np.asarray(quantiles) * (len(values) - 1)
    lower = np.floor(at).astype(np.int64)
    upper = np.minimum(lower + 1, len(values) - 1)
    values.partition(np.unique(np.concatenate([lower, upper])))
    low, high = values[lower], values[upper]
    result: list[float] = (low + (high - low) * (at - lower)).tolist()
    return result
