"""Which sweeps have ended without anybody being told."""

from __future__ import annotations

from sqlalchemy import select, update

from storage.repository import Repository
from storage.sql_types import database_time
from storage.sweep_records import SweepRecord
from storage.sweep_rows import NOW, RECORD_COLUMNS, build_record
from storage.sweep_tables import sweeps

_TOLD_STATES = ("succeeded", "failed")


class SweepNotices(Repository):
    """Telling of each end once; see `Repository`."""

    def take_ended(self, within_seconds: float, limit: int) -> tuple[SweepRecord, ...]:
        """Return sweeps that succeeded or failed just now, each to one caller only.

        A caller that dies before it has told anybody has told nobody: twice would be worse.

        Parameters
        ----------
        within_seconds : float
            What ended longer ago is left alone, so that whoever begins to ask is not flooded.
        """
        due = (
            sweeps.c.state.in_(_TOLD_STATES),
            sweeps.c.finished_at >= database_time(-within_seconds),
            sweeps.c.notified_at.is_(None),
            sweeps.c.deleted_at.is_(None),
        )
        query = select(sweeps.c.id, *RECORD_COLUMNS).where(*due).order_by(sweeps.c.id).limit(limit)
        rows = self._read(lambda connection: connection.execute(query).all())
        return tuple(build_record(row) for row in rows if self._take(row.id))

    def _take(self, number: int) -> bool:
        statement = (
            update(sweeps)
            .where(sweeps.c.id == number, sweeps.c.notified_at.is_(None))
            .where(sweeps.c.state.in_(_TOLD_STATES))
            .values(notified_at=NOW)
        )
        return self._write(lambda connection: connection.execute(statement).rowcount == 1)
