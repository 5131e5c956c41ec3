"""Published rules on daily bars beside those of Brock et al.: RSI(2), Turtles, 52-week high.

Standard library only at import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rules.base_rule import (
    BaseRule,
    Constraint,
    Parameter,
    RuleMetadata,
    RuleOutput,
    SignalPart,
    build_window,
    register_rule,
)
from rules.paper_rules.shared import (
    AT_THE_CLOSE,
    ONE_SERIES,
    build_averages,
    build_extremes,
    build_fraction,
    compute_prior_extreme,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from backtest.bars import Bars
    from backtest.signal_events import SignalEvents
    from rules.paper_rules.shared import Params
    from rules.sweep_hooks import IndicatorRows

_FAITH = "Curtis Faith, Way of the Turtle, McGraw-Hill, 2007"
_TURTLE_DEVIATIONS = (
    "No pyramiding: the published system adds up to three units every N/2.",
    "No 2 N stop on the position; set stop_loss for one in percent.",
    "No sizing by N: size and size_type decide.",
    "Decided at the close, where the Turtles bought and sold intraday as a level was touched.",
)
# N averages the true range over 20 days the way Wilder does.
_N_BARS = 20


@register_rule
class ConnorsRsi2Rule(BaseRule):
    """RSI(2) pullbacks in an uptrend.

    While flat: BUY on a bar where ``close > SMA(trend)`` and ``RSI(window) < oversold``.
    While long: EXIT on the first later bar where ``close > SMA(exit_window)``. A bar that exits
    does not buy. No stop. RSI is Wilder's, 50 where nothing has ever moved.
    """

    metadata = RuleMetadata(
        name="connors_rsi2",
        title="Connors RSI(2)",
        summary="Buys RSI(2) below 5 above the 200-day average, exits above the 5-day average",
        parameters=(
            build_window("window", 2, "Bars of Wilder's average gain and loss", minimum=2),
            Parameter("oversold", "float", 5.0, "RSI below which it buys", 0, 100),
            build_window("trend", 200, "Days of the average that the close must top", minimum=2),
            build_window("exit_window", 5, "Days of the average above which it leaves", minimum=2),
        ),
        source="Larry Connors, Cesar Alvarez, Short Term Trading Strategies That Work, 2008",
        label="exact",
        deviations=(AT_THE_CLOSE,),
        # Reviews of the book give its tests as 1995 to 2007.
        published_sample=("1995-01-01", "2007-12-31"),
        overlays=("sma_trend", "sma_exit"),
    )

    def warmup_bars(self, **params: Any) -> int:
        """Return the first bar on which both conditions of an entry have a value."""
        return int(max(params["trend"] - 1, params["window"]))

    def compute(self, bars: Bars, **params: Any) -> RuleOutput:
        """Compute signals from closes."""
        import numpy as np

        from rules import technical_indicators as ti
        from rules.paper_rules import kernels

        trend = ti.compute_sma(bars.close, params["trend"])
        average = ti.compute_sma(bars.close, params["exit_window"])
        rsi = ti.compute_rsi(bars.close, params["window"])
        signal = np.zeros(bars.n_bars, dtype=np.int8)
        kernels.fill_pullback(bars.close, trend, rsi, average, params["oversold"], signal)
        return RuleOutput(signal, indicators={"rsi": rsi, "sma_trend": trend, "sma_exit": average})

    def signal_parts(self) -> tuple[SignalPart, ...]:
        """Return the whole signal: it depends on all parameters."""

        def compute_signals(bars: Bars, rows: IndicatorRows, params: Params) -> SignalEvents:
            from rules.indicator_kernels import fill_rsi
            from rules.paper_rules import kernels
            from rules.sweep_hooks import collect_columns

            sma, (trend, leave) = build_averages(bars, rows, params["trend"], params["exit_window"])
            rsi, rsi_idx = rows.get(
                "rsi", params["window"], lambda window, out: fill_rsi(bars.close, window, out)
            )
            oversold = params["oversold"]

            def fill(i: int, out: Any) -> None:
                uptrend, average = sma[trend[i]], sma[leave[i]]
                kernels.fill_pullback(
                    bars.close, uptrend, rsi[rsi_idx[i]], average, oversold[i], out
                )

            return collect_columns(bars.n_bars, oversold.size, fill)

        return (SignalPart(("window", "oversold", "trend", "exit_window"), compute_signals),)


class _TurtleRule(BaseRule):
    """What both systems share: breakouts of one channel, exits by a shorter one."""

    skips: bool

    def warmup_bars(self, **params: Any) -> int:
        """Return the first bar with a full channel before it, and N where it is needed."""
        return int(max(params["entry"], _N_BARS if self.skips else 0))

    def compute(self, bars: Bars, **params: Any) -> RuleOutput:
        """Compute signals from highs, lows and closes."""
        import numpy as np

        from rules.paper_rules import kernels

        failsafe = params.get("failsafe", params["entry"])
        entry = _compute_channel(bars, params["entry"])
        leave = _compute_channel(bars, params["exit"])
        channels = (entry, leave, _compute_channel(bars, failsafe))
        signal = np.zeros(bars.n_bars, dtype=np.int8)
        kernels.fill_channel(bars.close, channels, self._compute_n(bars), self.skips, signal)
        return RuleOutput(
            signal,
            indicators={
                "entry_high": entry[0],
                "entry_low": entry[1],
                "exit_high": leave[0],
                "exit_low": leave[1],
            },
        )

    def signal_parts(self) -> tuple[SignalPart, ...]:
        """Return the whole signal: it depends on all parameters."""

        def compute_signals(bars: Bars, rows: IndicatorRows, params: Params) -> SignalEvents:
            from rules.paper_rules import kernels
            from rules.sweep_hooks import collect_columns

            entry = params["entry"]
            windows = (entry, params["exit"], params.get("failsafe", entry))
            upper, highs = build_extremes(rows, "prior_high", bars.high, 1.0, *windows)
            lower, lows = build_extremes(rows, "prior_low", bars.low, -1.0, *windows)
            n = self._compute_n(bars)

            def fill(i: int, out: Any) -> None:
                enter, leave, failsafe = (
                    (upper[high[i]], lower[low[i]]) for high, low in zip(highs, lows, strict=True)
                )
                kernels.fill_channel(bars.close, (enter, leave, failsafe), n, self.skips, out)

            return collect_columns(bars.n_bars, entry.size, fill)

        names = tuple(parameter.name for parameter in self.metadata.parameters)
        return (SignalPart(names, compute_signals),)

    def _compute_n(self, bars: Bars) -> NDArray[np.float64]:
        """Return N; zeros, known from the first bar on, where nothing is skipped by it."""
        import numpy as np

        from rules import technical_indicators as ti

        if not self.skips:
            return np.zeros(bars.n_bars)
        return ti.compute_atr(bars.high, bars.low, bars.close, _N_BARS)


def _compute_channel(bars: Bars, window: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the highest high and the lowest low of the `window` bars before each bar."""
    return (
        compute_prior_extreme(bars.high, window, 1.0),
        compute_prior_extreme(bars.low, window, -1.0),
    )


@register_rule
class Turtle20Rule(_TurtleRule):
    """Turtle system 1: 20-day breakouts, 10-day exits, winners are not followed up.

    * Breakout: close above the highest high (below the lowest low) of the `entry` bars before.
    * Exit of a long: close below the lowest low of the `exit` bars before; shorts mirrored.
    * Every breakout is followed as a trade of its own, taken or not, from its close on. It has lost
      once a close lies 2 N or more against it, N being Wilder's average true range of 20 days on
      the day of the breakout, or once it exits without profit; it has won once it exits with a
      profit. While it is followed, further closes beyond the channel on its side are part of it.
    * A breakout is skipped if the last one before it, of either side, has won; the first is taken.
    * Failsafe: while flat, a close beyond the `failsafe` channel enters in any case.

    On one bar exits come first, then the breakout, then the failsafe: a position may turn over in
    one signal. Breakouts count from the first bar that has N.
    """

    skips = True
    metadata = RuleMetadata(
        name="turtle_20_10",
        title="Turtle 20/10",
        summary="Follows 20-day breakouts unless the last one won, exits at the 10-day extreme",
        parameters=(
            build_window("entry", 20, "Days whose high and low a breakout passes"),
            build_window("exit", 10, "Days whose opposite extreme ends the trade"),
            build_window("failsafe", 55, "Days whose extreme enters after a skipped breakout"),
        ),
        constraints=(Constraint("exit", "<=", "entry"), Constraint("entry", "<=", "failsafe")),
        source=_FAITH,
        label="adaptation",
        deviations=_TURTLE_DEVIATIONS,
        overlays=("entry_high", "entry_low", "exit_high", "exit_low"),
    )


@register_rule
class Turtle55Rule(_TurtleRule):
    """Turtle system 2: every 55-day breakout is taken, exits by the 20-day extreme.

    * Breakout: close above the highest high (below the lowest low) of the `entry` bars before.
    * Exit of a long: close below the lowest low of the `exit` bars before; shorts mirrored. A
      breakout to the other side turns the position over in one signal.
    """

    skips = False
    metadata = RuleMetadata(
        name="turtle_55_20",
        title="Turtle 55/20",
        summary="Follows every 55-day breakout, exits at the 20-day extreme",
        parameters=(
            build_window("entry", 55, "Days whose high and low a breakout passes"),
            build_window("exit", 20, "Days whose opposite extreme ends the trade"),
        ),
        constraints=(Constraint("exit", "<=", "entry"),),
        source=_FAITH,
        label="adaptation",
        deviations=_TURTLE_DEVIATIONS,
        overlays=("entry_high", "entry_low", "exit_high", "exit_low"),
    )


@register_rule
class Week52HighRule(BaseRule):
    """Nearness to the 52-week high.

    Long while ``close / max(close of the last `window` bars, this one included) >= threshold``,
    else flat: BUY where that becomes true, EXIT where it ceases. Decided on every bar, from the
    first with a full window on.
    """

    metadata = RuleMetadata(
        name="week52_high",
        title="52-week high",
        summary="Long while the close is within 5 % of the highest close of 252 days, else cash",
        parameters=(
            build_window("window", 252, "Days of the high, this one included"),
            build_fraction("threshold", 0.95, "Close over the high from which it is long", 0, 1),
        ),
        source=(
            "Thomas J. George, Chuan-Yang Hwang, The 52-Week High and Momentum Investing, "
            "Journal of Finance 59(5), 2004"
        ),
        label="adaptation",
        deviations=(
            ONE_SERIES,
            "A fixed threshold instead of the nearest and farthest 30 % of all stocks.",
            "Decided every day instead of monthly, without the holding period of six months.",
            "No short side: cash instead of stocks far from their high.",
            "The high is of closes.",
        ),
        # Summaries of the paper give 1963 to 2001.
        published_sample=("1963-01-01", "2001-12-31"),
        overlays=("highest_close",),
    )

    def warmup_bars(self, **params: Any) -> int:
        """Return the first bar with a full window."""
        return int(params["window"]) - 1

    def compute(self, bars: Bars, **params: Any) -> RuleOutput:
        """Compute signals from closes."""
        import numpy as np

        from rules.indicator_kernels import fill_extreme
        from rules.paper_rules import kernels

        highest = np.empty(bars.n_bars)
        fill_extreme(bars.close, params["window"], 1.0, highest)
        signal = np.zeros(bars.n_bars, dtype=np.int8)
        kernels.fill_near_high(bars.close, highest, params["threshold"], signal)
        return RuleOutput(signal, indicators={"highest_close": highest})

    def signal_parts(self) -> tuple[SignalPart, ...]:
        """Return the whole signal: it depends on all parameters."""

        def compute_signals(bars: Bars, rows: IndicatorRows, params: Params) -> SignalEvents:
            from rules.indicator_kernels import fill_extreme
            from rules.paper_rules import kernels
            from rules.sweep_hooks import collect_columns

            highest, idx = rows.get(
                "highest_close",
                params["window"],
                lambda window, out: fill_extreme(bars.close, window, 1.0, out),
            )
            threshold = params["threshold"]

            def fill(i: int, out: Any) -> None:
                kernels.fill_near_high(bars.close, highest[idx[i]], threshold[i], out)

            return collect_columns(bars.n_bars, threshold.size, fill)

        return (SignalPart(("window", "threshold"), compute_signals),)
