"""What sweep hooks are built from: indicator rows that are kept, and events collected in batches.

A hook (`rules.base_rule.SignalPart`) gets its distinct indicator rows from `IndicatorRows`, then
turns rows and levels into events by one of the ``build_`` functions, all compiled and without the
GIL. A rule whose own kernel writes one signal needs no more than `collect_columns`.

Importing this module loads numba. Rules import it inside their hooks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from backtest.signal_events import SignalEvents
from rules import macd_lanes
from rules import sweep_kernels as kernels

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
RowIndex = NDArray[np.int32]

# Half of what rows may take: while one matrix is replaced by another both exist.
ROW_BYTES = 32 * 2**20

_NO_WEIGHT = np.empty(0)


class TooManyRows(Exception):
    """A batch of signals wants more rows at once than may be kept; halve the batch."""


class IndicatorRows:
    """Indicator arrays of one set of bars, each computed once per distinct window while it is kept.

    Rows of one kind lie in one matrix, which compiled loops index. A matrix that was handed out
    never changes but in rows that nobody was told of yet: to make room a new one is built. So
    threads share rows without copies, and a hook may use a matrix as long as it holds it. A hook
    that needs rows of one kind for two purposes asks for both in one call.

    Parameters
    ----------
    n_bars : int
        Length of a row.
    max_bytes : int
        What the matrices of all kinds take together, `max_rows` rows, but at least four.
    """

    def __init__(self, n_bars: int, max_bytes: int = ROW_BYTES) -> None:
        self.n_bars = n_bars
        self.max_rows = max(4, max_bytes // (8 * n_bars))
        self._lock = threading.Lock()
        # By kind, the one used last at the end: the matrix, and the row of each window in it.
        self._kinds: dict[str, tuple[FloatArray, dict[tuple[int, ...], int]]] = {}

    def get(
        self,
        kind: str,
        windows: NDArray[Any],
        fill: Callable[..., None],
        *,
        together: bool = False,
    ) -> tuple[FloatArray, RowIndex]:
        """Return a matrix of rows, and which row belongs to each window.

        Parameters
        ----------
        kind : str
            Names the indicator, for example ``"rsi"``.
        windows : ndarray of int64, shape (n,) or (k, n)
            One window per signal, or k numbers that a row depends on; repeated as often as wanted.
        fill : callable
            ``fill(window, out)``, or ``fill(*numbers, out)``, fills one row: numbers as int,
            `out` a float64 array of shape (n_bars,).
        together : bool
            ``fill`` takes several rows at once: numbers as int64 (m,), `out` as (m, n_bars).

        Returns
        -------
        rows : ndarray of float64, shape (n_rows, n_bars)
            C-contiguous; rows that the index does not name may hold anything.
        row_idx : ndarray of int32, shape (n,)

        Raises
        ------
        TooManyRows
            For more than `max_rows` distinct windows. Hooks let it pass: their caller asks for
            fewer signals at a time.
        """
        numbers = np.asarray(windows, dtype=np.int64)
        if numbers.ndim == 1:  # a tenth of the time of the general case
            singles, inverse = np.unique(numbers, return_inverse=True)
            distinct = singles[np.newaxis]
        else:
            distinct, inverse = np.unique(numbers, axis=1, return_inverse=True)
        if distinct.shape[1] > self.max_rows:
            raise TooManyRows(f"{distinct.shape[1]} rows of {kind}, room for {self.max_rows}")
        keys: list[tuple[int, ...]] = list(zip(*distinct.tolist(), strict=True))
        with self._lock:
            rows, places = self._make_room(kind, keys)
            missing = [key for key in keys if key not in places]
            if together and missing:
                first = len(places)
                fill(*np.array(missing).T, rows[first : first + len(missing)])
                places.update((key, first + i) for i, key in enumerate(missing))
            else:
                for key in missing:
                    row = len(places)
                    fill(*key, rows[row])
                    places[key] = row  # after the fill: one that raises leaves no row behind
            found = np.array([places[key] for key in keys], dtype=np.int32)
        return rows, found[inverse.reshape(-1)]

    def _make_room(
        self, kind: str, keys: list[tuple[int, ...]]
    ) -> tuple[FloatArray, dict[tuple[int, ...], int]]:
        """Return the matrix of a kind with room for the keys, and the rows it has already."""
        rows, places = self._kinds.pop(kind, (np.empty((0, self.n_bars)), {}))
        missing = sum(key not in places for key in keys)
        if len(places) + missing > rows.shape[0]:
            kept = list(places)
            if len(kept) + missing > self.max_rows:
                kept = [key for key in keys if key in places]
            needed = len(kept) + missing
            size = max(needed, min(2 * needed, self.max_rows))
            self._forget(self.max_rows - size)
            grown = np.empty((size, self.n_bars))
            for row, key in enumerate(kept):
                grown[row] = rows[places[key]]
            rows, places = grown, {key: row for row, key in enumerate(kept)}
        self._kinds[kind] = (rows, places)
        return rows, places

    def _forget(self, n_rows: int) -> None:
        """Drop kinds, longest unused first, until the others take at most `n_rows` rows."""
        for kind in list(self._kinds):
            if sum(rows.shape[0] for rows, _ in self._kinds.values()) <= n_rows:
                return
            del self._kinds[kind]


def collect_columns(
    n_bars: int, n_signals: int, fill: Callable[..., None], *, weighted: bool = False
) -> SignalEvents:
    """Collect the events of signals that a kernel fills one by one.

    Parameters
    ----------
    n_bars, n_signals : int
    fill : callable
        ``fill(i, out)`` writes signal i into `out`, int8 of shape (n_bars,), all HOLD before. With
        `weighted` it is ``fill(i, out, weight)`` with `weight` float64 of the same shape, all 1
        before.
    """
    weight = np.ones(n_bars)
    weights: list[FloatArray] = []

    def collect(first: int, buffers: _Buffers) -> int:
        signal = buffers.flags[:n_bars]
        for i in range(first, n_signals):
            start = buffers.offsets[i]
            if start + buffers.flags.size > buffers.bar.size:
                return i
            signal[:] = 0
            if weighted:
                weight[:] = 1.0
                fill(i, signal, weight)
            else:
                fill(i, signal)
            stop = kernels.append_events(
                buffers.flags, buffers.words, buffers.bar, buffers.code, start
            )
            buffers.offsets[i + 1] = stop
            if weighted:
                weights.append(weight[buffers.bar[start:stop]])
        return n_signals

    return _collect(n_bars, n_signals, collect, weights if weighted else None)


def build_level_crosses(
    rows: FloatArray, row_idx: RowIndex, levels: ArrayLike, signs: ArrayLike, code: ArrayLike
) -> SignalEvents:
    """Build the events of rows that cross levels; equal to `compute_crosses_above` and ``_below``.

    Parameters
    ----------
    rows : ndarray of float64, shape (n_rows, n_bars)
    row_idx : ndarray of int32, shape (n_signals,)
        Row of each signal.
    levels : array_like of float, shape (n_signals,) or ()
    signs : array_like of float, shape (n_signals,) or ()
        1.0 where crossing above speaks, -1.0 for below.
    code : array_like of int, shape (n_signals,) or ()
        What it says: BUY, SELL or EXIT.
    """
    n_signals = row_idx.size
    level, sign = _spread(levels, n_signals, np.float64), _spread(signs, n_signals, np.float64)
    says = _spread(code, n_signals, np.int8)
    return _collect(
        rows.shape[1],
        n_signals,
        lambda first, buffers: kernels.collect_level_crosses(
            rows, row_idx, level, sign, says, first, *buffers.arrays
        ),
    )


def build_row_crosses(rows: FloatArray, x_idx: RowIndex, y_idx: RowIndex) -> SignalEvents:
    """Build the events of pairs of rows: BUY where x crosses above y, SELL where below.

    Parameters
    ----------
    rows : ndarray of float64, shape (n_rows, n_bars)
    x_idx, y_idx : ndarray of int32, shape (n_signals,)
    """
    return _collect(
        rows.shape[1],
        x_idx.size,
        lambda first, buffers: kernels.collect_row_crosses(
            rows, x_idx, y_idx, first, *buffers.arrays
        ),
    )


def build_macd_crosses(
    close: FloatArray, fast: IntArray, slow: IntArray, signal: IntArray
) -> SignalEvents:
    """Build the events of MACD: BUY where it crosses above its signal line, SELL where below.

    Parameters
    ----------
    close : ndarray of float64, shape (n_bars,)
    fast, slow, signal : ndarray of int64, shape (n_signals,)
        Windows with fast <= slow, as `technical_indicators.compute_macd` takes them.
    """
    windows = np.ascontiguousarray(np.stack([fast, slow, signal]), dtype=np.int64)
    words = np.zeros((close.size, macd_lanes.N_LANES // 8), dtype=np.uint64)
    return _collect(
        close.size,
        windows.shape[1],
        lambda first, buffers: macd_lanes.collect_macd_crosses(
            close, windows, first, words.view(np.int8), words, *buffers.arrays[2:]
        ),
    )


def build_confirmed_onsets(
    extremes: tuple[FloatArray, RowIndex],
    levels: FloatArray,
    trends: tuple[FloatArray, RowIndex],
    side: float,
    lookbacks: IntArray,
) -> SignalEvents:
    """Build events where "trend on a side, and a recent extreme of another row" becomes true.

    Parameters
    ----------
    extremes, trends : tuple of ndarray
        Rows, and the row of each signal, as `IndicatorRows.get` returns them.
    levels : ndarray of float64, shape (n_signals,)
        At or below it (side 1.0), at or above it (-1.0) is extreme.
    side : float
        1.0 buys where the trend is above 0, -1.0 sells where it is below.
    lookbacks : ndarray of int64, shape (n_signals,)
        Bars for which an extreme counts, its own included.
    """
    return _collect(
        extremes[0].shape[1],
        levels.size,
        lambda first, buffers: kernels.collect_confirmed_onsets(
            *extremes, levels, *trends, side, lookbacks, first, *buffers.arrays
        ),
    )


class _Buffers:
    """What the ``collect_`` kernels write to; events grow, the scratch of one signal stays."""

    def __init__(self, n_bars: int, n_signals: int) -> None:
        self.words = np.zeros((n_bars + 7) // 8, dtype=np.uint64)
        self.flags = self.words.view(np.int8)
        self.offsets = np.zeros(n_signals + 1, dtype=np.int64)
        # Room for one signal that speaks on every bar, which a kernel wants before it starts one,
        # and for a hundredth of all bars in the others.
        size = self.flags.size + n_signals * (n_bars // 100 + 8)
        self.bar = np.empty(size, dtype=np.int32)
        self.code = np.empty(size, dtype=np.int8)

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        """In the order of the kernels."""
        return self.flags, self.words, self.offsets, self.bar, self.code

    def grow(self, n_events: int) -> None:
        """Keep the first `n_events`, and make room for as many again."""
        size = 2 * self.bar.size + self.flags.size
        for name in ("bar", "code"):
            old = getattr(self, name)
            grown = np.empty(size, dtype=old.dtype)
            grown[:n_events] = old[:n_events]
            setattr(self, name, grown)


def _collect(
    n_bars: int,
    n_signals: int,
    collect: Callable[[int, _Buffers], int],
    weights: list[FloatArray] | None = None,
) -> SignalEvents:
    """Call a ``collect_`` kernel until all signals are done; return their events without slack."""
    buffers = _Buffers(n_bars, n_signals)
    done = collect(0, buffers)
    while done < n_signals:
        buffers.grow(int(buffers.offsets[done]))
        done = collect(done, buffers)
    stop = int(buffers.offsets[-1])
    weight = np.concatenate([_NO_WEIGHT, *weights]) if weights is not None else _NO_WEIGHT
    return SignalEvents(
        buffers.offsets, buffers.bar[:stop].copy(), buffers.code[:stop].copy(), weight
    )


def _spread(values: ArrayLike, n_signals: int, dtype: Any) -> NDArray[Any]:
    array = np.asarray(values, dtype=dtype)
    return array if array.shape == (n_signals,) else np.full(n_signals, array, dtype=dtype)
