"""The points of a search space by number: mixed radix, the last axis runs fastest."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rules.constraint_intervals import Interval
from rules.constraints import Constraint
from rules.search_axes import Axis

INT64_MAX = 2**63 - 1
# A second of enumeration.
MAX_COUNTED = 10_000_000
_TILE = 1 << 16


@dataclass(frozen=True)
class SearchSpace(Sequence[dict[str, Any]]):
    """Every combination of the values of some axes, numbered, and which of them are admitted.

    Parameters
    ----------
    axes : tuple of Axis
        Dataset, rule parameters, trading settings; the last one runs fastest.
    constraints : tuple of Constraint
        All must hold; those that the rule declares included.
    fixed : mapping of str to value
        Every rule parameter and trading setting that is no axis.
    """

    axes: tuple[Axis, ...]
    constraints: tuple[Constraint, ...]
    fixed: Mapping[str, Any]

    @cached_property
    def n_points(self) -> int:
        """Points of the full grid, excluded ones included; also beyond what ``len`` may return."""
        return math.prod(axis.n_values for axis in self.axes)

    @cached_property
    def strides(self) -> tuple[int, ...]:
        """How far the index moves with one step on each axis."""
        sizes = [axis.n_values for axis in self.axes]
        return tuple(math.prod(sizes[i + 1 :]) for i in range(len(sizes)))

    def __len__(self) -> int:
        return self.n_points

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[i] for i in range(self.n_points))

    def __getitem__(self, point: Any) -> Any:
        """Return the values of a point by axis name; negative numbers count from the end."""
        if isinstance(point, slice):
            return [self[i] for i in range(*point.indices(self.n_points))]
        i = int(point) + self.n_points if point < 0 else int(point)
        if not 0 <= i < self.n_points:
            raise IndexError(f"the space has {self.n_points} points, none numbered {point}")
        return {
            axis.name: axis[i // stride % axis.n_values]
            for axis, stride in zip(self.axes, self.strides, strict=True)
        }

    def index(self, values: Any, start: int = 0, stop: int | None = None) -> int:
        """Return the number of a point.

        Parameters
        ----------
        values : mapping of str to value
            A value for every axis; fixed names may be given too, and must agree.
        start, stop : int
            As for any sequence: the range of numbers to accept.

        Raises
        ------
        ValueError
            If an axis has no value or not this one, or a name is unknown or fixed to another.
        """
        names = {axis.name for axis in self.axes}
        missing = names - values.keys()
        if missing:
            raise ValueError(f"{', '.join(sorted(missing))} must have a value")
        for name in values.keys() - names:
            if name not in self.fixed or self.fixed[name] != values[name]:
                raise ValueError(f"{name} = {values[name]!r} is not in the space")
        point = sum(
            axis.index(values[axis.name]) * stride
            for axis, stride in zip(self.axes, self.strides, strict=True)
        )
        if not start <= point < (self.n_points if stop is None else stop):
            raise ValueError(f"point {point} is not in the range")
        return point

    def digits(self, points: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the digit of each point on each axis, shape (n_axes, n)."""
        out = np.empty((len(self.axes), points.size), np.int64)
        for row in range(len(self.axes)):
            out[row] = self._compute_digits(row, points)
        return out

    def _compute_digits(self, row: int, points: NDArray[np.int64]) -> NDArray[np.int64]:
        stride, size = self.strides[row], self.axes[row].n_values
        if stride > INT64_MAX:  # no int64 reaches past the first value
            return np.zeros(points.shape, np.int64)
        quotient = points // stride if stride > 1 else points
        return quotient % size if row and size <= INT64_MAX else quotient

    @cached_property
    def live_constraints(self) -> tuple[Constraint, ...]:
        """The constraints that some point may break."""
        return tuple(
            found for found in self.constraints if found.decide(self.intervals) is not True
        )

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """Where each numeric name lies, for `Constraint.decide`."""
        found: dict[str, Interval] = {}
        for name, value in self.fixed.items():
            if value is None:
                found[name] = Interval(math.inf, -math.inf, True)
            elif isinstance(value, int | float) and not isinstance(value, bool):
                found[name] = Interval(float(value), float(value))
        for axis in self.axes:
            if axis.is_ordered:
                found[axis.name] = Interval(*axis.bounds, axis.has_off)
        return found

    def admitted(self, points: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which points meet every constraint, shape (n,)."""
        out = np.ones(points.shape, np.bool_)
        if not self.live_constraints:
            return out
        rows = self._rows_of(self.live_constraints)
        for first in range(0, points.size, _TILE):  # operands of a tile stay in the cache
            tile = points[first : first + _TILE]
            digits = {row: self._compute_digits(row, tile) for row in rows}
            out[first : first + _TILE] = self._evaluate(self.live_constraints, digits)
        return out

    def _rows_of(self, constraints: Sequence[Constraint]) -> list[int]:
        names = {name for constraint in constraints for name in constraint.names}
        return [row for row, axis in enumerate(self.axes) if axis.name in names]

    def _evaluate(
        self, constraints: Sequence[Constraint], digits: Mapping[int, NDArray[np.int64]]
    ) -> NDArray[np.bool_]:
        """Return where all `constraints` hold, given the digits on the axes that they read."""
        values: dict[str, Any] = {
            name: math.nan if value is None else value for name, value in self.fixed.items()
        }
        for row, axis_digits in digits.items():
            values[self.axes[row].name] = self.axes[row].values(axis_digits)
        holds = constraints[0].evaluate(values)
        for constraint in constraints[1:]:
            holds = holds & constraint.evaluate(values)
        return holds

    def count_admitted(self, limit: int = MAX_COUNTED) -> int | None:
        """Return how many points meet every constraint, exactly; None if that costs too much.

        Only axes that constraints tie together are enumerated, one tied group at a time, so that
        the cost does not depend on the other axes.

        Parameters
        ----------
        limit : int
            Most points of one group to enumerate, and most values of an axis to sort.
        """
        if any(found.decide(self.intervals) is False for found in self.constraints):
            return 0
        total, free = 1, set(range(len(self.axes)))
        too_large = False
        for rows, constraints in self._group():
            free -= set(rows)
            count = self._count_group(rows, constraints, limit)
            if count == 0:
                return 0
            too_large |= count is None
            total *= count or 1
        if too_large:
            return None
        return total * math.prod(self.axes[row].n_values for row in free)

    def _group(self) -> list[tuple[list[int], list[Constraint]]]:
        """Return the groups of axes that constraints tie together, with those constraints."""
        groups: list[tuple[set[int], list[Constraint]]] = []
        for constraint in self.live_constraints:
            rows, tied = set(self._rows_of([constraint])), [constraint]
            apart = []
            for other_rows, others in groups:
                if rows & other_rows:
                    rows, tied = rows | other_rows, others + tied
                else:
                    apart.append((other_rows, others))
            groups = [*apart, (rows, tied)]
        return [(sorted(rows), tied) for rows, tied in groups]

    def _count_group(self, rows: list[int], tied: list[Constraint], limit: int) -> int | None:
        sizes = [self.axes[row].n_values for row in rows]
        size = math.prod(sizes)
        if size > limit:
            pair = tied[0].simple_pair if len(rows) == 2 and len(tied) == 1 else None
            return self._count_pair(pair) if pair and max(sizes) <= limit else None
        count = 0
        for first in range(0, size, _TILE):
            cells = np.arange(first, min(first + _TILE, size), dtype=np.int64)
            digits = dict(zip(rows, np.unravel_index(cells, sizes), strict=True)) if rows else {}
            count += int(np.count_nonzero(self._evaluate(tied, digits)))
        return count

    def _count_pair(self, pair: tuple[str, str, bool]) -> int:
        """Count the pairs of two long axes with ``low < high``, or ``<=``, by sorting one."""
        low, high, or_equal = pair
        levels = {}
        for axis in self.axes:
            if axis.name in (low, high):
                found = axis.values(np.arange(axis.n_values, dtype=np.int64)).astype(np.float64)
                levels[axis.name] = found[~np.isnan(found)]
        below = np.searchsorted(
            np.sort(levels[low]), levels[high], side="right" if or_equal else "left"
        )
        return int(below.sum())
