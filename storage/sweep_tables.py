"""The tables of sweeps; see `storage.models`, whose rules hold here too."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    UniqueConstraint,
)

from storage.models import (
    MAX_EXIT_LENGTH,
    MAX_KEY_LENGTH,
    MAX_SYMBOL_LENGTH,
    MAX_TAG_LENGTH,
    TABLE_OPTIONS,
    metadata,
)
from storage.sql_types import Blob, JsonText, LongText, RowNumber, Sha256, UtcDateTime, Uuid

# The columns by which the best rows of a sweep's chunks can be ranked: `HEADLINE_METRICS`, spelled
# out because the schema must not change with the engine; a test holds the two together.
SWEEP_METRICS = (
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

# `id` counts submissions, as that of `runs`, and is what the tables below refer to: their keys
# repeat it in every row, and a UUID as text is five times as long.
sweeps = Table(
    "sweeps",
    metadata,
    Column("id", RowNumber, primary_key=True, autoincrement=True),
    Column("sweep_id", Uuid, nullable=False),
    Column("state", String(16), nullable=False),
    Column("stage", String(16), nullable=False),
    Column("symbol", String(MAX_SYMBOL_LENGTH), nullable=False),
    Column("rule", String(64), nullable=False),
    Column("fingerprint", Sha256, nullable=False),
    Column("method", String(16), nullable=False),
    Column("objective", String(32), nullable=False),
    Column("min_trades", Integer, nullable=False),
    Column("n_points", String(64), nullable=False),  # may exceed 64 bits
    Column("n_positions", BigInteger, nullable=False),
    Column("n_combinations", BigInteger),
    Column("n_excluded", BigInteger),
    Column("n_failed", BigInteger),
    Column("n_bars", BigInteger, nullable=False),
    Column("rate", Double),
    Column("result_sha256", Sha256),
    # Of the finaliser: claims, and those of them whose process fell silent; see `sweep_chunks`.
    Column("attempt", Integer, nullable=False),
    Column("n_lost", Integer, nullable=False, server_default="0"),
    Column("worker", String(128), nullable=False, server_default=""),
    Column("version", Integer, nullable=False),
    Column("submitted_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Column("sent_at", UtcDateTime),  # the latest message to the finaliser
    Column("lease_until", UtcDateTime),
    Column("notified_at", UtcDateTime),  # somebody was told of its end; see storage.sweep_notices
    Column("deleted_at", UtcDateTime),  # hidden; its rows go in small steps
    Column("last_exit", String(MAX_EXIT_LENGTH)),  # of a finaliser's process
    Column("tags", JsonText, nullable=False),
    Column("note", LongText, nullable=False),
    Column("spec", JsonText, nullable=False),
    Column("warnings", JsonText, nullable=False),
    Column("error", JsonText),
    UniqueConstraint("sweep_id"),
    Index(None, "fingerprint", "state"),
    Index(None, "state", "finished_at"),
    Index(None, "rule", "id"),
    Index(None, "deleted_at"),
    sqlite_autoincrement=True,
    **TABLE_OPTIONS,
)


def _refer_to_sweep() -> Column[int]:
    """Return the first column of a key: rows of one sweep lie together and go with it."""
    return Column(
        "sweep_number",
        RowNumber,
        ForeignKey("sweeps.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    )


# The bars that a sweep needs; content stays while a row refers to it.
sweep_datasets = Table(
    "sweep_datasets",
    metadata,
    _refer_to_sweep(),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("symbol", String(MAX_SYMBOL_LENGTH), nullable=False),
    Column("sha256", Sha256, ForeignKey("dataset_contents.sha256"), nullable=False),
    Index(None, "sha256"),
    Index(None, "symbol"),
    **TABLE_OPTIONS,
)

sweep_tags = Table(
    "sweep_tags",
    metadata,
    Column("tag", String(MAX_TAG_LENGTH), primary_key=True),
    _refer_to_sweep(),
    Index(None, "sweep_number"),
    **TABLE_OPTIONS,
)

# `attempt` counts claims and is the fencing token; `n_lost` counts the workers that fell silent,
# and alone is limited: being paused costs a chunk nothing.
sweep_chunks = Table(
    "sweep_chunks",
    metadata,
    _refer_to_sweep(),
    Column("idx", Integer, primary_key=True, autoincrement=False),
    Column("state", String(16), nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("stop", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("n_lost", Integer, nullable=False),
    Column("n_excluded", BigInteger, nullable=False),
    Column("n_failed", BigInteger, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("sent_at", UtcDateTime),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Column("lease_until", UtcDateTime),
    Column("worker", String(128), nullable=False),
    Column("last_exit", String(MAX_EXIT_LENGTH)),
    Column("error", JsonText),
    Index(None, "sweep_number", "state", "idx"),
    Index(None, "state", "lease_until"),
    **TABLE_OPTIONS,
)

# One column of one chunk. The metric comes before the chunk, so that one metric of a whole sweep
# is one range of the key.
sweep_blocks = Table(
    "sweep_blocks",
    metadata,
    _refer_to_sweep(),
    Column("kind", String(32), primary_key=True),
    Column("idx", Integer, primary_key=True, autoincrement=False),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("data", Blob, nullable=False),
    **TABLE_OPTIONS,
)

# The best combinations of each chunk by the sweep's objective: what a page shows meanwhile.
sweep_best = Table(
    "sweep_best",
    metadata,
    _refer_to_sweep(),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("point", BigInteger, nullable=False),
    *(Column(name, Double) for name in SWEEP_METRICS),
    **TABLE_OPTIONS,
)

# The finaliser's documents.
sweep_artifacts = Table(
    "sweep_artifacts",
    metadata,
    _refer_to_sweep(),
    Column("kind", String(64), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("data", Blob, nullable=False),
    **TABLE_OPTIONS,
)

# Questions that a worker answers; the same question about the same chunks is answered once.
sweep_queries = Table(
    "sweep_queries",
    metadata,
    Column("id", RowNumber, primary_key=True, autoincrement=True),
    Column("query_id", Uuid, nullable=False),
    Column("sweep_number", RowNumber, ForeignKey("sweeps.id", ondelete="CASCADE"), nullable=False),
    Column("args_hash", Sha256, nullable=False),
    Column("n_chunks_done", Integer, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("n_lost", Integer, nullable=False, server_default="0"),
    Column("worker", String(128), nullable=False, server_default=""),
    Column("created_at", UtcDateTime, nullable=False),
    Column("sent_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Column("lease_until", UtcDateTime),
    Column("last_exit", String(MAX_EXIT_LENGTH)),
    Column("args", JsonText, nullable=False),
    Column("error", JsonText),
    UniqueConstraint("query_id"),
    UniqueConstraint("sweep_number", "args_hash", "n_chunks_done"),
    Index(None, "state", "lease_until"),
    sqlite_autoincrement=True,
    **TABLE_OPTIONS,
)

sweep_answers = Table(
    "sweep_answers",
    metadata,
    Column(
        "query_number",
        RowNumber,
        ForeignKey("sweep_queries.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("kind", String(32), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("data", Blob, nullable=False),
    **TABLE_OPTIONS,
)

sweep_idempotency_keys = Table(
    "sweep_idempotency_keys",
    metadata,
    Column("key", String(MAX_KEY_LENGTH), primary_key=True),
    Column("request_hash", Sha256, nullable=False),
    Column("sweep_id", Uuid, ForeignKey("sweeps.sweep_id", ondelete="CASCADE"), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Index(None, "sweep_id"),
    **TABLE_OPTIONS,
)
