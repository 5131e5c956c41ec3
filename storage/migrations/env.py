"""Alembic's entry point; `storage.schema` hands it an open connection."""

from __future__ import annotations

from alembic import context

from storage import access_tables, sweep_tables  # noqa: F401  # declare their tables
from storage.models import metadata

connection = context.config.attributes.get("connection")
if connection is None:
    raise RuntimeError("run `stock-backtest db upgrade`; alembic is not called by itself")
context.configure(
    connection=connection,
    target_metadata=metadata,
    compare_type=True,
    # SQLite cannot ALTER most of a table; Alembic then copies it.
    render_as_batch=connection.dialect.name == "sqlite",
)
with context.begin_transaction():
    context.run_migrations()
