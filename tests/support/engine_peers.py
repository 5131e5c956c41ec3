"""Our engine, backtesting.py and vectorbt behind one call: the same bars and signals, rows back."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from backtest.bars import adjust_bars
from backtest.engine import EXIT_REASONS, build_engine_config, run_engine
from storage.bar_files import load_bar_file
from tests.support.engine_tables import FREE

DATA = Path(__file__).resolve().parents[2] / "data"
BUY, SELL, EXIT = 1, -1, 2


@dataclass(frozen=True)
class Row:
    """A closed trade as every contestant can tell it."""

    entry_idx: int
    exit_idx: int
    direction: int
    shares: float
    entry_price: float
    exit_price: float
    pnl: float


def load_prices(symbol):
    """Return adjusted open, high, low, close of the data that ships."""
    bars, _ = load_bar_file(DATA / f"{symbol}.csv")
    bars = adjust_bars(bars)
    return bars.open, bars.high, bars.low, bars.close


def build_walk(seed, n_bars=1_500, volatility=0.02):
    """Return open, high, low, close of a seeded walk with gaps."""
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(volatility * rng.standard_normal(n_bars)))
    open_ = np.r_[100.0, close[:-1]] * np.exp(volatility / 2 * rng.standard_normal(n_bars))
    high = np.maximum(open_, close) * (1.0 + volatility / 2 * np.abs(rng.standard_normal(n_bars)))
    low = np.minimum(open_, close) * (1.0 - volatility / 2 * np.abs(rng.standard_normal(n_bars)))
    return open_, high, low, close


def build_signal(seed, n_bars, codes=(BUY, SELL), share=0.15):
    """Return random signals; the first and the last two bars stay free, see the tests."""
    rng = np.random.default_rng(seed)
    signal = np.where(rng.random(n_bars) < share, rng.choice(codes, n_bars), 0).astype(np.int8)
    signal[0] = 0
    signal[-2:] = 0
    return signal


def run_ours(prices, signal, trading):
    """Return our closed trades, our result, and the exit reason of each closed trade."""
    result = run_engine(*prices, signal, None, build_engine_config({**FREE, **trading}, 252.0))
    trades = result.trades
    closed = [k for k, code in enumerate(trades.exit_reason) if EXIT_REASONS[code] != "open"]
    rows = [
        Row(
            int(trades.entry_idx[k]),
            int(trades.exit_idx[k]),
            int(trades.direction[k]),
            float(trades.shares[k]),
            float(trades.entry_price[k]),
            float(trades.exit_price[k]),
            float(trades.pnl[k]),
        )
        for k in closed
    ]
    return rows, result, [EXIT_REASONS[trades.exit_reason[k]] for k in closed]


def run_backtesting_py(prices, signal, trading):
    """Return closed trades and the equity curve of backtesting.py, fed with the same signals."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own, about open trades and its progress bar
        from backtesting import Backtest, Strategy

        open_, _, _, close = prices
        direction = trading.get("direction", "long_only")
        same_close = trading.get("fill") == "same_close"
        size = trading["size"]

        class Replay(Strategy):
            def init(self):
                pass

            def next(self):
                t = len(self.data) - 1
                code = signal[t]
                if (self.position.is_long and code in (SELL, EXIT)) or (
                    self.position.is_short and code in (BUY, EXIT)
                ):
                    self.position.close()
                if code == BUY and not self.position.is_long and direction != "short_only":
                    self.bracket(self.buy(size=size), 1, t)
                if code == SELL and not self.position.is_short and direction != "long_only":
                    self.bracket(self.sell(size=size), -1, t)

            def bracket(self, order, side, t):
                # Levels hang on the entry price, which a strategy cannot know: the harness peeks.
                if not same_close and t + 1 == len(close):
                    return
                entry = close[t] if same_close else open_[t + 1]
                stop, profit = trading.get("stop_loss"), trading.get("take_profit")
                if stop is not None:
                    order._replace(sl_price=entry * (1 - side * stop))
                if profit is not None:
                    order._replace(tp_price=entry * (1 + side * profit))

        frame = pd.DataFrame(
            dict(zip(("Open", "High", "Low", "Close"), prices, strict=True)),
            index=pd.date_range("2000-01-03", periods=len(close), freq="D"),
        )
        stats = Backtest(
            frame,
            Replay,
            cash=trading["initial_cash"],
            commission=(trading.get("fee_fixed", 0.0), trading.get("fee_rate", 0.0)),
            trade_on_close=same_close,
        ).run()
    rows = [
        Row(
            trade.EntryBar,
            trade.ExitBar,
            int(np.sign(trade.Size)),
            float(abs(trade.Size)),
            trade.EntryPrice,
            trade.ExitPrice,
            trade.PnL,
        )
        for trade in stats["_trades"].itertuples()
    ]
    return sort_rows(rows), stats["_equity_curve"]["Equity"].to_numpy()


def run_vectorbt(prices, signal, trading):
    """Return closed trades and the value curve of vectorbt's from_signals."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import vectorbt as vbt
        from vectorbt.portfolio.enums import StopEntryPrice, StopExitPrice

    open_, high, low, close = prices
    fill = trading.get("fill", "next_open")
    shifted = signal if fill == "same_close" else np.r_[np.int8(0), signal[:-1]]
    buys, sells = shifted == BUY, shifted == SELL
    price = {"same_close": close, "next_open": open_, "worst_of_bar": np.where(buys, high, low)}
    direction = {"long_only": "longonly", "short_only": "shortonly", "long_short": "both"}[
        trading.get("direction", "long_only")
    ]
    entries, exits = (sells, buys) if direction == "shortonly" else (buys, sells)
    portfolio = vbt.Portfolio.from_signals(
        pd.Series(close),
        pd.Series(entries),
        pd.Series(exits),
        price=pd.Series(price[fill]),
        open=pd.Series(open_),
        high=pd.Series(high),
        low=pd.Series(low),
        direction=direction,
        size=np.inf if trading.get("size_type") != "shares" else trading["size"],
        size_granularity=trading.get("lot_size") or np.nan,
        fees=trading.get("fee_rate", 0.0),
        fixed_fees=trading.get("fee_fixed", 0.0),
        slippage=trading.get("slippage", 0.0),
        init_cash=trading["initial_cash"],
        sl_stop=trading.get("stop_loss") or np.nan,
        tp_stop=trading.get("take_profit") or np.nan,
        stop_entry_price=StopEntryPrice.FillPrice,
        stop_exit_price=StopExitPrice.StopLimit,  # at the level, without slippage
    )
    records = portfolio.trades.records
    rows = [
        Row(
            int(trade.entry_idx),
            int(trade.exit_idx),
            -1 if trade.direction else 1,
            float(trade.size),
            float(trade.entry_price),
            float(trade.exit_price),
            float(trade.pnl),
        )
        for trade in records[records["status"] == 1].itertuples()
    ]
    return sort_rows(rows), portfolio.value().to_numpy()


def sort_rows(rows):
    return sorted(rows, key=lambda row: (row.exit_idx, row.entry_idx))


def remove_clashes(prices, signal, trading, *, lag=0, keep_after_stop=True):
    """Drop signals that fill where a stop is touched too, until none is left.

    Peers disagree with us, and with each other, about what comes first there. `lag` is how many
    bars after its fill a peer may still see the position; without `keep_after_stop` the signals
    of a bar in which a stop has closed the position go too.
    """
    signal = signal.copy()
    delay = 0 if trading.get("fill", "next_open") == "same_close" else 1
    while True:
        rows, _, reasons = run_ours(prices, signal, trading)
        for row, reason in zip(rows, reasons, strict=True):
            decided = row.exit_idx - delay
            clashes = signal[decided] != 0 and (
                touches(prices, row, trading, row.exit_idx + lag)
                if reason == "signal"
                else not keep_after_stop
            )
            if clashes:
                signal[decided] = 0
                break
        else:
            return signal


def touches(prices, row, trading, last):
    """Tell whether a bar from the exit to `last` touches the stop or the profit of a trade."""
    _, high, low, _ = prices
    side, window = row.direction, slice(row.exit_idx, last + 1)
    against, favour = (low, high) if side > 0 else (high, low)
    stop, profit = trading.get("stop_loss"), trading.get("take_profit")
    is_stopped = stop is not None and (
        side * against[window] <= side * row.entry_price * (1 - side * stop)
    )
    takes_profit = profit is not None and (
        side * favour[window] >= side * row.entry_price * (1 + side * profit)
    )
    return bool(np.any(is_stopped) or np.any(takes_profit))
