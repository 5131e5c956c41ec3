"""Fetching from public sources: off by default, in a child process, against recorded answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.ingest import IngestProcess
from tests.support.web import Web, build_web, count_rows, web
from webapp.dataset_schemas import DatasetPreview, DatasetView

__all__ = ["web"]

PATH = "/api/v1/sources/yahoo/fetch"


@pytest.fixture
def fetching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Web:
    """An application that may ask Yahoo, which is a recording."""
    monkeypatch.setattr(IngestProcess, "MODULE", "tests.support.recorded_yahoo")
    return build_web(tmp_path, fetch_sources="yahoo")


def test_nothing_is_fetched_unless_an_operator_names_a_source(web: Web) -> None:
    assert web.client.get("/api/v1/sources").json == {"sources": []}
    answer = web.client.post(PATH, json={"symbol": "AAPL"})
    assert answer.status_code == 404
    assert "fetching is off" in answer.json["detail"]
    assert "STOCK_BACKTEST_FETCH_SOURCES" in answer.json["errors"][0]["message"]
    assert "Fetch <span" not in web.client.get("/data").text.split("hidden>")[0]


def test_bars_are_fetched_under_another_name_without_the_day_that_has_no_price(
    fetching: Web,
) -> None:
    assert fetching.client.get("/api/v1/sources").json == {"sources": [{"name": "yahoo"}]}
    answer = fetching.client.post(PATH, json={"symbol": "AAPL", "name": "APPLE"})
    assert answer.status_code == 201, answer.json
    view = DatasetView.model_validate(answer.json)
    assert (view.symbol, view.file_name, view.n_bars) == ("APPLE", "yahoo:AAPL", 11)
    assert (view.start, view.spacing, view.has_adjustment) == ("2000-03-01", "daily", True)
    closes = fetching.client.get("/api/v1/datasets/APPLE/series").json["close"]
    assert closes[:2] == [130.31, 122.0]
    adjusted = fetching.client.get("/api/v1/datasets/APPLE/series?adjust=1").json["close"]
    assert adjusted[0] == pytest.approx(4.186662803811, rel=1e-12)


def test_a_source_that_does_not_answer_or_does_not_know_is_told_apart(fetching: Web) -> None:
    before = count_rows(fetching)
    unknown = fetching.client.post(PATH, json={"symbol": "NONE"})
    assert (unknown.status_code, unknown.json["errors"][0]["field"]) == (422, "symbol")
    limited = fetching.client.post(PATH, json={"symbol": "LIMITED"})
    assert (limited.status_code, limited.headers["Retry-After"]) == (503, "30")
    assert "Too Many Requests" in limited.json["detail"]
    assert count_rows(fetching) == before


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "symbol"),
        ({"symbol": "http://127.0.0.1/x"}, "symbol"),
        ({"symbol": "../../v7/finance"}, "symbol"),
        ({"symbol": "AAPL?x=1"}, "symbol"),
        ({"symbol": "127.0.0.1#"}, "symbol"),
        ({"symbol": "AAPL", "name": ".."}, "name"),
        ({"symbol": "AAPL", "start": "yesterday"}, "start"),
        ({"symbol": "AAPL", "end": "20200101"}, "end"),
        ({"symbol": "AAPL", "start": "2020-01-02", "end": "2020-01-01"}, "end"),
        ({"symbol": "AAPL", "url": "http://127.0.0.1"}, "url"),
    ],
)
def test_an_order_names_an_instrument_and_days_and_nothing_else(
    tmp_path: Path, body: dict[str, str], field: str
) -> None:
    answer = build_web(tmp_path, fetch_sources="yahoo").client.post(PATH, json=body)
    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, field)


def test_a_source_that_is_not_installed_is_named(tmp_path: Path) -> None:
    web = build_web(tmp_path, fetch_sources="nowhere")
    answer = web.client.post("/api/v1/sources/nowhere/fetch?preview=1", json={"symbol": "A"})
    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, "source")
    assert "stock_backtest.sources" in answer.json["errors"][0]["message"]


def test_a_fetch_can_be_looked_at_before_it_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.ingest.PreviewProcess.MODULE", "tests.support.recorded_preview")
    web = build_web(tmp_path, fetch_sources="yahoo")
    before = count_rows(web)
    answer = web.client.post(f"{PATH}?preview=1", json={"symbol": "AAPL"})
    assert answer.status_code == 200, answer.json
    preview = DatasetPreview.model_validate(answer.json)
    assert (preview.symbol, preview.n_bars) == ("AAPL", 11)
    assert preview.file.kind == "fetched from yahoo"
    assert count_rows(web) == before
