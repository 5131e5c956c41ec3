"""Runs: one persisted backtest each, from the request to the result."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import count

from sqlalchemy import Connection, Engine, func, select, update
from sqlalchemy import delete as delete_from

from storage.abandonment import RunAbandonment
from storage.grouping import Grouping
from storage.models import run_tags, runs
from storage.records import TERMINAL_STATES, NewRun, Page, RunFilter, RunRecord
from storage.repository import delete_unused_content
from storage.run_inserts import find_by_key, insert_key, insert_runs, insert_tags
from storage.run_leases import RunLeases
from storage.run_list import STATES, list_runs
from storage.run_results import RunResults
from storage.run_rows import find_by_id, find_finished, find_record
from storage.run_tags import check_key, clean_tags
from storage.sql_types import database_time


class RunRepository(RunLeases, RunResults, RunAbandonment):
    """Operations on runs; see `Repository`."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        # What every submission asks for: a burst of them shares its transactions.
        self._inserts = Grouping[NewRun, RunRecord](self._insert_all)
        self._finished = Grouping["str", "RunRecord | None"](self._find_all_finished)

    def insert(self, new: NewRun) -> RunRecord:
        """Store a run as queued, once.

        Returns
        -------
        RunRecord
            The run of this `run_id`; or, if its idempotency key was used before for the same
            request, the run that was stored then (with another `run_id`).

        Raises
        ------
        IdempotencyConflict
            If the key was used before for another request.
        UnknownDataset
            If the bars that the spec names are not stored.
        InputError
            If a tag or the key is too long.
        """
        check_key(new.idempotency_key)
        return self._inserts.do(replace(new, tags=tuple(clean_tags(new.tags))))

    def _insert_all(self, group: Sequence[NewRun]) -> Sequence[RunRecord | Exception]:
        tries = count()
        return self._write_unique(
            # A fresh id is hardly there already: only who collided with it looks for it.
            lambda connection: insert_runs(connection, group, are_fresh=next(tries) == 0)
        )

    def get(self, run_id: str) -> RunRecord | None:
        """Return one run, or None."""
        return self._read(lambda connection: find_by_id(connection, run_id))

    def find_finished(self, fingerprint: str) -> RunRecord | None:
        """Return the newest succeeded run of a fingerprint, or None."""
        return self._finished.do(fingerprint)

    def _find_all_finished(self, group: Sequence[str]) -> Sequence[RunRecord | None]:
        return self._read(
            lambda connection: [find_finished(connection, fingerprint) for fingerprint in group]
        )

    def find_by_idempotency_key(
        self, key: str, request_hash: str | None = None
    ) -> RunRecord | None:
        """Return the run that a key stands for, or None.

        Raises
        ------
        IdempotencyConflict
            If `request_hash` is given and the key was used for another request.
        """
        check_key(key)
        return self._read(lambda connection: find_by_key(connection, key, request_hash))

    def save_idempotency_key(self, key: str, request_hash: str, run_id: str) -> RunRecord:
        """Let a key stand for a run that exists: the answer to a request that was done before.

        Raises
        ------
        IdempotencyConflict
            If the key was used before for another request.
        """
        check_key(key)

        def work(connection: Connection) -> RunRecord | None:
            known = find_by_key(connection, key, request_hash)
            if known is None:
                known = find_by_id(connection, run_id)
                if known is not None:
                    insert_key(connection, key, request_hash, run_id)
            return known

        record = self._write_unique(work)
        if record is None:
            raise KeyError(run_id)
        return record

    def list(self, wanted: RunFilter | None = None) -> Page:
        """Return one page of runs; see `RunFilter`.

        Raises
        ------
        InputError
            Naming every field of the filter that cannot be used.
        """
        chosen = wanted or RunFilter()
        return self._read(lambda connection: list_runs(connection, chosen))

    def patch(
        self, run_id: str, tags: Iterable[str] | None = None, note: str | None = None
    ) -> RunRecord | None:
        """Replace tags or note (None leaves them); None if there is no such run.

        Raises
        ------
        InputError
            If a tag is empty or too long.
        """
        cleaned = None if tags is None else clean_tags(tags)

        def work(connection: Connection) -> RunRecord | None:
            mine = runs.c.run_id == run_id
            number = connection.scalar(select(runs.c.id).where(mine).with_for_update())
            if number is None:
                return None
            values: dict[str, object] = {"version": runs.c.version + 1}
            if cleaned is not None:
                values["tags"] = cleaned
                connection.execute(delete_from(run_tags).where(run_tags.c.run_number == number))
                insert_tags(connection, number, cleaned)
            if note is not None:
                values["note"] = note
            connection.execute(update(runs).where(mine).values(**values))
            return find_record(connection, mine)

        return self._write(work)

    def delete(self, run_id: str) -> bool:
        """Delete a run in whatever state, with its result; False if there is none.

        Its worker, if any, learns of it from the next heartbeat. Bars that nobody else refers to
        go with it.
        """

        def work(connection: Connection) -> bool:
            mine = runs.c.run_id == run_id
            sha256 = connection.scalar(select(runs.c.dataset_sha256).where(mine))
            if connection.execute(delete_from(runs).where(mine)).rowcount == 0:
                return False
            if sha256 is not None:
                delete_unused_content(connection, sha256)
            return True

        return self._write(work)

    def list_finished_before(self, days: float, limit: int) -> tuple[str, ...]:
        """Return ids of runs that ended more than `days` ago, oldest first, for the retention."""
        seconds = days * 86_400  # [days] * [s / day] = [s]
        query = (
            select(runs.c.run_id)
            .where(runs.c.finished_at < database_time(-seconds))
            .where(runs.c.state.in_(TERMINAL_STATES))
            .order_by(runs.c.finished_at)
            .limit(limit)
        )
        return self._read(lambda connection: tuple(connection.scalars(query)))

    def queue_position(self, run_id: str) -> int | None:
        """Return 1 for the run that is next, or None if this one is not queued."""
        own = select(runs.c.id).where(runs.c.run_id == run_id, runs.c.state == "queued")

        def work(connection: Connection) -> int | None:
            number = connection.scalar(own)
            if number is None:
                return None
            ahead = select(func.count()).where(runs.c.state == "queued", runs.c.id < number)
            return 1 + (connection.scalar(ahead) or 0)

        return self._read(work)

    def counts(self) -> dict[str, int]:
        """Return the number of runs in each state, zeros included."""
        query = select(runs.c.state, func.count()).group_by(runs.c.state)

        def work(connection: Connection) -> dict[str, int]:
            found = {row[0]: row[1] for row in connection.execute(query)}
            return {state: found.get(state, 0) for state in STATES}

        return self._read(work)
