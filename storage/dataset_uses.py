"""Which runs and sweeps stand on versions of a dataset that somebody wants to remove."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, false, func, or_, select

from storage.models import dataset_contents, datasets, runs
from storage.records import DatasetUses
from storage.sweep_tables import sweep_datasets, sweeps

_MOST_NAMED = 20


def find_uses(connection: Connection, removed: Sequence[Any]) -> DatasetUses:
    """Return what would lose its dataset if these rows of `datasets` were gone.

    A run or sweep stands on a version by its symbol and content. One that was submitted under
    another name, since changed, stands on whatever points to the content last.

    Notes
    -----
    The contents are locked before anything is looked up: a run that is inserted at the same time
    waits until the removal is decided.
    """
    hashes = sorted({row.sha256 for row in removed})
    content = dataset_contents.c.sha256
    lock = select(content).where(content.in_(hashes)).order_by(content).with_for_update()
    connection.execute(lock).all()
    ids = {row.id for row in removed}
    query = select(datasets.c.id, datasets.c.symbol, datasets.c.sha256)
    others = connection.execute(query.where(datasets.c.sha256.in_(hashes))).all()
    kept = {(row.symbol, row.sha256) for row in others if row.id not in ids}
    lost = {(row.symbol, row.sha256) for row in removed} - kept
    orphans = set(hashes) - {sha256 for _, sha256 in kept}
    run_ids, n_runs = _list_newest(
        connection,
        select(runs.c.run_id, runs.c.id).where(
            _match(runs.c.symbol, runs.c.dataset_sha256, lost, orphans)
        ),
    )
    sweep_ids, n_sweeps = _list_newest(
        connection,
        select(sweeps.c.sweep_id, sweeps.c.id)
        .join(sweep_datasets, sweep_datasets.c.sweep_number == sweeps.c.id)
        .where(_match(sweep_datasets.c.symbol, sweep_datasets.c.sha256, lost, orphans))
        .distinct(),
    )
    return DatasetUses(run_ids, n_runs, sweep_ids, n_sweeps)


def _match(
    symbol: ColumnElement[str],
    sha256: ColumnElement[str],
    lost: set[tuple[str, str]],
    orphans: set[str],
) -> ColumnElement[bool]:
    by_symbol: dict[str, list[str]] = defaultdict(list)
    for name, content in sorted(lost):
        by_symbol[name].append(content)
    return or_(
        false(),
        sha256.in_(sorted(orphans)),
        *(and_(symbol == name, sha256.in_(hashes)) for name, hashes in by_symbol.items()),
    )


def _list_newest(connection: Connection, query: Any) -> tuple[tuple[str, ...], int]:
    found = query.subquery()
    total = connection.scalar(select(func.count()).select_from(found)) or 0
    newest = select(found.c[0]).order_by(found.c.id.desc()).limit(_MOST_NAMED)
    return tuple(connection.scalars(newest)), total
