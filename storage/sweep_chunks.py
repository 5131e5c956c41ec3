"""Who computes a chunk, and the one transaction that stores its result.

As with runs, everything is a compare-and-set on state and attempt judged by the database's clock.
A chunk is given out only while its sweep is queued or running, and is stored only while it is
running: see `storage.sweep_rows` for the lock that makes this hold at the very instant of a pause.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from storage.records import Heartbeat
from storage.repository import Repository
from storage.sql_types import database_time
from storage.sweep_blocks import pack_blocks, pick_best, save_blocks
from storage.sweep_records import ChunkClaim, ChunkPlan, ChunkResult, Messages
from storage.sweep_rows import (
    ACTIVE_STATES,
    NOW,
    build_requeue,
    lock_sweep,
    match_chunk,
    match_chunk_holder,
)
from storage.sweep_tables import sweep_best, sweep_chunks, sweeps

# Rows per INSERT of a plan; a statement stays far below the smallest packet of a server.
_PLAN_ROWS = 500
# Messages of one sweep that wait in the broker: at least the first figure, so that a finisher
# always finds the next one there; twice the running ones, so that many processes are fed; and
# never more than the last, whatever the size of the sweep or of the cluster.
_MIN_WAITING, _WAITING_PER_RUNNING, _MAX_WAITING = 8, 2, 256


class SweepChunks(Repository):
    """Claiming, keeping and finishing chunks; see `Repository`."""

    def claim_chunk(
        self, sweep_id: str, idx: int, worker: str, lease_seconds: float
    ) -> ChunkClaim | None:
        """Take a chunk that is queued, of a sweep that is queued or running.

        Returns
        -------
        ChunkClaim or None
            None if somebody else has it, it is done, or its sweep is paused, ended or deleted.
        """

        def work(connection: Connection) -> ChunkClaim | None:
            state = connection.scalar(select(sweeps.c.state).where(sweeps.c.sweep_id == sweep_id))
            # The first claim changes the sweep itself, and says so before it takes a lock that two
            # of them could share and neither raise.
            sweep = lock_sweep(connection, sweep_id, shared=state != "queued")
            if sweep is None or sweep.state not in ACTIVE_STATES:
                return None
            claimed = connection.execute(
                update(sweep_chunks)
                .where(*match_chunk(sweep.id, idx), sweep_chunks.c.state == "queued")
                .values(
                    state="running",
                    attempt=sweep_chunks.c.attempt + 1,
                    worker=worker[:128],
                    started_at=NOW,
                    lease_until=database_time(lease_seconds),
                )
            )
            if claimed.rowcount == 0:
                return None
            if sweep.state == "queued":
                _start(connection, sweep.id, "measuring" if idx == 0 else "computing")
            starts = sweep.state == "queued"
            return replace(_read_claim(connection, sweep.id, idx), starts_sweep=starts)

        return self._write(work)

    def heartbeat_chunk(
        self, sweep_id: str, idx: int, attempt: int, lease_seconds: float
    ) -> Heartbeat:
        """Extend the lease of a chunk; anything but ok: stop computing it."""

        def work(connection: Connection) -> Heartbeat:
            sweep = lock_sweep(connection, sweep_id, shared=True)
            if sweep is None or sweep.state != "running":
                return "lost" if sweep is None or sweep.state == "paused" else "cancelled"
            kept = connection.execute(
                update(sweep_chunks)
                .where(*match_chunk_holder(sweep.id, idx, attempt))
                .values(lease_until=database_time(lease_seconds))
            )
            return "ok" if kept.rowcount == 1 else "lost"

        return self._write_again(work)

    def finish_chunk(
        self, claim: ChunkClaim, result: ChunkResult, plan: ChunkPlan | None = None
    ) -> bool:
        """Store the numbers of a chunk, its best rows, its state and what follows, or nothing.

        Parameters
        ----------
        plan : ChunkPlan, optional
            The chunks that come after this one, if they are not there yet.

        Returns
        -------
        bool
            False if the token is stale or the sweep is not running: nothing was stored. True again
            if this very claim was stored before (a COMMIT whose answer was lost).
        """
        packed = pack_blocks(result)  # before any lock is taken

        def work(connection: Connection) -> bool:
            sweep = lock_sweep(connection, claim.sweep_id, shared=plan is None)
            if sweep is None:
                return False
            mine = match_chunk_holder(sweep.id, claim.idx, claim.attempt)
            ended = update(sweep_chunks).where(*mine).values(**_build_done(result, packed.counts))
            if sweep.state != "running" or connection.execute(ended).rowcount == 0:
                return _is_done(connection, sweep.id, claim)
            save_blocks(connection, sweep.id, claim.idx, packed.blobs)
            best = pick_best(claim.first, result, sweep.objective, sweep.min_trades)
            if best:
                rows = [{"sweep_number": sweep.id, **row} for row in best]
                connection.execute(insert(sweep_best), rows)
            if plan is not None:
                _insert_plan(connection, sweep, claim.idx, result.stop, plan)
            return True

        return self._write_again(work)

    def fail_chunk(self, claim: ChunkClaim, error: dict[str, Any]) -> bool:
        """End a chunk with an error a person can act on; False if the token is stale."""
        return self._change_held(
            claim, {"state": "failed", "error": error, "finished_at": NOW, "lease_until": None}
        )

    def return_chunk(self, claim: ChunkClaim) -> bool:
        """Hand a chunk back undone, at no cost; False if the token is stale."""
        return self._change_held(claim, build_requeue())

    def _change_held(self, claim: ChunkClaim, values: dict[str, Any]) -> bool:
        def work(connection: Connection) -> bool:
            sweep = lock_sweep(connection, claim.sweep_id, shared=True)
            if sweep is None:
                return False
            mine = match_chunk_holder(sweep.id, claim.idx, claim.attempt)
            return connection.execute(update(sweep_chunks).where(*mine).values(values)).rowcount > 0

        return self._write(work)

    def take_messages(self, sweep_id: str) -> Messages:
        """Choose the chunks whose messages are due now, and mark them as sent.

        Of any number of callers each chunk is given to one. A caller that dies before it sends
        leaves chunks that `release_overdue` finds.
        """

        def work(connection: Connection) -> Messages:
            sweep = lock_sweep(connection, sweep_id, shared=True)
            if sweep is None or sweep.state not in ACTIVE_STATES:
                return Messages((), is_complete=False)
            chunk = sweep_chunks.c
            open_ = select(chunk.state, chunk.sent_at.is_not(None), func.count()).where(
                chunk.sweep_number == sweep.id, chunk.state.in_(("queued", "running"))
            )
            counts = {
                (state, bool(sent)): count
                for state, sent, count in connection.execute(
                    open_.group_by(chunk.state, chunk.sent_at.is_not(None))
                )
            }
            if not counts:
                return Messages((), is_complete=True)
            running = counts.get(("running", True), 0) + counts.get(("running", False), 0)
            room = compute_window(running) - counts.get(("queued", True), 0)
            if room <= 0 or not counts.get(("queued", False)):
                return Messages((), is_complete=False)
            return Messages(_mark_sent(connection, sweep.id, room), is_complete=False)

        return self._write(work)

    def unmark_sent(self, sweep_id: str, chunks: Sequence[int]) -> None:
        """Note that these messages could not be sent after all."""

        def work(connection: Connection) -> None:
            number = connection.scalar(select(sweeps.c.id).where(sweeps.c.sweep_id == sweep_id))
            connection.execute(
                update(sweep_chunks)
                .where(sweep_chunks.c.sweep_number == number, sweep_chunks.c.idx.in_(chunks))
                .where(sweep_chunks.c.state == "queued")
                .values(sent_at=None)
            )

        if chunks:
            self._write(work)


def compute_window(n_running: int) -> int:
    """Return how many messages of a sweep may wait while so many of its chunks are computed."""
    return min(max(_MIN_WAITING, _WAITING_PER_RUNNING * n_running), _MAX_WAITING)


def _start(connection: Connection, number: int, stage: str) -> None:
    connection.execute(
        update(sweeps)
        .where(sweeps.c.id == number)
        .values(
            state="running",
            stage=stage,
            version=sweeps.c.version + 1,
            started_at=func.coalesce(sweeps.c.started_at, NOW),
        )
    )


def _read_claim(connection: Connection, number: int, idx: int) -> ChunkClaim:
    row = connection.execute(
        select(
            sweeps.c.sweep_id,
            sweep_chunks.c.idx,
            sweep_chunks.c.attempt,
            sweep_chunks.c.first,
            sweep_chunks.c.stop,
            sweeps.c.method,
            sweeps.c.n_positions,
            sweeps.c.spec,
        )
        .join(sweeps, sweeps.c.id == sweep_chunks.c.sweep_number)
        .where(*match_chunk(number, idx))
    ).one()
    return ChunkClaim(**row._mapping)


def _build_done(result: ChunkResult, counts: dict[str, int]) -> dict[str, Any]:
    return {
        "state": "done",
        "stop": result.stop,
        "seconds": result.seconds,
        "finished_at": NOW,
        "lease_until": None,
        **counts,
    }


def _is_done(connection: Connection, number: int, claim: ChunkClaim) -> bool:
    query = select(sweep_chunks.c.idx).where(
        *match_chunk(number, claim.idx),
        sweep_chunks.c.state == "done",
        sweep_chunks.c.attempt == claim.attempt,
    )
    return connection.scalar(query) is not None


def _insert_plan(connection: Connection, sweep: Any, idx: int, first: int, plan: ChunkPlan) -> None:
    starts = (first, *plan.stops)
    rows = [
        {
            "sweep_number": sweep.id,
            "idx": idx + 1 + number,
            "state": "queued",
            "first": starts[number],
            "stop": stop,
            "attempt": 0,
            "n_lost": 0,
            "n_excluded": 0,
            "n_failed": 0,
            "seconds": 0.0,
            "worker": "",
        }
        for number, stop in enumerate(plan.stops)
    ]
    for start in range(0, len(rows), _PLAN_ROWS):
        connection.execute(insert(sweep_chunks), rows[start : start + _PLAN_ROWS])
    values: dict[str, Any] = {"stage": "computing", "version": sweeps.c.version + 1}
    if plan.rate is not None:
        values["rate"] = plan.rate
    if plan.warnings is not None:
        values["warnings"] = list(plan.warnings)
    connection.execute(update(sweeps).where(sweeps.c.id == sweep.id).values(**values))


def _mark_sent(connection: Connection, number: int, limit: int) -> tuple[int, ...]:
    chunk = sweep_chunks.c
    waiting = chunk.state == "queued", chunk.sent_at.is_(None)
    # Two finishers at once take different rows; on SQLite one follows the other.
    query = (
        select(chunk.idx)
        .where(chunk.sweep_number == number, *waiting)
        .order_by(chunk.idx)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    chosen = tuple(connection.scalars(query))
    connection.execute(
        update(sweep_chunks)
        .where(chunk.sweep_number == number, chunk.idx.in_(chosen), *waiting)
        .values(sent_at=NOW)
    )
    return chosen
