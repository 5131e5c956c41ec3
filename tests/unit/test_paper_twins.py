"""Every published rule signals what its slow twin does, one by one and through its sweep hook."""

from __future__ import annotations

import random
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.bars import Bars, build_bars
from rules.base_rule import BaseRule, get_rule
from rules.paper_rules.month_ends import find_month_ends, load_calendar
from rules.rule_validator import validate_params
from rules.sweep_hooks import IndicatorRows
from tests.unit import paper_twins as twins

DAY_NS = 86_400_000_000_000
SESSIONS = load_calendar().sessions


def list_days(kind: str, start: int, n_bars: int) -> np.ndarray:
    """Return the times of bars: `start` picks where they begin."""
    if kind == "nyse":
        return SESSIONS[start : start + n_bars].astype("datetime64[ns]").astype(np.int64)
    first = int(SESSIONS[start].astype(np.int64))
    if kind == "intraday":
        return first * DAY_NS + np.arange(n_bars) * (DAY_NS // 2)
    if kind == "weekdays":
        days = first + np.arange(2 * n_bars)
        return days[(days + 3) % 7 < 5][:n_bars] * DAY_NS
    if kind == "monthly":
        months = SESSIONS[start].astype("datetime64[M]") + np.arange(n_bars)
        return months.astype("datetime64[ns]").astype(np.int64)
    return (first + np.arange(n_bars) * {"every_day": 1, "weekly": 7}[kind]) * DAY_NS


def build_walk(stamps: np.ndarray, seed: int, step: float = 0.03) -> Bars:
    rng = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(rng.normal(0, step, stamps.size)))
    opening = np.concatenate([[50.0], close[:-1]])
    reach = 1 + rng.uniform(0, step, (2, stamps.size))
    high, low = np.maximum(opening, close) * reach[0], np.minimum(opening, close) / reach[1]
    return build_bars(stamps, opening, high, low, close)[0]


def list_dates(bars: Bars) -> list[date]:
    return [date(1970, 1, 1) + timedelta(days=int(t // DAY_NS)) for t in bars.timestamps]


def compute_twin(name: str, bars: Bars, params: dict[str, Any]) -> list[int]:
    high, low, close = bars.high.tolist(), bars.low.tolist(), bars.close.tolist()
    if name.startswith("turtle"):
        return getattr(twins, name)(high, low, close, **params)
    daily = {
        "bll_variable_ma": twins.variable_ma,
        "bll_fixed_ma": twins.fixed_ma,
        "bll_range_break": twins.range_break,
        "connors_rsi2": twins.connors,
        "week52_high": twins.week52,
    }
    if name in daily:
        return daily[name](close, **params)
    months = twins.find_months(list_dates(bars), close, bars.spacing)
    if name in ("tsmom", "absolute_momentum"):
        kept = {key: params[key] for key in ("lookback_months", "cash_rate")}
        return twins.momentum(months, bars.n_bars, **kept, goes_short=name == "tsmom")
    if name == "faber_timing":
        return twins.faber(months, bars.n_bars, months_averaged=params["months"])
    return {"jt_momentum": twins.cohorts, "long_term_reversal": twins.reversal}[name](
        months, bars.n_bars, **params
    )


def draw_params(name: str, rng: random.Random) -> dict[str, Any]:
    """Return short windows, so that a short market holds many signals."""
    short = rng.randint(1, 6)
    exit_ = rng.randint(1, 12)
    entry = rng.randint(exit_, 24)
    band = rng.choice([0.0, 0.01, 0.04])
    averages = {"short": short, "long": rng.randint(short + 1, 15), "band": band}
    momentum = {"lookback_months": rng.randint(1, 7), "cash_rate": rng.choice([0.0, 0.03, -0.02])}
    two = {"formation_months": rng.randint(1, 7), "holding_months": rng.randint(1, 7)}
    return {
        "bll_variable_ma": averages,
        "bll_fixed_ma": {**averages, "hold": rng.randint(1, 11)},
        "bll_range_break": {
            "window": rng.randint(1, 12),
            "band": band,
            "hold": rng.randint(1, 11),
        },
        "connors_rsi2": {
            "window": rng.randint(2, 4),
            "oversold": rng.choice([5.0, 20.0, 60.0]),
            "trend": rng.randint(2, 30),
            "exit_window": rng.randint(2, 8),
        },
        "turtle_20_10": {"entry": entry, "exit": exit_, "failsafe": rng.randint(entry, 40)},
        "turtle_55_20": {"entry": entry, "exit": exit_},
        "week52_high": {"window": rng.randint(1, 30), "threshold": rng.choice([0.9, 0.95, 1.0])},
        "tsmom": {
            **momentum,
            "sizing": rng.choice(["constant", "volatility"]),
            "target_volatility": rng.choice([0.2, 0.4]),
        },
        "absolute_momentum": momentum,
        "faber_timing": {"months": rng.randint(1, 8)},
        "jt_momentum": two,
        "long_term_reversal": two,
    }[name]


DAILY = [
    "bll_fixed_ma",
    "bll_range_break",
    "bll_variable_ma",
    "connors_rsi2",
    "turtle_20_10",
    "turtle_55_20",
    "week52_high",
]
MONTHLY = ["absolute_momentum", "faber_timing", "jt_momentum", "long_term_reversal", "tsmom"]
KINDS = ["nyse", "weekdays", "every_day", "weekly", "monthly", "intraday"]


def find_rule(name: str) -> BaseRule:
    rule = get_rule(name)
    assert rule is not None
    return rule


def complete_inputs(rule: BaseRule, drawn: dict[str, Any]) -> dict[str, Any]:
    """Return what `compute` takes: complete parameters, and the trading settings that it reads."""
    names = [item.name for item in rule.metadata.parameters]
    params = validate_params(rule.metadata, {k: v for k, v in drawn.items() if k in names})
    return {**params, **{name: drawn.get(name, 0.0) for name in rule.metadata.reads}}


@pytest.mark.parametrize("name", DAILY)
@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), n_bars=st.integers(2, 250))
def test_a_daily_rule_signals_where_its_twin_does(name, seed, n_bars):
    rng = random.Random(seed)
    bars = build_walk(list_days("nyse", rng.randrange(15_000), n_bars), seed)
    rule = find_rule(name)
    params = complete_inputs(rule, draw_params(name, rng))
    signal = rule.compute(bars, **params).signal
    assert signal.tolist() == compute_twin(name, bars, params)
    assert not signal[: rule.warmup_bars(**params)].any()


@pytest.mark.parametrize("name", MONTHLY)
@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), kind=st.sampled_from(KINDS), n_bars=st.integers(2, 400))
def test_a_monthly_rule_signals_where_its_twin_does(name, seed, kind, n_bars):
    rng = random.Random(seed)
    bars = build_walk(list_days(kind, rng.randrange(13_000), n_bars), seed)
    rule = find_rule(name)
    params = complete_inputs(rule, draw_params(name, rng))
    signal = rule.compute(bars, **params).signal
    assert signal.tolist() == compute_twin(name, bars, params)
    assert not signal[: rule.warmup_bars(**params)].any()


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    kind=st.sampled_from(KINDS),
    n_bars=st.integers(2, 300),
    gaps=st.booleans(),
)
def test_month_ends_are_found_where_a_bar_by_bar_reading_finds_them(seed, kind, n_bars, gaps):
    rng = random.Random(seed)
    stamps = list_days(kind, rng.randrange(15_000), n_bars)
    if gaps and kind != "monthly" and n_bars > 30:
        stamps = np.delete(stamps, [rng.randrange(1, stamps.size - 1) for _ in range(n_bars // 9)])
    bars = build_walk(stamps, seed)
    found = find_month_ends(bars)
    expected = twins.find_months(list_dates(bars), bars.close.tolist(), bars.spacing)
    assert list(zip(found.decided.tolist(), found.close.tolist(), strict=True)) == expected


@pytest.mark.parametrize("name", DAILY + MONTHLY)
def test_the_sweep_hook_of_a_rule_has_the_bits_of_its_computation(name):
    rule = find_rule(name)
    rng = random.Random(1)
    bars = build_walk(list_days("nyse", 12_000, 700), 4)
    cases = [complete_inputs(rule, draw_params(name, rng)) for _ in range(25)]
    cases.append(complete_inputs(rule, {}))
    (part,) = rule.signal_parts()
    assert set(part.parameters) == set(cases[0]), "one part depends on everything"
    columns: dict[str, Any] = {}
    for item in rule.metadata.parameters:
        kind = {"int": np.int64, "float": np.float64, "choice": object}[item.type]
        columns[item.name] = np.array([case[item.name] for case in cases], dtype=kind)
    for read in rule.metadata.reads:
        columns[read] = np.array([case[read] for case in cases])
    events = part.compute(bars, IndicatorRows(bars.n_bars), columns)
    assert events.n_signals == len(cases)
    for i, case in enumerate(cases):
        output = rule.compute(bars, **case)
        mine = slice(events.offsets[i], events.offsets[i + 1])
        bar = np.flatnonzero(output.signal)
        np.testing.assert_array_equal(events.bar[mine], bar)
        np.testing.assert_array_equal(events.code[mine], output.signal[bar])
        if events.weight.size:
            weight = np.ones(bars.n_bars) if output.weight is None else output.weight
            np.testing.assert_array_equal(events.weight[mine], weight[bar])
        else:
            assert output.weight is None


@pytest.mark.parametrize("kind", ["nyse", "weekly", "every_day"])
def test_the_weight_of_momentum_scales_an_entry_down_to_the_target_volatility(kind):
    bars = build_walk(list_days(kind, 9_000, 260), 8, step=0.02)
    rule = find_rule("tsmom")
    params = validate_params(rule.metadata, {"sizing": "volatility", "target_volatility": 0.1})
    weight = rule.compute(bars, **params).weight
    assert weight is not None
    per_year = {"nyse": 261.0, "weekly": 52.0, "every_day": 261.0}[kind]
    assert weight[0] == 1.0
    close = bars.close.tolist()
    for t in range(1, bars.n_bars, 7):
        volatility = twins.ex_ante_volatility(close, t, per_year)
        wanted = 1.0 if volatility == 0 else min(1.0, 0.1 / volatility)
        assert weight[t] == pytest.approx(wanted, rel=1e-9)
    assert (weight < 1).any()


def test_the_volatility_of_a_market_that_stands_still_takes_the_whole_position():
    stamps = list_days("nyse", 100, 50)
    flat = np.full(50, 10.0)
    bars = build_bars(stamps, flat, flat, flat, flat)[0]
    rule = find_rule("tsmom")
    params = validate_params(rule.metadata, {"sizing": "volatility"})
    assert (rule.compute(bars, **params).weight == 1.0).all()
