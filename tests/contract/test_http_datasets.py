"""Datasets over HTTP: upload, list, remove, and hostile files."""

from __future__ import annotations

import gzip
import io
from typing import Any

import pytest

from tests.support.web import Web, build_csv, build_web, count_rows, web
from webapp.dataset_schemas import DatasetList, DatasetView

__all__ = ["web"]


BOUNDARY = "end-of-part"


def upload(web: Web, data: bytes, name: str = "bars.csv", symbol: str = "UP") -> Any:
    # Written by hand: the test client keeps a large file in a temporary one that it never closes.
    parts = ('"symbol"', symbol.encode()), (f'"file"; filename="{name}"', data)
    body = b"".join(
        f"--{BOUNDARY}\r\nContent-Disposition: form-data; name={head}\r\n\r\n".encode()
        + content
        + b"\r\n"
        for head, content in parts
    )
    return web.client.post(
        "/api/v1/datasets",
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
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=9) as stream:
        for _ in range(1024):
            stream.write(bytes(1024 * 1024))
    before = count_rows(web)
    answer = upload(web, packed.getvalue(), "bomb.csv.gz")
    assert answer.status_code in (413, 422), answer.json
    assert count_rows(web) == before


def test_a_file_beyond_the_limit_is_413(tmp_path: Any) -> None:
    web = build_web(tmp_path, max_upload_mb=1)
    answer = upload(web, b"2021-01-01,1,2,0.5,1.5\n" * 60_000)
    assert answer.status_code == 413
    assert answer.mimetype == "application/problem+json"
    assert count_rows(web) == (0, 1, 0)


@pytest.mark.parametrize("symbol", ["", "A B", "../x", "a" * 65, "0" * 64, "\u00c4", "<b>"])
def test_a_symbol_that_cannot_be_an_address_is_refused(web: Web, symbol: str) -> None:
    answer = upload(web, build_csv(50), symbol=symbol)
    assert answer.status_code == 422
    assert answer.json["errors"][0]["field"] == "symbol"


def test_an_upload_that_is_no_form_is_415(web: Web) -> None:
    answer = web.client.post("/api/v1/datasets", data=build_csv(50), content_type="text/csv")
    assert answer.status_code == 415
