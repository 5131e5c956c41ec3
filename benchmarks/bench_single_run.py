"""One backtest with its full result, side by side with the peers; and the streaming entry point.

Every contestant runs in a process of its own and gets the same bars and the same signals, computed
here once: RSI(14) crossing 30 and 70, long only, all in, 0.1 % fee, filled at the next open. Rounds
alternate between the contestants, because these machines are noisy: read ratios, not times.

    python benchmarks/bench_single_run.py --peers-python peers/bin/python

The interpreter of the peers' environment comes from the flag or from STOCK_BACKTEST_PEERS_PYTHON;
without one only our own figures are taken. benchmarks/README.md says how to make the environment.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
PEERS_VARIABLE = "STOCK_BACKTEST_PEERS_PYTHON"
FEE_RATE = 0.001
CASH = 100_000.0
ROUND_SECONDS = 0.25

# Stream and full run share one data set each with the peers that can bear its size.
DAILY = ("ours", "raptorbt", "backtesting.py", "vectorbt")
WALK = ("ours", "ours, streaming", "raptorbt")


@dataclass(frozen=True)
class Market:
    """Bars and signals as every contestant gets them; arrays of shape (n,)."""

    timestamps: np.ndarray
    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray
    signal: np.ndarray


def load_market(name: str, n_bars: int) -> Market:
    """Return AAPL, adjusted, or a seeded geometric random walk of minute bars."""
    if name == "daily":
        rows = np.genfromtxt(ROOT / "data" / "AAPL.csv", delimiter=",", names=True, dtype=None)
        factor = rows["Adj_Close"] / rows["Close"]
        prices = [np.ascontiguousarray(rows[c] * factor) for c in ("Open", "High", "Low", "Close")]
        stamps = rows["Date"].astype("datetime64[ns]").astype(np.int64)
        volume = rows["Volume"] / factor
    else:
        draws = np.random.default_rng(20_240_601)
        close = 100.0 * np.exp(np.cumsum(draws.normal(0.0, 0.001, n_bars)))
        opened = np.concatenate(([100.0], close[:-1]))
        high = np.maximum(opened, close) * (1.0 + draws.uniform(0.0, 0.001, n_bars))
        low = np.minimum(opened, close) * (1.0 - draws.uniform(0.0, 0.001, n_bars))
        prices = [opened, high, low, close]
        stamps = 1_577_836_800_000_000_000 + 60_000_000_000 * np.arange(n_bars, dtype=np.int64)
        volume = np.full(n_bars, 1000.0)
    return Market(stamps, *prices, volume, compute_signal(prices[3]))


def compute_signal(close: np.ndarray) -> np.ndarray:
    """Return +1 where RSI(14) falls below 30, -1 where it rises above 70, else 0."""
    change = np.diff(close)
    gain, loss = float(change[:14].clip(0).mean()), float((-change[:14]).clip(0).mean())
    rsi = np.full(close.size, np.nan)
    for t in range(14, close.size):
        if t > 14:
            step = float(change[t - 1])
            gain = (gain * 13 + max(step, 0.0)) / 14
            loss = (loss * 13 + max(-step, 0.0)) / 14
        rsi[t] = 100.0 * gain / (gain + loss) if gain + loss > 0 else 50.0
    signal = np.zeros(close.size, dtype=np.int8)
    before, now = rsi[:-1], rsi[1:]
    signal[1:][(before >= 30.0) & (now < 30.0)] = 1
    signal[1:][(before <= 70.0) & (now > 70.0)] = -1
    return signal


def build_ours(market: Market) -> Callable[[], float]:
    """Engine and all metrics."""
    sys.path.insert(0, str(ROOT))
    from backtest.engine import run_engine
    from backtest.metrics import compute_metrics

    config = build_our_config(market)
    bars = (market.open, market.high, market.low, market.close)

    def run() -> float:
        result = run_engine(*bars, market.signal, None, config)
        metrics = compute_metrics(result, market.close, market.timestamps, config)
        return float(metrics["total_return"])

    return run


def build_our_stream(market: Market) -> Callable[[], float]:
    """The sweep's entry point: headline metrics only."""
    sys.path.insert(0, str(ROOT))
    from backtest.engine import stream_engine

    config = build_our_config(market)
    bars = (market.open, market.high, market.low, market.close)
    return lambda: float(stream_engine(*bars, market.signal, None, config)[0])


def build_our_config(market: Market) -> Any:
    """Return the engine's configuration: defaults, 0.1 % fee."""
    from backtest.engine import build_engine_config
    from rules.spec import TradingSpec

    daily = market.timestamps[1] - market.timestamps[0] > 3_600_000_000_000
    trading = TradingSpec(initial_cash=CASH, fee_rate=FEE_RATE).model_dump()
    return build_engine_config(trading, 252.0 if daily else 252.0 * 390)


def build_raptorbt(market: Market) -> Callable[[], float]:
    """Full result: equity curve, trades and all metrics read out."""
    import raptorbt

    config = raptorbt.BacktestConfig(
        initial_capital=CASH, fees=FEE_RATE, slippage=0.0, fill_timing="next_bar_open"
    )
    columns = (market.timestamps, market.open, market.high, market.low, market.close, market.volume)
    entries, exits = market.signal == 1, market.signal == -1

    def run() -> float:
        result = raptorbt.run_single_backtest(*columns, entries, exits, config=config)
        metrics = result.metrics.to_dict()
        result.equity_curve()
        result.trades()
        return float(metrics["Total Return [%]"]) / 100.0

    return run


def build_backtesting_py(market: Market) -> Callable[[], float]:
    """One `Backtest.run`, statistics included; cash so high that whole shares do not matter."""
    import pandas as pd
    from backtesting import Backtest, Strategy

    class Crossing(Strategy):  # type: ignore[misc]
        def init(self) -> None:
            self.signal = self.I(lambda: market.signal.astype(float), plot=False)

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
    moved = pd.Series(np.concatenate(([0], market.signal[:-1])), index)

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


def serve_contestant(name: str, market_name: str, n_bars: int) -> None:
    """Child process: warm up, then answer every line on standard input with one round's time."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # a peer's progress bar or greeting must not end up among the answers
    market = load_market(market_name, n_bars)
    run = BUILDERS[name](market)
    total_return = run()
    started = time.perf_counter()
    run()
    n_calls = max(1, int(ROUND_SECONDS / (time.perf_counter() - started)))
    first = {"total_return": total_return, "n_calls": n_calls, "n_bars": market.close.size}
    print(json.dumps(first), file=answers, flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        for _ in range(n_calls):
            run()
        seconds = (time.perf_counter() - started) / n_calls
        print(json.dumps({"seconds": seconds}), file=answers, flush=True)


@dataclass
class Contestant:
    """A warm child process and the times it has answered so far."""

    name: str
    process: subprocess.Popen[str]
    facts: dict[str, Any]
    seconds: list[float]

    def run_round(self) -> None:
        """Have it measure one round."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print("round", file=self.process.stdin, flush=True)
        self.seconds.append(json.loads(self.process.stdout.readline())["seconds"])


@contextmanager
def start_contestant(
    name: str, python: str, market_name: str, n_bars: int
) -> Iterator[Contestant | None]:
    """Start a child and wait until it is warm; None, with a line of explanation, if it fails."""
    command = [python, __file__, "--serve", name, "--market", market_name, "--bars", str(n_bars)]
    environment = {**os.environ, "RAPTORBT_NO_VERSION_CHECK": "1"}
    pipe = subprocess.PIPE
    # Progress bars and warnings of the peers are kept aside, and shown only if one fails.
    with (
        tempfile.TemporaryFile("w+") as noise,
        subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=noise, text=True, env=environment
        ) as process,
    ):
        assert process.stdout is not None
        assert process.stdin is not None
        line = process.stdout.readline()
        if not line:
            noise.seek(0)
            print(f"{noise.read()}  {name}: left out, it did not start (see above)")
            yield None
            return
        yield Contestant(name, process, json.loads(line), [])
        process.stdin.close()


def run_contest(
    market_name: str, names: tuple[str, ...], peers_python: str | None, rounds: int, n_bars: int
) -> None:
    """Measure the contestants in turn and print best and median."""
    with ExitStack() as stack:
        contestants = []
        for name in names:
            python = sys.executable if name.startswith("ours") else peers_python
            if python is None:
                continue
            entered = stack.enter_context(start_contestant(name, python, market_name, n_bars))
            contestants += [entered] if entered else []
        for _ in range(rounds):
            for contestant in contestants:
                contestant.run_round()
    print_table(contestants)


def print_table(contestants: list[Contestant]) -> None:
    """Print a line each; ratios are to ours, by the median and by the best round."""
    ours = contestants[0].seconds
    print(f"  {'':16}{'best':>12}{'median':>12}{'ns/bar':>9}{'x ours':>16}{'return':>12}")
    for one in contestants:
        best, median = min(one.seconds), statistics.median(one.seconds)
        ratios = f"{best / min(ours):.2f} / {median / statistics.median(ours):.2f}"
        per_bar = best / one.facts["n_bars"] * 1e9
        print(
            f"  {one.name:16}{best * 1e6:>9.1f} us{median * 1e6:>9.1f} us{per_bar:>9.2f}"
            f"{ratios:>16}{one.facts['total_return']:>12.4f}"
        )


def main() -> None:
    """Parse the command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description="Benchmark one backtest against the peers.")
    parser.add_argument("--peers-python", default=os.environ.get(PEERS_VARIABLE))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--bars", type=int, default=1_000_000, help="length of the random walk")
    parser.add_argument("--serve", choices=BUILDERS, help=argparse.SUPPRESS)
    parser.add_argument("--market", choices=("daily", "walk"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve_contestant(arguments.serve, arguments.market, arguments.bars)
        return
    if arguments.peers_python is None:
        print(f"No peers: give --peers-python or set {PEERS_VARIABLE}; see benchmarks/README.md.")
    print("AAPL, daily: one backtest with its full result")
    run_contest("daily", DAILY, arguments.peers_python, arguments.rounds, arguments.bars)
    print(f"Random walk, {arguments.bars:,} bars: full result, and headline metrics by streaming")
    run_contest("walk", WALK, arguments.peers_python, arguments.rounds, arguments.bars)


if __name__ == "__main__":
    main()
