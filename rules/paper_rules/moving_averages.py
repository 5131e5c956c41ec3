"""The rules of Brock, Lakonishok and LeBaron: variable and fixed averages, range break.

Standard library only at import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rules.base_rule import (
    BaseRule,
    Constraint,
    RuleMetadata,
    RuleOutput,
    SignalPart,
    build_window,
    register_rule,
)
from rules.paper_rules.shared import (
    AT_THE_CLOSE,
    build_averages,
    build_extremes,
    build_fraction,
    compute_prior_extreme,
)

if TYPE_CHECKING:
    from backtest.bars import Bars
    from backtest.signal_events import SignalEvents
    from rules.paper_rules.shared import Params
    from rules.sweep_hooks import IndicatorRows

_SOURCE = (
    "William Brock, Josef Lakonishok, Blake LeBaron, Simple Technical Trading Rules and the "
    "Stochastic Properties of Stock Returns, Journal of Finance 47(5), 1992"
)
# The abstract: "utilizing the Dow Jones Index from 1897 to 1986".
_SAMPLE = ("1897-01-01", "1986-12-31")
_AVERAGES = (
    build_window("short", 1, "Days of the short simple average; 1 is the close itself"),
    build_window("long", 50, "Days of the long simple average: 50, 150 or 200", minimum=2),
)
_BAND = build_fraction(
    "band", 0.0, "Fraction by which the long average must be passed: 0 or 0.01", 0, 0.5
)
_HOLD = build_window("hold", 10, "Days that a position is held, come what may")
_ORDER = Constraint("short", "<", "long")


@register_rule
class BllVariableMaRule(BaseRule):
    """The variable-length moving average (VMA).

    With ``S = SMA(short)`` and ``L = SMA(long)`` of closes, day t is a buy day where
    ``S > L (1 + band)``, a sell day where ``S < L (1 - band)``, and neither inside the band, where
    equality belongs. The position follows the days: BUY on the first buy day after another kind,
    SELL on the first sell day, EXIT on the first day inside the band. The first day with both
    averages, bar ``long - 1``, counts like any other.

    Published pairs (short, long): (1, 50), (1, 150), (5, 150), (1, 200), (2, 200), each with
    band 0 and 0.01.
    """

    metadata = RuleMetadata(
        name="bll_variable_ma",
        title="BLL variable MA",
        summary="Long while the short average tops the long one by a band, short below, else flat",
        parameters=(*_AVERAGES, _BAND),
        constraints=(_ORDER,),
        source=_SOURCE,
        label="exact",
        deviations=(
            AT_THE_CLOSE,
            "Short sales on sell days need direction long_short; long_only is flat on them.",
        ),
        published_sample=_SAMPLE,
        overlays=("sma_short", "sma_long"),
    )

    def warmup_bars(self, **params: Any) -> int:
        """Return the first bar with both averages."""
        return int(params["long"]) - 1

    def compute(self, bars: Bars, **params: Any) -> RuleOutput:
        """Compute signals from closes."""
        import numpy as np

        from rules import technical_indicators as ti
        from rules.paper_rules import kernels

        short, long = (ti.compute_sma(bars.close, params[name]) for name in ("short", "long"))
        signal = np.zeros(bars.n_bars, dtype=np.int8)
        kernels.fill_band_state(short, long, params["band"], signal)
        return RuleOutput(signal, indicators={"sma_short": short, "sma_long": long})

    def signal_parts(self) -> tuple[SignalPart, ...]:
        """Return the whole signal: it depends on all parameters."""

        def compute_signals(bars: Bars, rows: IndicatorRows, params: Params) -> SignalEvents:
            from rules.paper_rules import kernels
            from rules.sweep_hooks import collect_columns

            sma, (short, long) = build_averages(bars, rows, params["short"], params["long"])
            band = params["band"]

            def fill(i: int, out: Any) -> None:
                kernels.fill_band_state(sma[short[i]], sma[long[i]], band[i], out)

            return collect_columns(bars.n_bars, band.size, fill)

        return (SignalPart(("short", "long", "band"), compute_signals),)


@register_rule
class BllFixedMaRule(BaseRule):
    """The fixed-length moving average (FMA).

    A buy signal is the day t on which ``S > L (1 + band)`` becomes true, a sell signal the day on
    which ``S < L (1 - band)`` does; the day before must have had both averages. Entered at the
    signal of day t, the position earns the returns of days t+1 to t+hold and is left by an EXIT on
    day t+hold. Signals on the days t+1 to t+hold, the last included, are ignored.
    """

    metadata = RuleMetadata(
        name="bll_fixed_ma",
        title="BLL fixed MA",
        summary="Enters where the short average crosses the long one and its band, holds 10 days",
        parameters=(*_AVERAGES, _BAND, _HOLD),
        constraints=(_ORDER,),
        source=_SOURCE,
        label="exact",
        deviations=(
            AT_THE_CLOSE,
            "Short sales after sell signals need direction long_short; long_only stays flat.",
        ),
        published_sample=_SAMPLE,
        overlays=("sma_short", "sma_long"),
    )

    def warmup_bars(self, **params: Any) -> int:
        """Return the second bar with both averages: a crossing takes two."""
        return int(params["long"])

    def compute(self, bars: Bars, **params: Any) -> RuleOutput:
        """Compute signals from closes."""
        import numpy as np

        from rules import technical_indicators as ti
        from rules.paper_rules import kernels

        short, long = (ti.compute_sma(bars.close, params[name]) for name in ("short", "long"))
        signal = np.zeros(bars.n_bars, dtype=np.int8)
        kernels.fill_held_breaks(short, long, long, params["band"], params["hold"], True, signal)
        return RuleOutput(signal, indicators={"sma_short": short, "sma_long": long})

    def signal_parts(self) -> tuple[SignalPart, ...]:
        """Return the whole signal: it depends on all parameters."""

        def compute_signals(bars: Bars, rows: IndicatorRows, params: Params) -> SignalEvents:
            from rules.paper_rules import kernels
            from rules.sweep_hooks import collect_columns

            sma, (short, long) = build_averages(bars, rows, params["short"], params["long"])
            band, hold = params["band"], params["hold"]

            def fill(i: int, out: Any) -> None:
                slow = sma[long[i]]
                kernels.fill_held_breaks(sma[short[i]], slow, slow, band[i], hold[i], True, out)

            return collect_columns(bars.n_bars, band.size, fill)

        return (SignalPart(("short", "long", "band", "hold"), compute_signals),)


@register_rule
class BllRangeBreakRule(BaseRule):
    """The trading-range break (TRB).

    A buy signal is a day t whose close lies above ``(1 + band)`` times the highest of the `window`
    closes before it, a sell signal one whose close lies below ``(1 - band)`` times the lowest.
    Entered at the signal of day t, the position earns the returns of days t+1 to t+hold and is left
    by an EXIT on day t+hold. Signals on the days t+1 to t+hold, the last included, are ignored.

    Published: window 50, 150 and 200, band 0 and 0.01, hold 10.
    """

    metadata = RuleMetadata(
        name="bll_range_break",
        title="BLL range break",
        summary="Enters on a close beyond the range of the closes before it, holds 10 days",
        parameters=(
            build_window("window", 50, "Closes that make the range: 50, 150 or 200"),
            build_fraction(
                "band", 0.0, "Fraction by which the range must be passed: 0 or 0.01", 0, 0.5
            ),
            _HOLD,
        ),
        source=_SOURCE,
        label="exact",
        deviations=(
            AT_THE_CLOSE,
            "Short sales after sell signals need direction long_short; long_only stays flat.",
        ),
        published_sample=_SAMPLE,
        overlays=("range_high", "range_low"),
    )

    def warmup_bars(self, **params: Any) -> int:
        """Return the first bar with a full range before it."""
        return int(params["window"])

    def compute(self, bars: Bars, **params: Any) -> RuleOutput:
        """Compute signals from closes."""
        import numpy as np

        from rules.paper_rules import kernels

        upper, lower = (
            compute_prior_extreme(bars.close, params["window"], sign) for sign in (1.0, -1.0)
        )
        signal = np.zeros(bars.n_bars, dtype=np.int8)
        # A copy: kernels are compiled once more for arrays that must not be written to.
        kernels.fill_held_breaks(
            bars.close.copy(), upper, lower, params["band"], params["hold"], False, signal
        )
        return RuleOutput(signal, indicators={"range_high": upper, "range_low": lower})

    def signal_parts(self) -> tuple[SignalPart, ...]:
        """Return the whole signal: it depends on all parameters."""

        def compute_signals(bars: Bars, rows: IndicatorRows, params: Params) -> SignalEvents:
            from rules.paper_rules import kernels
            from rules.sweep_hooks import collect_columns

            windows, band, hold = params["window"], params["band"], params["hold"]
            upper, (high,) = build_extremes(rows, "prior_high_close", bars.close, 1.0, windows)
            lower, (low,) = build_extremes(rows, "prior_low_close", bars.close, -1.0, windows)
            close = bars.close.copy()

            def fill(i: int, out: Any) -> None:
                top, bottom = upper[high[i]], lower[low[i]]
                kernels.fill_held_breaks(close, top, bottom, band[i], hold[i], False, out)

            return collect_columns(bars.n_bars, band.size, fill)

        return (SignalPart(("window", "band", "hold"), compute_signals),)
