"""What other libraries would compute, side by side with those libraries themselves."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from adapters.adapter import EXIT_REASONS
from adapters.convention_terms import CONVENTIONS
from adapters.conventions import (
    Account,
    compute_backtesting_py,
    compute_conventions,
    compute_lean,
    compute_quantstats,
    compute_vectorbt,
)
from backtest.engine import build_engine_config, run_engine
from rules.spec import TradingSpec
from tests.support import peers

pytestmark = pytest.mark.filterwarnings("ignore:DatetimeIndex.dayofweek is deprecated")

CASH, RATE, MAR = 100_000.0, 0.02, 0.01
# name: step of the bars, how many, as the product calls it, bars a year
GRIDS = {
    "daily": ("B", 700, "daily", 252.0),
    "weekends": ("D", 700, "daily", 365.0),
    "hourly": ("h", 2000, "intraday", 365.0 * 24),
    "weekly": ("W-FRI", 300, "weekly", 52.0),
    "monthly": ("ME", 180, "monthly", 12.0),
}


class Market:
    """A random walk, traded, as our engine and as pandas see it."""

    def __init__(self, grid: str, fill: str = "next_open") -> None:
        step, n_bars, self.spacing, self.per_year = GRIDS[grid]
        random = np.random.default_rng(len(grid) * 7919 + n_bars)
        close = 40.0 * np.exp(np.cumsum(random.normal(0.0004, 0.02, n_bars)))
        opened = close * np.exp(random.normal(0.0, 0.004, n_bars))
        index = pd.date_range("2015-01-05", periods=n_bars, freq=step).as_unit("ns")
        self.bars = pd.DataFrame(
            {
                "Open": opened,
                "High": np.maximum(opened, close) * 1.004,
                "Low": np.minimum(opened, close) * 0.996,
                "Close": close,
            },
            index=pd.DatetimeIndex(index.to_numpy()),
        )
        signal = np.zeros(n_bars, dtype=np.int8)
        change = close[5:] / close[:-5] - 1.0
        signal[5:][change < -0.03] = 1
        signal[5:][change > 0.03] = -1
        signal[0] = 1  # the first bar costs something under same_close
        config = build_engine_config(
            TradingSpec(fee_rate=0.001, fill=fill, risk_free=RATE, mar=MAR).model_dump(),
            self.per_year,
        )
        columns = [np.ascontiguousarray(self.bars[name]) for name in self.bars]
        self.result = run_engine(*columns, signal, None, config)
        trades = self.result.trades
        self.account = Account(
            timestamps=self.bars.index.to_numpy().astype(np.int64),
            equity=self.result.equity,
            initial_cash=CASH,
            spacing=self.spacing,
            periods_per_year=self.per_year,
            risk_free=RATE,
            mar=MAR,
            trades=[
                {
                    "pnl": float(trades.pnl[i]),
                    "return": float(trades.return_[i]),
                    "exit_reason": EXIT_REASONS[trades.exit_reason[i]],
                    "entry_idx": int(trades.entry_idx[i]),
                    "exit_idx": int(trades.exit_idx[i]),
                }
                for i in range(trades.pnl.size)
            ],
        )

    def per_bar(self, annual: float) -> float:
        return (1.0 + annual) ** (1.0 / self.per_year) - 1.0

    def returns(self) -> pd.Series:
        marks = np.concatenate(([CASH], self.result.equity))
        return pd.Series(marks[1:] / marks[:-1] - 1.0, index=self.bars.index)


@pytest.fixture(scope="module", params=list(GRIDS))
def market(request: pytest.FixtureRequest) -> Market:
    market = Market(request.param)
    assert len(market.account.closed) >= 4
    return market


def check(ours: dict, **theirs: float) -> None:
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, rel=1e-9, abs=1e-12), name


@pytest.mark.parametrize("fill", ["next_open", "same_close"])
def test_vectorbt_would_answer_this(market: Market, fill: str) -> None:
    market = market if fill == "next_open" else Market("daily", fill)
    fills = market.result.fills
    size = np.zeros(len(market.bars))
    # A closing and an opening leg of one bar are one order there.
    np.add.at(size, fills.bar_idx, fills.side * fills.shares)
    price = market.bars["Close"].to_numpy().copy()
    price[fills.bar_idx] = fills.price
    step = pd.Series(market.bars.index).diff().median()
    portfolio = peers.vectorbt.Portfolio.from_orders(
        market.bars["Close"], size, price=price, fees=0.001, init_cash=CASH, freq=step
    )
    closed = portfolio.trades.closed
    check(
        compute_vectorbt(market.account),
        total_return=portfolio.total_return(),
        cagr=portfolio.annualized_return(),
        volatility=portfolio.annualized_volatility(),
        sharpe=portfolio.sharpe_ratio(risk_free=market.per_bar(RATE)),
        sortino=portfolio.sortino_ratio(required_return=market.per_bar(MAR)),
        max_drawdown=portfolio.max_drawdown(),
        calmar=portfolio.calmar_ratio(),
        win_rate=closed.win_rate(),
        profit_factor=closed.profit_factor(),
        expectancy=closed.expectancy(),
        n_trades=portfolio.trades.count(),
    )


@pytest.mark.parametrize("fill", ["next_open", "same_close"])
def test_backtesting_py_would_answer_this(market: Market, fill: str) -> None:
    market = market if fill == "next_open" else Market("daily", fill)
    index = market.bars.index
    closed = market.account.closed
    frame = pd.DataFrame(
        {
            "EntryBar": [trade["entry_idx"] for trade in closed],
            "ExitBar": [trade["exit_idx"] for trade in closed],
            "PnL": [trade["pnl"] for trade in closed],
            "ReturnPct": [trade["return"] for trade in closed],
            "EntryTime": index[[trade["entry_idx"] for trade in closed]],
            "ExitTime": index[[trade["exit_idx"] for trade in closed]],
        }
    )
    frame["Duration"] = frame["ExitTime"] - frame["EntryTime"]
    found = peers.backtesting.compute_stats(frame, market.result.equity, market.bars, None, RATE)
    check(
        compute_backtesting_py(market.account),
        total_return=found["Return [%]"] / 100,
        cagr=found["CAGR [%]"] / 100,
        volatility=found["Volatility (Ann.) [%]"] / 100,
        sharpe=found["Sharpe Ratio"],
        sortino=found["Sortino Ratio"],
        max_drawdown=found["Max. Drawdown [%]"] / 100,
        calmar=found["Calmar Ratio"],
        win_rate=found["Win Rate [%]"] / 100,
        profit_factor=found["Profit Factor"],
        expectancy=found["Expectancy [%]"] / 100,
        exposure=found["Exposure Time [%]"] / 100,
        n_trades=found["# Trades"],
    )


def test_quantstats_would_answer_this(market: Market) -> None:
    r = market.returns()
    if market.spacing == "intraday":
        r = (1.0 + r).groupby(r.index.normalize()).prod() - 1.0
    check(
        compute_quantstats(market.account),
        total_return=peers.quantstats.stats.comp(r),
        cagr=peers.quantstats.stats.cagr(r),
        volatility=peers.quantstats.stats.volatility(r),
        sharpe=peers.quantstats.stats.sharpe(r, rf=RATE),
        sortino=peers.quantstats.stats.sortino(r, rf=RATE),
        max_drawdown=peers.quantstats.stats.max_drawdown(r),
        calmar=peers.quantstats.stats.calmar(r),
        win_rate=peers.quantstats.stats.win_rate(r),
        profit_factor=peers.quantstats.stats.profit_factor(r),
        exposure=peers.quantstats.stats.exposure(r),
    )


def test_lean_follows_its_published_formulas_on_numbers_worked_by_hand() -> None:
    day = 86_400_000_000_000
    # Monday to Friday: +10 %, -10 %, +10 %, -5 %, 0 %; two trades of +1000 and -500.
    account = Account(
        timestamps=np.arange(4, 9, dtype=np.int64) * day,  # 1970-01-05 was a Monday
        equity=np.array([110.0, 99.0, 108.9, 103.455, 103.455]) * 100,
        initial_cash=10_000.0,
        spacing="daily",
        periods_per_year=252.0,
        risk_free=0.02,
        mar=0.0,
        trades=[
            {"pnl": 1000.0, "return": 0.1, "exit_reason": "signal", "entry_idx": 0, "exit_idx": 1},
            {"pnl": -500.0, "return": -0.1, "exit_reason": "signal", "entry_idx": 2, "exit_idx": 3},
        ],
    )
    found = compute_lean(account)
    # mean 0.01; squares around it .0081 .0121 .0081 .0036 .0001, sum .032, over 4 is .008
    annual = 1.01**252 - 1.0
    check(
        found,
        total_return=0.03455,
        cagr=1.03455 ** (365.0 / 4.0) - 1.0,
        volatility=math.sqrt(0.008 * 252),
        sharpe=(annual - 0.02) / math.sqrt(0.008 * 252),
        # The losing days -10 % and -5 %: sample variance 0.00125.
        sortino=(annual - 0.02) / math.sqrt(0.00125 * 252),
        max_drawdown=-0.1,
        win_rate=0.5,
        # 10 % of 10,000 won, 500 of 11,000 lost.
        expectancy=0.5 * (0.1 / (500.0 / 11_000.0)) - 0.5,
        n_trades=4,
    )
    assert found["calmar"] is None


def test_lean_has_no_daily_returns_of_weekly_bars() -> None:
    found = compute_lean(Market("weekly").account)
    assert (found["volatility"], found["sharpe"], found["sortino"]) == (None, None, None)
    assert found["cagr"] is not None


@pytest.mark.parametrize(
    "equity", [[CASH] * 3, [CASH], [CASH, -5.0, -5.0], [CASH, 0.0, 0.0], [CASH, 1e300, 1e300]]
)
def test_nothing_is_infinite_and_nothing_fails_on_odd_curves(equity: list[float]) -> None:
    account = Account(
        timestamps=np.arange(len(equity), dtype=np.int64) * 86_400_000_000_000,
        equity=np.array(equity),
        initial_cash=CASH,
        spacing="daily",
        periods_per_year=252.0,
        risk_free=0.0,
        mar=0.0,
        trades=[],
    )
    for library, figures in compute_conventions(account).items():
        if equity == [CASH] * 3:
            assert figures["sharpe"] in (None, 0.0), library
            assert figures["total_return"] == pytest.approx(0.0), library
        assert all(value is None or math.isfinite(value) for value in figures.values()), library


def test_every_figure_that_differs_names_the_term(market: Market) -> None:
    ours = compute_conventions(market.account)
    assert [convention["name"] for convention in CONVENTIONS] == list(ours)
    for convention in CONVENTIONS:
        figures = ours[convention["name"]]
        missing = {name for name, value in figures.items() if value is None}
        assert missing <= set(convention["terms"]), convention["name"]
