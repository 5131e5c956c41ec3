"""Small datasets and runs for tests of storage and of what stands on it."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Barrier
from typing import Any, TypeVar

import numpy as np

from storage.blobs import pack_array
from storage.datasets import DATASET_COLUMNS
from storage.records import Claim, NewRun, RunRecord
from storage.store import Store

T = TypeVar("T")
U = TypeVar("U")

# A minute: a million days would not fit into the range of nanoseconds.
STEP_NS = 60 * 10**9


@dataclass(frozen=True)
class SampleContent:
    """What a parsed file looks like to storage."""

    sha256: str
    n_bars: int
    first_ns: int
    last_ns: int
    columns: dict[str, bytes]
    arrays: dict[str, np.ndarray[Any, Any]] = field(repr=False)
    spacing: str = "daily"
    periods_per_year: float = 252.0
    has_adjustment: bool = False
    warnings: tuple[dict[str, Any], ...] = (
        {"code": "date_gap", "message": "a gap", "count": 1, "first": "2000-01-10"},
    )


def build_content(n_bars: int = 20, seed: int = 0) -> SampleContent:
    """A random walk whose columns compress as badly as real prices do."""
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.001, n_bars)))
    arrays: dict[str, np.ndarray[Any, Any]] = {
        "timestamps": np.arange(n_bars, dtype=np.int64) * STEP_NS,
        "open": close * random.uniform(0.999, 1.001, n_bars),
        "high": close * 1.002,
        "low": close * 0.998,
        "close": close,
        "volume": random.uniform(1e5, 1e6, n_bars),
        "adj_factor": np.ones(n_bars),
    }
    digest = hashlib.sha256(b"".join(arrays[name].tobytes() for name in DATASET_COLUMNS))
    return SampleContent(
        sha256=digest.hexdigest(),
        n_bars=n_bars,
        first_ns=0,
        last_ns=(n_bars - 1) * STEP_NS,
        columns={name: pack_array(values) for name, values in arrays.items()},
        arrays=arrays,
    )


def build_run(sha256: str, **changes: Any) -> NewRun:
    values: dict[str, Any] = {
        "run_id": str(uuid.uuid4()),
        "fingerprint": "f" * 64,
        "spec": {"rule": "rsi", "params": {"window": 14}, "dataset": {"sha256": sha256}},
        "symbol": "AAPL",
        "rule": "rsi",
    }
    return NewRun(**(values | changes))


def add_dataset(store: Store, symbol: str = "AAPL", seed: int = 0) -> str:
    """Store a small dataset and return its hash."""
    return store.datasets.add(build_content(seed=seed), symbol, f"{symbol}.csv").sha256


def submit(store: Store, **changes: Any) -> RunRecord:
    """Store a run on the sample dataset."""
    return store.runs.insert(build_run(add_dataset(store), **changes))


def claim(store: Store, run_id: str, lease_seconds: float = 60.0, max_attempts: int = 3) -> Claim:
    claimed = store.runs.claim(run_id, "worker-1", lease_seconds, max_attempts)
    assert claimed is not None
    return claimed


SUMMARY: dict[str, Any] = {
    "metrics": {"total_return": 0.1, "sharpe": None, "n_trades": 3, "ruined": False},
    "n_bars": 20,
}


def finish(store: Store, claimed: Claim, **metrics: Any) -> bool:
    """Finish a claimed run with a small result."""
    summary = {**SUMMARY, "metrics": {**SUMMARY["metrics"], **metrics}}
    columns = {"equity": np.linspace(1.0, 2.0, 20)}
    return store.runs.finish(claimed.run_id, claimed.attempt, summary, [{"pnl": 1.5}], columns)


def run_at_once(work: Callable[[T], U], items: Iterable[T]) -> list[U]:
    """Call `work` for every item in a thread of its own, all from the same instant."""
    listed = list(items)
    barrier = Barrier(len(listed))

    def start(item: T) -> U:
        barrier.wait()
        return work(item)

    with ThreadPoolExecutor(len(listed)) as pool:
        return list(pool.map(start, listed))
