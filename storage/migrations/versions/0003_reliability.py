"""How workers were lost, and leases on work that one process does for all.

Frozen once released, and repeatable statement by statement; see 0001.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")


def upgrade() -> None:
    n_lost = sa.Column("n_lost", sa.Integer(), nullable=False, server_default="0")
    _add_columns("runs", n_lost, _build_last_exit())
    for table in ("sweeps", "sweep_chunks", "sweep_queries"):
        _add_columns(table, _build_last_exit())
    op.create_table(
        "service_leases",
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("holder", sa.String(128), nullable=False),
        sa.Column("lease_until", TIME, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_service_leases")),
        if_not_exists=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )


def _build_last_exit() -> sa.Column[str]:
    return sa.Column("last_exit", sa.String(128))


def _add_columns(table: str, *columns: sa.Column[Any]) -> None:
    there = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}
    for column in columns:
        if column.name not in there:
            op.add_column(table, column)
