"""The schema: migrations, the version check, and two upgrades at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, text

from storage.database import create_database
from storage.errors import SchemaError
from storage.models import metadata
from storage.records import RunFilter
from storage.schema import (
    HEAD_REVISION,
    build_alembic_config,
    check_schema,
    current_revision,
    upgrade_schema,
)
from storage.store import Store
from tests.support.mariadb import MariaDbServer
from tests.support.storage_samples import run_at_once


@pytest.fixture
def empty(empty_database_url: str) -> Iterator[Engine]:
    engine = create_database(empty_database_url)
    yield engine
    engine.dispose()


def test_migrations_from_nothing_build_exactly_the_declared_tables(database: Engine) -> None:
    with database.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_a_difference_between_tables_and_models_would_be_found(empty: Engine) -> None:
    upgrade_schema(empty)
    with empty.connect() as connection:
        connection.execute(text("DROP INDEX ix_runs_state_sent_at" + _on_runs(empty)))
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert [item[0] for item in compare_metadata(context, metadata)] == ["add_index"]


def _on_runs(engine: Engine) -> str:
    return " ON runs" if engine.dialect.name == "mysql" else ""


def test_the_head_that_the_code_asks_for_is_the_newest_migration() -> None:
    scripts = ScriptDirectory.from_config(build_alembic_config())
    assert scripts.get_heads() == [HEAD_REVISION]


def test_an_empty_database_is_refused_with_the_command_that_helps(empty: Engine) -> None:
    assert current_revision(empty) is None
    with pytest.raises(SchemaError, match="empty; run `stock-backtest db upgrade`"):
        check_schema(empty)
    assert inspect(empty).get_table_names() == []  # and nothing was created by asking


def test_working_on_an_empty_database_names_the_command_too(empty: Engine) -> None:
    with pytest.raises(SchemaError, match="run `stock-backtest db upgrade`"):
        Store(empty).runs.list(RunFilter())


@pytest.mark.parametrize(
    ("revision", "remedy"),
    [("0000", "run `stock-backtest db upgrade`"), ("9999", "install the newer version")],
)
def test_a_database_of_another_version_is_refused(
    empty: Engine, revision: str, remedy: str
) -> None:
    upgrade_schema(empty)
    check_schema(empty)
    with empty.connect().execution_options(writes=True) as connection, connection.begin():
        connection.execute(text("UPDATE alembic_version SET version_num = :v"), {"v": revision})
    with pytest.raises(SchemaError, match=remedy):
        check_schema(empty)


def test_a_database_newer_than_the_software_is_not_touched_by_an_upgrade(empty: Engine) -> None:
    upgrade_schema(empty)
    with empty.connect().execution_options(writes=True) as connection, connection.begin():
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaError, match="newer"):
        upgrade_schema(empty)


def test_upgrades_at_once_all_succeed(empty_database_url: str) -> None:
    def upgrade(number: int) -> None:
        engine = create_database(empty_database_url)
        upgrade_schema(engine)
        check_schema(engine)
        engine.dispose()

    run_at_once(upgrade, range(3))


def test_an_upgrade_killed_between_two_statements_can_be_started_again(
    mariadb_server: MariaDbServer,
) -> None:
    engine = create_database(mariadb_server.create_database())
    try:
        upgrade_schema(engine)
        with engine.connect() as connection:
            for statement in (
                "DELETE FROM alembic_version",
                "DROP TABLE idempotency_keys",
                "DROP INDEX ix_runs_rule_id_state_symbol ON runs",
                "COMMIT",
            ):
                connection.execute(text(statement))
        upgrade_schema(engine)
        check_schema(engine)
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, metadata) == []
    finally:
        engine.dispose()


def test_bars_stored_before_their_size_was_noted_are_measured(empty: Engine) -> None:
    config = build_alembic_config()
    with empty.connect().execution_options(writes=True) as connection, connection.begin():
        config.attributes["connection"] = connection
        command.upgrade(config, "0005")
        for statement in (
            "INSERT INTO dataset_contents (sha256, n_bars, first_ns, last_ns, spacing,"
            " periods_per_year, has_adjustment, warnings, created_at)"
            " VALUES ('a', 2, 0, 1, 'daily', 252, 0, '[]', '2024-01-01 00:00:00')",
            "INSERT INTO dataset_blocks VALUES ('a', 'close', 0, X'010203')",
            "INSERT INTO dataset_blocks VALUES ('a', 'close', 1, X'0405')",
            "INSERT INTO datasets (id, symbol, version, sha256, file_name, created_at)"
            " VALUES ('b', 'AAPL', 1, 'a', '', '2024-01-01 00:00:00')",
        ):
            connection.execute(text(statement))
    upgrade_schema(empty)
    (record,) = Store(empty).datasets.list()
    assert (record.n_bytes, record.tags) == (5, ())


def test_the_number_of_a_deleted_run_is_never_given_out_again(database: Engine) -> None:
    if database.dialect.name == "mysql":
        query = "SHOW CREATE TABLE runs"
    else:
        query = "SELECT name, sql FROM sqlite_master WHERE name = 'runs'"
    with database.connect() as connection:
        assert "AUTO" in connection.execute(text(query)).one()[1].replace("AUTO_INCR", "AUTOINCR")


def test_strings_compare_by_code_point_on_both_databases(database: Engine) -> None:
    with database.connect() as connection:
        tables = {
            "mysql": "SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = "
            "DATABASE() AND collation_name <> 'utf8mb4_bin' AND table_name <> 'alembic_version'",
            "sqlite": "SELECT 'a' = 'A'",
        }
        assert connection.scalar(text(tables[database.dialect.name])) == 0
