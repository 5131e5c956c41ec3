"""The sweep's kernels equal the engine for every combination, however they are batched."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.engine import HEADLINE_METRICS, EngineConfig, build_engine_config, stream_engine
from backtest.signal_events import SignalEvents, build_events, join_events
from backtest.sweep import SweepBars, build_config_matrix, compute_combinations
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
