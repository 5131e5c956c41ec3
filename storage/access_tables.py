"""Tables of who may do what, and of who did: tokens, browser sessions, the audit log."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, String, Table, UniqueConstraint

from storage.models import MAX_NAME_LENGTH, TABLE_OPTIONS, metadata
from storage.sql_types import RowNumber, Sha256, UtcDateTime, Uuid

MAX_ACTOR_LENGTH = 128
MAX_OBJECT_LENGTH = 255
MAX_ADDRESS_LENGTH = 64

# A revoked token stays as a row: the audit log refers to it by name, and the first token that ever
# existed is what closed this platform.
tokens = Table(
    "tokens",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", String(MAX_NAME_LENGTH), nullable=False),
    Column("scope", String(16), nullable=False),
    Column("secret_sha256", Sha256, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("last_used_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    UniqueConstraint("secret_sha256"),
    **TABLE_OPTIONS,
)

token_sessions = Table(
    "token_sessions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("token_id", Uuid, ForeignKey("tokens.id", ondelete="CASCADE"), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Index(None, "token_id"),
    Index(None, "expires_at"),
    **TABLE_OPTIONS,
)

# No reference to anything: what happened stays true when its object is gone.
audit_events = Table(
    "audit_events",
    metadata,
    Column("id", RowNumber, primary_key=True, autoincrement=True),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", String(MAX_ACTOR_LENGTH), nullable=False),
    Column("token_id", Uuid),
    Column("action", String(64), nullable=False),
    Column("object_id", String(MAX_OBJECT_LENGTH), nullable=False),
    Column("address", String(MAX_ADDRESS_LENGTH), nullable=False),
    Column("status", Integer, nullable=False),
    Index(None, "at"),
    sqlite_autoincrement=True,
    **TABLE_OPTIONS,
)
