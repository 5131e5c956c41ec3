"""What the engine refuses, and that its refusal names the input, its value and the remedy."""

from __future__ import annotations

import math

import numpy as np
import pytest

from backtest.engine import (
    DIRECTIONS,
    FILLS,
    SIZE_TYPES,
    EngineConfig,
    build_engine_config,
    run_engine,
    stream_engine,
)
from rules.spec import TradingSpec
from tests.support.engine_tables import FREE

CONFIG = build_engine_config(FREE, 252.0)


def build_inputs():
    prices = np.full(4, 100.0)
    return {
        "open": prices.copy(),
        "high": prices + 1.0,
        "low": prices - 1.0,
        "close": prices.copy(),
        "signal": np.array([1, 0, -1, 2], dtype=np.int8),
        "weight": np.ones(4),
    }


def both_roads(inputs):
    return [
        lambda: run_engine(*inputs.values(), CONFIG),
        lambda: stream_engine(*inputs.values(), CONFIG),
    ]


@pytest.mark.parametrize("name", ["open", "high", "low", "close", "signal", "weight"])
def test_arrays_of_another_length_type_or_layout_are_refused_by_name(name):
    changes = {
        "another length": lambda array: array[:3],
        "another type": lambda array: array.astype(np.float32),
        "another kind of number": lambda array: array.astype(np.int64),
        "another layout": lambda array: np.repeat(array, 2)[::2],
        "two dimensions": lambda array: array.reshape(2, 2),
    }
    for change in changes.values():
        inputs = build_inputs()
        inputs[name] = change(inputs[name])
        for road in both_roads(inputs):
            with pytest.raises(ValueError, match=f"{name}|close"):
                road()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("open", math.nan),
        ("open", 101.5),
        ("open", 98.5),
        ("high", math.inf),
        ("high", math.nan),
        ("low", 0.0),
        ("low", -1.0),
        ("low", math.nan),
        ("close", math.nan),
        ("close", 101.5),
        ("close", 98.5),
    ],
)
def test_prices_that_no_bar_can_have_are_refused(name, value):
    inputs = build_inputs()
    inputs[name][3] = value
    for road in both_roads(inputs):
        with pytest.raises(ValueError, match="prices must be finite and above 0"):
            road()


@pytest.mark.parametrize("value", [-2, 3, 127, -128])
def test_unknown_signals_are_refused(value):
    inputs = build_inputs()
    inputs["signal"][1] = value
    for road in both_roads(inputs):
        with pytest.raises(ValueError, match="signal must hold"):
            road()


@pytest.mark.parametrize("value", [-0.01, 1.01, math.nan, math.inf])
def test_weights_outside_the_unit_interval_are_refused(value):
    inputs = build_inputs()
    inputs["weight"][1] = value
    for road in both_roads(inputs):
        with pytest.raises(ValueError, match=r"weight must be in \[0, 1\]"):
            road()


def test_a_run_without_bars_is_refused():
    inputs = {name: array[:0] for name, array in build_inputs().items()}
    for road in both_roads(inputs):
        with pytest.raises(ValueError, match="at least one bar"):
            road()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("initial_cash", 0.0),
        ("initial_cash", math.nan),
        ("initial_cash", math.inf),
        ("fee_rate", -0.1),
        ("fee_rate", 1.0),
        ("fee_fixed", -1.0),
        ("slippage", 1.0),
        ("size", 0.0),
        ("size", 50.0),
        ("lot_size", -1.0),
        ("stop_loss", 0.0),
        ("stop_loss", 1.0),
        ("take_profit", 0.0),
        ("take_profit", math.inf),
        ("trailing_stop", 1.5),
        ("cash_rate", -1.0),
        ("borrow_rate", math.nan),
        ("periods_per_year", 0.0),
        ("risk_free", -1.0),
        ("mar", math.inf),
    ],
)
def test_configurations_out_of_range_are_refused_by_name(field, value):
    with pytest.raises(ValueError, match=f"^{field} = "):
        build_engine_config({**FREE, field: value}, 252.0)


@pytest.mark.parametrize("field", ["size_type", "direction", "fill"])
def test_unknown_names_and_codes_are_refused(field):
    with pytest.raises(ValueError, match=f"{field} = 'sideways'"):
        build_engine_config({**FREE, field: "sideways"}, 252.0)
    values = {name: getattr(CONFIG, name) for name in FREE}
    with pytest.raises(ValueError, match=f"{field} = 3"):
        EngineConfig(**{**values, field: 3})


def test_the_trading_spec_of_a_request_builds_a_configuration():
    spec = TradingSpec(stop_loss=0.1, direction="long_short", fill="worst_of_bar")
    config = build_engine_config(spec.model_dump(), 252.0)
    assert config.stop_loss == 0.1
    assert math.isnan(config.take_profit)
    assert config.direction == DIRECTIONS["long_short"]
    assert config.fill == FILLS["worst_of_bar"]
    assert config.size_type == SIZE_TYPES["percent"]
    assert config.periods_per_year == 252.0
    assert config.initial_cash == 100_000.0


def test_the_spec_and_the_engine_know_the_same_names():
    schema = TradingSpec.model_json_schema()["properties"]
    assert schema["direction"]["enum"] == ["long_only", "long_short", "short_only"]
    assert set(schema["direction"]["enum"]) == set(DIRECTIONS)
    assert set(schema["fill"]["enum"]) == set(FILLS)
    assert set(schema["size_type"]["enum"]) == set(SIZE_TYPES)


def test_inputs_are_neither_changed_nor_locked():
    inputs = build_inputs()
    before = {name: array.copy() for name, array in inputs.items()}
    for road in both_roads(inputs):
        road()
    for name, array in inputs.items():
        np.testing.assert_array_equal(array, before[name])
        assert array.flags.writeable


def test_read_only_and_writable_inputs_share_one_compilation():
    from backtest.engine_kernels import run_kernel

    inputs = build_inputs()
    run_engine(*inputs.values(), CONFIG)
    for array in inputs.values():
        array.flags.writeable = False
    run_engine(*inputs.values(), CONFIG)
    run_engine(*list(inputs.values())[:5], None, CONFIG)
    assert len(run_kernel.signatures) == 1
