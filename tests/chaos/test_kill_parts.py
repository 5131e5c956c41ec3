"""Parts of a whole platform die or fall silent: what was accepted is done, once."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rules.spec import parse_run_request
from storage.database import create_database
from storage.schema import upgrade_schema
from storage.store import Store
from tasks.maintenance import run_maintenance_pass
from tasks.queue_depth import count_messages
from tasks.settings import Settings
from tasks.submit import submit_run
from tests.support.datasets import add_aapl
from tests.support.platform import Platform, run_platform
from tests.support.processes import wait_until
from tests.support.valkey import Valkey, run_valkey
from tests.support.worker import run_maintenance, run_worker, wait_for_run

pytestmark = pytest.mark.timeout(300)

RSI = {"dataset": "AAPL", "rule": "rsi", "force": True}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with run_platform(tmp_path_factory.mktemp("up") / "state") as running:
        yield running


@pytest.fixture
def broker() -> Iterator[Valkey]:
    with run_valkey() as server:
        yield server


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[Store]:
    engine = create_database(f"sqlite:///{tmp_path}/test.db")
    upgrade_schema(engine)
    filled = Store(engine)
    add_aapl(filled)
    yield filled
    engine.dispose()


@pytest.fixture
def settings(sqlite_store: Store, broker: Valkey) -> Settings:
    url = str(sqlite_store.engine.url)
    return Settings(database_url=url, broker_url=broker.url, broker_timeout_seconds=1.0)


@pytest.mark.parametrize("name", ["broker", "worker", "web", "maintenance", "flower"])
def test_each_part_is_started_again_and_runs_go_on(platform: Platform, name: str) -> None:
    before = platform.up["pids"][name]
    os.kill(before, signal.SIGKILL)
    wait_until(
        lambda: platform.up["pids"].get(name, before) != before, 20, f"{name} is started again"
    )
    wait_until(lambda: _answers(platform), 20, "the page answers")
    run = platform.wait_for_run(platform.submit(**RSI), 60)
    assert run["state"] == "succeeded", run["error"]
    assert run["attempt"] == 1


def test_what_waits_in_a_broker_that_dies_with_its_data_is_done_all_the_same(
    platform: Platform,
) -> None:
    os.kill(platform.up["pids"]["worker"], signal.SIGSTOP)
    try:
        waiting = [platform.submit(**RSI) for _ in range(5)]
        before = platform.up["pids"]["broker"]
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: platform.up["pids"].get("broker", before) != before, 20, "a new broker")
    finally:
        os.kill(platform.up["pids"]["worker"], signal.SIGCONT)
    for run_id in waiting:
        run = platform.wait_for_run(run_id, 60)
        assert (run["state"], run["attempt"]) == ("succeeded", 1), run["error"]


def test_a_silent_broker_delays_a_submission_by_seconds_at_most_and_nothing_is_lost(
    sqlite_store: Store, settings: Settings, broker: Valkey, tmp_path: Path
) -> None:
    broker.pause()
    try:
        started = time.monotonic()
        submission = submit_run(sqlite_store, settings, parse_run_request(RSI))
        assert time.monotonic() - started < 5
        assert submission.created
    finally:
        broker.resume()
    assert submission.record.state == "queued"
    with run_maintenance(settings, tmp_path), run_worker(settings, tmp_path):
        assert wait_for_run(sqlite_store, submission.record.run_id).state == "succeeded"


def test_a_dead_broker_accepts_runs_and_they_are_done_when_it_is_back(
    sqlite_store: Store, settings: Settings, broker: Valkey, tmp_path: Path
) -> None:
    with run_maintenance(settings, tmp_path), run_worker(settings, tmp_path):
        broker.kill()
        ids = [
            submit_run(sqlite_store, settings, parse_run_request(RSI)).record.run_id
            for _ in range(3)
        ]
        time.sleep(3)
        assert {sqlite_store.runs.get(run_id).state for run_id in ids} == {"queued"}  # type: ignore[union-attr]
        broker.start()
        for run_id in ids:
            record = wait_for_run(sqlite_store, run_id, 60)
            assert (record.state, record.attempt) == ("succeeded", 1)


def test_many_maintenance_processes_at_once_do_no_harm(
    sqlite_store: Store, settings: Settings, broker: Valkey, tmp_path: Path
) -> None:
    broker.kill()
    ids = [
        submit_run(sqlite_store, settings, parse_run_request(RSI)).record.run_id for _ in range(10)
    ]
    broker.start()
    directories = [tmp_path / str(number) for number in range(3)]
    for directory in directories:
        directory.mkdir()
    with (
        run_maintenance(settings, directories[0]),
        run_maintenance(settings, directories[1]),
        run_maintenance(settings, directories[2]),
        run_worker(settings, tmp_path),
    ):
        for run_id in ids:
            record = wait_for_run(sqlite_store, run_id, 60)
            assert (record.state, record.attempt) == ("succeeded", 1)


def test_a_broker_that_lost_its_data_is_noticed_and_filled_again(
    sqlite_store: Store, settings: Settings, broker: Valkey
) -> None:
    run_id = submit_run(sqlite_store, settings, parse_run_request(RSI)).record.run_id
    assert count_messages(settings) == 1
    assert run_maintenance_pass(sqlite_store, settings).sent == ()
    broker.client.flushall()
    sent = wait_until(lambda: run_maintenance_pass(sqlite_store, settings).sent, 20, "it is sent")
    assert sent == (run_id,)
    assert count_messages(settings) == 1


def _answers(platform: Platform) -> bool:
    try:
        return bool(platform.call("GET", "/health/live"))
    except OSError:
        return False
