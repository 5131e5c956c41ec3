"""Tokens and the browser sessions that they start; a secret itself is never stored."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import secrets
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, and_, bindparam, exists, insert, or_, select, update
from sqlalchemy import delete as delete_from

from backtest.errors import InputError
from storage.access_tables import token_sessions, tokens
from storage.errors import StorageUnavailable
from storage.models import MAX_NAME_LENGTH
from storage.repository import Repository
from storage.sql_types import database_time

Scope = Literal["read", "submit", "admin"]
# Each contains those before it.
SCOPES: tuple[Scope, ...] = ("read", "submit", "admin")

# Finds a token that was pasted where it does not belong: in logs, in a repository.
TOKEN_PREFIX = "sbt_"  # noqa: S105  # the part that is no secret
_SECRET_BYTES = 32  # 256 bits
# `last_used_at` says when, to the minute: not every request is a write.
_TOUCH_SECONDS = 60
_LONGEST_DAYS = 3650


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """One token, without its secret.

    Parameters
    ----------
    expires_at, last_used_at, revoked_at : datetime or None
        None is never.
    """

    id: str
    name: str
    scope: Scope
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


_COLUMNS = [tokens.c[name] for name in TokenRecord.__dataclass_fields__]
_IS_LIVE = and_(
    tokens.c.revoked_at.is_(None),
    or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > database_time()),
)
_IS_STALE = or_(
    tokens.c.last_used_at.is_(None), tokens.c.last_used_at < database_time(-_TOUCH_SECONDS)
)
# Built once: every request asks one of them.
_BY_SECRET = (
    select(*_COLUMNS, tokens.c.secret_sha256, _IS_STALE.label("is_stale"))
    .where(tokens.c.secret_sha256 == bindparam("digest"))
    .where(_IS_LIVE)
)
_BY_SESSION = (
    select(*_COLUMNS, _IS_STALE.label("is_stale"))
    .select_from(tokens.join(token_sessions, token_sessions.c.token_id == tokens.c.id))
    .where(token_sessions.c.id == bindparam("session_id"))
    .where(token_sessions.c.expires_at > database_time())
    .where(_IS_LIVE)
)


def includes_scope(held: Scope, needed: Scope) -> bool:
    """Return whether a token of one scope may do what needs the other."""
    return SCOPES.index(held) >= SCOPES.index(needed)


def parse_scopes(text: str) -> Scope:
    """Return the widest of the scopes that `text` lists, separated by commas.

    Raises
    ------
    InputError
        For a name that is no scope.
    """
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in SCOPES:
            raise InputError.of("scope", name, f"no such scope; choose {', '.join(SCOPES)}")
    if not names:
        raise InputError.of("scope", text, f"choose one of {', '.join(SCOPES)}")
    return max((scope for scope in SCOPES if scope in names), key=SCOPES.index)


class TokenRepository(Repository):
    """Operations on tokens and sessions; see `Repository`. Times are the database's."""

    def create(
        self, name: str, scope: Scope, expires_days: int | None = None
    ) -> tuple[TokenRecord, str]:
        """Make a token and return it with its secret, which nobody can show again.

        Raises
        ------
        InputError
            For an empty, long or taken name, or a life of less than a day.
        """
        label = _validate_name(name)
        if expires_days is not None and not 1 <= expires_days <= _LONGEST_DAYS:
            raise InputError.of(
                "expires_days", expires_days, f"must be 1 to {_LONGEST_DAYS}; leave it out for ever"
            )
        secret = TOKEN_PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
        token_id = str(uuid.uuid4())
        # [days] * [s / day] = [s]
        expires_at = None if expires_days is None else database_time(expires_days * 86_400)

        def work(connection: Connection) -> TokenRecord:
            if connection.scalar(select(exists().where(tokens.c.name == label).where(_IS_LIVE))):
                raise InputError.of("name", name, "a live token has this name; choose another")
            connection.execute(
                insert(tokens).values(
                    id=token_id,
                    name=label,
                    scope=scope,
                    secret_sha256=_digest(secret),
                    created_at=database_time(),
                    expires_at=expires_at,
                )
            )
            return _record(
                connection.execute(select(*_COLUMNS).where(tokens.c.id == token_id)).one()
            )

        return self._write(work), secret

    def list(self) -> tuple[TokenRecord, ...]:
        """Return all tokens, revoked ones too, oldest first."""
        query = select(*_COLUMNS).order_by(tokens.c.created_at, tokens.c.id)
        return self._read(lambda connection: tuple(map(_record, connection.execute(query))))

    def exist(self) -> bool:
        """Return whether there ever was a token."""
        query = select(exists().select_from(tokens))
        return self._read(lambda connection: bool(connection.scalar(query)))

    def revoke(self, ref: str) -> TokenRecord | None:
        """Revoke the live token of that id or name and end its sessions; None if there is none."""

        def work(connection: Connection) -> TokenRecord | None:
            named = or_(tokens.c.id == ref, tokens.c.name == ref)
            query = select(tokens.c.id).where(named).where(tokens.c.revoked_at.is_(None))
            token_id = connection.scalar(query.order_by(tokens.c.created_at.desc()).limit(1))
            if token_id is None:
                return None
            own = tokens.c.id == token_id
            connection.execute(update(tokens).where(own).values(revoked_at=database_time()))
            connection.execute(
                delete_from(token_sessions).where(token_sessions.c.token_id == token_id)
            )
            return _record(connection.execute(select(*_COLUMNS).where(own)).one())

        return self._write(work)

    def find_by_secret(self, secret: str) -> TokenRecord | None:
        """Return the live token of that secret, or None; notes that it was used."""
        if not secret.startswith(TOKEN_PREFIX) or not secret.isascii() or len(secret) > 100:
            return None
        digest = _digest(secret)

        keys = {"digest": digest}
        row: Any = self._read(lambda connection: connection.execute(_BY_SECRET, keys).one_or_none())
        # The index found the row by a hash, which no timing tells a secret from; compared once more
        # so that this does not hang on how a database compares strings.
        if row is None or not hmac.compare_digest(row.secret_sha256, digest):
            return None
        return self._touch(row)

    def start_session(self, token_id: str, seconds: float) -> str:
        """Start a session of a token and return its id; sessions that are over are deleted."""
        session_id = secrets.token_hex(16)  # 128 bits; a UUID has six less

        def work(connection: Connection) -> str:
            connection.execute(
                delete_from(token_sessions).where(token_sessions.c.expires_at < database_time())
            )
            connection.execute(
                insert(token_sessions).values(
                    id=session_id,
                    token_id=token_id,
                    created_at=database_time(),
                    expires_at=database_time(seconds),
                )
            )
            return session_id

        return self._write(work)

    def find_by_session(self, session_id: str) -> TokenRecord | None:
        """Return the live token of a session that is not over, or None."""
        keys = {"session_id": session_id}
        row: Any = self._read(
            lambda connection: connection.execute(_BY_SESSION, keys).one_or_none()
        )
        return None if row is None else self._touch(row)

    def end_session(self, session_id: str) -> bool:
        """End a session; False if it was over."""
        statement = delete_from(token_sessions).where(token_sessions.c.id == session_id)
        return self._write(lambda connection: connection.execute(statement).rowcount == 1)

    def _touch(self, row: Row[Any]) -> TokenRecord:
        if row.is_stale:
            statement = (
                update(tokens)
                .where(tokens.c.id == row.id)
                .where(_IS_STALE)
                .values(last_used_at=database_time())
            )
            # Who asks is known already; a database that is read-only or locked for a moment must
            # not turn that into a refusal.
            with contextlib.suppress(StorageUnavailable):
                self._write(lambda connection: connection.execute(statement).rowcount)
        return _record(row)


def _validate_name(name: str) -> str:
    label = name.strip()
    if not 1 <= len(label) <= MAX_NAME_LENGTH or not label.isprintable():
        raise InputError.of("name", name, f"write 1 to {MAX_NAME_LENGTH} printable characters")
    return label


def _digest(secret: str) -> str:
    # No salt and no slow hash: the secret is 256 random bits, which nobody can guess or tabulate.
    return hashlib.sha256(secret.encode()).hexdigest()


def _record(row: Row[Any]) -> TokenRecord:
    values = row._mapping
    return TokenRecord(**{name: values[name] for name in TokenRecord.__dataclass_fields__})
