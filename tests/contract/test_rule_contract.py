"""What every registered rule owes the platform, on every dataset that ships; plug-ins as well."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtest.bars import COLUMNS, Bars, adjust_bars, build_bars
from rules.base_rule import BaseRule, Parameter, RuleMetadata, RuleOutput, Signal, list_rules
from rules.rule_validator import (
    LookaheadError,
    check_no_lookahead,
    truncate_bars,
    validate_params,
)
from rules.spec import TradingSpec
from storage.bar_files import load_bar_file

DATA = Path(__file__).parents[2] / "data"
RULES = {rule.metadata.name: rule for rule in list_rules()}

PRICES = ("open", "high", "low", "close")


def load_daily_bars(symbol: str) -> Bars:
    return adjust_bars(load_bar_file(DATA / f"{symbol}.csv")[0])


def build_random_bars(n_bars: int, seed: int) -> Bars:
    """Build half-day bars of a random walk with flat stretches: four years, for monthly rules."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(0, 0.01, n_bars) * (rng.random(n_bars) > 0.2)
    close = 20 * np.exp(np.cumsum(steps))
    opening = np.concatenate([[20.0], close[:-1]])
    high, low = np.maximum(opening, close) * 1.001, np.minimum(opening, close) * 0.999
    stamps = 1_600_000_000_000_000_000 + 43_200_000_000_000 * np.arange(n_bars)
    return build_bars(stamps, opening, high, low, close, rng.uniform(0, 1e6, n_bars))[0]


@pytest.fixture(scope="module")
def datasets() -> dict[str, Bars]:
    shipped = {symbol: load_daily_bars(symbol) for symbol in ("AAPL", "IBM", "MSFT")}
    return {**shipped, "random": build_random_bars(3000, 4)}


@pytest.fixture(scope="module", params=["AAPL", "IBM", "MSFT", "random"])
def bars(request, datasets) -> Bars:
    return datasets[request.param]


@pytest.fixture(params=RULES)
def rule(request) -> BaseRule:
    return RULES[request.param]


def get_defaults(rule: BaseRule) -> dict[str, Any]:
    return validate_params(rule.metadata, {})


def get_extremes(parameter: Parameter) -> tuple[Any, ...]:
    if parameter.type == "bool":
        return (False, True)
    if parameter.type == "choice":
        return parameter.choices
    assert parameter.minimum is not None, "a range without end cannot be swept"
    assert parameter.maximum is not None, "a range without end cannot be swept"
    whole = parameter.type == "int"
    return tuple(int(x) if whole else float(x) for x in (parameter.minimum, parameter.maximum))


def list_extreme_params(rule: BaseRule) -> list[dict[str, Any]]:
    """Return every combination of the ends of all ranges that the constraints allow."""
    names = [parameter.name for parameter in rule.metadata.parameters]
    ends = [get_extremes(parameter) for parameter in rule.metadata.parameters]
    allowed = []
    for values in product(*ends):
        try:
            allowed.append(validate_params(rule.metadata, dict(zip(names, values, strict=True))))
        except ValueError:
            continue
    return allowed


def assert_well_formed(output: RuleOutput, n_bars: int) -> None:
    assert output.signal.dtype == np.int8
    assert output.signal.shape == (n_bars,)
    assert set(np.unique(output.signal)) <= {int(signal) for signal in Signal}
    if output.weight is not None:
        assert output.weight.dtype == np.float64
        assert output.weight.shape == (n_bars,)
        assert ((output.weight >= 0) & (output.weight <= 1)).all()
    for name, values in output.indicators.items():
        assert name.isidentifier()
        assert values.dtype == np.float64
        assert values.shape == (n_bars,)
        assert not np.isinf(values).any()


def test_there_are_rules_to_hold_to_the_contract():
    assert set(RULES) >= {"rsi", "macd", "rsi_macd", "sma_cross", "buy_and_hold"}


def test_a_rule_tells_what_it_needs_and_does(rule):
    metadata = rule.metadata
    assert metadata.name.isidentifier()
    assert metadata.name == metadata.name.lower()
    assert metadata.title
    assert 0 < len(metadata.summary) <= 100
    assert "\n" not in metadata.summary
    for parameter in metadata.parameters:
        assert parameter.name.isidentifier()
        assert 0 < len(parameter.help) <= 100
        assert len(get_extremes(parameter)) >= 2
    assert list(validate_params(metadata, {})) == [item.name for item in metadata.parameters]
    for name in metadata.reads:
        assert isinstance(getattr(TradingSpec(), name), float), "a trading setting, a number"


def test_output_is_well_formed_and_the_rule_acts(rule, bars):
    output = rule.compute(bars, **get_defaults(rule))
    assert_well_formed(output, bars.n_bars)
    assert (output.signal == Signal.BUY).any(), "on 3,000 bars a default rule does something"


def test_the_same_bars_give_the_same_output(rule, bars):
    first, second = (rule.compute(bars, **get_defaults(rule)) for _ in range(2))
    np.testing.assert_array_equal(first.signal, second.signal)
    assert first.indicators.keys() == second.indicators.keys()
    for name, values in first.indicators.items():
        np.testing.assert_array_equal(values, second.indicators[name])


def test_no_signal_before_warm_up_has_ended(rule, bars):
    params = get_defaults(rule)
    output = rule.compute(bars, **params)
    first_idx = int(np.flatnonzero(output.signal)[0])
    assert first_idx >= rule.warmup_bars(**params)


def test_overlays_are_the_indicators_that_are_prices(rule, bars):
    params = get_defaults(rule)
    dearer = replace(bars, **{name: getattr(bars, name) * 1024.0 for name in PRICES})
    indicators, scaled = (rule.compute(each, **params).indicators for each in (bars, dearer))
    assert set(rule.metadata.overlays) <= set(indicators)
    for name, values in indicators.items():
        known = np.isfinite(values)
        # A price is near the close and grows with it; MACD only grows, RSI only may be near.
        is_near = 0.3 < np.median(values[known] / bars.close[known]) < 3.0
        grows = np.allclose(scaled[name][known], values[known] * 1024.0)
        assert (is_near and grows) == (name in rule.metadata.overlays), name


def test_indicators_are_numbers_once_warm_up_has_ended(rule, bars):
    params = get_defaults(rule)
    counts_months = any(item.unit == "months" for item in rule.metadata.parameters)
    for values in rule.compute(bars, **params).indicators.values():
        start = rule.warmup_bars(**params)
        if counts_months:  # how many bars a month has depends on the data
            start = max(start, int(np.flatnonzero(np.isfinite(values))[0]))
        assert np.isfinite(values[start:]).all()


@pytest.mark.parametrize("n_bars", [2, 3, 15, 35])
def test_inputs_shorter_than_the_warm_up_give_no_signal_and_no_error(rule, bars, n_bars):
    for params in (get_defaults(rule), *list_extreme_params(rule)):
        output = rule.compute(truncate_bars(bars, n_bars), **params)
        assert_well_formed(output, n_bars)
        if rule.warmup_bars(**params) >= n_bars:
            assert not output.signal.any()


def test_the_bars_stay_as_they_were(rule, bars):
    before = {name: getattr(bars, name).tobytes() for name in COLUMNS}
    rule.compute(bars, **get_defaults(rule))
    assert {name: getattr(bars, name).tobytes() for name in COLUMNS} == before


def test_the_ends_of_every_range_work(rule, bars):
    for params in list_extreme_params(rule):
        output = rule.compute(bars, **params)
        assert_well_formed(output, bars.n_bars)
        signal_idx = np.flatnonzero(output.signal)
        assert (signal_idx >= rule.warmup_bars(**params)).all()


def test_no_rule_looks_ahead(rule, bars):
    check_no_lookahead(rule, bars, get_defaults(rule))


def test_no_rule_looks_ahead_at_the_ends_of_its_ranges(rule, datasets):
    for params in list_extreme_params(rule):
        check_no_lookahead(rule, datasets["random"], params)


class _CheatingRule(BaseRule):
    """Takes what to return from a function of the closes; the base of the rules that cheat."""

    metadata = RuleMetadata(name="cheat", title="Cheat", summary="Reads tomorrow's paper")

    def __init__(self, build_output) -> None:
        self._build_output = build_output

    def warmup_bars(self, **params: Any) -> int:
        return 0

    def compute(self, bars: Bars, **params: Any) -> RuleOutput:
        return self._build_output(bars.close)


def build_events(buy: np.ndarray) -> np.ndarray:
    return buy.astype(np.int8)


def peek_at_next_close(close):
    buy = np.zeros(close.size, dtype=bool)
    buy[:-1] = close[1:] > close[:-1] * 1.03
    return RuleOutput(build_events(buy))


def compare_with_the_mean_of_all(close):
    above = close > close.mean()
    return RuleOutput(build_events(above & ~np.roll(above, 1)))


def sell_on_the_last_bar(close):
    signal = np.zeros(close.size, dtype=np.int8)
    signal[-1] = Signal.SELL
    return RuleOutput(signal)


def shift_the_wrong_way(close):
    indicator = np.append(close[1:], np.nan)
    return RuleOutput(np.zeros(close.size, dtype=np.int8), indicators={"average": indicator})


def weigh_by_the_highest_close_of_all(close):
    return RuleOutput(np.zeros(close.size, dtype=np.int8), weight=close / close.max())


@pytest.mark.parametrize(
    ("build_output", "column"),
    [
        (peek_at_next_close, "signal"),
        (compare_with_the_mean_of_all, "signal"),
        (sell_on_the_last_bar, "signal"),
        (shift_the_wrong_way, "indicators.average"),
        (weigh_by_the_highest_close_of_all, "weight"),
    ],
)
def test_a_rule_that_cheats_is_caught(build_output, column, bars):
    with pytest.raises(LookaheadError, match="rule 'cheat' looks ahead") as caught:
        check_no_lookahead(_CheatingRule(build_output), bars, {})
    assert caught.value.column == column
