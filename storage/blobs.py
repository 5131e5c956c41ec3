"""Documents and arrays as compressed rows that fit into any server's default packet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import orjson
import zstandard
from sqlalchemy import Connection, Table, insert, select

if TYPE_CHECKING:
    import numpy as np

# The smallest default of max_allowed_packet is 1 MiB (MySQL 5.6, MariaDB before 10.2.4). PyMySQL
# writes bytes into the statement as hexadecimal digits, two a byte: a row may hold less than half
# of that: 2 * 480 KiB leave 64 KiB for the statement around it.
BLOCK_BYTES = 480 * 1024

# Level 1: on price columns higher levels cost three times the time for a tenth of the bytes.
_ZSTD_LEVEL = 1


def compress(data: bytes | memoryview) -> bytes:
    """Compress with a checksum, so that a damaged block cannot be read as numbers."""
    return _build_compressor().compress(data)


def _build_compressor() -> zstandard.ZstdCompressor:
    return zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True)


def decompress(data: bytes) -> bytes:
    """Return what `compress` was given."""
    return zstandard.ZstdDecompressor().decompress(data)


def pack_json(document: Any) -> bytes:
    """Serialise and compress; NaN becomes null, numpy scalars become numbers."""
    return compress(
        orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)
    )


def unpack_json(data: bytes) -> Any:
    """Return the document of `pack_json`."""
    return orjson.loads(decompress(data))


def pack_array(values: np.ndarray[Any, Any]) -> bytes:
    """Compress a one-dimensional array of fixed-size items, little-endian, bit by bit."""
    return pack_arrays([values])[0]


def pack_arrays(arrays: Iterable[np.ndarray[Any, Any]]) -> list[bytes]:
    """Compress several arrays as `pack_array` does one.

    They share a compressor: building one takes as long as compressing a column of a chunk.
    """
    import numpy as np

    compressor = _build_compressor()
    packed = []
    for values in arrays:
        little = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
        packed.append(compressor.compress(little.data))
    return packed


def unpack_array(data: bytes, dtype: str) -> np.ndarray[Any, Any]:
    """Return the read-only array of `pack_array`."""
    import numpy as np

    return np.frombuffer(decompress(data), dtype=dtype)


def insert_blobs(
    connection: Connection, table: Table, owner: Mapping[str, str], blobs: Mapping[str, bytes]
) -> None:
    """Store each blob as rows of at most `BLOCK_BYTES` under its kind.

    Row by row on purpose: the driver's executemany merges rows into one statement, which then is
    larger than a packet.
    """
    statement = insert(table)
    for kind, data in blobs.items():
        for seq, start in enumerate(range(0, len(data), BLOCK_BYTES)):
            block = data[start : start + BLOCK_BYTES]
            connection.execute(statement, {**owner, "kind": kind, "seq": seq, "data": block})


def load_blobs(
    connection: Connection, table: Table, owner: Mapping[str, str], kinds: Iterable[str]
) -> dict[str, bytes]:
    """Return the blobs of these kinds that are stored, joined from their rows."""
    wanted = list(kinds)
    query = (
        select(table.c.kind, table.c.data)
        .where(*(table.c[name] == value for name, value in owner.items()))
        .where(table.c.kind.in_(wanted))
        .order_by(table.c.kind, table.c.seq)
    )
    blocks: dict[str, list[bytes]] = {}
    for kind, data in connection.execute(query):
        blocks.setdefault(kind, []).append(data)
    return {kind: b"".join(blocks[kind]) for kind in wanted if kind in blocks}
