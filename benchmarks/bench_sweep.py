"""Sweeps side by side with the peers, in one process: combinations a second, and memory.

Every contestant sweeps RSI crossings, long only, all in, 0.1 % fee, filled at the next open; with
stops it also trades short, with a stop of 5 % and a profit of 10 %. From prices to the metrics of
every combination, indicators included. Peers get a part of the grid, as large as they can bear in a
round, and their rate per combination counts.

    python benchmarks/bench_sweep.py --peers-python peers/bin/python
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
from contest import PEERS_VARIABLE, Task, run_contest, serve_contestant
from markets import ROOT, Market, compute_rsi, find_crossings, load_market
from report import Table, build_rate_table

FEE_RATE, CASH = 0.001, 100_000.0
STOP_LOSS, TAKE_PROFIT = 0.05, 0.10
# Of the check: the combination whose total return every contestant reports.
PROBE = (14, 30, 70)

# window, oversold, overbought, first and last: 10,000 combinations, and 100.
WIDE = ((5, 29), (20, 39), (61, 80))
NARROW = ((10, 19), (26, 30), (70, 71))


def list_combinations(
    spans: Sequence[tuple[int, int]], n_wanted: int
) -> list[tuple[int, int, int]]:
    """Return at most `n_wanted` combinations, whole windows at a time, the probe first."""
    grid = list(product(*(range(first, last + 1) for first, last in spans)))
    chosen = [one for one in grid if one[0] == PROBE[0]] + [
        one for one in grid if one[0] != PROBE[0]
    ]
    chosen.remove(PROBE)
    return [PROBE, *chosen][:n_wanted]


def iterate_signals(
    market: Market, combinations: Sequence[tuple[int, int, int]], compute: Callable[..., np.ndarray]
) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield buys and sells of each combination; every window's index is computed once."""
    known: dict[int, np.ndarray] = {}
    for window, oversold, overbought in combinations:
        if window not in known:
            known[window] = compute(market.close, window)
        yield find_crossings(known[window], float(oversold), float(overbought))


def build_ours(market: Market, spans: Any, n_combinations: int, stops: bool, threads: int) -> Task:
    """The whole grid as the command line sweeps it, indicators and signals included."""
    sys.path.insert(0, str(ROOT))
    from adapters.sweep_tops import gather_rows
    from backtest.bars import Bars
    from rules.spec import DatasetRef
    from rules.sweep_spec import parse_sweep_request, pin_sweep_request
    from tasks.process_memory import limit_heap_growth
    from tasks.sweep_local import run_local_sweep

    daily = market.periods_per_year == 252.0
    bars = Bars(
        *market.columns,
        np.ones(market.close.size),
        "daily" if daily else "intraday",
        market.periods_per_year,
    )
    names = ("window", "oversold", "overbought")
    trading: dict[str, Any] = {"fee_rate": FEE_RATE, "initial_cash": CASH}
    if stops:
        trading |= {"direction": "long_short", "stop_loss": STOP_LOSS, "take_profit": TAKE_PROFIT}
    request = parse_sweep_request(
        {
            "dataset": "BENCH",
            "rule": "rsi",
            "space": {
                name: f"{first}:{last}" for name, (first, last) in zip(names, spans, strict=True)
            },
            "trading": trading,
        }
    )
    dataset = DatasetRef(
        symbol="BENCH", sha256="0" * 64, n_bars=bars.n_bars, start="", end="", adjusted=False
    )
    spec = pin_sweep_request(request, [dataset])
    space = spec.build_space()
    probe = space.index(dict(zip(names, PROBE, strict=True)))
    limit_heap_growth()

    def run() -> float:
        # The contest's own first round loads the kernels.
        with run_local_sweep(spec, lambda _: (bars, ()), n_threads=threads, is_warm=True) as sweep:
            return float(gather_rows(sweep.columns, np.array([probe]))[1][0, 0])

    return Task(run, n_combinations)


def build_raptorbt(
    market: Market, spans: Any, n_combinations: int, stops: bool, threads: int
) -> Task:
    """Batches of signals, as many threads; it knows no reversal: with stops it is long only."""
    import raptorbt

    os.environ["RAYON_NUM_THREADS"] = str(threads)
    n_wanted = min(n_combinations, 500 if market.close.size < 100_000 else 8)
    combinations = list_combinations(spans, n_wanted)
    config = raptorbt.BacktestConfig(
        initial_capital=CASH, fees=FEE_RATE, slippage=0.0, fill_timing="next_bar_open"
    )
    if stops:
        config.set_fixed_stop(STOP_LOSS)
        config.set_fixed_target(TAKE_PROFIT)

    def run() -> float:
        items = [
            raptorbt.BatchSingleItem(str(number), buys, sells, config=config)
            for number, (buys, sells) in enumerate(
                iterate_signals(market, combinations, raptorbt.rsi)
            )
        ]
        results = raptorbt.batch_single_backtest(*market.columns, items, config=config)
        returns = {name: result.metrics.total_return_pct for name, result in results}
        return float(returns["0"]) / 100.0

    return Task(run, n_wanted)


def build_vectorbt(
    market: Market, spans: Any, n_combinations: int, stops: bool, threads: int
) -> Task:
    """One portfolio with a column per combination, and the metrics that it computes column-wise."""
    import pandas as pd
    import vectorbt as vbt

    n_wanted = min(n_combinations, 200 if market.close.size < 100_000 else 4)
    combinations = list_combinations(spans, n_wanted)
    index = pd.to_datetime(market.timestamps)
    close, opened = pd.Series(market.close, index), pd.Series(market.open, index)
    bracket: dict[str, Any] = {"sl_stop": STOP_LOSS, "tp_stop": TAKE_PROFIT} if stops else {}

    # Its own index smooths otherwise than Wilder's: everyone is to have the same signals.
    rsi = {window: compute_rsi(market.close, window) for window, _, _ in combinations}

    def run() -> float:
        found = list(iterate_signals(market, combinations, lambda _, window: rsi[window]))
        buys = np.column_stack([buys for buys, _ in found])
        sells = np.column_stack([sells for _, sells in found])
        buys, sells = (np.vstack([part[:1] & False, part[:-1]]) for part in (buys, sells))
        sides = {"direction": "both"} if stops else {}
        portfolio = vbt.Portfolio.from_signals(
            close,
            buys,
            sells,
            price=opened,
            fees=FEE_RATE,
            init_cash=CASH,
            freq="1D",
            **bracket,
            **sides,
        )
        totals = portfolio.total_return()
        for name in (
            "annualized_return",
            "annualized_volatility",
            "sharpe_ratio",
            "sortino_ratio",
            "max_drawdown",
            "calmar_ratio",
        ):
            getattr(portfolio, name)()
        trades = portfolio.trades
        for name in ("win_rate", "profit_factor", "expectancy", "count"):
            getattr(trades, name)()
        return float(totals.iloc[0])

    return Task(run, n_wanted)


def build_backtesting_py(
    market: Market, spans: Any, n_combinations: int, stops: bool, threads: int
) -> Task:
    """A `Backtest.run` each, statistics included."""
    import pandas as pd
    from backtesting import Backtest, Strategy

    combinations = list_combinations(spans, min(n_combinations, 5))
    rsi = {window: compute_rsi(market.close, window) for window, _, _ in combinations}

    class Crossing(Strategy):  # type: ignore[misc]  # the library has no types
        window, oversold, overbought = PROBE

        def init(self) -> None:
            found = find_crossings(rsi[self.window], self.oversold, self.overbought)
            self.buys, self.sells = (self.I(lambda x=x: x.astype(float), plot=False) for x in found)

        def next(self) -> None:
            price = self.data.Close[-1]
            if self.buys[-1] and not self.position.is_long:
                self.position.close()
                levels = (1 - STOP_LOSS, 1 + TAKE_PROFIT) if stops else (None, None)
                self.buy(**_scale(price, levels))
            elif self.sells[-1]:
                self.position.close()
                if stops:
                    self.sell(**_scale(price, (1 + STOP_LOSS, 1 - TAKE_PROFIT)))

    columns = zip(("Open", "High", "Low", "Close", "Volume"), market.columns[1:], strict=True)
    frame = pd.DataFrame(dict(columns), index=pd.to_datetime(market.timestamps))
    test = Backtest(frame, Crossing, cash=CASH * 1e6, commission=FEE_RATE)

    def run() -> float:
        returns = []
        for window, oversold, overbought in combinations:
            stats = test.run(window=window, oversold=oversold, overbought=overbought)
            returns.append(float(stats["Return [%]"]) / 100.0)
        return returns[0]

    return Task(run, len(combinations))


def _scale(price: float, levels: tuple[float | None, float | None]) -> dict[str, float]:
    names = ("sl", "tp")
    return {name: price * x for name, x in zip(names, levels, strict=True) if x is not None}


BUILDERS: dict[str, Callable[..., Task]] = {
    "ours": build_ours,
    "raptorbt": build_raptorbt,
    "vectorbt": build_vectorbt,
    "backtesting.py": build_backtesting_py,
}


def build_task(name: str, market: str, n_bars: int, **arguments: Any) -> Task:
    """Build the contestant of that name on that market."""
    return BUILDERS[name](load_market(market, n_bars), **arguments)


def run_benchmark(peers_python: str | None, rounds: int, n_bars: int) -> list[Table]:
    """Measure, print and return the tables."""
    everyone = tuple(BUILDERS)
    wide = {"market": "daily", "n_bars": 0, "spans": WIDE, "n_combinations": 10_000}
    long = {"market": "walk", "n_bars": n_bars, "spans": NARROW, "n_combinations": 100}
    plans: list[tuple[str, Sequence[str], dict[str, Any]]] = [
        ("Sweep of 10,000 on AAPL daily, 1 core", everyone, {**wide, "stops": False, "threads": 1}),
        (
            "The same with shorts, a stop and a take-profit, 1 core",
            everyone,
            {**wide, "stops": True, "threads": 1},
        ),
        (
            "Sweep of 10,000 on AAPL daily, 2 cores",
            everyone[:2],
            {**wide, "stops": False, "threads": 2},
        ),
        (
            f"Sweep of 100 on {n_bars:,} bars, 1 core",
            everyone[:3],
            {**long, "stops": False, "threads": 1},
        ),
    ]
    tables = []
    for title, names, arguments in plans:
        arguments = {**arguments, "cores": arguments["threads"]}
        contestants = run_contest(__file__, names, peers_python, rounds, arguments)
        notes = []
        if arguments["market"] == "walk":
            notes = [
                f"{one.name}: {one.best / n_bars * 1e9:.2f} ns per bar and combination, "
                f"median {one.median / n_bars * 1e9:.2f}."
                for one in contestants
            ]
        tables.append(build_rate_table(title, "combinations", contestants, notes))
        tables[-1].show()
    return tables


def main() -> None:
    """Parse the command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description="Benchmark sweeps against the peers.")
    parser.add_argument("--peers-python", default=os.environ.get(PEERS_VARIABLE))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bars", type=int, default=1_000_000, help="length of the random walk")
    parser.add_argument("--serve", choices=BUILDERS, help=argparse.SUPPRESS)
    parser.add_argument("--arguments", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve_contestant(build_task, {"name": options.serve, **options.arguments})
        return
    run_benchmark(options.peers_python, options.rounds, options.bars)


if __name__ == "__main__":
    main()
