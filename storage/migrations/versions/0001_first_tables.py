"""Datasets, presets, runs, results.

Frozen once released: it spells its types out instead of importing models that will move on.
MySQL commits every statement by itself, so each is skipped where an upgrade that was killed
half-way has already done it.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
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
    "sharpe",
    "max_drawdown",
    "win_rate",
    "n_trades",
    "exposure",
)


def upgrade() -> None:
    _create_dataset_tables()
    _create_preset_table()
    _create_run_tables()


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


def _create_dataset_tables() -> None:
    _create_table(
        "dataset_contents",
        ("sha256",),
        _need("sha256", SHA256),
        _need("n_bars", BIG),
        _need("first_ns", BIG),
        _need("last_ns", BIG),
        _need("spacing", sa.String(16)),
        _need("periods_per_year", sa.Double()),
        _need("has_adjustment", sa.Boolean()),
        _need("warnings", TEXT),
        _need("created_at", TIME),
    )
    _create_table(
        "dataset_blocks",
        ("sha256", "kind", "seq"),
        _need("sha256", SHA256),
        _need("kind", sa.String(32)),
        _need("seq", sa.Integer(), autoincrement=False),
        _need("data", BLOB),
        _refer("dataset_blocks", "sha256", "dataset_contents.sha256", cascade=True),
    )
    _create_table(
        "datasets",
        ("id",),
        _need("id", UUID),
        _need("symbol", sa.String(64)),
        _need("version", sa.Integer()),
        _need("sha256", SHA256),
        _need("file_name", sa.String(255)),
        _need("created_at", TIME),
        _unique("datasets", "symbol", "version"),
        _refer("datasets", "sha256", "dataset_contents.sha256", cascade=False),
    )
    _create_indexes("datasets", ("sha256",))


def _create_preset_table() -> None:
    _create_table(
        "presets",
        ("id",),
        _need("id", UUID),
        _need("name", sa.String(100)),
        _need("body", TEXT),
        _need("created_at", TIME),
        _need("updated_at", TIME),
        _unique("presets", "name"),
    )


def _create_run_tables() -> None:
    _create_table(
        "runs",
        ("id",),
        _need("id", NUMBER, autoincrement=True),
        _need("run_id", UUID),
        _need("state", sa.String(16)),
        _need("symbol", sa.String(64)),
        _need("rule", sa.String(64)),
        _need("dataset_sha256", SHA256),
        _need("fingerprint", SHA256),
        _need("attempt", sa.Integer()),
        _need("version", sa.Integer()),
        _need("progress", sa.Double()),
        _need("stage", sa.String(64)),
        _need("worker", sa.String(128)),
        _need("has_charts", sa.Boolean()),
        _need("submitted_at", TIME),
        _need("queued_at", TIME),
        sa.Column("sent_at", TIME),
        sa.Column("started_at", TIME),
        sa.Column("finished_at", TIME),
        sa.Column("lease_until", TIME),
        *(sa.Column(name, sa.Double()) for name in METRICS),
        _need("tags", TEXT),
        _need("note", TEXT),
        _need("spec", TEXT),
        sa.Column("error", TEXT),
        sa.Column("metrics", TEXT),
        _unique("runs", "run_id"),
        _refer("runs", "dataset_sha256", "dataset_contents.sha256", cascade=False),
        sqlite_autoincrement=True,
    )
    _create_indexes(
        "runs",
        ("dataset_sha256",),
        ("fingerprint", "state"),
        ("state", "id"),
        ("state", "sent_at"),
        ("id", "state", "symbol", "rule"),
        ("symbol", "id", "state", "rule"),
        ("rule", "id", "state", "symbol"),
        *((name, "id", "state", "symbol", "rule") for name in ("finished_at", *METRICS)),
    )
    _create_table(
        "run_tags",
        ("tag", "run_number"),
        _need("tag", sa.String(40)),
        _need("run_number", NUMBER, autoincrement=False),
        _refer("run_tags", "run_number", "runs.id", cascade=True),
    )
    _create_indexes("run_tags", ("run_number",))
    _create_table(
        "run_artifacts",
        ("run_id", "kind", "seq"),
        _need("run_id", UUID),
        _need("kind", sa.String(32)),
        _need("seq", sa.Integer(), autoincrement=False),
        _need("data", BLOB),
        _refer("run_artifacts", "run_id", "runs.run_id", cascade=True),
    )
    _create_table(
        "idempotency_keys",
        ("key",),
        _need("key", sa.String(255)),
        _need("request_hash", SHA256),
        _need("run_id", UUID),
        _need("created_at", TIME),
        _refer("idempotency_keys", "run_id", "runs.run_id", cascade=True),
    )
    _create_indexes("idempotency_keys", ("run_id",))
