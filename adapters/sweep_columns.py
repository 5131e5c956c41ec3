"""The results of a sweep as columns, read chunk by chunk: what every analysis works on.

Imported by the web tier: numpy and the standard library only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
PointArray = NDArray[np.int64]
StatusArray = NDArray[np.uint8]

# The engine's `HEADLINE_METRICS`, written again because the web tier must not import the engine;
# a test compares the two.
HEADLINE_METRICS: tuple[str, ...] = (
    "total_return",
    "cagr",
    "volatility",
    "sharpe",
    "sortino",
    "max_drawdown",
    "calmar",
    "win_rate",
    "profit_factor",
    "expectancy",
    "exposure",
    "turnover",
    "n_trades",
)
# +1 where more is better, -1 where less is; ranks and "best" everywhere follow it.
METRIC_SIGN: Mapping[str, int] = {
    name: -1 if name in ("volatility", "turnover") else 1 for name in HEADLINE_METRICS
}

# What a position of a sweep holds.
STATUS_OK = 0
STATUS_EXCLUDED = 1  # a constraint leaves the point out: no combination
STATUS_NOT_FINITE = 2  # equity beyond float64, the engine refuses
STATUS_RULE_FAILED = 3  # the rule raised
STATUS_REASONS = ("ok", "excluded", "not_finite", "rule_failed")


@dataclass(frozen=True, slots=True)
class Failures:
    """What of a sweep has no result, and why not.

    Parameters
    ----------
    n_combinations : int
        Combinations that failed one by one, in chunks that are done.
    ranges : sequence of (int, int)
        First position, and the one after the last, of every chunk that failed.
    """

    n_combinations: int = 0
    ranges: Sequence[tuple[int, int]] = ()

    @property
    def exist(self) -> bool:
        """Whether there is any."""
        return self.n_combinations > 0 or len(self.ranges) > 0


class ColumnChunk:
    """Consecutive positions of a sweep with the columns that were asked for.

    Parameters
    ----------
    first : int
        Position of the first entry.
    points : array of int64, shape (n,), or function that returns it
        Index of each position in the search space. A function is called at first use only, because
        most readers of a random sweep never ask for it.
    status : array of uint8, shape (n,)
        `STATUS_OK`, `STATUS_EXCLUDED`, ...
    columns : mapping of str to array of float64, shape (n,)
        Headline metrics by name; NaN where undefined, excluded or failed. Readers must not write
        into them.
    """

    __slots__ = ("_points", "columns", "first", "status")

    def __init__(
        self,
        first: int,
        points: PointArray | Callable[[], PointArray],
        status: StatusArray,
        columns: Mapping[str, FloatArray],
    ) -> None:
        self.first = first
        self._points = points
        self.status = status
        self.columns = columns

    def __len__(self) -> int:
        return len(self.status)

    @property
    def points(self) -> PointArray:
        """Index of each position in the search space, int64 (n,)."""
        if callable(self._points):
            self._points = self._points()
        return self._points


class SweepColumns(Protocol):
    """The results of a sweep, finished or as far as it has come.

    Positions are visited in increasing order; a sweep that is not finished may have gaps between
    chunks, so that `n_positions` is one more than the last position, not a count.
    """

    @property
    def n_positions(self) -> int:
        """Positions of the sweep: every `first + len(chunk)` is at most this."""
        ...

    def read(self, names: Sequence[str]) -> Iterator[ColumnChunk]:
        """Yield the chunks in position order with the metrics `names`; may be called again.

        `names` may be empty: status and points only.
        """
        ...


class MemoryColumns:
    """`SweepColumns` over arrays that are in memory.

    Parameters
    ----------
    points : array of int64, shape (n,)
        Index of each position in the search space.
    status : array of uint8, shape (n,)
        Status code of each position.
    metrics : mapping of str to array of float64, shape (n,)
        Every headline metric.
    chunk_size : int
        Positions per chunk.
    """

    def __init__(
        self,
        points: PointArray,
        status: StatusArray,
        metrics: Mapping[str, FloatArray],
        chunk_size: int = 65_536,
    ) -> None:
        self._points = points
        self._status = status
        self._metrics = metrics
        self._chunk_size = chunk_size

    @property
    def n_positions(self) -> int:
        """Number of positions."""
        return len(self._status)

    def read(self, names: Sequence[str]) -> Iterator[ColumnChunk]:
        """Yield views of the arrays, `chunk_size` positions at a time."""
        for first in range(0, self.n_positions, self._chunk_size):
            part = slice(first, first + self._chunk_size)
            yield ColumnChunk(
                first,
                self._points[part],
                self._status[part],
                {name: self._metrics[name][part] for name in names},
            )
