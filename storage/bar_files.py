"""Reading bars from files of people: CSV, plain or gzip, and Parquet (definitions 1).

pyarrow is imported inside the functions only, because the limits are named by processes that must
not load it; those read files through `storage.ingest`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from backtest.bars import Bars, DataWarning
from backtest.errors import InputError

if TYPE_CHECKING:
    from storage.bar_columns import LoadedBars

_MIB = 1 << 20
_PARQUET_MAGIC = b"PAR1"
# What people upload by mistake, by the first bytes.
_OTHER_FORMATS = {
    b"PK\x03\x04": "is a ZIP archive or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "is an Excel workbook",
    b"%PDF": "is a PDF document",
    b"BZh": "is compressed with bzip2",
    b"\xfd7zXZ": "is compressed with xz",
    b"\x28\xb5\x2f\xfd": "is compressed with zstd",
}


@dataclass(frozen=True, slots=True)
class FileLimits:
    """How large a file of bars may be.

    Parameters
    ----------
    max_bytes : int
        Of the file as it is.
    max_bars : int
        Rows.
    """

    max_bytes: int = 1024 * _MIB
    max_bars: int = 5_000_000

    @property
    def max_text_bytes(self) -> int:
        """Largest text after decompression: prices compress to a quarter, hardly further."""
        return 4 * self.max_bytes


DEFAULT_LIMITS = FileLimits()
_LARGE_BYTES = 32 * _MIB


def load_bar_file(
    path: str | os.PathLike[str],
    *,
    date_format: str | None = None,
    limits: FileLimits = DEFAULT_LIMITS,
) -> tuple[Bars, tuple[DataWarning, ...]]:
    """Read bars from a CSV or Parquet file.

    Small CSV files are read in this process. Parquet is read in a child process, because a few
    damaged bytes can make Arrow abort the process that reads them; large CSV files are, because
    Arrow keeps more memory than their bars take.

    Parameters
    ----------
    path : path-like
        The contents decide the format, not the name.
    date_format : str, optional
        Of the date column in ``strptime`` syntax; default: decided for the whole column.
    limits : FileLimits
        Larger files are refused before they take memory.

    Returns
    -------
    bars : Bars
        Unadjusted.
    warnings : tuple of DataWarning
        See `backtest.bars.build_bars`.

    Raises
    ------
    InputError
        On field ``file`` or ``date_format``, with row, column and value.
    """
    name = validate_bar_path(path, limits)
    with open(path, "rb") as file:
        is_parquet = file.read(len(_PARQUET_MAGIC)) == _PARQUET_MAGIC
    if is_parquet or os.path.getsize(path) > _LARGE_BYTES:
        from storage.ingest import parse_local_file, unpack_bars

        return unpack_bars(parse_local_file(path, date_format, limits))

    def open_source() -> BinaryIO:
        return open(path, "rb")

    loaded = load_bar_source(open_source, name, date_format, limits)
    return loaded.bars, loaded.warnings


def validate_bar_path(path: str | os.PathLike[str], limits: FileLimits) -> str:
    """Return the printable name of a file, or raise InputError unless it can be read."""
    name = os.fspath(path).encode(errors="replace").decode()
    try:
        status = Path(path).stat()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError.of("file", name, f"cannot be read: {reason}") from None
    if not stat.S_ISREG(status.st_mode):
        raise InputError.of("file", name, "is not a regular file")
    if not os.access(path, os.R_OK):
        raise InputError.of("file", name, "cannot be read: permission denied")
    if status.st_size > limits.max_bytes:
        raise InputError.of("file", name, describe_size_limit(limits))
    return name


def describe_size_limit(limits: FileLimits) -> str:
    """Return the words for a file that is too large."""
    return f"is larger than {limits.max_bytes / _MIB:,.4g} MiB; compress it with gzip or split it"


def load_bar_source(
    open_source: Callable[[], BinaryIO], name: str, date_format: str | None, limits: FileLimits
) -> LoadedBars:
    """Read bars in this process from anything that opens as a seekable binary file.

    Parameters
    ----------
    open_source : callable
        Opens the file from its start; called a few times.
    name : str
        For messages only.

    See `load_bar_file` for the rest, and for why it keeps Parquet away from here.
    """
    with open_source() as file:
        magic = file.read(8)
    if not magic:
        raise InputError.of("file", name, "is empty")
    for prefix, reason in _OTHER_FORMATS.items():
        if magic.startswith(prefix):
            raise InputError.of("file", name, f"{reason}; save it as CSV or Parquet")
    if magic.startswith(_PARQUET_MAGIC):
        from storage.bar_parquet import load_parquet

        with open_source() as file:
            return load_parquet(file, name, date_format, limits)
    from storage.bar_csv import load_csv
    from storage.text_stream import TextStream

    return load_csv(
        lambda: TextStream(open_source(), name, limits.max_text_bytes),
        name,
        date_format,
        limits.max_bars,
    )
