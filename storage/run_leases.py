"""Who computes a run: claims, leases, and the token that keeps a late worker from writing.

Everything is a compare-and-set on state and attempt in one UPDATE. The database's clock alone
judges leases; a worker's clock may be wrong by any amount.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    and_,
    bindparam,
    case,
    func,
    or_,
    select,
    update,
)

from storage.exhaustion import describe_exhaustion
from storage.grouping import Grouping
from storage.models import MAX_EXIT_LENGTH, runs
from storage.records import Claim, ExpiredLeases, Heartbeat, LostRun
from storage.repository import Repository
from storage.run_rows import build_ending, match_holder
from storage.sql_types import database_time

_NOW = database_time()


def _has_ended(when: Any) -> ColumnElement[bool]:
    return and_(runs.c.state == "running", runs.c.lease_until < when)


_LEASE_ENDED = _has_ended(_NOW)
_CLAIMABLE = or_(runs.c.state == "queued", _LEASE_ENDED)
# Taking over from a worker that fell silent counts it as lost.
_N_LOST = runs.c.n_lost + case((runs.c.state == "running", 1), else_=0)


# Built once: every submission needs it.
_MARK_SENT = (
    update(runs).where(runs.c.run_id.in_(bindparam("wanted", expanding=True))).values(sent_at=_NOW)
)


class RunLeases(Repository):
    """Claiming and keeping runs; see `Repository`."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._sent = Grouping["str", None](self._mark_all_sent)

    def claim(
        self, run_id: str, worker: str, lease_seconds: float, max_attempts: int
    ) -> Claim | None:
        """Take a run; see `claim_or_end`, of which this is the first part."""
        return self.claim_or_end(run_id, worker, lease_seconds, max_attempts)[0]

    def claim_or_end(
        self, run_id: str, worker: str, lease_seconds: float, max_attempts: int
    ) -> tuple[Claim | None, bool]:
        """Take a run that is queued, or whose worker let its lease end.

        Returns
        -------
        Claim or None
            None if somebody else has it, it is finished, cancelled or deleted, or `max_attempts`
            workers were lost on it already, in which case it is failed here and now.
        bool
            Whether it was failed here and now.
        """

        def work(connection: Connection) -> tuple[Claim | None, bool]:
            # The order matters: MySQL computes each assignment from the ones before it.
            claimed = connection.execute(
                update(runs)
                .where(runs.c.run_id == run_id, _CLAIMABLE, max_attempts > _N_LOST)
                .ordered_values(
                    (runs.c.n_lost, _N_LOST),
                    (runs.c.state, "running"),
                    (runs.c.attempt, runs.c.attempt + 1),
                    (runs.c.version, runs.c.version + 1),
                    (runs.c.worker, worker[:128]),
                    (runs.c.progress, 0.0),
                    (runs.c.stage, ""),
                    (runs.c.started_at, func.coalesce(runs.c.started_at, _NOW)),
                    (runs.c.lease_until, database_time(lease_seconds)),
                )
            )
            if claimed.rowcount == 0:
                mine = runs.c.run_id == run_id
                return None, _fail_exhausted(connection, max_attempts, mine, _CLAIMABLE)
            row = connection.execute(
                select(runs.c.attempt, runs.c.spec).where(runs.c.run_id == run_id)
            ).one()
            return Claim(run_id, row.attempt, row.spec), False

        return self._write(work)

    def heartbeat(
        self, run_id: str, attempt: int, lease_seconds: float, stage: str, progress: float
    ) -> Heartbeat:
        """Extend the lease and report where the work stands.

        Parameters
        ----------
        progress : float
            Share of the work that is done, 0 to 1.

        Returns
        -------
        {"ok", "cancelled", "lost"}
            Anything but ok: stop computing. Lost means that the run was deleted, finished or
            given to another worker.
        """
        seen = stage[:64]
        unchanged = and_(runs.c.stage == seen, runs.c.progress == progress)

        def work(connection: Connection) -> Heartbeat:
            # The order matters: MySQL computes each assignment from the ones before it.
            kept = connection.execute(
                update(runs)
                .where(*match_holder(run_id, attempt))
                .ordered_values(
                    (runs.c.version, runs.c.version + case((unchanged, 0), else_=1)),
                    (runs.c.stage, seen),
                    (runs.c.progress, progress),
                    (runs.c.lease_until, database_time(lease_seconds)),
                )
            )
            if kept.rowcount == 1:
                return "ok"
            state = connection.scalar(select(runs.c.state).where(runs.c.run_id == run_id))
            return "cancelled" if state == "cancelled" else "lost"

        return self._write_again(work)

    def fail(self, run_id: str, attempt: int, error: dict[str, Any]) -> bool:
        """End a run with an error a person can act on; False if the token is stale."""
        statement = (
            update(runs)
            .where(*match_holder(run_id, attempt))
            .values(**build_ending("failed"), error=error)
        )
        mine = runs.c.run_id == run_id, runs.c.attempt == attempt, runs.c.state == "failed"

        def work(connection: Connection) -> bool:
            if connection.execute(statement).rowcount == 1:
                return True
            # A COMMIT whose answer was lost; what others failed this token had lost before.
            return (
                connection.scalar(select(runs.c.id).where(*mine, runs.c.error == error)) is not None
            )

        return self._write_again(work)

    def give_back(self, run_id: str, attempt: int) -> bool:
        """Queue a run again, at no cost, that this token leaves undone; False if it is stale.

        It needs a message.
        """
        mine = match_holder(run_id, attempt)
        # Nobody's from here on: a report of its worker's end is none about this run.
        changes = {"n_lost": runs.c.n_lost, "worker": ""}
        return self._write(lambda connection: _requeue(connection, *mine, **changes))

    def report_lost(self, run_id: str, worker: str, how: str, max_attempts: int) -> LostRun:
        """Note that a process ended while it held a run; what was its run is free at once.

        Parameters
        ----------
        worker : str
            As given to `claim`.
        how : str
            The exit as a person may read it: ``signal 11 (SIGSEGV)``.

        Returns
        -------
        {"queued", "failed", None}
            What became of the run: it needs a message if queued. None if it was not this worker's
            any more; if it is still to be done, the exit is noted all the same.
        """
        mine = runs.c.run_id == run_id, runs.c.worker == worker[:128]
        held = runs.c.state == "running"

        def work(connection: Connection) -> LostRun:
            noted = connection.execute(
                update(runs)
                .where(*mine, runs.c.state.in_(("queued", "running")))
                .values(last_exit=how[:MAX_EXIT_LENGTH])
            )
            if noted.rowcount == 0:
                return None
            if _fail_exhausted(connection, max_attempts, *mine, held):
                return "failed"
            return "queued" if _requeue(connection, *mine, held) else None

        return self._write(work)

    def cancel(self, run_id: str) -> bool:
        """End a run that is queued or running; False if it has ended already or never was.

        Its worker learns of it from the next heartbeat, and cannot finish it any more.
        """
        statement = (
            update(runs)
            .where(runs.c.run_id == run_id, runs.c.state.in_(("queued", "running")))
            .values(**build_ending("cancelled"))
        )
        return self._write(lambda connection: connection.execute(statement).rowcount == 1)

    def mark_sent(self, run_id: str) -> None:
        """Note that a message for this run was handed to the broker, now."""
        self._sent.do(run_id)

    def _mark_all_sent(self, group: Sequence[str]) -> Sequence[None]:
        self._write_again(lambda connection: connection.execute(_MARK_SENT, {"wanted": group}))
        return [None] * len(group)

    def list_unsent(self, older_than_seconds: float, limit: int) -> tuple[str, ...]:
        """Return ids of queued runs that no message was sent for, oldest first.

        Those queued less than `older_than_seconds` ago are left to whoever is sending them.
        """
        query = (
            select(runs.c.run_id)
            .where(runs.c.state == "queued", runs.c.sent_at.is_(None))
            .where(runs.c.queued_at <= database_time(-older_than_seconds))
            .order_by(runs.c.id)
            .limit(limit)
        )
        return self._read(lambda connection: tuple(connection.scalars(query)))

    def list_undelivered(self, sent_before_seconds: float, limit: int) -> tuple[str, ...]:
        """Return ids of runs still queued this long after their latest message, oldest first.

        The broker may have lost it; a second message does no harm, as only one claim can win.
        `mark_sent` starts the time anew.
        """
        query = (
            select(runs.c.run_id)
            .where(runs.c.state == "queued")
            .where(runs.c.sent_at <= database_time(-sent_before_seconds))
            .order_by(runs.c.sent_at)
            .limit(limit)
        )
        return self._read(lambda connection: tuple(connection.scalars(query)))

    def count_undelivered(self, sent_before_seconds: float) -> int:
        """Return how many runs `list_undelivered` would list without a limit."""
        query = (
            select(func.count())
            .where(runs.c.state == "queued")
            .where(runs.c.sent_at <= database_time(-sent_before_seconds))
        )
        return self._read(lambda connection: connection.scalar(query)) or 0

    def list_chartless(
        self, ended_before_seconds: float, ended_within_seconds: float, limit: int
    ) -> tuple[str, ...]:
        """Return ids of runs whose result has been there for a while, and no charts follow.

        Those that ended longer ago than `ended_within_seconds` are given up: something about their
        charts ends every process that draws them. A message is noted by `mark_sent`, and each run
        is listed again only once that is as old as `ended_before_seconds`.
        """
        overdue = database_time(-ended_before_seconds)
        query = (
            select(runs.c.run_id)
            .where(runs.c.finished_at <= overdue)
            .where(runs.c.finished_at > database_time(-ended_within_seconds))
            .where(runs.c.state == "succeeded", runs.c.has_charts.is_(False))
            .where(or_(runs.c.sent_at.is_(None), runs.c.sent_at <= overdue))
            .order_by(runs.c.finished_at)
            .limit(limit)
        )
        return self._read(lambda connection: tuple(connection.scalars(query)))

    def expire_leases(self, max_attempts: int, judged_at: datetime | None = None) -> ExpiredLeases:
        """Queue again what silent workers held; fail what lost its worker `max_attempts` times.

        Parameters
        ----------
        judged_at : datetime, optional
            Leases that ended before it are over: a time of the database's clock, by default now.

        Returns
        -------
        ExpiredLeases
            Of the ids requeued, each needs a message.
        """
        ended = _LEASE_ENDED if judged_at is None else _has_ended(judged_at)

        def work(connection: Connection) -> ExpiredLeases:
            candidates = connection.execute(select(runs.c.id, runs.c.run_id).where(ended))
            requeued, failed = [], []
            for row in candidates.all():
                mine = runs.c.id == row.id
                if _fail_exhausted(connection, max_attempts, mine, ended):
                    failed.append(row.run_id)
                elif _requeue(connection, mine, ended):
                    requeued.append(row.run_id)
            return ExpiredLeases(tuple(requeued), tuple(failed))

        return self._write(work)


def _fail_exhausted(
    connection: Connection, max_attempts: int, *conditions: ColumnElement[bool]
) -> bool:
    """Fail what has used up its attempts, whoever holds it now counted as lost."""
    mine = *conditions, max_attempts - 1 < _N_LOST
    row = connection.execute(select(runs.c.id, runs.c.last_exit).where(*mine)).one_or_none()
    if row is None:
        return False
    error = describe_exhaustion("this run", max_attempts, row.last_exit)
    error["remedy"] = "choose a shorter date range, or look into the workers' log for this run_id"
    failed = connection.execute(
        update(runs)
        .where(runs.c.id == row.id, *mine)
        .ordered_values(
            (runs.c.n_lost, _N_LOST),
            *((runs.c[name], value) for name, value in build_ending("failed").items()),
            (runs.c.error, error),
        )
    )
    return failed.rowcount > 0


def _requeue(
    connection: Connection,
    *conditions: ColumnElement[bool],
    n_lost: Any = _N_LOST,
    worker: Any = runs.c.worker,
) -> bool:
    requeued = connection.execute(
        update(runs)
        .where(*conditions)
        .ordered_values(
            (runs.c.n_lost, n_lost),
            (runs.c.worker, worker),
            (runs.c.state, "queued"),
            (runs.c.version, runs.c.version + 1),
            (runs.c.progress, 0.0),
            (runs.c.stage, ""),
            (runs.c.queued_at, _NOW),
            (runs.c.sent_at, None),
            (runs.c.lease_until, None),
        )
    )
    return requeued.rowcount > 0
