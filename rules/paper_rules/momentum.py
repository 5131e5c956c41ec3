"""Momentum against bills, decided at month ends: time-series and absolute momentum.

Bills return ``cash_rate``, the interest that idle cash earns: the account and the signal know one
rate.

Returns over months are ``month-end close / month-end close k month ends earlier - 1``; `month_ends`
says on which bar a month is decided.

Standard library only at import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rules.base_rule import (
    BaseRule,
    Parameter,
    RuleMetadata,
    RuleOutput,
    SignalPart,
    register_rule,
)
from rules.paper_rules.shared import AT_THE_CLOSE, build_months

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from backtest.bars import Bars
    from backtest.signal_events import SignalEvents
    from rules.paper_rules.month_ends import MonthEnds
    from rules.paper_rules.shared import Params
    from rules.sweep_hooks import IndicatorRows

_CONSTANT_BILLS = "The bill rate is one constant, cash_rate, which is 0 unless set."
# Their ex-ante volatility: a centre of mass of 60 days, 261 trading days a year.
_CENTER_OF_MASS = 60.0
_DAYS_PER_YEAR = 261.0


@register_rule
class TsmomRule(BaseRule):
    """Time-series momentum.

    At each month end, with R the return over the last `lookback_months` months, none skipped: long
    where R exceeds the return of bills over the same time, short where it falls short of it, flat
    where both are equal. Bills return ``(1 + cash_rate)^(lookback_months / 12) - 1``. BUY, SELL and
    EXIT where the position changes.

    ``sizing=volatility`` gives each entry the weight ``min(1, target_volatility / s)``; s is the
    exponentially weighted deviation of simple returns per bar around their weighted mean, centre of
    mass 60 bars, times the root of 261 on daily bars and of the bars per year on others. The weight
    is that of the bar that decides and stays until the position changes.
    """

    metadata = RuleMetadata(
        name="tsmom",
        title="Time-series momentum",
        summary="Long after a 12-month return above the bill rate, short after one below; monthly",
        parameters=(
            build_months("lookback_months", 12, "Months of the past return"),
            Parameter(
                "sizing",
                "choice",
                "constant",
                "Size of an entry: as set, or scaled down to the target volatility",
                choices=("constant", "volatility"),
            ),
            Parameter(
                "target_volatility",
                "float",
                0.4,
                "Volatility per year that an entry is scaled to",
                0.01,
                10,
                only_if=("sizing", "volatility"),
            ),
        ),
        source=(
            "Tobias J. Moskowitz, Yao Hua Ooi, Lasse Heje Pedersen, Time series momentum, "
            "Journal of Financial Economics 104(2), 2012"
        ),
        label="exact",
        deviations=(
            AT_THE_CLOSE,
            "Constant size, or a weight set at entry, at most 1, without rebalancing in between; "
            "published positions are scaled to 40 % volatility every month.",
            _CONSTANT_BILLS,
            "Short positions need direction long_short; long_only is flat instead.",
        ),
        # The authors' own factor returns of the paper run from January 1985 to December 2009.
        published_sample=("1985-01-01", "2009-12-31"),
        version="2",
        reads=("cash_rate",),
    )

    def warmup_bars(self, **params: Any) -> int:
        """Return the earliest bar that can be month end `lookback_months`, counted from 0."""
        return int(params["lookback_months"])

    def compute(self, bars: Bars, *, cash_rate: float = 0.0, **params: Any) -> RuleOutput:
        """Compute signals from month-end closes, weights from all closes."""
        from rules.paper_rules.month_ends import find_month_ends, spread_return

        months = find_month_ends(bars)
        lookback = params["lookback_months"]
        signal = _compute_momentum(months, lookback, cash_rate, True, bars.n_bars)
        weight = None
        if params["sizing"] == "volatility":
            weight = _compute_weight(_compute_volatility(bars), params["target_volatility"])
        return RuleOutput(
            signal, weight, {"past_return": spread_return(months, lookback, bars.n_bars)}
        )

    def signal_parts(self) -> tuple[SignalPart, ...]:
        """Return the whole signal with its weights: it depends on all parameters."""

        def compute_signals(bars: Bars, rows: IndicatorRows, params: Params) -> SignalEvents:
            from rules.sweep_hooks import collect_columns

            fill_signal = _build_momentum_fill(bars, params, True)
            scaled, target = params["sizing"] == "volatility", params["target_volatility"]
            if not scaled.any():
                return collect_columns(bars.n_bars, target.size, fill_signal)
            volatility = _compute_volatility(bars)

            def fill(i: int, out: NDArray[np.int8], weight: NDArray[np.float64]) -> None:
                fill_signal(i, out)
                if scaled[i]:
                    weight[:] = _compute_weight(volatility, target[i])

            return collect_columns(bars.n_bars, target.size, fill, weighted=True)

        names = ("lookback_months", "cash_rate", "sizing", "target_volatility")
        return (SignalPart(names, compute_signals),)


@register_rule
class AbsoluteMomentumRule(BaseRule):
    """Absolute momentum.

    At each month end long where the return over the last `lookback_months` months exceeds that of
    bills, ``(1 + cash_rate)^(lookback_months / 12) - 1``, else in cash. BUY and EXIT where that
    changes.
    """

    metadata = RuleMetadata(
        name="absolute_momentum",
        title="Absolute momentum",
        summary="Long after a 12-month return above the bill rate, else cash; decided monthly",
        parameters=(build_months("lookback_months", 12, "Months of the past return"),),
        source=(
            "Gary Antonacci, Absolute Momentum: A Simple Rule-Based Strategy and Universal "
            "Trend-Following Overlay, SSRN 2244633, 2013"
        ),
        label="exact",
        deviations=(AT_THE_CLOSE, _CONSTANT_BILLS),
        version="2",
        reads=("cash_rate",),
    )

    def warmup_bars(self, **params: Any) -> int:
        """Return the earliest bar that can be month end `lookback_months`, counted from 0."""
        return int(params["lookback_months"])

    def compute(self, bars: Bars, *, cash_rate: float = 0.0, **params: Any) -> RuleOutput:
        """Compute signals from month-end closes."""
        from rules.paper_rules.month_ends import find_month_ends, spread_return

        months = find_month_ends(bars)
        lookback = params["lookback_months"]
        signal = _compute_momentum(months, lookback, cash_rate, False, bars.n_bars)
        return RuleOutput(
            signal, indicators={"past_return": spread_return(months, lookback, bars.n_bars)}
        )

    def signal_parts(self) -> tuple[SignalPart, ...]:
        """Return the whole signal: it depends on all parameters."""

        def compute_signals(bars: Bars, rows: IndicatorRows, params: Params) -> SignalEvents:
            from rules.sweep_hooks import collect_columns

            fill = _build_momentum_fill(bars, params, False)
            return collect_columns(bars.n_bars, params["cash_rate"].size, fill)

        return (SignalPart(("lookback_months", "cash_rate"), compute_signals),)


def _compute_growth(cash_rate: float, lookback: int) -> float:
    """Return what bills grow to over the lookback; exactly 1 + rate over 12 months."""
    growth: float = (1.0 + cash_rate) ** (lookback / 12)
    return growth


def _compute_momentum(
    months: MonthEnds, lookback: int, cash_rate: float, goes_short: bool, n_bars: int
) -> NDArray[np.int8]:
    import numpy as np

    from rules.paper_rules import kernels

    signal = np.zeros(n_bars, dtype=np.int8)
    growth = _compute_growth(cash_rate, lookback)
    kernels.fill_momentum(months.close, lookback, growth, goes_short, months.decided, signal)
    return signal


def _build_momentum_fill(bars: Bars, params: Params, goes_short: bool) -> Any:
    """Return what fills one signal of a sweep."""
    from rules.paper_rules import kernels
    from rules.paper_rules.month_ends import find_month_ends

    months = find_month_ends(bars)
    lookback, cash_rate = params["lookback_months"].tolist(), params["cash_rate"].tolist()

    def fill(i: int, out: NDArray[np.int8]) -> None:
        growth = _compute_growth(cash_rate[i], lookback[i])
        kernels.fill_momentum(months.close, lookback[i], growth, goes_short, months.decided, out)

    return fill


def _compute_volatility(bars: Bars) -> NDArray[np.float64]:
    import numpy as np

    from rules.paper_rules import kernels

    per_year = _DAYS_PER_YEAR if bars.spacing == "daily" else bars.periods_per_year
    volatility = np.empty(bars.n_bars)
    kernels.fill_ex_ante_volatility(bars.close, _CENTER_OF_MASS, per_year, volatility)
    return volatility


def _compute_weight(volatility: NDArray[np.float64], target: float) -> NDArray[np.float64]:
    """Return min(1, target / volatility); 1 where nothing has moved or there is no return yet."""
    import numpy as np

    weight = np.ones(volatility.size)
    np.divide(target, volatility, out=weight, where=volatility > target)
    return weight
