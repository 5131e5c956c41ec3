"""The sweep's kernels equal the engine for every combination, however they are batched."""

from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.engine import HEADLINE_METRICS, EngineConfig, build_engine_config, stream_engine
from backtest.signal_events import SignalEvents, build_events, join_events
from backtest.sweep import (
    STATUS_NOT_FINITE,
    SweepBars,
    build_config_matrix,
    compute_combinations,
)
from backtest.sweep_sums import repeat_add
from tests.support.engine_tables import FREE
from tests.support.engine_twin import measure_twin, run_twin
from tests.unit.test_engine_twin import build_walk, tradings

QUICK = settings(max_examples=300, deadline=None, derandomize=True)


def unite(first, second):
    """Return the union of two signals with weights; a bar in both holds."""
    (signal, weight), (other, other_weight) = first, second
    both = (signal != 0) & (other != 0)
    united = np.where(both, 0, signal + other).astype(np.int8)
    return united, np.where(signal != 0, weight, other_weight)


def assert_equal(found, expected):
    """1e-12, absolute or relative, and undefined in the same places."""
    assert (np.isnan(found) == np.isnan(expected)).all(), (found, expected)
    error = np.abs(found - expected)
    fine = (error <= 1e-12) | (error <= 1e-12 * np.abs(expected)) | np.isnan(expected)
    wrong = [HEADLINE_METRICS[i] for i in np.flatnonzero(~fine)]
    assert fine.all(), (wrong, found[~fine], expected[~fine])


def compute_one(bars, first, second, config, *, is_weighted=True):
    tables = [
        build_events(signal, weight if is_weighted else None) for signal, weight in (first, second)
    ]
    zero = np.zeros(1, np.int32)
    matrix = build_config_matrix(config, 1, {})
    found, status = compute_combinations(
        SweepBars(*bars), tables[0], zero, tables[1], zero, matrix, zero
    )
    return found[0], status[0]


@st.composite
def simple_tradings(draw):
    """What most sweeps are made of: all in, no financing."""
    plain = {"size": 1.0, "size_type": "percent", "lot_size": 0.0, "fee_fixed": 0.0}
    free = {"cash_rate": 0.0, "borrow_rate": 0.0}
    trading = draw(tradings()) | plain | free
    return trading | {"fee_rate": draw(st.sampled_from([0.0, 0.001, 0.5]))}


@st.composite
def markets(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_bars = draw(st.one_of(st.integers(1, 40), st.integers(1, 400)))
    volatility = draw(st.sampled_from([1e-9, 1e-5, 0.002, 0.02, 0.2, 1.5]))
    bars = build_walk(rng, n_bars, volatility, is_rounded=draw(st.booleans()))
    share = draw(st.sampled_from([0.0, 0.02, 0.2, 0.6]))
    signals = []
    for codes in draw(st.sampled_from([([1], [-1]), ([1, -1, 2], [1, -1, 2]), ([1], [-1, 2])])):
        signal = np.where(rng.random(n_bars) < share, rng.choice(codes, n_bars), 0)
        signals.append((signal.astype(np.int8), rng.choice([0.0, 0.25, 0.7, 1.0], n_bars)))
    return bars, signals


def check_market(market, trading, *, is_weighted):
    bars, (first, second) = market
    config = build_engine_config(trading, 252.0)
    signal, weight = unite(first, second)
    expected = stream_engine(*bars, signal, weight if is_weighted else None, config)
    found, status = compute_one(bars, first, second, config, is_weighted=is_weighted)
    if status == 0:
        assert_equal(found, expected)
    else:
        assert np.isnan(found).all()
        assert np.isnan(expected[:-1]).all()


@QUICK
@given(markets(), tradings(), st.booleans())
def test_any_trading_gives_the_engines_metrics(market, trading, is_weighted):
    check_market(market, trading, is_weighted=is_weighted)


@QUICK
@given(markets(), simple_tradings(), st.booleans())
def test_trading_all_in_gives_the_engines_metrics(market, trading, is_weighted):
    check_market(market, trading, is_weighted=is_weighted)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(markets(), tradings())
def test_the_slow_obvious_twin_agrees(market, trading):
    bars, (first, second) = market
    signal, weight = unite(first, second)
    found, _ = compute_one(bars, first, second, build_engine_config(trading, 252.0))
    twin = measure_twin(run_twin(bars, signal, weight, trading), trading)
    for name, value in zip(HEADLINE_METRICS, found, strict=True):
        # As in test_engine_twin: raw sums cancel in the engine too.
        assert value == pytest.approx(twin[name], rel=1e-9, abs=1e-9, nan_ok=True), name


def build_batch(n_bars, n_signals, n_configs, seed):
    """Return bars, a table of signals, configurations and many combinations of them."""
    rng = np.random.default_rng(seed)
    bars = SweepBars(*build_walk(rng, n_bars, 0.02, is_rounded=False))
    signals = [
        np.where(rng.random(n_bars) < 0.05, rng.choice([1, -1, 2], n_bars), 0).astype(np.int8)
        for _ in range(n_signals)
    ]
    table = join_events([build_events(signal) for signal in signals])
    base = build_engine_config({**FREE, "fee_rate": 0.001}, 252.0)
    columns = {
        "direction": rng.integers(0, 3, n_configs),
        "fill": rng.integers(0, 3, n_configs),
        "stop_loss": rng.choice([np.nan, 0.02, 0.1], n_configs),
        "trailing_stop": rng.choice([np.nan, 0.05], n_configs),
        "size": rng.choice([1.0, 1.0, 0.5], n_configs),
        "mar": rng.choice([0.0, 0.02], n_configs),
        "borrow_rate": rng.choice([0.0, 0.0, 0.1], n_configs),
    }
    n = 400
    idx = [rng.integers(0, count, n).astype(np.int32) for count in (n_signals, n_signals)]
    config_idx = rng.integers(0, n_configs, n).astype(np.int32)
    return bars, table, idx, build_config_matrix(base, n_configs, columns), config_idx


def compute_part(batch, rows):
    bars, table, (first, second), matrix, config_idx = batch
    return compute_combinations(
        bars, table, first[rows], table, second[rows], matrix, config_idx[rows]
    )[0]


def test_the_bits_of_a_combination_depend_on_nothing_but_itself():
    batch = build_batch(600, 20, 30, seed=5)
    whole = compute_part(batch, np.arange(400))
    shuffled = np.random.default_rng(1).permutation(400)
    assert compute_part(batch, shuffled).tobytes() == whole[shuffled].tobytes()
    cuts = [0, 1, 2, 50, 333, 400]
    pieces = [compute_part(batch, np.arange(a, b)) for a, b in itertools.pairwise(cuts)]
    assert np.concatenate(pieces).tobytes() == whole.tobytes()


def test_threads_share_the_tables_and_give_the_same_bits():
    batch = build_batch(600, 20, 30, seed=6)
    found = {}

    def compute(i):
        found[i] = compute_part(batch, np.arange(100 * i, 100 * i + 100))

    threads = [threading.Thread(target=compute, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    together = np.concatenate([found[i] for i in range(4)])
    alone = compute_part(build_batch(600, 20, 30, seed=6), np.arange(400))
    assert together.tobytes() == alone.tobytes()


@pytest.mark.parametrize("n_bars", [32_768, 32_769, 100_003])
@pytest.mark.parametrize("trading", [{}, {"stop_loss": 0.01, "direction": "long_short"}])
def test_long_series_agree_whether_blocks_are_one_bar_or_sixteen(n_bars, trading):
    rng = np.random.default_rng(n_bars)
    bars = build_walk(rng, n_bars, 0.002, is_rounded=False)
    for share in (1e-4, 0.01):
        signals = [
            (np.where(rng.random(n_bars) < share, code, 0).astype(np.int8), np.ones(n_bars))
            for code in (1, -1)
        ]
        changes = {"fee_rate": 1e-4, "mar": 0.03, "initial_cash": 12_345.67}
        config = build_engine_config({**FREE, **changes, **trading}, 252.0 * 390)
        found, _ = compute_one(bars, *signals, config, is_weighted=False)
        signal, _ = unite(*signals)
        assert_equal(found, stream_engine(*bars, signal, None, config))


def test_one_early_trade_before_a_long_calm_agrees():
    """The engine's sum of a constant equity drifts; a multiplication would not."""
    n_bars = 200_000
    close = np.full(n_bars, 100.0)
    close[2:] = 103.7
    signal = np.zeros(n_bars, np.int8)
    signal[0], signal[5] = 1, -1
    nothing = np.zeros(n_bars, np.int8)
    config = build_engine_config({**FREE, "fee_rate": 0.00137, "mar": 0.01}, 252.0)
    ones = np.ones(n_bars)
    found, _ = compute_one((close,) * 4, (signal, ones), (nothing, ones), config, is_weighted=False)
    assert_equal(found, stream_engine(*(close,) * 4, signal, None, config))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.floats(0.0, 1e12),
    st.floats(1e-12, 1e6) | st.sampled_from([0.5, 0.75, 1.5, 3.0]),
    st.integers(0, 3_000),
)
def test_adding_often_in_few_steps_rounds_like_adding_often(total, value, n):
    expected = total
    for _ in range(n):
        expected += value
    assert repeat_add(total, value, n) == expected


def test_a_range_of_the_tables_may_follow_a_crash_of_any_size():
    """Prefix sums of one float64 would drown what comes after it."""
    n_bars = 300
    close = 100.0 * np.exp(np.cumsum(np.random.default_rng(2).normal(0.0, 0.01, n_bars)))
    close[:100] *= 1e12
    close[50] *= 1e-15
    signal = np.zeros(n_bars, np.int8)
    signal[120], signal[260] = 1, -1
    nothing, ones = np.zeros(n_bars, np.int8), np.ones(n_bars)
    config = build_engine_config(FREE, 252.0)
    found, _ = compute_one((close,) * 4, (signal, ones), (nothing, ones), config, is_weighted=False)
    assert_equal(found, stream_engine(*(close,) * 4, signal, None, config))


def test_equity_beyond_float64_is_reported_and_leaves_the_others_alone():
    close = np.array([1.0, 1.0, 1e200, 1e200])
    bars = SweepBars(close, close, close, close)
    buys = build_events(np.array([1, 0, 0, 0], np.int8))
    base = build_engine_config(FREE, 252.0)
    matrix = build_config_matrix(base, 2, {"initial_cash": [1e200, 1.0]})
    zeros = np.zeros(2, np.int32)
    found, status = compute_combinations(
        bars, buys, zeros, None, None, matrix, np.arange(2, dtype=np.int32)
    )
    assert status.tolist() == [STATUS_NOT_FINITE, 0]
    assert np.isnan(found[0]).all()
    assert found[1, 0] == pytest.approx(1e200)


def test_wrong_indices_and_prices_are_refused():
    close = np.ones(4)
    bars = SweepBars(close, close, close, close)
    events = build_events(np.array([1, 0, 0, 0], np.int8))
    matrix = build_config_matrix(build_engine_config(FREE, 252.0), 1, {})
    zero, one = np.zeros(1, np.int32), np.ones(1, np.int32)
    for first, config in ((one, zero), (-one, zero), (zero, one)):
        with pytest.raises(ValueError, match="_idx must be in"):
            compute_combinations(bars, events, first, None, None, matrix, config)
    beyond = SignalEvents(events.offsets, np.array([4], np.int32), events.code, events.weight)
    with pytest.raises(ValueError, match="outside of the 4 bars"):
        compute_combinations(bars, beyond, zero, None, None, matrix, zero)
    with pytest.raises(ValueError, match="prices must be finite"):
        SweepBars(close, close, close, np.array([1.0, 1.0, np.nan, 1.0]))


def list_stream_args(base, columns, n):
    kept = {name: getattr(base, name) for name in EngineConfig.__dataclass_fields__}
    kept = {name: value for name, value in kept.items() if not name.endswith("_args")}
    codes = ("direction", "fill", "size_type")
    rows = []
    for i in range(n):
        row = {name: float(column[i]) for name, column in columns.items()}
        row |= {name: int(row[name]) for name in codes if name in row}
        rows.append(EngineConfig(**{**kept, **row}).stream_args)
    return np.array(rows, dtype=np.float64)


@pytest.mark.parametrize("with_year", [False, True])
def test_rows_of_configurations_are_those_of_the_engine_bit_for_bit(with_year):
    rng = np.random.default_rng(3)
    n = 500
    columns = {
        "mar": rng.uniform(-0.5, 0.5, n),
        "risk_free": rng.choice([0.0, 0.01, 0.03], n),
        "borrow_rate": rng.uniform(0.0, 2.0, n),
        "stop_loss": rng.choice([np.nan, 0.01, 0.2], n),
        "direction": rng.integers(0, 3, n),
        "size_type": rng.integers(0, 3, n),
        "size": rng.uniform(0.01, 1.0, n),
        "initial_cash": rng.uniform(1.0, 1e6, n),
    }
    if with_year:
        columns["periods_per_year"] = rng.choice([12.0, 252.0, 98_280.0], n)
    base = build_engine_config({**FREE, "cash_rate": 0.02}, 252.0)
    found = build_config_matrix(base, n, columns)
    assert found.tobytes() == list_stream_args(base, columns, n).tobytes()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"fee_rate": [0.1, 1.0]}, "fee_rate = 1.0"),
        ({"size": [0.5, 2.0]}, "percent takes a fraction"),
        ({"size": [0.5, 2.0], "size_type": [1, 0]}, "percent takes a fraction"),
        ({"direction": [0, 3]}, "direction"),
        ({"fill": [0, 0.5]}, "fill"),
        ({"mar": [0.0, np.nan]}, "mar = nan"),
        ({"mar": [0.0, 9.0], "periods_per_year": [252.0, 1e-3]}, "no finite rate per bar"),
        ({"colour": [1, 2]}, "no field of EngineConfig"),
        ({"fee_rate": [0.1]}, "one value for each of 2"),
    ],
)
def test_a_configuration_that_the_engine_refuses_is_refused(columns, message):
    with pytest.raises(ValueError, match=message):
        build_config_matrix(build_engine_config(FREE, 252.0), 2, columns)


def test_sizes_above_one_are_fine_where_they_are_no_percentage():
    base = build_engine_config(FREE, 252.0)
    columns = {"size": [0.5, 200.0], "size_type": [0, 1]}
    found = build_config_matrix(base, 2, columns)
    assert (
        found.tobytes()
        == list_stream_args(base, {k: np.array(v) for k, v in columns.items()}, 2).tobytes()
    )
