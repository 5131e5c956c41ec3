"""What several published rules share: parameters, deviations and the rows of their sweep hooks.

Standard library only at import, like every module that registers rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rules.base_rule import Parameter

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from backtest.bars import Bars

    Rows = NDArray[np.float64]
    RowIndex = NDArray[np.int32]
    Params = Mapping[str, NDArray[Any]]

    from rules.sweep_hooks import IndicatorRows

# 50 years: beyond it a number of months is a typing error.
MAX_MONTHS = 600

AT_THE_CLOSE = (
    "Published fills are at the close of the signal: exact under same_close, while next_open "
    "fills at the next open."
)
ONE_SERIES = "One series is judged by itself instead of being ranked among many stocks."


def build_months(name: str, default: int, help_line: str) -> Parameter:
    """Build a parameter that counts months."""
    return Parameter(name, "int", default, help_line, 1, MAX_MONTHS, "months")


def build_fraction(
    name: str, default: float, help_line: str, minimum: float, maximum: float
) -> Parameter:
    """Build a parameter that is a fraction."""
    return Parameter(name, "float", default, help_line, minimum, maximum)


def build_averages(
    bars: Bars, rows: IndicatorRows, *windows: NDArray[Any]
) -> tuple[Rows, list[RowIndex]]:
    """Return rows of simple moving averages of the closes and, per group of windows, its rows."""
    from rules.indicator_kernels import fill_sma

    return _build_groups(
        rows, "sma", windows, lambda window, out: fill_sma(bars.close, window, out)
    )


def build_extremes(
    rows: IndicatorRows, kind: str, series: NDArray[Any], sign: float, *windows: NDArray[Any]
) -> tuple[Rows, list[RowIndex]]:
    """Return rows of the highest (`sign` 1.0) or lowest (-1.0) of the bars before each bar."""
    return _build_groups(
        rows, kind, windows, lambda window, out: fill_prior_extreme(series, window, sign, out)
    )


def fill_prior_extreme(series: Rows, window: int, sign: float, out: Rows) -> None:
    """Fill the highest or lowest of the `window` values before each bar; first at `window`."""
    from rules.indicator_kernels import fill_extreme

    out[:1] = float("nan")
    fill_extreme(series[:-1], window, sign, out[1:])


def compute_prior_extreme(series: Rows, window: int, sign: float) -> Rows:
    """Return what `fill_prior_extreme` fills."""
    import numpy as np

    out = np.empty(series.size)
    fill_prior_extreme(series, window, sign, out)
    return out


def _build_groups(
    rows: IndicatorRows, kind: str, windows: tuple[NDArray[Any], ...], fill: Any
) -> tuple[Rows, list[RowIndex]]:
    import numpy as np

    # One call for all groups: rows of one kind live in one matrix only as long as nobody asks anew.
    matrix, idx = rows.get(kind, np.concatenate(windows), fill)
    return matrix, np.split(idx, np.cumsum([group.size for group in windows])[:-1])
