"""The bytes of a text file, decompressed and checked while they are read.

A hostile file is refused as soon as it shows itself, in constant memory: a gigabyte of zeros in a
small gzip file ends at its first zero, anything else at the limit on decompressed bytes.
"""

from __future__ import annotations

import codecs
import io
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from backtest.errors import InputError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

GZIP_MAGIC = b"\x1f\x8b"

_CHUNK = 1 << 18
# A row of prices has under 200 bytes; a reader must hold a whole row.
_MAX_LINE = 1 << 20
# A gigabyte of line ends is small in gzip, and would be millions of rows to skip.
_MAX_BLANK = 1 << 14
# Every member of a gzip file costs time even if it is empty; blocked gzip has one per 64 KiB.
_MAX_MEMBERS = 50_000
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class TextStream(io.RawIOBase):
    """Readable stream over the UTF-8 bytes of a plain or gzip file.

    Parameters
    ----------
    file : binary file
        At its start; closed with the stream.
    name : str
        For messages.
    max_text_bytes : int
        Largest decompressed size.

    Raises
    ------
    InputError
        While reading, on field ``file``: damaged gzip, more than `max_text_bytes`, NUL bytes, text
        that is not UTF-8, a line of more than 1 MiB.
    """

    def __init__(self, file: BinaryIO, name: str, max_text_bytes: int) -> None:
        super().__init__()
        self._file = file
        is_gzip = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        file.seek(0)
        chunks = _decompress(file, name) if is_gzip else iter(lambda: file.read(_CHUNK), b"")
        self._chunks = self._check(chunks, name, max_text_bytes)
        self._n_ends = 0
        self._ends_open = False
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill `buffer` with the next bytes; 0 at the end."""
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        with memoryview(buffer).cast("B") as target:
            size = min(len(target), len(self._rest))
            target[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size

    @property
    def n_lines(self) -> int:
        """Lines read so far, by line feeds; the last need not end in one."""
        return self._n_ends + int(self._ends_open)

    def _check(self, chunks: Iterator[bytes], name: str, max_text_bytes: int) -> Iterator[bytes]:
        decoder = codecs.getincrementaldecoder("utf-8")()
        n_bytes = open_line = 0
        for chunk in chunks:
            if not n_bytes and chunk.startswith(_UTF16):
                raise InputError.of("file", name, "is UTF-16 text; save it as UTF-8")
            row = self._n_ends + 1
            if len(chunk) > _MAX_BLANK and chunk.isspace():
                raise InputError.of("file", name, f"has nothing but blank lines from row {row}")
            n_bytes += len(chunk)
            if n_bytes > max_text_bytes:
                limit = f"{max_text_bytes / 2**20:,.4g} MiB"
                raise InputError.of("file", name, f"holds more than {limit} of text; split it")
            _check_encoding(decoder, chunk, name, row)
            self._n_ends += chunk.count(b"\n")
            self._ends_open = not chunk.endswith(b"\n")
            # Within one chunk no line can be too long: chunks are smaller than the limit.
            last_end = max(chunk.rfind(b"\n"), chunk.rfind(b"\r"))
            open_line = len(chunk) - last_end - 1 if last_end >= 0 else open_line + len(chunk)
            if open_line > _MAX_LINE:
                row = self._n_ends + 1
                message = f"row {row} is longer than 1 MiB; this is not a table of bars"
                raise InputError.of("file", name, message)
            yield chunk
        _check_encoding(decoder, b"", name, self.n_lines, final=True)

    def close(self) -> None:
        """Close the file below."""
        self._file.close()
        super().close()


def _decompress(file: BinaryIO, name: str) -> Iterator[bytes]:
    # zlib rather than the gzip module: it reads a member's header in C and never expands more than
    # is asked for.
    compressed, n_members = b"", 0
    inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    while compressed := compressed or file.read(_CHUNK):
        try:
            chunk = inflate.decompress(compressed, _CHUNK)
        except zlib.error as error:
            raise InputError.of("file", name, f"is damaged gzip ({error})") from None
        compressed = inflate.unconsumed_tail
        if chunk:
            yield chunk
        if inflate.eof:
            n_members += 1
            if n_members > _MAX_MEMBERS:
                raise InputError.of("file", name, "has too many gzip members; compress it anew")
            compressed = inflate.unused_data.lstrip(b"\0")  # padding between members is allowed
            inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
            is_started = bool(compressed)
        else:
            is_started = True
    if is_started and not inflate.eof:
        raise InputError.of("file", name, "is gzip that ends early; copy or download it again")


def _check_encoding(
    decoder: codecs.IncrementalDecoder, chunk: bytes, name: str, first_row: int, final: bool = False
) -> None:
    if (idx := chunk.find(b"\0")) >= 0:
        row = first_row + chunk[:idx].count(b"\n")
        message = f"is binary or UTF-16, not UTF-8 text: row {row} has a NUL byte; save it as UTF-8"
        raise InputError.of("file", name, message)
    try:
        decoder.decode(chunk, final)
    except UnicodeDecodeError as error:
        row = first_row + error.object[: error.start].count(b"\n")
        byte = error.object[error.start : error.start + 1].hex()
        message = f"is not UTF-8 text: row {row} has the byte 0x{byte}; save it as UTF-8"
        raise InputError.of("file", name, message) from None
