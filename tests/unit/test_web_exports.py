"""Exports: cells no spreadsheet runs, streams equal to the whole."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

import numpy as np
import pytest

from adapters.adapter import build_result_document
from webapp.exports import (
    iterate_series_rows,
    neutralise_cell,
    write_csv,
    write_result,
    write_series_json,
)

DAY_NS = 86_400_000_000_000


@pytest.mark.parametrize(
    "text", ["=1+1", "+A1", "-A1", "@SUM(A1)", "\tx", "\r=1", "=cmd|' /C calc'!A0", "-", "+", "\t1"]
)
def test_text_that_a_spreadsheet_would_run_is_led_by_an_apostrophe(text: str) -> None:
    assert neutralise_cell(text) == "'" + text


@pytest.mark.parametrize("value", ["-5", "+1.5e3", "-0.1", "AAPL", "a=b", "", 7, -7, True])
def test_numbers_and_harmless_text_stay_as_they_are(value: object) -> None:
    assert neutralise_cell(value) == value


@pytest.mark.parametrize("value", [0.1, -0.1, 1e-310, 1 / 3, -0.0, 123456789.123456789])
def test_a_float_is_written_so_that_it_reads_back_equal(value: float) -> None:
    text = neutralise_cell(value)
    assert isinstance(text, str)
    assert float(text).hex() == value.hex()


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_what_is_undefined_is_an_empty_cell(value: object) -> None:
    assert neutralise_cell(value) == ""


def test_csv_survives_commas_quotes_and_line_breaks() -> None:
    rows = [["a,b", 'say "x"', "two\nlines"]]
    text = b"".join(write_csv(["p", "q", "=r"], rows)).decode()
    assert list(csv.reader(io.StringIO(text, newline=""))) == [["p", "q", "'=r"], *rows]


def build_columns(n_bars: int) -> dict[str, Any]:
    generator = np.random.default_rng(7)
    columns: dict[str, Any] = {"time": DAY_NS * np.arange(n_bars, dtype=np.int64)}
    for name in ("equity", "cash", "position", "close"):
        columns[name] = generator.normal(size=n_bars)
    if n_bars > 2:
        columns["cash"][2] = np.nan
    return columns


@pytest.mark.parametrize("n_bars", [0, 1, 3, 10_000, 25_001])
def test_the_streamed_result_is_the_adapters_document(n_bars: int) -> None:
    columns = build_columns(n_bars)
    summary = {
        "fingerprint": "f",
        "engine_version": "1",
        "results_version": "1",
        "spec": {"rule": "rsi"},
        "metrics": {"sharpe": None, "n_trades": 3},
        "warnings": [],
        "spacing": "daily",
    }
    trades = [{"entry_time": "1970-01-01", "pnl": 0.1, "entry_idx": 0, "exit_idx": 1}]
    streamed = json.loads(b"".join(write_result(summary, trades, columns, "id")))
    assert streamed == build_result_document(summary, trades, columns, "id")


def test_json_and_csv_of_a_series_hold_the_same_rows() -> None:
    columns = build_columns(12_345)
    names = ("equity", "cash")
    as_json = json.loads(b"".join(write_series_json(columns, names, "daily")))
    header = ("time", *names)
    text = b"".join(write_csv(header, iterate_series_rows(columns, names, "daily"))).decode()
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows[0] == list(header)
    assert [row[0] for row in rows[1:]] == as_json["time"]
    assert [float(row[1]) for row in rows[1:]] == as_json["equity"]
    assert rows[3][2] == ""
    assert as_json["cash"][2] is None


def test_a_long_series_is_streamed_in_blocks() -> None:
    blocks = list(write_series_json(build_columns(100_000), ("equity",), "daily"))
    assert max(len(block) for block in blocks) < 300_000
