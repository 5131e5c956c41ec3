"""How far a sweep has come: counted over the rows of its chunks, a few hundred as a rule."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, func, select

from storage.repository import Repository
from storage.sql_types import database_time
from storage.sweep_blocks import SMALLER_IS_BETTER
from storage.sweep_records import BestRow, SweepProgress, SweepPulse
from storage.sweep_rows import NOW
from storage.sweep_tables import SWEEP_METRICS, sweep_best, sweep_chunks, sweeps

# The rate is that of the last seconds, so that it follows workers that come and go.
_RATE_SECONDS = 10.0
_LETTERS = {"queued": "q", "running": "r", "done": "d", "failed": "f", "cancelled": "c"}
_MAX_BEST = 1000


class SweepProgressReader(Repository):
    """Counting chunks; see `Repository`."""

    def load_pulse(self, sweep_id: str) -> SweepPulse | None:
        """Return what changes with every step of a sweep, or None if there is no such sweep."""

        def work(connection: Connection) -> SweepPulse | None:
            sweep = _find(connection, sweep_id)
            if sweep is None:
                return None
            query = (
                select(sweep_chunks.c.state, func.count())
                .where(sweep_chunks.c.sweep_number == sweep.id)
                .group_by(sweep_chunks.c.state)
            )
            counts = {row[0]: row[1] for row in connection.execute(query)}
            return SweepPulse(
                sweep.state,
                sweep.version,
                *(counts.get(state, 0) for state in ("done", "running", "queued", "failed")),
            )

        return self._read(work)

    def progress(self, sweep_id: str) -> SweepProgress | None:
        """Return the counts, the rate and the time left, or None if there is no such sweep."""

        def work(connection: Connection) -> SweepProgress | None:
            sweep = _find(connection, sweep_id)
            return None if sweep is None else _count(connection, sweep)

        return self._read(work)

    def chunks(self, sweep_id: str) -> str:
        """Return one letter per chunk in order: queued, running, done, failed, cancelled."""
        query = (
            select(sweep_chunks.c.state)
            .join(sweeps, sweeps.c.id == sweep_chunks.c.sweep_number)
            .where(sweeps.c.sweep_id == sweep_id, sweeps.c.deleted_at.is_(None))
            .order_by(sweep_chunks.c.idx)
        )
        return self._read(
            lambda connection: "".join(_LETTERS[state] for state in connection.scalars(query))
        )

    def best_so_far(self, sweep_id: str, limit: int = 10) -> tuple[BestRow, ...]:
        """Return the best combinations of the chunks done, by the objective, ties by position."""

        def work(connection: Connection) -> tuple[BestRow, ...]:
            sweep = _find(connection, sweep_id)
            if sweep is None:
                return ()
            value = sweep_best.c[sweep.objective]
            best_first = value.asc() if sweep.objective in SMALLER_IS_BETTER else value.desc()
            query = (
                select(sweep_best)
                .where(sweep_best.c.sweep_number == sweep.id)
                .order_by(best_first, sweep_best.c.position)
                .limit(min(limit, _MAX_BEST))
            )
            return tuple(_build_best(row) for row in connection.execute(query))

        return self._read(work)

    def find_rate(self, rule: str) -> tuple[float, int] | None:
        """Return positions per second of one process, and the bars, of a rule's latest sweep.

        None if none of its sweeps has measured yet.
        """
        query = (
            select(sweeps.c.rate, sweeps.c.n_bars)
            .where(sweeps.c.rule == rule, sweeps.c.rate.is_not(None))
            .order_by(sweeps.c.id.desc())
            .limit(1)
        )
        row = self._read(lambda connection: connection.execute(query).one_or_none())
        return None if row is None else (row.rate, row.n_bars)


def _find(connection: Connection, sweep_id: str) -> Any:
    query = select(
        sweeps.c.id, sweeps.c.state, sweeps.c.version, sweeps.c.n_positions, sweeps.c.objective
    ).where(sweeps.c.sweep_id == sweep_id, sweeps.c.deleted_at.is_(None))
    return connection.execute(query).one_or_none()


def _count(connection: Connection, sweep: Row[Any]) -> SweepProgress:
    chunk = sweep_chunks.c
    size = chunk.stop - chunk.first
    counted = (
        select(
            chunk.state,
            func.count().label("n"),
            func.sum(size).label("positions"),
            func.sum(chunk.n_excluded).label("excluded"),
            func.sum(chunk.n_failed).label("failed"),
        )
        .where(chunk.sweep_number == sweep.id)
        .group_by(chunk.state)
    )
    rows = {row.state: row for row in connection.execute(counted)}
    counts = {state: rows[state].n if state in rows else 0 for state in _LETTERS}
    done = rows.get("done")
    positions, excluded, failed = (
        (int(done.positions), int(done.excluded), int(done.failed)) if done else (0, 0, 0)
    )
    rate = _measure_rate(connection, sweep.id) if sweep.state == "running" else None
    left = sweep.n_positions - positions
    return SweepProgress(
        n_chunks=sum(counts.values()),
        n_done=counts["done"],
        n_failed=counts["failed"],
        n_queued=counts["queued"],
        n_running=counts["running"],
        n_cancelled=counts["cancelled"],
        n_positions=sweep.n_positions,
        n_positions_done=positions,
        n_combinations_done=positions - excluded,
        n_excluded_done=excluded,
        n_failed_done=failed,
        rate=rate,
        eta_seconds=left / rate if rate else None,
    )


def _measure_rate(connection: Connection, number: int) -> float | None:
    """Return positions per second over the chunks that ended in the last seconds."""
    chunk = sweep_chunks.c
    mine = chunk.sweep_number == number
    recent = chunk.finished_at > database_time(-_RATE_SECONDS)
    query = select(func.sum(chunk.stop - chunk.first), func.min(chunk.started_at), NOW).where(
        mine, chunk.state == "done", recent
    )
    positions, since, now = connection.execute(query).one()
    if positions:
        elapsed: float = (now - since).total_seconds()
        return float(positions) / max(elapsed, 0.001)
    # Chunks longer than the window: each process does what the chunks done so far took it.
    average = select(func.sum(chunk.stop - chunk.first), func.sum(chunk.seconds)).where(
        mine, chunk.state == "done"
    )
    positions, seconds = connection.execute(average).one()
    running = connection.scalar(select(func.count()).where(mine, chunk.state == "running")) or 0
    if not (positions and seconds and running):
        return None
    rate: float = float(positions) / seconds * running
    return rate


def _build_best(row: Row[Any]) -> BestRow:
    metrics = {name: getattr(row, name) for name in SWEEP_METRICS}
    numbers = {name: float("nan") if value is None else value for name, value in metrics.items()}
    return BestRow(row.position, row.point, numbers)
