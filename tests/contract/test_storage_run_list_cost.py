"""What a page of the list costs when 100,000 runs are stored."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from storage import run_list
from storage.database import create_database
from storage.models import SORTABLE_METRICS
from storage.records import RunFilter
from storage.run_list import SORT_KEYS
from storage.schema import upgrade_schema
from storage.store import Store
from tests.support.storage_samples import add_dataset

N_RUNS = 100_000
SYMBOLS, RULES, STATES = (None, "S1", "none"), (None, "r1"), (None, "succeeded", "running")
TAGS = (None, "any")

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


@pytest.fixture(scope="module")
def full_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    path: Path = tmp_path_factory.mktemp("full")
    engine = create_database(f"sqlite:///{path}/test.db")
    upgrade_schema(engine)
    store = Store(engine)
    sha256 = add_dataset(store)
    with engine.connect().execution_options(writes=True) as connection:
        # Twelve indexes in random order: filling them through the default cache takes a minute.
        connection.connection.execute("PRAGMA cache_size = -300000")
        connection.connection.execute("PRAGMA synchronous = OFF")
        connection.execute(text(FILL), {"sha256": sha256})
        connection.execute(text(FILL_TAGS))
        connection.commit()
        connection.invalidate()  # the next connection has the settings of the product
    yield store
    engine.dispose()


def _every_filter() -> Iterator[RunFilter]:
    sorts = [minus + name for name in SORT_KEYS for minus in ("", "-")]
    for symbol, rule, state, tag, sort in itertools.product(SYMBOLS, RULES, STATES, TAGS, sorts):
        yield RunFilter(symbol=symbol, rule=rule, state=state, tag=tag, sort=sort, limit=50)


@pytest.mark.parametrize("rare_tag", [-1, 2000])
def test_no_list_reads_the_wide_table_but_for_the_rows_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rare_tag: int
) -> None:
    monkeypatch.setattr(run_list, "_RARE_TAG", rare_tag)  # any tag is a common one, or a rare one
    engine = create_database(f"sqlite:///{tmp_path}/test.db")
    upgrade_schema(engine)  # SQLite plans without counting, so it need not hold any rows
    statements: list[tuple[str, Any]] = []

    @event.listens_for(engine, "before_cursor_execute")
    def note(*args: Any) -> None:
        statements.append((args[2], args[3]))

    for wanted in _every_filter():
        statements.clear()
        Store(engine).runs.list(wanted)
        queries = [item for item in statements if "sort_value" in item[0]]
        assert queries
        for query, parameters in queries:
            with engine.connect() as connection:
                plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", parameters)
                steps = [row.detail for row in plan]
            for step in steps:
                if re.match(r"(SCAN|SEARCH) runs\b", step):
                    narrow = "COVERING INDEX" in step or "PRIMARY KEY (rowid=?)" in step
                    assert narrow, (wanted, steps)
    engine.dispose()


def test_a_page_takes_less_than_100_ms_whatever_is_asked(full_store: Store) -> None:
    slow = []
    for wanted in [
        RunFilter(),
        RunFilter(sort="-sharpe"),
        RunFilter(state="succeeded", sort="-finished_at"),  # nearly all pass
        RunFilter(symbol="S1", sort="-finished_at"),
        RunFilter(state="running", rule="r1", sort="total_return"),  # nothing passes
        RunFilter(state="failed", symbol="S1"),  # neither here
        RunFilter(tag="rare", sort="-cagr"),
        RunFilter(tag="common", state="failed", symbol="S0", sort="win_rate"),
        RunFilter(tag="none", sort="symbol"),
    ]:
        cursor = full_store.runs.list(wanted).next_cursor
        for page in (wanted, replace(wanted, cursor=cursor)):
            best = min(_measure(full_store, page) for _ in range(7))
            if best > 0.1:
                slow.append((round(best, 3), page))
    assert slow == []


def _measure(store: Store, wanted: RunFilter) -> float:
    started = time.perf_counter()
    store.runs.list(wanted)
    return time.perf_counter() - started


def test_the_last_page_costs_no_more_than_the_first(full_store: Store) -> None:
    first = RunFilter(sort="submitted_at", limit=50)
    number = N_RUNS - 200
    deep = replace(first, cursor=run_list._encode_cursor("submitted_at", _at(number)))
    assert full_store.runs.list(deep).items[0].run_id == f"{number + 1:036d}"
    cheap, dear = (min(_measure(full_store, page) for _ in range(7)) for page in (first, deep))
    assert dear < 5 * cheap


def _at(number: int) -> run_list._Position:
    return run_list._Position(number, number)
