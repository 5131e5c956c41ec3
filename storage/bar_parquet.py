"""Reading bars from Parquet, looking at its metadata before anything is decompressed."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from backtest.errors import InputError
from storage.bar_columns import (
    LoadedBars,
    RawColumns,
    RowNumbers,
    build_from_columns,
    describe_refused_date,
    match_columns,
)
from storage.bar_dates import DateRefused, Stamps, parse_dates, parse_epochs
from storage.bar_files import FileLimits

_BATCH_ROWS = 65_536
# A footer lists columns and row groups; a hostile one can announce billions of either.
_MAX_FOOTER_STRING = 16 << 20
_MAX_FOOTER_ITEMS = 200_000
# The widest value that is read is a date text with zone, 35 bytes and a length.
_MAX_VALUE_BYTES = 64
_NOTE = "the first bar is row 1"


def load_parquet(
    file: BinaryIO, name: str, date_format: str | None, limits: FileLimits
) -> LoadedBars:
    """Read bars from a Parquet file.

    Raises
    ------
    InputError
        On field ``file`` or ``date_format``; Arrow's own complaints about a damaged file too.
    """
    try:
        return _load(file, name, date_format, limits)
    except MemoryError:  # one of Arrow's exceptions too, but no damage
        raise
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0][:200]
        raise InputError.of("file", name, f"is damaged Parquet: {reason}") from None


def _load(file: BinaryIO, name: str, date_format: str | None, limits: FileLimits) -> LoadedBars:
    # Damage shows late, too: the name of a time zone is decoded when it is asked for.
    names, roles, columns = _read_columns(file, name, limits)
    numbers = RowNumbers(np.arange(1, len(columns["date"]) + 1), _NOTE)
    dates = columns.pop("date")
    values = {role: _read_numbers(column, role, numbers) for role, column in columns.items()}
    try:
        stamps = _read_stamps(dates, date_format, numbers)
    except DateRefused as refused:
        raise describe_refused_date(refused, numbers, "date") from None
    return build_from_columns(RawColumns(stamps, values), numbers, "Parquet", names, roles)


def _read_columns(
    file: BinaryIO, name: str, limits: FileLimits
) -> tuple[list[str], dict[str, int], dict[str, pa.Array]]:
    parquet = pq.ParquetFile(
        file,
        thrift_string_size_limit=_MAX_FOOTER_STRING,
        thrift_container_size_limit=_MAX_FOOTER_ITEMS,
        pre_buffer=False,
    )
    metadata, schema = parquet.metadata, parquet.schema_arrow
    if metadata.num_rows > limits.max_bars:
        message = f"has {metadata.num_rows:,} rows; at most {limits.max_bars:,} are read"
        raise InputError.of("file", name, message)
    columns = match_columns(schema.names, name)
    for role, idx in columns.items():
        _validate_type(schema.field(idx), role, name)
    names = [schema.field(idx).name for idx in columns.values()]
    _validate_sizes(metadata, set(names), name)
    batches = list(parquet.iter_batches(_BATCH_ROWS, columns=names, use_threads=False))
    table = pa.Table.from_batches(batches, schema=batches[0].schema if batches else pa.schema([]))
    if not table.num_rows:
        raise InputError.of("file", name, "has no rows")
    if table.num_rows > limits.max_bars:
        raise InputError.of("file", name, "has more rows than it announces")
    read = {role: _decode(table.column(schema.field(idx).name)) for role, idx in columns.items()}
    return schema.names, columns, read


def _validate_type(field: pa.Field, role: str, name: str) -> None:
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    is_date = pa.types.is_timestamp(kind) or pa.types.is_date(kind) or pa.types.is_integer(kind)
    if role == "date" and not (is_date or is_text):
        message = f"column {role} holds {kind}; dates, times, text or whole numbers are read"
        raise InputError.of("file", name, message)
    if role != "date" and not is_number:
        raise InputError.of("file", name, f"column {role} holds {kind}; numbers are read")


def _validate_sizes(metadata: pq.FileMetaData, names: set[str], name: str) -> None:
    """Refuse column chunks that announce more bytes than bars can have."""
    for group_idx in range(metadata.num_row_groups):
        group = metadata.row_group(group_idx)
        for column_idx in range(group.num_columns):
            chunk = group.column(column_idx)
            allowed = _MAX_VALUE_BYTES * max(chunk.num_values, 1) + (1 << 20)
            if chunk.path_in_schema in names and chunk.total_uncompressed_size > allowed:
                message = f"column {chunk.path_in_schema} holds far more bytes than bars have"
                raise InputError.of("file", name, message)


def _decode(column: pa.ChunkedArray) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    column.validate(full=True)  # text that is not UTF-8 would fail later, without a reason
    return column.combine_chunks()


def _refuse_nulls(column: pa.Array, role: str, numbers: RowNumbers) -> None:
    if column.null_count:
        idx = int(np.argmax(np.asarray(column.is_null().to_numpy(zero_copy_only=False))))
        place = numbers.place(idx, role.replace("_", " "))
        message = f"{place}: the value is missing; remove the row or fill in the value"
        raise InputError.of("file", None, message)


def _read_numbers(column: pa.Array, role: str, numbers: RowNumbers) -> np.ndarray:
    _refuse_nulls(column, role, numbers)
    # Whole numbers beyond 2^53 round to the nearest float64, as float() rounds them.
    values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return np.asarray(values, dtype=np.float64)


def _read_stamps(column: pa.Array, date_format: str | None, numbers: RowNumbers) -> Stamps:
    _refuse_nulls(column, "date", numbers)
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return parse_dates(column.cast(pa.string()), date_format)
    if pa.types.is_integer(kind):
        if date_format is not None:
            return parse_dates(column.cast(pa.string()), date_format)
        return parse_epochs(_as_int64(column, pa.int64()))
    if pa.types.is_date(kind):
        column = column.cast(pa.timestamp("ms"))
    utc = _as_int64(_to_ns(column), pa.int64())
    zone = column.type.tz
    if zone is None:
        return Stamps(utc, utc, str(kind))
    try:
        local = pc.local_timestamp(_to_ns(column))
    except pa.ArrowInvalid:
        message = "is no time zone this machine knows; store the times in UTC"
        raise DateRefused(None, zone, message) from None
    return Stamps(utc, _as_int64(local, pa.int64()), str(kind))


def _to_ns(column: pa.Array) -> pa.Array:
    try:
        return column.cast(pa.timestamp("ns", column.type.tz))
    except pa.ArrowInvalid:
        raise DateRefused(None, None, "reaches beyond the years 1678 to 2261") from None


def _as_int64(column: pa.Array, kind: pa.DataType) -> np.ndarray:
    return np.asarray(column.cast(kind).to_numpy(zero_copy_only=False), dtype=np.int64)
