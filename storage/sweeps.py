"""Sweeps: a batch over parameters, from the request to the stored numbers of every combination."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy import delete as delete_from

from storage.abandonment import SweepAbandonment
from storage.errors import IdempotencyConflict, UnknownDataset
from storage.models import MAX_SYMBOL_LENGTH, dataset_contents
from storage.repository import delete_unused_content
from storage.run_tags import check_key, clean_tags
from storage.sql_types import database_time
from storage.sweep_blocks import SweepBlocks
from storage.sweep_chunks import SweepChunks
from storage.sweep_control import SweepControl
from storage.sweep_finals import SweepFinals
from storage.sweep_list import list_sweeps
from storage.sweep_notices import SweepNotices
from storage.sweep_progress import SweepProgressReader
from storage.sweep_queries import SweepQueries
from storage.sweep_records import (
    ENDED_SWEEP_STATES,
    SWEEP_STATES,
    NewSweep,
    SweepFilter,
    SweepPage,
    SweepRecord,
)
from storage.sweep_rows import NOW, find_record, lock_sweep
from storage.sweep_tables import (
    sweep_blocks,
    sweep_chunks,
    sweep_datasets,
    sweep_idempotency_keys,
    sweep_tags,
    sweeps,
)

# Chunks whose numbers go in one transaction: some tens of megabytes.
_DELETE_CHUNKS = 20
# A deletion that takes longer is left to maintenance; the sweep is out of sight from the start.
_DELETE_SECONDS = 1.0


class SweepRepository(
    SweepChunks,
    SweepBlocks,
    SweepControl,
    SweepProgressReader,
    SweepFinals,
    SweepNotices,
    SweepQueries,
    SweepAbandonment,
):
    """Operations on sweeps; see `Repository`."""

    def insert(self, new: NewSweep) -> SweepRecord:
        """Store a sweep as queued, once, with its first chunk.

        Returns
        -------
        SweepRecord
            The sweep of this `sweep_id`; or, if its idempotency key was used before for the same
            request, the sweep that was stored then.

        Raises
        ------
        IdempotencyConflict
            If the key was used before for another request.
        UnknownDataset
            If bars that the spec names are not stored.
        InputError
            If a tag or the key is too long.
        """
        tags = clean_tags(new.tags)
        check_key(new.idempotency_key)

        def work(connection: Connection) -> SweepRecord:
            known = None
            if new.idempotency_key is not None:
                known = _find_by_key(connection, new.idempotency_key, new.request_hash)
            known = known or find_record(connection, sweeps.c.sweep_id == new.sweep_id)
            if known is not None:
                return known
            _insert_sweep(connection, new, tags)
            if new.idempotency_key is not None:
                _insert_key(connection, new.idempotency_key, new.request_hash, new.sweep_id)
            record = find_record(connection, sweeps.c.sweep_id == new.sweep_id)
            assert record is not None  # noqa: S101  # inserted above
            return record

        return self._write_unique(work)

    def get(self, sweep_id: str) -> SweepRecord | None:
        """Return one sweep, or None."""
        return self._read(lambda connection: find_record(connection, sweeps.c.sweep_id == sweep_id))

    def find_finished(self, fingerprint: str) -> SweepRecord | None:
        """Return the newest succeeded sweep of a fingerprint, or None."""
        return self._read(
            lambda connection: find_record(
                connection, sweeps.c.fingerprint == fingerprint, sweeps.c.state == "succeeded"
            )
        )

    def find_by_idempotency_key(
        self, key: str, request_hash: str | None = None
    ) -> SweepRecord | None:
        """Return the sweep that a key stands for, or None.

        Raises
        ------
        IdempotencyConflict
            If `request_hash` is given and the key was used for another request.
        """
        check_key(key)
        return self._read(lambda connection: _find_by_key(connection, key, request_hash))

    def save_idempotency_key(self, key: str, request_hash: str, sweep_id: str) -> SweepRecord:
        """Let a key stand for a sweep that exists: the answer to a request done before.

        Raises
        ------
        IdempotencyConflict
            If the key was used before for another request.
        """
        check_key(key)

        def work(connection: Connection) -> SweepRecord | None:
            known = _find_by_key(connection, key, request_hash)
            if known is None:
                known = find_record(connection, sweeps.c.sweep_id == sweep_id)
                if known is not None:
                    _insert_key(connection, key, request_hash, sweep_id)
            return known

        record = self._write_unique(work)
        if record is None:
            raise KeyError(sweep_id)
        return record

    def list(self, wanted: SweepFilter | None = None) -> SweepPage:
        """Return one page of sweeps; see `SweepFilter`.

        Raises
        ------
        InputError
            Naming every field of the filter that cannot be used.
        """
        chosen = wanted or SweepFilter()
        return self._read(lambda connection: list_sweeps(connection, chosen))

    def patch(
        self, sweep_id: str, tags: Iterable[str] | None = None, note: str | None = None
    ) -> SweepRecord | None:
        """Replace tags or note (None leaves them); None if there is no such sweep.

        Raises
        ------
        InputError
            If a tag is empty or too long.
        """
        cleaned = None if tags is None else clean_tags(tags)

        def work(connection: Connection) -> SweepRecord | None:
            sweep = lock_sweep(connection, sweep_id, shared=False)
            if sweep is None:
                return None
            values: dict[str, object] = {"version": sweeps.c.version + 1}
            if cleaned is not None:
                values["tags"] = cleaned
                mine = sweep_tags.c.sweep_number == sweep.id
                connection.execute(delete_from(sweep_tags).where(mine))
                _insert_tags(connection, sweep.id, cleaned)
            if note is not None:
                values["note"] = note
            connection.execute(update(sweeps).where(sweeps.c.id == sweep.id).values(**values))
            return find_record(connection, sweeps.c.id == sweep.id)

        return self._write(work)

    def delete(self, sweep_id: str) -> bool:
        """Delete a sweep in whatever state, with its numbers; False if there is none.

        It is out of sight at once. Numbers of many chunks go in small steps, the rest of them with
        maintenance, so that no transaction holds the database for long.
        """

        def hide(connection: Connection) -> bool:
            sweep = lock_sweep(connection, sweep_id, shared=False)
            if sweep is None:
                return False
            connection.execute(
                update(sweeps)
                .where(sweeps.c.id == sweep.id)
                .values(
                    deleted_at=NOW,
                    state=sweep.state if sweep.state in ENDED_SWEEP_STATES else "cancelled",
                )
            )
            return True

        if not self._write(hide):
            return False
        self.purge_deleted(_DELETE_SECONDS, sweep_id)
        return True

    def purge_deleted(self, seconds: float, sweep_id: str | None = None) -> int:
        """Remove the rows of deleted sweeps for about this long; return how many are gone whole."""
        deadline = time.monotonic() + seconds
        query = select(sweeps.c.id).where(sweeps.c.deleted_at.is_not(None))
        if sweep_id is not None:
            query = query.where(sweeps.c.sweep_id == sweep_id)
        numbers = self._read(lambda connection: connection.scalars(query).all())
        n_gone = 0
        for number in numbers:
            while not self._write(partial(_purge_step, number=number)):
                if time.monotonic() > deadline:
                    return n_gone
            n_gone += 1
        return n_gone

    def list_finished_before(self, days: float, limit: int) -> tuple[str, ...]:
        """Return ids of sweeps that ended more than `days` ago, oldest first."""
        seconds = days * 86_400  # [days] * [s / day] = [s]
        query = (
            select(sweeps.c.sweep_id)
            .where(sweeps.c.state.in_(tuple(ENDED_SWEEP_STATES)), sweeps.c.deleted_at.is_(None))
            .where(sweeps.c.finished_at < database_time(-seconds))
            .order_by(sweeps.c.finished_at)
            .limit(limit)
        )
        return self._read(lambda connection: tuple(connection.scalars(query)))

    def counts(self) -> dict[str, int]:
        """Return the number of sweeps in each state, zeros included."""
        query = (
            select(sweeps.c.state, func.count())
            .where(sweeps.c.deleted_at.is_(None))
            .group_by(sweeps.c.state)
        )

        def work(connection: Connection) -> dict[str, int]:
            found = {row[0]: row[1] for row in connection.execute(query)}
            return {state: found.get(state, 0) for state in SWEEP_STATES}

        return self._read(work)


def _find_by_key(connection: Connection, key: str, request_hash: str | None) -> SweepRecord | None:
    keys = sweep_idempotency_keys
    row = connection.execute(select(keys).where(keys.c.key == key)).one_or_none()
    if row is None:
        return None
    if request_hash is not None and row.request_hash != request_hash:
        raise IdempotencyConflict(
            "this Idempotency-Key was used for another request; choose a new key"
        )
    record = find_record(connection, sweeps.c.sweep_id == row.sweep_id)
    if record is None:  # deleted, its rows not all gone yet
        connection.execute(delete_from(keys).where(keys.c.key == key))
    return record


def _insert_key(connection: Connection, key: str, request_hash: str, sweep_id: str) -> None:
    connection.execute(
        insert(sweep_idempotency_keys).values(
            key=key, request_hash=request_hash, sweep_id=sweep_id, created_at=NOW
        )
    )


def _insert_sweep(connection: Connection, new: NewSweep, tags: list[str]) -> None:
    content = dataset_contents.c.sha256
    for _, sha256 in sorted(new.datasets, key=lambda item: item[1]):
        # Shared, and in one order: see `storage.runs`.
        there = select(content).where(content == sha256).with_for_update(read=True)
        if connection.scalar(there) is None:
            raise UnknownDataset(f"no dataset with the content {sha256[:12]}... is stored")
    symbols = ", ".join(symbol for symbol, _ in new.datasets)
    inserted = connection.execute(
        insert(sweeps).values(
            sweep_id=new.sweep_id,
            state="queued",
            stage="",
            symbol=symbols[:MAX_SYMBOL_LENGTH],
            rule=new.rule,
            fingerprint=new.fingerprint,
            method=new.method,
            objective=new.objective,
            min_trades=new.min_trades,
            n_points=str(new.n_points),
            n_positions=new.n_positions,
            n_combinations=new.n_combinations,
            n_bars=new.n_bars,
            attempt=0,
            version=1,
            submitted_at=NOW,
            tags=tags,
            note=new.note,
            spec=new.spec,
            warnings=[],
        )
    )
    number = inserted.lastrowid
    datasets = [
        {"sweep_number": number, "seq": seq, "symbol": symbol, "sha256": sha256}
        for seq, (symbol, sha256) in enumerate(new.datasets)
    ]
    connection.execute(insert(sweep_datasets), datasets)
    _insert_tags(connection, number, tags)
    connection.execute(
        insert(sweep_chunks).values(
            sweep_number=number,
            idx=0,
            state="queued",
            first=0,
            stop=new.first_stop,
            attempt=0,
            n_lost=0,
            n_excluded=0,
            n_failed=0,
            seconds=0.0,
            worker="",
        )
    )


def _insert_tags(connection: Connection, number: int, tags: list[str]) -> None:
    if tags:
        connection.execute(
            insert(sweep_tags), [{"tag": tag, "sweep_number": number} for tag in tags]
        )


def _purge_step(connection: Connection, number: int) -> bool:
    """Remove some chunks of a deleted sweep, or at last the sweep; return whether it is gone."""
    chunk, block = sweep_chunks.c, sweep_blocks.c
    mine = chunk.sweep_number == number
    some = select(chunk.idx).where(mine).order_by(chunk.idx).limit(_DELETE_CHUNKS)
    indexes = connection.scalars(some).all()
    if indexes:
        kinds = connection.scalars(
            select(block.kind).where(block.sweep_number == number).distinct()
        ).all()
        connection.execute(
            delete_from(sweep_blocks).where(
                block.sweep_number == number,
                block.kind.in_(kinds),
                block.idx.between(indexes[0], indexes[-1]),
            )
        )
        connection.execute(
            delete_from(sweep_chunks).where(mine, chunk.idx.between(indexes[0], indexes[-1]))
        )
        if len(indexes) == _DELETE_CHUNKS:
            return False
    contents = connection.scalars(
        select(sweep_datasets.c.sha256)
        .where(sweep_datasets.c.sweep_number == number)
        .distinct()
        .order_by(sweep_datasets.c.sha256)
    ).all()
    connection.execute(delete_from(sweeps).where(sweeps.c.id == number))
    for sha256 in contents:
        delete_unused_content(connection, sha256)
    return True
