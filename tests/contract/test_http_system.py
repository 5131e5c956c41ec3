"""Rules, health, metrics, pages and static files."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest

from storage.database import create_database
from storage.errors import SchemaError
from tasks.settings import Settings
from tests.support.web import Web, build_web, inline_web, submit, web
from webapp.app import create_app
from webapp.pages import PAGES
from webapp.schemas import Health, RuleList

__all__ = ["inline_web", "web"]


def test_rules_are_listed_with_parameters_and_trading_fields(web: Web) -> None:
    listing = RuleList.model_validate(web.client.get("/api/v1/rules").json)
    rules = {rule.name: rule for rule in listing.rules}
    assert {"rsi", "macd", "rsi_macd", "sma_cross", "buy_and_hold"} <= rules.keys()
    window = next(item for item in rules["rsi"].parameters if item.name == "window")
    assert (window.type, window.default) == ("int", 14)
    assert any(item.left == "fast" for item in rules["sma_cross"].constraints)
    assert next(item for item in listing.trading if item.name == "fee_rate").default == 0.001


def test_health_without_a_broker_is_503_and_says_what_is_down(web: Web) -> None:
    answer = web.client.get("/health")
    health = Health.model_validate(answer.json)
    assert answer.status_code == 503
    assert (health.status, health.database, health.broker) == ("down", "ok", "unreachable")
    assert int(answer.headers["Retry-After"]) > 0
    ready = web.client.get("/health/ready")
    assert ready.status_code == 503
    [reason] = ready.json["reasons"]
    assert "broker" in reason
    assert "STOCK_BACKTEST_BROKER_URL" in reason
    assert web.client.get("/health/live").json == {"status": "ok"}


def test_health_of_an_application_that_needs_no_broker_is_ok(inline_web: Web) -> None:
    answer = inline_web.client.get("/health")
    assert answer.status_code == 200
    assert (answer.json["status"], answer.json["broker"]) == ("ok", "unused")
    assert answer.json["reasons"] == []


def test_metrics_count_requests_and_runs(web: Web) -> None:
    submit(web)
    web.client.open("/health/live", method="INVENTED")
    text = web.client.get("/metrics").text
    assert 'stock_backtest_runs{state="queued"} 1.0' in text
    assert "stock_backtest_database_up 1.0" in text
    counted = r'endpoint="post_runs",method="POST",process="\d+",status="202"} 1\.0'
    assert re.search(counted, text)
    assert re.search(r'stock_backtest_submissions_total{.*kind="run",.*="created"} 1\.0', text)
    assert "stock_backtest_broker_up 0.0" in text
    assert "INVENTED" not in text


def test_an_empty_database_is_refused_with_the_command_to_run(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'empty.db'}"
    with pytest.raises(SchemaError, match="stock-backtest db upgrade"):
        create_app(Settings(database_url=url))
    with create_database(url).connect() as connection:
        tables = connection.exec_driver_sql("SELECT name FROM sqlite_master").all()
    assert tables == []


@pytest.mark.parametrize("path", list(PAGES))
def test_every_page_opens_and_loads_nothing_from_elsewhere(web: Web, path: str) -> None:
    answer = web.client.get(path)
    assert answer.status_code == 200
    assert answer.mimetype == "text/html"
    for word in ('src="http', 'src="//', "<style", " style=", "javascript:", " onclick="):
        assert word not in answer.text


def test_a_page_opens_without_the_database() -> None:
    settings = Settings(database_url="mysql+pymysql://u:p@127.0.0.1:1/none")
    assert create_app(settings).test_client().get("/").status_code == 200


def test_static_files_with_their_hash_are_kept_and_others_are_asked_for_again(
    tmp_path: Path,
) -> None:
    web = build_web(tmp_path)
    folder = tmp_path / "static"
    folder.mkdir()
    (folder / "a.css").write_text("a { color: red }")
    web.app.static_folder = str(folder)
    with web.app.test_request_context("/"):
        address = web.app.url_for("static", filename="a.css")
    assert "?v=" in address
    with web.client.get(address) as kept:
        assert kept.status_code == 200
        assert "immutable" in kept.headers["Cache-Control"]
    with web.client.get("/static/a.css") as asked:
        assert asked.headers["Cache-Control"] == "no-cache"
        etag = asked.headers["ETag"]
    with web.client.get("/static/a.css", headers={"If-None-Match": etag}) as again:
        assert again.status_code == 304


def test_static_files_are_packed_for_clients_that_unpack(web: Web) -> None:
    path, packs = "/static/css/run.css", {"Accept-Encoding": "gzip, br"}
    with web.client.get(path) as plain:
        assert "Content-Encoding" not in plain.headers
        whole = plain.data
    for _ in range(2):  # packed, then remembered
        with web.client.get(path, headers=packs) as packed:
            assert packed.headers["Content-Encoding"] == "gzip"
            assert packed.headers["Vary"] == "Accept-Encoding"
            assert gzip.decompress(packed.data) == whole
            assert int(packed.headers["Content-Length"]) == len(packed.data) < len(whole) / 2
    held = {**packs, "If-None-Match": packed.headers["ETag"]}
    with web.client.get(path, headers=held) as again:
        assert (again.status_code, again.data) == (304, b"")


def test_what_is_packed_is_kept_once_whatever_stands_in_place_of_the_version(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = 0

    def compress(data: bytes, **_: object) -> bytes:
        nonlocal packed
        packed += 1
        return data[:10]

    monkeypatch.setattr("webapp.static_files.gzip.compress", compress)
    for place in ("modules/{}/lib/dom.js", "sheets/{}/base.css"):
        for version in ("one", "two"):
            address = f"/static/{place.format(version)}"
            with web.client.get(address, headers={"Accept-Encoding": "gzip"}) as answer:
                assert answer.status_code == 200
    assert packed == 2
    assert web.client.get("/static/sheets/one/base+run.css").status_code == 404


@pytest.mark.parametrize("path", [*PAGES, "/login"])
def test_the_sheets_of_a_page_are_few_and_kept_with_their_typefaces(web: Web, path: str) -> None:
    named = re.findall(r'rel="stylesheet" href="([^"]+)"', web.client.get(path).text)
    assert 1 <= len(named) <= 2
    for address in named:
        with web.client.get(address) as sheet:
            assert (sheet.status_code, sheet.mimetype) == (200, "text/css")
            assert "immutable" in sheet.headers["Cache-Control"]
        for face in re.findall(r'url\("(\.\.[^"]+)"\)', sheet.text):
            with web.client.get(urljoin(address, face)) as typeface:
                assert typeface.status_code == 200
                assert "immutable" in typeface.headers["Cache-Control"]


def test_a_page_brings_the_run_of_its_address_if_nothing_of_it_will_change(
    inline_web: Web,
) -> None:
    def read_page(web: Web, run_id: str) -> tuple[Any, Any, list[str]]:
        page = web.client.get(f"/?run={run_id}").text
        boot = re.search(r'id="boot-data">(.*?)</script>', page)
        assert boot is not None
        known = json.loads(boot[1])
        preloads = re.findall(r'as="fetch" [^>]*href="([^"]+)"', page)
        return known["run"], known["view"], preloads

    run_id = submit(inline_web)
    run, view, preloads = read_page(inline_web, run_id)
    polled = inline_web.client.get(f"/api/v1/runs/{run_id}").json
    assert {name: run[name] for name in polled} == polled
    assert view == inline_web.client.get(f"/api/v1/runs/{run_id}/view").json
    assert preloads == [f"/api/v1/runs/{run_id}/trades/view"]
    inline_web.client.delete(f"/api/v1/runs/{run_id}")
    for text in (run_id, "nonsense", "<script>"):
        assert read_page(inline_web, text) == (None, None, [])


def test_a_page_does_not_bring_a_run_that_waits(web: Web) -> None:
    page = web.client.get(f"/?run={submit(web)}").text
    assert '"run":null' in page
    assert 'as="fetch"' not in page


@pytest.mark.parametrize("path", list(PAGES))
def test_a_page_names_one_script_where_scripts_were_joined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(
        "webapp.page_scripts.find_bundles_once", lambda package: ("0123456789ab", package)
    )
    page = build_web(tmp_path).client.get(path).text
    named = re.findall(r'<script type="module" src="([^"?]+)', page)
    assert len(named) == 1
    assert named[0].startswith("/static/bundles/")
    assert "modulepreload" not in page


@pytest.mark.parametrize("path", list(PAGES))
def test_without_bundles_a_page_names_all_its_modules_and_they_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(
        "webapp.page_scripts.find_bundles_once", lambda _package: ("0123456789ab", None)
    )
    web = build_web(tmp_path)
    named = set(re.findall(r'rel="modulepreload" href="([^"]+)"', web.client.get(path).text))
    assert named
    for address in named:
        with web.client.get(address) as module:
            assert module.status_code == 200
            assert "immutable" in module.headers["Cache-Control"]
            imports = re.findall(r'from "(\.[^"]+)"', module.text)
        assert {urljoin(address, name) for name in imports} <= named


def test_a_module_of_another_version_is_asked_for_again(web: Web) -> None:
    with web.client.get("/static/modules/0123456789ab/lib/dom.js") as module:
        assert module.status_code == 200
        assert module.headers["Cache-Control"] == "no-cache"
    assert web.client.get("/static/modules/0123456789ab/../../app.py").status_code == 404


def test_two_applications_share_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = build_web(tmp_path / "a"), build_web(tmp_path / "b")
    submit(first)
    assert second.client.get("/api/v1/runs").json["runs"] == []
    assert 'state="queued"} 0.0' in second.client.get("/metrics").text
