"""The technical rules that ship: RSI, MACD, both together, a moving-average cross, buy and hold.

Standard library only at import. Signals are events: a rule buys on the bar where its condition
becomes true, not on every bar where it holds. Definitions: section 5.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from rules.base_rule import (
    BaseRule,
    Constraint,
    Parameter,
    RuleMetadata,
    RuleOutput,
    Signal,
    SignalPart,
    build_window,
    register_rule,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from backtest.bars import Bars
    from backtest.signal_events import SignalEvents
    from rules.sweep_hooks import FloatArray, IndicatorRows, RowIndex

_RSI_PARAMETERS = (
    build_window("window", 14, "Bars of Wilder's average gain and loss", minimum=2),
    Parameter("oversold", "float", 30.0, "RSI below which the market is oversold", 0, 100),
    Parameter("overbought", "float", 70.0, "RSI above which the market is overbought", 0, 100),
)
_MACD_PARAMETERS = (
    build_window("fast", 12, "Bars of the fast exponential average"),
    build_window("slow", 26, "Bars of the slow exponential average", minimum=2),
    build_window("signal", 9, "Bars of the signal line, an average of MACD"),
)
_LEVELS = Constraint("oversold", "<", "overbought")
_SPEEDS = Constraint("fast", "<", "slow")
_WILDER = "J. Welles Wilder, New Concepts in Technical Trading Systems, Trend Research, 1978"
_APPEL = "Gerald Appel, The Moving Average Convergence-Divergence Trading Method, 1979"


@register_rule
class RsiRule(BaseRule):
    """Buys and sells where the relative strength index enters or leaves its extreme zones."""

    metadata = RuleMetadata(
        name="rsi",
        title="RSI",
        summary="Buys where RSI enters (or leaves) the oversold zone, sells at the overbought one",
        parameters=(
            *_RSI_PARAMETERS,
            Parameter(
                "trigger",
                "choice",
                "enter_zone",
                "Act when RSI enters a zone, or when it comes back out of it",
                choices=("enter_zone", "exit_zone"),
            ),
        ),
        constraints=(_LEVELS,),
        source=_WILDER,
    )

    def warmup_bars(self, **params: Any) -> int:
        """Return the second bar with an RSI: a crossing takes two."""
        return int(params["window"]) + 1

    def compute(self, bars: Bars, **params: Any) -> RuleOutput:
        """Compute signals from closes."""
        from rules import technical_indicators as ti

        rsi = ti.compute_rsi(bars.close, params["window"])
        oversold, overbought = params["oversold"], params["overbought"]
        if params["trigger"] == "enter_zone":
            buy = ti.compute_crosses_below(rsi, oversold)
            sell = ti.compute_crosses_above(rsi, overbought)
        else:
            buy = ti.compute_crosses_above(rsi, oversold)
            sell = ti.compute_crosses_below(rsi, overbought)
        return RuleOutput(ti.build_signal(buy, sell), indicators={"rsi": rsi})

    def signal_parts(self) -> tuple[SignalPart, ...]:
        """Return buys, which do not depend on the overbought level, and sells, mirrored."""

        def compute(
            part: int, bars: Bars, rows: IndicatorRows, params: Mapping[str, NDArray[Any]]
        ) -> SignalEvents:
            return self.compute_parts(bars, rows, {part: params})[part]

        return (
            SignalPart(("window", "oversold", "trigger"), partial(compute, 0)),
            SignalPart(("window", "overbought", "trigger"), partial(compute, 1)),
        )

    def compute_parts(
        self,
        bars: Bars,
        rows: IndicatorRows,
        wanted: Mapping[int, Mapping[str, NDArray[Any]]],
    ) -> dict[int, SignalEvents]:
        """Compute buys and sells in one pass: most of its time goes into the index itself."""
        import numpy as np

        from backtest.signal_events import split_events
        from rules.rsi_crosses import build_rsi_crosses

        levels, signs, codes = [], [], []
        for part, params in wanted.items():
            levels.append(params["overbought" if part else "oversold"])
            entering = 1.0 if part else -1.0
            enters = params["trigger"] == "enter_zone"
            signs.append(np.where(enters, entering, -entering))
            codes.append(np.full(enters.size, Signal.SELL if part else Signal.BUY, np.int8))
        windows = [params["window"] for params in wanted.values()]
        events = build_rsi_crosses(
            bars.close, *(np.concatenate(column) for column in (windows, levels, signs, codes))
        )
        parts = split_events(events, [column.size for column in windows])
        return dict(zip(wanted, parts, strict=True))


@register_rule
class MacdRule(BaseRule):
    """Follows the crossings of MACD and its signal line."""

    metadata = RuleMetadata(
        name="macd",
        title="MACD",
        summary="Buys where MACD crosses above its signal line, sells where it crosses below",
        parameters=_MACD_PARAMETERS,
        constraints=(_SPEEDS,),
        source=_APPEL,
    )

    def warmup_bars(self, **params: Any) -> int:
        """Return the second bar with a signal line: a crossing takes two."""
        return int(params["slow"] + params["signal"] - 1)

    def compute(self, bars: Bars, **params: Any) -> RuleOutput:
        """Compute signals from closes."""
        from rules import technical_indicators as ti

        line, signal, histogram = ti.compute_macd(bars.close, **params)
        return RuleOutput(
            ti.build_signal(
                ti.compute_crosses_above(line, signal), ti.compute_crosses_below(line, signal)
            ),
            indicators={"macd": line, "macd_signal": signal, "macd_histogram": histogram},
        )

    def signal_parts(self) -> tuple[SignalPart, ...]:
        """Return the whole signal: it depends on all parameters."""

        def compute_crosses(
            bars: Bars, rows: IndicatorRows, params: Mapping[str, NDArray[Any]]
        ) -> SignalEvents:
            from rules.sweep_hooks import build_macd_crosses

            return build_macd_crosses(bars.close, **params)

        return (SignalPart(("fast", "slow", "signal"), compute_crosses),)


@register_rule
class RsiMacdRule(BaseRule):
    """Takes the direction from MACD and the occasion from a recent extreme of RSI."""

    metadata = RuleMetadata(
        name="rsi_macd",
        title="RSI + MACD",
        summary="Buys where MACD tops its signal line soon after RSI was oversold; sells mirrored",
        parameters=(
            *_RSI_PARAMETERS,
            *_MACD_PARAMETERS,
            build_window("lookback", 5, "Bars for which an extreme of RSI counts, this included"),
        ),
        constraints=(_LEVELS, _SPEEDS),
        source=f"{_WILDER}; {_APPEL}",
    )

    def warmup_bars(self, **params: Any) -> int:
        """Return the first bar on which both indicators have had a value."""
        return int(max(params["window"], params["slow"] + params["signal"] - 2))

    def compute(self, bars: Bars, **params: Any) -> RuleOutput:
        """Compute signals from closes; a condition without a value is false."""
        from rules import technical_indicators as ti

        rsi = ti.compute_rsi(bars.close, params["window"])
        line, signal, histogram = ti.compute_macd(
            bars.close, params["fast"], params["slow"], params["signal"]
        )
        was_oversold = ti.compute_recent(rsi <= params["oversold"], params["lookback"])
        was_overbought = ti.compute_recent(rsi >= params["overbought"], params["lookback"])
        return RuleOutput(
            ti.build_signal(
                ti.compute_onsets((line > signal) & was_oversold),
                ti.compute_onsets((line < signal) & was_overbought),
            ),
            indicators={
                "rsi": rsi,
                "macd": line,
                "macd_signal": signal,
                "macd_histogram": histogram,
            },
        )

    def signal_parts(self) -> tuple[SignalPart, ...]:
        """Return buys, which do not depend on the overbought level, and sells, mirrored."""

        def compute_buys(
            bars: Bars, rows: IndicatorRows, params: Mapping[str, NDArray[Any]]
        ) -> SignalEvents:
            return _build_rsi_macd_onsets(bars, rows, params, "oversold", 1.0)

        def compute_sells(
            bars: Bars, rows: IndicatorRows, params: Mapping[str, NDArray[Any]]
        ) -> SignalEvents:
            return _build_rsi_macd_onsets(bars, rows, params, "overbought", -1.0)

        shared = ("fast", "slow", "signal", "lookback")
        return (
            SignalPart(("window", "oversold", *shared), compute_buys),
            SignalPart(("window", "overbought", *shared), compute_sells),
        )


@register_rule
class SmaCrossRule(BaseRule):
    """Follows the crossings of two simple moving averages."""

    metadata = RuleMetadata(
        name="sma_cross",
        title="SMA cross",
        summary="Buys where the fast average crosses above the slow one, sells where below",
        parameters=(
            build_window("fast", 50, "Bars of the fast simple average"),
            build_window("slow", 200, "Bars of the slow simple average", minimum=2),
        ),
        constraints=(_SPEEDS,),
        overlays=("sma_fast", "sma_slow"),
    )

    def warmup_bars(self, **params: Any) -> int:
        """Return the second bar with a slow average: a crossing takes two."""
        return int(params["slow"])

    def compute(self, bars: Bars, **params: Any) -> RuleOutput:
        """Compute signals from closes."""
        from rules import technical_indicators as ti

        fast = ti.compute_sma(bars.close, params["fast"])
        slow = ti.compute_sma(bars.close, params["slow"])
        return RuleOutput(
            ti.build_signal(
                ti.compute_crosses_above(fast, slow), ti.compute_crosses_below(fast, slow)
            ),
            indicators={"sma_fast": fast, "sma_slow": slow},
        )

    def signal_parts(self) -> tuple[SignalPart, ...]:
        """Return the whole signal: it depends on both parameters."""

        def compute_crosses(
            bars: Bars, rows: IndicatorRows, params: Mapping[str, NDArray[Any]]
        ) -> SignalEvents:
            import numpy as np

            from rules import indicator_kernels as kernels
            from rules.sweep_hooks import build_row_crosses

            fast = params["fast"]
            averages, row_idx = rows.get(
                "sma",
                np.concatenate([fast, params["slow"]]),
                lambda window, out: kernels.fill_sma(bars.close, window, out),
            )
            return build_row_crosses(averages, row_idx[: fast.size], row_idx[fast.size :])

        return (SignalPart(("fast", "slow"), compute_crosses),)


@register_rule
class BuyAndHoldRule(BaseRule):
    """Buys once and never sells: what every other rule has to beat."""

    metadata = RuleMetadata(
        name="buy_and_hold",
        title="Buy and hold",
        summary="Buys on the first bar and never sells",
    )

    def warmup_bars(self, **params: Any) -> int:
        """Return 0: the first bar decides."""
        return 0

    def compute(self, bars: Bars, **params: Any) -> RuleOutput:
        """Compute a signal that is BUY on the first bar and HOLD on all others."""
        import numpy as np

        signal = np.zeros(bars.n_bars, dtype=np.int8)
        signal[0] = Signal.BUY
        return RuleOutput(signal)

    def signal_parts(self) -> tuple[SignalPart, ...]:
        """Return the one signal that there is."""

        def compute_first_bar(
            bars: Bars, rows: IndicatorRows, params: Mapping[str, NDArray[Any]]
        ) -> SignalEvents:
            from backtest.signal_events import build_events

            return build_events(self.compute(bars).signal)

        return (SignalPart((), compute_first_bar),)


def _build_rsi_macd_onsets(
    bars: Bars,
    rows: IndicatorRows,
    params: Mapping[str, NDArray[Any]],
    level: str,
    side: float,
) -> SignalEvents:
    """Build where MACD lies on a side of its signal line soon after an extreme of RSI."""
    import numpy as np

    from rules import indicator_kernels as kernels
    from rules.sweep_hooks import build_confirmed_onsets

    line, signal = np.empty((2, bars.n_bars))

    def fill_histogram(fast: int, slow: int, window: int, out: FloatArray) -> None:
        kernels.fill_macd(bars.close, (fast, slow, window), line, signal, out)

    # Its sign is the comparison of both lines: a difference of doubles is 0 only between equals.
    windows = np.stack([params["fast"], params["slow"], params["signal"]])
    histograms = rows.get("macd_histogram", windows, fill_histogram)
    rsi = _get_rsi(bars, rows, params["window"])
    levels = np.asarray(params[level], dtype=np.float64)
    return build_confirmed_onsets(rsi, levels, histograms, side, params["lookback"])


def _get_rsi(
    bars: Bars, rows: IndicatorRows, windows: NDArray[np.int64]
) -> tuple[FloatArray, RowIndex]:
    from rules.rsi_lanes import fill_rsi_rows

    return rows.get(
        "rsi",
        windows,
        lambda missing, out: fill_rsi_rows(bars.close, missing, out),
        together=True,
    )
