"""No page of the list reads more than it shows; benchmarks/bench_run_list.py takes the time."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from storage import run_list
from storage.database import create_database
from storage.records import RunFilter
from storage.run_list import SORT_KEYS
from storage.schema import upgrade_schema
from storage.store import Store

SYMBOLS, RULES, STATES = (None, "S1", "none"), (None, "r1"), (None, "succeeded", "running")
TAGS = (None, "any")


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
