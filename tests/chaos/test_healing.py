"""Workers heal by themselves, say how they are, and hand back what they leave undone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from rules.spec import parse_run_request
from storage.database import create_database
from storage.schema import upgrade_schema
from storage.store import Store
from tasks.celery_app import create_celery_app
from tasks.messages import QUEUES, SWEEP_QUEUE
from tasks.queue_depth import count_messages
from tasks.settings import Settings
from tasks.submit import submit_run
from tests.support.datasets import add_aapl
from tests.support.poisoned_command import register_poison
from tests.support.processes import wait_until
from tests.support.sweeps import submit as submit_sweep
from tests.support.sweeps import wait_for_sweep
from tests.support.valkey import Valkey, run_valkey
from tests.support.worker import (
    build_service_environ,
    run_maintenance,
    run_worker,
    wait_for_run,
)

pytestmark = pytest.mark.timeout(300)

MODULE = "tests.support.poisoned_command"
RSI = {"dataset": "AAPL", "rule": "rsi", "force": True}
SLEEPER = {"dataset": "AAPL", "rule": "sleeper"}
SWEEP = {"dataset": "AAPL", "rule": "rsi", "space": {"window": "5:15"}}


@pytest.fixture
def broker() -> Iterator[Valkey]:
    with run_valkey() as server:
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    engine = create_database(f"sqlite:///{tmp_path}/test.db")
    upgrade_schema(engine)
    filled = Store(engine)
    add_aapl(filled)
    register_poison()
    yield filled
    engine.dispose()


@pytest.fixture
def settings(store: Store, broker: Valkey) -> Settings:
    return Settings(
        database_url=str(store.engine.url),
        broker_url=broker.url,
        broker_timeout_seconds=1.0,
        shutdown_seconds=1.0,
    )


def submit(store: Store, settings: Settings, body: dict[str, object]) -> str:
    return submit_run(store, settings, parse_run_request(body)).record.run_id


def get_state(store: Store, run_id: str) -> str:
    record = store.runs.get(run_id)
    assert record is not None
    return record.state


def is_maintained(store: Store) -> bool:
    is_free = store.leases.acquire("maintenance", "a test", 1.0)
    if is_free:
        store.leases.release("maintenance", "a test")
    return not is_free


def wait_until_running(store: Store, run_id: str) -> None:
    def runs() -> bool:
        record = store.runs.get(run_id)
        return record is not None and record.state == "running"

    wait_until(runs, 30, "it runs")


def check(settings: Settings) -> tuple[int, str]:
    """What `stock-backtest worker --check` says."""
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "worker", "--check"],
        env=build_service_environ(settings),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, (done.stdout + done.stderr).strip()


def test_a_worker_that_stops_hands_a_long_run_back_at_once_and_at_no_cost(
    store: Store, settings: Settings, tmp_path: Path
) -> None:
    # So long a lease that nothing could be explained by its end.
    settings = replace(settings, lease_seconds=120.0)
    other_home = tmp_path / "other"
    other_home.mkdir()
    with run_worker(settings, tmp_path, 1, MODULE) as worker:
        run_id = submit(store, settings, SLEEPER)
        wait_until_running(store, run_id)
        started = time.monotonic()
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(15) is not None
        assert time.monotonic() - started < 10
    assert '"message":"run_given_back"' in worker.log.read_text()
    record = store.runs.get(run_id)
    assert record is not None
    assert (record.state, record.attempt) == ("queued", 1)
    with run_worker(settings, other_home, 1, MODULE):
        wait_until_running(store, run_id)
        record = store.runs.get(run_id)
        assert record is not None
        assert record.attempt == 2
        assert store.runs.cancel(run_id)


def test_a_worker_that_stops_hands_the_end_of_a_sweep_back_at_once_and_at_no_cost(
    store: Store, settings: Settings, tmp_path: Path
) -> None:
    settings = replace(settings, lease_seconds=3600.0, max_attempts=1)
    with run_worker(settings, tmp_path, 1, "tests.support.lingering_command") as worker:
        sweep_id = submit_sweep(store, settings, SWEEP)
        worker.wait_for_line('"message":"finish_claimed"')
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(15) is not None
    assert '"message":"sweep_task_given_back"' in worker.log.read_text()
    assert count_messages(settings, SWEEP_QUEUE) == 1
    other_home = tmp_path / "other"
    other_home.mkdir()
    with run_worker(settings, other_home, 1):
        record = wait_for_sweep(store, sweep_id)
    assert (record.state, record.attempt) == ("succeeded", 2), record.error


def test_who_stood_still_with_the_whole_machine_keeps_the_run(
    store: Store, settings: Settings, tmp_path: Path
) -> None:
    settings = replace(settings, lease_seconds=3.0, maintenance_interval_seconds=0.5)
    with run_maintenance(settings, tmp_path) as other, ExitStack() as stack:
        wait_until(lambda: is_maintained(store), 120, "it has the turn")
        worker = stack.enter_context(run_worker(settings, tmp_path, 1, MODULE))
        run_id = submit(store, settings, SLEEPER)
        wait_until_running(store, run_id)
        frozen = [other.process.pid, worker.process.pid, *worker.children]
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(2 * settings.lease_seconds)
        for pid in frozen:  # whoever maintains goes on before the holder does
            os.kill(pid, signal.SIGCONT)
            time.sleep(0.4)
        time.sleep(2 * settings.lease_seconds)
        record = store.runs.get(run_id)
        assert record is not None
        assert (record.state, record.attempt) == ("running", 1)
        # Who really falls silent is found as ever.
        for pid in frozen[1:]:
            os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: get_state(store, run_id) == "queued", 20, "it is queued again")


def test_a_process_that_is_killed_frees_its_run_at_once(
    store: Store, settings: Settings, tmp_path: Path
) -> None:
    settings = replace(settings, lease_seconds=120.0)
    with run_worker(settings, tmp_path, 2, MODULE) as worker:
        run_id = submit(store, settings, SLEEPER)
        wait_until_running(store, run_id)
        [claimed] = [line for line in worker.lines if line["message"] == "run_claimed"]
        os.kill(int(claimed["worker"].rpartition("/")[2]), signal.SIGKILL)

        def is_started_again() -> bool:
            record = store.runs.get(run_id)
            return record is not None and record.attempt == 2

        wait_until(is_started_again, 30, "it is started again long before its lease is over")
        assert store.runs.cancel(run_id)


def test_a_worker_without_any_maintenance_process_repairs_what_was_lost(
    store: Store, settings: Settings, broker: Valkey, tmp_path: Path
) -> None:
    run_id = submit(store, settings, RSI)
    broker.client.flushall()  # its message is gone, and nobody else looks after it
    with run_worker(settings, tmp_path):
        record = wait_for_run(store, run_id, 60)
    assert (record.state, record.attempt) == ("succeeded", 1)


def test_workers_go_on_after_the_broker_was_killed_again_and_again(
    store: Store, settings: Settings, broker: Valkey, tmp_path: Path
) -> None:
    with run_worker(settings, tmp_path, 2) as worker:
        ids = []
        for number in range(12):
            ids += [submit(store, settings, RSI) for _ in range(2)]
            # At different instants of a run: the worst is the end of one while nobody answers.
            time.sleep(0.05 + 0.09 * number)
            broker.kill()
            time.sleep(0.1 if number % 3 else 1.5)
            broker.start()
            time.sleep(0.5)
        for run_id in ids:
            record = wait_for_run(store, run_id, 90)
            assert (record.state, record.attempt) == ("succeeded", 1)
        assert worker.process.poll() is None, "the worker's parent ended with its broker"


def test_an_idle_a_frozen_and_an_absent_worker_are_told_apart(
    store: Store, settings: Settings, tmp_path: Path
) -> None:
    assert check(settings)[0] == 1
    with run_worker(settings, tmp_path) as worker:
        wait_until(lambda: "idle" in check(settings)[1], 20, "it is idle")
        assert check(settings)[0] == 0
        worker.process.send_signal(signal.SIGSTOP)
        code, text = check(settings)
        assert (code, "no worker named worker answers" in text) == (1, True), text
        worker.process.send_signal(signal.SIGCONT)
        wait_until(lambda: check(settings)[0] == 0, 20, "it is idle again")


def test_a_worker_that_is_connected_and_does_not_consume_is_found_out(
    store: Store, settings: Settings, tmp_path: Path
) -> None:
    app = create_celery_app(settings)
    with run_worker(settings, tmp_path) as worker:
        wait_until(lambda: check(settings)[0] == 0, 20, "it is idle")
        for queue in QUEUES:
            app.control.cancel_consumer(queue)
        wait_until(lambda: check(settings)[0] == 1, 60, "it is found out")
        assert "connected, but not consuming" in check(settings)[1]
        # It still answers pings, which is why nobody else would notice.
        assert app.control.inspect(timeout=3).ping()
        # And it ends itself, so that it is started again.
        assert worker.process.wait(90) == 70


def test_a_worker_whose_broker_is_silent_waits_and_is_not_to_be_restarted(
    store: Store, settings: Settings, broker: Valkey, tmp_path: Path
) -> None:
    with run_worker(settings, tmp_path):
        wait_until(lambda: check(settings)[0] == 0, 20, "it is idle")
        broker.pause()
        try:
            wait_until(lambda: "waiting" in check(settings)[1], 60, "it says so")
            assert check(settings)[0] == 0
        finally:
            broker.resume()
        run_id = submit(store, settings, RSI)
        assert wait_for_run(store, run_id, 60).state == "succeeded"


def test_processes_are_replaced_after_their_tasks_and_their_memory(
    store: Store, settings: Settings, tmp_path: Path
) -> None:
    settings = replace(settings, max_tasks_per_process=2)
    with run_worker(settings, tmp_path) as worker:
        for _ in range(5):
            assert wait_for_run(store, submit(store, settings, RSI), 60).state == "succeeded"
        pids = {line["worker"] for line in worker.lines if line["message"] == "run_claimed"}
        assert len(pids) == 3
    home = tmp_path / "small"
    home.mkdir()
    small = replace(settings, max_tasks_per_process=0, max_process_mb=32)  # any process has more
    with run_worker(small, home) as worker:
        for _ in range(3):
            assert wait_for_run(store, submit(store, small, RSI), 60).state == "succeeded"
        pids = {line["worker"] for line in worker.lines if line["message"] == "run_claimed"}
        assert len(pids) == 3
