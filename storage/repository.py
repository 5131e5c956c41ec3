"""What every repository shares: an engine and two kinds of transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection, Engine, exists, select
from sqlalchemy import delete as delete_from
from sqlalchemy.exc import IntegrityError

from storage.database import run_transaction
from storage.models import dataset_contents, datasets, runs
from storage.sweep_tables import sweep_datasets

T = TypeVar("T")

# Two inserters of one key: the loser repeats and then sees the winner's row. More rounds than two
# need a third caller that deletes in between.
_MAX_COLLISIONS = 5


class Repository:
    """A family of operations; each call is one transaction of its own.

    Parameters
    ----------
    engine : Engine
        Of `storage.database.create_database`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def _read(self, work: Callable[[Connection], T]) -> T:
        return run_transaction(self._engine, work, writes=False)

    def _write(self, work: Callable[[Connection], T]) -> T:
        return run_transaction(self._engine, work, writes=True)

    def _write_again(self, work: Callable[[Connection], T]) -> T:
        """Write what a second time changes nothing and answers the same."""
        return run_transaction(self._engine, work, writes=True, repeatable=True)

    def _write_unique(self, work: Callable[[Connection], T]) -> T:
        """Write what another process may be inserting at the same instant, found by its key."""
        for _ in range(_MAX_COLLISIONS - 1):
            try:
                return self._write_again(work)
            except IntegrityError:
                continue
        return self._write_again(work)


def delete_unused_content(connection: Connection, sha256: str) -> None:
    """Delete bars that neither a symbol, a run nor a sweep refers to any more.

    The row is locked before it is judged: an insert that refers to it waits for us, or we for it.
    """
    content = dataset_contents.c.sha256
    connection.execute(select(content).where(content == sha256).with_for_update())
    connection.execute(
        delete_from(dataset_contents)
        .where(content == sha256)
        .where(~exists().where(datasets.c.sha256 == sha256))
        .where(~exists().where(runs.c.dataset_sha256 == sha256))
        .where(~exists().where(sweep_datasets.c.sha256 == sha256))
    )
