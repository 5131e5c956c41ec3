"""What an executor that watches from outside asks of runs and sweeps, and how it gives them up.

It holds no lease: it has seen that nobody computes something any more, and never will.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, case, func, select, update

from storage.models import runs
from storage.repository import Repository
from storage.run_rows import build_ending
from storage.sql_types import database_time
from storage.sweep_rows import ACTIVE_STATES, NOW, build_requeue, lock_sweep
from storage.sweep_tables import sweep_chunks, sweep_queries, sweeps

_STAGE_LENGTH = 64
# Long enough for charts to follow a result; and the time of who was sent for them again.
_SETTLED_SECONDS, _SENT_SECONDS = 20.0, 60.0


class Standing(NamedTuple):
    """How far work has come, as whoever executes it must know.

    Parameters
    ----------
    state : str
        Of the run, sweep or question.
    is_settled : bool
        Nothing follows any more, charts included.
    """

    state: str
    is_settled: bool


class RunAbandonment(Repository):
    """Runs; see above, and `Repository`."""

    def list_queued(self, limit: int) -> tuple[str, ...]:
        """Return ids of queued runs, oldest first."""
        query = select(runs.c.run_id).where(runs.c.state == "queued").order_by(runs.c.id)
        return self._read(lambda connection: tuple(connection.scalars(query.limit(limit))))

    def find_standings(self, run_ids: Sequence[str]) -> dict[str, Standing]:
        """Return how far each of these runs has come; deleted ones are left out."""
        late = and_(
            runs.c.finished_at < database_time(-_SETTLED_SECONDS),
            func.coalesce(runs.c.sent_at, runs.c.submitted_at) < database_time(-_SENT_SECONDS),
        )
        drawn = case((and_(runs.c.state == "succeeded", ~runs.c.has_charts), late), else_=True)
        query = select(runs.c.run_id, runs.c.state, drawn.label("drawn")).where(
            runs.c.run_id.in_(run_ids)
        )
        return self._read(
            lambda connection: {
                row.run_id: Standing(
                    row.state, bool(row.drawn) and row.state not in ("queued", "running")
                )
                for row in connection.execute(query)
            }
        )

    def note_waiting(self, run_id: str, text: str) -> bool:
        """Say on a queued run what it waits for; False if that is said already."""
        stage = text[:_STAGE_LENGTH]
        statement = (
            update(runs)
            .where(runs.c.run_id == run_id, runs.c.state == "queued", runs.c.stage != stage)
            .values(stage=stage, version=runs.c.version + 1)
        )
        return self._write(lambda connection: connection.execute(statement).rowcount == 1)

    def abandon(self, run_id: str, error: dict[str, Any]) -> bool:
        """Fail a run that nobody will compute; False if it has ended."""
        statement = (
            update(runs)
            .where(runs.c.run_id == run_id, runs.c.state.in_(("queued", "running")))
            .values(**build_ending("failed"), error=error)
        )
        return self._write(lambda connection: connection.execute(statement).rowcount == 1)


class SweepAbandonment(Repository):
    """Sweeps and questions about them; see above, and `Repository`."""

    def find_sweep_standings(self, sweep_ids: Sequence[str]) -> dict[str, Standing]:
        """Return how far each of these sweeps has come; deleted ones are left out."""
        query = select(sweeps.c.sweep_id, sweeps.c.state).where(
            sweeps.c.sweep_id.in_(sweep_ids), sweeps.c.deleted_at.is_(None)
        )
        return self._read(
            lambda connection: {
                row.sweep_id: Standing(row.state, row.state not in ACTIVE_STATES)
                for row in connection.execute(query)
            }
        )

    def find_query_standings(self, query_ids: Sequence[str]) -> dict[str, Standing]:
        """Return how far each of these questions has come; dropped ones are left out."""
        query = select(sweep_queries.c.query_id, sweep_queries.c.state).where(
            sweep_queries.c.query_id.in_(query_ids)
        )
        return self._read(
            lambda connection: {
                row.query_id: Standing(row.state, row.state in ("done", "failed"))
                for row in connection.execute(query)
            }
        )

    def list_queued_chunks(self, sweep_id: str, limit: int) -> tuple[int, ...]:
        """Return chunks of a sweep that anybody may claim now, lowest first."""
        query = (
            select(sweep_chunks.c.idx)
            .join(sweeps, sweeps.c.id == sweep_chunks.c.sweep_number)
            .where(sweeps.c.sweep_id == sweep_id, sweeps.c.state.in_(ACTIVE_STATES))
            .where(sweep_chunks.c.state == "queued")
            .order_by(sweep_chunks.c.idx)
            .limit(limit)
        )
        return self._read(lambda connection: tuple(connection.scalars(query)))

    def count_running_chunks(self, sweep_id: str) -> int:
        """Return how many chunks of a sweep somebody holds."""
        query = (
            select(func.count())
            .select_from(sweep_chunks)
            .join(sweeps, sweeps.c.id == sweep_chunks.c.sweep_number)
            .where(sweeps.c.sweep_id == sweep_id, sweep_chunks.c.state == "running")
        )
        return self._read(lambda connection: connection.scalar(query)) or 0

    def note_sweep_waiting(self, sweep_id: str, text: str) -> bool:
        """Say on a queued sweep what it waits for; False if that is said already."""
        stage = text[:_STAGE_LENGTH]
        statement = (
            update(sweeps)
            .where(sweeps.c.sweep_id == sweep_id, sweeps.c.state == "queued")
            .where(sweeps.c.stage != stage)
            .values(stage=stage, version=sweeps.c.version + 1)
        )
        return self._write(lambda connection: connection.execute(statement).rowcount == 1)

    def abandon_sweep(self, sweep_id: str, error: dict[str, Any]) -> bool:
        """Fail a sweep that nobody computes; what is done stays, and a retry goes on from it."""

        def work(connection: Connection) -> bool:
            sweep = lock_sweep(connection, sweep_id, shared=False)
            if sweep is None or sweep.state not in ACTIVE_STATES:
                return False
            connection.execute(
                update(sweeps)
                .where(sweeps.c.id == sweep.id)
                .values(
                    state="failed",
                    stage="",
                    error=error,
                    version=sweeps.c.version + 1,
                    finished_at=NOW,
                    lease_until=None,
                )
            )
            connection.execute(
                update(sweep_chunks)
                .where(sweep_chunks.c.sweep_number == sweep.id, sweep_chunks.c.state == "running")
                .values(**build_requeue())
            )
            return True

        return self._write(work)

    def abandon_query(self, query_id: str, error: dict[str, Any]) -> bool:
        """Fail a question that nobody will answer; False if it is answered or gone."""
        statement = (
            update(sweep_queries)
            .where(sweep_queries.c.query_id == query_id)
            .where(sweep_queries.c.state.in_(("queued", "running")))
            .values(state="failed", error=error, finished_at=NOW)
        )
        return self._write(lambda connection: connection.execute(statement).rowcount == 1)
