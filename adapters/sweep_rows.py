"""One combination of a sweep as the API and the page show it.

Imported by the web tier: neither engine nor compiler.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

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
    found: list[dict[str, Any]] = [{"params": {}, "trading": {}} for _ in points]
    digits = space.digits(np.asarray(points, dtype=np.int64)).tolist()
    for axis, places in zip(space.axes, digits, strict=True):
        # Thousands of points share the few values of an axis.
        values = {place: axis[place] for place in set(places)}
        for row, place in zip(found, places, strict=True):
            target = row if axis.group == "dataset" else row[axis.group]
            target["dataset" if axis.group == "dataset" else axis.name] = values[place]
    return found
