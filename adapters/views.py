"""Series for interactive charts, thinned so that no spike is lost; numpy only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters.adapter import to_json_list
from backtest.bars import Spacing, format_times

IntArray = NDArray[np.int64]

_NS_PER_SECOND = 1_000_000_000


def select_points(series: Sequence[NDArray[np.float64]], max_points: int) -> IntArray:
    """Return the indexes that keep every series' minimum and maximum in every bucket.

    Parameters
    ----------
    series : sequence of ndarray, shape (n,)
        Drawn over one shared axis; NaN is never chosen unless a bucket holds nothing else.
    max_points : int
        Upper bound of the answer, at least 2 points a series plus the ends.

    Returns
    -------
    ndarray of int64
        Strictly increasing, first and last index included; all indexes if they fit.
    """
    n = series[0].size
    if n <= max_points:
        return np.arange(n, dtype=np.int64)
    # Two extremes a series and bucket, the two ends, and one bucket for the remainder.
    n_buckets = max(1, (max_points - 2) // (2 * len(series)) - 1)
    width = -(-n // n_buckets)
    n_full = n // width
    offsets = np.arange(n_full, dtype=np.int64) * width
    chosen: list[IntArray] = [np.array([0, n - 1], dtype=np.int64)]
    for values in series:
        low = np.where(np.isnan(values), np.inf, values)
        high = np.where(np.isnan(values), -np.inf, values)
        full = n_full * width
        chosen.append(offsets + low[:full].reshape(n_full, width).argmin(axis=1))
        chosen.append(offsets + high[:full].reshape(n_full, width).argmax(axis=1))
        if full < n:
            chosen.append(np.array([full + low[full:].argmin(), full + high[full:].argmax()]))
    return np.unique(np.concatenate(chosen))


def build_series_view(
    columns: Mapping[str, NDArray[Any]],
    names: Sequence[str],
    spacing: Spacing,
    *,
    start_idx: int = 0,
    end_idx: int | None = None,
    max_points: int = 2000,
) -> dict[str, list[Any]]:
    """Return the named series between two bars (inclusive), thinned to `max_points`.

    Returns
    -------
    dict of str to list
        ``idx`` (bar index), ``time`` (as printed), ``epoch`` (UTC seconds) and one list per name,
        all of one length; None where a value is undefined.
    """
    times = columns["time"]
    stop = times.size if end_idx is None else min(end_idx + 1, times.size)
    start = min(max(start_idx, 0), stop)
    cut = {name: columns[name][start:stop] for name in names}
    if stop == start:
        return {key: [] for key in ("idx", "time", "epoch", *names)}
    chosen = select_points([np.asarray(values, np.float64) for values in cut.values()], max_points)
    stamps = times[start:stop][chosen]
    view: dict[str, list[Any]] = {
        "idx": (chosen + start).tolist(),
        "time": format_times(stamps, spacing),
        "epoch": (stamps / _NS_PER_SECOND).tolist(),
    }
    for name, values in cut.items():
        view[name] = to_json_list(values[chosen])
    return view
