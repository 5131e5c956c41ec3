"""A walk may stop at any bar and go on later; stretches of long bars lose and double nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.engine import build_engine_config, stream_engine
from backtest.sweep import SweepBars, build_config_matrix
from backtest.sweep_tables import STRETCH, Tables
from backtest.sweep_walk import STATE_SIZE, advance_walk, finish_walk, start_walk
from tests.support.engine_tables import FREE
from tests.unit.test_engine_twin import build_walk
from tests.unit.test_sweep_kernels import (
    assert_equal,
    compute_one,
    markets,
    simple_tradings,
    unite,
)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(markets(), simple_tradings(), st.lists(st.integers(0, 400), max_size=6), st.booleans())
def test_a_walk_in_pieces_gives_the_engines_metrics(market, trading, limits, with_tables):
    bars, (first, second) = market
    signal, weight = unite(first, second)
    config = build_engine_config(trading, 252.0)
    row = build_config_matrix(config, 1, {})[0]
    shared = SweepBars(*bars)
    tables = Tables(*shared.build_tables(row[-1]))
    event_bar = np.flatnonzero(signal).astype(np.int32)
    events = (event_bar, signal[event_bar], weight[event_bar], event_bar.size)
    state, out = np.empty(STATE_SIZE), np.empty(13)
    start_walk(row[0], state)
    prices = (shared.open, shared.high, shared.low, shared.close)
    for limit in [*sorted(min(limit, shared.n_bars) for limit in limits), shared.n_bars]:
        advance_walk(*prices, *events, tables, with_tables, limit, row, state)
    if finish_walk(shared.n_bars, row, state, out):
        assert_equal(out, stream_engine(*bars, signal, weight, config))


@pytest.mark.parametrize("fill", ["next_open", "same_close", "worst_of_bar"])
@pytest.mark.parametrize(
    "trading",
    [
        {},
        {"direction": "long_short"},
        {"stop_loss": 0.004, "take_profit": 0.006},
        {"direction": "short_only", "trailing_stop": 0.003},
    ],
)
def test_events_at_the_ends_of_stretches_fill_once(fill, trading):
    n_bars = 5 * STRETCH + 3
    rng = np.random.default_rng(7)
    bars = build_walk(rng, n_bars, 0.002, is_rounded=False)
    signals = []
    for code in (1, -1):
        signal = np.where(rng.random(n_bars) < 0.002, code, 0).astype(np.int8)
        for edge in range(STRETCH, n_bars, STRETCH):
            near = slice(edge - 2, edge + 2)
            signal[near] = np.where(rng.random(4) < 0.5, code, 0)
        signals.append((signal, np.ones(n_bars)))
    changes = {"fee_rate": 1e-5, "fill": fill}
    config = build_engine_config({**FREE, **changes, **trading}, 252.0 * 390)
    found, _ = compute_one(bars, *signals, config, is_weighted=False)
    signal, _ = unite(*signals)
    assert_equal(found, stream_engine(*bars, signal, None, config))


@pytest.mark.parametrize("seed", range(8))
def test_debts_that_nearly_cancel_what_was_there_agree(seed):
    """Turnover divides by the mean of equity: positive before ruin, negative ever after."""
    n_bars = 40_961
    rng = np.random.default_rng(seed)
    bars = build_walk(rng, n_bars, 0.1, is_rounded=False)
    signals = []
    for code in (1, -1):
        share = rng.choice([1e-4, 1e-3, 0.02])
        signal = np.where(rng.random(n_bars) < share, code, 0).astype(np.int8)
        signals.append((signal, np.ones(n_bars)))
    signal, _ = unite(*signals)
    for direction, fill in (("short_only", "same_close"), ("long_short", "worst_of_bar")):
        changes = {"direction": direction, "fill": fill, "fee_rate": 1e-5, "size": 0.5}
        config = build_engine_config({**FREE, **changes}, 252.0 * 390)
        found, _ = compute_one(bars, *signals, config, is_weighted=False)
        assert_equal(found, stream_engine(*bars, signal, None, config))


@pytest.mark.parametrize("fee_rate", [0.001, 0.0013, 0.0017, 0.0021, 0.0029])
def test_ruin_between_two_events_is_not_walked_past(fee_rate):
    """What rounding left in cash, below 0 by 1e-12, outweighs a position that is worth nothing."""
    close = np.concatenate([[100.0, 99.0], 99.0 * 0.5 ** np.arange(1, 80), np.full(40, 50.0)])
    signal = np.zeros(close.size, np.int8)
    signal[[0, 100, 110]] = 1, -1, 1
    ones, nothing = np.ones(close.size), np.zeros(close.size, np.int8)
    config = build_engine_config({**FREE, "fee_rate": fee_rate}, 252.0)
    found, _ = compute_one((close,) * 4, (signal, ones), (nothing, ones), config, is_weighted=False)
    assert_equal(found, stream_engine(*(close,) * 4, signal, None, config))
