"""The compiled engine equals its slow, obvious twin, bar by bar and bit by bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backtest.engine import (
    EXIT_REASONS,
    HEADLINE_METRICS,
    build_engine_config,
    measure_headline,
    run_engine,
    stream_engine,
)
from tests.support.engine_twin import measure_twin, run_twin

PLAIN = {
    "initial_cash": 10_000.0,
    "fee_rate": 0.0,
    "fee_fixed": 0.0,
    "slippage": 0.0,
    "size": 1.0,
    "size_type": "percent",
    "lot_size": 0.0,
    "direction": "long_only",
    "fill": "next_open",
    "stop_loss": None,
    "take_profit": None,
    "trailing_stop": None,
    "cash_rate": 0.0,
    "borrow_rate": 0.0,
    "periods_per_year": None,
    "risk_free": 0.0,
    "mar": 0.0,
}
DEEP = settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


@st.composite
def tradings(draw):
    size_type = draw(st.sampled_from(["percent", "value", "shares"]))
    size = {
        "percent": st.sampled_from([1.0, 0.5, 0.333]),
        "value": st.sampled_from([2_500.0, 10_000.0, 50_000.0]),
        "shares": st.sampled_from([1.0, 37.5, 1_000.0]),
    }[size_type]
    stop = st.sampled_from([None, None, 0.01, 0.03, 0.1])
    return {
        "initial_cash": draw(st.sampled_from([10_000.0, 997.13])),
        "fee_rate": draw(st.sampled_from([0.0, 0.001, 0.02])),
        "fee_fixed": draw(st.sampled_from([0.0, 1.0, 400.0])),
        "slippage": draw(st.sampled_from([0.0, 0.0005, 0.03, 0.6])),
        "size": draw(size),
        "size_type": size_type,
        "lot_size": draw(st.sampled_from([0.0, 0.0, 1.0, 0.3, 100.0])),
        "direction": draw(st.sampled_from(["long_only", "long_short", "short_only"])),
        "fill": draw(st.sampled_from(["next_open", "same_close", "worst_of_bar"])),
        "stop_loss": draw(stop),
        "take_profit": draw(st.sampled_from([None, None, 0.01, 0.05, 2.0])),
        "trailing_stop": draw(stop),
        "cash_rate": draw(st.sampled_from([0.0, 0.05, -0.3])),
        "borrow_rate": draw(st.sampled_from([0.0, 0.1, 9.0])),
        "periods_per_year": draw(st.sampled_from([None, 12.0, 365.0])),
        "risk_free": draw(st.sampled_from([0.0, 0.03])),
        "mar": draw(st.sampled_from([0.0, 0.08, -0.05])),
    }


def build_walk(rng, n_bars, volatility, *, is_rounded):
    """Return open, high, low, close; rounded to a coarse grid, levels are touched exactly."""
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, volatility, n_bars)))
    open_ = np.r_[100.0, close[:-1]] * np.exp(rng.normal(0.0, volatility / 2, n_bars))
    if is_rounded:
        open_, close = (np.maximum(np.round(column), 1.0) for column in (open_, close))
    high = np.maximum(open_, close) * (1.0 + np.abs(rng.normal(0.0, volatility / 2, n_bars)))
    low = np.minimum(open_, close) * (1.0 - np.minimum(np.abs(rng.normal(0.0, 0.01, n_bars)), 0.5))
    if is_rounded:
        high, low = np.ceil(high), np.maximum(np.floor(low), 0.5)
    return open_, high, low, close


@st.composite
def markets(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_bars = draw(st.integers(1, 120))
    bars = build_walk(
        rng, n_bars, draw(st.sampled_from([0.002, 0.02, 0.2])), is_rounded=draw(st.booleans())
    )
    share = draw(st.sampled_from([0.02, 0.2, 0.8]))
    signal = np.where(rng.random(n_bars) < share, rng.choice([1, -1, 2], n_bars), 0).astype(np.int8)
    weight = None
    if draw(st.booleans()):
        weight = rng.choice([0.0, 0.25, 0.7, 1.0], n_bars)
    return bars, signal, weight


def assert_same_run(result, twin):
    assert result.equity.tolist() == twin.equity
    assert result.cash.tolist() == twin.cash
    assert result.position.tolist() == twin.position
    assert result.exposed.tolist() == twin.exposed
    assert result.interest == twin.interest
    assert result.n_rejected_orders == twin.n_rejected_orders
    assert (result.ruined, result.ruin_idx) == (twin.ruin_idx >= 0, twin.ruin_idx)
    fills = result.fills
    rows = zip(
        *(
            column.tolist()
            for column in (fills.bar_idx, fills.side, fills.shares, fills.price, fills.commission)
        ),
        strict=True,
    )
    assert list(rows) == twin.fills
    assert_same_trades(result.trades, twin.trades)


def assert_same_trades(trades, twins):
    assert trades.entry_idx.tolist() == [twin.entry_idx for twin in twins]
    assert trades.exit_idx.tolist() == [twin.exit_idx for twin in twins]
    assert trades.bars_held.tolist() == [twin.bars_held for twin in twins]
    sides = [1 if twin.direction == "long" else -1 for twin in twins]
    assert trades.direction.tolist() == sides
    reasons = [EXIT_REASONS[code] for code in trades.exit_reason]
    assert reasons == [twin.exit_reason for twin in twins]
    for name in (
        "shares",
        "entry_price",
        "exit_price",
        "commission",
        "pnl",
        "return_",
        "mae",
        "mfe",
    ):
        assert getattr(trades, name).tolist() == [getattr(twin, name) for twin in twins], name


def assert_close(values, expected):
    """1e-9 relative; where raw sums cancel, relative to the scale that the metric is read on."""
    for name, value in zip(HEADLINE_METRICS, values, strict=True):
        assert value == pytest.approx(expected[name], rel=1e-9, abs=1e-9, nan_ok=True), name


@DEEP
@given(markets(), tradings())
def test_every_output_equals_the_twin_to_the_last_bit(market, trading):
    bars, signal, weight = market
    config = build_engine_config(trading, 252.0)
    result = run_engine(*bars, signal, weight, config)
    twin = run_twin(bars, signal, weight, trading)
    assert_same_run(result, twin)


@DEEP
@given(markets(), tradings())
def test_streaming_equals_recording_to_the_last_bit_and_the_twin_closely(market, trading):
    bars, signal, weight = market
    config = build_engine_config(trading, 252.0)
    streamed = stream_engine(*bars, signal, weight, config)
    recorded = measure_headline(run_engine(*bars, signal, weight, config), config)
    assert streamed.tobytes() == recorded.tobytes()
    assert np.isfinite(streamed[~np.isnan(streamed)]).all()
    assert_close(streamed, measure_twin(run_twin(bars, signal, weight, trading), trading))


@DEEP
@given(markets(), tradings())
def test_the_identities_hold_on_every_bar_and_over_the_whole_run(market, trading):
    bars, signal, weight = market
    result = run_engine(*bars, signal, weight, build_engine_config(trading, 252.0))
    np.testing.assert_array_equal(result.equity, result.cash + result.position * bars[3])
    start = trading["initial_cash"]
    explained = start + result.interest + result.trades.pnl.sum()
    scale = max(start, np.abs(result.equity).max(), np.abs(result.trades.pnl).sum())
    assert result.equity[-1] == pytest.approx(explained, rel=1e-9, abs=1e-9 * scale)
    trades = result.trades
    assert (trades.mae <= 0.0).all()
    assert (trades.mfe >= 0.0).all()
    assert (trades.shares > 0.0).all()
    traded = np.cumsum(result.fills.side * result.fills.shares)
    last_fill = np.searchsorted(result.fills.bar_idx, np.arange(len(signal)), side="right") - 1
    held = np.where(last_fill >= 0, np.append(traded, 0.0)[last_fill], 0.0)
    np.testing.assert_allclose(held, result.position, rtol=1e-9, atol=1e-6)
    assert result.fill_value == pytest.approx((result.fills.shares * result.fills.price).sum())


def test_seeded_runs_reach_every_exit_of_either_side_under_every_fill():
    """What the property tests draw must not leave a corner out; this one counts the corners."""
    rng = np.random.default_rng(20)
    reached = set()
    for _ in range(600):
        trading = PLAIN | {
            "fill": str(rng.choice(["next_open", "same_close", "worst_of_bar"])),
            "direction": str(rng.choice(["long_only", "long_short", "short_only"])),
            "fee_rate": float(rng.choice([0.0, 0.002])),
            "fee_fixed": float(rng.choice([0.0, 0.0, 3_000.0])),
            "slippage": float(rng.choice([0.0, 0.001])),
            "stop_loss": rng.choice([None, 0.05, 0.3]),
            "take_profit": rng.choice([None, 0.05, 0.5]),
            "trailing_stop": rng.choice([None, 0.06, 0.3]),
            "borrow_rate": float(rng.choice([0.0, 0.2])),
        }
        n_bars = int(rng.integers(20, 200))
        bars = build_walk(rng, n_bars, float(rng.choice([0.02, 0.2])), is_rounded=False)
        signal = np.where(rng.random(n_bars) < 0.1, rng.choice([1, -1, 2], n_bars), 0)
        signal = signal.astype(np.int8)
        config = build_engine_config(trading, 252.0)
        result = run_engine(*bars, signal, None, config)
        twin = run_twin(bars, signal, None, trading)
        assert_same_run(result, twin)
        streamed = stream_engine(*bars, signal, None, config)
        assert streamed.tobytes() == measure_headline(result, config).tobytes()
        reached |= {(trading["fill"], trade.direction, trade.exit_reason) for trade in twin.trades}
    expected = {
        (fill, direction, reason)
        for fill in ("next_open", "same_close", "worst_of_bar")
        for direction in ("long", "short")
        for reason in EXIT_REASONS
    }
    # A long cannot be ruined at a mark: its value is above 0 and its cash is not negative.
    impossible = {(fill, "long", "ruin") for fill in ("next_open", "same_close", "worst_of_bar")}
    assert reached == expected - impossible
