"""Connections and transactions: the one place that knows drivers, their timeouts and errors."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from backtest.errors import InputError
from storage.errors import SchemaError, StorageUnavailable

UPGRADE_COMMAND = "stock-backtest db upgrade"

# A transaction that lost a deadlock or waited too long for a lock is repeated whole. Six tries with
# waits of 10, 20, 40, 80, 160 ms (times a random factor) outlast any burst of our short writes.
_MAX_TRIES = 6
_FIRST_WAIT_SECONDS = 0.01
# Where a transaction may be repeated although its COMMIT may have happened, a lost connection is
# made anew within this long: a server that restarts or cut one connection. Whoever can wait for
# longer than that does so above, and holds no request meanwhile.
_RECONNECT_SECONDS = 1.0

# SQLite itself waits this long for a writer before it says busy. The largest single write, the
# result of a run over 1,000,000 bars, holds the lock for about half a second.
_SQLITE_BUSY_SECONDS = 5.0
# In one go it sleeps longer and longer, up to 0.1 s, and whoever came later takes the lock before
# it. So it waits in short goes, each with sleeps of 1 and 2 ms.
_SQLITE_TRY_SECONDS = 0.003

_DEADLOCK, _LOCK_WAIT_TIMEOUT = 1213, 1205
_MISSING_TABLE, _MISSING_COLUMN = 1146, 1054
# The server says with its last breath that it cuts this connection.
_CUT = frozenset({1053, 1927})
# Of MySQL's numbered errors these say that the server as a whole is away, refuses us or is full;
# everything from 2000 to 2999 is raised by the client about its connection.
_UNAVAILABLE = {
    1040: "too many connections",
    1044: "access denied",
    1045: "access denied",
    1049: "unknown database",
    1053: "shutting down",
    1129: "host blocked",
    1130: "host not allowed",
    1021: "disk full",
    1114: "disk full",
    1158: "connection lost",
    1159: "connection lost",
    1160: "connection lost",
    1161: "connection lost",
    1203: "too many connections",
    1226: "too many connections",
    1290: "read-only",
    1317: "query interrupted",
    1836: "read-only",
    1927: "connection killed",
    1026: "cannot write, the disk may be full",
    1030: "its storage engine reports an error, the disk may be full",
    1041: "out of memory",
    _DEADLOCK: "deadlock",
    _LOCK_WAIT_TIMEOUT: "locked",
}
_SQLITE_UNAVAILABLE = {
    sqlite3.SQLITE_BUSY: "locked",
    sqlite3.SQLITE_LOCKED: "locked",
    sqlite3.SQLITE_CANTOPEN: "cannot open the file",
    sqlite3.SQLITE_IOERR: "input/output error",
    sqlite3.SQLITE_FULL: "disk full",
    sqlite3.SQLITE_READONLY: "read-only",
    sqlite3.SQLITE_PERM: "access denied",
    sqlite3.SQLITE_CORRUPT: "the file is damaged",
    sqlite3.SQLITE_NOTADB: "the file is no database",
}

T = TypeVar("T")


def create_database(url: str | URL, *, read_timeout_seconds: int = 20) -> Engine:
    """Build the engine for a database URL; nothing is connected yet.

    Parameters
    ----------
    url : str or URL
        ``sqlite:///path/to/file`` or ``mysql+pymysql://user:password@host:port/name``; ``mysql://``
        and ``mariadb://`` mean the same driver.
    read_timeout_seconds : int
        How long a server may be silent before the connection is given up. [seconds]

    Raises
    ------
    InputError
        If the URL cannot be used. The message never repeats the URL, which holds a password.
    """
    parsed = _parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _create_sqlite(parsed)
    return _create_mysql(parsed, read_timeout_seconds)


def _parse_url(url: str | URL) -> URL:
    remedy = "write sqlite:///path/to/file or mysql+pymysql://user:password@host:3306/name"
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # `from None`: the cause may quote the password
        raise InputError.of("DATABASE_URL", "(hidden)", f"is no database URL; {remedy}") from None
    backend = parsed.get_backend_name()
    if backend in ("mysql", "mariadb"):
        return parsed.set(drivername="mysql+pymysql")
    if backend != "sqlite":
        raise InputError.of("DATABASE_URL", backend, f"is no supported database; {remedy}")
    if parsed.database in (None, "", ":memory:"):
        # Each connection of the pool would see an empty database of its own.
        raise InputError.of("DATABASE_URL", "sqlite in memory", f"needs a file; {remedy}")
    return parsed


class _HintingCompiler(SQLiteCompiler):
    """Renders ``with_hint(table, "INDEXED BY ...", "sqlite")``, which SQLAlchemy leaves out."""

    def get_from_hint_text(self, table: object, text: str | None) -> str | None:
        return text


def _create_sqlite(url: URL) -> Engine:
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": _SQLITE_TRY_SECONDS})
    engine.dialect.statement_compiler = _HintingCompiler

    # The recipe of SQLAlchemy's SQLite page: the driver's own idea of when a transaction begins is
    # switched off, and we say BEGIN ourselves.
    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode = WAL")
        # In WAL mode NORMAL cannot damage the file, and only a power cut, not the death of a
        # process, can take back the last commits; FULL costs an fsync per transaction.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        # Pages of 4 KiB: 32 MiB of log before it is copied into the file, with an fsync that every
        # writer waits for. The default is 4 MiB, which a sweep writes several times a second.
        connection.execute("PRAGMA wal_autocheckpoint = 8192")

    # Writers take the lock at once: a reader that becomes a writer half-way cannot wait for the
    # lock in WAL mode, it fails.
    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("writes"):
            _take_write_lock(connection)
        else:
            connection.exec_driver_sql("BEGIN")

    return engine


def _take_write_lock(connection: Connection) -> None:
    deadline = time.monotonic() + _SQLITE_BUSY_SECONDS
    while True:
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        except OperationalError as error:
            if not _is_lock_conflict(error) or time.monotonic() >= deadline:
                raise
        else:
            return


def _create_mysql(url: URL, read_timeout_seconds: int) -> Engine:
    engine = create_engine(
        url.update_query_dict({"charset": "utf8mb4"}),
        hide_parameters=True,
        isolation_level="READ COMMITTED",
        pool_pre_ping=True,
        pool_timeout=10,
        pool_recycle=3600,  # before the server's wait_timeout of 8 hours
        connect_args={
            "connect_timeout": 5,
            "read_timeout": read_timeout_seconds,
            "write_timeout": read_timeout_seconds,
            # A lock that is waited for must fail before the socket does (default: 50 s), as only
            # the former can be retried; strict, so that nothing is cut to fit its column.
            "init_command": (
                "SET SESSION innodb_lock_wait_timeout = 5, time_zone = '+00:00', "
                "sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'"
            ),
        },
    )

    # MySQL's `caching_sha2_password` wants the password by TLS, or encrypted with a key that who is
    # on the way may have put in place of the server's; for the latter the driver lacks a package.
    @event.listens_for(engine, "do_connect")
    def connect(dialect: Any, record: object, args: Any, options: Any) -> Any:
        try:
            return dialect.connect(*args, **options)
        except RuntimeError as error:
            raise InputError.of(
                "DATABASE_URL",
                "(hidden)",
                "is of a server that asks for a password and offers no TLS; switch its TLS on, or "
                "give the user another way to log in, such as mysql_native_password",
            ) from error

    return engine


def run_transaction(
    engine: Engine, work: Callable[[Connection], T], *, writes: bool, repeatable: bool = False
) -> T:
    """Run `work` in one transaction: committed whole, or rolled back whole and raised.

    A deadlock, a lock wait that timed out and a busy SQLite are repeated from the start, so `work`
    must have no effect but on its connection. Always from the start: MySQL rolls back all of a
    transaction for a deadlock (1213) but only one statement for a lock that was waited for too long
    (1205), and committing after that would store half.

    Parameters
    ----------
    repeatable : bool
        `work` finds by a key what it stored before, so it may be repeated although it may have been
        committed: it is after a lost connection (2006, 2013), unless that took long already.
        Reading always is.

    Raises
    ------
    StorageUnavailable
        If the database cannot be reached or stayed locked through every try.
    SchemaError
        If a table or column is missing.
    IntegrityError
        As the driver raised it: repositories know what a constraint means.
    """
    started = time.monotonic()
    for number in range(1, _MAX_TRIES + 1):
        try:
            with (
                engine.connect().execution_options(writes=writes) as connection,
                connection.begin(),
            ):
                return work(connection)
        except PoolTimeoutError as error:
            raise StorageUnavailable(
                "the database is overloaded: no connection became free in time"
            ) from error
        except IntegrityError:
            raise
        except DBAPIError as error:
            again = _is_lock_conflict(error) or (
                (repeatable or not writes)
                and _is_lost(error)
                and time.monotonic() - started < _RECONNECT_SECONDS
            )
            if number == _MAX_TRIES or not again:
                raise _translate(error) from error
        wait = _FIRST_WAIT_SECONDS * 2 ** (number - 1)
        time.sleep(wait * random.uniform(0.5, 1.5))  # noqa: S311  # jitter, not cryptography
    raise AssertionError("the last try returns or raises")


def _read_code(error: DBAPIError) -> int | None:
    """Return MySQL's error number or SQLite's primary result code."""
    cause: Any = error.orig
    if isinstance(cause, sqlite3.Error):
        code = getattr(cause, "sqlite_errorcode", None)
        return None if code is None else code & 0xFF  # the extended part is in the high bytes
    first = cause.args[0] if cause is not None and cause.args else None
    return first if isinstance(first, int) else None


def _is_lock_conflict(error: DBAPIError) -> bool:
    code = _read_code(error)
    if isinstance(error.orig, sqlite3.Error):
        return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    return code in (_DEADLOCK, _LOCK_WAIT_TIMEOUT)


def _is_lost(error: DBAPIError) -> bool:
    """Return whether it is the connection that broke: nobody knows what the server did."""
    if isinstance(error.orig, sqlite3.Error):
        return False
    code = _read_code(error) or 0
    return error.connection_invalidated or 2000 <= code < 3000 or code in _CUT


def _translate(error: DBAPIError) -> Exception:
    """Return our own error for a driver's, or the driver's if it is a mistake in our SQL.

    Our messages are fixed texts and codes: a driver may quote hosts, users or values.
    """
    code = _read_code(error)
    if isinstance(error.orig, sqlite3.Error):
        if "no such table" in str(error.orig) or "no such column" in str(error.orig):
            return SchemaError(f"the database has no or an older schema; run `{UPGRADE_COMMAND}`")
        reason = _SQLITE_UNAVAILABLE.get(code or 0)
        if reason is not None:
            return StorageUnavailable(f"the database is not available: {reason}")
        return error
    if code in (_MISSING_TABLE, _MISSING_COLUMN):
        return SchemaError(f"the database has no or an older schema; run `{UPGRADE_COMMAND}`")
    if error.connection_invalidated or 2000 <= (code or 0) < 3000:
        return StorageUnavailable(f"the database cannot be reached (error {code})")
    if not code and isinstance(error, InterfaceError | InternalError | OperationalError):
        return StorageUnavailable("the database cannot be reached (the connection broke)")
    if code in _UNAVAILABLE:
        return StorageUnavailable(
            f"the database is not available: {_UNAVAILABLE[code]} (error {code})"
        )
    return error
