"""What people do to a sweep: pause, resume, cancel, retry; and what time does to its chunks.

Each is one transaction that begins with the exclusive lock on the sweep, so it waits for chunks
that are being stored at that instant, and none is stored after it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, func, select, update

from storage.exhaustion import describe_exhaustion
from storage.models import MAX_EXIT_LENGTH
from storage.records import LostRun
from storage.repository import Repository
from storage.sql_types import database_time
from storage.sweep_rows import ACTIVE_STATES, NOW, build_requeue, lock_sweep
from storage.sweep_tables import sweep_chunks, sweeps

_MAX_LISTED_ERRORS = 5
# A lease that ends now is over only a tick of the database's clock later.
_OVER = database_time(-1.0)


class LostChunks(NamedTuple):
    """Chunks of workers that fell silent, as (sweep_id, idx): queued again, or failed for good."""

    requeued: tuple[tuple[str, int], ...]
    failed: tuple[tuple[str, int], ...]


class SweepControl(Repository):
    """Changing the state of sweeps; see `Repository`."""

    def pause(self, sweep_id: str) -> bool:
        """Stop handing out and storing chunks; False if the sweep is not queued or running.

        Chunks that are being computed go back to the queue at no cost: their workers' tokens are
        stale from this instant.
        """
        return self._move(
            sweep_id, ACTIVE_STATES, {"state": "paused"}, ("queued", "running"), build_requeue()
        )

    def resume(self, sweep_id: str) -> bool:
        """Go on with a paused sweep; False if it is not paused. Its messages are due at once."""

        def work(connection: Connection) -> bool:
            sweep = lock_sweep(connection, sweep_id, shared=False)
            if sweep is None or sweep.state != "paused":
                return False
            started = connection.scalar(select(sweeps.c.started_at).where(sweeps.c.id == sweep.id))
            # A finaliser that was interrupted begins anew; its token is stale by its stage.
            _set_sweep(
                connection,
                sweep.id,
                state="queued" if started is None else "running",
                stage="computing" if sweep.stage == "finalising" else sweep.stage,
                sent_at=None,
                lease_until=None,
            )
            return True

        return self._write(work)

    def cancel(self, sweep_id: str) -> bool:
        """End a sweep for good; False if it has ended. What is computed stays and can be read."""
        ending = {"state": "cancelled", "stage": "", "finished_at": NOW, "lease_until": None}
        return self._move(
            sweep_id,
            (*ACTIVE_STATES, "paused"),
            ending,
            ("queued", "running"),
            {"state": "cancelled", "lease_until": None},
        )

    def retry(self, sweep_id: str) -> bool:
        """Start the failed chunks of a failed sweep again; False if it has not failed.

        Also the finaliser, if that was what failed.
        """
        fresh = {**build_requeue(), "n_lost": 0, "error": None, "finished_at": None}
        return self._move(
            sweep_id,
            ("failed",),
            {
                "state": "running",
                "stage": "computing",
                "error": None,
                "finished_at": None,
                "n_lost": 0,
                "sent_at": None,
                "notified_at": None,  # its next end is news again
                "lease_until": None,
            },
            ("failed",),
            fresh,
        )

    def _move(
        self,
        sweep_id: str,
        states: Iterable[str],
        values: dict[str, Any],
        chunk_states: Iterable[str],
        chunk_values: dict[str, Any],
    ) -> bool:
        def work(connection: Connection) -> bool:
            sweep = lock_sweep(connection, sweep_id, shared=False)
            if sweep is None or sweep.state not in states:
                return False
            _set_sweep(connection, sweep.id, **values)
            connection.execute(
                update(sweep_chunks)
                .where(sweep_chunks.c.sweep_number == sweep.id)
                .where(sweep_chunks.c.state.in_(tuple(chunk_states)))
                .values(**chunk_values)
            )
            return True

        return self._write(work)

    def expire_chunks(
        self, max_attempts: int, judged_at: datetime | None = None, limit: int = 1000
    ) -> LostChunks:
        """Queue again what silent workers held; fail what lost its worker `max_attempts` times.

        `judged_at` is as of `RunLeases.expire_leases`.
        """
        chunk = sweep_chunks.c
        ended = and_(
            chunk.state == "running", chunk.lease_until < (NOW if judged_at is None else judged_at)
        )
        query = (
            select(sweeps.c.sweep_id, sweep_chunks.c.idx)
            .join(sweeps, sweeps.c.id == sweep_chunks.c.sweep_number)
            .where(ended)
            .limit(limit)
        )
        found = self._read(lambda connection: connection.execute(query).all())
        requeued, failed = [], []
        for sweep_id, idx in found:
            outcome = self._expire(sweep_id, idx, max_attempts, ended)
            if outcome == "queued":
                requeued.append((sweep_id, idx))
            elif outcome == "failed":
                failed.append((sweep_id, idx))
        return LostChunks(tuple(requeued), tuple(failed))

    def _expire(
        self, sweep_id: str, idx: int, max_attempts: int, ended: ColumnElement[bool]
    ) -> LostRun:
        def work(connection: Connection) -> LostRun:
            sweep = lock_sweep(connection, sweep_id, shared=True)
            if sweep is None:
                return None
            mine = sweep_chunks.c.sweep_number == sweep.id, sweep_chunks.c.idx == idx
            return _lose(connection, (*mine, ended), max_attempts)

        return self._write(work)

    def report_lost_chunk(
        self, sweep_id: str, idx: int, worker: str, how: str, max_attempts: int
    ) -> LostRun:
        """Note that a process ended while it held a chunk; see `RunLeases.report_lost`."""

        def work(connection: Connection) -> LostRun:
            sweep = lock_sweep(connection, sweep_id, shared=True)
            if sweep is None:
                return None
            chunk = sweep_chunks.c
            mine = chunk.sweep_number == sweep.id, chunk.idx == idx, chunk.worker == worker[:128]
            held = *mine, chunk.state == "running"
            connection.execute(
                update(sweep_chunks).where(*held).values(last_exit=how[:MAX_EXIT_LENGTH])
            )
            return _lose(connection, held, max_attempts)

        return self._write(work)

    def report_lost_finaliser(self, sweep_id: str, worker: str, how: str) -> None:
        """Note that a finaliser's process ended, and end its lease if it is still that worker's."""
        statement = (
            update(sweeps)
            .where(sweeps.c.sweep_id == sweep_id, sweeps.c.state == "running")
            .where(sweeps.c.stage == "finalising", sweeps.c.worker == worker[:128])
            .values(last_exit=how[:MAX_EXIT_LENGTH], lease_until=_OVER, sent_at=None)
        )
        self._write(lambda connection: connection.execute(statement))

    def list_active(self, limit: int) -> tuple[str, ...]:
        """Return ids of sweeps that are queued or running, oldest first."""
        query = (
            select(sweeps.c.sweep_id)
            .where(sweeps.c.state.in_(ACTIVE_STATES), sweeps.c.deleted_at.is_(None))
            .order_by(sweeps.c.id)
            .limit(limit)
        )
        return self._read(lambda connection: tuple(connection.scalars(query)))

    def release_overdue(self, sent_before_seconds: float) -> int:
        """Forget the messages of chunks still queued this long after; return their number.

        For when the broker holds fewer messages than it should: nobody knows which are lost, and
        one too many does no harm, as only one claim can win.
        """
        statement = (
            update(sweep_chunks)
            .where(sweep_chunks.c.state == "queued")
            .where(sweep_chunks.c.sent_at <= database_time(-sent_before_seconds))
            .values(sent_at=None)
        )
        return self._write(lambda connection: connection.execute(statement).rowcount)

    def count_overdue(self, sent_before_seconds: float) -> int:
        """Return how many chunks wait in the broker for longer than this, to all that is known."""
        query = (
            select(func.count())
            .select_from(sweep_chunks.join(sweeps, sweeps.c.id == sweep_chunks.c.sweep_number))
            .where(sweeps.c.state.in_(ACTIVE_STATES), sweep_chunks.c.state == "queued")
            .where(sweep_chunks.c.sent_at <= database_time(-sent_before_seconds))
        )
        return self._read(lambda connection: connection.scalar(query)) or 0


def collect_chunk_errors(connection: Connection, number: int) -> dict[str, Any] | None:
    """Return the error of a sweep with failed chunks; None if there are none."""
    chunk = sweep_chunks.c
    mine = chunk.sweep_number == number, chunk.state == "failed"
    n_failed = connection.scalar(select(func.count()).where(*mine)) or 0
    if n_failed == 0:
        return None
    rows = connection.execute(
        select(chunk.idx, chunk.first, chunk.stop, chunk.error)
        .where(*mine)
        .order_by(chunk.idx)
        .limit(_MAX_LISTED_ERRORS)
    ).all()
    first = rows[0].error or {}
    what = first.get("message", "unknown")
    return {
        "code": "chunks_failed",
        "message": f"{n_failed} chunks failed; the first one: {what}"
        if n_failed > 1
        else f"a chunk failed: {what}",
        "remedy": "look into the workers' log for this sweep_id, then retry",
        "errors": first.get("errors", []),
        "n_chunks": n_failed,
        "chunks": [
            {"chunk": row.idx, "first": row.first, "stop": row.stop, **(row.error or {})}
            for row in rows
        ],
    }


def _lose(
    connection: Connection, held: tuple[ColumnElement[bool], ...], max_attempts: int
) -> LostRun:
    """Queue a chunk again whose process was lost; fail it if that happened too often."""
    n_lost = sweep_chunks.c.n_lost + 1
    requeue = (
        update(sweep_chunks)
        .where(*held, n_lost < max_attempts)
        .values(**build_requeue(), n_lost=n_lost)
    )
    if connection.execute(requeue).rowcount > 0:
        return "queued"
    row = connection.execute(select(sweep_chunks.c.last_exit).where(*held)).one_or_none()
    if row is None:
        return None
    failure = (
        update(sweep_chunks)
        .where(*held)
        .values(
            state="failed",
            n_lost=n_lost,
            finished_at=NOW,
            lease_until=None,
            error=describe_exhaustion("this chunk", max_attempts, row.last_exit),
        )
    )
    return "failed" if connection.execute(failure).rowcount > 0 else None


def _set_sweep(connection: Connection, number: int, **values: Any) -> None:
    connection.execute(
        update(sweeps).where(sweeps.c.id == number).values(version=sweeps.c.version + 1, **values)
    )
