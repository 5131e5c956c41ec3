"""Storing new runs: each once, however often it is sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select

from storage.errors import IdempotencyConflict, UnknownDataset
from storage.models import dataset_contents, idempotency_keys, run_tags, runs
from storage.records import NewRun, RunRecord
from storage.run_rows import find_all_by_id, find_by_id
from storage.sql_types import database_time

# Built once: every submission asks, and building a query costs more than running it. The lock is
# shared: many runs are submitted on one dataset at once, and only its deletion must wait.
_LOCK_CONTENT = (
    select(dataset_contents.c.sha256)
    .where(dataset_contents.c.sha256 == bindparam("wanted"))
    .with_for_update(read=True)
)
_INSERT = insert(runs).values(submitted_at=database_time(), queued_at=database_time())
_KEY = select(idempotency_keys).where(idempotency_keys.c.key == bindparam("wanted"))
_INSERT_KEY = insert(idempotency_keys).values(created_at=database_time())
_FRESH = {
    "state": "queued",
    "attempt": 0,
    "version": 1,
    "progress": 0.0,
    "stage": "",
    "worker": "",
    "has_charts": False,
}


def insert_runs(
    connection: Connection, group: Sequence[NewRun], *, are_fresh: bool
) -> list[RunRecord | Exception]:
    """Store runs as queued and return their records, in their order.

    A run that is stored already, or whose idempotency key stands for one that is, is answered with
    the stored one. `IdempotencyConflict` and `UnknownDataset` take the places of runs that cannot
    be stored.

    Parameters
    ----------
    are_fresh : bool
        No run of these ids is looked for: after a collision, pass False.
    """
    answers: dict[str, RunRecord | Exception] = {}
    plain: list[NewRun] = []
    for new in group:
        try:
            known = _find_earlier(connection, new, is_fresh=are_fresh)
            if known is not None:
                answers[new.run_id] = known
                continue
            _lock_content(connection, new.spec["dataset"]["sha256"])
        except (IdempotencyConflict, UnknownDataset) as error:
            answers[new.run_id] = error
            continue
        if new.tags or new.idempotency_key is not None:
            _insert_with_more(connection, new)
        else:
            plain.append(new)
    if plain:
        connection.execute(_INSERT, [_build_row(new) for new in plain])
    missing = [new.run_id for new in group if new.run_id not in answers]
    answers.update((record.run_id, record) for record in find_all_by_id(connection, missing))
    return [answers[new.run_id] for new in group]


def find_by_key(connection: Connection, key: str, request_hash: str | None) -> RunRecord | None:
    """Return the run that an idempotency key stands for, or None.

    Raises
    ------
    IdempotencyConflict
        If `request_hash` is given and the key was used for another request.
    """
    row = connection.execute(_KEY, {"wanted": key}).one_or_none()
    if row is None:
        return None
    if request_hash is not None and row.request_hash != request_hash:
        raise IdempotencyConflict(
            "this Idempotency-Key was used for another request; choose a new key"
        )
    return find_by_id(connection, row.run_id)


def insert_key(connection: Connection, key: str, request_hash: str, run_id: str) -> None:
    """Let a key stand for a run."""
    connection.execute(_INSERT_KEY, {"key": key, "request_hash": request_hash, "run_id": run_id})


def insert_tags(connection: Connection, number: int, tags: Sequence[str]) -> None:
    """Attach tags to the run of a number."""
    if tags:
        rows = [{"tag": tag, "run_number": number} for tag in tags]
        connection.execute(insert(run_tags), rows)


def _find_earlier(connection: Connection, new: NewRun, *, is_fresh: bool) -> RunRecord | None:
    if new.idempotency_key is not None:
        known = find_by_key(connection, new.idempotency_key, new.request_hash)
        if known is not None:
            return known
    return None if is_fresh else find_by_id(connection, new.run_id)


def _lock_content(connection: Connection, sha256: str) -> None:
    if connection.scalar(_LOCK_CONTENT, {"wanted": sha256}) is None:
        raise UnknownDataset(f"no dataset with the content {sha256[:12]}... is stored")


def _insert_with_more(connection: Connection, new: NewRun) -> None:
    inserted = connection.execute(_INSERT, _build_row(new))
    insert_tags(connection, inserted.lastrowid, new.tags)
    if new.idempotency_key is not None:
        insert_key(connection, new.idempotency_key, new.request_hash, new.run_id)


def _build_row(new: NewRun) -> dict[str, Any]:
    return {
        **_FRESH,
        "run_id": new.run_id,
        "symbol": new.symbol,
        "rule": new.rule,
        "dataset_sha256": new.spec["dataset"]["sha256"],
        "fingerprint": new.fingerprint,
        "tags": list(new.tags),
        "note": new.note,
        "spec": new.spec,
    }
