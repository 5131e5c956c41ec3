"""The stored numbers of a sweep in the form in which analyses and exports read them.

Imported by the web tier: no engine, no numba.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from adapters.sweep_columns import ColumnChunk
from rules.sweep_spec import SweepSpec

if TYPE_CHECKING:
    from storage.store import Store


class StoredColumns:
    """`adapters.sweep_columns.SweepColumns` over the chunks of a sweep that are done.

    Memory is that of a few chunks of the columns asked for.

    Parameters
    ----------
    spec : SweepSpec
        Tells the points of a grid and of a random search; those of an adaptive one are stored.
    """

    def __init__(self, store: Store, sweep_id: str, spec: SweepSpec) -> None:
        self._store, self._sweep_id, self._spec = store, sweep_id, spec
        self._order = spec.build_order()

    @property
    def n_positions(self) -> int:
        """Positions of the whole sweep."""
        return self._spec.n_positions

    def read(self, names: Sequence[str]) -> Iterator[ColumnChunk]:
        """Yield the chunks that are done, in position order."""
        for chunk in self._store.sweeps.iterate_chunks(self._sweep_id, names):
            points = chunk.points
            yield ColumnChunk(
                chunk.first,
                partial(self._order.points, chunk.first, chunk.stop) if points is None else points,
                chunk.status,
                chunk.columns,
            )


def open_columns(store: Store, sweep_id: str) -> StoredColumns:
    """Return the columns of a sweep.

    Raises
    ------
    KeyError
        If there is no such sweep.
    """
    record = store.sweeps.get(sweep_id)
    if record is None:
        raise KeyError(sweep_id)
    return StoredColumns(store, sweep_id, SweepSpec.from_json(record.spec))
