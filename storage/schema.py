"""The version of the schema: which one is there, which one is needed, and how to get there.

Only `upgrade_schema` loads Alembic; to check a version takes one query, so that no process pays
for it at start.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, text

from storage.database import UPGRADE_COMMAND, create_database, run_transaction
from storage.errors import SchemaError, StorageUnavailable

if TYPE_CHECKING:
    from alembic.config import Config

# The newest file in migrations/versions; a test holds the two together.
HEAD_REVISION = "0007"

# An ALTER of a table with millions of runs may keep the server busy, and silent, for this long.
_MIGRATION_TIMEOUT_SECONDS = 3600
_LOCK_NAME = "stock_backtest_schema"


def current_revision(engine: Engine) -> str | None:
    """Return the revision that the database has, or None if it has none.

    Raises
    ------
    StorageUnavailable
        If the database cannot be reached.
    """
    return run_transaction(engine, _read_revision, writes=False)


def _read_revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def check_schema(engine: Engine) -> None:
    """Refuse to work on a database whose schema is not the one this code was written for.

    Raises
    ------
    SchemaError
        Naming the command that helps.
    StorageUnavailable
        If the database cannot be reached.
    """
    revision = current_revision(engine)
    if revision == HEAD_REVISION:
        return
    if revision is None:
        raise SchemaError(f"the database is empty; run `{UPGRADE_COMMAND}`")
    if revision > HEAD_REVISION:
        raise SchemaError(
            f"the database has schema {revision}, newer than this software's {HEAD_REVISION}; "
            f"install the newer version (`{UPGRADE_COMMAND}` cannot go back)"
        )
    raise SchemaError(
        f"the database has schema {revision}, this software needs {HEAD_REVISION}; "
        f"run `{UPGRADE_COMMAND}`"
    )


def upgrade_schema(engine: Engine) -> None:
    """Bring the database to `HEAD_REVISION`; two callers at once do it once.

    On SQLite the whole upgrade is one transaction, and the write lock keeps a second caller out.
    MySQL commits each statement on its own, so a named lock keeps the second caller out, and
    migrations are written to be started again after they were killed half-way.

    Raises
    ------
    SchemaError
        If the database is newer than this software.
    StorageUnavailable
        If the database cannot be reached.
    """
    revision = current_revision(engine)
    if revision is not None and revision >= HEAD_REVISION:
        check_schema(engine)
        return
    own = create_database(engine.url, read_timeout_seconds=_MIGRATION_TIMEOUT_SECONDS)
    try:
        run_transaction(own, _upgrade, writes=True)
    finally:
        own.dispose()


def _upgrade(connection: Connection) -> None:
    from alembic import command

    config = build_alembic_config()
    config.attributes["connection"] = connection
    if connection.dialect.name != "mysql":
        command.upgrade(config, "head")
        return
    _lock(connection)
    try:
        command.upgrade(config, "head")
        # Before the lock is let go: the new version is the one change that no DDL has committed,
        # and who has the lock next would still read the old one.
        connection.exec_driver_sql("COMMIT")
    finally:
        connection.execute(text("SELECT RELEASE_LOCK(:name)"), {"name": _LOCK_NAME})


def _lock(connection: Connection) -> None:
    """Wait for the lock, which lives as long as the connection: no dead process can hold it."""
    deadline = time.monotonic() + _MIGRATION_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        if connection.scalar(text("SELECT GET_LOCK(:name, 10)"), {"name": _LOCK_NAME}) == 1:
            return
    raise StorageUnavailable("another process has been upgrading the schema for an hour")


def build_alembic_config() -> Config:
    """Build Alembic's configuration in code: an installed package has no alembic.ini to find."""
    from alembic.config import Config

    config = Config()
    location = str(Path(__file__).parent / "migrations").replace("%", "%%")  # ConfigParser's escape
    config.set_main_option("script_location", location)
    config.set_main_option("path_separator", "os")
    return config
