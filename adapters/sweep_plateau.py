"""The best neighbourhood of a sweep: a plateau beats a spike that luck may have made."""

from __future__ import annotations

from collections.abc import Callable
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
    build_scales,
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
    """

    def __init__(self, field: MetricField, scales: list[AxisScale]) -> None:
        self._field = field
        self._steps = [
            _build_step(scale, direction)
            for scale in scales
            if scale.axis.is_ordered and scale.n_values > 1
            for direction in (1, -1)
        ]
        self._sorted: PointArray | None = None
        self._order: PointArray | None = None
        if field.points is not None:
            self._sort(field.points)

    def _sort(self, points: PointArray) -> None:
        n = len(points)
        shift = n.bit_length()
        self._order, self._sorted = allocate(n, np.int64), allocate(n, np.int64)
        if int(points.max(initial=0)) >> (63 - shift):
            self._order[:] = np.argsort(points)
            np.take(points, self._order, out=self._sorted)
        else:
            # Sorted in place with the position in the low bits: half the memory, a third of the
            # time.
            np.left_shift(points, shift, out=self._sorted)
            self._sorted |= np.arange(n)
            self._sorted.sort()
            np.bitwise_and(self._sorted, (1 << shift) - 1, out=self._order)
            self._sorted >>= shift
        self.release()

    def release(self) -> None:
        """Let go of the memory of what was looked at; see `sweep_field.release`."""
        release(self._field.values, self._field.points, self._sorted, self._order)

    def order(self, first: int, stop: int) -> PointArray:
        """Return positions such that every one comes once and look-ups stay close together."""
        if self._order is None:
            return np.arange(first, stop)
        return self._order[first:stop]

    def score(self, positions: PointArray, bound: float = -np.inf) -> tuple[FloatArray, PointArray]:
        """Return the score of each position, and its number of neighbours.

        Parameters
        ----------
        positions : array of int64, shape (n,)
            Where to look.
        bound : float
            Oriented: scores that are surely worse need not be found and are NaN.

        Returns
        -------
        scores : array of float64, shape (n,)
            Oriented (larger is better); NaN without a neighbour, or where the position itself is
            not eligible.
        n_neighbours : array of int64, shape (n,)
        """
        own = self._field.orient(self._field.values[positions])
        around = [self._look(positions, step) for step in self._steps]
        n_around = np.zeros(len(positions), dtype=np.int64)
        n_good = (own >= bound).astype(np.int64)
        for values in around:
            n_around += ~np.isnan(values)
            n_good += values >= bound
        # A median reaches the bound only if at least half of its values do.
        worthy = np.isfinite(own) & (n_around > 0) & (2 * n_good >= n_around + 1)
        chosen = np.flatnonzero(worthy)
        scores = np.full(len(positions), np.nan)
        members = np.stack([own[chosen], *(values[chosen] for values in around)], axis=1)
        scores[chosen] = _compute_medians(members, n_around[chosen] + 1)
        return scores, n_around

    def _look(self, positions: PointArray, step: Callable[[PointArray], PointArray]) -> FloatArray:
        points = positions if self._field.points is None else self._field.points[positions]
        delta = step(points)
        found = self._find(points + delta)
        values = self._field.orient(self._field.values[found])
        return np.where((delta == 0) | (found < 0), np.nan, values)

    def _find(self, points: PointArray) -> PointArray:
        """Return the position of each point, -1 where it was not visited."""
        if self._sorted is None or self._order is None:
            return points
        at = np.minimum(np.searchsorted(self._sorted, points), len(self._sorted) - 1)
        return np.where(self._sorted[at] == points, self._order[at], -1)


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
    for first in range(0, len(field.values), _PIECE):
        positions = neighbourhood.order(first, min(first + _PIECE, len(field.values)))
        scores, n_around = neighbourhood.score(positions, max(bound, best))
        if first % (_PIECES_IN_MEMORY * _PIECE) == 0:
            neighbourhood.release()
        top = np.nanmax(np.append(scores, -np.inf))
        if top == -np.inf or top < best:
            continue
        tied = np.flatnonzero(scores == top)
        i = tied[positions[tied].argmin()]
        if top > best or positions[i] < position:
            best, position, n_neighbours = float(top), int(positions[i]), int(n_around[i])
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
