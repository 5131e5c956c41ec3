"""The numbers of a sweep: per chunk one compressed column of each metric, and its best rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, bindparam, insert, select

from storage.blobs import BLOCK_BYTES, pack_array, pack_arrays, unpack_array
from storage.repository import Repository
from storage.sweep_records import ChunkResult, Floats
from storage.sweep_tables import SWEEP_METRICS, sweep_blocks, sweep_chunks, sweeps

_STATUS, _POINTS = "status", "points"
_DTYPES = {_STATUS: "|u1", _POINTS: "<i8", **dict.fromkeys(SWEEP_METRICS, "<f8")}
_EXCLUDED, _OK = 1, 0

# Best rows kept of each chunk: what the page lists while the sweep goes on.
N_BEST = 10
# Smaller is better of these; the same as `METRIC_SIGN` of the adapters, and held to it by a test.
SMALLER_IS_BETTER = frozenset({"volatility", "turnover"})

# A few chunks at once spare round trips; the positions of one read bound its memory, 8 bytes each
# and metric, where chunks are large.
_READ_CHUNKS = 16
_READ_POSITIONS = 524_288
# Built once: a finaliser reads a hundred times and more, and building costs more than reading.
_DONE_CHUNKS = (
    select(
        sweep_chunks.c.sweep_number, sweep_chunks.c.idx, sweep_chunks.c.first, sweep_chunks.c.stop
    )
    .join(sweeps, sweeps.c.id == sweep_chunks.c.sweep_number)
    .where(sweeps.c.sweep_id == bindparam("sweep_id"), sweeps.c.deleted_at.is_(None))
    .where(sweep_chunks.c.state == "done", sweep_chunks.c.idx > bindparam("after"))
    .order_by(sweep_chunks.c.idx)
    .limit(_READ_CHUNKS)
)
_BLOCKS = (
    select(sweep_blocks.c.kind, sweep_blocks.c.idx, sweep_blocks.c.data)
    .where(sweep_blocks.c.sweep_number == bindparam("number"))
    .where(sweep_blocks.c.kind.in_(bindparam("kinds", expanding=True)))
    .where(sweep_blocks.c.idx.between(bindparam("first"), bindparam("last")))
    .order_by(sweep_blocks.c.kind, sweep_blocks.c.idx, sweep_blocks.c.seq)
)


@dataclass(frozen=True, slots=True)
class PackedBlocks:
    """Columns ready to be stored, and the counts of the chunk's row."""

    blobs: dict[str, bytes]
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """The columns of one chunk as read back.

    Parameters
    ----------
    points : array of int64, shape (n,), or None
        None where the sweep's order of visits tells them.
    status : array of uint8, shape (n,)
    columns : dict of array of float64, shape (n,)
        Read-only.
    """

    idx: int
    first: int
    stop: int
    points: NDArray[np.int64] | None
    status: NDArray[np.uint8]
    columns: dict[str, Floats]


def pack_blocks(result: ChunkResult) -> PackedBlocks:
    """Compress the columns of a chunk; a status that is 0 throughout takes no row at all."""
    n_excluded = int(np.count_nonzero(result.status == _EXCLUDED))
    n_failed = int(np.count_nonzero(result.status > _EXCLUDED))
    columns = pack_arrays(result.metrics[:, number] for number in range(len(SWEEP_METRICS)))
    blobs = dict(zip(SWEEP_METRICS, columns, strict=True))
    if n_excluded or n_failed:
        blobs[_STATUS] = pack_array(result.status)
    if result.keep_points:
        blobs[_POINTS] = pack_array(result.points)
    return PackedBlocks(blobs, {"n_excluded": n_excluded, "n_failed": n_failed})


def save_blocks(connection: Connection, number: int, idx: int, blobs: dict[str, bytes]) -> None:
    """Insert the columns of a chunk, as few statements as a server's packet allows."""
    batch: list[dict[str, Any]] = []
    size = 0
    for kind, data in blobs.items():
        for seq, start in enumerate(range(0, len(data), BLOCK_BYTES)):
            block = data[start : start + BLOCK_BYTES]
            if batch and size + len(block) > BLOCK_BYTES:
                connection.execute(insert(sweep_blocks), batch)
                batch, size = [], 0
            batch.append(
                {"sweep_number": number, "kind": kind, "idx": idx, "seq": seq, "data": block}
            )
            size += len(block)
    connection.execute(insert(sweep_blocks), batch)


def pick_best(
    first: int, result: ChunkResult, objective: str, min_trades: int
) -> list[dict[str, Any]]:
    """Return the best rows of a chunk by its sweep's objective, ties by position."""
    values = result.metrics[:, SWEEP_METRICS.index(objective)]
    n_trades = result.metrics[:, SWEEP_METRICS.index("n_trades")]
    eligible = np.flatnonzero((result.status == _OK) & ~np.isnan(values) & (n_trades >= min_trades))
    keys = values[eligible] if objective in SMALLER_IS_BETTER else -values[eligible]
    if len(eligible) > N_BEST:
        limit = np.partition(keys, N_BEST - 1)[N_BEST - 1]
        within = keys <= limit
        eligible, keys = eligible[within], keys[within]
    chosen = eligible[np.argsort(keys, kind="stable")[:N_BEST]]
    return [
        {
            "position": first + int(row),
            "point": int(result.points[row]),
            **{
                name: _as_number(result.metrics[row, number])
                for number, name in enumerate(SWEEP_METRICS)
            },
        }
        for row in chosen
    ]


def _as_number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


class SweepBlocks(Repository):
    """Reading the numbers of a sweep; see `Repository`."""

    def iterate_chunks(
        self, sweep_id: str, names: Sequence[str] = (), first_chunk: int = 0
    ) -> Iterator[StoredChunk]:
        """Yield the chunks that are done, in order, with the metrics asked for.

        A few chunks are read at a time, each time in a transaction of its own: memory is bounded,
        and no transaction lasts as long as the reader takes. A chunk that is done never changes,
        so what was read stays true.
        """
        unknown = set(names) - set(SWEEP_METRICS)
        if unknown:
            raise ValueError(f"no such metrics: {sorted(unknown)}")
        after = first_chunk - 1
        while True:
            batch = self._read(partial(_read_batch, sweep_id=sweep_id, names=names, after=after))
            if not batch:
                return
            after = batch[-1].idx
            yield from batch

    def find_failures(self, sweep_id: str) -> tuple[int, tuple[tuple[int, int], ...]]:
        """Return what has no result.

        Returns
        -------
        int
            Combinations that failed in chunks that are done.
        tuple of (int, int)
            Positions [first, stop) of every chunk that failed.
        """
        chunk = sweep_chunks.c
        query = (
            select(chunk.state, chunk.first, chunk.stop, chunk.n_failed)
            .join(sweeps, sweeps.c.id == chunk.sweep_number)
            .where(sweeps.c.sweep_id == sweep_id, sweeps.c.deleted_at.is_(None))
            .where((chunk.state == "failed") | (chunk.n_failed > 0))
            .order_by(chunk.idx)
        )
        rows = self._read(lambda connection: connection.execute(query).all())
        ranges = tuple((row.first, row.stop) for row in rows if row.state == "failed")
        return sum(int(row.n_failed) for row in rows if row.state == "done"), ranges


def _read_batch(
    connection: Connection, sweep_id: str, names: Sequence[str], after: int
) -> list[StoredChunk]:
    rows = connection.execute(_DONE_CHUNKS, {"sweep_id": sweep_id, "after": after}).all()
    if not rows:
        return []
    rows = _limit_positions(rows)
    wanted = {
        "number": rows[0].sweep_number,
        "kinds": [_STATUS, _POINTS, *names],
        "first": rows[0].idx,
        "last": rows[-1].idx,
    }
    blobs: dict[tuple[int, str], list[bytes]] = {}
    for kind, idx, data in connection.execute(_BLOCKS, wanted):
        blobs.setdefault((idx, kind), []).append(data)
    return [_unpack(row, names, blobs) for row in rows]


def _limit_positions(rows: Sequence[Any]) -> Sequence[Any]:
    """Return as many rows as one read may hold, at least one."""
    sizes = np.cumsum([row.stop - row.first for row in rows])
    return rows[: max(1, int(np.searchsorted(sizes, _READ_POSITIONS, "right")))]


def _unpack(
    row: Any, names: Sequence[str], blobs: dict[tuple[int, str], list[bytes]]
) -> StoredChunk:
    def load(kind: str) -> NDArray[Any] | None:
        parts = blobs.get((row.idx, kind))
        return None if parts is None else unpack_array(b"".join(parts), _DTYPES[kind])

    status = load(_STATUS)
    if status is None:
        status = np.zeros(row.stop - row.first, dtype=np.uint8)
    columns = {}
    for name in names:
        values = load(name)
        if values is None:  # deleted while it was being read
            raise KeyError(name)
        columns[name] = values
    return StoredChunk(row.idx, row.first, row.stop, load(_POINTS), status, columns)
