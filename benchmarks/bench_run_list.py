"""Time of one page of the run list with 100,000 stored runs, on SQLite.

Run: .venv/bin/python benchmarks/bench_run_list.py
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from sqlalchemy import text

from storage.database import create_database
from storage.ingest import parse_local_file
from storage.models import SORTABLE_METRICS
from storage.records import RunFilter
from storage.schema import upgrade_schema
from storage.store import Store

DATA = Path(__file__).resolve().parents[1] / "data"
N_RUNS, N_ROUNDS = 100_000, 9
TARGET_MS = 100

# Rows about as wide as real ones.
FILL = f"""
WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {N_RUNS})
INSERT INTO runs (id, run_id, state, symbol, rule, dataset_sha256, fingerprint, attempt, version,
    progress, stage, worker, has_charts, submitted_at, queued_at, finished_at,
    {", ".join(SORTABLE_METRICS)}, tags, note, spec, metrics)
SELECT n, printf('%036d', n), CASE n % 50 WHEN 0 THEN 'failed' ELSE 'succeeded' END,
    printf('S%d', n % 50), printf('r%d', n % 7), :sha256, printf('%064d', n), 1, 3, 1.0, '', '', 1,
    '2026-01-01 00:00:00.000000', '2026-01-01 00:00:00.000000',
    strftime('%Y-%m-%d %H:%M:%f000', '2026-01-01', n || ' seconds'),
    {", ".join("abs(random() % 1000000) / 1e6" for _ in SORTABLE_METRICS)},
    '[]', '', '{{"x":"{"x" * 500}"}}', '{{"x":"{"x" * 1000}"}}'
FROM numbers
"""
FILL_TAGS = """
INSERT INTO run_tags (tag, run_number)
SELECT 'common', id FROM runs WHERE id % 2 = 0
UNION ALL SELECT 'rare', id FROM runs WHERE id % 1000 = 0
"""

FILTERS = {
    "all, newest first": RunFilter(),
    "all, best Sharpe first": RunFilter(sort="-sharpe"),
    "succeeded, last finished first": RunFilter(state="succeeded", sort="-finished_at"),
    "one symbol": RunFilter(symbol="S1", sort="-finished_at"),
    "running one rule (none)": RunFilter(state="running", rule="r1", sort="total_return"),
    "failed one symbol (none)": RunFilter(state="failed", symbol="S1"),
    "rare tag": RunFilter(tag="rare", sort="-cagr"),
    "common tag, failed": RunFilter(tag="common", state="failed", symbol="S0", sort="win_rate"),
}


def build_full_store(directory: str) -> Store:
    engine = create_database(f"sqlite:///{directory}/bench.db")
    upgrade_schema(engine)
    store = Store(engine)
    sha256 = store.datasets.add(parse_local_file(DATA / "AAPL.csv", None), "AAPL", "x").sha256
    with engine.connect().execution_options(writes=True) as connection:
        # Twelve indexes in random order: filling them through the default cache takes a minute.
        connection.connection.execute("PRAGMA cache_size = -300000")
        connection.connection.execute("PRAGMA synchronous = OFF")
        connection.execute(text(FILL), {"sha256": sha256})
        connection.execute(text(FILL_TAGS))
        connection.commit()
        connection.invalidate()  # the next connection has the settings of the product
    return store


def measure(store: Store, wanted: RunFilter) -> list[float]:
    seconds = []
    for _ in range(N_ROUNDS):
        started = time.perf_counter()
        store.runs.list(wanted)
        seconds.append(1e3 * (time.perf_counter() - started))
    return seconds


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        store = build_full_store(directory)
        print(f"| page of {N_RUNS:,} runs (target {TARGET_MS} ms) | best ms | median ms |")
        print("|---|---|---|")
        for name, wanted in FILTERS.items():
            cursor = store.runs.list(wanted).next_cursor
            pages = {name: wanted, f"{name}, page 2": replace(wanted, cursor=cursor)}
            for label, page in pages.items():
                taken = measure(store, page)
                print(f"| {label} | {min(taken):.1f} | {statistics.median(taken):.1f} |")


if __name__ == "__main__":
    main()
