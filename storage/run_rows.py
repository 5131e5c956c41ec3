"""Rows of the table `runs` as records; shared by everything that works on runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, bindparam, select

from storage.models import runs
from storage.records import RunRecord, RunState
from storage.sql_types import database_time

RECORD_COLUMNS = tuple(runs.c[name] for name in RunRecord.__dataclass_fields__)


def build_record(row: Row[Any]) -> RunRecord:
    """Return the record of a row that holds at least `RECORD_COLUMNS`."""
    values = {name: getattr(row, name) for name in RunRecord.__dataclass_fields__}
    values["tags"] = tuple(values["tags"])
    return RunRecord(**values)


def find_record(connection: Connection, *conditions: Any) -> RunRecord | None:
    """Return the newest run that meets the conditions, or None."""
    query = select(*RECORD_COLUMNS).where(*conditions).order_by(runs.c.id.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    return None if row is None else build_record(row)


# Built once: every submission and every answer in full asks, and building a query costs more than
# running it.
_BY_ID = select(*RECORD_COLUMNS).where(runs.c.run_id == bindparam("wanted"))


def find_by_id(connection: Connection, run_id: str) -> RunRecord | None:
    """Return the run of an id, or None."""
    row = connection.execute(_BY_ID, {"wanted": run_id}).one_or_none()
    return None if row is None else build_record(row)


_ALL_BY_ID = select(*RECORD_COLUMNS).where(runs.c.run_id.in_(bindparam("wanted", expanding=True)))


def find_all_by_id(connection: Connection, run_ids: Sequence[str]) -> list[RunRecord]:
    """Return the runs of these ids, in any order, without those that are not there."""
    if not run_ids:
        return []
    return [build_record(row) for row in connection.execute(_ALL_BY_ID, {"wanted": run_ids})]


_FINISHED = (
    select(*RECORD_COLUMNS)
    .where(runs.c.fingerprint == bindparam("wanted"), runs.c.state == "succeeded")
    .order_by(runs.c.id.desc())
    .limit(1)
)


def find_finished(connection: Connection, fingerprint: str) -> RunRecord | None:
    """Return the newest succeeded run of a fingerprint, or None."""
    row = connection.execute(_FINISHED, {"wanted": fingerprint}).one_or_none()
    return None if row is None else build_record(row)


def match_holder(run_id: str, attempt: int) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions under which this token still holds this run."""
    return runs.c.run_id == run_id, runs.c.state == "running", runs.c.attempt == attempt


def build_ending(state: RunState) -> dict[str, Any]:
    """Return the assignments that end a run."""
    return {
        "state": state,
        "version": runs.c.version + 1,
        "finished_at": database_time(),
        "lease_until": None,
    }
