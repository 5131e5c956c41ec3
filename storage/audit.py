"""The audit log: who changed what, when and from where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, insert, select
from sqlalchemy import delete as delete_from

from storage.access_tables import (
    MAX_ACTOR_LENGTH,
    MAX_ADDRESS_LENGTH,
    MAX_OBJECT_LENGTH,
    audit_events,
)
from storage.grouping import Grouping
from storage.repository import Repository
from storage.sql_types import database_time

_INSERT = insert(audit_events).values(at=database_time())


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One change.

    Parameters
    ----------
    id : int
        Counts events.
    actor : str
        Name of the token, or how else somebody came in.
    token_id : str or None
        None where no token was asked for.
    action : str
        Name of the operation, as in the API's description, or a command's.
    object_id : str
        What it was done to; empty where there is no one thing.
    address : str
        Network address of the client; empty for a command on the database itself.
    status : int
        HTTP status that was answered.
    """

    id: int
    at: datetime
    actor: str
    token_id: str | None
    action: str
    object_id: str
    address: str
    status: int


class AuditRepository(Repository):
    """Operations on the audit log; see `Repository`."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._added = Grouping[dict[str, Any], None](self._add_all)

    def add(
        self,
        actor: str,
        action: str,
        object_id: str,
        *,
        token_id: str | None = None,
        address: str = "",
        status: int = 200,
    ) -> None:
        """Write one event; texts are cut to what their columns hold."""
        values = {
            "actor": actor[:MAX_ACTOR_LENGTH],
            "token_id": token_id,
            "action": action[:64],
            "object_id": object_id[:MAX_OBJECT_LENGTH],
            "address": address[:MAX_ADDRESS_LENGTH],
            "status": status,
        }
        self._added.do(values)

    def _add_all(self, group: Sequence[dict[str, Any]]) -> Sequence[None]:
        self._write(lambda connection: connection.execute(_INSERT, list(group)))
        return [None] * len(group)

    def list(self, limit: int = 100, before: int | None = None) -> tuple[AuditEvent, ...]:
        """Return events, newest first, those before an id only if one is given."""
        query = select(audit_events).order_by(audit_events.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(audit_events.c.id < before)
        return self._read(
            lambda connection: tuple(
                AuditEvent(**row._mapping) for row in connection.execute(query)
            )
        )

    def purge(self, days: int) -> int:
        """Delete events older than that many days; return how many."""
        # [days] * [s / day] = [s]
        old = audit_events.c.at < database_time(-days * 86_400)
        first = select(audit_events.c.id).where(old).limit(1)
        if self._read(lambda connection: connection.scalar(first)) is None:
            return 0  # asked every few seconds: nothing to do takes no lock
        statement = delete_from(audit_events).where(old)
        return self._write(lambda connection: connection.execute(statement).rowcount)
