"""Combinations a second of the sweep's kernels: AAPL, daily, and a random walk of a million bars.

Every figure is the best and the median of several rounds. Signals are computed before the clock
starts: RSI by the product's own kernel, levels by numpy, as a sweep's rule would hand them over.

    python benchmarks/bench_sweep_kernel.py
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import threading
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from markets import ROOT, load_market

sys.path.insert(0, str(ROOT))

from backtest.engine import build_engine_config, stream_engine
from backtest.signal_events import SignalEvents
from backtest.sweep import SweepBars, build_config_matrix, compute_combinations
from rules.spec import TradingSpec
from rules.technical_indicators import compute_rsi

TRADINGS: dict[str, dict[str, Any]] = {
    "long only, next open": {},
    "long only, same close": {"fill": "same_close"},
    "long only, stops": {"stop_loss": 0.05, "take_profit": 0.1},
    "shorts": {"direction": "long_short"},
    "shorts, stops": {"direction": "long_short", "stop_loss": 0.05, "take_profit": 0.1},
    "shorts, trailing": {"direction": "long_short", "stop_loss": 0.05, "trailing_stop": 0.08},
}


@dataclass(frozen=True)
class Sweep:
    """Bars and signals of a sweep over window, oversold and overbought."""

    bars: SweepBars
    buys: SignalEvents
    sells: SignalEvents
    buy_idx: np.ndarray
    sell_idx: np.ndarray
    periods_per_year: float

    @property
    def n(self) -> int:
        """Number of combinations."""
        return int(self.buy_idx.size)


def collect_crosses(
    close: np.ndarray, windows: np.ndarray, levels: np.ndarray, *, below: bool
) -> SignalEvents:
    """Return one signal per window and level, in that order."""
    found = []
    for window in windows:
        rsi = np.asarray(compute_rsi(close, int(window)))
        before, now = rsi[:-1], rsi[1:]
        for level in levels:
            hit = (before >= level) & (now < level) if below else (before <= level) & (now > level)
            found.append(np.flatnonzero(hit).astype(np.int32) + 1)
    offsets = np.cumsum([0, *(bar.size for bar in found)]).astype(np.int64)
    bar = np.concatenate(found).astype(np.int32)
    code = np.full(bar.size, 1 if below else -1, np.int8)
    return SignalEvents(offsets, bar, code, np.empty(0))


def build_sweep(market_name: str, n_bars: int) -> Sweep:
    """Return 10,000 combinations of daily bars, or 100 of the random walk."""
    market = load_market(market_name, n_bars)
    if market_name == "daily":
        windows, low, high = np.arange(2, 27), np.arange(20, 40), np.arange(60, 80)
    else:
        windows, low, high = np.arange(10, 20), np.array([30]), np.arange(66, 76)
    axes = np.meshgrid(
        np.arange(windows.size), np.arange(low.size), np.arange(high.size), indexing="ij"
    )
    window, oversold, overbought = (axis.ravel() for axis in axes)
    bars = SweepBars(
        market.open,
        np.maximum.reduce([market.open, market.high, market.low, market.close]),
        np.minimum.reduce([market.open, market.high, market.low, market.close]),
        market.close,
    )
    bars.build_tables(0.0)
    return Sweep(
        bars,
        collect_crosses(market.close, windows, low, below=True),
        collect_crosses(market.close, windows, high, below=False),
        (window * low.size + oversold).astype(np.int32),
        (window * high.size + overbought).astype(np.int32),
        252.0 if market_name == "daily" else 252.0 * 390,
    )


def compute_rows(sweep: Sweep, config: Any, rows: slice) -> np.ndarray:
    """Compute some of the combinations."""
    buys, sells = sweep.buy_idx[rows], sweep.sell_idx[rows]
    zeros = np.zeros(buys.size, np.int32)
    matrix = build_config_matrix(config, 1, {})
    return compute_combinations(sweep.bars, sweep.buys, buys, sweep.sells, sells, matrix, zeros)[0]


def measure_seconds(sweep: Sweep, config: Any, n_threads: int, rounds: int) -> list[float]:
    """Return the wall time of each round over all combinations, split evenly over threads."""
    cuts = np.linspace(0, sweep.n, n_threads + 1).astype(int)
    seconds = []
    for _ in range(rounds):
        threads = [
            threading.Thread(target=compute_rows, args=(sweep, config, slice(first, stop)))
            for first, stop in pairwise(cuts)
        ]
        started = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds.append(time.perf_counter() - started)
    return seconds


def find_error(sweep: Sweep, config: Any) -> float:
    """Return the largest difference from the engine, absolute or relative, over a few rows."""
    worst = 0.0
    bars = sweep.bars
    prices = (bars.open, bars.high, bars.low, bars.close)
    found = compute_rows(sweep, config, slice(None))
    for k in range(0, sweep.n, sweep.n // 5):
        signal = np.zeros(bars.n_bars, np.int8)
        for events, idx in ((sweep.buys, sweep.buy_idx), (sweep.sells, sweep.sell_idx)):
            part = slice(*events.offsets[idx[k] : idx[k] + 2])
            at = events.bar[part]
            signal[at] = np.where(signal[at] == 0, events.code[part], 0)
        expected = stream_engine(*prices, signal, None, config)
        error = np.abs(found[k] - expected)
        scaled = np.minimum(error, error / np.maximum(np.abs(expected), 1e-300))
        worst = max(worst, float(np.nanmax(scaled)))
    return worst


def print_rates(sweep: Sweep, tradings: dict[str, dict[str, Any]], rounds: int) -> None:
    """Print a line for each way to trade."""
    print(f"  {'':24}{'best':>10}{'median':>10}{'ns/bar':>8}{'2 threads':>11}{'error':>9}")
    for name, trading in tradings.items():
        fee_rate = 0.001 if sweep.n > 1_000 else 0.0  # a walk of minutes would be fees alone
        spec = TradingSpec(**{"fee_rate": fee_rate, **trading}).model_dump()
        config = build_engine_config(spec, sweep.periods_per_year)
        measure_seconds(sweep, config, 1, 1)
        one = measure_seconds(sweep, config, 1, rounds)
        two = measure_seconds(sweep, config, 2, rounds)
        per_bar = min(one) / sweep.n / sweep.bars.n_bars * 1e9
        print(
            f"  {name:24}{sweep.n / min(one):>8,.0f}/s{sweep.n / statistics.median(one):>8,.0f}/s"
            f"{per_bar:>8.2f}{min(one) / min(two):>10.2f}x{find_error(sweep, config):>9.0e}"
        )


def main() -> None:
    """Parse the command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description="Benchmark the kernels of a sweep.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--bars", type=int, default=1_000_000, help="length of the random walk")
    arguments = parser.parse_args()
    print("AAPL, daily: 10,000 combinations, thirteen metrics each, one thread")
    print_rates(build_sweep("daily", 0), TRADINGS, arguments.rounds)
    print(f"Random walk, {arguments.bars:,} bars: 100 combinations, no fee")
    chosen = ("long only, next open", "shorts, stops")
    some = {name: TRADINGS[name] for name in chosen}
    print_rates(build_sweep("walk", arguments.bars), some, max(1, arguments.rounds // 2))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"Largest resident set of this process: {peak:,.0f} MB")


if __name__ == "__main__":
    main()
