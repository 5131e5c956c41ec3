"""Whole metrics of whole runs: against the twins, and every rule for what is undefined."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.engine import (
    EXIT_REASONS,
    HEADLINE_METRICS,
    build_curve_result,
    build_engine_config,
    run_engine,
    stream_engine,
)
from backtest.metrics import METRIC_NAMES, compute_benchmark_equity, compute_metrics
from rules.spec import TradingSpec
from tests.unit import metric_twins as twins

NS_PER_DAY = 86_400_000_000_000
PPY = 252.0


def config_of(**trading):
    return build_engine_config(TradingSpec(**trading).model_dump(), PPY)


def days(n_bars, first=10_957):  # 2000-01-01
    return (first + np.arange(n_bars, dtype=np.int64)) * NS_PER_DAY


def flat_bars(close):
    close = np.array(close, dtype=float)
    return close, close, close, close


def measure(close, signal, **trading):
    config = config_of(**trading)
    signal = np.array(signal, dtype=np.int8)
    result = run_engine(*flat_bars(close), signal, None, config)
    return compute_metrics(result, np.array(close, dtype=float), days(len(close)), config)


def twin_metrics(result, close, stamps, config):
    """Everything of section 4 by the twins."""
    cash, ppy = config.initial_cash, config.periods_per_year
    returns = twins.twin_returns(result.equity, cash, result.ruin_idx)
    benchmark = twins.twin_benchmark_curve(
        close, cash, config.fee_rate, config.fee_fixed, config.slippage
    )
    held = twins.twin_returns(benchmark, cash)
    rates = (ppy, config.risk_free, config.mar)
    found = twins.twin_headline(result.equity, returns, cash, *rates)
    benchmark_found = twins.twin_headline(benchmark, held, cash, *rates)
    for name in ("total_return", "cagr", "sharpe", "max_drawdown"):
        found[f"benchmark_{name}"] = benchmark_found[name]
    found |= twins.twin_drawdown_lengths(result.equity, stamps, cash)
    found |= twins.twin_distribution(returns) | twins.twin_calendar(returns, stamps)
    found |= twins.twin_relative(returns, held, config.risk_free, ppy)
    found["ulcer_index"] = twins.twin_ulcer(result.equity, cash)
    found["exposure"] = np.mean(result.exposed)
    filled = sum(result.fills.shares * result.fills.price)
    found["turnover"] = filled / np.mean(result.equity) * ppy / len(close)
    found["recovery_factor"] = twins.ratio(found["total_return"], abs(found["max_drawdown"]))
    trades = result.trades
    is_closed = trades.exit_reason != EXIT_REASONS.index("open")
    found |= twins.twin_trades(
        trades.pnl[is_closed], trades.return_[is_closed], trades.bars_held[is_closed]
    )
    found["n_bars"] = len(close)
    found["n_trades"] = is_closed.sum()
    found["n_open_trades"] = (~is_closed).sum()
    found["n_rejected_orders"] = result.n_rejected_orders
    found["interest"] = result.interest
    found["ruined"] = result.ruined
    return found


@st.composite
def markets(draw):
    n_bars = draw(st.integers(2, 80))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale = draw(st.sampled_from([0.0, 0.01, 0.2]))
    close = 50.0 * np.exp(np.cumsum(random.normal(0.0, scale, n_bars)))
    opened = close * np.exp(random.normal(0.0, scale / 2, n_bars))
    high = np.maximum(opened, close) * (1.0 + random.uniform(0.0, scale, n_bars))
    low = np.minimum(opened, close) * (1.0 - random.uniform(0.0, scale, n_bars))
    signal = random.choice(np.array([0, 1, -1, 2], dtype=np.int8), n_bars, p=[0.6, 0.2, 0.15, 0.05])
    return (opened, high, low, close), signal


trading = st.fixed_dictionaries(
    {
        "fee_rate": st.sampled_from([0.0, 0.001]),
        "slippage": st.sampled_from([0.0, 0.0005]),
        "direction": st.sampled_from(["long_only", "long_short", "short_only"]),
        "fill": st.sampled_from(["next_open", "same_close", "worst_of_bar"]),
        "risk_free": st.sampled_from([0.0, 0.03]),
        "mar": st.sampled_from([0.0, 0.05]),
        "stop_loss": st.sampled_from([None, 0.1]),
        "cash_rate": st.sampled_from([0.0, 0.02]),
    }
)


@settings(max_examples=300, deadline=None)
@given(markets(), trading)
def test_every_metric_equals_its_twin(market, chosen):
    bars, signal = market
    close = bars[-1]
    config = config_of(**chosen)
    result = run_engine(*bars, signal, None, config)
    stamps = days(close.size)
    metrics = compute_metrics(result, close, stamps, config)
    expected = twin_metrics(result, close, stamps, config)
    assert tuple(metrics) == METRIC_NAMES
    assert set(expected) == set(METRIC_NAMES) - {"psr"}
    for name, value in expected.items():
        if name in ("skew", "kurtosis", "sharpe") and metrics["volatility"] < 1e-9:
            continue  # interest alone: what is left of the spread is rounding
        if name == "information_ratio" and 0.0 < metrics["tracking_error"] < 1e-9:
            continue  # bought and held: what is left of the difference is rounding
        wanted = value if math.isfinite(value) else math.nan
        assert metrics[name] == pytest.approx(wanted, rel=1e-9, abs=1e-9, nan_ok=True), name


@settings(max_examples=100, deadline=None)
@given(markets(), trading)
def test_headline_metrics_are_those_of_the_stream_to_the_last_bit(market, chosen):
    bars, signal = market
    config = config_of(**chosen)
    result = run_engine(*bars, signal, None, config)
    metrics = compute_metrics(result, bars[-1], days(signal.size), config)
    streamed = stream_engine(*bars, signal, None, config)
    kept = np.array([metrics[name] for name in HEADLINE_METRICS])
    assert kept.tobytes() == streamed.tobytes() or np.array_equal(kept, streamed, equal_nan=True)


@pytest.mark.parametrize("slippage", [0.0, 0.001])
def test_the_benchmark_is_the_engines_buy_and_hold_at_the_first_close(slippage):
    close = np.array([10.0, 12.0, 9.0, 15.0])
    config = config_of(fee_fixed=7.0, slippage=slippage, fill="same_close")
    signal = np.array([1, 0, 0, 0], dtype=np.int8)
    result = run_engine(*flat_bars(close), signal, None, config)
    assert compute_benchmark_equity(close, config).tolist() == result.equity.tolist()


def test_a_benchmark_that_cannot_pay_the_fee_stays_in_cash():
    config = config_of(initial_cash=5.0, fee_fixed=7.0)
    assert compute_benchmark_equity(np.array([10.0, 12.0]), config).tolist() == [5.0, 5.0]


def test_the_first_bars_cost_counts():
    metrics = measure([100.0, 100.0], [1, 0], fill="same_close", fee_rate=0.01)
    assert metrics["total_return"] == pytest.approx(1 / 1.01 - 1, rel=1e-12)
    assert metrics["max_drawdown"] == metrics["total_return"]
    assert metrics["worst_day"] == metrics["total_return"]
    assert metrics["max_drawdown_bars"] == 2
    assert metrics["max_drawdown_days"] == 1.0


def test_without_a_trade_nothing_about_trades_or_risk_is_defined():
    metrics = measure([100.0, 101.0, 99.0], [0, 0, 0])
    zero = {"total_return", "cagr", "volatility", "max_drawdown", "ulcer_index", "var_95"}
    zero |= {"cvar_95", "exposure", "turnover", "beta", "alpha", "best_day", "worst_day"}
    zero |= {"best_month", "worst_month", "interest", "ruined"}
    zero |= {"n_trades", "n_open_trades", "n_rejected_orders"}
    assert {name for name, value in metrics.items() if value == 0} == zero
    undefined = {name for name, value in metrics.items() if math.isnan(value)}
    assert undefined == {
        *("sharpe", "sortino", "calmar", "omega", "skew", "kurtosis", "tail_ratio", "psr"),
        *("max_drawdown_bars", "max_drawdown_days", "recovery_factor", "correlation"),
        *("win_rate", "profit_factor", "expectancy", "expectancy_return", "payoff_ratio"),
        *("sqn", "kelly", "longest_win_streak", "longest_loss_streak", "mean_trade_bars"),
        *("max_trade_bars", "best_trade", "worst_trade"),
    }


def test_without_a_losing_trade_ratios_to_losses_are_undefined():
    metrics = measure([100.0, 100.0, 110.0, 110.0], [1, -1, 0, 0], fee_rate=0.0)
    assert metrics["win_rate"] == 1.0
    assert metrics["longest_win_streak"] == 1
    assert metrics["longest_loss_streak"] == 0
    for name in ("profit_factor", "payoff_ratio", "kelly", "sqn", "sortino", "omega"):
        assert math.isnan(metrics[name]), name


def test_a_trade_that_neither_wins_nor_loses_is_closed_and_neither():
    metrics = measure([100.0] * 4, [1, -1, 0, 0], fee_rate=0.0)
    assert metrics["n_trades"] == 1
    assert metrics["win_rate"] == 0.0
    assert metrics["expectancy"] == 0.0
    assert metrics["longest_win_streak"] == metrics["longest_loss_streak"] == 0
    assert math.isnan(metrics["profit_factor"])


def test_an_open_trade_counts_apart_and_in_no_trade_statistic():
    metrics = measure([100.0, 100.0, 150.0], [1, 0, 0])
    assert (metrics["n_trades"], metrics["n_open_trades"]) == (0, 1)
    assert math.isnan(metrics["win_rate"])
    assert metrics["total_return"] > 0.4


def test_ruin_ends_below_zero_without_a_growth_rate_and_returns_nothing_after():
    metrics = measure(
        [100.0, 100.0, 250.0, 50.0, 60.0], [-1, 0, 0, 0, 0], direction="short_only", fee_rate=0.0
    )
    assert metrics["ruined"] is True
    assert metrics["total_return"] == pytest.approx(-1.5)
    assert metrics["max_drawdown"] == pytest.approx(-1.5)
    assert metrics["worst_day"] == pytest.approx(-1.5)
    assert metrics["best_day"] == 0.0
    assert math.isnan(metrics["cagr"])
    assert math.isnan(metrics["calmar"])
    assert metrics["recovery_factor"] == pytest.approx(-1.0)


def test_equity_of_exactly_zero_grows_by_minus_one():
    metrics = measure(
        [100.0, 100.0, 200.0, 50.0], [-1, 0, 0, 0], direction="short_only", fee_rate=0.0
    )
    assert metrics["total_return"] == -1.0
    assert metrics["cagr"] == -1.0
    assert metrics["calmar"] == -1.0
    assert metrics["best_day"] == 0.0


def test_counts_are_whole_numbers_and_ruined_is_a_truth_value():
    metrics = measure([100.0, 100.0, 90.0, 95.0], [1, -1, 0, 0])
    counts = {name for name, value in metrics.items() if type(value) is int}
    assert counts == {
        *("n_bars", "n_trades", "n_open_trades", "n_rejected_orders", "max_drawdown_bars"),
        *("longest_win_streak", "longest_loss_streak", "max_trade_bars"),
    }
    assert metrics["ruined"] is False
    floats = set(metrics) - counts - {"ruined"}
    assert {type(metrics[name]) for name in floats} == {float}


def test_growth_too_large_for_a_number_is_undefined_and_not_infinite():
    metrics = measure([1e-3, 1e-3, 1e3], [1, 0, 0], fee_rate=0.0)
    assert metrics["total_return"] > 1e5
    assert math.isnan(metrics["cagr"])
    assert not any(math.isinf(value) for value in metrics.values())


def test_the_benchmark_against_itself_has_no_information_ratio():
    close = np.array([10.0, 11.0, 9.0, 12.0])
    config = config_of()
    metrics = compute_metrics(
        build_curve_result(compute_benchmark_equity(close, config)), close, days(4), config
    )
    assert metrics["beta"] == pytest.approx(1.0)
    assert metrics["alpha"] == pytest.approx(0.0, abs=1e-12)
    assert metrics["correlation"] == pytest.approx(1.0)
    assert metrics["tracking_error"] == 0.0
    assert math.isnan(metrics["information_ratio"])
    assert metrics["total_return"] == metrics["benchmark_total_return"]


def test_intraday_bars_are_grouped_into_days_and_partial_months():
    # 2024-01-31 18:00, 2024-02-01 00:00 and 06:00, UTC
    stamps = np.array([1_706_724_000, 1_706_745_600, 1_706_767_200], np.int64) * 10**9
    equity = np.array([110_000.0, 99_000.0, 108_900.0])
    config = config_of()
    metrics = compute_metrics(build_curve_result(equity), equity, stamps, config)
    assert metrics["best_day"] == metrics["best_month"] == pytest.approx(0.1)
    assert metrics["worst_day"] == metrics["worst_month"] == pytest.approx(-0.01)
    assert metrics["max_drawdown_days"] == pytest.approx(0.5)


def test_arrays_of_other_lengths_are_refused_by_shape():
    config = config_of()
    result = build_curve_result(np.array([1.0, 2.0, 3.0]))
    with pytest.raises(ValueError, match=r"close \(2,\).*\(3,\)"):
        compute_metrics(result, np.array([1.0, 2.0]), days(3), config)
