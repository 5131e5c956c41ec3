"""Whose turn it is, and that workers get time to report after the database was away."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

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

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


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
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_clock(store, monkeypatch, [0.0] * 3)
    turn = Turn(store, SETTINGS)
    assert turn.take()
    turn.wait_for_workers()
    assert not turn.take()
    time.sleep(SETTINGS.lease_seconds)
    assert turn.take()


def set_clock(store: Store, monkeypatch: pytest.MonkeyPatch, seconds: list[float]) -> None:
    """Let the database's clock show these times, one after the other."""
    times = iter(seconds)
    monkeypatch.setattr(store.leases, "read_clock", lambda: NOON + timedelta(seconds=next(times)))


def test_nobody_judges_workers_for_the_time_of_a_lease_after_everything_stood_still(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_clock(store, monkeypatch, [0.0, 0.1, 60.0, 60.1, 60.2])
    turn = Turn(store, SETTINGS)
    assert [turn.take() for _ in range(4)] == [True, True, False, False]
    time.sleep(SETTINGS.lease_seconds)
    assert turn.take()


def test_a_pass_that_took_long_is_no_standstill(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_clock(store, monkeypatch, [0.0, 60.0, 60.1])
    turn = Turn(store, SETTINGS)
    assert turn.take()
    turn.look()
    assert turn.take()


def test_a_pass_judges_by_the_look_before_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    held = claim(store, submit(store).run_id, lease_seconds=-0.5)
    judged: list[object] = []
    stop = threading.Event()

    def stand_still_in_the_pass(*arguments: Any) -> None:
        judged.append(arguments[2])
        stop.set()

    monkeypatch.setattr(maintenance, "run_maintenance_pass", stand_still_in_the_pass)
    before = store.leases.read_clock() - timedelta(seconds=1)
    set_clock(store, monkeypatch, [(before - NOON).total_seconds()] * 2)
    maintain_forever(store, SETTINGS, stop)
    assert judged == [before]
    assert store.runs.expire_leases(3, before) == ((), ())
    assert store.runs.expire_leases(3) == ((held.run_id,), ())


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
