"""Presets: saved forms of runs and of sweeps, found by name."""

from __future__ import annotations

import uuid
from typing import Any, Literal

from sqlalchemy import Connection, Row, insert, select, update
from sqlalchemy import delete as delete_from

from backtest.errors import InputError
from storage.models import MAX_NAME_LENGTH, presets
from storage.records import PresetRecord
from storage.repository import Repository
from storage.sql_types import database_time

PresetKind = Literal["run", "sweep"]
_KIND = "kind"


class PresetRepository(Repository):
    """Operations on presets; see `Repository`."""

    def save(self, name: str, body: dict[str, Any], kind: PresetKind = "run") -> PresetRecord:
        """Store `body` under `name`, over what the name held before.

        Raises
        ------
        InputError
            If the name is empty or too long, or that of a preset of the other kind.
        """
        label = name.strip()
        if not 0 < len(label) <= MAX_NAME_LENGTH:
            raise InputError.of("name", name, f"write 1 to {MAX_NAME_LENGTH} characters")

        # Runs have no word for their kind: they were here first.
        stored = body if kind == "run" else {**body, _KIND: kind}

        def work(connection: Connection) -> PresetRecord:
            mine = presets.c.name == label
            held = connection.execute(select(presets).where(mine)).one_or_none()
            if held is not None and get_kind(_record(held)) != kind:
                other = f"is the name of a preset of a {get_kind(_record(held))}; choose another"
                raise InputError.of("name", label, other)
            changed = connection.execute(
                update(presets).where(mine).values(body=stored, updated_at=database_time())
            )
            if changed.rowcount == 0:
                now = database_time()
                connection.execute(
                    insert(presets).values(
                        id=str(uuid.uuid4()),
                        name=label,
                        body=stored,
                        created_at=now,
                        updated_at=now,
                    )
                )
            query = select(presets).where(mine)
            return _record(connection.execute(query).one())

        return self._write_unique(work)

    def list(self, kind: PresetKind = "run") -> tuple[PresetRecord, ...]:
        """Return all presets of a kind, by name."""
        query = select(presets).order_by(presets.c.name)
        found = self._read(lambda connection: tuple(map(_record, connection.execute(query))))
        return tuple(record for record in found if get_kind(record) == kind)

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


def get_kind(record: PresetRecord) -> PresetKind:
    """Return what a preset is a form of."""
    return "sweep" if record.body.get(_KIND) == "sweep" else "run"


def _record(row: Row[Any]) -> PresetRecord:
    return PresetRecord(**row._mapping)
