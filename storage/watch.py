"""How much of what is stored, at this instant: what a monitor asks every few seconds."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Column, Connection, func, select

from storage.models import runs
from storage.repository import Repository
from storage.run_list import STATES
from storage.sql_types import database_time
from storage.sweep_records import SWEEP_STATES
from storage.sweep_tables import sweep_chunks, sweeps

CHUNK_STATES = ("queued", "running", "done", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class StoredWork:
    """Numbers of one look.

    Parameters
    ----------
    runs, sweeps, chunks : dict
        How many are in each state, zeros included. Chunks of sweeps that go on and that have ended.
    oldest_queued_seconds : float
        How long ago the first of the runs that wait was submitted, by the database's clock; 0 if
        none waits.
    """

    runs: dict[str, int]
    sweeps: dict[str, int]
    chunks: dict[str, int]
    oldest_queued_seconds: float


class Watch(Repository):
    """Looking without touching; see `Repository`. Each count walks along one index."""

    def look(self) -> StoredWork:
        """Return the numbers of this instant."""
        oldest = (
            select(runs.c.submitted_at, database_time())
            .where(runs.c.state == "queued")
            .order_by(runs.c.id)
            .limit(1)
        )

        def work(connection: Connection) -> StoredWork:
            first = connection.execute(oldest).one_or_none()
            return StoredWork(
                _count(connection, runs.c.state, STATES),
                _count(connection, sweeps.c.state, SWEEP_STATES),
                _count(connection, sweep_chunks.c.state, CHUNK_STATES),
                0.0 if first is None else max(0.0, (first[1] - first[0]).total_seconds()),
            )

        return self._read(work)


def _count(connection: Connection, column: Column[str], states: tuple[str, ...]) -> dict[str, int]:
    found = {
        row[0]: row[1] for row in connection.execute(select(column, func.count()).group_by(column))
    }
    return {state: found.get(state, 0) for state in states}
