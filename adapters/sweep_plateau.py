"""The best neighbourhood of a sweep: a plateau beats a spike that luck may have made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from adapters.sweep_columns import FloatArray, PointArray, SweepColumns
from adapters.sweep_field import (
    AxisScale,
    Block,
    MetricField,
    allocate,
    build_field,
    build_field_at,
    build_scales,
    iterate_scattered,
    release,
)

if TYPE_CHECKING:
    from rules.sweep_spec import SweepSpec

# The scores of the best values give a bound that spares nearly all other cells their median.
_N_SEEDS = 1000
_PIECE = 65_536
_PIECES_IN_MEMORY = 8


@dataclass(frozen=True)
class Plateau:
    """The position whose neighbourhood is best.

    Attributes
    ----------
    position, point : int
        Where it is in the sweep and in the search space.
    score : float
        Median of the objective over the cell and its neighbours.
    value : float
        The cell's own objective.
    n_neighbours : int
        How many neighbours the median counts, the cell itself left out.
    """

    position: int
    point: int
    score: float
    value: float
    n_neighbours: int


def find_plateau(
    columns: SweepColumns, spec: SweepSpec, objective: str, min_trades: int = 0
) -> dict[str, Any] | None:
    """Return the best neighbourhood as a dict, None without one; see `search_plateau`."""
    field = build_field(columns, spec, objective, min_trades)
    plateau = search_plateau(field, Neighbourhood(field, build_scales(spec.build_space())))
    return None if plateau is None else dict(vars(plateau))


class Neighbourhood:
    """Finds the values around each position: one step along one ordered axis.

    Levels are neighbours in their order, `off` beyond the largest. Unordered axes have none.
    Neighbours that are excluded, beyond the edge or not visited are left out; those that are not
    eligible count as the worst.

    Inside, a position has a `place`: its rank by point. On a grid the two are the same; elsewhere
    values are put in the order of places, so that neighbours lie close together in memory.
    """

    def __init__(self, field: MetricField, scales: list[AxisScale]) -> None:
        self._field = field
        self._steps = _build_steps(scales)
        self._values = field.values
        self._points: PointArray | None = None
        self._positions: PointArray | None = None
        if field.points is not None:
            self._points, self._positions = _sort_points(field.points)
            self._values = allocate(len(field.values), np.float64)
            for part in _split(len(field.values)):
                np.take(field.values, self._positions[part], out=self._values[part])
                release(self._values, self._positions)
            release(field.values)

    def release(self) -> None:
        """Let go of the memory of what was looked at; see `sweep_field.release`."""
        release(self._values, self._points, self._positions)

    def get_positions(self, places: PointArray) -> PointArray:
        """Return the position of each place."""
        return places if self._positions is None else self._positions[places]

    def score(self, positions: PointArray) -> tuple[FloatArray, PointArray]:
        """Return the oriented score of each position, and its number of neighbours.

        Parameters
        ----------
        positions : array of int64, shape (n,)
            Where to look.

        Returns
        -------
        scores : array of float64, shape (n,)
            Larger is better; NaN without a neighbour, or where the position is not eligible.
        n_neighbours : array of int64, shape (n,)
        """
        scores, n_neighbours = np.empty(len(positions)), np.empty(len(positions), dtype=np.int64)
        points, _ = self._field.look_up(positions)
        for part in iterate_scattered(len(points), self._values, self._points):
            places = points[part]
            if self._points is not None:
                places = np.searchsorted(self._points, places)
            scores[part], n_neighbours[part] = self.score_places(places)
        return scores, n_neighbours

    def score_places(
        self, places: PointArray, bound: float = -np.inf
    ) -> tuple[FloatArray, PointArray]:
        """Return as `score` does for places; scores surely below `bound` may be NaN."""
        own = self._field.orient(self._values[places])
        around = [self._look(places, step) for step in self._steps]
        n_around = np.zeros(len(places), dtype=np.int64)
        n_good = (own >= bound).astype(np.int64)
        for values in around:
            n_around += ~np.isnan(values)
            n_good += values >= bound
        # A median reaches the bound only if at least half of its values do.
        worthy = np.isfinite(own) & (n_around > 0) & (2 * n_good >= n_around + 1)
        chosen = np.flatnonzero(worthy)
        scores = np.full(len(places), np.nan)
        members = np.stack([own[chosen], *(values[chosen] for values in around)], axis=1)
        scores[chosen] = _compute_medians(members, n_around[chosen] + 1)
        return scores, n_around

    def _look(self, places: PointArray, step: Callable[[PointArray], PointArray]) -> FloatArray:
        points = places if self._points is None else self._points[places]
        delta = step(points)
        found = points + delta
        missing = delta == 0
        if self._points is not None:
            wanted = found
            found = np.minimum(np.searchsorted(self._points, wanted), len(self._points) - 1)
            missing |= self._points[found] != wanted
        return np.where(missing, np.nan, self._field.orient(self._values[found]))


def compute_near(
    columns: SweepColumns, spec: SweepSpec, points: PointArray, min_trades: int = 0
) -> FloatArray:
    """Return the neighbourhood's median of the objective of some combinations.

    Reads the objective once and keeps of it what lies around `points`, so that a page of a ranking
    costs little memory whatever the sweep's size.

    Parameters
    ----------
    columns : SweepColumns
        The results; neighbours that are not computed yet are left out of the median.
    points : array of int64, shape (n,)
        Indexes of combinations in the search space.
    min_trades : int
        Combinations with fewer closed trades count as the worst.

    Returns
    -------
    array of float64, shape (n,)
        NaN without a neighbour, where the combination is not eligible, and where most of its
        neighbourhood is not.
    """
    if len(points) == 0:
        return np.empty(0)
    scales = build_scales(spec.build_space())
    steps = _build_steps(scales)
    wanted = np.unique(np.concatenate([points, *(points + step(points) for step in steps)]))
    field = build_field_at(columns, spec, spec.objective, wanted, min_trades)
    scores, _ = Neighbourhood(field, scales).score(np.searchsorted(wanted, points))
    scores[~np.isfinite(scores)] = np.nan
    return scores * field.sign


def _build_steps(scales: list[AxisScale]) -> list[Callable[[PointArray], PointArray]]:
    return [
        _build_step(scale, direction)
        for scale in scales
        if scale.axis.is_ordered and scale.n_values > 1
        for direction in (1, -1)
    ]


def _sort_points(points: PointArray) -> tuple[PointArray, PointArray]:
    """Return the points in rising order, and the position of each."""
    n = len(points)
    ordered, positions = allocate(n, np.int64), allocate(n, np.int64)
    shift = n.bit_length()
    if int(points.max(initial=0)) >> (63 - shift):
        positions[:] = np.argsort(points)
        np.take(points, positions, out=ordered)
        return ordered, positions
    # Sorted in place with the position in the low bits: half the memory, a third of the time.
    for part in _split(n):
        ordered[part] = (points[part] << shift) | np.arange(part.start, part.stop)
        release(points)
    ordered.sort()
    for part in _split(n):
        positions[part] = ordered[part] & ((1 << shift) - 1)
        ordered[part] >>= shift
        release(ordered, positions)
    return ordered, positions


def _split(n: int) -> Iterator[slice]:
    return (slice(first, min(first + _PIECE, n)) for first in range(0, n, _PIECE))


def _build_step(scale: AxisScale, direction: int) -> Callable[[PointArray], PointArray]:
    """Return a function from points to the way to their neighbour on an axis, 0 where none is."""
    order = scale.order
    if order is None:  # too long to sort: levels as they were written

        def step_evenly(points: PointArray) -> PointArray:
            target = scale.digits(points) + direction
            return np.where((target >= 0) & (target < scale.n_values), direction * scale.stride, 0)

        return step_evenly
    way = np.zeros(scale.n_values, dtype=np.int64)
    here, there = (order[:-1], order[1:]) if direction > 0 else (order[1:], order[:-1])
    way[here] = (there - here) * scale.stride
    return lambda points: way[scale.digits(points)]


def search_plateau(field: MetricField, neighbourhood: Neighbourhood) -> Plateau | None:
    """Return the eligible position with the best score, the lowest of equals.

    None where no eligible position has a neighbour, or where all neighbourhoods count as the worst.
    """
    best, position, n_neighbours = -np.inf, -1, 0
    bound = np.nanmax(np.append(neighbourhood.score(_find_seeds(field))[0], -np.inf))
    for part in _split(len(field.values)):
        places = np.arange(part.start, part.stop)
        scores, n_around = neighbourhood.score_places(places, max(bound, best))
        if part.start % (_PIECES_IN_MEMORY * _PIECE) == 0:
            neighbourhood.release()
        top = np.nanmax(np.append(scores, -np.inf))
        if top == -np.inf or top < best:
            continue
        tied = np.flatnonzero(scores == top)
        positions = neighbourhood.get_positions(places[tied])
        i = positions.argmin()
        if top > best or positions[i] < position:
            best, position, n_neighbours = float(top), int(positions[i]), int(n_around[tied[i]])
    if position < 0:
        return None
    return Plateau(
        position,
        field.get_point(position),
        best * field.sign,
        float(field.values[position]),
        n_neighbours,
    )


def _find_seeds(field: MetricField) -> PointArray:
    kept_values, kept = np.empty(0), np.empty(0, dtype=np.int64)
    for block in field.blocks():
        values, positions = _select_best(field, block)
        kept_values = np.concatenate([kept_values, values])
        kept = np.concatenate([kept, positions])
        if len(kept) > _N_SEEDS:
            best = np.argpartition(kept_values, -_N_SEEDS)[-_N_SEEDS:]
            kept_values, kept = kept_values[best], kept[best]
    return kept


def _select_best(field: MetricField, block: Block) -> tuple[FloatArray, PointArray]:
    oriented = field.orient(block.values)
    positions = np.flatnonzero(np.isfinite(oriented))
    values = oriented[positions]
    if len(values) > _N_SEEDS:
        best = np.argpartition(values, -_N_SEEDS)[-_N_SEEDS:]
        values, positions = values[best], positions[best]
    return values, positions + block.first


def _compute_medians(members: FloatArray, n_members: PointArray) -> FloatArray:
    """Return the median of each row's first values; NaN pads, float64 (n, m), n_members >= 1."""
    ordered = np.sort(members, axis=1)  # NaN sorts last
    rows = np.arange(len(ordered))
    low, high = ordered[rows, (n_members - 1) // 2], ordered[rows, n_members // 2]
    return (low + high) / 2
