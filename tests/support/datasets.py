"""Datasets for tests of whole runs: the demo file of AAPL, and a seeded walk of any length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backtest.bars import Bars, DataWarning, build_bars, compute_dataset_hash
from storage.bar_files import load_bar_file
from storage.blobs import pack_array
from storage.datasets import DATASET_COLUMNS
from storage.records import DatasetRecord
from storage.store import Store

DATA = Path(__file__).resolve().parents[2] / "data"
MINUTE_NS = 60 * 10**9


@dataclass(frozen=True)
class StoredBars:
    """Bars in the shape in which storage takes a parsed file."""

    sha256: str
    n_bars: int
    first_ns: int
    last_ns: int
    spacing: str
    periods_per_year: float
    has_adjustment: bool
    warnings: tuple[dict[str, Any], ...]
    columns: dict[str, bytes]


def add_bars(
    store: Store, symbol: str, bars: Bars, warnings: Sequence[DataWarning] = ()
) -> DatasetRecord:
    content = StoredBars(
        sha256=compute_dataset_hash(bars),
        n_bars=bars.n_bars,
        first_ns=int(bars.timestamps[0]),
        last_ns=int(bars.timestamps[-1]),
        spacing=bars.spacing,
        periods_per_year=bars.periods_per_year,
        has_adjustment=bars.has_adjustment,
        warnings=tuple(asdict(item) for item in warnings),
        columns={name: pack_array(getattr(bars, name)) for name in DATASET_COLUMNS},
    )
    return store.datasets.add(content, symbol, f"{symbol}.csv")


def add_aapl(store: Store) -> DatasetRecord:
    return add_bars(store, "AAPL", *load_bar_file(DATA / "AAPL.csv"))


def build_walk(n_bars: int, seed: int = 7) -> Bars:
    """One-minute bars of a random walk."""
    random = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(random.normal(0.0, 0.0005, n_bars)))
    open_ = np.concatenate(([100.0], close[:-1]))
    high = np.maximum(open_, close) * (1.0 + random.uniform(0.0, 0.0003, n_bars))
    low = np.minimum(open_, close) * (1.0 - random.uniform(0.0, 0.0003, n_bars))
    timestamps = 1_600_000_000 * 10**9 + MINUTE_NS * np.arange(n_bars, dtype=np.int64)
    return build_bars(timestamps, open_, high, low, close, np.full(n_bars, 1000.0))[0]
