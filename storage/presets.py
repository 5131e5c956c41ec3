"""Presets: saved forms, found by name."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update
from sqlalchemy import delete as delete_from

from backtest.errors import InputError
from storage.models import MAX_NAME_LENGTH, presets
from storage.records import PresetRecord
from storage.repository import Repository
from storage.sql_types import database_time


class PresetRepository(Repository):
    """Operations on presets; see `Repository`."""

    def save(self, name: str, body: dict[str, Any]) -> PresetRecord:
        """Store `body` under `name`, over what the name held before.

        Raises
        ------
        InputError
            If the name is empty or too long.
        """
        label = name.strip()
        if not 0 < len(label) <= MAX_NAME_LENGTH:
            raise InputError.of("name", name, f"write 1 to {MAX_NAME_LENGTH} characters")

        def work(connection: Connection) -> PresetRecord:
            changed = connection.execute(
                update(presets)
                .where(presets.c.name == label)
                .values(body=body, updated_at=database_time())
            )
            if changed.rowcount == 0:
                now = database_time()
                connection.execute(
                    insert(presets).values(
                        id=str(uuid.uuid4()), name=label, body=body, created_at=now, updated_at=now
                    )
                )
            query = select(presets).where(presets.c.name == label)
            return _record(connection.execute(query).one())

        return self._write_unique(work)

    def list(self) -> tuple[PresetRecord, ...]:
        """Return all presets, by name."""
        query = select(presets).order_by(presets.c.name)
        return self._read(lambda connection: tuple(map(_record, connection.execute(query))))

    def get(self, preset_id: str) -> PresetRecord | None:
        """Return one preset, or None."""
        query = select(presets).where(presets.c.id == preset_id)

        def work(connection: Connection) -> PresetRecord | None:
            row = connection.execute(query).one_or_none()
            return None if row is None else _record(row)

        return self._read(work)

    def delete(self, preset_id: str) -> bool:
        """Delete one preset; False if there is none."""
        statement = delete_from(presets).where(presets.c.id == preset_id)
        return self._write(lambda connection: connection.execute(statement).rowcount == 1)


def _record(row: Row[Any]) -> PresetRecord:
    return PresetRecord(**row._mapping)
