"""Tokens, browser sessions and the audit log.

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

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")
UUID = sa.String(36)


def upgrade() -> None:
    _create_table(
        "tokens",
        _need("id", UUID),
        _need("name", sa.String(100)),
        _need("scope", sa.String(16)),
        _need("secret_sha256", sa.String(64)),
        _need("created_at", TIME),
        sa.Column("expires_at", TIME),
        sa.Column("last_used_at", TIME),
        sa.Column("revoked_at", TIME),
        sa.UniqueConstraint("secret_sha256", name=op.f("uq_tokens_secret_sha256")),
    )
    _create_table(
        "token_sessions",
        _need("id", UUID),
        _need("token_id", UUID),
        _need("created_at", TIME),
        _need("expires_at", TIME),
        sa.ForeignKeyConstraint(
            ["token_id"],
            ["tokens.id"],
            name=op.f("fk_token_sessions_token_id"),
            ondelete="CASCADE",
        ),
    )
    _create_index("token_sessions", "token_id")
    _create_index("token_sessions", "expires_at")
    _create_table(
        "audit_events",
        _need("id", NUMBER, autoincrement=True),
        _need("at", TIME),
        _need("actor", sa.String(128)),
        sa.Column("token_id", UUID),
        _need("action", sa.String(64)),
        _need("object_id", sa.String(255)),
        _need("address", sa.String(64)),
        _need("status", sa.Integer()),
        sqlite_autoincrement=True,
    )
    _create_index("audit_events", "at")


def _need(name: str, type_: Any, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, type_, nullable=False, **options)


def _create_table(name: str, *items: Any, **options: Any) -> None:
    op.create_table(
        name,
        *items,
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{name}")),
        if_not_exists=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        **options,
    )


def _create_index(table: str, column: str) -> None:
    name = f"ix_{table}_{column}"
    there = {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)}
    if name not in there:
        op.create_index(op.f(name), table, [column])
