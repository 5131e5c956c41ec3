"""Whose turn it is, and that workers get time to report after the database was away."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.database import create_database
from storage.errors import StorageUnavailable
from storage.schema import upgrade_schema
from storage.store import Store
from tasks import maintenance
from tasks.maintenance import Turn, maintain_forever
from tasks.patience import persist
from tasks.settings import Settings
from tests.support.processes import wait_until
from tests.support.storage_samples import claim, submit

SETTINGS = Settings(
    executor="inline", maintenance_interval_seconds=0.05, lease_seconds=0.6, max_attempts=3
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    engine = create_database(f"sqlite:///{tmp_path}/test.db")
    upgrade_schema(engine)
    yield Store(engine)
    engine.dispose()


def test_one_has_the_turn_and_another_takes_over_when_it_is_given_up(store: Store) -> None:
    first, second = Turn(store, SETTINGS), Turn(store, SETTINGS)
    assert first.take()
    assert not second.take()
    assert first.take()
    assert second.pause > first.pause
    first.give_up()
    assert second.take()
    assert not first.take()


def test_nobody_judges_workers_for_the_time_of_a_lease_after_the_database_was_away(
    store: Store,
) -> None:
    turn = Turn(store, SETTINGS)
    assert turn.take()
    turn.wait_for_workers()
    assert not turn.take()
    time.sleep(SETTINGS.lease_seconds)
    assert turn.take()


def test_a_slow_database_counts_as_one_that_was_away(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "_SLOW_SECONDS", -1.0)
    assert not Turn(store, SETTINGS).take()


def test_maintenance_goes_on_after_the_database_was_away_and_spares_the_living(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[float] = []
    away = threading.Event()
    away.set()
    acquire = store.leases.acquire

    def acquire_or_fail(name: str, holder: str, seconds: float) -> bool:
        if away.is_set():
            raise StorageUnavailable("away")
        return acquire(name, holder, seconds)

    monkeypatch.setattr(store.leases, "acquire", acquire_or_fail)
    monkeypatch.setattr(
        maintenance, "run_maintenance_pass", lambda *args: passes.append(time.monotonic())
    )
    stop = threading.Event()
    thread = threading.Thread(target=maintain_forever, args=(store, SETTINGS, stop))
    thread.start()
    try:
        time.sleep(0.3)
        assert passes == []
        away.clear()
        back_at = time.monotonic()
        wait_until(lambda: passes, 10, "a pass")
        # Up to one interval of the look before may lie between.
        assert passes[0] - back_at >= SETTINGS.lease_seconds - 0.2
    finally:
        stop.set()
        thread.join()
    assert store.leases.acquire("maintenance", "somebody else", 1.0), "the turn was given up"


def test_a_result_is_held_while_the_database_is_away(store: Store) -> None:
    held = claim(store, submit(store).run_id)
    answers: list[object] = [StorageUnavailable("full"), StorageUnavailable("full"), True]

    def save() -> bool:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return store.runs.fail(held.run_id, held.attempt, {"code": "x"})

    assert persist(save, SETTINGS)
    assert answers == []


def test_a_result_is_not_held_for_ever() -> None:
    settings = Settings(database_patience_seconds=0.3)

    def save() -> bool:
        raise StorageUnavailable("full")

    started = time.monotonic()
    with pytest.raises(StorageUnavailable):
        persist(save, settings)
    assert time.monotonic() - started < 5
