"""In which order a sweep visits the points of its space, without a list of them.

A random subset is the head of a permutation of the whole space. The permutation is a Feistel
network over pairs (left, right), walked until it lands inside the space, in 64-bit whole numbers
only, so that it is the same on every machine and with every numpy. Published: J. Black and
P. Rogaway, Ciphers with Arbitrary Finite Domains, CT-RSA 2002.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Method = Literal["grid", "random", "adaptive"]

_N_ROUNDS = 6
_MASK = 2**64 - 1
# Sebastiano Vigna's splitmix64: the golden ratio's increment and the finaliser's multipliers.
_INCREMENT = 0x9E3779B97F4A7C15
_MULTIPLIER_1 = 0xBF58476D1CE4E5B9
_MULTIPLIER_2 = 0x94D049BB133111EB
_SCAN_LENGTH = 1 << 16


@dataclass(frozen=True, slots=True)
class Permutation:
    """A permutation of [0, n_points) that depends on a seed and stores nothing.

    Parameters
    ----------
    n_points : int
        1 to 2**63 - 1.
    seed : int
        Any whole number; taken modulo 2**64.
    """

    n_points: int
    seed: int

    def apply(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the points at `positions`, both in [0, n_points), shape (n,)."""
        n_left = math.isqrt(self.n_points - 1) + 1
        n_right = -(-self.n_points // n_left)
        keys = self._build_keys()
        points = self._scramble(positions.astype(np.uint64), n_left, n_right, keys)
        outside = np.flatnonzero(points >= np.uint64(self.n_points))
        while outside.size:  # the domain is larger by less than n_left points
            points[outside] = self._scramble(points[outside], n_left, n_right, keys)
            outside = outside[points[outside] >= np.uint64(self.n_points)]
        return points.astype(np.int64)

    def _build_keys(self) -> list[np.uint64]:
        state, keys = self.seed & _MASK, []
        for _ in range(_N_ROUNDS):
            state = (state + _INCREMENT) & _MASK
            keys.append(np.uint64(_mix_int(state)))
        return keys

    @staticmethod
    def _scramble(
        points: NDArray[np.uint64], n_left: int, n_right: int, keys: list[np.uint64]
    ) -> NDArray[np.uint64]:
        """Add to each half in turn what a hash makes of the other half."""
        left, right = np.divmod(points, np.uint64(n_right))
        for i, key in enumerate(keys):
            if i % 2:
                right = (right + _mix(left + key) % np.uint64(n_right)) % np.uint64(n_right)
            else:
                left = (left + _mix(right + key) % np.uint64(n_left)) % np.uint64(n_left)
        return left * np.uint64(n_right) + right


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return splitmix64's finaliser of each value; arrays wrap around without a warning."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(_MULTIPLIER_1)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(_MULTIPLIER_2)
    return values ^ (values >> np.uint64(31))


def _mix_int(value: int) -> int:
    value = ((value ^ (value >> 30)) * _MULTIPLIER_1) & _MASK
    value = ((value ^ (value >> 27)) * _MULTIPLIER_2) & _MASK
    return value ^ (value >> 31)


@dataclass(frozen=True, slots=True)
class VisitOrder:
    """Which point a sweep visits at which position; memory does not depend on their number.

    Parameters
    ----------
    method : {"grid", "random", "adaptive"}
        Grid: position is point. Random: the head of a permutation. Adaptive: points are chosen as
        results come in, see `adaptive_search`.
    n_points : int
        Points of the space.
    n_positions : int
        How many the sweep visits, excluded ones included; for adaptive the largest number of
        trials.
    seed : int
        Of the permutation.
    n_combinations : int or None
        Admitted points among those visited; None if only the sweep itself can tell.
    """

    method: Method
    n_points: int
    n_positions: int
    seed: int = 0
    n_combinations: int | None = None

    def points(self, first: int, stop: int) -> NDArray[np.int64]:
        """Return the points at positions [first, stop), shape (stop - first,).

        Raises
        ------
        ValueError
            If the range leaves the positions, or the search is adaptive.
        """
        if not 0 <= first <= stop <= self.n_positions:
            raise ValueError(f"positions {first}:{stop} are not within 0:{self.n_positions}")
        if self.method == "adaptive":
            raise ValueError("an adaptive search chooses its points from results; ask it")
        positions = np.arange(first, stop, dtype=np.int64)
        if self.method == "grid":
            return positions
        return Permutation(self.n_points, self.seed).apply(positions)


def count_positions(
    order: VisitOrder, admit: Callable[[NDArray[np.int64]], NDArray[np.bool_]], n_wanted: int
) -> tuple[int, int]:
    """Walk an order until `n_wanted` admitted points are found, or it ends.

    Returns
    -------
    n_positions : int
        Positions up to and including the last admitted point that is wanted.
    n_found : int
        Admitted points among them.
    """
    n_found = 0
    for first in range(0, order.n_positions, _SCAN_LENGTH):
        stop = min(first + _SCAN_LENGTH, order.n_positions)
        admitted = np.flatnonzero(admit(order.points(first, stop)))
        if n_found + admitted.size >= n_wanted:
            return first + int(admitted[n_wanted - n_found - 1]) + 1, n_wanted
        n_found += admitted.size
    return order.n_positions, n_found
