"""Connections and transactions: locks, silence, death of the server, and what errors may say."""

from __future__ import annotations

import socket
import sqlite3
import threading
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from backtest.errors import InputError
from storage import database as database_module
from storage.database import create_database, run_transaction
from storage.errors import StorageError, StorageUnavailable
from storage.models import presets
from storage.schema import check_schema, current_revision, upgrade_schema
from storage.sql_types import database_time
from storage.store import Store
from tests.support.mariadb import PASSWORD, MariaDbMissing, MariaDbServer, find_program
from tests.support.storage_samples import run_at_once


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A server that accepts connections and never says a word."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield int(server.getsockname()[1])


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _count_presets(connection: Connection) -> int:
    return connection.scalar(select(func.count()).select_from(presets)) or 0


def _add_preset(connection: Connection, name: str) -> None:
    now = database_time()
    connection.execute(
        insert(presets).values(id=name, name=name, body={}, created_at=now, updated_at=now)
    )


def test_a_transaction_that_raises_leaves_nothing_behind(store: Store) -> None:
    def work(connection: Connection) -> None:
        _add_preset(connection, "half")
        raise ValueError("changed my mind")

    with pytest.raises(ValueError, match="changed my mind"):
        run_transaction(store.engine, work, writes=True)
    assert run_transaction(store.engine, _count_presets, writes=False) == 0


def test_a_broken_constraint_is_told_apart_from_a_broken_database(store: Store) -> None:
    def work(connection: Connection) -> None:
        _add_preset(connection, "twice")
        _add_preset(connection, "twice")

    with pytest.raises(IntegrityError):
        run_transaction(store.engine, work, writes=True)
    assert run_transaction(store.engine, _count_presets, writes=False) == 0


def test_the_clock_of_the_database_is_utc_and_can_be_shifted(database: Engine) -> None:
    with database.connect() as connection:
        now, later, earlier = connection.execute(
            select(database_time(), database_time(90.5), database_time(-3600))
        ).one()
    assert abs((now - datetime.now(UTC)).total_seconds()) < 5
    assert (later - now).total_seconds() == pytest.approx(90.5, abs=0.01)
    assert (earlier - now).total_seconds() == pytest.approx(-3600, abs=0.01)


def test_writers_at_once_wait_for_each_other_and_all_get_through(store: Store) -> None:
    def save(number: int) -> None:
        for repeat in range(10):
            store.presets.save(f"{number}-{repeat}", {"number": number})

    run_at_once(save, range(8))
    assert len(store.presets.list()) == 80


def test_transactions_that_deadlock_are_repeated_whole(store: Store) -> None:
    for name in ("a", "b"):
        store.presets.save(name, {"count": 0})
    meeting = threading.Barrier(2)
    calls: list[str] = []

    def lock_both(order: str) -> None:
        def work(connection: Connection) -> None:
            calls.append(order)
            for position, name in enumerate(order):
                query = select(presets.c.body).where(presets.c.name == name).with_for_update()
                body = connection.execute(query).scalar_one()
                if position == 0 and len(calls) <= 2 and store.engine.dialect.name == "mysql":
                    meeting.wait(timeout=10)  # each now holds what the other wants
                changed = {"count": body["count"] + 1}
                connection.execute(
                    update(presets).where(presets.c.name == name).values(body=changed)
                )

        run_transaction(store.engine, work, writes=True)

    run_at_once(lock_both, ["ab", "ba"])
    assert [item.body for item in store.presets.list()] == [{"count": 2}, {"count": 2}]
    assert len(calls) == (3 if store.engine.dialect.name == "mysql" else 2)


def test_a_database_that_stays_locked_is_unavailable_after_bounded_tries(
    store: Store, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "_SQLITE_BUSY_SECONDS", 0.05)
    store.presets.save("held", {})
    impatient = create_database(database_url)
    statement = select(presets).where(presets.c.name == "held").with_for_update()
    try:
        with (
            store.engine.connect().execution_options(writes=True) as holder,
            holder.begin(),
        ):
            holder.execute(statement)
            if impatient.dialect.name == "mysql":
                _shorten_lock_wait(impatient)
            started = time.monotonic()
            with pytest.raises(StorageUnavailable, match="locked"):
                Store(impatient).presets.save("held", {"new": True})
            assert time.monotonic() - started < 15
        assert Store(impatient).presets.save("held", {"new": True}).body == {"new": True}
    finally:
        impatient.dispose()


def _shorten_lock_wait(engine: Engine) -> None:
    """The pool hands the same connection out again, so the session keeps the setting."""
    with engine.connect() as connection:
        connection.execute(text("SET SESSION innodb_lock_wait_timeout = 1"))


def test_a_server_that_is_not_there_is_unavailable_without_its_password(closed_port: int) -> None:
    engine = create_database(f"mysql+pymysql://user:{PASSWORD}@127.0.0.1:{closed_port}/name")
    with pytest.raises(StorageUnavailable, match="cannot be reached") as caught:
        current_revision(engine)
    assert caught.value.__cause__ is not None
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))
    engine.dispose()


def test_a_silent_server_does_not_block_for_ever(silent_port: int) -> None:
    url = f"mysql+pymysql://user:{PASSWORD}@127.0.0.1:{silent_port}/name"
    engine = create_database(url, read_timeout_seconds=1)
    started = time.monotonic()
    with pytest.raises(StorageUnavailable):
        current_revision(engine)
    assert time.monotonic() - started < 8
    engine.dispose()


def test_a_wrong_password_or_name_is_unavailable_and_stays_secret(
    mariadb_server: MariaDbServer,
) -> None:
    right = mariadb_server.build_url("nowhere")
    for url in (right, right.replace(PASSWORD, "wr0ng-secret")):
        engine = create_database(url)
        with pytest.raises(StorageUnavailable) as caught:
            check_schema(engine)
        told = "".join(traceback.format_exception(caught.value)) + repr(engine)
        assert PASSWORD not in told
        assert "wr0ng-secret" not in told
        engine.dispose()


@pytest.mark.parametrize(
    "url",
    [
        "mysql://user:h1dden@host:port/name",
        "mysql+pymysql://user:h1dden@@host:x/name",
        "h1dden",
        "",
        "postgresql://user:h1dden@host/name",
        "mysql+nodriver-h1dden",
        "sqlite://",
        "sqlite:///:memory:",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(InputError) as caught:
        create_database(url)
    assert "h1dden" not in "".join(traceback.format_exception(caught.value)[-1:])
    assert "h1dden" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.errors[0].field == "DATABASE_URL"


@pytest.mark.parametrize("scheme", ["mysql", "mariadb", "mysql+pymysql", "mariadb+pymysql"])
def test_every_way_to_write_mysql_means_the_same_driver(scheme: str) -> None:
    engine = create_database(f"{scheme}://user:secret@host/name")
    assert (engine.dialect.name, engine.dialect.driver) == ("mysql", "pymysql")
    engine.dispose()


def test_values_do_not_appear_in_errors(store: Store) -> None:
    def work(connection: Connection) -> None:
        _add_preset(connection, "private-value")
        _add_preset(connection, "private-value")

    with pytest.raises(IntegrityError) as caught:
        run_transaction(store.engine, work, writes=True)
    assert "parameters hidden" in str(caught.value)


def test_a_connection_that_the_server_cut_is_replaced_before_use(
    mariadb_server: MariaDbServer,
) -> None:
    engine = create_database(mariadb_server.create_database())
    other = create_database(engine.url)
    try:
        with engine.connect() as connection:
            number = connection.scalar(text("SELECT CONNECTION_ID()"))
        with other.connect() as connection:
            connection.execute(text(f"KILL {number}"))
        assert current_revision(engine) is None
    finally:
        engine.dispose()
        other.dispose()


def test_a_connection_cut_within_a_transaction_is_unavailable_and_stores_nothing(
    mariadb_server: MariaDbServer,
) -> None:
    engine = create_database(mariadb_server.create_database())
    other = create_database(engine.url)
    try:
        upgrade_schema(engine)

        def work(connection: Connection) -> None:
            _add_preset(connection, "half")
            number = connection.scalar(text("SELECT CONNECTION_ID()"))
            with other.connect() as killer:
                killer.execute(text(f"KILL {number}"))
            _add_preset(connection, "whole")

        with pytest.raises(StorageUnavailable):
            run_transaction(engine, work, writes=True)
        assert run_transaction(engine, _count_presets, writes=False) == 0
    finally:
        engine.dispose()
        other.dispose()


def test_a_server_that_dies_is_unavailable_and_works_again_once_it_is_back() -> None:
    with MariaDbServer("--innodb-flush-log-at-trx-commit=2") as server:
        engine = create_database(server.create_database())
        try:
            upgrade_schema(engine)
            store = Store(engine)
            saved = store.presets.save("kept", {"a": 1})
            server.kill()
            with pytest.raises(StorageUnavailable):
                store.presets.list()
            server.start()
            assert store.presets.list() == (saved,)
        finally:
            engine.dispose()


def test_a_sqlite_file_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    engine = create_database(f"sqlite:///{tmp_path}/missing/test.db")
    with pytest.raises(StorageUnavailable, match="cannot open"):
        current_revision(engine)
    (tmp_path / "text.db").write_text("this is no database, " * 100)
    engine = create_database(f"sqlite:///{tmp_path}/text.db")
    with pytest.raises(StorageUnavailable, match="no database"):
        current_revision(engine)
    engine.dispose()


def test_sqlite_writes_ahead_enforces_foreign_keys_and_lets_readers_read(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/test.db"
    engine = create_database(url)
    upgrade_schema(engine)
    with engine.connect() as connection:
        assert connection.scalar(text("PRAGMA journal_mode")) == "wal"
        assert connection.scalar(text("PRAGMA foreign_keys")) == 1
    with engine.connect().execution_options(writes=True) as writer, writer.begin():
        _add_preset(writer, "unseen")
        assert run_transaction(engine, _count_presets, writes=False) == 0
        rival = sqlite3.connect(tmp_path / "test.db", timeout=0)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            rival.execute("BEGIN IMMEDIATE")
        rival.close()
    assert run_transaction(engine, _count_presets, writes=False) == 1
    engine.dispose()


def test_sqlite_writers_wait_for_each_other_but_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = create_database(f"sqlite:///{tmp_path}/test.db")
    upgrade_schema(engine)
    rival = sqlite3.connect(tmp_path / "test.db", check_same_thread=False, isolation_level=None)
    rival.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.3, rival.execute, ["COMMIT"])
    timer.start()
    run_transaction(engine, lambda connection: _add_preset(connection, "late"), writes=True)
    timer.join()
    assert run_transaction(engine, _count_presets, writes=False) == 1
    monkeypatch.setattr("storage.database._SQLITE_BUSY_SECONDS", 0.05)
    rival.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageUnavailable, match="locked"):
        run_transaction(engine, lambda connection: _add_preset(connection, "no"), writes=True)
    rival.close()
    engine.dispose()


def test_mysql_reads_what_is_committed_and_refuses_what_does_not_fit(
    mariadb_server: MariaDbServer,
) -> None:
    engine = create_database(mariadb_server.create_database())
    try:
        upgrade_schema(engine)
        with engine.connect() as connection:
            assert connection.get_isolation_level() == "READ COMMITTED"
            assert connection.scalar(text("SELECT @@max_allowed_packet")) == 1024 * 1024
            assert connection.scalar(text("SELECT @@character_set_connection")) == "utf8mb4"
        with pytest.raises(Exception, match="Data too long"):
            run_transaction(engine, lambda c: _add_preset(c, "x" * 200), writes=True)
    finally:
        engine.dispose()


def test_storage_errors_have_one_base() -> None:
    assert issubclass(StorageUnavailable, StorageError)


def test_where_mariadb_is_missing_a_test_fails_and_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MariaDbMissing, match="apt-get install mariadb-server"):
        find_program("no-such-mariadbd")
