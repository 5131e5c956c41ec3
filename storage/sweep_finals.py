"""The end of a sweep: one finaliser at a time, its documents and the final state together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, exists, func, insert, or_, select, update
from sqlalchemy import delete as delete_from

from storage.blobs import BLOCK_BYTES, pack_json, unpack_json
from storage.exhaustion import describe_exhaustion
from storage.records import Heartbeat
from storage.repository import Repository
from storage.sql_types import database_time
from storage.sweep_control import collect_chunk_errors
from storage.sweep_records import FinishClaim
from storage.sweep_rows import NOW, lock_sweep
from storage.sweep_tables import sweep_artifacts, sweep_chunks, sweeps

_FINALISING = "finalising"
_OPEN = exists().where(
    sweep_chunks.c.sweep_number == sweeps.c.id, sweep_chunks.c.state.in_(("queued", "running"))
)


class SweepFinals(Repository):
    """Finalising sweeps; see `Repository`."""

    def claim_finish(
        self, sweep_id: str, lease_seconds: float, max_attempts: int, worker: str = ""
    ) -> FinishClaim | None:
        """Take the finalising of a sweep; see `finish_or_end`, of which this is the first part."""
        return self.finish_or_end(sweep_id, lease_seconds, max_attempts, worker)[0]

    def finish_or_end(
        self, sweep_id: str, lease_seconds: float, max_attempts: int, worker: str = ""
    ) -> tuple[FinishClaim | None, bool]:
        """Take the finalising of a running sweep whose chunks have all ended.

        Parameters
        ----------
        worker : str
            By which `report_lost_finaliser` knows it; empty where nobody reports.

        Returns
        -------
        FinishClaim or None
            None if chunks are left, somebody else finalises, or the sweep has ended. It has also
            ended if this call found chunks that failed, or that `max_attempts` finalisers were
            lost: the sweep is failed here and now, and can be retried.
        bool
            Whether it was failed here and now.
        """

        def work(connection: Connection) -> tuple[FinishClaim | None, bool]:
            sweep = lock_sweep(connection, sweep_id, shared=False)
            mine = sweeps.c.sweep_id == sweep_id
            free = or_(sweeps.c.stage != _FINALISING, sweeps.c.lease_until < NOW)
            if sweep is None or sweep.state != "running":
                return None, False
            query = select(
                sweeps.c.attempt, sweeps.c.n_lost, sweeps.c.last_exit, sweeps.c.spec
            ).where(mine, free, ~_OPEN)
            row = connection.execute(query).one_or_none()
            if row is None:
                return None, False
            error = collect_chunk_errors(connection, sweep.id)
            # Taking over from a finaliser that fell silent counts it as lost. One that handed back
            # left the stage.
            n_lost = row.n_lost + (1 if sweep.stage == _FINALISING else 0)
            if error is None and n_lost >= max_attempts:
                error = describe_exhaustion("finishing the sweep", max_attempts, row.last_exit)
                error["remedy"] = (
                    "every combination is stored; look into the workers' log, then retry"
                )
            if error is not None:
                _end(connection, sweep.id, state="failed", n_lost=n_lost, error=error)
                return None, True
            attempt = row.attempt + 1
            connection.execute(
                update(sweeps)
                .where(sweeps.c.id == sweep.id)
                .values(
                    stage=_FINALISING,
                    attempt=attempt,
                    n_lost=n_lost,
                    worker=worker[:128],
                    version=sweeps.c.version + 1,
                    lease_until=database_time(lease_seconds),
                )
            )
            return FinishClaim(sweep_id, attempt, row.spec), False

        return self._write(work)

    def heartbeat_finish(self, sweep_id: str, attempt: int, lease_seconds: float) -> Heartbeat:
        """Extend the finaliser's lease; anything but ok: stop."""
        statement = (
            update(sweeps)
            .where(*_match_finaliser(sweep_id, attempt))
            .values(lease_until=database_time(lease_seconds))
        )
        kept = self._write_again(lambda connection: connection.execute(statement).rowcount == 1)
        return "ok" if kept else "lost"

    def return_finish(self, sweep_id: str, attempt: int) -> bool:
        """Hand back, at no cost, what this token leaves undone; False if it is stale.

        It needs a message.
        """
        statement = (
            update(sweeps)
            .where(*_match_finaliser(sweep_id, attempt))
            .values(
                stage="computing",
                # Nobody's from here on: a report of its worker's end is none about this sweep.
                worker="",
                version=sweeps.c.version + 1,
                lease_until=None,
                sent_at=None,
            )
        )
        return self._write(lambda connection: connection.execute(statement).rowcount == 1)

    def finish_sweep(
        self, sweep_id: str, attempt: int, result_sha256: str, artifacts: Mapping[str, Any]
    ) -> bool:
        """Store the documents and end the sweep as succeeded, in one transaction.

        Parameters
        ----------
        artifacts : mapping of kind to document
            JSON-safe, or with numpy numbers and arrays; NaN becomes null.

        Returns
        -------
        bool
            False if the token is stale: nothing was stored. True again for a repeated call.
        """
        packed = {kind: pack_json(document) for kind, document in artifacts.items()}

        def work(connection: Connection) -> bool:
            sweep = lock_sweep(connection, sweep_id, shared=False)
            if sweep is None or sweep.attempt != attempt:
                return False
            if sweep.state == "succeeded":
                return True
            if sweep.state != "running" or sweep.stage != _FINALISING:
                return False
            owner = sweep_artifacts.c.sweep_number == sweep.id
            connection.execute(delete_from(sweep_artifacts).where(owner))
            _insert_artifacts(connection, sweep.id, packed)
            counts = connection.execute(
                select(
                    func.sum(sweep_chunks.c.stop - sweep_chunks.c.first),
                    func.sum(sweep_chunks.c.n_excluded),
                    func.sum(sweep_chunks.c.n_failed),
                ).where(sweep_chunks.c.sweep_number == sweep.id)
            ).one()
            # An adaptive search may have run out of points before its last position.
            n_visited, n_excluded, n_failed = (int(count or 0) for count in counts)
            _end(
                connection,
                sweep.id,
                state="succeeded",
                result_sha256=result_sha256,
                n_excluded=n_excluded,
                n_failed=n_failed,
                n_combinations=n_visited - n_excluded,
            )
            return True

        return self._write_again(work)

    def fail_finish(self, sweep_id: str, attempt: int, error: dict[str, Any]) -> bool:
        """End a sweep whose finaliser cannot succeed; False if the token is stale."""

        def work(connection: Connection) -> bool:
            sweep = lock_sweep(connection, sweep_id, shared=False)
            if sweep is None or (sweep.state, sweep.stage) != ("running", _FINALISING):
                return False
            if sweep.attempt != attempt:
                return False
            _end(connection, sweep.id, state="failed", error=error)
            return True

        return self._write(work)

    def take_finish_message(self, sweep_id: str, again_after_seconds: float) -> bool:
        """Return whether a message to the finaliser is due now, and mark it as sent."""
        statement = (
            update(sweeps)
            .where(sweeps.c.sweep_id == sweep_id, sweeps.c.state == "running")
            .where(or_(sweeps.c.stage != _FINALISING, sweeps.c.lease_until < NOW))
            .where(
                or_(
                    sweeps.c.sent_at.is_(None),
                    sweeps.c.sent_at <= database_time(-again_after_seconds),
                )
            )
            .values(sent_at=NOW)
        )
        return self._write(lambda connection: connection.execute(statement).rowcount == 1)

    def load_artifact(self, sweep_id: str, kind: str) -> Any:
        """Return a document of the finaliser, or None if it is not there."""
        query = (
            select(sweep_artifacts.c.data)
            .join(sweeps, sweeps.c.id == sweep_artifacts.c.sweep_number)
            .where(sweeps.c.sweep_id == sweep_id, sweeps.c.deleted_at.is_(None))
            .where(sweep_artifacts.c.kind == kind)
            .order_by(sweep_artifacts.c.seq)
        )
        parts = self._read(lambda connection: connection.scalars(query).all())
        return unpack_json(b"".join(parts)) if parts else None

    def load_artifacts(
        self, sweep_ids: Sequence[str], kinds: Sequence[str]
    ) -> dict[tuple[str, str], Any]:
        """Return small documents of many sweeps at once, by sweep and kind; absent ones are not.

        One query however many sweeps a list shows.
        """
        query = (
            select(sweeps.c.sweep_id, sweep_artifacts.c.kind, sweep_artifacts.c.data)
            .join(sweeps, sweeps.c.id == sweep_artifacts.c.sweep_number)
            .where(sweeps.c.sweep_id.in_(sweep_ids), sweeps.c.deleted_at.is_(None))
            .where(sweep_artifacts.c.kind.in_(kinds))
            .order_by(sweep_artifacts.c.seq)
        )
        parts: dict[tuple[str, str], list[bytes]] = {}
        for row in self._read(lambda connection: connection.execute(query).all()):
            parts.setdefault((row.sweep_id, row.kind), []).append(row.data)
        return {key: unpack_json(b"".join(blocks)) for key, blocks in parts.items()}


def _match_finaliser(sweep_id: str, attempt: int) -> tuple[Any, ...]:
    return (
        sweeps.c.sweep_id == sweep_id,
        sweeps.c.state == "running",
        sweeps.c.stage == _FINALISING,
        sweeps.c.attempt == attempt,
    )


def _insert_artifacts(connection: Connection, number: int, packed: Mapping[str, bytes]) -> None:
    for kind, data in packed.items():
        for seq, start in enumerate(range(0, len(data), BLOCK_BYTES)):
            block = data[start : start + BLOCK_BYTES]
            row = {"sweep_number": number, "kind": kind, "seq": seq, "data": block}
            connection.execute(insert(sweep_artifacts), row)


def _end(connection: Connection, number: int, **values: Any) -> None:
    connection.execute(
        update(sweeps)
        .where(sweeps.c.id == number)
        .values(
            stage="",
            version=sweeps.c.version + 1,
            finished_at=NOW,
            lease_until=None,
            **values,
        )
    )
