"""Results of a sweep in one temporary file, compressed metric by metric.

A sweep of any size needs the memory of the chunks in hand; what is kept in memory is where each
column lies.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from adapters.sweep_columns import HEADLINE_METRICS, ColumnChunk
from tasks.sweep_compute import SweepBlock

# Measured on metrics: 0.04 us a combination for two thirds of the size. Level 1 takes three times
# as long for 3 % less.
_LEVEL = -1
# Positions that are not written yet, 113 bytes each.
_MAX_WAITING = 65_536
_DTYPES: dict[str, Any] = {
    "points": np.int64,
    "status": np.uint8,
    **dict.fromkeys(HEADLINE_METRICS, np.float64),
}


class ColumnSpool:
    """`SweepColumns` over blocks that threads add in any order.

    Parameters
    ----------
    directory : Path, optional
        Where the file lies, by default the system's directory for temporary files. It has no name:
        it is gone with the process, however that ends.
    """

    def __init__(self, directory: Path | None = None) -> None:
        # Unbuffered: blocks are written at their place by pwrite, from several threads.
        self._file = tempfile.TemporaryFile(dir=directory, buffering=0)  # noqa: SIM115  # see close
        self._lock = threading.Lock()
        self._end = 0
        # First position of a block -> where each of its columns lies: (offset, size).
        self._places: dict[int, dict[str, tuple[int, int]]] = {}
        # Blocks that wait to be written: a small sweep is over before any is.
        self._waiting: dict[int, SweepBlock] = {}
        self._writing: set[int] = set()  # those of them that a thread has in hand
        self._n_waiting = self._n_positions = 0

    @property
    def n_positions(self) -> int:
        """One more than the last position added."""
        with self._lock:
            return self._n_positions

    def add(self, block: SweepBlock) -> None:
        """Add the results of positions that were not added before."""
        with self._lock:
            self._waiting[block.first] = block
            self._n_waiting += block.status.size
            self._n_positions = max(self._n_positions, block.first + block.status.size)
            if self._n_waiting <= _MAX_WAITING:
                return
            full = [self._waiting[first] for first in self._waiting.keys() - self._writing]
            self._writing.update(each.first for each in full)
            self._n_waiting = 0
        for each in full:  # readers find a block here or there: written first, then forgotten
            self._write_block(each)

    def read(self, names: Sequence[str]) -> Iterator[ColumnChunk]:
        """Yield the blocks in position order with the metrics `names`."""
        with self._lock:
            places, waiting = dict(self._places), dict(self._waiting)
        for first in sorted(places.keys() | waiting.keys()):
            if (block := waiting.get(first)) is not None:
                held = partial(np.asarray, block.points)
                yield ColumnChunk(first, held, block.status, _columns(block, names))
            else:
                place = places[first]
                columns = {name: self._load(name, place) for name in names}
                points = partial(self._load, "points", place)
                yield ColumnChunk(first, points, self._load("status", place), columns)

    def close(self) -> None:
        """Give the file back."""
        self._file.close()

    def _write_block(self, block: SweepBlock) -> None:
        arrays: dict[str, NDArray[Any]] = {"points": block.points, "status": block.status}
        arrays |= _columns(block, HEADLINE_METRICS)
        compressor = zstandard.ZstdCompressor(level=_LEVEL)
        packed = {name: compressor.compress(array.data) for name, array in arrays.items()}
        n_bytes = sum(map(len, packed.values()))
        with self._lock:
            offset, self._end = self._end, self._end + n_bytes
        places: dict[str, tuple[int, int]] = {}
        for name, data in packed.items():
            self._write(data, offset)
            places[name] = (offset, len(data))
            offset += len(data)
        with self._lock:
            self._places[block.first] = places
            del self._waiting[block.first]
            self._writing.remove(block.first)

    def _write(self, data: bytes, offset: int) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._file.fileno(), view, offset)
            view, offset = view[written:], offset + written

    def _load(self, name: str, places: dict[str, tuple[int, int]]) -> NDArray[Any]:
        offset, size = places[name]
        data = os.pread(self._file.fileno(), size, offset)
        return np.frombuffer(zstandard.ZstdDecompressor().decompress(data), dtype=_DTYPES[name])


def _columns(block: SweepBlock, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    return {
        name: np.ascontiguousarray(block.metrics[:, HEADLINE_METRICS.index(name)]) for name in names
    }
