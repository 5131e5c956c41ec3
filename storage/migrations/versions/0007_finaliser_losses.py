"""Who finalises a sweep or answers a question, and how many of them were lost.

Frozen once released, and repeatable statement by statement; see 0001.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("sweeps", "sweep_queries"):
        n_lost = sa.Column("n_lost", sa.Integer(), nullable=False, server_default="0")
        _add_column(table, n_lost)
        worker = sa.Column("worker", sa.String(128), nullable=False, server_default="")
        _add_column(table, worker)


def _add_column(table: str, column: sa.Column[Any]) -> None:
    there = {item["name"] for item in sa.inspect(op.get_bind()).get_columns(table)}
    if column.name not in there:
        op.add_column(table, column)
