"""Names are data, and files are hostile: nothing of either is run, opened or believed."""

from __future__ import annotations

import gzip
import io
import time
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.processes import find_processes
from tests.support.web import RUN, Web, build_csv, submit, web

__all__ = ["web"]

HOSTILE = (
    *("..", ".", "../../etc/passwd", "..%2f..%2fetc%2fpasswd", "/etc/passwd", "a/../../b"),
    *("<script>alert(1)</script>", "'\"><img src=x onerror=alert(1)>", "{{7*7}}", "${7*7}"),
    *("' OR 1=1 --", "'; DROP TABLE runs; --", '" OR ""="', "1; SELECT 1"),
    *("a\r\nSet-Cookie: x=y", "a\nforged line", "\x1b[2Ja", "a\x00b", "\u202eabc", "%00", "%s%n"),
    *("=1+1", "+1", "-1", "@x", "\tx", "a" * 10_000),
)


def upload(web: Web, data: bytes, name: str = "bars.csv", symbol: str = "UP") -> Any:
    files = {"symbol": symbol, "file": (io.BytesIO(data), name)}
    return web.client.post("/api/v1/datasets", data=files)


@pytest.mark.parametrize("name", [name for name in HOSTILE if name == name.strip()])
def test_a_hostile_symbol_is_refused(web: Web, name: str) -> None:
    answer = upload(web, build_csv(), symbol=name)
    assert answer.status_code == 422, answer.text
    assert answer.json["errors"][0]["field"] == "symbol"
    assert answer.mimetype == "application/problem+json"
    assert [item.symbol for item in web.store.datasets.list()] == ["WALK"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_name_is_a_label(web: Web, name: str) -> None:
    answer = upload(web, build_csv(), name=name + ".csv")
    if answer.status_code == 201:
        shown = answer.json["file_name"]
        assert not set(shown) & set("/\\\r\n\x00\x1b")
        assert len(shown) <= 200
        page = web.client.get("/data")
        assert "<script>alert" not in page.text
        assert "<img src=x" not in page.text
    else:
        assert answer.status_code in (400, 422)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_ids_and_filters_find_nothing_and_break_nothing(web: Web, name: str) -> None:
    from urllib.parse import quote

    run_id = submit(web)
    quoted = quote(name.encode(errors="replace"), safe="")
    for method, path in [
        *(("GET", f"/api/v1/runs/{quoted}"), ("DELETE", f"/api/v1/runs/{quoted}")),
        *(("GET", f"/api/v1/runs/{run_id}/export/{quoted}.csv"), ("GET", f"/static/{quoted}")),
        *(("GET", f"/api/v1/datasets/{quoted}"), ("DELETE", f"/api/v1/datasets/{quoted}")),
        *(("GET", f"/api/v1/sweeps/{quoted}"), ("DELETE", f"/api/strategies/{quoted}")),
        *(("DELETE", f"/api/v1/tokens/{quoted}"), ("GET", f"/static/modules/x/{quoted}")),
        *(("GET", f"/sweep/{quoted}"), ("GET", f"/{quoted}")),
    ]:
        answer = web.client.open(path, method=method)
        assert answer.status_code < 500, (method, path)
        assert "root:" not in answer.text
        if answer.mimetype == "text/html":
            assert "<script>alert" not in answer.text
            assert "<img src=x" not in answer.text
    for key in ("symbol", "rule", "tag", "state", "sort", "cursor"):
        answer = web.client.get("/api/v1/runs", query_string={key: name})
        assert answer.status_code in (200, 422), key
        assert answer.status_code == 422 or answer.json["runs"] == []
    assert web.store.runs.get(run_id) is not None


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_tags_notes_and_presets_come_back_as_they_are(web: Web, name: str) -> None:
    text = name[:40].replace("\x00", "")
    answer = web.client.post("/api/v1/runs", json={**RUN, "note": text, "force": True})
    assert answer.status_code in (202, 422)
    if answer.status_code == 202:
        shown = web.client.get(f"/api/v1/runs/{answer.json['run_id']}")
        assert shown.json["note"] == text
        assert shown.mimetype == "application/json"
    saved = web.client.post("/api/strategies", json={"name": text, "rule": "rsi"})
    assert saved.status_code in (201, 422)
    if saved.status_code == 201:
        assert saved.json["name"] == text.strip()
    assert web.client.get("/").status_code == 200


def test_an_id_that_is_no_ones_is_404_whatever_may_be_done_with_it(web: Web) -> None:
    unknown = "00000000-0000-4000-8000-000000000000"
    for method, path, body in [
        ("GET", f"/api/v1/runs/{unknown}", None),
        ("PATCH", f"/api/v1/runs/{unknown}", {"note": "x"}),
        ("POST", f"/api/v1/runs/{unknown}/cancel", None),
        ("DELETE", f"/api/v1/runs/{unknown}", None),
        ("GET", f"/api/v1/sweeps/{unknown}", None),
        ("POST", f"/api/v1/sweeps/{unknown}/pause", None),
        ("DELETE", f"/api/v1/datasets/{unknown}", None),
        ("DELETE", f"/api/strategies/{unknown}", None),
        ("DELETE", f"/api/v1/tokens/{unknown}", None),
    ]:
        answer = web.client.open(path, method=method, json=body)
        assert answer.status_code == 404, (method, path)
        assert unknown in answer.text
    assert web.store.audit.list() == ()  # nothing was changed


def build_parquet_bomb(n_rows: int) -> bytes:
    """Return a small file of very many rows: one value, repeated by its encoding."""
    sink = io.BytesIO()
    one = pa.array(["2020-01-01"]).dictionary_encode()
    rows = pa.DictionaryArray.from_arrays(pa.repeat(0, n_rows).cast(pa.int32()), one.dictionary)
    price = pa.repeat(1.0, n_rows)
    columns = {"Date": rows, **dict.fromkeys(("Open", "High", "Low", "Close"), price)}
    pq.write_table(pa.table(columns), sink, compression="zstd", row_group_size=n_rows)
    return sink.getvalue()


def test_a_parquet_bomb_is_refused_at_once(web: Web) -> None:
    bomb = build_parquet_bomb(20_000_000)  # 800 MB once it is read
    assert len(bomb) < 500_000
    started = time.monotonic()
    answer = upload(web, bomb, "bomb.parquet")
    assert answer.status_code == 422
    assert "rows" in answer.json["errors"][0]["message"]
    assert time.monotonic() - started < 15
    assert find_processes("storage.ingest_child") == []


def test_a_gzip_bomb_is_refused_in_little_memory(web: Web) -> None:
    line = b"2020-01-01,1,1,1,1,1\n"
    bomb = gzip.compress(b"Date,Open,High,Low,Close,Volume\n" + line * 6_000_000, 9)
    assert len(bomb) < 400_000  # 126 MB once it is read, and more bars than are taken
    answer = upload(web, bomb, "bomb.csv.gz")
    assert answer.status_code == 422
    assert answer.json["errors"][0]["field"] == "file"
    assert find_processes("storage.ingest_child") == []


def test_only_the_part_named_file_is_a_file(web: Web) -> None:
    data = {"symbol": "UP", "other": (io.BytesIO(build_csv()), "a.csv")}
    answer = web.client.post("/api/v1/datasets", data=data)
    assert answer.status_code == 422
    assert answer.json["errors"][0]["field"] == "other"


def test_only_so_many_files_are_parsed_at_a_time(web: Web) -> None:
    uploading = web.app.extensions["stock_backtest"].uploading
    n_taken = 0
    while uploading.acquire(blocking=False):
        n_taken += 1
    answer = upload(web, build_csv())
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    uploading.release(n_taken)
    assert upload(web, build_csv(), symbol="<").status_code == 422  # a refusal gives its place back
    for _ in range(n_taken + 1):
        assert upload(web, build_csv()).status_code == 201
