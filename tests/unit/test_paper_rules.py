"""The published rules on markets worked by hand, and the positions that come of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backtest.bars import Bars, build_bars
from backtest.engine import build_engine_config, run_engine
from rules.base_rule import RuleOutput, get_rule
from rules.paper_rules.month_ends import load_calendar
from rules.rule_validator import validate_params
from rules.spec import TradingSpec

BUY, SELL, EXIT = 1, -1, 2
CALENDAR = load_calendar()


def build_sessions(close: list[float], spread: float = 0.0, first: str = "2001-01-02") -> Bars:
    """Build daily bars on New York's sessions, highs and lows `spread` from the close."""
    start = int(np.searchsorted(CALENDAR.sessions, np.datetime64(first)))
    days = CALENDAR.sessions[start : start + len(close)]
    stamps = days.astype("datetime64[ns]").astype(np.int64)
    values = np.array(close)
    return build_bars(stamps, values, values + spread, values - spread, values)[0]


def build_months(close: list[float]) -> Bars:
    """Build monthly bars, each a month end."""
    stamps = (np.datetime64("2001-01") + np.arange(len(close))).astype("datetime64[ns]")
    return build_bars(stamps.astype(np.int64), close, close, close, close)[0]


def run_rule(name: str, bars: Bars, **params: Any) -> RuleOutput:
    rule = get_rule(name)
    assert rule is not None
    settings = {name: params.pop(name) for name in rule.metadata.reads if name in params}
    return rule.compute(bars, **validate_params(rule.metadata, params), **settings)


def list_events(name: str, bars: Bars, **params: Any) -> dict[int, int]:
    signal = run_rule(name, bars, **params).signal
    return {int(t): int(signal[t]) for t in np.flatnonzero(signal)}


def list_positions(
    output: RuleOutput, bars: Bars, direction: str = "long_short", fill: str = "same_close"
) -> list[int]:
    """Return the sign of the position that the engine holds at each close."""
    trading = TradingSpec(direction=direction, fill=fill, fee_rate=0.0)
    config = build_engine_config(trading.model_dump(), bars.periods_per_year)
    result = run_engine(
        bars.open, bars.high, bars.low, bars.close, output.signal, output.weight, config
    )
    return np.sign(result.position).astype(int).tolist()


# SMA(1) is the close; SMA(2) follows it. Ratio to it: above 1.1 buys, below 0.9 sells.
#               0     1     2     3     4     5     6     7
BAND_CLOSES = [10.0, 10.0, 20.0, 20.0, 10.0, 10.0, 30.0, 31.0]
# SMA(2)         -    10    15    20    15    10    20   30.5


def test_the_variable_average_is_long_above_the_band_short_below_and_flat_inside():
    bars = build_sessions(BAND_CLOSES)
    params = {"short": 1, "long": 2, "band": 0.1}
    events = list_events("bll_variable_ma", bars, **params)
    assert events == {2: BUY, 3: EXIT, 4: SELL, 5: EXIT, 6: BUY, 7: EXIT}
    output = run_rule("bll_variable_ma", bars, **params)
    assert list_positions(output, bars) == [0, 0, 1, 0, -1, 0, 1, 0]
    assert list_positions(output, bars, "long_only") == [0, 0, 1, 0, 0, 0, 1, 0]
    # Under next_open the same positions stand one bar later.
    assert list_positions(output, bars, "long_only", "next_open") == [0, 0, 0, 1, 0, 0, 0, 1]


def test_the_variable_average_takes_a_position_on_the_first_day_with_both_averages():
    assert list_events("bll_variable_ma", build_sessions([10.0, 12.0, 13.0]), long=2) == {1: BUY}


def test_equal_averages_are_neither_a_buy_nor_a_sell_day():
    bars = build_sessions([10.0, 12.0, 12.0, 12.0])
    assert list_events("bll_variable_ma", bars, long=2) == {1: BUY, 2: EXIT}


def test_the_fixed_average_enters_at_a_crossing_and_leaves_ten_days_later_whatever_happens():
    # Crosses up on bar 3, down on bar 6, up again on bar 9; all but the first are ignored.
    closes = [10.0, 10.0, 10.0, 12.0, 12.5, 13.0, 8.0, 8.0, 7.5, 12.0, 13.0, 14.0, 15.0, 16.0]
    bars = build_sessions([*closes, 17.0, 18.0])
    events = list_events("bll_fixed_ma", bars, short=1, long=3)
    assert events == {3: BUY, 13: EXIT}
    positions = list_positions(run_rule("bll_fixed_ma", bars, short=1, long=3), bars)
    assert positions == [0] * 3 + [1] * 10 + [0] * 3


def test_the_fixed_average_sees_the_next_crossing_after_its_holding_period_only():
    # With hold 3: up on bar 3, held to bar 6, where the average is crossed again: ignored. Bar 7
    # lies on the same side, bar 9 crosses anew.
    closes = [10.0, 10.0, 10.0, 12.0, 12.5, 13.0, 8.0, 8.0, 7.0, 12.0, 12.0]
    events = list_events("bll_fixed_ma", build_sessions(closes), short=1, long=3, hold=3)
    assert events == {3: BUY, 6: EXIT, 9: BUY}


def test_the_fixed_average_needs_a_day_before_the_crossing():
    closes = [10.0, 11.0, 12.0, 13.0, 14.0]
    assert list_events("bll_fixed_ma", build_sessions(closes), short=1, long=3) == {}


def test_a_range_break_enters_beyond_the_closes_before_it_and_holds_ten_days():
    #          0     1     2     3     4
    closes = [10.0, 12.0, 11.0, 12.0, 12.1, *[13.0 + t for t in range(9)], 30.0, 31.0, 5.0]
    bars = build_sessions(closes)
    # Bar 3 equals the maximum, bar 4 passes it; new maxima until bar 14 are ignored, and bar 15 is
    # the next signal, left too late for this market.
    assert list_events("bll_range_break", bars, window=3) == {4: BUY, 14: EXIT, 15: BUY}
    positions = list_positions(run_rule("bll_range_break", bars, window=3), bars)
    assert positions == [0] * 4 + [1] * 10 + [0, 1, 1]


def test_a_range_break_to_the_downside_sells_and_a_band_asks_for_more():
    closes = [10.0, 10.0, 10.0, 9.95, 9.7, 9.7]
    assert list_events("bll_range_break", build_sessions(closes), window=3, hold=2) == {
        3: SELL,
        5: EXIT,
    }
    assert list_events("bll_range_break", build_sessions(closes), window=3, hold=2, band=0.01) == {
        4: SELL
    }


def test_a_trade_of_a_fixed_holding_period_lasts_exactly_ten_bars():
    closes = [10.0] * 60 + [11.0] + [11.0] * 20
    bars = build_sessions(closes)
    output = run_rule("bll_range_break", bars)
    config = build_engine_config(
        TradingSpec(fill="same_close", fee_rate=0.0).model_dump(), bars.periods_per_year
    )
    args = (bars.open, bars.high, bars.low, bars.close, output.signal, None)
    trades = run_engine(*args, config).trades
    assert (trades.entry_idx.tolist(), trades.exit_idx.tolist()) == ([60], [70])


def test_rsi2_buys_a_dip_in_an_uptrend_and_leaves_above_the_short_average():
    # Rises for 10 bars, dips for two: RSI(2) after gains of 1 and falls of 3: 14.3, then 2.9.
    closes = [100.0 + t for t in range(11)] + [107.0, 104.0, 105.0, 109.0, 110.0]
    bars = build_sessions(closes)
    params = {"trend": 10, "exit_window": 5}
    output = run_rule("connors_rsi2", bars, **params)
    rsi = output.indicators["rsi"]
    assert rsi[11] == pytest.approx(25.0)
    assert rsi[12] == pytest.approx(100 * 0.25 / 2.5)
    # Bar 12: 104 against SMA(10) of 105.5: no uptrend. Bought only with a longer average.
    assert list_events("connors_rsi2", bars, oversold=11, **params) == {}
    params["trend"] = 12
    assert closes[12] < np.mean(closes[1:13])
    deep = [50.0, 60.0, *closes]
    events = list_events("connors_rsi2", build_sessions(deep), oversold=11, trend=15, exit_window=5)
    # 104 tops the mean of all 15 closes; 105 is below the mean of five (107), 109 above it (107).
    assert events == {14: BUY, 16: EXIT}


def test_rsi2_may_buy_again_on_the_bar_after_an_exit_but_not_on_it():
    market = build_sessions([10.0 + 3 * (t % 2) + t for t in range(40)])
    signal = run_rule("connors_rsi2", market, oversold=60, trend=5, exit_window=2).signal
    found = signal[signal != 0].tolist()
    assert found == ([BUY, EXIT] * len(found))[: len(found)]
    assert len(found) > 10


def test_the_52_week_high_rule_is_long_within_five_percent_of_the_high():
    closes = [100.0, 90.0, 95.0, 94.9, 100.0, 94.0, 94.0, 94.0, 94.0]
    bars = build_sessions(closes)
    #  highest of 4:  -     -     -   100   100   100   100   100    94
    assert list_events("week52_high", bars, window=4) == {4: BUY, 5: EXIT, 8: BUY}
    # 95 is exactly 95 % of 100.
    assert list_events("week52_high", build_sessions([100.0, 95.0]), window=2) == {1: BUY}


def test_time_series_momentum_follows_the_sign_of_the_twelve_month_return():
    closes = [100.0] * 12 + [101.0, 102.0, 100.0, 99.0, 98.0]
    bars = build_months(closes)
    # Month 12 is up on month 0; month 14 stands where month 2 stood; month 15 is down.
    assert list_events("tsmom", bars) == {12: BUY, 14: EXIT, 15: SELL}
    assert list_positions(run_rule("tsmom", bars), bars) == [0] * 12 + [1, 1, 0, -1, -1]
    assert list_events("absolute_momentum", bars) == {12: BUY, 14: EXIT}


def test_momentum_must_exceed_the_cash_rate_of_the_same_time():
    closes = [100.0] * 12 + [104.0, 106.0]
    assert list_events("tsmom", build_months(closes), cash_rate=0.05) == {12: SELL, 13: BUY}
    assert list_events("absolute_momentum", build_months(closes), cash_rate=0.05) == {13: BUY}
    # Over 6 months bills return 2.47 %.
    half = [100.0] * 6 + [102.4, 102.5]
    params = {"cash_rate": 0.05, "lookback_months": 6}
    assert list_events("absolute_momentum", build_months(half), **params) == {7: BUY}


def test_monthly_rules_decide_daily_bars_at_the_months_last_session():
    # 2001-01-31, 02-28, 03-30 and 04-30 are the month ends: bars 20, 39, 61 and 81.
    closes = np.full(100, 50.0)
    closes[20:39], closes[39:61], closes[61:81], closes[81:] = 51.0, 52.0, 53.0, 40.0
    bars = build_sessions(closes.tolist())
    assert list_events("tsmom", bars, lookback_months=1) == {39: BUY, 81: SELL}
    assert list_events("faber_timing", bars, months=3) == {61: BUY, 81: EXIT}


def test_faber_counts_the_current_month_end_in_the_average():
    closes = [10.0] * 9 + [10.0, 11.0, 10.0, 9.0]
    # Averages of ten: 10 at month 9 (not above), 10.1 at 10, 10.1 at 11, 10 at 12.
    assert list_events("faber_timing", build_months(closes)) == {10: BUY, 11: EXIT}


def test_faber_buys_at_the_first_month_end_with_an_average():
    closes = [10.0 + t for t in range(10)]
    assert list_events("faber_timing", build_months(closes)) == {9: BUY}


def test_momentum_of_cohorts_takes_the_side_of_most_of_them():
    #          0     1     2     3     4     5     6
    closes = [10.0, 11.0, 12.0, 11.0, 10.0, 9.0, 10.0]
    # signs of J=1:  +     +     -     -     -     +
    # sums of K=3:   1     2     1    -1    -3    -1
    events = list_events("jt_momentum", build_months(closes), formation_months=1, holding_months=3)
    assert events == {1: BUY, 4: SELL}
    # K=2: 1, 2, 0, -2, -2, 0: cohorts that balance leave no position.
    events = list_events("jt_momentum", build_months(closes), formation_months=1, holding_months=2)
    assert events == {1: BUY, 3: EXIT, 4: SELL, 6: EXIT}


def test_reversal_buys_after_a_loss_and_judges_anew_when_the_holding_period_is_over():
    #          0     1    2    3    4     5     6    7    8
    closes = [10.0, 9.0, 8.0, 9.5, 10.0, 11.0, 9.0, 9.0, 12.0]
    # Two-month returns: month 2 loses; held to month 4, a gain: EXIT. Month 6 loses, held to 8.
    events = list_events(
        "long_term_reversal", build_months(closes), formation_months=2, holding_months=2
    )
    assert events == {2: BUY, 4: EXIT, 6: BUY, 8: EXIT}
    falling = [10.0 - t for t in range(9)]
    events = list_events(
        "long_term_reversal", build_months(falling), formation_months=2, holding_months=2
    )
    assert events == {2: BUY}, "another loss at the end of the holding period holds on"


def build_turtle_market(*moves: tuple[int, float]) -> Bars:
    """Build bars at 100 with a range of 2, so that N is 2, then (bars, close) one by one."""
    closes = [100.0] * 21
    for count, close in moves:
        closes += [close] * count
    return build_sessions(closes, spread=1.0)


def test_turtles_take_the_first_breakout_and_leave_at_the_ten_day_extreme():
    # The highest high is 101: a close at 101 on bar 21 does not pass it. Bar 22 passes that bar's
    # high of 102; from bar 32 on the 10-day low is 101.5.
    bars = build_turtle_market((1, 101.0), (12, 102.5), (1, 101.4))
    assert list_events("turtle_20_10", bars) == {22: BUY, 34: EXIT}


def test_turtles_skip_the_breakout_after_one_that_won_and_take_the_failsafe():
    up = (1, 103.0), (12, 110.0)  # breakout on bar 21, at 103
    leave = (1, 108.0)  # below the 10-day low of 109, above 103: won, on bar 34
    again = (8, 108.0), (1, 111.5)  # above the 20-day high of 111: skipped, but for the failsafe
    bars = build_turtle_market(*up, leave, *again)
    assert list_events("turtle_20_10", bars, failsafe=100) == {21: BUY, 34: EXIT}
    # With 40 bars before it the failsafe channel is complete, and its high is 111 as well.
    assert list_events("turtle_20_10", bars, failsafe=40) == {21: BUY, 34: EXIT, 43: BUY}


def test_turtles_take_the_breakout_after_one_that_moved_two_n_against():
    # Breakout at 102 on bar 21; N is about 2. A close at 97 lies more than 2 N below: lost. It is
    # also below the 10-day low, so that the position is left.
    lost = build_turtle_market((1, 102.0), (1, 97.0), (1, 104.0))
    assert list_events("turtle_20_10", lost, failsafe=1000) == {21: BUY, 22: SELL, 23: BUY}


def test_a_skipped_breakout_counts_for_the_next_one_taken_or_not():
    up = (1, 103.0), (12, 110.0), (1, 108.0)  # taken, won
    skipped = (8, 108.0), (1, 111.5)  # skipped; it then loses without profit at the 10-day low
    back = (1, 106.0), (30, 106.0), (1, 107.5)  # after it, a breakout on the last bar is taken
    bars = build_turtle_market(*up, *skipped, *back)
    events = list_events("turtle_20_10", bars, failsafe=1000)
    assert [t for t, signal in events.items() if signal == BUY] == [21, bars.n_bars - 1]


def test_the_slow_turtle_system_takes_every_breakout_and_turns_over_on_the_other_side():
    closes = [100.0] * 6 + [102.0, 102.0, 98.0, 98.0, 104.0]
    bars = build_sessions(closes, spread=1.0)
    events = list_events("turtle_55_20", bars, entry=5, exit=3)
    assert events == {6: BUY, 8: SELL, 10: BUY}
    assert list_positions(run_rule("turtle_55_20", bars, entry=5, exit=3), bars)[6:] == [
        1,
        1,
        -1,
        -1,
        1,
    ]
