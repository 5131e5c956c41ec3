"""One backtest with its full result, side by side with the peers; and the streaming entry point.

Every contestant gets the same bars and the same signals, computed here once: RSI(14) crossing 30
and 70, long only, all in, 0.1 % fee, filled at the next open.

    python benchmarks/bench_single_run.py --peers-python peers/bin/python

The interpreter of the peers' environment comes from the flag or from STOCK_BACKTEST_PEERS_PYTHON;
without one only our own figures are taken. benchmarks/README.md says how to make the environment.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from contest import PEERS_VARIABLE, Task, run_contest, serve_contestant
from markets import ROOT, Market, compute_rsi, find_crossings, load_market
from report import Table, build_time_table

FEE_RATE = 0.001
CASH = 100_000.0

# Stream and full run share one data set each with the peers that can bear its size.
DAILY = ("ours", "raptorbt", "backtesting.py", "vectorbt")
WALK = ("ours", "ours, streaming", "raptorbt")


def compute_signal(close: np.ndarray) -> np.ndarray:
    """Return +1 where RSI(14) falls below 30, -1 where it rises above 70, else 0."""
    buys, sells = find_crossings(compute_rsi(close, 14), 30.0, 70.0)
    return buys.astype(np.int8) - sells.astype(np.int8)


def build_ours(market: Market) -> Callable[[], float]:
    """Engine and all metrics."""
    sys.path.insert(0, str(ROOT))
    from backtest.engine import run_engine
    from backtest.metrics import compute_metrics

    config = build_our_config(market)
    bars, signal = market.columns[1:5], compute_signal(market.close)

    def run() -> float:
        result = run_engine(*bars, signal, None, config)
        metrics = compute_metrics(result, market.close, market.timestamps, config)
        return float(metrics["total_return"])

    return run


def build_our_stream(market: Market) -> Callable[[], float]:
    """The sweep's entry point: headline metrics only."""
    sys.path.insert(0, str(ROOT))
    from backtest.engine import stream_engine

    config = build_our_config(market)
    bars, signal = market.columns[1:5], compute_signal(market.close)
    return lambda: float(stream_engine(*bars, signal, None, config)[0])


def build_our_config(market: Market) -> Any:
    """Return the engine's configuration: defaults, 0.1 % fee."""
    from backtest.engine import build_engine_config
    from rules.spec import TradingSpec

    trading = TradingSpec(initial_cash=CASH, fee_rate=FEE_RATE).model_dump()
    return build_engine_config(trading, market.periods_per_year)


def build_raptorbt(market: Market) -> Callable[[], float]:
    """Full result: equity curve, trades and all metrics read out."""
    import raptorbt

    config = raptorbt.BacktestConfig(
        initial_capital=CASH, fees=FEE_RATE, slippage=0.0, fill_timing="next_bar_open"
    )
    signal = compute_signal(market.close)
    entries, exits = signal == 1, signal == -1

    def run() -> float:
        result = raptorbt.run_single_backtest(*market.columns, entries, exits, config=config)
        metrics = result.metrics.to_dict()
        result.equity_curve()
        result.trades()
        return float(metrics["Total Return [%]"]) / 100.0

    return run


def build_backtesting_py(market: Market) -> Callable[[], float]:
    """One `Backtest.run`, statistics included; cash so high that whole shares do not matter."""
    import pandas as pd
    from backtesting import Backtest, Strategy

    signal = compute_signal(market.close).astype(float)

    class Crossing(Strategy):  # type: ignore[misc]  # the library has no types
        def init(self) -> None:
            self.signal = self.I(lambda: signal, plot=False)

        def next(self) -> None:
            if self.signal[-1] == 1 and not self.position:
                self.buy()
            elif self.signal[-1] == -1:
                self.position.close()

    frame = pd.DataFrame(
        {
            "Open": market.open,
            "High": market.high,
            "Low": market.low,
            "Close": market.close,
            "Volume": market.volume,
        },
        index=pd.to_datetime(market.timestamps),
    )
    # A size of just under 1 leaves room for the commission, which is on top of it there.
    test = Backtest(frame, Crossing, cash=CASH * 1e6, commission=FEE_RATE)
    return lambda: float(test.run()["Return [%]"]) / 100.0


def build_vectorbt(market: Market) -> Callable[[], float]:
    """Portfolio, value, trade records and statistics; signals moved one bar to fill at the open."""
    import pandas as pd
    import vectorbt as vbt

    index = pd.to_datetime(market.timestamps)
    close, opened = pd.Series(market.close, index), pd.Series(market.open, index)
    moved = pd.Series(np.concatenate(([0], compute_signal(market.close)[:-1])), index)

    def run() -> float:
        portfolio = vbt.Portfolio.from_signals(
            close, moved == 1, moved == -1, price=opened, fees=FEE_RATE, init_cash=CASH, freq="1D"
        )
        stats = portfolio.stats()
        portfolio.value()
        len(portfolio.trades.records)
        return float(stats["Total Return [%]"]) / 100.0

    return run


BUILDERS: dict[str, Callable[[Market], Callable[[], float]]] = {
    "ours": build_ours,
    "ours, streaming": build_our_stream,
    "raptorbt": build_raptorbt,
    "backtesting.py": build_backtesting_py,
    "vectorbt": build_vectorbt,
}


def build_task(name: str, market: str, n_bars: int) -> Task:
    """Build the contestant of that name on that market."""
    return Task(BUILDERS[name](load_market(market, n_bars)))


def run_benchmark(peers_python: str | None, rounds: int, n_bars: int) -> list[Table]:
    """Measure, print and return the tables."""
    tables = []
    for title, market, names, size in (
        ("One backtest, full result: AAPL daily", "daily", DAILY, 3270),
        (f"One backtest: walk of {n_bars:,} bars", "walk", WALK, n_bars),
    ):
        arguments = {"market": market, "n_bars": n_bars}
        contestants = run_contest(__file__, names, peers_python, rounds, arguments)
        tables.append(build_time_table(title, size, contestants))
        tables[-1].show()
    return tables


def main() -> None:
    """Parse the command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description="Benchmark one backtest against the peers.")
    parser.add_argument("--peers-python", default=os.environ.get(PEERS_VARIABLE))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--bars", type=int, default=1_000_000, help="length of the random walk")
    parser.add_argument("--serve", choices=BUILDERS, help=argparse.SUPPRESS)
    parser.add_argument("--arguments", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve_contestant(build_task, {"name": options.serve, **options.arguments})
        return
    if options.peers_python is None:
        print(f"No peers: give --peers-python or set {PEERS_VARIABLE}; see benchmarks/README.md.")
    run_benchmark(options.peers_python, options.rounds, options.bars)


if __name__ == "__main__":
    main()
