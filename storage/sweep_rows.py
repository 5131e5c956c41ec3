"""Rows of the tables of sweeps as records, and the locks and conditions of all work on them.

Whoever changes a chunk first locks the row of its sweep, shared, and reads its state; whoever
changes that state locks it exclusively. So when `pause` returns, every transaction that saw the
sweep running has ended, and none will see it so again. SQLite has one writer at a time anyway.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, select

from storage.sql_types import database_time
from storage.sweep_records import SweepRecord
from storage.sweep_tables import sweep_chunks, sweeps

RECORD_COLUMNS = tuple(sweeps.c[name] for name in SweepRecord.__dataclass_fields__)
NOW = database_time()

# States in which chunks are handed out.
ACTIVE_STATES = ("queued", "running")


def build_record(row: Row[Any]) -> SweepRecord:
    """Return the record of a row that holds at least `RECORD_COLUMNS`."""
    values = {name: getattr(row, name) for name in SweepRecord.__dataclass_fields__}
    values["tags"] = tuple(values["tags"])
    values["warnings"] = tuple(values["warnings"])
    values["n_points"] = int(values["n_points"])
    return SweepRecord(**values)


def find_record(connection: Connection, *conditions: Any) -> SweepRecord | None:
    """Return the newest sweep that meets the conditions and is not deleted, or None."""
    query = (
        select(*RECORD_COLUMNS)
        .where(sweeps.c.deleted_at.is_(None), *conditions)
        .order_by(sweeps.c.id.desc())
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else build_record(row)


def lock_sweep(connection: Connection, sweep_id: str, *, shared: bool) -> Any:
    """Lock a sweep that is not deleted and return its small columns; None if there is none."""
    query = (
        select(
            sweeps.c.id,
            sweeps.c.state,
            sweeps.c.stage,
            sweeps.c.method,
            sweeps.c.attempt,
            sweeps.c.n_positions,
            sweeps.c.objective,
            sweeps.c.min_trades,
        )
        .where(sweeps.c.sweep_id == sweep_id, sweeps.c.deleted_at.is_(None))
        .with_for_update(read=shared)
    )
    return connection.execute(query).one_or_none()


def match_chunk(number: int, idx: int) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions that find one chunk."""
    return sweep_chunks.c.sweep_number == number, sweep_chunks.c.idx == idx


def match_chunk_holder(number: int, idx: int, attempt: int) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions under which this token still holds this chunk."""
    return (
        *match_chunk(number, idx),
        sweep_chunks.c.state == "running",
        sweep_chunks.c.attempt == attempt,
    )


def build_requeue() -> dict[str, Any]:
    """Return the assignments that hand a chunk back; its token is stale from then on."""
    return {"state": "queued", "sent_at": None, "lease_until": None, "worker": ""}
