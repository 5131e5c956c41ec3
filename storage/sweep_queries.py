"""Questions about a sweep's numbers: asked once, answered by a worker, kept with the sweep."""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, func, insert, or_, select, update
from sqlalchemy import delete as delete_from

from storage.blobs import BLOCK_BYTES, pack_json, unpack_json
from storage.errors import TooManyQuestions
from storage.exhaustion import describe_exhaustion
from storage.models import MAX_EXIT_LENGTH
from storage.repository import Repository
from storage.sql_types import database_time
from storage.sweep_records import QueryRecord
from storage.sweep_rows import NOW, lock_sweep
from storage.sweep_tables import sweep_answers, sweep_chunks, sweep_queries, sweeps

# An answer about a sweep that still runs is good for this long; without it every poll of a page
# would ask anew.
_FRESH_SECONDS = 5.0
# Answers kept per sweep; the oldest go first.
_MAX_KEPT = 100

_ANSWER = "answer"
# A lease that ends now is over only a tick of the database's clock later.
_OVER = database_time(-1.0)
_OPEN_STATES = ("queued", "running")
_CLAIMABLE = or_(
    sweep_queries.c.state == "queued",
    and_(sweep_queries.c.state == "running", sweep_queries.c.lease_until < NOW),
)
# Taking over from a worker that fell silent counts it as lost.
_N_LOST = sweep_queries.c.n_lost + case((sweep_queries.c.state == "running", 1), else_=0)
_COLUMNS = (
    *(
        sweep_queries.c[name]
        for name in ("id", "query_id", "kind", "args", "state", "attempt", "n_chunks_done", "error")
    ),
    sweeps.c.sweep_id,
)


class SweepQueries(Repository):
    """Asking and answering; see `Repository`."""

    def ask(
        self, sweep_id: str, kind: str, args: dict[str, Any], max_waiting: int | None = None
    ) -> QueryRecord | None:
        """Store a question, or find it stored; None if there is no such sweep.

        The same question is the same row: while the sweep's chunks do not change, while it waits
        for its answer, and for a few seconds after.

        Parameters
        ----------
        max_waiting : int, optional
            Questions about all sweeps that may wait for their answers. Those who ask at the same
            instant do not see each other: a few more may.

        Raises
        ------
        TooManyQuestions
            If so many wait and this is none of them; nothing was stored.
        """
        args_hash = hash_question(kind, args)

        def work(connection: Connection) -> QueryRecord | None:
            sweep = lock_sweep(connection, sweep_id, shared=True)
            if sweep is None:
                return None
            done = sweep_chunks.c.sweep_number == sweep.id, sweep_chunks.c.state == "done"
            n_done = connection.scalar(select(func.count()).where(*done)) or 0
            known = _find_known(connection, sweep.id, args_hash, n_done)
            if known is not None:
                return known
            if max_waiting is not None and _count_waiting(connection) >= max_waiting:
                raise TooManyQuestions(f"{max_waiting} questions wait for their answers")
            query_id = str(uuid.uuid4())
            connection.execute(
                insert(sweep_queries).values(
                    query_id=query_id,
                    sweep_number=sweep.id,
                    args_hash=args_hash,
                    n_chunks_done=n_done,
                    kind=kind,
                    state="queued",
                    attempt=0,
                    created_at=NOW,
                    args=args,
                )
            )
            _drop_old(connection, sweep.id)
            return _load(connection, sweep_queries.c.query_id == query_id)

        return self._write_unique(work)

    def get_query(self, query_id: str) -> QueryRecord | None:
        """Return a question with its answer, if it is there; None if there is no such question."""
        return self._read(
            lambda connection: _load(connection, sweep_queries.c.query_id == query_id)
        )

    def take_query_message(self, query_id: str, again_after_seconds: float) -> bool:
        """Return whether a message for this question is due now, and mark it as sent."""
        statement = (
            update(sweep_queries)
            .where(sweep_queries.c.query_id == query_id, _CLAIMABLE)
            .where(_is_due(again_after_seconds))
            .values(sent_at=NOW)
        )
        return self._write(lambda connection: connection.execute(statement).rowcount == 1)

    def list_due_queries(self, again_after_seconds: float, limit: int) -> tuple[str, ...]:
        """Return ids of questions that wait without a recent message, oldest first."""
        query = (
            select(sweep_queries.c.query_id)
            .where(_CLAIMABLE, _is_due(again_after_seconds))
            .order_by(sweep_queries.c.id)
            .limit(limit)
        )
        return self._read(lambda connection: tuple(connection.scalars(query)))

    def claim_query(
        self, query_id: str, lease_seconds: float, max_attempts: int, worker: str = ""
    ) -> QueryRecord | None:
        """Take a question; None if somebody else has it, or it is answered, failed or gone.

        Parameters
        ----------
        max_attempts : int
            How many workers may be lost on it before it fails.
        worker : str
            By which `report_lost_query` knows it; empty where nobody reports.
        """
        mine = sweep_queries.c.query_id == query_id

        def work(connection: Connection) -> QueryRecord | None:
            # The order matters: MySQL computes each assignment from the ones before it.
            claimed = connection.execute(
                update(sweep_queries)
                .where(mine, _CLAIMABLE, max_attempts > _N_LOST)
                .ordered_values(
                    (sweep_queries.c.n_lost, _N_LOST),
                    (sweep_queries.c.state, "running"),
                    (sweep_queries.c.attempt, sweep_queries.c.attempt + 1),
                    (sweep_queries.c.worker, worker[:128]),
                    (sweep_queries.c.lease_until, database_time(lease_seconds)),
                )
            )
            if claimed.rowcount == 1:
                return _load(connection, mine)
            last_exit = connection.scalar(select(sweep_queries.c.last_exit).where(mine))
            error = describe_exhaustion("this question", max_attempts, last_exit)
            connection.execute(
                update(sweep_queries)
                .where(mine, _CLAIMABLE)
                .values(state="failed", error=error, finished_at=NOW)
            )
            return None

        return self._write(work)

    def heartbeat_query(self, query_id: str, attempt: int, lease_seconds: float) -> bool:
        """Extend the lease; False: stop."""
        statement = (
            update(sweep_queries)
            .where(*_match_holder(query_id, attempt))
            .values(lease_until=database_time(lease_seconds))
        )
        return self._write(lambda connection: connection.execute(statement).rowcount == 1)

    def return_query(self, query_id: str, attempt: int) -> bool:
        """Hand back, at no cost, a question that this token leaves open; False if it is stale.

        It needs a message.
        """
        statement = (
            update(sweep_queries)
            .where(*_match_holder(query_id, attempt))
            .values(state="queued", worker="", lease_until=None, sent_at=None)
        )
        return self._write(lambda connection: connection.execute(statement).rowcount == 1)

    def report_lost_query(self, query_id: str, worker: str, how: str) -> None:
        """Note that the process ended that worked on a question, and end its lease."""
        statement = (
            update(sweep_queries)
            .where(sweep_queries.c.query_id == query_id, sweep_queries.c.state == "running")
            .where(sweep_queries.c.worker == worker[:128])
            .values(last_exit=how[:MAX_EXIT_LENGTH], lease_until=_OVER, sent_at=None)
        )
        self._write(lambda connection: connection.execute(statement))

    def answer_query(self, query_id: str, attempt: int, result: Any) -> bool:
        """Store the answer; False if the token is stale."""
        data = pack_json(result)

        def work(connection: Connection) -> bool:
            mine = _match_holder(query_id, attempt)
            row = connection.execute(
                select(sweep_queries.c.id).where(*mine).with_for_update()
            ).one_or_none()
            if row is None:
                return False
            values = {"state": "done", "finished_at": NOW, "lease_until": None}
            connection.execute(
                update(sweep_queries).where(sweep_queries.c.id == row.id).values(**values)
            )
            for seq, start in enumerate(range(0, len(data), BLOCK_BYTES)):
                block = data[start : start + BLOCK_BYTES]
                answer = {"query_number": row.id, "kind": _ANSWER, "seq": seq, "data": block}
                connection.execute(insert(sweep_answers), answer)
            return True

        return self._write(work)

    def fail_query(self, query_id: str, attempt: int, error: dict[str, Any]) -> bool:
        """Say why there is no answer; False if the token is stale."""
        statement = (
            update(sweep_queries)
            .where(*_match_holder(query_id, attempt))
            .values(state="failed", error=error, finished_at=NOW, lease_until=None)
        )
        return self._write(lambda connection: connection.execute(statement).rowcount == 1)


def hash_question(kind: str, args: dict[str, Any]) -> str:
    """Return the SHA-256 by which two questions are the same."""
    canonical = json.dumps([kind, args], sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _match_holder(query_id: str, attempt: int) -> tuple[ColumnElement[bool], ...]:
    return (
        sweep_queries.c.query_id == query_id,
        sweep_queries.c.state == "running",
        sweep_queries.c.attempt == attempt,
    )


def _is_due(again_after_seconds: float) -> ColumnElement[bool]:
    return or_(
        sweep_queries.c.sent_at.is_(None),
        sweep_queries.c.sent_at <= database_time(-again_after_seconds),
    )


def _find_known(
    connection: Connection, number: int, args_hash: str, n_done: int
) -> QueryRecord | None:
    query = sweep_queries.c
    same = query.sweep_number == number, query.args_hash == args_hash
    useful = or_(
        query.n_chunks_done == n_done,
        query.state.in_(_OPEN_STATES),
        query.finished_at > database_time(-_FRESH_SECONDS),
    )
    # What failed because its workers died is asked again, under its old row.
    failed = and_(query.state == "failed", query.n_chunks_done == n_done)
    connection.execute(
        delete_from(sweep_queries).where(
            *same, failed, query.finished_at <= database_time(-_FRESH_SECONDS)
        )
    )
    return _load(connection, *same, useful)


def _load(connection: Connection, *conditions: ColumnElement[bool]) -> QueryRecord | None:
    row = connection.execute(
        select(*_COLUMNS)
        .join(sweeps, sweeps.c.id == sweep_queries.c.sweep_number)
        .where(sweeps.c.deleted_at.is_(None), *conditions)
        .order_by(sweep_queries.c.id.desc())
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    values = dict(row._mapping)
    number = values.pop("id")
    result = None
    if row.state == "done":
        answer = sweep_answers.c
        parts = connection.scalars(
            select(answer.data).where(answer.query_number == number).order_by(answer.seq)
        ).all()
        result = unpack_json(b"".join(parts))
    return QueryRecord(**values, result=result)


def _count_waiting(connection: Connection) -> int:
    query = select(func.count()).where(sweep_queries.c.state.in_(_OPEN_STATES))
    return connection.scalar(query) or 0


def _drop_old(connection: Connection, number: int) -> None:
    mine = sweep_queries.c.sweep_number == number
    newest = select(sweep_queries.c.id).where(mine).order_by(sweep_queries.c.id.desc())
    oldest_kept = connection.scalar(newest.offset(_MAX_KEPT - 1).limit(1))
    if oldest_kept is not None:
        connection.execute(delete_from(sweep_queries).where(mine, sweep_queries.c.id < oldest_kept))
