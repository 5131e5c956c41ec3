"""Bars that every contestant of a benchmark gets; numpy only: a peer's process reads it too."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]

_FIRST_MINUTE_NS, _MINUTE_NS = 1_577_836_800_000_000_000, 60_000_000_000


@dataclass(frozen=True)
class Market:
    """Bars of one instrument; arrays of shape (n_bars,)."""

    timestamps: np.ndarray
    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray

    @property
    def columns(self) -> tuple[np.ndarray, ...]:
        """Every array, in the order in which most peers want them."""
        return (self.timestamps, self.open, self.high, self.low, self.close, self.volume)

    @property
    def periods_per_year(self) -> float:
        """252 of daily bars, of the walk's minutes that times 390."""
        return 252.0 if self.timestamps[1] - self.timestamps[0] > 60 * _MINUTE_NS else 252.0 * 390


def load_market(name: str, n_bars: int) -> Market:
    """Return ``daily``: AAPL, adjusted; or ``walk``: a seeded geometric random walk of minutes."""
    if name == "daily":
        rows = np.genfromtxt(ROOT / "data" / "AAPL.csv", delimiter=",", names=True, dtype=None)
        factor = rows["Adj_Close"] / rows["Close"]
        prices = [np.ascontiguousarray(rows[c] * factor) for c in ("Open", "High", "Low", "Close")]
        stamps = rows["Date"].astype("datetime64[ns]").astype(np.int64)
        return Market(stamps, *prices, rows["Volume"] / factor)
    draws = np.random.default_rng(20_240_601)
    close = 100.0 * np.exp(np.cumsum(draws.normal(0.0, 0.001, n_bars)))
    opened = np.concatenate(([100.0], close[:-1]))
    high = np.maximum(opened, close) * (1.0 + draws.uniform(0.0, 0.001, n_bars))
    low = np.minimum(opened, close) * (1.0 - draws.uniform(0.0, 0.001, n_bars))
    stamps = _FIRST_MINUTE_NS + _MINUTE_NS * np.arange(n_bars, dtype=np.int64)
    return Market(stamps, opened, high, low, close, np.full(n_bars, 1000.0))


def compute_rsi(close: np.ndarray, window: int) -> np.ndarray:
    """Return Wilder's index; plain Python, for contestants that bring none of their own."""
    change = np.diff(close)
    gain = float(change[:window].clip(0).mean())
    loss = float((-change[:window]).clip(0).mean())
    rsi = np.full(close.size, np.nan)
    for t in range(window, close.size):
        if t > window:
            step = float(change[t - 1])
            gain = (gain * (window - 1) + max(step, 0.0)) / window
            loss = (loss * (window - 1) + max(-step, 0.0)) / window
        rsi[t] = 100.0 * (gain / (gain + loss)) if gain + loss > 0 else 50.0
    return rsi


def find_crossings(rsi: np.ndarray, oversold: float, overbought: float) -> tuple[np.ndarray, ...]:
    """Return where the index falls below `oversold`, and where it rises above `overbought`."""
    before, now = rsi[:-1], rsi[1:]
    buys, sells = np.zeros((2, rsi.size), dtype=bool)
    buys[1:] = (before >= oversold) & (now < oversold)
    sells[1:] = (before <= overbought) & (now > overbought)
    return buys, sells
