"""Headline metrics of many combinations of one dataset, equal to the engine's up to rounding."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtest.bars import Bars
from backtest.engine_kernels import inspect_kernel
from backtest.headline import N_HEADLINE
from backtest.signal_events import SignalEvents, build_events
from backtest.sweep_configs import CONFIG_COLUMNS, build_config_matrix
from backtest.sweep_kernels import compute_kernel
from backtest.sweep_tables import build_extremes, build_sums, find_stretch
from backtest.sweep_walk import STATE_SIZE

__all__ = [
    "CONFIG_COLUMNS",
    "STATUS_NOT_FINITE",
    "STATUS_OK",
    "SweepBars",
    "build_config_matrix",
    "build_sweep_bars",
    "compute_combinations",
]

FloatArray = NDArray[np.float64]

STATUS_OK, STATUS_NOT_FINITE = 0, 2

# float64 in a cache line: threads whose scratch arrays share one wait for each other.
_LINE = 8
_N_KEPT = 8  # tables of sums, 4 MB a million bars each
_MAR = CONFIG_COLUMNS.index("mar")
_EXPOSURE = 10  # the metric that is defined unless equity is beyond float64


class SweepBars:
    """Prices that combinations are run on.

    Parameters
    ----------
    open, high, low, close : ndarray of float64, shape (n_bars,)
        As `engine.stream_engine` takes them.

    Raises
    ------
    ValueError
        For prices that the engine refuses.
    """

    def __init__(
        self,
        open: FloatArray,  # noqa: A002  # the column's name everywhere
        high: FloatArray,
        low: FloatArray,
        close: FloatArray,
    ) -> None:
        columns = []
        for column in (open, high, low, close):
            array = np.ascontiguousarray(column, dtype=np.float64).view()
            if array.ndim != 1 or array.shape != np.shape(close) or array.size == 0:
                raise ValueError(f"prices have shapes {array.shape} and {np.shape(close)}")
            array.flags.writeable = False
            columns.append(array)
        self.open, self.high, self.low, self.close = columns
        signal, weight = np.empty(0, np.int8), np.empty(0)
        if inspect_kernel(self.open, self.high, self.low, self.close, signal, weight)[1]:
            raise ValueError("prices must be finite and above 0, high and low the outermost")

        self._lock = threading.Lock()
        self._extremes: tuple[FloatArray, NDArray[np.uint8]] | None = None
        self._sums: OrderedDict[float, FloatArray] = OrderedDict()

    @property
    def n_bars(self) -> int:
        """Number of bars."""
        return int(self.close.size)

    def build_tables(self, mar: float) -> tuple[FloatArray, FloatArray, NDArray[np.uint8]]:
        """Return the arrays of `sweep_tables.Tables`, built once and shared by threads.

        Parameters
        ----------
        mar : float
            Minimum acceptable return per bar.
        """
        with self._lock:
            if self._extremes is None:
                self._extremes = build_extremes(self.close)
            if mar not in self._sums:
                self._sums[mar] = build_sums(self.close, mar)
            self._sums.move_to_end(mar)
            while len(self._sums) > _N_KEPT:
                self._sums.popitem(last=False)
            return self._sums[mar], *self._extremes


def build_sweep_bars(bars: Bars) -> SweepBars:
    """Build what a sweep over these bars, adjusted and filtered as it uses them, shares."""
    return SweepBars(bars.open, bars.high, bars.low, bars.close)


def compute_combinations(
    bars: SweepBars,
    first: SignalEvents,
    first_idx: NDArray[np.int32],
    second: SignalEvents | None,
    second_idx: NDArray[np.int32] | None,
    configs: FloatArray,
    config_idx: NDArray[np.int32],
) -> tuple[FloatArray, NDArray[np.uint8]]:
    """Compute the headline metrics of n combinations.

    Parameters
    ----------
    bars : SweepBars
    first, second : SignalEvents
        Tables of signals; a combination trades the union of one signal of each, and a bar in
        both holds. `second` may be None.
    first_idx, second_idx : ndarray of int32, shape (n,)
        Which signal of each table.
    configs : ndarray of float64, shape (m, 17)
        From `build_config_matrix`.
    config_idx : ndarray of int32, shape (n,)
        Row of `configs`.

    Returns
    -------
    metrics : ndarray of float64, shape (n, 13)
        `engine.HEADLINE_METRICS`, NaN where undefined; each within 1e-12, absolute or relative, of
        `engine.stream_engine` (1e-9 on wild series of tens of thousands of bars, see decision
        0013). The bits of a combination depend on nothing but itself.
    status : ndarray of uint8, shape (n,)
        0, or 2 where equity is beyond float64: all of its metrics are NaN.

    Raises
    ------
    ValueError
        For an index out of range, or events that are no signal of these bars.
    """
    if second is None or second_idx is None:
        second, second_idx = build_events(np.empty(0, np.int8)), np.zeros(first_idx.size, np.int32)
    if not first_idx.size == second_idx.size == config_idx.size:
        raise ValueError("first_idx, second_idx and config_idx must have the same length")
    first_table = _check_table("first", first, first_idx, bars.n_bars)
    second_table = _check_table("second", second, second_idx, bars.n_bars)
    config_table = _check_configs(configs, config_idx)
    out = np.empty((first_idx.size, N_HEADLINE))
    n_weights = bars.n_bars if first.weight.size or second.weight.size else 0
    n_states = 1 if find_stretch(bars.n_bars) == bars.n_bars else first_idx.size
    scratch = (
        np.empty(2 * bars.n_bars + 1, np.int32),
        np.empty(2 * bars.n_bars + 1, np.int8),
        np.empty(2 * n_weights),
        np.empty(bars.n_bars, np.int8),
        np.empty(n_weights),
        np.empty((first.n_signals, 2), np.int64),
        np.empty((second.n_signals, 2), np.int64),
        _allocate_states(n_states),
    )
    for mar, chosen in _group_by_mar(config_table[0][:, _MAR], config_table[1]):
        arguments: tuple[Any, ...] = (
            *(bars.open, bars.high, bars.low, bars.close),
            *first_table,
            *second_table,
            *config_table,
            chosen,
            *bars.build_tables(mar),
            *scratch,
            out,
        )
        compute_kernel(*arguments)
    status = np.where(np.isnan(out[:, _EXPOSURE]), STATUS_NOT_FINITE, STATUS_OK).astype(np.uint8)
    out[status != STATUS_OK] = math.nan
    return out, status


def _allocate_states(n: int) -> FloatArray:
    """Return scratch of shape (n, STATE_SIZE) from one cache line on, with one to spare behind."""
    spare = np.empty(n * STATE_SIZE + 2 * _LINE)
    first = -(spare.ctypes.data // spare.itemsize) % _LINE
    return spare[first : first + n * STATE_SIZE].reshape(n, STATE_SIZE)


def _group_by_mar(
    mars: FloatArray, config_idx: NDArray[np.int32]
) -> Iterator[tuple[float, NDArray[np.int64]]]:
    """Yield every minimum acceptable return and the combinations that have it: one table each."""
    of_combination = mars[config_idx]
    for mar in np.unique(of_combination).tolist():
        yield mar, np.flatnonzero(of_combination == mar)


def _freeze(array: NDArray[Any], dtype: type[np.generic]) -> NDArray[Any]:
    """Return a contiguous read-only view: kernels are compiled for that, once."""
    view = np.ascontiguousarray(array, dtype=dtype).view()
    view.flags.writeable = False
    return view


def _check_table(
    name: str, events: SignalEvents, idx: NDArray[np.int32], n_bars: int
) -> tuple[NDArray[Any], ...]:
    """Return a table's arrays as kernels take them; raise ValueError where they would read beyond.

    The order of a signal's bars is the table's promise.
    """
    if idx.size and not 0 <= idx.min() <= idx.max() < events.n_signals:
        raise ValueError(f"{name}_idx must be in [0, {events.n_signals})")
    if events.bar.size and not 0 <= events.bar.min() <= events.bar.max() < n_bars:
        raise ValueError(f"{name}: events lie outside of the {n_bars} bars")
    return (
        _freeze(events.offsets, np.int64),
        _freeze(events.bar, np.int32),
        _freeze(events.code, np.int8),
        _freeze(events.weight, np.float64),
        _freeze(idx, np.int32),
    )


def _check_configs(configs: FloatArray, idx: NDArray[np.int32]) -> tuple[NDArray[Any], ...]:
    """Return the configurations as kernels take them."""
    if configs.ndim != 2 or configs.shape[1] != len(CONFIG_COLUMNS):
        raise ValueError(f"configs have shape {configs.shape}: pass those of build_config_matrix")
    if idx.size and not 0 <= idx.min() <= idx.max() < len(configs):
        raise ValueError(f"config_idx must be in [0, {len(configs)})")
    return _freeze(configs, np.float64), _freeze(idx, np.int32)
