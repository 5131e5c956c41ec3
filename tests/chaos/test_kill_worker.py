"""`kill -9` of workers during long runs: every run ends once, with its whole result."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import func, select

from rules.spec import parse_run_request
from storage.models import run_artifacts
from storage.records import RunRecord
from storage.store import Store
from tasks.settings import Settings
from tasks.submit import submit_run
from tests.support.datasets import add_aapl, add_bars, build_walk
from tests.support.processes import is_alive, wait_until
from tests.support.valkey import Valkey, run_valkey
from tests.support.worker import ServiceProcess, run_maintenance, run_worker, wait_for_run

pytestmark = pytest.mark.timeout(300)

N_BARS = 1_000_000
LONG = {"dataset": "WALK", "rule": "rsi", "force": True}
PROMISED_SECONDS = 30


@pytest.fixture(scope="module")
def walk() -> object:
    return build_walk(N_BARS)


@pytest.fixture
def broker() -> Iterator[Valkey]:
    with run_valkey() as server:
        yield server


@pytest.fixture
def settings(database_url: str, broker: Valkey) -> Settings:
    return Settings(database_url=database_url, broker_url=broker.url)


@pytest.fixture
def filled(store: Store, walk: object) -> Store:
    add_bars(store, "WALK", walk)  # type: ignore[arg-type]
    return store


def submit_long(store: Store, settings: Settings) -> str:
    return submit_run(store, settings, parse_run_request(LONG)).record.run_id


def wait_until_computing(store: Store, worker: ServiceProcess, run_id: str) -> int:
    """Return the pid of the pool process that has the run."""

    def find() -> int:
        for line in worker.lines:
            if line["message"] == "run_claimed" and line["run_id"] == run_id:
                return int(line["worker"].rpartition("/")[2])
        return 0

    pid = wait_until(find, 20, "the run is claimed")
    record = store.runs.get(run_id)
    assert record is not None
    assert record.state == "running"
    return pid


def check_complete(store: Store, record: RunRecord) -> None:
    """The result is there, whole and once."""
    assert record.state == "succeeded", record.error
    columns = store.runs.load_columns(record.run_id)
    assert columns is not None
    assert all(len(column) == N_BARS for column in columns.values())
    assert np.isfinite(columns["equity"]).all()
    with store.engine.connect() as connection:
        kinds = connection.execute(
            select(run_artifacts.c.kind, run_artifacts.c.seq, func.count())
            .where(run_artifacts.c.run_id == record.run_id)
            .group_by(run_artifacts.c.kind, run_artifacts.c.seq)
        ).all()
    assert all(count == 1 for _, _, count in kinds)


def test_a_run_survives_the_death_of_the_process_that_computes_it(
    filled: Store, settings: Settings, tmp_path: Path
) -> None:
    with run_maintenance(settings, tmp_path), run_worker(settings, tmp_path, 2) as worker:
        run_id = submit_long(filled, settings)
        os.kill(wait_until_computing(filled, worker, run_id), signal.SIGKILL)
        record = wait_for_run(filled, run_id, PROMISED_SECONDS)
        check_complete(filled, record)
        assert record.attempt == 2
        # Nobody computes it once more.
        time.sleep(5)
        after = filled.runs.get(run_id)
        assert after is not None
        assert (after.attempt, after.finished_at) == (2, record.finished_at)


def test_a_run_survives_the_death_of_a_whole_worker(
    filled: Store, settings: Settings, tmp_path: Path
) -> None:
    second_home = tmp_path / "second"
    second_home.mkdir()
    with run_maintenance(settings, tmp_path):
        with run_worker(settings, tmp_path, 2) as worker:
            children = worker.children
            run_id = submit_long(filled, settings)
            wait_until_computing(filled, worker, run_id)
            worker.kill()
            killed = time.monotonic()
            wait_until(
                lambda: not any(is_alive(pid) for pid in children), 5, "the pool dies with it"
            )
        with run_worker(settings, second_home, 2):
            record = wait_for_run(filled, run_id, PROMISED_SECONDS)
            assert time.monotonic() - killed < PROMISED_SECONDS
            check_complete(filled, record)
            assert record.attempt == 2


def test_a_paused_worker_that_wakes_up_late_cannot_write(
    filled: Store, settings: Settings, tmp_path: Path
) -> None:
    second_home = tmp_path / "second"
    second_home.mkdir()
    with (
        run_maintenance(settings, tmp_path),
        run_worker(settings, tmp_path) as worker,
        run_worker(settings, second_home),
    ):
        second_log = second_home / "worker.log"
        run_id = submit_long(filled, settings)
        wait_until(
            lambda: run_id in worker.log.read_text() + second_log.read_text(), 20, "it starts"
        )
        if run_id not in worker.log.read_text():
            pytest.skip("the other worker took it")
        pid = wait_until_computing(filled, worker, run_id)
        os.kill(pid, signal.SIGSTOP)
        record = wait_for_run(filled, run_id, PROMISED_SECONDS)
        check_complete(filled, record)
        os.kill(pid, signal.SIGCONT)
        wait_until(lambda: '"outcome":"lost"' in worker.log.read_text(), 20, "it notices")
        after = filled.runs.get(run_id)
        assert after is not None
        assert (after.attempt, after.finished_at) == (2, record.finished_at)


def test_a_run_that_kills_its_process_every_time_fails_in_the_end_and_blocks_nobody(
    store: Store, settings: Settings, tmp_path: Path
) -> None:
    from tests.support.poisoned_command import register_poison

    add_aapl(store)
    register_poison()
    settings = Settings(
        database_url=settings.database_url, broker_url=settings.broker_url, lease_seconds=2.0
    )
    module = "tests.support.poisoned_command"
    with run_maintenance(settings, tmp_path), run_worker(settings, tmp_path, 2, module):
        poison = parse_run_request({"dataset": "AAPL", "rule": "poison"})
        poisoned = submit_run(store, settings, poison).record.run_id
        for window in range(5, 15):
            honest = parse_run_request(
                {"dataset": "AAPL", "rule": "rsi", "params": {"window": window}}
            )
            run_id = submit_run(store, settings, honest).record.run_id
            assert wait_for_run(store, run_id).state == "succeeded"
        record = wait_for_run(store, poisoned, 60)
        assert record.state == "failed"
        assert record.attempt == settings.max_attempts
        assert record.error is not None
        assert "3 attempts" in record.error["message"]


def test_cancelling_stops_a_run_that_is_being_computed(
    filled: Store, settings: Settings, tmp_path: Path
) -> None:
    with run_worker(settings, tmp_path) as worker:
        run_id = submit_long(filled, settings)
        wait_until_computing(filled, worker, run_id)
        assert filled.runs.cancel(run_id)
        wait_until(
            lambda: any(line["message"] == "run_ended" for line in worker.lines), 20, "it stops"
        )
        [ended] = [line for line in worker.lines if line["message"] == "run_ended"]
        assert ended["outcome"] in ("cancelled", "lost")
        record = filled.runs.get(run_id)
        assert record is not None
        assert record.state == "cancelled"
        assert filled.runs.load_summary(run_id) is None
