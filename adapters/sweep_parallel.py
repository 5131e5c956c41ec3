"""A sample of a sweep for parallel coordinates: the best, and an even share of all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from adapters.sweep_columns import PointArray, SweepColumns
from adapters.sweep_field import AxisScale, MetricField, build_field, build_scales
from adapters.sweep_rows import build_swept_values
from adapters.sweep_tops import TopKeeper

if TYPE_CHECKING:
    from rules.sweep_spec import SweepSpec

N_BEST = 1000
N_EVEN = 1000
# The golden ratio's fraction: its multiples fill the unit interval evenly and without a period.
_GOLDEN = 0.6180339887498949


def build_parallel(
    columns: SweepColumns,
    spec: SweepSpec,
    metric: str,
    n: int = N_BEST + N_EVEN,
    min_trades: int = 0,
) -> dict[str, Any]:
    """Return a sample of `n` combinations; see `sample_parallel`."""
    field = build_field(columns, spec, metric, min_trades)
    return sample_parallel(field, build_scales(spec.build_space()), spec, n)


def sample_parallel(
    field: MetricField, scales: Sequence[AxisScale], spec: SweepSpec, n: int = N_BEST + N_EVEN
) -> dict[str, Any]:
    """Return the better half of a sample by rank, the other half spread evenly over positions.

    Returns
    -------
    dict
        ``axes``: see `AxisScale.describe`; ``total`` eligible combinations; ``rows``: best first,
        each with ``index``, what is swept, ``metrics`` (this one only) and ``is_best``.
    """
    keeper = TopKeeper(n // 2)
    for block in field.blocks():
        values = field.orient(block.values)
        keeper.add(block.first, np.where(np.isfinite(values), values, np.nan))
    best = keeper.positions()
    even = _sample_evenly(field, n - n // 2)
    rest = even[~np.isin(even, best)]
    rest = rest[np.argsort(-field.orient(field.look_up(rest)[1]), kind="stable")]
    points, values = (found.tolist() for found in field.look_up(np.concatenate([best, rest])))
    rows = [
        {"index": point, **swept, "metrics": {field.metric: value}, "is_best": i < len(best)}
        for i, (point, swept, value) in enumerate(
            zip(points, build_swept_values(spec, points), values, strict=True)
        )
    ]
    axes = [scale.describe() for scale in scales]
    return {"metric": field.metric, "axes": axes, "total": field.n_eligible, "rows": rows}


def _sample_evenly(field: MetricField, n: int) -> PointArray:
    """Return one eligible position from each of `n` equal shares, ascending, int64 (<= n,)."""
    total = field.n_eligible
    n = min(n, total)
    # A regular step would meet the same level of the last axis again and again.
    shifts = np.arange(1, n + 1) * _GOLDEN % 1.0
    ranks = ((np.arange(n) + shifts) * total / max(n, 1)).astype(np.int64)
    found, seen = [np.empty(0, dtype=np.int64)], 0
    for block in field.blocks():
        eligible = np.flatnonzero(np.isfinite(block.values))
        here = ranks[(ranks >= seen) & (ranks < seen + len(eligible))] - seen
        found.append(eligible[here] + block.first)
        seen += len(eligible)
    return np.concatenate(found)
