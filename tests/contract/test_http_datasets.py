"""Datasets over HTTP: upload, list, remove, and hostile files."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from tests.support.web import Web, build_csv, build_web, count_rows, submit, web
from webapp.dataset_schemas import (
    BarReport,
    DatasetList,
    DatasetPreview,
    DatasetSeries,
    DatasetView,
)

__all__ = ["web"]


BOUNDARY = "end-of-part"


def upload(
    web: Web, data: bytes, name: str = "bars.csv", symbol: str = "UP", query: str = ""
) -> Any:
    # Written by hand: the test client keeps a large file in a temporary one that it never closes.
    parts = ('"symbol"', symbol.encode()), (f'"file"; filename="{name}"', data)
    body = b"".join(
        f"--{BOUNDARY}\r\nContent-Disposition: form-data; name={head}\r\n\r\n".encode()
        + content
        + b"\r\n"
        for head, content in parts
    )
    return web.client.post(
        f"/api/v1/datasets{query}",
        data=body + f"--{BOUNDARY}--\r\n".encode(),
        content_type=f"multipart/form-data; boundary={BOUNDARY}",
    )


def test_an_uploaded_file_becomes_a_dataset_and_can_be_run(web: Web) -> None:
    answer = upload(web, build_csv(50))
    assert answer.status_code == 201, answer.json
    view = DatasetView.model_validate(answer.json)
    assert (view.symbol, view.version, view.n_bars) == ("UP", 1, 50)
    assert (view.start, view.end, view.file_name) == ("2021-01-01", "2021-02-19", "bars.csv")
    listed = DatasetList.model_validate(web.client.get("/api/v1/datasets").json).datasets
    assert [item.symbol for item in listed] == ["UP", "WALK"]
    run = web.client.post("/api/v1/runs", json={"dataset": "UP", "rule": "rsi"})
    assert run.status_code == 202


def test_a_second_file_is_a_new_version_and_the_same_file_is_not(web: Web) -> None:
    assert upload(web, build_csv(50)).json["version"] == 1
    assert upload(web, build_csv(50)).json["version"] == 1
    assert upload(web, build_csv(60)).json["version"] == 2


@pytest.mark.parametrize("key", ["symbol", "sha256", "id"])
def test_a_dataset_is_removed_by_any_of_its_names(web: Web, key: str) -> None:
    view = upload(web, build_csv(50)).json
    assert web.client.delete(f"/api/v1/datasets/{view[key]}").status_code == 204
    assert web.client.delete(f"/api/v1/datasets/{view[key]}").status_code == 404
    assert [item.symbol for item in web.store.datasets.list()] == ["WALK"]


def test_a_dataset_is_removed_by_its_symbol_in_the_query(web: Web) -> None:
    assert web.client.delete("/api/v1/datasets?symbol=WALK").status_code == 204
    assert web.client.delete("/api/v1/datasets").status_code == 422


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"", "empty.csv"),
        (b"\x00\x01\x02\xff" * 1000, "binary.csv"),
        (b"\x7fELF" + b"\x00" * 1000, "program.parquet"),
        (b"Date,Open,High,Low,Close\n2021-01-01,1,2,0.5,1.5\n", "one_bar.csv"),
        (build_csv(50).replace(b"100,", b"nan,", 1), "nan.csv"),
        (build_csv(50).replace(b"2021-01-02", b"2021-01-01"), "twice.csv"),
        (build_csv(50).replace(b",99,", b",-99,", 1), "negative.csv"),
        (b"just some words\nand more of them\n", "words.csv"),
    ],
)
def test_a_file_that_no_backtest_could_trust_is_refused_and_nothing_stored(
    web: Web, data: bytes, name: str
) -> None:
    before = count_rows(web)
    answer = upload(web, data, name)
    assert answer.status_code == 422, answer.json
    assert answer.mimetype == "application/problem+json"
    assert answer.json["errors"]
    assert "Traceback" not in answer.text
    assert count_rows(web) == before


def test_a_small_file_that_unpacks_to_a_gigabyte_is_refused(web: Web) -> None:
    bomb = gzip.compress(bytes(1 << 26), 9) * 16  # a file may have several parts
    assert len(bomb) < 2_000_000
    before = count_rows(web)
    answer = upload(web, bomb, "bomb.csv.gz")
    assert answer.status_code in (413, 422), answer.json
    assert count_rows(web) == before


def test_a_file_beyond_the_limit_is_413(tmp_path: Any) -> None:
    web = build_web(tmp_path, max_upload_mb=1)
    answer = upload(web, b"2021-01-01,1,2,0.5,1.5\n" * 60_000)
    assert answer.status_code == 413
    assert answer.mimetype == "application/problem+json"
    assert count_rows(web) == (0, 1, 0)


@pytest.mark.parametrize(
    "symbol", ["", "A B", "../x", "..", ".", "a" * 65, "0" * 64, "\u00c4", "<b>"]
)
def test_a_symbol_that_cannot_be_an_address_is_refused(web: Web, symbol: str) -> None:
    answer = upload(web, build_csv(50), symbol=symbol)
    assert answer.status_code == 422
    assert answer.json["errors"][0]["field"] == "symbol"


def test_an_upload_that_is_no_form_is_415(web: Web) -> None:
    answer = web.client.post("/api/v1/datasets", data=build_csv(50), content_type="text/csv")
    assert answer.status_code == 415


def test_a_preview_tells_what_would_be_stored_and_stores_nothing(web: Web) -> None:
    before = count_rows(web), len(web.store.audit.list(10))
    rows = build_csv(400).replace(b"Date,", b"Note,Date,", 1).replace(b"\n2", b"\nx,2")
    answer = upload(web, rows, query="?preview=1")
    assert answer.status_code == 200, answer.json
    preview = DatasetPreview.model_validate(answer.json)
    assert (preview.symbol, preview.version, preview.is_known) == ("UP", 1, False)
    assert (preview.n_bars, preview.start, preview.end) == (400, "2021-01-01", "2022-02-04")
    assert (preview.file.kind, preview.file.date_format) == ("CSV, commas", "ISO 8601")
    assert preview.file.columns[0].model_dump() == {"name": "Note", "role": None}
    assert [item.role for item in preview.file.columns[1:]] == [
        *("date", "open", "high", "low", "close", "volume")
    ]
    assert preview.first_rows[0] == ["2021-01-01", 100, 102, 99, 101, 1000, 101]
    assert preview.last_rows[-1][0] == "2022-02-04"
    assert preview.series.close == [101.0 + i for i in range(400)]
    assert (count_rows(web), len(web.store.audit.list(10))) == before
    stored = upload(web, rows).json
    assert stored["sha256"] == preview.sha256
    again = upload(web, rows, query="?preview=1").json
    assert (again["version"], again["is_known"]) == (1, True)
    assert upload(web, build_csv(60), query="?preview=true").json["version"] == 2


def test_a_preview_refuses_what_an_upload_refuses(web: Web) -> None:
    answer = upload(web, build_csv(50).replace(b"100,", b"oops,", 1), query="?preview=1")
    assert answer.status_code == 422
    assert answer.json["errors"][0]["value"] == "oops"
    assert upload(web, build_csv(50), query="?preview=maybe").status_code == 422
    assert len(web.store.datasets.list()) == 1


def test_a_stored_dataset_is_reported_on_as_its_preview_was(web: Web) -> None:
    rows = build_csv(50).replace(b"2021-02-11,141,143,140,142,1000", b"2021-02-11,1,1,1,1,0")
    preview = upload(web, rows, query="?preview=1").json
    view = upload(web, rows).json
    answer = web.client.get(f"/api/v1/datasets/{view['id']}/report")
    assert answer.json == preview["report"]
    report = BarReport.model_validate(answer.json)
    assert [item.code for item in report.findings] == ["price_jump", "zero_volume"]
    assert [item.time for item in report.findings[0].examples] == ["2021-02-11", "2021-02-12"]
    assert report.close.lowest == 1.0
    assert web.client.get("/api/v1/datasets/NONE/report").status_code == 404


def test_series_are_thinned_cut_and_adjusted(web: Web) -> None:
    header, *lines = build_csv(50).decode().splitlines()
    rows = "\n".join(
        [header + ",Adj Close", *(f"{line},{(101 + i) / 2}" for i, line in enumerate(lines))]
    )
    upload(web, rows.encode())
    path = "/api/v1/datasets/UP/series"
    whole = DatasetSeries.model_validate(web.client.get(f"{path}?names=close,volume").json)
    assert whole.close == [101.0 + i for i in range(50)]
    assert whole.volume == [1000.0] * 50
    part = web.client.get(f"{path}?adjust=1&names=close,volume&start_idx=10&end_idx=12").json
    assert (part["idx"], part["close"], part["volume"]) == (
        [10, 11, 12],
        [55.5, 56.0, 56.5],
        [2000.0] * 3,
    )
    assert len(web.client.get("/api/v1/datasets/WALK/series?points=20").json["close"]) <= 20
    assert web.client.get(f"{path}?names=secret").json["errors"][0]["field"] == "names"


def test_a_symbol_is_renamed_and_tagged(web: Web) -> None:
    upload(web, build_csv(50))
    upload(web, build_csv(60))
    answer = web.client.patch("/api/v1/datasets/UP", json={"symbol": "DOWN", "tags": ["a", "b"]})
    assert answer.status_code == 200, answer.json
    assert DatasetView.model_validate(answer.json).tags == ["a", "b"]
    versions = web.client.get("/api/v1/datasets?symbol=DOWN").json["datasets"]
    assert [(item["version"], item["tags"]) for item in versions] == [
        (2, ["a", "b"]),
        (1, ["a", "b"]),
    ]
    assert web.client.get("/api/v1/datasets?symbol=UP").json == {"datasets": []}
    taken = web.client.patch("/api/v1/datasets/DOWN", json={"symbol": "WALK"})
    assert (taken.status_code, taken.json["errors"][0]["field"]) == (409, "symbol")
    for body in ({"symbol": ".."}, {"tags": [""]}, {"tags": ["x" * 41]}, {"colour": "red"}):
        assert web.client.patch("/api/v1/datasets/DOWN", json=body).status_code == 422
    assert web.client.patch("/api/v1/datasets/NONE", json={"tags": []}).status_code == 404


def test_a_dataset_that_runs_stand_on_is_kept_and_they_are_named(web: Web) -> None:
    run_id = submit(web)
    for path in ("/api/v1/datasets/WALK", "/api/v1/datasets?symbol=WALK"):
        answer = web.client.delete(path)
        assert answer.status_code == 409
        assert "1 run stands on it" in answer.json["detail"]
        assert [(item["field"], item["value"]) for item in answer.json["errors"]] == [
            ("run_id", run_id)
        ]
    assert web.client.post(f"/api/v1/runs/{run_id}/cancel").status_code == 200
    assert web.client.delete(f"/api/v1/runs/{run_id}").status_code == 204
    assert web.client.delete("/api/v1/datasets/WALK").status_code == 204
