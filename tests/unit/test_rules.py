"""What each rule signals, and on which bar: small markets worked by hand, and obvious twins."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.bars import Bars, build_bars
from rules.base_rule import RuleOutput, get_rule
from rules.rule_validator import validate_params
from tests.unit import indicator_twins as twins

DAY_NS = 86_400_000_000_000


def build_closes(close: list[float]) -> Bars:
    stamps = DAY_NS * np.arange(len(close))
    return build_bars(stamps, close, close, close, close)[0]


def run_rule(name: str, close: list[float], **params: Any) -> RuleOutput:
    rule = get_rule(name)
    assert rule is not None
    return rule.compute(build_closes(close), **validate_params(rule.metadata, params))


def list_events(output: RuleOutput) -> dict[int, int]:
    """Return the signal by bar index where there is one."""
    return {int(t): int(output.signal[t]) for t in np.flatnonzero(output.signal)}


# Window 2: gains and losses halve with every bar, so RSI can be followed by hand.
#  bar          0     1     2      3      4      5      6      7
CLOSES = [10.0, 11.0, 10.0, 9.0, 8.0, 10.0, 12.0, 11.0]
# G              -     -    .5    .25   .125  1.0625 1.53  .766
# L              -     -    .5    .75   .875   .4375 .219  .609
# RSI                      50     25   12.5    70.8   87.5  55.7


@pytest.mark.parametrize(
    ("trigger", "events"),
    [
        ("enter_zone", {3: 1, 5: -1}),  # below 30 on bar 3, above 70 on bar 5
        ("exit_zone", {5: 1, 7: -1}),  # back above 30 on bar 5, back below 70 on bar 7
    ],
)
def test_rsi_acts_where_it_enters_or_leaves_a_zone(trigger, events):
    output = run_rule("rsi", CLOSES, window=2, trigger=trigger)
    assert list_events(output) == events
    expected = [math.nan, math.nan, 50.0, 25.0, 12.5, 100 * 1.0625 / 1.5, 87.5, 55.681818181818]
    np.testing.assert_allclose(output.indicators["rsi"], expected, rtol=1e-12)


def test_rsi_on_its_level_is_not_yet_beyond_it():
    # RSI is exactly 50 on bar 2 and 25 on bar 3.
    assert list_events(run_rule("rsi", CLOSES[:4], window=2, oversold=25)) == {}
    assert list_events(run_rule("rsi", CLOSES[:4], window=2, oversold=25.1)) == {3: 1}
    # Touching the level counts as "not beyond" for the bar before: 50 -> 25 crosses below 50.
    assert list_events(run_rule("rsi", CLOSES[:4], window=2, oversold=50, overbought=90)) == {3: 1}


def test_rsi_does_not_signal_on_its_first_value_however_extreme():
    falling = [float(close) for close in range(20, 1, -1)]
    output = run_rule("rsi", falling, window=5)
    assert output.indicators["rsi"][5] == 0.0
    assert list_events(output) == {}


def test_sma_cross_acts_on_the_bar_of_the_crossing():
    #                 0    1    2    3    4    5    6    7
    closes = [10.0, 10.0, 10.0, 13.0, 13.0, 7.0, 7.0, 7.0]
    # SMA(2)          -   10   10  11.5  13   10    7    7
    # SMA(3)          -    -   10   11   12   11    9    7
    output = run_rule("sma_cross", closes, fast=2, slow=3)
    assert list_events(output) == {3: 1, 5: -1}
    np.testing.assert_array_equal(output.indicators["sma_fast"][2:], [10, 11.5, 13, 10, 7, 7])
    np.testing.assert_array_equal(output.indicators["sma_slow"][2:], [10, 11, 12, 11, 9, 7])


def test_sma_cross_takes_the_price_itself_as_the_fast_average():
    assert list_events(run_rule("sma_cross", [5.0, 5.0, 6.0, 3.0], fast=1, slow=2)) == {2: 1, 3: -1}


def test_buy_and_hold_buys_on_the_first_bar_and_never_again():
    assert run_rule("buy_and_hold", [3.0, 2.0, 1.0, 5.0]).signal.tolist() == [1, 0, 0, 0]


def test_macd_draws_what_it_decides_on():
    output = run_rule("macd", [10 + math.sin(t / 3) for t in range(80)])
    assert list(output.indicators) == ["macd", "macd_signal", "macd_histogram"]
    histogram = output.indicators["macd_histogram"]
    for t, signal in list_events(output).items():
        assert histogram[t] * signal > 0
        assert histogram[t - 1] * signal <= 0
    assert len(list_events(output)) > 3


def test_rsi_and_macd_together_take_the_direction_from_one_and_the_occasion_from_the_other():
    # Falls ever faster, then rises: RSI leaves the oversold zone, and MACD turns up after it.
    closes = [100.0 - t * t / 30 for t in range(40)] + [50.0 + 1.5 * t for t in range(30)]
    params = {"window": 3, "fast": 6, "slow": 13, "signal": 5}
    output = run_rule("rsi_macd", closes, **params, lookback=5)
    rsi, histogram = output.indicators["rsi"], output.indicators["macd_histogram"]
    turn_idx = int(np.flatnonzero(histogram[30:] > 0)[0]) + 30
    last_oversold_idx = int(np.flatnonzero(rsi <= 30)[-1])
    assert last_oversold_idx < turn_idx, "the two conditions hold on different bars"
    assert list_events(output).get(turn_idx) == 1
    too_late = turn_idx - last_oversold_idx  # a lookback of this many bars ends one bar short
    assert turn_idx not in list_events(run_rule("rsi_macd", closes, **params, lookback=too_late))
    just = list_events(run_rule("rsi_macd", closes, **params, lookback=too_late + 1))
    assert just.get(turn_idx) == 1


def test_rsi_on_its_level_counts_as_extreme_for_the_combined_rule():
    # A market that has only fallen has an RSI of exactly 0, one that has only risen of 100.
    falling = [100.0 - t * t / 30 for t in range(40)] + [50.0 + 1.5 * t for t in range(30)]
    rising = [200.0 - close for close in falling]
    params = {"window": 3, "fast": 6, "slow": 13, "signal": 5, "oversold": 0, "overbought": 100}
    assert 1 in list_events(run_rule("rsi_macd", falling, **params, lookback=20)).values()
    assert -1 in list_events(run_rule("rsi_macd", rising, **params, lookback=20)).values()


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("rsi", {"window": 3, "oversold": 40, "overbought": 60}),
        ("rsi", {"window": 3, "oversold": 40, "overbought": 60, "trigger": "exit_zone"}),
        ("macd", {"fast": 2, "slow": 4, "signal": 3}),
        ("rsi_macd", {"window": 3, "fast": 2, "slow": 4, "signal": 3, "oversold": 45}),
        ("rsi_macd", {"window": 9, "fast": 2, "slow": 4, "signal": 3, "oversold": 45}),
        ("sma_cross", {"fast": 2, "slow": 5}),
        ("buy_and_hold", {}),
    ],
)
def test_warm_up_ends_on_the_first_bar_that_can_signal(name, params):
    rule = get_rule(name)
    assert rule is not None
    warmup_bars = rule.warmup_bars(**validate_params(rule.metadata, params))
    first_events = []
    for seed in range(60):
        steps = np.random.default_rng(seed).normal(0, 0.05, 40)
        output = run_rule(name, (100 * np.exp(np.cumsum(steps))).tolist(), **params)
        first_events += sorted(list_events(output))[:1]
    assert min(first_events) == warmup_bars


def build_twin_events(buy: list[bool], sell: list[bool]) -> list[int]:
    return [int(b) - int(s) for b, s in zip(buy, sell, strict=True)]


def compute_twin_signal(name: str, close: list[float], params: dict[str, Any]) -> list[int]:
    """Compute a rule's signal the slow way."""
    n = len(close)
    if name == "sma_cross":
        fast, slow = twins.sma(close, params["fast"]), twins.sma(close, params["slow"])
        crosses = twins.crosses_above(fast, slow), twins.crosses_above(slow, fast)
        return build_twin_events(*crosses)
    if name == "macd":
        line, signal, _ = twins.macd(close, params["fast"], params["slow"], params["signal"])
        crosses = twins.crosses_above(line, signal), twins.crosses_above(signal, line)
        return build_twin_events(*crosses)
    rsi = twins.rsi(close, params["window"])
    low, high = [params["oversold"]] * n, [params["overbought"]] * n
    if name == "rsi" and params["trigger"] == "enter_zone":
        return build_twin_events(twins.crosses_above(low, rsi), twins.crosses_above(rsi, high))
    if name == "rsi":
        return build_twin_events(twins.crosses_above(rsi, low), twins.crosses_above(high, rsi))
    line, signal, _ = twins.macd(close, params["fast"], params["slow"], params["signal"])
    was_low = twins.recent([v <= params["oversold"] for v in rsi], params["lookback"])
    was_high = twins.recent([v >= params["overbought"] for v in rsi], params["lookback"])
    buys = [line[t] > signal[t] and was_low[t] for t in range(n)]
    sells = [line[t] < signal[t] and was_high[t] for t in range(n)]
    return build_twin_events(
        [buys[t] and not (t > 0 and buys[t - 1]) for t in range(n)],
        [sells[t] and not (t > 0 and sells[t - 1]) for t in range(n)],
    )


@st.composite
def rule_cases(draw):
    fast, slow = sorted(draw(st.lists(st.integers(1, 9), min_size=2, max_size=2, unique=True)))
    cases = {
        "sma_cross": {"fast": fast, "slow": slow},
        "macd": {"fast": fast, "slow": slow, "signal": draw(st.integers(1, 5))},
        "rsi": {
            "window": draw(st.integers(2, 6)),
            "oversold": 33.0,
            "overbought": draw(st.sampled_from([51.0, 67.0])),
            "trigger": draw(st.sampled_from(["enter_zone", "exit_zone"])),
        },
    }
    cases["rsi_macd"] = {**cases["rsi"], **cases["macd"], "lookback": draw(st.integers(1, 6))}
    del cases["rsi_macd"]["trigger"]
    name = draw(st.sampled_from(sorted(cases)))
    return name, cases[name]


@settings(deadline=None, max_examples=150)
@given(rule_cases(), st.integers(0, 10_000), st.integers(2, 80))
def test_every_rule_signals_where_its_twin_does(case, seed, n_bars):
    name, params = case
    rng = np.random.default_rng(seed)
    close = (100 * np.exp(np.cumsum(rng.normal(0, 0.05, n_bars)))).tolist()
    assert run_rule(name, close, **params).signal.tolist() == compute_twin_signal(
        name, close, params
    )
