"""Web tier, worker, broker and Flower as separate processes, for load on all of them at once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import text

from cli.up import find_free_port
from storage.database import create_database
from storage.schema import upgrade_schema
from storage.store import Store
from tasks.process_guard import build_child_guard
from tasks.settings import Settings
from tests.support.datasets import add_aapl
from tests.support.processes import wait_until
from tests.support.valkey import Valkey, run_valkey
from tests.support.worker import ServiceProcess, build_service_environ

WEB_THREADS = 16


@dataclass
class LoadStack:
    """What runs, and how to reach it."""

    url: str
    store: Store
    settings: Settings
    broker: Valkey
    pids: dict[str, int]

    def count_states(self) -> Counter[str]:
        with self.store.engine.connect() as connection:
            rows = connection.execute(text("SELECT state, count(*) FROM runs GROUP BY state"))
            return Counter({row[0]: row[1] for row in rows})

    def wait_until_done(self, n: int, seconds: float) -> float:
        """Wait until so many runs have succeeded; return the seconds that took."""
        started = time.perf_counter()
        wait_until(lambda: self.count_states()["succeeded"] >= n, seconds, f"{n} runs succeed")
        return time.perf_counter() - started

    def find_faults(self, run_ids: list[str]) -> list[str]:
        """Return what is lost, doubled or without a result among runs that were accepted."""
        faults = []
        if len(set(run_ids)) != len(run_ids):
            faults.append("an id was given out twice")
        with self.store.engine.connect() as connection:
            rows = connection.execute(
                text(
                    "SELECT run_id, state, (SELECT count(*) FROM run_artifacts a "
                    "WHERE a.run_id = runs.run_id AND kind = 'summary') AS n_results FROM runs"
                )
            ).all()
        found = {row.run_id: row for row in rows}
        faults += [f"{run_id} is not stored" for run_id in run_ids if run_id not in found]
        faults += [
            f"{row.run_id} is {row.state} with {row.n_results} results"
            for row in rows
            if (row.state, row.n_results) != ("succeeded", 1)
        ]
        faults += [f"{run_id} was never accepted" for run_id in found.keys() - set(run_ids)]
        return faults


@contextmanager
def run_stack(
    directory: Path, *, web_processes: int = 1, worker_processes: int = 2, **changes: Any
) -> Iterator[LoadStack]:
    """Start everything on free ports over a fresh SQLite file with the bars of AAPL."""
    url = f"sqlite:///{directory}/load.db"
    engine = create_database(url)
    upgrade_schema(engine)
    store = Store(engine)
    add_aapl(store)
    with run_valkey() as broker:
        port = find_free_port(set())
        settings = Settings(
            database_url=url,
            broker_url=broker.url,
            bind=f"127.0.0.1:{port}",
            log_format="json",
            log_level="WARNING",
            **changes,
        )
        arguments = ("--processes", str(web_processes), "--threads", str(WEB_THREADS))
        web = ServiceProcess(settings, directory / "web.log", "web", *arguments)
        worker = ServiceProcess(
            replace(settings, log_level="INFO"),
            directory / "worker.log",
            *("worker", "--concurrency", str(worker_processes)),
            module="tests.support.chartless_command",
        )
        flower = _start_flower(settings, directory)
        try:
            base = f"http://{settings.bind}"
            wait_until(lambda: _answers(f"{base}/health/live"), 60, "the web tier answers")
            worker.wait_for_line(" ready.", 120)
            pids = {
                "web": web.process.pid,
                "worker": worker.process.pid,
                "broker": broker.pid,
                "flower": flower.pid,
            }
            yield LoadStack(base, store, settings, broker, pids)
        finally:
            for process in (web.process, worker.process, flower):
                process.terminate()
            for process in (web.process, worker.process, flower):
                process.wait(30)
            engine.dispose()


def _start_flower(settings: Settings, directory: Path) -> subprocess.Popen[bytes]:
    port = str(find_free_port(set()))
    with (directory / "flower.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "tasks.flower_app", "--address", "127.0.0.1", "--port", port],
            env={**build_service_environ(settings), "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=log,
            stderr=log,
            preexec_fn=build_child_guard(),
        )


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False
