"""Exports hold every combination once, exactly, in files that others read."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import threading

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings

from adapters import sweep_export
from adapters.sweep_columns import HEADLINE_METRICS, STATUS_EXCLUDED, STATUS_REASONS
from adapters.sweep_export import METADATA_KEY, write_sweep
from tests.unit.sweep_twins import Sweep, build_spec, build_sweep, sweeps


def expect_rows(sweep: Sweep) -> list[dict]:
    rows = []
    for row in sweep.rows:
        if row["status"] != STATUS_EXCLUDED:
            metrics = {m: None if math.isnan(row[m]) else row[m] for m in HEADLINE_METRICS}
            status = STATUS_REASONS[row["status"]]
            rows.append({"index": row["point"], "status": status, **row["values"], **metrics})
    return rows


@pytest.fixture(scope="module", autouse=True)
def small_pieces():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep_export, "_PIECE", 5)
        yield


@settings(max_examples=40, deadline=None)
@given(sweeps())
def test_parquet_holds_every_combination_and_what_it_belongs_to(sweep: Sweep) -> None:
    sink = io.BytesIO()
    n_rows = write_sweep(sweep.columns, sweep.spec, "parquet", sink, {"sweep_id": "abc"})
    expected = expect_rows(sweep)
    assert n_rows == len(expected)
    table = pq.read_table(io.BytesIO(sink.getvalue()))
    assert table.to_pylist() == expected
    notes = json.loads(table.schema.metadata[METADATA_KEY])
    assert notes["sweep_id"] == "abc"
    assert notes["spec"] == sweep.spec.to_json_dict()


@settings(max_examples=40, deadline=None)
@given(sweeps())
def test_csv_reads_back_as_the_same_numbers(sweep: Sweep) -> None:
    sink = io.BytesIO()
    n_rows = write_sweep(sweep.columns, sweep.spec, "csv", sink)
    expected = expect_rows(sweep)
    assert n_rows == len(expected)
    found = list(csv.DictReader(io.StringIO(sink.getvalue().decode())))
    assert len(found) == len(expected)
    for line, row in zip(found, expected, strict=True):
        assert list(line) == list(row)
        for name, value in row.items():
            text = line[name]
            if value is None:
                assert text == ""
            elif isinstance(value, str):
                assert text == value
            else:
                assert float(text) == value


def test_awkward_floats_keep_every_digit_in_csv() -> None:
    values = [0.1, 1e-308, 1.7976931348623157e308, 1 / 3, -0.0, 123456789.12345678, 5e-324, 1e22]
    spec = build_spec({"window": "2:9"})
    metrics = dict.fromkeys(HEADLINE_METRICS, values) | {"n_trades": [3.0] * 8}
    sink = io.BytesIO()
    write_sweep(build_sweep(spec, range(8), [0] * 8, metrics).columns, spec, "csv", sink)
    lines = list(csv.DictReader(io.StringIO(sink.getvalue().decode())))
    assert [float(line["sharpe"]) for line in lines] == values
    assert lines[0]["n_trades"] == "3"
    assert lines[0]["window"] == "2"


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_an_export_goes_down_a_pipe(ending: str) -> None:
    spec = build_spec({"window": "2:9"})
    metrics = {name: [1.5] * 8 for name in HEADLINE_METRICS} | {"n_trades": [1.0] * 8}
    sweep = build_sweep(spec, range(8), [0] * 8, metrics)
    whole = io.BytesIO()
    write_sweep(sweep.columns, spec, ending, whole)
    read_end, write_end = os.pipe()
    received: list[bytes] = []
    with open(read_end, "rb") as source:
        reader = threading.Thread(target=lambda: received.append(source.read()))
        reader.start()
        with open(write_end, "wb") as sink:
            write_sweep(sweep.columns, spec, ending, sink)
        reader.join()
    assert received == [whole.getvalue()]
