"""What a run of the engine depends on besides its data."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

DIRECTIONS = {"long_only": 0, "long_short": 1, "short_only": 2}
FILLS = {"next_open": 0, "same_close": 1, "worst_of_bar": 2}
SIZE_TYPES = {"percent": 0, "value": 1, "shares": 2}

_TINY, _HUGE = math.nextafter(0.0, 1.0), sys.float_info.max
_BELOW_ONE, _ABOVE_LOSS = math.nextafter(1.0, 0.0), math.nextafter(-1.0, 0.0)
_ABOVE_ZERO = (_TINY, _HUGE, "finite and above 0")
_NOT_NEGATIVE = (0.0, _HUGE, "finite and not negative")
_SHARE = (0.0, _BELOW_ONE, "a fraction in [0, 1)")
_STOP = (_TINY, _BELOW_ONE, "a fraction above 0 and below 1, or NaN for off")
_RATE = (_ABOVE_LOSS, _HUGE, "finite and above -1")
_OPTIONAL = ("stop_loss", "take_profit", "trailing_stop")
_RANGES: dict[str, tuple[float, float, str]] = {
    "initial_cash": _ABOVE_ZERO,
    "fee_rate": _SHARE,
    "fee_fixed": _NOT_NEGATIVE,
    "slippage": _SHARE,
    "size": _ABOVE_ZERO,
    "lot_size": _NOT_NEGATIVE,
    "stop_loss": _STOP,
    "take_profit": (_TINY, _HUGE, "finite and above 0, or NaN for off"),
    "trailing_stop": _STOP,
    "cash_rate": _RATE,
    "borrow_rate": _RATE,
    "periods_per_year": _ABOVE_ZERO,
    "risk_free": _RATE,
    "mar": _RATE,
}


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Everything but the data that a run depends on; see `rules.spec.TradingSpec` for the units.

    Fractions are fractions, rates are per year, codes are those of `DIRECTIONS`, `FILLS` and
    `SIZE_TYPES`.

    Parameters
    ----------
    initial_cash : float
        Cash before the first bar, above 0.
    fee_rate, fee_fixed : float
        Commission of a fill: a fraction of its value in [0, 1), and an amount >= 0.
    slippage : float
        Fraction in [0, 1) by which a fill's price moves against its trader.
    size : float
        Above 0: a fraction up to 1 (percent), an amount (value) or a number (shares).
    size_type : int
        What `size` counts.
    lot_size : float
        Shares are rounded down to a multiple of it; 0 allows fractions.
    direction, fill : int
        Which positions may be opened; when and at which price a signal fills.
    stop_loss, take_profit, trailing_stop : float
        Distances as fractions, above 0 (stops below 1); NaN is off.
    cash_rate, borrow_rate : float
        Interest on idle cash and cost of borrowed shares, per year, above -1.
    periods_per_year : float
        Bars per year, above 0.
    risk_free, mar : float
        Rates per year that Sharpe and Sortino measure against, above -1.

    Raises
    ------
    ValueError
        Naming the field, its value and what is allowed.
    """

    initial_cash: float
    fee_rate: float
    fee_fixed: float
    slippage: float
    size: float
    size_type: int
    lot_size: float
    direction: int
    fill: int
    stop_loss: float
    take_profit: float
    trailing_stop: float
    cash_rate: float
    borrow_rate: float
    periods_per_year: float
    risk_free: float
    mar: float
    run_args: tuple[Any, ...] = field(init=False, repr=False, compare=False)
    measure_args: tuple[float, float, float] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _validate_config(self)
        run_args = (
            float(self.initial_cash),
            float(self.fee_rate),
            float(self.fee_fixed),
            float(self.slippage),
            float(self.size),
            int(self.size_type),
            float(self.lot_size),
            int(self.direction),
            int(self.fill),
            float(self.stop_loss),
            float(self.take_profit),
            float(self.trailing_stop),
            self._per_bar("cash_rate"),
            self._per_bar("borrow_rate"),
        )
        measure_args = (
            float(self.periods_per_year),
            self._per_bar("risk_free"),
            self._per_bar("mar"),
        )
        object.__setattr__(self, "run_args", run_args)
        object.__setattr__(self, "measure_args", measure_args)

    @property
    def stream_args(self) -> tuple[Any, ...]:
        """The scalars of `stream_kernel`, in its order: those of a run, then of its metrics."""
        return self.run_args + self.measure_args

    def _per_bar(self, name: str) -> float:
        annual: float = getattr(self, name)
        try:
            # (1 + 0)^x - 1 is 0 exactly: a rate of 0 leaves its code path off.
            return float((1.0 + annual) ** (1.0 / self.periods_per_year) - 1.0)
        except OverflowError:
            raise ValueError(
                f"{name} = {annual!r}: has no finite rate per bar with periods_per_year = "
                f"{self.periods_per_year!r}; lower it or raise periods_per_year"
            ) from None


def build_engine_config(trading: Mapping[str, Any], periods_per_year: float) -> EngineConfig:
    """Build the configuration from `TradingSpec.model_dump()`.

    Parameters
    ----------
    trading : mapping
        Names as codes (``"long_only"``), None for a stop that is off; its `periods_per_year`
        overrides the other unless it is None.
    periods_per_year : float
        Of the bars.

    Raises
    ------
    ValueError
        For an unknown name or a value out of range; KeyError for a missing one.
    """
    values = {item.name: trading[item.name] for item in fields(EngineConfig) if item.init}
    for name, codes in (("size_type", SIZE_TYPES), ("direction", DIRECTIONS), ("fill", FILLS)):
        if values[name] not in codes:
            raise ValueError(f"{name} = {values[name]!r}: choose one of {', '.join(codes)}")
        values[name] = codes[values[name]]
    for name in ("stop_loss", "take_profit", "trailing_stop"):
        if values[name] is None:
            values[name] = math.nan
    if values["periods_per_year"] is None:
        values["periods_per_year"] = periods_per_year
    return EngineConfig(**values)


def _validate_config(config: EngineConfig) -> None:
    """Raise ValueError for the first field out of range; NaN is out of every range but a stop's."""
    for name, (low, high, allowed) in _RANGES.items():
        value = getattr(config, name)
        is_off = name in _OPTIONAL and math.isnan(value)
        if not is_off and not low <= value <= high:
            raise ValueError(f"{name} = {value!r}: must be {allowed}")
    if config.size_type == SIZE_TYPES["percent"] and config.size > 1.0:
        raise ValueError(f"size = {config.size!r}: percent takes a fraction in (0, 1]")
    for name, codes in (("size_type", SIZE_TYPES), ("direction", DIRECTIONS), ("fill", FILLS)):
        if getattr(config, name) not in codes.values():
            raise ValueError(f"{name} = {getattr(config, name)!r}: must be one of {codes}")
