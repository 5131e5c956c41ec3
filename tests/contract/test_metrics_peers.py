"""Metrics side by side with the libraries that definitions.md names, on real and on random curves.

Where a peer differs by definition, the comment beside its comparison says how.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from backtest.engine import (
    EXIT_REASONS,
    build_curve_result,
    build_engine_config,
    run_engine,
)
from backtest.metrics import compute_benchmark_equity, compute_metrics
from rules.spec import TradingSpec
from tests.support import peers

# backtesting.py asks pandas for a day of the week by a name that pandas will drop.
pytestmark = pytest.mark.filterwarnings("ignore:DatetimeIndex.dayofweek is deprecated")

DATA = Path(__file__).parents[2] / "data"
CASH = 100_000.0
PPY = 252.0


@dataclass(frozen=True)
class Run:
    """One run, its metrics, and the series a peer wants."""

    bars: pd.DataFrame
    signal: np.ndarray
    config: object
    result: object
    metrics: dict
    returns: pd.Series
    benchmark: pd.Series


def load_bars(symbol, adjust=True):
    with (DATA / f"{symbol}.csv").open() as file:
        rows = list(csv.DictReader(file))
    frame = pd.DataFrame(
        {name: [float(row[name]) for row in rows] for name in ("Open", "High", "Low", "Close")},
        index=pd.DatetimeIndex([row["Date"] for row in rows], dtype="datetime64[ns]"),
    )
    if adjust:
        factor = np.array([float(row["Adj Close"]) for row in rows]) / frame["Close"].to_numpy()
        frame = frame.mul(factor, axis=0)
    return frame


def walk_bars(seed):
    random = np.random.default_rng(seed)
    n_bars = int(random.integers(300, 900))
    close = 40.0 * np.exp(np.cumsum(random.normal(0.0003, 0.02, n_bars)))
    opened = close * np.exp(random.normal(0.0, 0.005, n_bars))
    return pd.DataFrame(
        {
            "Open": opened,
            "High": np.maximum(opened, close) * 1.005,
            "Low": np.minimum(opened, close) * 0.995,
            "Close": close,
        },
        index=pd.bdate_range("2015-03-12", periods=n_bars).as_unit("ns"),
    )


def swing_signal(close):
    """Buy after a fall of a fortnight, sell after a rise: trades of both kinds on every curve."""
    signal = np.zeros(close.size, dtype=np.int8)
    change = close[10:] / close[:-10] - 1.0
    signal[10:][change < -0.05] = 1
    signal[10:][change > 0.05] = -1
    return signal


def build_run(bars, **trading):
    trading = {"fee_rate": 0.001, "risk_free": 0.02, "mar": 0.01, **trading}
    config = build_engine_config(TradingSpec(**trading).model_dump(), PPY)
    columns = [np.ascontiguousarray(bars[name]) for name in ("Open", "High", "Low", "Close")]
    signal = swing_signal(columns[-1])
    result = run_engine(*columns, signal, None, config)
    stamps = bars.index.to_numpy().astype(np.int64)
    metrics = compute_metrics(result, columns[-1], stamps, config)
    held = compute_benchmark_equity(columns[-1], config)

    def returns_of(equity):
        marks = np.concatenate(([CASH], equity))
        return pd.Series(marks[1:] / marks[:-1] - 1.0, index=bars.index)

    return Run(bars, signal, config, result, metrics, returns_of(result.equity), returns_of(held))


@pytest.fixture(scope="module", params=["AAPL", "MSFT", "IBM", 1, 2, 3])
def run(request):
    source = request.param
    run = build_run(load_bars(source) if isinstance(source, str) else walk_bars(source))
    assert run.metrics["n_trades"] >= 5
    return run


def per_bar(annual):
    return (1.0 + annual) ** (1.0 / PPY) - 1.0


def check(run, **expected):
    for name, value in expected.items():
        assert run.metrics[name] == pytest.approx(value, rel=1e-9, abs=1e-9), name


def test_curve_metrics_equal_empyrical(run):
    rf, mar = per_bar(0.02), per_bar(0.01)
    r = run.returns
    check(
        run,
        total_return=peers.empyrical.cum_returns_final(r),
        cagr=peers.empyrical.annual_return(r, annualization=PPY),
        volatility=peers.empyrical.annual_volatility(r, annualization=PPY),
        sharpe=peers.empyrical.sharpe_ratio(r, risk_free=rf, annualization=PPY),
        sortino=peers.empyrical.sortino_ratio(r, required_return=mar, annualization=PPY),
        max_drawdown=peers.empyrical.max_drawdown(r),
        calmar=peers.empyrical.calmar_ratio(r, annualization=PPY),
        omega=peers.empyrical.omega_ratio(r),
        var_95=peers.empyrical.value_at_risk(r),
        cvar_95=peers.empyrical.conditional_value_at_risk(r),
        tail_ratio=peers.empyrical.tail_ratio(r),
    )


def test_what_is_measured_against_the_benchmark_equals_empyrical(run):
    rf = per_bar(0.02)
    r, b = run.returns, run.benchmark
    check(
        run,
        benchmark_total_return=peers.empyrical.cum_returns_final(b),
        benchmark_cagr=peers.empyrical.annual_return(b, annualization=PPY),
        benchmark_sharpe=peers.empyrical.sharpe_ratio(b, risk_free=rf, annualization=PPY),
        benchmark_max_drawdown=peers.empyrical.max_drawdown(b),
        beta=peers.empyrical.beta(r, b, risk_free=rf),
        alpha=peers.empyrical.alpha(r, b, risk_free=rf, annualization=PPY),
        # excess_sharpe is the information ratio per bar, not per year.
        information_ratio=peers.empyrical.excess_sharpe(r, b) * math.sqrt(PPY),
        tracking_error=peers.empyrical.annual_volatility(r - b, annualization=PPY),
        correlation=peers.stats.pearsonr(r, b).statistic,
    )


def test_moments_equal_scipy(run):
    check(
        run,
        skew=peers.stats.skew(run.returns, bias=True),
        kurtosis=peers.stats.kurtosis(run.returns, bias=True, fisher=False),
    )


def test_ratios_and_periods_equal_quantstats(run):
    r = run.returns
    pnl = pd.Series(run.result.trades.pnl[: run.metrics["n_trades"]])
    check(
        run,
        sharpe=peers.quantstats.stats.sharpe(r, rf=0.02, periods=PPY),
        sortino=peers.quantstats.stats.sortino(r, rf=0.01, periods=PPY),
        calmar=peers.quantstats.stats.calmar(r, periods=PPY),
        ulcer_index=peers.quantstats.stats.ulcer_index(r),
        payoff_ratio=peers.quantstats.stats.payoff_ratio(pnl),
        best_day=peers.quantstats.stats.best(r),
        worst_day=peers.quantstats.stats.worst(r),
        best_month=peers.quantstats.stats.best(r, aggregate="ME"),
        worst_month=peers.quantstats.stats.worst(r, aggregate="ME"),
        # Not named by the definition, and the same: a fraction of the deepest fall. quantstats
        # divides the sum of returns instead, so that recovery_factor cannot be compared.
    )


def backtesting_stats(run, with_open):
    trades = run.result.trades
    kept = slice(None) if with_open else slice(run.metrics["n_trades"])
    index = run.bars.index
    frame = pd.DataFrame(
        {
            "EntryBar": trades.entry_idx[kept],
            "ExitBar": trades.exit_idx[kept],
            "PnL": trades.pnl[kept],
            "ReturnPct": trades.return_[kept],
            "EntryTime": index[trades.entry_idx[kept]],
            "ExitTime": index[trades.exit_idx[kept]],
        }
    )
    frame["Duration"] = frame["ExitTime"] - frame["EntryTime"]
    return peers.backtesting.compute_stats(frame, run.result.equity, run.bars, None)


def test_trade_statistics_equal_backtesting_py(run):
    found = backtesting_stats(run, with_open=False)
    check(
        run,
        n_trades=found["# Trades"],
        win_rate=found["Win Rate [%]"] / 100,
        expectancy_return=found["Expectancy [%]"] / 100,
        sqn=found["SQN"],
        kelly=found["Kelly Criterion"],
        best_trade=found["Best Trade [%]"] / 100,
        worst_trade=found["Worst Trade [%]"] / 100,
    )
    # Its profit factor sums returns and its CAGR counts calendar time: other definitions.


def test_drawdown_length_and_exposure_equal_backtesting_py(run):
    # It knows no initial cash before the first bar; under next_open the first mark is that cash.
    assert run.result.equity[0] == CASH
    found = backtesting_stats(run, with_open=True)
    check(
        run,
        max_drawdown=found["Max. Drawdown [%]"] / 100,
        max_drawdown_days=found["Max. Drawdown Duration"].days,
        exposure=found["Exposure Time [%]"] / 100,
    )


def test_trade_money_equals_vectorbt(run):
    fills = run.result.fills
    size = np.zeros(len(run.bars))
    size[fills.bar_idx] = fills.side * fills.shares
    price = run.bars["Close"].to_numpy().copy()
    price[fills.bar_idx] = fills.price
    portfolio = peers.vectorbt.Portfolio.from_orders(
        run.bars["Close"], size, price=price, fees=0.001, init_cash=CASH, freq="1D"
    )
    closed = portfolio.trades.closed
    check(
        run,
        total_return=portfolio.total_return(),
        max_drawdown=portfolio.max_drawdown(),
        n_trades=closed.count(),
        win_rate=closed.win_rate(),
        profit_factor=closed.profit_factor(),
        expectancy=closed.expectancy(),
        longest_win_streak=closed.winning_streak.max(),
        longest_loss_streak=closed.losing_streak.max(),
        # Its SQN is the same, its Sharpe ratio counts 365 days a year.
        sqn=closed.sqn(),
    )


@pytest.mark.parametrize(("adjust", "expected"), [(True, 12.409), (False, 2.303)])
def test_apple_bought_and_held_without_fees_earns_the_known_return(adjust, expected):
    run = build_run(load_bars("AAPL", adjust), fee_rate=0.0)
    assert run.metrics["benchmark_total_return"] == pytest.approx(expected, abs=5e-4)


def test_a_ruined_run_equals_empyrical_where_it_is_defined():
    run = build_run(load_bars("AAPL"), direction="short_only")
    assert run.metrics["ruined"]
    returns = run.returns.copy()
    returns.iloc[run.result.ruin_idx + 1 :] = 0.0
    check(
        run,
        total_return=peers.empyrical.cum_returns_final(returns),
        volatility=peers.empyrical.annual_volatility(returns, annualization=PPY),
        max_drawdown=peers.empyrical.max_drawdown(returns),
        var_95=peers.empyrical.value_at_risk(returns),
        omega=peers.empyrical.omega_ratio(returns),
        beta=peers.empyrical.beta(returns, run.benchmark),
    )
    # empyrical raises the negative final value to a fraction and answers NaN as well.
    assert math.isnan(run.metrics["cagr"])
    assert math.isnan(run.metrics["calmar"])


def test_backtesting_py_and_ours_know_no_drawdown_length_without_a_drawdown():
    equity = np.array([CASH, CASH * 1.1, CASH * 1.2])
    bars = walk_bars(1).iloc[:3]
    config = build_engine_config(TradingSpec().model_dump(), PPY)
    stamps = bars.index.to_numpy().astype(np.int64)
    ours = compute_metrics(build_curve_result(equity), bars["Close"].to_numpy(), stamps, config)
    assert math.isnan(ours["max_drawdown_days"])
    assert math.isnan(ours["max_drawdown_bars"])


def test_the_open_trade_is_the_only_one_left_out():
    run = build_run(load_bars("MSFT"))
    reasons = run.result.trades.exit_reason
    n_open = int(np.count_nonzero(reasons == EXIT_REASONS.index("open")))
    assert run.metrics["n_open_trades"] == n_open
    assert run.metrics["n_trades"] + n_open == reasons.size
