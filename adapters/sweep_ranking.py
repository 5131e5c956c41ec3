"""Rankings of a sweep's combinations: by any metric, narrowed by conditions, page by page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from adapters.adapter import to_json_list, to_json_number
from adapters.sweep_columns import HEADLINE_METRICS, METRIC_SIGN, FloatArray, SweepColumns
from adapters.sweep_field import validate_metric
from adapters.sweep_filters import Filter, find_admitted, validate_filters
from adapters.sweep_plateau import compute_near
from adapters.sweep_rows import build_row
from adapters.sweep_tops import TopKeeper, TopRows, gather_rows
from backtest.errors import InputError

if TYPE_CHECKING:
    from rules.sweep_spec import SweepSpec

Order = Literal["best", "asc", "desc"]
# A deeper page would have to sort ever more rows; conditions get there sooner.
MAX_DEPTH = 100_000


def query_ranking(
    columns: SweepColumns,
    spec: SweepSpec,
    metric: str,
    order: Order = "best",
    filters: Sequence[Filter] = (),
    offset: int = 0,
    limit: int = 100,
    min_trades: int = 0,
) -> dict[str, Any]:
    """Return one page of a ranking.

    Parameters
    ----------
    columns : SweepColumns
        The results; what is sorted and filtered by is read once, then every metric once, and the
        objective once more for the neighbourhoods.
    metric : str
        What to sort by, one of `HEADLINE_METRICS`. Where it is undefined a combination has no rank.
    order : {"best", "asc", "desc"}
        `best`: the largest first, for volatility and turnover the smallest. Among equals the lower
        position comes first.
    filters : sequence of Filter
        Conditions that all must hold; an undefined metric meets none.
    offset, limit : int
        Which rows; ``offset + limit`` is at most 100,000.
    min_trades : int
        Combinations with fewer closed trades have no rank.

    Returns
    -------
    dict
        ``metric``, ``order``, ``total`` (ranked combinations), ``offset``, ``rows``: see
        `build_row`, each with its ``rank`` from 1, and with ``near``: the median of the objective
        over it and its neighbours, whatever the conditions; None where there is none.

    Raises
    ------
    InputError
        For an unknown metric, order or parameter, or a page that is too deep.
    """
    space = spec.build_space()
    sign = _validate(metric, order, offset, limit)
    conditions = list(filters)
    validate_filters(conditions, space)
    if min_trades > 0:
        conditions.append(Filter("n_trades", ">=", min_trades))
    keeper = TopKeeper(offset + limit)
    names = {metric, *(item.metric for item in conditions if item.is_metric)}
    for chunk in columns.read([name for name in HEADLINE_METRICS if name in names]):
        values = chunk.columns[metric] * sign
        for item in conditions:
            if item.is_metric:
                values[~item.test(chunk.columns[item.metric])] = np.nan
        if any(not item.is_metric for item in conditions):
            values[~find_admitted(conditions, space, chunk.points)] = np.nan
        keeper.add(chunk.first, values)
    page = keeper.positions()[offset : offset + limit]
    wanted = np.sort(page)
    points, metrics = gather_rows(columns, wanted)
    near = compute_near(columns, spec, points, min_trades)
    at = np.searchsorted(wanted, page)
    rows = [
        {
            "rank": offset + i + 1,
            **build_row(spec, int(points[j]), metrics[j].tolist()),
            "near": to_json_number(near[j]),
        }
        for i, j in enumerate(at)
    ]
    return {
        "metric": metric,
        "order": order,
        "total": keeper.n_seen,
        "offset": offset,
        "rows": rows,
    }


def _validate(metric: str, order: str, offset: int, limit: int) -> int:
    """Return the sign that makes the first rank the largest value."""
    validate_metric(metric)
    signs = {"best": METRIC_SIGN[metric], "asc": -1, "desc": 1}
    if order not in signs:
        raise InputError.of("order", order, f"choose one of {', '.join(signs)}")
    if offset < 0:
        raise InputError.of("offset", offset, "write a whole number from 0")
    if limit < 0:
        raise InputError.of("limit", limit, "write a whole number from 0")
    if offset + limit > MAX_DEPTH:
        raise InputError.of(
            "offset",
            offset,
            f"a ranking ends at rank {MAX_DEPTH:,}; narrow it by a filter, or export the sweep",
        )
    return signs[order]


def pack_top(top: TopRows, total: int, near: FloatArray | None = None) -> dict[str, Any]:
    """Return the best rows by one metric as a compact JSON-safe document of columns.

    Parameters
    ----------
    top : TopRows
        The rows, best first.
    total : int
        How many combinations have a rank.
    near : array of float64, shape (k,), or None
        Median of the objective over each row's neighbourhood, NaN without neighbours.
    """
    document = {
        "total": total,
        "index": top.points.tolist(),
        "metrics": {
            name: to_json_list(top.values[:, j]) for j, name in enumerate(HEADLINE_METRICS)
        },
    }
    if near is not None:
        document["near"] = to_json_list(near)
    return document


def build_ranking_page(
    document: Mapping[str, Any], spec: SweepSpec, metric: str, offset: int, limit: int
) -> dict[str, Any] | None:
    """Return one page of a stored ranking in the form of `query_ranking`.

    Parameters
    ----------
    document : mapping
        What `pack_top` made of the best rows by `metric`.

    Returns
    -------
    dict or None
        None if the page reaches beyond what is stored.
    """
    points = document["index"]
    if offset + limit > len(points) < document["total"]:
        return None
    rows = []
    for i in range(offset, min(offset + limit, len(points))):
        values = [document["metrics"][name][i] for name in HEADLINE_METRICS]
        row = {"rank": i + 1, **build_row(spec, points[i], values)}
        if "near" in document:
            row["near"] = document["near"][i]
        rows.append(row)
    return {
        "metric": metric,
        "order": "best",
        "total": document["total"],
        "offset": offset,
        "rows": rows,
    }
