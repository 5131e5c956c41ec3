"""Every metric kernel equals its obvious twin, on curves and trades that hypothesis makes up."""

from __future__ import annotations

import math
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest import metric_kernels as kernels
from tests.unit import metric_twins as twins

NS_PER_DAY = 86_400_000_000_000
CASH = 1000.0

# A few repeated values besides the free ones: flat stretches, exact returns to a peak, ties.
marks = st.one_of(
    st.sampled_from([1000.0, 1000.0, 990.0, 1100.0, 500.0]),
    st.floats(1.0, 1e6, allow_subnormal=False),
)
curves = st.lists(marks, min_size=2, max_size=60).map(lambda values: np.array(values))


@st.composite
def stamped_curves(draw):
    curve = draw(curves)
    steps = draw(
        st.lists(
            st.sampled_from([3600, 6 * 3600, 86_400, 3 * 86_400, 7 * 86_400, 31 * 86_400]),
            min_size=curve.size,
            max_size=curve.size,
        )
    )
    second = draw(st.sampled_from([0, 0, 1, 43_200, 86_399]))  # midnights, where periods begin
    first = 86_400 * draw(st.integers(-11_500, 23_000)) + second  # [s], 1938 to 2032
    stamps = (first + np.concatenate(([0], np.cumsum(steps[1:])))) * 1_000_000_000
    return curve, stamps.astype(np.int64)


def assert_equal(names, values, expected):
    for name, value in zip(names, values, strict=True):
        assert value == pytest.approx(expected[name], rel=1e-9, abs=1e-9, nan_ok=True), name


def partition(returns):
    last = returns.size - 1
    low, high = int(0.05 * last), int(0.95 * last)
    ordered = np.sort(returns)
    return ordered[[low, min(low + 1, last), high, min(high + 1, last)]]


@settings(max_examples=200, deadline=None)
@given(stamped_curves())
def test_drawdown_lengths_and_ulcer_index_equal_the_twin(stamped):
    curve, stamps = stamped
    expected = twins.twin_drawdown_lengths(curve, stamps, CASH)
    expected["ulcer_index"] = twins.twin_ulcer(curve, CASH)
    names = ("max_drawdown_bars", "max_drawdown_days", "ulcer_index")
    assert_equal(names, kernels.scan_drawdowns(curve, stamps, CASH), expected)


@settings(max_examples=200, deadline=None)
@given(stamped_curves())
def test_days_and_months_equal_the_twin(stamped):
    curve, stamps = stamped
    returns = twins.twin_returns(curve, CASH)
    expected = twins.twin_calendar(returns, stamps)
    names = ("best_day", "worst_day", "best_month", "worst_month")
    assert_equal(names, kernels.scan_calendar(curve, returns, stamps, CASH), expected)


@settings(max_examples=200, deadline=None)
@given(curves)
def test_distribution_equals_the_twin(curve):
    returns = np.empty(curve.size)
    kernels.fill_returns(curve, CASH, curve.size, returns)
    np.testing.assert_allclose(returns, twins.twin_returns(curve, CASH), rtol=0, atol=0)
    expected = twins.twin_distribution(returns)
    names = ("skew", "kurtosis", "omega")
    sums = kernels.sum_returns(returns, returns)
    centred = kernels.sum_centred(returns, returns, sums)
    assert_equal(names, kernels.describe_shape(curve.size, sums, centred), expected)
    tails = kernels.scan_tails(returns, *partition(returns))
    assert_equal(("var_95", "cvar_95", "tail_ratio"), tails, expected)


@settings(max_examples=200, deadline=None)
@given(curves, st.randoms(use_true_random=False), st.sampled_from([0.0, 0.03, -0.01]))
def test_what_is_measured_against_the_benchmark_equals_the_twin(curve, random, risk_free):
    other = np.array([random.choice((900.0, 1000.0, random.uniform(500, 2000))) for _ in curve])
    returns, benchmark = twins.twin_returns(curve, CASH), twins.twin_returns(other, CASH)
    rf = twins.per_bar(risk_free, 252.0)
    sums = kernels.sum_returns(returns, benchmark)
    centred = kernels.sum_centred(returns, benchmark, sums)
    values = kernels.describe_against(curve.size, sums, centred, rf, 12.0)
    expected = twins.twin_relative(returns, benchmark, (1.0 + rf) ** 12 - 1.0, 12.0)
    names = ("beta", "alpha", "correlation", "information_ratio", "tracking_error")
    assert_equal(names, values, expected)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.sampled_from([0.0, 5.0, -5.0]), st.floats(-1e4, 1e4, width=32)),
            st.floats(-0.9, 3.0),
            st.integers(0, 500),
        ),
        max_size=40,
    )
)
def test_trade_statistics_equal_the_twin(trades):
    pnl, returns, bars_held = ([trade[column] for trade in trades] for column in range(3))
    values = kernels.scan_trades(
        np.array(pnl, dtype=float), np.array(returns, dtype=float), np.array(bars_held, dtype=int)
    )
    names = (
        "expectancy_return payoff_ratio sqn kelly longest_win_streak longest_loss_streak "
        "mean_trade_bars max_trade_bars best_trade worst_trade"
    )
    assert_equal(names.split(), values, twins.twin_trades(pnl, returns, bars_held))


def test_the_next_month_is_found_on_every_day_of_nine_centuries():
    epoch = date(1970, 1, 1).toordinal()
    for ordinal in range(date(1599, 1, 1).toordinal(), date(2402, 1, 1).toordinal()):
        day = date.fromordinal(ordinal)
        following = date(day.year + day.month // 12, day.month % 12 + 1, 1).toordinal()
        assert kernels.find_next_month(ordinal - epoch) == following - epoch, day


def test_an_open_drawdown_is_counted_to_the_last_bar():
    stamps = np.array([0, 1, 4, 5], dtype=np.int64) * NS_PER_DAY
    bars, days, _ = kernels.scan_drawdowns(np.array([1000.0, 1200.0, 1100.0, 1150.0]), stamps, CASH)
    assert (bars, days) == (2.0, 4.0)


def test_a_drawdown_below_the_initial_cash_starts_before_the_first_bar():
    stamps = np.arange(3, dtype=np.int64) * NS_PER_DAY
    bars, days, _ = kernels.scan_drawdowns(np.array([999.0, 998.0, 1000.0]), stamps, CASH)
    assert (bars, days) == (3.0, 2.0)


def test_there_is_no_longest_drawdown_without_a_drawdown():
    stamps = np.arange(3, dtype=np.int64) * NS_PER_DAY
    bars, days, ulcer = kernels.scan_drawdowns(np.array([1000.0, 1000.0, 1001.0]), stamps, CASH)
    assert math.isnan(bars)
    assert math.isnan(days)
    assert ulcer == 0.0


def test_bars_after_ruin_return_nothing_even_from_an_equity_of_zero():
    returns = np.empty(4)
    kernels.fill_returns(np.array([500.0, 0.0, 0.0, 0.0]), CASH, 2, returns)
    assert returns.tolist() == [-0.5, -1.0, 0.0, 0.0]


def test_a_month_after_ruin_returns_nothing_even_from_an_equity_of_zero():
    stamps = (10_957 + np.array([0, 1, 40, 41], dtype=np.int64)) * NS_PER_DAY
    equity, returns = np.array([500.0, 0.0, 0.0, 0.0]), np.array([-0.5, -1.0, 0.0, 0.0])
    values = kernels.scan_calendar(equity, returns, stamps, CASH)
    assert values == (0.0, -1.0, 0.0, -1.0)


def test_a_bar_at_midnight_of_the_first_begins_a_month():
    stamps = (10_957 + np.array([29, 30, 31], dtype=np.int64)) * NS_PER_DAY  # 30, 31 Jan, 1 Feb
    equity = np.array([1100.0, 1210.0, 605.0])
    returns = np.array([0.1, 0.1, -0.5])
    best_day, worst_day, *months = kernels.scan_calendar(equity, returns, stamps, CASH)
    assert (best_day, worst_day) == (0.1, -0.5)
    assert months == [pytest.approx(0.21), -0.5]


def test_a_scratch_trade_is_neither_won_nor_lost_and_ends_both_streaks():
    pnl = np.array([1.0, 1.0, 0.0, 1.0, -1.0, 0.0, -1.0])
    values = kernels.scan_trades(pnl, pnl / 100, np.ones(7, dtype=int))
    assert values[4:6] == (2.0, 1.0)
    assert values[3] == pytest.approx(3 / 7 - 4 / 7)  # payoff 1, win rate 3 of 7
