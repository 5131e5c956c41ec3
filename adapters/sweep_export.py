"""All combinations of a sweep as a file, streamed chunk by chunk.

pyarrow is imported inside functions: only a child process or the command line ever writes.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from adapters.adapter import RESULTS_VERSION
from adapters.sweep_columns import (
    HEADLINE_METRICS,
    STATUS_EXCLUDED,
    STATUS_REASONS,
    ColumnChunk,
    FloatArray,
    SweepColumns,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from rules.search_axes import Axis
    from rules.sweep_spec import SweepSpec

# Larger chunks are written in pieces, so that memory does not depend on how a sweep was cut.
_PIECE = 131_072
# Rows that the CSV writer formats at a time.
_CSV_BATCH = 8_192
METADATA_KEY = b"stock_backtest"
ENDINGS = ("parquet", "csv")


def write_sweep(
    columns: SweepColumns,
    spec: SweepSpec,
    ending: str,
    sink: BinaryIO,
    metadata: Mapping[str, Any] | None = None,
) -> int:
    """Write all combinations to a file, in position order; excluded points are left out.

    Columns: ``index``, ``status`` (``ok`` or why there is no result), what is swept (``dataset``,
    rule parameters, trading settings), all `HEADLINE_METRICS`. Undefined and `off` are null in
    Parquet and empty in CSV; numbers in CSV have the shortest form that reads as the same float64.

    Parameters
    ----------
    columns : SweepColumns
        The results, read once; memory is that of one chunk.
    spec : SweepSpec
        The sweep.
    ending : {"parquet", "csv"}
        Which format.
    sink : binary file
        Written front to back, never read nor closed: a pipe will do.
    metadata : mapping, optional
        JSON-safe, for example the ``sweep_id``; kept with spec and results version in the Parquet
        schema under ``stock_backtest``.

    Returns
    -------
    int
        Number of rows.
    """
    write = {"parquet": _write_parquet, "csv": _write_csv}[ending]
    notes = {**(metadata or {}), "results_version": RESULTS_VERSION, "spec": spec.to_json_dict()}
    return write(_Exporter(columns, spec, notes), sink)


class _Exporter:
    """Turns chunks into Arrow tables of one schema."""

    def __init__(self, columns: SweepColumns, spec: SweepSpec, notes: Mapping[str, Any]) -> None:
        import pyarrow as pa

        self._columns = columns
        self._space = spec.build_space()
        taken = {"index", "status", *HEADLINE_METRICS}
        self.axes = {
            f"{axis.group}.{axis.name}" if axis.name in taken else axis.name: (i, axis)
            for i, axis in enumerate(self._space.axes)
        }
        kinds = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(), "choice": pa.utf8()}
        fields = [("index", pa.int64()), ("status", pa.utf8())]
        fields += [(name, kinds[axis.kind]) for name, (_, axis) in self.axes.items()]
        fields += [(name, _type_of(name)) for name in HEADLINE_METRICS]
        text = json.dumps(notes, sort_keys=True, allow_nan=False)
        self.schema = pa.schema(fields, metadata={METADATA_KEY: text.encode()})
        self.texts = [field.name for field in self.schema if field.type == pa.utf8()]

    def tables(self) -> Iterator[pa.Table]:
        """Yield the combinations, at most `_PIECE` at a time."""
        for chunk in self._columns.read(HEADLINE_METRICS):
            for first in range(0, len(chunk), _PIECE):
                piece = slice(first, first + _PIECE)
                kept = np.flatnonzero(chunk.status[piece] != STATUS_EXCLUDED) + first
                if len(kept):
                    yield self._build_table(chunk, kept)

    def _build_table(self, chunk: ColumnChunk, kept: NDArray[np.intp]) -> pa.Table:
        import pyarrow as pa

        points = chunk.points[kept]
        digits = self._space.digits(points)
        arrays = [pa.array(points), pa.array(STATUS_REASONS).take(pa.array(chunk.status[kept]))]
        arrays += [_build_axis(axis, digits[i]) for i, axis in self.axes.values()]
        for name in HEADLINE_METRICS:
            arrays.append(_build_floats(chunk.columns[name][kept]).cast(_type_of(name)))
        return pa.Table.from_arrays(arrays, schema=self.schema)


def _type_of(metric: str) -> pa.DataType:
    import pyarrow as pa

    return pa.int64() if metric == "n_trades" else pa.float64()


def _build_axis(axis: Axis, digits: NDArray[np.int64]) -> pa.Array:
    import pyarrow as pa

    if axis.kind == "choice":
        return pa.array(list(axis)).take(pa.array(digits))
    values = axis.values(digits)
    return _build_floats(values) if axis.kind == "float" else pa.array(values)


def _build_floats(values: FloatArray) -> pa.Array:
    import pyarrow as pa

    return pa.array(values, mask=np.isnan(values))


def _write_parquet(exporter: _Exporter, sink: BinaryIO) -> int:
    import pyarrow.parquet as pq

    n_rows = 0
    with pq.ParquetWriter(
        _ForwardSink(sink),
        exporter.schema,
        compression="zstd",
        compression_level=1,
        # Metrics hardly repeat: a dictionary of them costs time and saves nothing.
        use_dictionary=[*exporter.texts, *exporter.axes],
    ) as writer:
        for table in exporter.tables():
            writer.write_table(table)
            n_rows += table.num_rows
    return n_rows


def _write_csv(exporter: _Exporter, sink: BinaryIO) -> int:
    from pyarrow import csv

    # The writer would put every name of the header in quotes.
    sink.write((",".join(exporter.schema.names) + "\n").encode())
    options = csv.WriteOptions(include_header=False, batch_size=_CSV_BATCH, quoting_style="needed")
    n_rows = 0
    with csv.CSVWriter(_ForwardSink(sink), exporter.schema, write_options=options) as writer:
        for table in exporter.tables():
            writer.write_table(table)
            n_rows += table.num_rows
    return n_rows


class _ForwardSink(io.RawIOBase):
    """Counts what it passes on: Arrow asks for the place, which a pipe cannot tell."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink
        self._n_written = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._sink.write(data)
        self._n_written += len(data)
        return len(data)

    def tell(self) -> int:
        return self._n_written
