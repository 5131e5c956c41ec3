"""One dataset of a sweep: its bars as used, its signals, and the settings they are traded with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from adapters.sweep_columns import STATUS_NOT_FINITE, STATUS_RULE_FAILED
from backtest.bars import Bars, DataWarning
from backtest.engine_config import (
    DIRECTIONS,
    FILLS,
    SIZE_TYPES,
    EngineConfig,
    build_engine_config,
)
from rules.base_rule import BaseRule
from rules.spec import DatasetRef
from tasks.compute import merge_warnings, use_bars
from tasks.sweep_signals import AxisGroup, RuleSignals

if TYPE_CHECKING:
    from rules.search_axes import Axis
    from rules.sweep_spec import SweepSpec

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
StatusArray = NDArray[np.uint8]

_CODES = {"direction": DIRECTIONS, "fill": FILLS, "size_type": SIZE_TYPES}
# Fewer trading settings than this are built once.
_MAX_KEPT_CONFIGS = 4096
# Events of one call; a tile with more is halved.
_CALL_BYTES = 64 * 2**20


class SweepMarket:
    """Computes combinations on one dataset; threads may share one.

    Parameters
    ----------
    dataset : DatasetRef
        One of the spec's.
    bars : Bars
        The whole dataset as stored.

    Raises
    ------
    InputError
        If the date range of the sweep holds no bars.
    """

    def __init__(self, spec: SweepSpec, rule: BaseRule, dataset: DatasetRef, bars: Bars) -> None:
        from backtest.sweep import build_sweep_bars
        from rules.sweep_hooks import IndicatorRows

        self._bars = use_bars(bars, dataset, spec.start, spec.end)
        self._sweep_bars = build_sweep_bars(self._bars)
        space = spec.build_space()
        rows = IndicatorRows(self._bars.n_bars)
        n_points = space.n_points // len(spec.datasets)
        self._signals = RuleSignals(rule, space.axes, space.fixed, self._bars, rows, n_points)
        base = build_engine_config(spec.trading.model_dump(), self._bars.periods_per_year)
        self._configs = TradingConfigs(base, self._bars.periods_per_year, space.axes)

    @property
    def n_bars(self) -> int:
        """Bars as used."""
        return self._bars.n_bars

    def collect_warnings(self, from_file: Sequence[DataWarning]) -> list[DataWarning]:
        """Return what a run on these bars would warn about."""
        return merge_warnings(from_file, self._bars)

    def compute(self, digits: IntArray) -> tuple[FloatArray, StatusArray]:
        """Compute combinations.

        Parameters
        ----------
        digits : ndarray of int64, shape (n_axes, n)
            Of admitted points, each on every axis of the space.

        Returns
        -------
        metrics : ndarray of float64, shape (n, 13)
        status : ndarray of uint8, shape (n,)
        """
        from backtest.sweep import compute_combinations

        found = self._signals.find(digits)
        n = digits.shape[1]
        is_large = found is None or sum(table.n_bytes for table, _ in found) > _CALL_BYTES
        if found is None or (n > 1 and is_large):
            halves = [self.compute(half) for half in (digits[:, : n // 2], digits[:, n // 2 :])]
            metrics, status = (np.concatenate(pair) for pair in zip(*halves, strict=True))
            return metrics, status
        configs, config_idx, refused = self._configs.find(digits)
        first, first_idx = found[0]
        second, second_idx = found[1] if len(found) > 1 else (None, None)
        metrics, status = compute_combinations(
            self._sweep_bars,
            first.events,
            first_idx,
            second.events if second else None,
            second_idx,
            configs,
            config_idx,
        )
        if refused is not None:
            _mark(metrics, status, refused[config_idx], STATUS_NOT_FINITE)
        for table, idx in found:
            if table.failed.any():
                _mark(metrics, status, table.failed[idx], STATUS_RULE_FAILED)
        # As in `compute_metrics`: a sum can overflow on legal prices, undefined is never infinity.
        metrics[np.isinf(metrics)] = np.nan
        return metrics, status


class TradingConfigs:
    """Rows of engine settings for the trading axes of a space.

    Parameters
    ----------
    base : EngineConfig
        What is not swept.
    periods_per_year : float
        Of the bars, for combinations that do not say.
    axes : sequence of Axis
        All axes of the space.
    """

    def __init__(self, base: EngineConfig, periods_per_year: float, axes: Sequence[Axis]) -> None:
        self._base, self._periods_per_year = base, periods_per_year
        names = [axis.name for axis in axes if axis.group == "trading"]
        self._group = AxisGroup(axes, names, {}, {})
        self._kept = (
            self._build(np.arange(self._group.size))
            if self._group.size <= _MAX_KEPT_CONFIGS
            else None
        )

    def find(
        self, digits: IntArray
    ) -> tuple[FloatArray, NDArray[np.int32], NDArray[np.bool_] | None]:
        """Return rows of settings, the row of each column of `digits`, and rows that are refused.

        None are refused if the last is None; a refused row holds settings of others.
        """
        numbers = self._group.number(digits)
        if self._kept is not None:
            return self._kept[0], numbers.astype(np.int32), self._kept[1]
        distinct, row_of = np.unique(numbers, return_inverse=True)
        matrix, refused = self._build(distinct)
        return matrix, row_of.astype(np.int32), refused

    def _build(self, numbers: IntArray) -> tuple[FloatArray, NDArray[np.bool_] | None]:
        from backtest.sweep import build_config_matrix

        columns = {
            name: self._encode(name, values)
            for name, values in self._group.build_columns(numbers).items()
        }
        try:
            return build_config_matrix(self._base, numbers.size, columns), None
        except ValueError:
            pass
        # Some are refused, for example a rate without finite rate per bar: find out which.
        matrix = build_config_matrix(self._base, numbers.size, {})
        refused = np.zeros(numbers.size, np.bool_)
        for i in range(numbers.size):
            try:
                row = {name: column[i : i + 1] for name, column in columns.items()}
                matrix[i] = build_config_matrix(self._base, 1, row)[0]
            except ValueError:
                refused[i] = True
        return matrix, refused

    def _encode(self, name: str, values: NDArray[Any]) -> FloatArray:
        """Return a column of settings as the numbers that the engine takes."""
        if name in _CODES:
            codes = _CODES[name]
            return np.array([codes[value] for value in values.tolist()], dtype=np.float64)
        numbers = values.astype(np.float64)
        if name == "periods_per_year":
            numbers[np.isnan(numbers)] = self._periods_per_year
        return numbers


def _mark(metrics: FloatArray, status: StatusArray, where: NDArray[np.bool_], code: int) -> None:
    metrics[where] = np.nan
    status[where] = code
