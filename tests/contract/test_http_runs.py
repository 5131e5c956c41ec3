"""Runs over HTTP: submit, poll, list, change, cancel, delete."""

from __future__ import annotations

import threading
import time
import uuid
from typing import Any

import pytest

from tests.support.web import RUN, Web, count_rows, inline_web, submit, web
from webapp.schemas import RunList, RunResult, RunState, RunSubmitted, RunView

__all__ = ["inline_web", "web"]


def test_a_run_is_accepted_with_202_a_uuid4_and_its_location(web: Web) -> None:
    answer = web.client.post("/api/v1/runs", json=RUN)
    assert answer.status_code == 202
    body = RunSubmitted.model_validate(answer.json)
    assert uuid.UUID(body.run_id).version == 4
    assert (body.state, body.cached) == ("queued", False)
    assert answer.headers["Location"] == f"/api/v1/runs/{body.run_id}" == body.links.self
    assert web.client.get(answer.headers["Location"]).status_code == 200


def test_what_was_accepted_is_stored_when_the_broker_is_down(web: Web) -> None:
    run_id = submit(web)
    record = web.store.runs.get(run_id)
    assert record is not None
    assert record.state == "queued"


def test_a_poll_shows_state_position_and_the_complete_spec(web: Web) -> None:
    first, second = submit(web), submit(web, params={"window": 6}, tags=["a"], note="why")
    view = RunView.model_validate(web.client.get(f"/api/v1/runs/{second}").json)
    assert (view.state, view.queue_position, view.attempt) == ("queued", 2, 0)
    assert view.queue_length == 2
    assert (view.tags, view.note, view.metrics, view.error) == (["a"], "why", None, None)
    assert view.spec.params["window"] == 6
    assert set(view.spec.params) > {"window"}
    assert view.submitted_at.endswith("Z")
    assert web.client.get(f"/api/v1/runs/{first}").json["queue_position"] == 1


def test_a_poll_that_knows_the_etag_gets_an_empty_304_until_something_changes(web: Web) -> None:
    first, second = submit(web), submit(web, params={"window": 6})
    path = f"/api/v1/runs/{second}"
    etag = web.client.get(path).headers["ETag"]
    unchanged = web.client.get(path, headers={"If-None-Match": etag})
    assert (unchanged.status_code, unchanged.data) == (304, b"")
    assert unchanged.headers["ETag"] == etag
    web.client.post(f"/api/v1/runs/{first}/cancel")  # the queue moves on, the run itself does not
    moved = web.client.get(path, headers={"If-None-Match": etag})
    assert (moved.status_code, moved.json["queue_position"]) == (200, 1)
    submit(web, params={"window": 7})  # behind it
    longer = web.client.get(path, headers={"If-None-Match": moved.headers["ETag"]})
    assert (longer.status_code, longer.json["queue_length"]) == (200, 2)
    web.client.patch(path, json={"note": "new"})
    changed = web.client.get(path, headers={"If-None-Match": longer.headers["ETag"]})
    assert (changed.status_code, changed.json["note"]) == (200, "new")


def test_a_finished_run_is_answered_from_the_store_with_200(inline_web: Web) -> None:
    first = inline_web.client.post("/api/v1/runs", json=RUN)
    again = inline_web.client.post("/api/v1/runs", json=RUN)
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json["cached"] is True
    assert again.json["run_id"] == first.json["run_id"]
    assert again.json["state"] == "succeeded"
    forced = inline_web.client.post("/api/v1/runs", json={**RUN, "force": True})
    assert (forced.status_code, forced.json["cached"]) == (202, False)
    assert forced.json["run_id"] != first.json["run_id"]


def test_an_idempotency_key_submits_once_and_refuses_another_body(web: Web) -> None:
    headers = {"Idempotency-Key": "key-1"}
    first = web.client.post("/api/v1/runs", json=RUN, headers=headers)
    again = web.client.post("/api/v1/runs", json=RUN, headers=headers)
    assert again.json["run_id"] == first.json["run_id"]
    other = web.client.post("/api/v1/runs", json={**RUN, "params": {"window": 9}}, headers=headers)
    assert other.status_code == 409
    assert other.mimetype == "application/problem+json"
    assert count_rows(web)[0] == 1


@pytest.mark.parametrize("key", ["x" * 256, "", "schl\u00fcssel"])
def test_a_key_that_cannot_be_kept_is_refused(web: Web, key: str) -> None:
    answer = web.client.post("/api/v1/runs", json=RUN, headers={"Idempotency-Key": key})
    assert answer.status_code == 422
    assert answer.json["errors"][0]["field"] == "Idempotency-Key"
    assert count_rows(web)[0] == 0


def test_wait_holds_the_answer_until_the_run_is_terminal(web: Web) -> None:
    answers: list[Any] = []

    def post() -> None:
        answers.append(web.app.test_client().post("/api/v1/runs?wait=20", json=RUN))

    thread = threading.Thread(target=post)
    started = time.monotonic()
    thread.start()
    while web.store.runs.counts()["queued"] == 0 and time.monotonic() - started < 10:
        time.sleep(0.01)
    run_id = web.store.runs.list().items[0].run_id
    assert thread.is_alive()
    web.store.runs.cancel(run_id)
    thread.join(timeout=10)
    assert answers[0].status_code == 202
    assert answers[0].json["state"] == "cancelled"


def test_wait_ends_when_its_time_is_over(web: Web) -> None:
    started = time.monotonic()
    answer = web.client.post("/api/v1/runs?wait=0.3", json=RUN)
    assert 0.3 <= time.monotonic() - started < 5
    assert answer.json["state"] == "queued"


@pytest.mark.parametrize("wait", ["soon", "nan", "-1", "inf", "1e999"])
def test_a_wait_that_is_no_time_is_refused_and_nothing_stored(web: Web, wait: str) -> None:
    answer = web.client.post(f"/api/v1/runs?wait={wait}", json=RUN)
    assert answer.status_code == 422
    assert answer.json["errors"][0]["field"] == "wait"
    assert count_rows(web)[0] == 0


@pytest.mark.parametrize("path", ["/api/v1/runs", "/run_backtest"])
def test_a_form_submits_the_same_run_as_json(web: Web, path: str) -> None:
    form = {
        "dataset": "WALK",
        "rule": "rsi",
        "window": "9",
        "params.oversold": "25",
        "fee_rate": "0.002",
        "stop_loss": "0.1",
        "start": "2020-02-01",
        "adjust": "on",
        "tags": "a, b",
    }
    run_id = web.client.post(path, data=form).json["run_id"]
    body = {
        "dataset": "WALK",
        "rule": "rsi",
        "params": {"window": 9, "oversold": 25},
        "trading": {"fee_rate": 0.002, "stop_loss": 0.1},
        "start": "2020-02-01",
        "tags": ["a", "b"],
    }
    other_id = web.client.post(path, json=body).json["run_id"]
    shown, other = (web.client.get(f"/api/v1/runs/{item}").json for item in (run_id, other_id))
    assert shown["fingerprint"] == other["fingerprint"]
    assert shown["tags"] == other["tags"] == ["a", "b"]


def test_a_form_field_that_comes_twice_is_refused_but_for_tags(web: Web) -> None:
    body = "dataset=WALK&rule=rsi&params.window=5&params.window=9&tags=a&tags=b"
    answer = web.client.post(
        "/run_backtest", data=body, content_type="application/x-www-form-urlencoded"
    )
    assert answer.status_code == 422
    assert answer.json["errors"] == [
        {"field": "params.window", "value": "5, 9", "message": "give it once"}
    ]


def test_a_multipart_form_submits_too(web: Web) -> None:
    answer = web.client.post(
        "/run_backtest",
        data={"dataset": "WALK", "rule": "rsi"},
        content_type="multipart/form-data",
    )
    assert answer.status_code == 202


def test_a_dataset_may_be_named_by_symbol_hash_or_id(web: Web) -> None:
    dataset = web.client.get("/api/v1/datasets").json["datasets"][0]
    names = {
        web.client.get(f"/api/v1/runs/{submit(web, dataset=dataset[key])}").json["fingerprint"]
        for key in ("symbol", "sha256", "id")
    }
    assert len(names) == 1


def test_the_list_is_newest_first_and_pages_neither_skip_nor_repeat(web: Web) -> None:
    ids = [submit(web, params={"window": window}) for window in range(3, 10)]
    seen: list[str] = []
    cursor = ""
    while True:
        page = RunList.model_validate(web.client.get(f"/api/v1/runs?limit=3&cursor={cursor}").json)
        seen += [item.run_id for item in page.runs]
        if page.next_cursor is None:
            break
        cursor = page.next_cursor
    assert seen == ids[::-1]
    oldest_first = web.client.get("/api/v1/runs?sort=submitted_at").json["runs"]
    assert [item["run_id"] for item in oldest_first] == ids


def test_the_list_is_filtered_by_state_symbol_rule_and_tag(web: Web) -> None:
    rsi = submit(web, tags=["x"])
    macd = submit(web, rule="macd", params={})
    web.client.post(f"/api/v1/runs/{macd}/cancel")

    def listed(query: str) -> list[str]:
        runs = web.client.get(f"/api/v1/runs?{query}").json["runs"]
        return [item["run_id"] for item in runs]

    assert listed("state=cancelled") == [macd]
    assert listed("rule=rsi") == [rsi]
    assert listed("tag=x") == [rsi]
    assert listed("symbol=WALK") == [macd, rsi]
    assert listed("symbol=NONE") == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("state=done", "state"),
        ("sort=colour", "sort"),
        ("limit=0", "limit"),
        ("limit=1000", "limit"),
        ("limit=many", "limit"),
        ("cursor=%00", "cursor"),
        ("colour=red", "colour"),
        ("rule=rsi&rule=macd", "rule"),
    ],
)
def test_a_filter_that_means_nothing_is_refused(web: Web, query: str, field: str) -> None:
    answer = web.client.get(f"/api/v1/runs?{query}")
    assert answer.status_code == 422
    assert answer.json["errors"][0]["field"] == field


def test_tags_and_note_change_alone(web: Web) -> None:
    run_id = submit(web, tags=["a"], note="n")
    answer = web.client.patch(f"/api/v1/runs/{run_id}", json={"tags": ["b", "c"]})
    assert (answer.status_code, answer.json["tags"], answer.json["note"]) == (200, ["b", "c"], "n")
    answer = web.client.patch(f"/api/v1/runs/{run_id}", json={"note": ""})
    assert (answer.json["tags"], answer.json["note"]) == (["b", "c"], "")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"tags": "a"}, "tags"),
        ({"tags": [""]}, "tags.0"),
        ({"tags": ["x" * 41]}, "tags.0"),
        ({"note": 5}, "note"),
        ({"note": "x" * 2001}, "note"),
        ({"state": "succeeded"}, "state"),
    ],
)
def test_nothing_else_of_a_run_can_be_changed(web: Web, body: Any, field: str) -> None:
    run_id = submit(web)
    answer = web.client.patch(f"/api/v1/runs/{run_id}", json=body)
    assert answer.status_code == 422
    assert field in [item["field"] for item in answer.json["errors"]]
    record = web.store.runs.get(run_id)
    assert record is not None
    assert (record.tags, record.note, record.state) == ((), "", "queued")


def test_a_cancelled_run_stays_cancelled(web: Web) -> None:
    run_id = submit(web)
    for _ in range(2):
        answer = web.client.post(f"/api/v1/runs/{run_id}/cancel")
        assert answer.status_code == 200
        assert RunState.model_validate(answer.json).state == "cancelled"


def test_a_run_that_succeeded_cannot_be_cancelled(inline_web: Web) -> None:
    run_id = submit(inline_web)
    answer = inline_web.client.post(f"/api/v1/runs/{run_id}/cancel")
    assert answer.status_code == 409
    assert answer.json["run_id"] == run_id
    assert inline_web.client.get(f"/api/v1/runs/{run_id}").json["state"] == "succeeded"


def test_a_deleted_run_is_gone_with_its_result(inline_web: Web) -> None:
    run_id = submit(inline_web)
    assert inline_web.client.delete(f"/api/v1/runs/{run_id}").status_code == 204
    for path in ("", "/result", "/charts", "/view", "/trades", "/export/metrics.csv"):
        assert inline_web.client.get(f"/api/v1/runs/{run_id}{path}").status_code == 404
    assert inline_web.client.delete(f"/api/v1/runs/{run_id}").status_code == 404


def test_the_result_is_the_object_of_the_command_line(inline_web: Web) -> None:
    run_id = submit(inline_web)
    answer = inline_web.client.get(f"/api/v1/runs/{run_id}/result")
    result = RunResult.model_validate(answer.json)
    assert result.run_id == run_id
    lengths = {len(column) for column in answer.json["equity"].values()}
    assert lengths == {300}
    final = result.equity.equity[-1]
    pnl = sum(trade.pnl for trade in result.trades) + (result.metrics["interest"] or 0.0)
    assert final == pytest.approx(100_000 + pnl, rel=1e-12)


@pytest.mark.parametrize(
    "path", ["result", "charts", "view", "series", "trades", "export/equity.csv"]
)
def test_a_run_without_a_result_is_a_conflict_that_says_what_to_do(web: Web, path: str) -> None:
    run_id = submit(web)
    answer = web.client.get(f"/api/v1/runs/{run_id}/{path}")
    assert answer.status_code == 409
    assert "queued" in answer.json["detail"]
    assert answer.json["run_id"] == run_id


def test_when_too_many_wait_a_submission_is_answered_at_once(web: Web) -> None:
    waiting = web.app.extensions["stock_backtest"].waiting
    while waiting.acquire(blocking=False):
        pass
    started = time.monotonic()
    answer = web.client.post("/api/v1/runs?wait=20", json={"dataset": "WALK", "rule": "rsi"})
    assert (answer.status_code, answer.json["state"]) == (202, "queued")
    assert time.monotonic() - started < 10
