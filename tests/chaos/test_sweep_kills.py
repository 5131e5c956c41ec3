"""Parts of the platform die during a sweep: every combination is there once, bit by bit."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from sqlalchemy import func, select

from storage.database import create_database
from storage.store import Store
from storage.sweep_records import SweepRecord
from storage.sweep_tables import SWEEP_METRICS, sweep_blocks, sweep_chunks
from tasks.messages import send_chunk, send_finish
from tasks.settings import Settings
from tasks.sweeps import pause_sweep, resume_sweep
from tests.support.datasets import add_aapl
from tests.support.platform import run_platform
from tests.support.processes import wait_until
from tests.support.sweeps import (
    build_request,
    compute_undisturbed,
    count_done,
    submit,
    wait_for_chunks,
    wait_for_sweep,
)
from tests.support.valkey import run_valkey
from tests.support.worker import ServiceProcess, run_maintenance, run_worker, wait_for_run

pytestmark = pytest.mark.timeout(300)

# 2,000,000 combinations: some seconds at the full rate of two processes, dozens of chunks.
N_FEES = 200


@pytest.fixture
def filled(store: Store) -> Store:
    add_aapl(store)
    return store


@pytest.fixture
def undisturbed() -> str:
    return compute_undisturbed(N_FEES)


def check_complete(store: Store, record: SweepRecord, expected: str) -> None:
    """All numbers are there, once, and equal those of a sweep that nothing happened to."""
    assert record.state == "succeeded", record.error
    assert record.result_sha256 == expected
    assert record.n_combinations == record.n_positions == 10_000 * N_FEES
    assert set(store.sweeps.chunks(record.sweep_id)) == {"d"}
    chunk, block = sweep_chunks.c, sweep_blocks.c
    with store.engine.connect() as connection:
        covered = connection.execute(
            select(chunk.first, chunk.stop).order_by(chunk.sweep_number, chunk.first)
        ).all()
        firsts = connection.scalar(
            select(func.count()).select_from(sweep_blocks).where(block.seq == 0)
        )
    assert [row.first for row in covered[1:]] == [row.stop for row in covered[:-1]]
    assert firsts == len(covered) * len(SWEEP_METRICS)


def kill_one_child(worker: ServiceProcess) -> None:
    os.kill(worker.children[-1], signal.SIGKILL)


def test_a_sweep_survives_the_death_of_processes_and_of_a_whole_worker(
    filled: Store, database_url: str, tmp_path: Path, undisturbed: str
) -> None:
    second_home = tmp_path / "second"
    second_home.mkdir()
    with run_valkey() as broker:
        settings = Settings(database_url=database_url, broker_url=broker.url)
        with run_maintenance(settings, tmp_path):
            with run_worker(settings, tmp_path, 2) as worker:
                sweep_id = submit(filled, settings, build_request(N_FEES))
                for n_chunks in (1, 4, 8):
                    wait_for_chunks(filled, sweep_id, n_chunks)
                    kill_one_child(worker)
                wait_for_chunks(filled, sweep_id, 10)
                worker.kill()
            with run_worker(settings, second_home, 2):
                record = wait_for_sweep(filled, sweep_id)
        check_complete(filled, record, undisturbed)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("persistent", [True, False], ids=["with-data", "without-data"])
def test_a_sweep_survives_a_broker_that_is_killed_and_started_again(
    filled: Store, database_url: str, tmp_path: Path, undisturbed: str, persistent: bool
) -> None:
    second_home = tmp_path / "second"
    second_home.mkdir()
    with run_valkey(persistent=persistent) as broker:
        settings = Settings(database_url=database_url, broker_url=broker.url)
        with run_maintenance(settings, tmp_path), run_worker(settings, tmp_path, 2) as worker:
            sweep_id = submit(filled, settings, build_request(N_FEES))
            wait_for_chunks(filled, sweep_id, 4)
            broker.kill()
            time.sleep(1.5)
            broker.start()
            # A worker may end with its connection; whoever supervises it starts another.
            before = count_done(filled, sweep_id)
            wait_until(
                lambda: (
                    worker.process.poll() is not None or count_done(filled, sweep_id) > before + 4
                ),
                30,
                "it goes on or ends",
            )
            if worker.process.poll() is None:
                record = wait_for_sweep(filled, sweep_id)
            else:
                with run_worker(settings, second_home, 2):
                    record = wait_for_sweep(filled, sweep_id)
        check_complete(filled, record, undisturbed)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_pauses_duplicates_and_a_worker_that_wakes_up_late_change_nothing(
    filled: Store, database_url: str, tmp_path: Path, undisturbed: str
) -> None:
    with run_valkey() as broker:
        settings = Settings(database_url=database_url, broker_url=broker.url, lease_seconds=2.0)
        with run_maintenance(settings, tmp_path), run_worker(settings, tmp_path, 2) as worker:
            sweep_id = submit(filled, settings, build_request(N_FEES))
            wait_for_chunks(filled, sweep_id, 2)
            for idx in range(12):
                send_chunk(settings, sweep_id, idx)
            send_finish(settings, sweep_id)
            frozen = worker.children[-1]
            os.kill(frozen, signal.SIGSTOP)
            time.sleep(5)  # longer than its lease
            assert pause_sweep(filled, settings, sweep_id)
            before = filled.sweeps.chunks(sweep_id)
            os.kill(frozen, signal.SIGCONT)
            time.sleep(2)
            assert filled.sweeps.chunks(sweep_id) == before
            assert resume_sweep(filled, settings, sweep_id)
            record = wait_for_sweep(filled, sweep_id)
        check_complete(filled, record, undisturbed)


def test_a_whole_platform_heals_by_itself_whatever_part_dies(
    tmp_path: Path, undisturbed: str
) -> None:
    with run_platform(tmp_path / "state", workers=2) as platform:
        engine = create_database(platform.up["database_url"])
        store = Store(engine)
        settings = Settings(
            database_url=platform.up["database_url"], broker_url=platform.up["broker_url"]
        )
        sweep_id = submit(store, settings, build_request(N_FEES))
        runs = []
        for n_chunks, name in ((2, "maintenance"), (3, "worker"), (6, "broker"), (9, "web")):
            wait_for_chunks(store, sweep_id, n_chunks)
            runs.append(platform.submit(dataset="AAPL", rule="rsi", force=True))
            before = platform.up["pids"].get(name)
            if before is not None:
                os.kill(before, signal.SIGKILL)
        record = wait_for_sweep(store, sweep_id)
        check_complete(store, record, undisturbed)
        # Single runs of all along, one before each death: none is lost with what had it in hand.
        assert [wait_for_run(store, run_id).state for run_id in runs] == ["succeeded"] * 4
        engine.dispose()


@pytest.fixture(scope="module", autouse=True)
def _compute_before_any_worker_takes_the_cores() -> None:
    compute_undisturbed(N_FEES)
