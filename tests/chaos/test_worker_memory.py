"""A worker does not grow: neither run by run, nor after a long one."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from rules.spec import parse_run_request
from storage.database import create_database
from storage.schema import upgrade_schema
from storage.store import Store
from tasks.settings import Settings
from tasks.submit import submit_run
from tests.support.datasets import add_aapl, add_bars, build_walk
from tests.support.processes import wait_until
from tests.support.valkey import run_valkey
from tests.support.worker import run_worker

pytestmark = pytest.mark.timeout(300)

MIB = 1024 * 1024


def test_a_pool_process_stays_small_and_flat(tmp_path: Path) -> None:
    engine = create_database(f"sqlite:///{tmp_path}/test.db")
    upgrade_schema(engine)
    store = Store(engine)
    add_aapl(store)
    add_bars(store, "WALK", build_walk(500_000))
    with run_valkey() as broker:
        settings = Settings(database_url=str(engine.url), broker_url=broker.url)
        with run_worker(settings, tmp_path) as worker:
            [child] = worker.children

            def execute(symbol: str, count: int) -> float:
                """Return the process's memory after `count` runs with their charts. [MiB]"""
                body = {"dataset": symbol, "rule": "rsi", "force": True}
                ids = [
                    submit_run(store, settings, parse_run_request(body)).record.run_id
                    for _ in range(count)
                ]
                for run_id in ids:
                    wait_until(
                        lambda run_id=run_id: store.runs.get(run_id).has_charts, 120, "charts"
                    )
                return float(psutil.Process(child).memory_info().rss) / MIB

            execute("AAPL", 15)
            # Drawing takes and returns some 15 MiB; the lowest of a few looks is what stays.
            before = min(execute("AAPL", 1) for _ in range(4))
            execute("AAPL", 20)
            after = min(execute("AAPL", 1) for _ in range(4))
            assert after - before < 8, (before, after)
            assert after < 250
            # What stays of a long run are its bars, for the next one.
            execute("WALK", 1)
            bars = 500_000 * 56 / MIB
            long_after = execute("AAPL", 1)
            assert long_after - after < bars + 25, (after, long_after)
            assert execute("WALK", 3) - long_after < 25
    engine.dispose()
