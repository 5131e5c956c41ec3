"""Published rules of month-end closes: Faber's timing, momentum J/K, long-term reversal.

Each rule sets a position per month end and signals only where it changes; `month_ends` says on
which bar a month is decided.

Standard library only at import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rules.base_rule import BaseRule, RuleMetadata, RuleOutput, SignalPart, register_rule
from rules.paper_rules.shared import AT_THE_CLOSE, ONE_SERIES, build_months

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from backtest.bars import Bars
    from backtest.signal_events import SignalEvents
    from rules.paper_rules.month_ends import MonthEnds
    from rules.paper_rules.shared import Params
    from rules.sweep_hooks import IndicatorRows


@register_rule
class FaberTimingRule(BaseRule):
    """Faber's timing model.

    At each month end long where the month-end close lies above the simple average of the last
    `months` month-end closes, this one included, else in cash. BUY and EXIT where that changes.
    """

    metadata = RuleMetadata(
        name="faber_timing",
        title="Faber timing",
        summary="Long after a month-end close above its 10-month average, else cash",
        parameters=(build_months("months", 10, "Month-end closes of the average, this included"),),
        source=(
            "Mebane T. Faber, A Quantitative Approach to Tactical Asset Allocation, Journal of "
            "Wealth Management 9(4), 2007"
        ),
        label="exact",
        deviations=(
            AT_THE_CLOSE,
            "Cash earns the constant cash_rate, which is 0 unless set, instead of bills.",
            "Exact on adjusted prices: the published series are total returns.",
        ),
        # The author's page: tested since 1900, out of sample from 2006 on.
        published_sample=("1900-01-01", "2005-12-31"),
        overlays=("monthly_average",),
    )

    def warmup_bars(self, **params: Any) -> int:
        """Return the earliest bar that can be the last of `months` month ends."""
        return int(params["months"]) - 1

    def compute(self, bars: Bars, **params: Any) -> RuleOutput:
        """Compute signals from month-end closes."""
        import numpy as np

        from rules.paper_rules import kernels
        from rules.paper_rules.month_ends import find_month_ends, spread_months

        months = find_month_ends(bars)
        average = _compute_month_average(months, params["months"])
        signal = np.zeros(bars.n_bars, dtype=np.int8)
        kernels.fill_above_average(months.close, average, months.decided, signal)
        line = spread_months(average, months.decided, bars.n_bars)
        return RuleOutput(signal, indicators={"monthly_average": line})

    def signal_parts(self) -> tuple[SignalPart, ...]:
        """Return the whole signal: it depends on all parameters."""

        def compute_signals(bars: Bars, rows: IndicatorRows, params: Params) -> SignalEvents:
            from rules.paper_rules import kernels
            from rules.paper_rules.month_ends import find_month_ends
            from rules.sweep_hooks import collect_columns

            months, counts = find_month_ends(bars), params["months"]

            def fill(i: int, out: NDArray[np.int8]) -> None:
                average = _compute_month_average(months, int(counts[i]))
                kernels.fill_above_average(months.close, average, months.decided, out)

            return collect_columns(bars.n_bars, counts.size, fill)

        return (SignalPart(("months",), compute_signals),)


class _TwoPeriodRule(BaseRule):
    """What momentum and reversal share: months that form an opinion, and months that it is held."""

    kernel: str

    def warmup_bars(self, **params: Any) -> int:
        """Return the earliest bar that can be month end `formation_months`, counted from 0."""
        return int(params["formation_months"])

    def compute(self, bars: Bars, **params: Any) -> RuleOutput:
        """Compute signals from month-end closes."""
        import numpy as np

        from rules.paper_rules import kernels
        from rules.paper_rules.month_ends import find_month_ends, spread_return

        months = find_month_ends(bars)
        formation, holding = params["formation_months"], params["holding_months"]
        signal = np.zeros(bars.n_bars, dtype=np.int8)
        fill = getattr(kernels, self.kernel)
        fill(months.close, formation, holding, months.decided, signal)
        return RuleOutput(
            signal, indicators={"past_return": spread_return(months, formation, bars.n_bars)}
        )

    def signal_parts(self) -> tuple[SignalPart, ...]:
        """Return the whole signal: it depends on all parameters."""

        def compute_signals(bars: Bars, rows: IndicatorRows, params: Params) -> SignalEvents:
            from rules.paper_rules import kernels
            from rules.paper_rules.month_ends import find_month_ends
            from rules.sweep_hooks import collect_columns

            fill = getattr(kernels, self.kernel)
            months = find_month_ends(bars)
            formation, holding = params["formation_months"], params["holding_months"]
            return collect_columns(
                bars.n_bars,
                formation.size,
                lambda i, out: fill(months.close, formation[i], holding[i], months.decided, out),
            )

        return (SignalPart(("formation_months", "holding_months"), compute_signals),)


@register_rule
class JtMomentumRule(_TwoPeriodRule):
    """Momentum J/K.

    Every month end founds a cohort with the sign of the return over the last `formation_months`
    (J) months, which lives `holding_months` (K) months. The position is the sign of the sum of the
    cohorts that live, this month's included: long, short, or flat where they balance. While fewer
    than K cohorts exist, those that do decide.
    """

    kernel = "fill_cohorts"
    metadata = RuleMetadata(
        name="jt_momentum",
        title="Momentum J/K",
        summary="Follows the sign of most of the last K monthly signs of the J-month return",
        parameters=(
            build_months("formation_months", 6, "J: months of the past return; 3, 6, 9 or 12"),
            build_months("holding_months", 6, "K: months that each sign counts; 3, 6, 9 or 12"),
        ),
        source=(
            "Narasimhan Jegadeesh, Sheridan Titman, Returns to Buying Winners and Selling Losers: "
            "Implications for Stock Market Efficiency, Journal of Finance 48(1), 1993"
        ),
        label="adaptation",
        deviations=(
            ONE_SERIES + " The sign of its return stands for winner and loser.",
            "Overlapping cohorts of equal weight are collapsed to one position, the sign of their "
            "sum.",
            "No week is left out between formation and holding.",
            "Short positions need direction long_short; long_only is flat instead.",
        ),
    )


@register_rule
class LongTermReversalRule(_TwoPeriodRule):
    """Long-term reversal.

    At a month end, while flat: BUY where the close lies below that of `formation_months` months
    before. The position is held for `holding_months` months, whatever happens meanwhile. At the
    month end on which they are over it is judged anew: held for as long again after another loss,
    else EXIT.
    """

    kernel = "fill_reversal"
    metadata = RuleMetadata(
        name="long_term_reversal",
        title="Long-term reversal",
        summary="Buys after a loss over 36 months and holds for 36 months",
        parameters=(
            build_months("formation_months", 36, "Months of the loss"),
            build_months("holding_months", 36, "Months that a position is held"),
        ),
        source=(
            "Werner F. M. De Bondt, Richard Thaler, Does the Stock Market Overreact?, Journal of "
            "Finance 40(3), 1985"
        ),
        label="adaptation",
        deviations=(
            ONE_SERIES + " A loss stands for the extreme losers.",
            "A loss in price, where the paper cumulates returns in excess of the market.",
            "Starts at any month end instead of every third December.",
            "No short side: winners are not sold.",
        ),
        # The paper's data section: monthly returns from January 1926 to December 1982.
        published_sample=("1926-01-01", "1982-12-31"),
    )


def _compute_month_average(months: MonthEnds, count: int) -> NDArray[np.float64]:
    import numpy as np

    from rules.indicator_kernels import fill_sma

    average = np.empty(months.close.size)
    fill_sma(months.close, count, average)
    return average
