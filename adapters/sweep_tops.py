"""The best positions of a sweep, kept while its columns stream by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adapters.sweep_columns import (
    HEADLINE_METRICS,
    METRIC_SIGN,
    ColumnChunk,
    FloatArray,
    PointArray,
    SweepColumns,
)

TOP_ROWS = 1000
# A chunk is taken in pieces of this many positions: the piece stays in the cache, and after the
# first one only what beats the worst row kept is looked at again.
_PIECE = 16_384


@dataclass(frozen=True)
class TopRows:
    """The best eligible positions by one metric, best first.

    Attributes
    ----------
    positions, points : arrays of int64, shape (k,)
        Where they are in the sweep and in the search space.
    values : array of float64, shape (k, 13)
        Their `HEADLINE_METRICS`, NaN where undefined.
    """

    positions: PointArray
    points: PointArray
    values: FloatArray


class TopKeeper:
    """Keeps the `k` largest values that it has seen; among equals the lower position stays.

    Positions must come in increasing order. NaN never enters.
    """

    def __init__(self, k: int) -> None:
        self._k = k
        self._values: FloatArray = np.empty(0)
        self._positions: PointArray = np.empty(0, dtype=np.int64)
        self.n_seen = 0

    def add(self, first: int, values: FloatArray) -> None:
        """Offer the values of the positions from `first` on, float64 (n,)."""
        self.n_seen += len(values) - int(np.count_nonzero(np.isnan(values)))
        for start in range(0, len(values) if self._k else 0, _PIECE):
            self._add_piece(first + start, values[start : start + _PIECE])

    def _add_piece(self, first: int, values: FloatArray) -> None:
        if len(self._values) < self._k:
            entering = np.flatnonzero(~np.isnan(values))
        else:
            # Only strictly better ones: those that tie with the worst come later and lose.
            entering = np.flatnonzero(values > self._worst)
        if len(entering) == 0:
            return
        self._values = np.concatenate([self._values, values[entering]])
        self._positions = np.concatenate([self._positions, entering + first])
        if len(self._values) >= self._k:
            self._cut()

    def _cut(self) -> None:
        surplus = len(self._values) - self._k
        self._worst = float(np.partition(self._values, surplus)[surplus])
        above = self._values > self._worst
        tied = np.flatnonzero(self._values == self._worst)
        above[tied[: self._k - np.count_nonzero(above)]] = True
        self._values, self._positions = self._values[above], self._positions[above]

    def positions(self) -> PointArray:
        """Return the positions kept, int64 (<= k,), largest value first."""
        return self._positions[np.lexsort((self._positions, -self._values))]


def compute_tops(
    columns: SweepColumns, k: int = TOP_ROWS, min_trades: int = 0
) -> dict[str, TopRows]:
    """Return the best rows by each headline metric.

    Parameters
    ----------
    columns : SweepColumns
        The results; every metric is read twice, `n_trades` once more where `min_trades` asks.
    k : int
        Rows per metric.
    min_trades : int
        Positions with fewer closed trades do not compete.

    Returns
    -------
    dict of str to TopRows
        By metric, in the order of `HEADLINE_METRICS`.
    """
    eligibility = Eligibility(columns, min_trades)
    keepers = {name: TopKeeper(k) for name in HEADLINE_METRICS}
    for name, keeper in keepers.items():
        for chunk in columns.read([name]):
            values = eligibility.mask(chunk.first, chunk.columns[name])
            keeper.add(chunk.first, orient(values, METRIC_SIGN[name]))
    return gather_tops(columns, {name: keeper.positions() for name, keeper in keepers.items()})


class Eligibility:
    """Which positions have traded often enough, one bit of knowledge per position.

    Parameters
    ----------
    columns : SweepColumns
        The results; `n_trades` is read here if `min_trades` is positive, nothing otherwise.
    min_trades : int
        Fewest closed trades of an eligible position.
    """

    def __init__(self, columns: SweepColumns, min_trades: int) -> None:
        self._mask: NDArray[np.bool_] | None = None
        if min_trades <= 0:
            return
        self._mask = np.zeros(columns.n_positions, dtype=np.bool_)
        for chunk in columns.read(["n_trades"]):
            part = slice(chunk.first, chunk.first + len(chunk))
            self._mask[part] = chunk.columns["n_trades"] >= min_trades

    def mask(self, first: int, values: FloatArray) -> FloatArray:
        """Return `values` of the positions from `first` on, NaN where they are not eligible."""
        if self._mask is None:
            return values
        eligible = self._mask[first : first + len(values)]
        return values if eligible.all() else np.where(eligible, values, np.nan)


def orient(values: FloatArray, sign: int) -> FloatArray:
    """Return `values` such that the largest is the best."""
    return values if sign > 0 else -values


def gather_tops(columns: SweepColumns, positions: Mapping[str, PointArray]) -> dict[str, TopRows]:
    """Return all metrics of several lists of positions by name; reads every metric once."""
    wanted = np.unique(np.concatenate(list(positions.values())))
    points, values = gather_rows(columns, wanted)
    tops = {}
    for name, kept in positions.items():
        rows = np.searchsorted(wanted, kept)
        tops[name] = TopRows(kept, points[rows], values[rows])
    return tops


def gather_rows(columns: SweepColumns, positions: PointArray) -> tuple[PointArray, FloatArray]:
    """Return points, int64 (n,), and headline metrics, float64 (n, 13), of sorted positions.

    Metric after metric, so that no more than one column of a chunk is in memory at a time.
    """
    points = np.zeros(len(positions), dtype=np.int64)
    values = np.full((len(positions), len(HEADLINE_METRICS)), np.nan)
    if len(positions) == 0:
        return points, values
    for j, name in enumerate(HEADLINE_METRICS):
        for chunk, rows in _match_chunks(columns, [name], positions):
            local = positions[rows] - chunk.first
            values[rows, j] = chunk.columns[name][local]
            if j == 0:
                points[rows] = chunk.points[local]
    return points, values


def _match_chunks(
    columns: SweepColumns, names: Sequence[str], positions: PointArray
) -> Iterator[tuple[ColumnChunk, slice]]:
    for chunk in columns.read(names):
        start, stop = np.searchsorted(positions, [chunk.first, chunk.first + len(chunk)])
        if start < stop:
            yield chunk, slice(start, stop)
