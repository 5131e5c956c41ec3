"""One combination of a sweep as the API and the page show it.

Imported by the web tier: neither engine nor compiler.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from adapters.adapter import to_json_number
from adapters.sweep_columns import HEADLINE_METRICS

if TYPE_CHECKING:
    from rules.sweep_spec import SweepSpec


def build_row(spec: SweepSpec, point: int, values: Iterable[float]) -> dict[str, Any]:
    """Return a combination with its metrics.

    Parameters
    ----------
    spec : SweepSpec
        The sweep.
    point : int
        Index of the combination in the search space.
    values : iterable of float
        Its `HEADLINE_METRICS`, NaN or None where undefined.

    Returns
    -------
    dict
        ``index``, ``dataset`` (its label, if the sweep has several), complete ``params`` and
        ``trading``, and ``metrics`` with None where undefined.
    """
    dataset, params, trading = spec.combination(point)
    row: dict[str, Any] = {"index": point}
    if len(spec.datasets) > 1:
        row["dataset"] = spec.dataset_labels[spec.datasets.index(dataset)]
    metrics = dict(zip(HEADLINE_METRICS, map(to_json_number, values), strict=True))
    if metrics["n_trades"] is not None:
        metrics["n_trades"] = int(metrics["n_trades"])
    return {**row, "params": params, "trading": trading.model_dump(mode="json"), "metrics": metrics}


def build_swept_values(spec: SweepSpec, points: Sequence[int]) -> list[dict[str, Any]]:
    """Return for each point what is swept: ``dataset`` if it is, ``params`` and ``trading``.

    Far cheaper than complete rows, for thousands of points.
    """
    space = spec.build_space()
    found = []
    for point in points:
        row: dict[str, Any] = {"params": {}, "trading": {}}
        values = space[point]
        for axis in space.axes:
            if axis.group == "dataset":
                row["dataset"] = values[axis.name]
            else:
                row[axis.group][axis.name] = values[axis.name]
        found.append(row)
    return found
