"""Headline metrics: worked by hand, undefined where they must be, and exact where sums cancel."""

from __future__ import annotations

import math

import numba
import numpy as np
import pytest

from backtest.engine import (
    HEADLINE_METRICS,
    build_curve_result,
    build_engine_config,
    measure_headline,
    run_engine,
    stream_engine,
    stream_kernel,
)
from backtest.headline import BOOK_SIZE, N_HEADLINE
from tests.support.engine_tables import BUY, FREE, HOLD, SELL
from tests.support.engine_twin import measure_twin, run_twin

FLAT = (100, 100, 100, 100)


def measure_rows(rows, trading=(), periods_per_year=1.0):
    """Return the metrics by name, having checked that both roads give the same bits."""
    *prices, signal = zip(*rows, strict=True)
    columns = [np.array(column, dtype=np.float64) for column in prices]
    signal = np.array(signal, dtype=np.int8)
    config = build_engine_config({**FREE, **dict(trading)}, periods_per_year)
    streamed = stream_engine(*columns, signal, None, config)
    recorded = measure_headline(run_engine(*columns, signal, None, config), config)
    assert streamed.tobytes() == recorded.tobytes()
    return dict(zip(HEADLINE_METRICS, streamed.tolist(), strict=True))


def measure_curve(equity, trading=(), periods_per_year=1.0):
    config = build_engine_config({**FREE, **dict(trading)}, periods_per_year)
    result = build_curve_result(np.asarray(equity, dtype=np.float64))
    return dict(zip(HEADLINE_METRICS, measure_headline(result, config).tolist(), strict=True))


def test_thirteen_metrics_of_two_trades_are_those_worked_by_hand():
    rows = [
        (*FLAT, BUY),
        (100, 120, 100, 120, SELL),  # equity 12000
        (120, 120, 120, 120, BUY),  # sold at 120: +2000; 12000
        (120, 120, 90, 90, SELL),  # 100 bought at 120; 9000
        (90, 90, 90, 90, HOLD),  # sold at 90: -3000; 9000
    ]
    found = measure_rows(rows, {"risk_free": 0.05, "mar": 0.01}, periods_per_year=1.0)
    # r = 0, 0.2, 0, -0.25, 0; mean -0.01
    squares = 3 * 0.01**2 + 0.21**2 + 0.24**2
    downside = math.sqrt((3 * 0.01**2 + 0.26**2) / 5)
    cagr = 0.9 ** (1 / 5) - 1
    assert found == pytest.approx(
        {
            "total_return": -0.1,
            "cagr": cagr,
            "volatility": math.sqrt(squares / 4),
            "sharpe": -0.06 / math.sqrt(squares / 4),
            "sortino": -0.02 / downside,
            "max_drawdown": -0.25,
            "calmar": cagr / 0.25,
            "win_rate": 0.5,
            "profit_factor": 2 / 3,
            "expectancy": -500.0,
            "exposure": 4 / 5,  # bars 1 to 4: the exit's bar counts
            # 10000 + 12000 + 12000 + 9000 traded; mean equity 52000 / 5
            "turnover": 43_000 / 10_400 / 5,
            "n_trades": 2.0,
        },
        rel=1e-12,
    )


def test_periods_per_year_scale_what_is_annual_and_nothing_else():
    rows = [(*FLAT, BUY), (100, 120, 100, 120, HOLD), (120, 120, 90, 90, HOLD)]
    yearly, fourfold = measure_rows(rows), measure_rows(rows, periods_per_year=4.0)
    assert fourfold["volatility"] == pytest.approx(2 * yearly["volatility"])
    assert fourfold["sharpe"] == pytest.approx(2 * yearly["sharpe"])
    assert fourfold["sortino"] == pytest.approx(2 * yearly["sortino"])
    assert fourfold["turnover"] == pytest.approx(4 * yearly["turnover"])
    assert fourfold["cagr"] == pytest.approx((1 + yearly["cagr"]) ** 4 - 1)
    for name in ("total_return", "max_drawdown", "exposure", "n_trades"):
        assert fourfold[name] == yearly[name]


def test_a_run_without_trades_has_zeros_and_undefined_ratios():
    found = measure_rows([(*FLAT, HOLD)] * 4)
    zeros = ("total_return", "cagr", "volatility", "max_drawdown", "exposure", "turnover")
    assert {name: found[name] for name in zeros} == dict.fromkeys(zeros, 0.0)
    assert found["n_trades"] == 0.0
    undefined = ("sharpe", "sortino", "calmar", "win_rate", "profit_factor", "expectancy")
    assert all(math.isnan(found[name]) for name in undefined)


def test_one_bar_has_no_dispersion_to_speak_of():
    found = measure_rows([(*FLAT, HOLD)])
    assert math.isnan(found["volatility"])
    assert math.isnan(found["sharpe"])
    assert found["total_return"] == 0.0


def test_an_open_trade_is_no_closed_trade():
    found = measure_rows([(*FLAT, BUY), (*FLAT, HOLD), (110, 110, 110, 110, HOLD)])
    assert found["n_trades"] == 0.0
    assert math.isnan(found["win_rate"])
    assert found["total_return"] == pytest.approx(0.1)


def test_profit_factor_is_undefined_without_a_loss_and_zero_without_a_win():
    wins = [(*FLAT, BUY), (*FLAT, SELL), (110, 110, 110, 110, HOLD)]
    losses = [(*FLAT, BUY), (*FLAT, SELL), (90, 90, 90, 90, HOLD)]
    assert math.isnan(measure_rows(wins)["profit_factor"])
    assert measure_rows(wins)["win_rate"] == 1.0
    assert measure_rows(losses)["profit_factor"] == 0.0


def test_a_trade_without_profit_or_loss_is_neither_a_win_nor_a_loss():
    found = measure_rows([(*FLAT, BUY), (*FLAT, SELL), (*FLAT, HOLD)])
    assert found["n_trades"] == 1.0
    assert found["win_rate"] == 0.0
    assert found["expectancy"] == 0.0
    assert math.isnan(found["profit_factor"])


def test_cagr_is_minus_one_at_zero_equity_and_undefined_below():
    at_zero = [
        (*FLAT, SELL),
        (*FLAT, HOLD),
        (200, 200, 200, 200, HOLD),
        (*FLAT, HOLD),
    ]
    below = [(*FLAT, SELL), (*FLAT, HOLD), (250, 250, 250, 250, HOLD), (*FLAT, HOLD)]
    short = {"direction": "short_only"}
    assert measure_rows(at_zero, short)["cagr"] == -1.0
    assert measure_rows(at_zero, short)["calmar"] == -1.0
    found = measure_rows(below, short)
    assert math.isnan(found["cagr"])
    assert math.isnan(found["calmar"])
    assert found["total_return"] == -1.5
    assert found["max_drawdown"] == -1.5


def test_returns_after_ruin_are_zero():
    rows = [(*FLAT, SELL), (*FLAT, HOLD), (200, 200, 200, 200, HOLD), (*FLAT, HOLD)]
    found = measure_rows(rows, {"direction": "short_only"})
    # r = 0, 0, -1, 0
    assert found["volatility"] == pytest.approx(0.5)
    assert found["sharpe"] == pytest.approx(-0.5)


def test_an_infinite_annual_figure_is_undefined():
    rows = [(*FLAT, BUY), (100, 200, 100, 200, HOLD)]
    found = measure_rows(rows, periods_per_year=1e7)
    assert math.isnan(found["cagr"])
    assert math.isnan(found["calmar"])


def test_returns_that_never_vary_have_no_volatility_and_no_sharpe():
    # 1.5^k is exact in binary for k < 33: r is 0.5 on every bar
    found = measure_curve([10_000.0 * 1.5**k for k in range(1, 21)])
    assert found["volatility"] == 0.0
    assert math.isnan(found["sharpe"])
    assert math.isnan(found["sortino"])
    found = measure_curve([10_000.0 * 1.5**k for k in range(1, 21)], {"mar": 0.75})
    assert found["sortino"] == pytest.approx(-1.0)


@pytest.mark.parametrize("noise", [1e-3, 1e-6, 1e-9])
def test_a_spread_far_below_the_mean_survives(noise):
    """Raw sums of squares lose (mean / spread)^2: twelve digits of sixteen in the worst case."""
    rng = np.random.default_rng(7)
    returns = 0.01 + noise * rng.standard_normal(2_000)
    equity = 10_000.0 * np.cumprod(1.0 + returns)
    found = measure_curve(equity)
    r = equity / np.r_[10_000.0, equity[:-1]] - 1.0
    assert found["volatility"] == pytest.approx(r.std(ddof=1), rel=1e-9)
    assert found["sharpe"] == pytest.approx(r.mean() / r.std(ddof=1), rel=1e-9)


def test_streaming_survives_a_spread_far_below_the_mean_too():
    rows = [(*FLAT, HOLD)] * 60_000
    trading = {**FREE, "cash_rate": 0.05}
    found = measure_rows(rows, trading, periods_per_year=252.0)
    columns = [[100.0] * len(rows)] * 4
    expected = measure_twin(run_twin(columns, [0] * len(rows), None, trading), trading)
    # interest from the second bar on: one return of 0 among 59999 equal ones, up to rounding
    assert found["volatility"] == pytest.approx(expected["volatility"], rel=1e-9)
    assert found["sharpe"] == pytest.approx(expected["sharpe"], rel=1e-9)


def test_the_deepest_drawdown_is_the_smallest_quotient_exactly():
    rng = np.random.default_rng(11)
    for drift in (-0.01, 0.0, 0.01):
        equity = 10_000.0 * np.exp(np.cumsum(drift + 0.03 * rng.standard_normal(3_000)))
        marks = np.r_[10_000.0, equity]
        expected = (marks / np.maximum.accumulate(marks) - 1.0).min()
        assert measure_curve(equity)["max_drawdown"] == expected


def test_another_kernel_can_stream_without_leaving_compiled_code():
    rng = np.random.default_rng(3)
    close = 100.0 * np.exp(np.cumsum(0.02 * rng.standard_normal(500)))
    signal = rng.choice([0, 0, 0, 1, -1], 500).astype(np.int8)
    configs = [
        build_engine_config({**FREE, "stop_loss": level, "direction": "long_short"}, 252.0)
        for level in (None, 0.02, 0.05)
    ]

    @numba.njit
    def sweep(close, signal, weight, stop_losses, arguments, book, table):
        cash, fee, fixed, slip, size, kind, lot, side, fill, _, profit, trail, c, b = arguments[:14]
        ppy, rf, mar = arguments[14:]
        for row in range(stop_losses.size):
            stop = stop_losses[row]
            stream_kernel(
                close, close, close, close, signal, weight, cash, fee, fixed, slip, size, kind, lot,
                side, fill, stop, profit, trail, c, b, ppy, rf, mar, book, table[row],
            )  # fmt: skip

    table = np.empty((3, N_HEADLINE))
    stop_losses = np.array([config.stop_loss for config in configs])
    book = np.empty(BOOK_SIZE)
    sweep(close, signal, np.empty(0), stop_losses, configs[0].stream_args, book, table)
    for row, config in zip(table, configs, strict=True):
        expected = stream_engine(close, close, close, close, signal, None, config)
        assert row.tobytes() == expected.tobytes()
