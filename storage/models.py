"""The tables. Migrations create them; nothing here ever does.

They are SQLAlchemy Core tables and not mapped classes: repositories hand out plain frozen records,
so that no caller can hold a session, and a process that runs one backtest need not load the ORM.

Indexed strings are bounded (InnoDB indexes at most 3,072 bytes, 4 per character) and compare by
code point, so that ``aapl`` and ``AAPL`` differ on MySQL as they do on SQLite.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

from storage.sql_types import Blob, JsonText, LongText, RowNumber, Sha256, UtcDateTime, Uuid

MAX_SYMBOL_LENGTH = 64
MAX_NAME_LENGTH = 100
MAX_KEY_LENGTH = 255
MAX_TAG_LENGTH = 40
MAX_EXIT_LENGTH = 128

# Every name is written by rule: SQLite cannot alter an unnamed constraint later.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

TABLE_OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
}

# Bars, once per content: two symbols with equal bars share them.
dataset_contents = Table(
    "dataset_contents",
    metadata,
    Column("sha256", Sha256, primary_key=True),
    Column("n_bars", BigInteger, nullable=False),
    Column("first_ns", BigInteger, nullable=False),  # UTC nanoseconds since 1970
    Column("last_ns", BigInteger, nullable=False),
    Column("spacing", String(16), nullable=False),
    Column("periods_per_year", Double, nullable=False),
    Column("has_adjustment", Boolean, nullable=False),
    Column("warnings", JsonText, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("n_bytes", BigInteger, nullable=False, server_default="0"),  # of all its blocks
    **TABLE_OPTIONS,
)

dataset_blocks = Table(
    "dataset_blocks",
    metadata,
    Column(
        "sha256",
        Sha256,
        ForeignKey("dataset_contents.sha256", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("kind", String(32), primary_key=True),  # the column's name
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("data", Blob, nullable=False),
    **TABLE_OPTIONS,
)

# What a symbol points to: its highest version. Tags are the symbol's, the same in each of its rows.
datasets = Table(
    "datasets",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("symbol", String(MAX_SYMBOL_LENGTH), nullable=False),
    Column("version", Integer, nullable=False),
    Column("sha256", Sha256, ForeignKey("dataset_contents.sha256"), nullable=False),
    Column("file_name", String(255), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("tags", JsonText),
    UniqueConstraint("symbol", "version"),
    Index(None, "sha256"),
    **TABLE_OPTIONS,
)

presets = Table(
    "presets",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", String(MAX_NAME_LENGTH), nullable=False),
    Column("body", JsonText, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    UniqueConstraint("name"),
    **TABLE_OPTIONS,
)

# Metrics by which the list of runs can be sorted, each with an index.
SORTABLE_METRICS = (
    "total_return",
    "cagr",
    "sharpe",
    "max_drawdown",
    "win_rate",
    "n_trades",
    "exposure",
)

# One index per way to sort the list, each with all that a filter reads: a page's rows are found
# without a look at the wide table, whatever is filtered, so that the worst case, a filter that
# nothing passes, is one walk along an index (about 10 ms per 100,000 runs).
LIST_INDEXES = {
    "submitted_at": ("id", "state", "symbol", "rule"),
    "symbol": ("symbol", "id", "state", "rule"),
    "rule": ("rule", "id", "state", "symbol"),
    **{
        name: (name, "id", "state", "symbol", "rule") for name in ("finished_at", *SORTABLE_METRICS)
    },
}

# `id` counts submissions: it orders the list and the queue, and cursors point at it. What a filter
# reads stands before the long documents, so that SQLite need not follow a row to its overflow page.
runs = Table(
    "runs",
    metadata,
    Column("id", RowNumber, primary_key=True, autoincrement=True),
    Column("run_id", Uuid, nullable=False),
    Column("state", String(16), nullable=False),
    Column("symbol", String(MAX_SYMBOL_LENGTH), nullable=False),
    Column("rule", String(64), nullable=False),
    Column("dataset_sha256", Sha256, ForeignKey("dataset_contents.sha256"), nullable=False),
    Column("fingerprint", Sha256, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("progress", Double, nullable=False),
    Column("stage", String(64), nullable=False),
    Column("worker", String(128), nullable=False),
    Column("has_charts", Boolean, nullable=False),
    Column("submitted_at", UtcDateTime, nullable=False),
    Column("queued_at", UtcDateTime, nullable=False),  # again after a lost lease
    Column("sent_at", UtcDateTime),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Column("lease_until", UtcDateTime),
    # Workers lost on it, which alone is limited, and how the latest of them ended if that was seen.
    Column("n_lost", Integer, nullable=False, server_default="0"),
    Column("last_exit", String(MAX_EXIT_LENGTH)),
    *(Column(name, Double) for name in SORTABLE_METRICS),
    Column("tags", JsonText, nullable=False),
    Column("note", LongText, nullable=False),
    Column("spec", JsonText, nullable=False),
    Column("error", JsonText),
    Column("metrics", JsonText),
    UniqueConstraint("run_id"),
    Index(None, "dataset_sha256"),
    Index(None, "fingerprint", "state"),
    Index(None, "state", "id"),
    Index(None, "state", "sent_at"),
    *(Index(None, *columns) for columns in LIST_INDEXES.values()),
    sqlite_autoincrement=True,  # the number of a deleted run is never given out again
    **TABLE_OPTIONS,
)

# The index of `runs.tags`: clustered by tag, newest last, as the list wants it.
run_tags = Table(
    "run_tags",
    metadata,
    Column("tag", String(MAX_TAG_LENGTH), primary_key=True),
    Column(
        "run_number",
        RowNumber,
        ForeignKey("runs.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Index(None, "run_number"),
    **TABLE_OPTIONS,
)

run_artifacts = Table(
    "run_artifacts",
    metadata,
    Column("run_id", Uuid, ForeignKey("runs.run_id", ondelete="CASCADE"), primary_key=True),
    Column("kind", String(32), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("data", Blob, nullable=False),
    **TABLE_OPTIONS,
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("key", String(MAX_KEY_LENGTH), primary_key=True),
    Column("request_hash", Sha256, nullable=False),
    Column("run_id", Uuid, ForeignKey("runs.run_id", ondelete="CASCADE"), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Index(None, "run_id"),
    **TABLE_OPTIONS,
)

# Work that one process at a time does for all: who does it, and until when.
service_leases = Table(
    "service_leases",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("holder", String(128), nullable=False),
    Column("lease_until", UtcDateTime, nullable=False),
    **TABLE_OPTIONS,
)

# What processes counted for whoever watches; see `storage.counters`.
counters = Table(
    "counters",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("labels", String(128), primary_key=True),
    Column("part", String(16), primary_key=True),
    Column("value", Double, nullable=False),
    **TABLE_OPTIONS,
)
