"""Sweeps, their chunks, numbers, documents and queries.

Frozen once released, and repeatable statement by statement; see 0001.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BIG = sa.BigInteger()
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")
TEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql")
BLOB = sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql")
SHA256 = sa.String(64)
UUID = sa.String(36)
METRICS = (
    "total_return",
    "cagr",
    "volatility",
    "sharpe",
    "sortino",
    "max_drawdown",
    "calmar",
    "win_rate",
    "profit_factor",
    "expectancy",
    "exposure",
    "turnover",
    "n_trades",
)


def upgrade() -> None:
    _create_sweeps()
    _create_chunks()
    _create_results()
    _create_queries()


def _need(name: str, type_: Any, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, type_, nullable=False, **options)


def _create_table(name: str, primary_key: tuple[str, ...], *items: Any, **options: Any) -> None:
    op.create_table(
        name,
        *items,
        sa.PrimaryKeyConstraint(*primary_key, name=op.f(f"pk_{name}")),
        if_not_exists=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        **options,
    )


def _create_indexes(table: str, *indexes: tuple[str, ...]) -> None:
    there = {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)}
    for columns in indexes:
        name = f"ix_{table}_{'_'.join(columns)}"
        if name not in there:
            op.create_index(op.f(name), table, list(columns))


def _unique(table: str, *columns: str) -> sa.UniqueConstraint:
    return sa.UniqueConstraint(*columns, name=op.f(f"uq_{table}_{'_'.join(columns)}"))


def _refer(table: str, column: str, target: str, *, cascade: bool) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [column],
        [target],
        name=op.f(f"fk_{table}_{column}"),
        ondelete="CASCADE" if cascade else None,
    )


def _number() -> sa.Column[Any]:
    return _need("sweep_number", NUMBER, autoincrement=False)


def _seq(name: str = "seq") -> sa.Column[Any]:
    return _need(name, sa.Integer(), autoincrement=False)


def _create_sweeps() -> None:
    _create_table(
        "sweeps",
        ("id",),
        _need("id", NUMBER, autoincrement=True),
        _need("sweep_id", UUID),
        _need("state", sa.String(16)),
        _need("stage", sa.String(16)),
        _need("symbol", sa.String(64)),
        _need("rule", sa.String(64)),
        _need("fingerprint", SHA256),
        _need("method", sa.String(16)),
        _need("objective", sa.String(32)),
        _need("min_trades", sa.Integer()),
        _need("n_points", sa.String(64)),
        _need("n_positions", BIG),
        sa.Column("n_combinations", BIG),
        sa.Column("n_excluded", BIG),
        sa.Column("n_failed", BIG),
        _need("n_bars", BIG),
        sa.Column("rate", sa.Double()),
        sa.Column("result_sha256", SHA256),
        _need("attempt", sa.Integer()),
        _need("version", sa.Integer()),
        _need("submitted_at", TIME),
        sa.Column("started_at", TIME),
        sa.Column("finished_at", TIME),
        sa.Column("sent_at", TIME),
        sa.Column("lease_until", TIME),
        sa.Column("deleted_at", TIME),
        _need("tags", TEXT),
        _need("note", TEXT),
        _need("spec", TEXT),
        _need("warnings", TEXT),
        sa.Column("error", TEXT),
        _unique("sweeps", "sweep_id"),
        sqlite_autoincrement=True,
    )
    _create_indexes(
        "sweeps",
        ("fingerprint", "state"),
        ("state", "finished_at"),
        ("rule", "id"),
        ("deleted_at",),
    )
    _create_table(
        "sweep_datasets",
        ("sweep_number", "seq"),
        _number(),
        _seq(),
        _need("symbol", sa.String(64)),
        _need("sha256", SHA256),
        _refer("sweep_datasets", "sweep_number", "sweeps.id", cascade=True),
        _refer("sweep_datasets", "sha256", "dataset_contents.sha256", cascade=False),
    )
    _create_indexes("sweep_datasets", ("sha256",), ("symbol",))
    _create_table(
        "sweep_tags",
        ("tag", "sweep_number"),
        _need("tag", sa.String(40)),
        _number(),
        _refer("sweep_tags", "sweep_number", "sweeps.id", cascade=True),
    )
    _create_indexes("sweep_tags", ("sweep_number",))
    _create_table(
        "sweep_idempotency_keys",
        ("key",),
        _need("key", sa.String(255)),
        _need("request_hash", SHA256),
        _need("sweep_id", UUID),
        _need("created_at", TIME),
        _refer("sweep_idempotency_keys", "sweep_id", "sweeps.sweep_id", cascade=True),
    )
    _create_indexes("sweep_idempotency_keys", ("sweep_id",))


def _create_chunks() -> None:
    _create_table(
        "sweep_chunks",
        ("sweep_number", "idx"),
        _number(),
        _seq("idx"),
        _need("state", sa.String(16)),
        _need("first", BIG),
        _need("stop", BIG),
        _need("attempt", sa.Integer()),
        _need("n_lost", sa.Integer()),
        _need("n_excluded", BIG),
        _need("n_failed", BIG),
        _need("seconds", sa.Double()),
        sa.Column("sent_at", TIME),
        sa.Column("started_at", TIME),
        sa.Column("finished_at", TIME),
        sa.Column("lease_until", TIME),
        _need("worker", sa.String(128)),
        sa.Column("error", TEXT),
        _refer("sweep_chunks", "sweep_number", "sweeps.id", cascade=True),
    )
    _create_indexes("sweep_chunks", ("sweep_number", "state", "idx"), ("state", "lease_until"))


def _create_results() -> None:
    _create_table(
        "sweep_blocks",
        ("sweep_number", "kind", "idx", "seq"),
        _number(),
        _need("kind", sa.String(32)),
        _seq("idx"),
        _seq(),
        _need("data", BLOB),
        _refer("sweep_blocks", "sweep_number", "sweeps.id", cascade=True),
    )
    _create_table(
        "sweep_best",
        ("sweep_number", "position"),
        _number(),
        _need("position", BIG, autoincrement=False),
        _need("point", BIG),
        *(sa.Column(name, sa.Double()) for name in METRICS),
        _refer("sweep_best", "sweep_number", "sweeps.id", cascade=True),
    )
    _create_table(
        "sweep_artifacts",
        ("sweep_number", "kind", "seq"),
        _number(),
        _need("kind", sa.String(64)),
        _seq(),
        _need("data", BLOB),
        _refer("sweep_artifacts", "sweep_number", "sweeps.id", cascade=True),
    )


def _create_queries() -> None:
    _create_table(
        "sweep_queries",
        ("id",),
        _need("id", NUMBER, autoincrement=True),
        _need("query_id", UUID),
        _need("sweep_number", NUMBER),
        _need("args_hash", SHA256),
        _need("n_chunks_done", sa.Integer()),
        _need("kind", sa.String(32)),
        _need("state", sa.String(16)),
        _need("attempt", sa.Integer()),
        _need("created_at", TIME),
        sa.Column("sent_at", TIME),
        sa.Column("finished_at", TIME),
        sa.Column("lease_until", TIME),
        _need("args", TEXT),
        sa.Column("error", TEXT),
        _unique("sweep_queries", "query_id"),
        _unique("sweep_queries", "sweep_number", "args_hash", "n_chunks_done"),
        _refer("sweep_queries", "sweep_number", "sweeps.id", cascade=True),
        sqlite_autoincrement=True,
    )
    _create_indexes("sweep_queries", ("state", "lease_until"))
    _create_table(
        "sweep_answers",
        ("query_number", "kind", "seq"),
        _need("query_number", NUMBER, autoincrement=False),
        _need("kind", sa.String(32)),
        _seq(),
        _need("data", BLOB),
        _refer("sweep_answers", "query_number", "sweep_queries.id", cascade=True),
    )
