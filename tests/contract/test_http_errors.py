"""Every refusal is one problem document, and nothing is stored by it."""

from __future__ import annotations

import io
import json
import logging
import uuid
from pathlib import Path
from typing import Any

import pytest

from storage.store import Store
from tasks.logs import configure_logging
from tasks.settings import Settings
from tests.support.web import RUN, Web, build_web, count_rows, submit, web
from webapp.app import create_app
from webapp.schemas import Problem

__all__ = ["web"]


def expect_problem(answer: Any, status: int) -> Problem:
    assert answer.status_code == status, answer.text[:500]
    assert answer.mimetype == "application/problem+json"
    assert "Traceback" not in answer.text
    problem = Problem.model_validate(answer.json)
    assert problem.status == status
    assert problem.detail
    return problem


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"rule": "nonsense"}, "rule"),
        ({"rule": ""}, "rule"),
        ({"rule": None}, "rule"),
        ({"rule": 5}, "rule"),
        ({"dataset": "NONE"}, "dataset"),
        ({"dataset": ""}, "dataset"),
        ({"dataset": "0" * 64}, "dataset"),
        ({"dataset": {"symbol": "WALK"}}, "dataset"),
        ({"params": {"window": 0}}, "params.window"),
        ({"params": {"window": 14.5}}, "params.window"),
        ({"params": {"window": "14"}}, "params.window"),
        ({"params": {"window": True}}, "params.window"),
        ({"params": {"window": None}}, "params.window"),
        ({"params": {"window": 10**30}}, "params.window"),
        ({"params": {"widnow": 14}}, "params.widnow"),
        ({"params": []}, "params"),
        ({"rule": "sma_cross", "params": {"fast": 50, "slow": 20}}, "params.fast"),
        ({"start": "2021-01-01", "end": "2020-01-01"}, "start"),
        ({"start": "2030-01-01"}, "start"),
        ({"end": "1990-01-01"}, "end"),
        ({"start": "yesterday"}, "start"),
        ({"start": "2020-13-45"}, "start"),
        ({"start": 20200101}, "start"),
        ({"trading": {"initial_cash": 0}}, "trading.initial_cash"),
        ({"trading": {"initial_cash": -5}}, "trading.initial_cash"),
        ({"trading": {"fee_rate": -0.1}}, "trading.fee_rate"),
        ({"trading": {"size": 0}}, "trading.size"),
        ({"trading": {"size": 50}}, "trading.size"),
        ({"trading": {"stop_loss": 10}}, "trading.stop_loss"),
        ({"trading": {"fill": "yesterday"}}, "trading.fill"),
        ({"trading": {"colour": 1}}, "trading.colour"),
        ({"trading": 5}, "trading"),
        ({"adjust": "yes"}, "adjust"),
        ({"tags": "a"}, "tags"),
        ({"tags": [""]}, "tags.0"),
        ({"note": "x" * 2001}, "note"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_bad_input_names_its_field_and_stores_nothing(
    web: Web, change: dict[str, Any], field: str
) -> None:
    answer = web.client.post("/api/v1/runs", json={**RUN, **change})
    problem = expect_problem(answer, 422)
    assert field in [item.field for item in problem.errors]
    assert all(item.message for item in problem.errors)
    assert count_rows(web) == (0, 1, 0)


def test_all_errors_are_named_at_once(web: Web) -> None:
    body = {
        "rule": "rsi",
        "params": {"window": 0},
        "trading": {"fee_rate": -1, "size": -1},
        "start": "?",
    }
    problem = expect_problem(web.client.post("/api/v1/runs", json=body), 422)
    fields = {item.field for item in problem.errors}
    assert {"dataset", "params.window", "trading.fee_rate", "trading.size", "start"} <= fields


def test_a_size_in_percent_is_answered_with_the_fraction_to_write(web: Web) -> None:
    answer = web.client.post("/api/v1/runs", json={**RUN, "trading": {"size": 50}})
    assert "write 0.5 for 50 %" in answer.json["errors"][0]["message"]


def test_a_range_without_bars_is_answered_with_the_range_there_is(web: Web) -> None:
    answer = web.client.post("/api/v1/runs", json={**RUN, "start": "2030-01-01"})
    error = answer.json["errors"][0]
    assert error["field"] == "start"
    assert "2020-10-26" in error["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"5",
        b"\xff\xfe",
        b'{"dataset": NaN}',
        b'{"trading": {"fee_rate": Infinity}}',
        b'{"rule": "rsi", "rule": "macd"}',
        b"[" * 200_000,
        b'{"a":' * 40_000 + b"1" + b"}" * 40_000,
        b'{"note": "\\ud800"}',
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/runs", "/run_backtest", "/api/strategies"])
def test_a_body_that_is_no_json_object_is_400(web: Web, path: str, body: bytes) -> None:
    expect_problem(web.client.post(path, data=body, content_type="application/json"), 400)
    assert count_rows(web) == (0, 1, 0)


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "", "application"])
def test_another_media_type_is_415(web: Web, content_type: str) -> None:
    body = json.dumps(RUN)
    expect_problem(web.client.post("/api/v1/runs", data=body, content_type=content_type), 415)
    assert count_rows(web) == (0, 1, 0)


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/api/v1/runs", "application/json"),
        ("/run_backtest", "application/x-www-form-urlencoded"),
        ("/run_backtest", "multipart/form-data; boundary=x"),
        ("/api/strategies", "application/json"),
    ],
)
def test_a_body_too_large_is_413(web: Web, path: str, content_type: str) -> None:
    body = b'{"note": "' + b"x" * 300_000 + b'"}'
    expect_problem(web.client.post(path, data=body, content_type=content_type), 413)
    assert count_rows(web) == (0, 1, 0)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", json.dumps(RUN).encode() + b" " * 300_000),
        ("application/x-www-form-urlencoded", b"dataset=WALK&rule=rsi&tags=" + b"," * 300_000),
    ],
)
def test_a_body_too_large_is_413_even_if_it_does_not_say_its_length(
    web: Web, content_type: str, body: bytes
) -> None:
    # Cut at the limit, both would be valid runs.
    answer = web.client.post(
        "/api/v1/runs",
        input_stream=io.BytesIO(body),
        environ_overrides={"wsgi.input_terminated": True, "CONTENT_LENGTH": ""},
        content_type=content_type,
    )
    expect_problem(answer, 413)
    assert count_rows(web) == (0, 1, 0)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/nothing/here"),
        ("GET", "/api/v1/nothing"),
        ("GET", "/api/v2/runs"),
        ("POST", "/nothing"),
        ("GET", "/static/../app.py"),
        ("GET", "/static/nothing.css"),
        ("GET", "/api/v1/runs/%00"),
        ("DELETE", "/api/v1/datasets/NONE"),
        ("DELETE", "/api/strategies/NONE"),
    ],
)
def test_an_unknown_address_is_404(web: Web, method: str, path: str) -> None:
    expect_problem(web.client.open(path, method=method), 404)


def test_a_person_who_mistypes_an_address_is_shown_what_there_is(web: Web) -> None:
    browser = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    answer = web.client.get("/nosuch<page>", headers=browser)
    assert (answer.status_code, answer.mimetype) == (404, "text/html")
    assert "default-src" in answer.headers["Content-Security-Policy"]
    assert "/nosuch&lt;page&gt;" in answer.text
    for path in ("/", "/sweep", "/runs", "/data", "/help"):
        assert f'href="{path}"' in answer.text
    for path in ("/api/v1/nothing", "/static/nothing.css"):  # no page to anybody
        expect_problem(web.client.get(path, headers=browser), 404)
    expect_problem(web.client.get("/nosuchpage", headers={"Accept": "*/*"}), 404)


@pytest.mark.parametrize(
    ("method", "path"),
    [("DELETE", "/api/v1/rules"), ("PUT", "/api/v1/runs"), ("POST", "/"), ("BREW", "/health")],
)
def test_a_method_that_an_address_does_not_answer_is_405_with_allow(
    web: Web, method: str, path: str
) -> None:
    answer = web.client.open(path, method=method)
    expect_problem(answer, 405)
    assert "GET" in answer.headers["Allow"]


RUN_ADDRESSES = [
    ("GET", ""),
    ("PATCH", ""),
    ("DELETE", ""),
    ("POST", "/cancel"),
    ("GET", "/result"),
    ("GET", "/charts"),
    ("GET", "/view"),
    ("GET", "/series"),
    ("GET", "/trades"),
    ("GET", "/export/equity.csv"),
]


@pytest.mark.parametrize(("method", "path"), RUN_ADDRESSES)
def test_an_unknown_run_is_404_and_names_it(web: Web, method: str, path: str) -> None:
    run_id = str(uuid.uuid4())
    body = {"note": "x"} if method == "PATCH" else None
    answer = web.client.open(f"/api/v1/runs/{run_id}{path}", method=method, json=body)
    assert expect_problem(answer, 404).run_id == run_id


@pytest.mark.parametrize(("method", "path"), RUN_ADDRESSES)
@pytest.mark.parametrize("run_id", ["1", "not-a-uuid", "'; DROP TABLE runs; --", "\u202e" * 36])
def test_an_id_that_is_no_uuid_is_404_and_says_so(
    web: Web, method: str, path: str, run_id: str
) -> None:
    body = {"note": "x"} if method == "PATCH" else None
    answer = web.client.open(f"/api/v1/runs/{run_id}{path}", method=method, json=body)
    problem = expect_problem(answer, 404)
    assert problem.errors[0].field == "run_id"
    assert "UUID" in problem.errors[0].message


def test_an_id_in_capitals_is_the_same_id(web: Web) -> None:
    run_id = submit(web)
    assert web.client.get(f"/api/v1/runs/{run_id.upper()}").json["run_id"] == run_id


def test_a_long_value_is_cut_in_the_answer(web: Web) -> None:
    answer = web.client.post("/api/v1/runs", json={**RUN, "dataset": "x" * 100_000})
    assert len(expect_problem(answer, 422).errors[0].value) <= 200
    assert len(answer.data) < 2000


def test_values_are_sent_back_as_data_and_never_as_markup(web: Web) -> None:
    answer = web.client.post("/api/v1/runs", json={**RUN, "rule": "<script>alert(1)</script>"})
    assert answer.mimetype == "application/problem+json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_database_that_is_away_is_503_with_retry_after(tmp_path: Path) -> None:
    settings = Settings(
        database_url="mysql+pymysql://user:secret-word@127.0.0.1:1/none",
        broker_url="redis://127.0.0.1:1/0",
    )
    client = create_app(settings).test_client()
    run_id = str(uuid.uuid4())
    for method, path, body in [
        ("POST", "/api/v1/runs", RUN),
        ("GET", f"/api/v1/runs/{run_id}", None),
        ("GET", "/api/v1/runs", None),
        ("GET", "/api/v1/datasets", None),
        ("GET", "/api/strategies", None),
    ]:
        answer = client.open(path, method=method, json=body)
        expect_problem(answer, 503)
        assert int(answer.headers["Retry-After"]) > 0
        assert "secret-word" not in answer.text
    health = client.get("/health")
    assert (health.status_code, health.json["status"]) == (503, "down")
    assert health.json["database"] == "unreachable"
    assert client.get("/health/live").status_code == 200
    assert client.get("/health/ready").status_code == 503
    assert b"stock_backtest_database_up 0.0" in client.get("/metrics").data


def test_a_table_that_vanished_is_503_with_the_command_to_run(web: Web) -> None:
    with web.store.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE presets")
    problem = expect_problem(web.client.get("/api/strategies"), 503)
    assert "stock-backtest db upgrade" in problem.detail


class Defect(Exception):
    """Something nobody thought of."""


def break_store(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object, *args: object) -> None:
        raise Defect("internal detail at /secret/path")

    monkeypatch.setattr(type(web.store.runs), "load_summary", fail)


def test_what_nobody_thought_of_is_a_500_without_any_detail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = build_web(tmp_path, executor="inline")
    break_store(web, monkeypatch)
    run_id = submit(web)
    answer = web.client.get(f"/api/v1/runs/{run_id}/view")
    assert expect_problem(answer, 500).run_id == run_id
    assert "secret" not in answer.text
    assert "Defect" not in answer.text


def test_the_log_has_the_stack_and_every_line_of_a_run_its_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    web = build_web(tmp_path, executor="inline")
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    configure_logging(Settings(log_format="json", log_level="DEBUG"), "web")
    try:
        run_id = submit(web)
        web.client.post(f"/api/v1/runs/{run_id}/cancel")
        web.client.get("/health/live")
        break_store(web, monkeypatch)
        web.client.get(f"/api/v1/runs/{run_id}/view")
    finally:
        logging.getLogger().handlers[:] = handlers
        logging.getLogger().setLevel(level)
        logging.captureWarnings(False)
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    ours = [line for line in lines if str(line.get("logger", "")).startswith(("webapp", "tasks"))]
    about_run = [line for line in ours if line.get("path") != "/health/live"]
    assert len(about_run) >= 4
    assert {line.get("run_id") for line in about_run} == {run_id}
    assert [line.get("run_id") for line in ours if line.get("path") == "/health/live"] == [None]
    assert any("Defect" in json.dumps(line) for line in about_run)


def test_the_store_is_the_real_one(web: Web) -> None:
    assert isinstance(web.store, Store)
