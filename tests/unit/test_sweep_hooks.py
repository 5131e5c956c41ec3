"""Sweep hooks give the events of the rules they stand for, bit for bit."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backtest.bars import Bars, adjust_bars, build_bars
from backtest.signal_events import SignalEvents
from rules import indicator_kernels as kernels
from rules import macd_lanes
from rules.base_rule import BaseRule, Parameter, SignalPart, list_rules
from rules.rule_validator import truncate_bars, validate_params
from rules.sweep_hooks import IndicatorRows, TooManyRows, build_level_crosses, collect_columns
from storage.bar_files import load_bar_file

DATA = Path(__file__).parents[2] / "data"
HOOKED = {rule.metadata.name: rule for rule in list_rules() if rule.signal_parts()}


@pytest.fixture(scope="module")
def aapl() -> Bars:
    return adjust_bars(load_bar_file(DATA / "AAPL.csv")[0])


def build_flat_bars(n_bars: int = 700) -> Bars:
    """Build bars of whole prices that often stand still, so that averages meet exactly."""
    rng = np.random.default_rng(3)
    close = 50.0 + np.cumsum(rng.integers(-1, 2, n_bars) * (rng.random(n_bars) > 0.5))
    stamps = 1_700_000_000_000_000_000 + 300_000_000_000 * np.arange(n_bars)
    volume = rng.integers(0, 9, n_bars).astype(float)
    return build_bars(stamps, close, close + 0.5, close - 0.5, close, volume)[0]


def draw_value(parameter: Parameter, rng: np.random.Generator) -> Any:
    if parameter.type == "bool":
        return bool(rng.integers(2))
    if parameter.type == "choice":
        return str(rng.choice(parameter.choices))
    low, high = parameter.minimum or 0, parameter.maximum or 0
    if parameter.type == "int":
        # Mostly what people ask for, now and then the ends of the range.
        return int(rng.choice([low, high, *rng.integers(low, min(high, low + 250) + 1, 30)]))
    return float(rng.choice([low, high, *np.round(rng.uniform(low, high, 30), 1)]))


def draw_params(rule: BaseRule, rng: np.random.Generator) -> dict[str, Any]:
    while True:
        drawn = {item.name: draw_value(item, rng) for item in rule.metadata.parameters}
        try:
            params = validate_params(rule.metadata, drawn)
        except ValueError:
            continue
        return {**params, **{name: float(rng.uniform(-0.1, 0.2)) for name in rule.metadata.reads}}


def build_columns(rule: BaseRule, part: SignalPart, combos: list[dict[str, Any]]) -> dict[str, Any]:
    kinds = {"int": np.int64, "float": np.float64, "bool": np.bool_, "choice": object}
    types = {item.name: kinds[item.type] for item in rule.metadata.parameters}
    return {
        name: np.array([combo.get(name, 0.0) for combo in combos], dtype=types.get(name))
        for name in part.parameters
    }


def lay_out(events: SignalEvents, i: int, n_bars: int) -> tuple[np.ndarray, np.ndarray]:
    signal, weight = np.zeros(n_bars, np.int8), np.ones(n_bars)
    inside = slice(events.offsets[i], events.offsets[i + 1])
    assert (np.diff(events.bar[inside]) > 0).all(), "in bar order, one event a bar"
    assert events.code[inside].all(), "HOLD is no event"
    signal[events.bar[inside]] = events.code[inside]
    if events.weight.size:
        weight[events.bar[inside]] = events.weight[inside]
    return signal, weight


def unite(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    signal = np.sum([part[0] for part in parts], axis=0, dtype=np.int8)
    weight = np.prod([part[1] for part in parts], axis=0)
    both = np.sum([part[0] != 0 for part in parts], axis=0) > 1
    signal[both] = 0
    return signal, weight


def assert_hook_equals_rule(rule: BaseRule, bars: Bars, combos: list[dict[str, Any]]) -> None:
    rows = IndicatorRows(bars.n_bars, max_bytes=2**28)
    parts = rule.signal_parts()
    assert 1 <= len(parts) <= 2
    tables = [part.compute(bars, rows, build_columns(rule, part, combos)) for part in parts]
    for i, combo in enumerate(combos):
        wanted = rule.compute(bars, **combo)
        # A part without parameters has one signal, whatever the combination.
        laid_out = [lay_out(table, min(i, table.n_signals - 1), bars.n_bars) for table in tables]
        signal, weight = unite(laid_out)
        np.testing.assert_array_equal(signal, wanted.signal, err_msg=str(combo))
        if wanted.weight is not None:
            speaks = wanted.signal != 0
            np.testing.assert_array_equal(weight[speaks], wanted.weight[speaks], str(combo))


@pytest.mark.parametrize("rule", HOOKED.values(), ids=HOOKED)
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**32))
@example(seed=0)
def test_a_hook_gives_the_events_of_its_rule(rule, aapl, seed):
    rng = np.random.default_rng(seed)
    combos = [draw_params(rule, rng) for _ in range(40)]
    assert_hook_equals_rule(rule, aapl, combos)


@pytest.mark.parametrize("rule", HOOKED.values(), ids=HOOKED)
def test_a_hook_gives_the_events_of_its_rule_where_prices_stand_still(rule):
    rng = np.random.default_rng(7)
    assert_hook_equals_rule(rule, build_flat_bars(), [draw_params(rule, rng) for _ in range(50)])


@pytest.mark.parametrize("n_bars", [2, 3, 9, 40])
@pytest.mark.parametrize("rule", HOOKED.values(), ids=HOOKED)
def test_bars_shorter_than_the_warm_up_are_no_error(rule, aapl, n_bars):
    rng = np.random.default_rng(n_bars)
    combos = [validate_params(rule.metadata, {}), *(draw_params(rule, rng) for _ in range(9))]
    assert_hook_equals_rule(rule, truncate_bars(aapl, n_bars), combos)


def test_the_rules_that_ship_have_hooks():
    assert set(HOOKED) >= {"rsi", "macd", "rsi_macd", "sma_cross", "buy_and_hold"}


def test_a_signal_does_not_depend_on_its_neighbours_in_the_batch(aapl):
    rng = np.random.default_rng(11)
    rule = HOOKED["macd"]
    (part,) = rule.signal_parts()
    combos = [draw_params(rule, rng) for _ in range(macd_lanes.N_LANES + 3)]
    rows = IndicatorRows(aapl.n_bars)
    table = part.compute(aapl, rows, build_columns(rule, part, combos))
    for i in (0, 5, macd_lanes.N_LANES - 1, macd_lanes.N_LANES + 2):
        alone = part.compute(aapl, rows, build_columns(rule, part, [combos[i]]))
        for got, wanted in zip(
            lay_out(table, i, aapl.n_bars), lay_out(alone, 0, aapl.n_bars), strict=True
        ):
            np.testing.assert_array_equal(got, wanted)


def test_events_outgrow_the_first_buffer():
    n_bars = 1000
    rows = np.tile(np.array([0.0, 2.0]), (1, n_bars // 2))
    events = build_level_crosses(rows, np.zeros(500, np.int32), 1.0, 1.0, 2)
    np.testing.assert_array_equal(np.diff(events.offsets), 500)
    np.testing.assert_array_equal(events.bar.reshape(500, 500)[499], np.arange(1, n_bars, 2))
    assert (events.code == 2).all()


def test_columns_carry_weights():
    def fill(i: int, signal: np.ndarray, weight: np.ndarray) -> None:
        signal[[1, 3]] = 1, -1
        weight[3] = i / 4

    events = collect_columns(5, 3, fill, weighted=True)
    np.testing.assert_array_equal(events.bar, [1, 3] * 3)
    np.testing.assert_array_equal(events.code, [1, -1] * 3)
    np.testing.assert_array_equal(events.weight, [1, 0, 1, 0.25, 1, 0.5])
    plain = collect_columns(5, 3, lambda i, signal: signal.__setitem__(i, 2))
    np.testing.assert_array_equal(plain.bar, [0, 1, 2])
    assert plain.weight.size == 0


class _CountingFill:
    def __init__(self) -> None:
        self.windows: list[tuple[int, ...]] = []

    def __call__(self, *arguments: Any) -> None:
        *windows, out = arguments
        self.windows.append(tuple(windows))
        out[:] = sum(windows)


def test_each_distinct_window_is_computed_once():
    fill, rows = _CountingFill(), IndicatorRows(4)
    first, first_idx = rows.get("x", np.array([5, 3, 5, 5]), fill)
    again, again_idx = rows.get("x", np.array([3, 8]), fill)
    assert fill.windows == [(3,), (5,), (8,)]
    np.testing.assert_array_equal(first[first_idx, 0], [5, 3, 5, 5])
    np.testing.assert_array_equal(again[again_idx, 0], [3, 8])


def test_a_row_may_depend_on_several_numbers():
    fill, rows = _CountingFill(), IndicatorRows(4)
    values, row_idx = rows.get("x", np.array([[1, 1, 2], [10, 10, 20]]), fill)
    assert sorted(fill.windows) == [(1, 10), (2, 20)]
    np.testing.assert_array_equal(values[row_idx, 0], [11, 11, 22])


def test_rows_are_forgotten_within_the_budget_but_those_handed_out_stay():
    fill, rows = _CountingFill(), IndicatorRows(100, max_bytes=4 * 800)
    held, held_idx = rows.get("x", np.array([1, 2, 3, 4]), fill)
    for window in range(5, 40):
        values, row_idx = rows.get("x", np.array([window]), fill)
        assert values[row_idx[0], 0] == window
        assert values.shape[0] <= 4
    np.testing.assert_array_equal(held[held_idx, 0], [1, 2, 3, 4])
    with pytest.raises(TooManyRows, match="9 rows of y, room for 4"):
        rows.get("y", np.arange(9), fill)


def test_a_fill_that_raises_leaves_no_row_behind():
    rows = IndicatorRows(4)

    def fail(window: int, out: np.ndarray) -> None:
        out[:] = -1.0
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        rows.get("x", np.array([1]), fail)
    values, row_idx = rows.get("x", np.array([1]), _CountingFill())
    assert values[row_idx[0], 0] == 1


def test_threads_share_rows(aapl):
    rows = IndicatorRows(aapl.n_bars, max_bytes=20 * 8 * aapl.n_bars)
    wrong: list[int] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(20):
            windows = rng.integers(1, 60, 12)
            values, row_idx = rows.get(
                "sma", windows, lambda window, out: kernels.fill_sma(aapl.close, window, out)
            )
            for window, row in zip(windows, row_idx, strict=True):
                out = np.empty(aapl.n_bars)
                kernels.fill_sma(aapl.close, window, out)
                if not np.array_equal(values[row], out, equal_nan=True):
                    wrong.append(int(window))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_hook_names_parameters_that_its_rule_declares():
    for rule in HOOKED.values():
        declared = {item.name for item in rule.metadata.parameters}
        for part in rule.signal_parts():
            assert set(part.parameters) <= declared | set(rule.metadata.reads)
