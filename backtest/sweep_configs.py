"""Configurations of a sweep as rows of numbers, the same bits as `EngineConfig.stream_args`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from backtest.engine_config import SIZE_TYPES, EngineConfig

FloatArray = NDArray[np.float64]

CONFIG_COLUMNS: tuple[str, ...] = (
    "initial_cash",
    "fee_rate",
    "fee_fixed",
    "slippage",
    "size",
    "size_type",
    "lot_size",
    "direction",
    "fill",
    "stop_loss",
    "take_profit",
    "trailing_stop",
    "cash_rate",
    "borrow_rate",
    "periods_per_year",
    "risk_free",
    "mar",
)
_CODES = ("size_type", "direction", "fill")
_RATES = ("cash_rate", "borrow_rate", "risk_free", "mar")


def build_config_matrix(base: EngineConfig, n: int, columns: Mapping[str, ArrayLike]) -> FloatArray:
    """Build the rows of `CONFIG_COLUMNS` for n configurations that differ in some fields.

    Parameters
    ----------
    base : EngineConfig
        What the columns do not name.
    n : int
        Number of configurations.
    columns : mapping of str to array_like, shape (n,)
        By field of `EngineConfig`: rates per year, NaN for a stop that is off, codes of
        `DIRECTIONS`, `FILLS` and `SIZE_TYPES` as numbers.

    Returns
    -------
    ndarray of float64, shape (n, 17)
        Row i holds `stream_args` of the i-th configuration, bit for bit: rates are per bar.

    Raises
    ------
    ValueError
        For an unknown field, a column of another length, or a value that `EngineConfig` refuses.
    """
    given = {name: _check_column(name, column, n) for name, column in columns.items()}
    matrix = np.empty((n, len(CONFIG_COLUMNS)))
    matrix[:] = np.array(base.stream_args, dtype=np.float64)
    if n == 0:
        return matrix
    for name, column in given.items():
        if name not in _RATES:
            _check_values(base, name, column)
            matrix[:, CONFIG_COLUMNS.index(name)] = column
    _check_sizes(base, matrix, given)
    for name in _RATES:
        if name in given or "periods_per_year" in given:
            matrix[:, CONFIG_COLUMNS.index(name)] = _convert_rates(base, name, given, n)
    return matrix


def _check_column(name: str, column: ArrayLike, n: int) -> FloatArray:
    """Return the column as numbers."""
    if name not in CONFIG_COLUMNS:
        raise ValueError(f"{name!r} is no field of EngineConfig: {', '.join(CONFIG_COLUMNS)}")
    values = np.asarray(column, dtype=np.float64)
    if values.shape != (n,):
        raise ValueError(f"{name} has shape {values.shape}: pass one value for each of {n}")
    return values


def _change(base: EngineConfig, **values: float) -> EngineConfig:
    """Return the configuration with other values, checked; codes may come as numbers."""
    kept = {item.name: getattr(base, item.name) for item in fields(EngineConfig) if item.init}
    for name in _CODES:
        if name in values and values[name] in (0.0, 1.0, 2.0):
            values[name] = int(values[name])
    return EngineConfig(**{**kept, **values})


def _check_values(base: EngineConfig, name: str, column: FloatArray) -> None:
    """Have `EngineConfig` check every distinct value, beside a size that goes with every unit."""
    beside: dict[str, float] = {}
    if name == "size":
        beside = {"size_type": SIZE_TYPES["value"]}
    elif name == "size_type":
        beside = {"size": 1.0}
    elif name == "periods_per_year":
        beside = dict.fromkeys(_RATES, 0.0)  # their own check is on the pairs that occur
    for value in np.unique(column).tolist():
        _change(base, **{**beside, name: value})


def _check_sizes(base: EngineConfig, matrix: FloatArray, given: Mapping[str, FloatArray]) -> None:
    """Refuse a percentage above 1; which sizes meet which unit shows only in the whole rows."""
    if not {"size", "size_type"} & given.keys():
        return
    size = matrix[:, CONFIG_COLUMNS.index("size")]
    size_type = matrix[:, CONFIG_COLUMNS.index("size_type")]
    wrong = np.flatnonzero((size_type == SIZE_TYPES["percent"]) & (size > 1.0))
    if wrong.size:
        _change(base, size=float(size[wrong[0]]), size_type=float(size_type[wrong[0]]))


def _convert_rates(
    base: EngineConfig, name: str, given: Mapping[str, FloatArray], n: int
) -> FloatArray:
    """Return a rate per bar of shape (n,), by `EngineConfig` for every distinct pair.

    numpy's power differs from Python's in the last place.
    """
    years, year_of = _find_distinct(base.periods_per_year, given.get("periods_per_year"), n)
    rates, rate_of = _find_distinct(getattr(base, name), given.get(name), n)
    pairs, pair_of = np.unique(rate_of * years.size + year_of, return_inverse=True)
    column = CONFIG_COLUMNS.index(name)
    neutral = dict.fromkeys(_RATES, 0.0)
    converted = [
        _change(
            base,
            **{**neutral, name: float(rates[pair // years.size])},
            periods_per_year=float(years[pair % years.size]),
        ).stream_args[column]
        for pair in pairs.tolist()
    ]
    return np.array(converted)[pair_of]


def _find_distinct(
    fixed: float, column: FloatArray | None, n: int
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Return the distinct values and, of shape (n,), the number of each row's."""
    if column is None:
        return np.array([fixed], dtype=np.float64), np.zeros(n, dtype=np.int64)
    values, inverse = np.unique(column, return_inverse=True)
    return values, inverse.astype(np.int64)
