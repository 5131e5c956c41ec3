"""Sweeps over HTTP: submit, estimate, poll, list, control, change, delete."""

from __future__ import annotations

import io
import uuid
from typing import Any

import pytest

from rules.search_space import SearchSpace
from tests.support.web import Web, build_web, inline_web, web
from webapp.sweep_schemas import (
    SweepEstimate,
    SweepList,
    SweepStateAnswer,
    SweepSubmitted,
    SweepView,
)

__all__ = ["inline_web", "web"]

PATH = "/api/v1/sweeps"
SWEEP: dict[str, Any] = {
    "dataset": "WALK",
    "rule": "rsi",
    "space": {"window": "3:6", "oversold": "25:35:5", "overbought": [65, 70]},
}
UNKNOWN = "123e4567-e89b-42d3-a456-426614174000"


def submit(web: Web, **changes: Any) -> str:
    answer = web.client.post(PATH, json={**SWEEP, **changes})
    assert answer.status_code in (200, 202), answer.json
    return str(answer.json["sweep_id"])


def count_sweeps(web: Web) -> int:
    return len(web.client.get(f"{PATH}?limit=200").json["sweeps"])


def test_a_sweep_is_accepted_with_202_a_uuid4_and_its_location(web: Web) -> None:
    answer = web.client.post(PATH, json=SWEEP)
    assert answer.status_code == 202
    body = SweepSubmitted.model_validate(answer.json)
    assert uuid.UUID(body.sweep_id).version == 4
    assert body.run_id == body.sweep_id
    assert (body.state, body.cached) == ("queued", False)
    assert answer.headers["Location"] == f"{PATH}/{body.sweep_id}" == body.links.self


def test_a_queued_sweep_shows_its_spec_and_counts(web: Web) -> None:
    sweep_id = submit(web, tags=["a"], note="why", where="oversold < overbought")
    view = SweepView.model_validate(web.client.get(f"{PATH}/{sweep_id}").json)
    assert (view.state, view.n_points, view.n_combinations) == ("queued", 24, 24)
    assert (view.tags, view.note, view.objective) == (["a"], "why", "sharpe")
    assert (view.best, view.plateau, view.metrics, view.result_sha256) == (None,) * 4
    assert (view.chunks.total, view.chunks.done, view.n_done) == (1, 0, 0)


def test_a_finished_sweep_shows_counts_hash_best_and_plateau(inline_web: Web) -> None:
    sweep_id = submit(inline_web, where="window + oversold < 40")
    view = SweepView.model_validate(inline_web.client.get(f"{PATH}/{sweep_id}").json)
    assert view.state == "succeeded"
    assert view.progress == 1
    assert view.n_combinations == view.n_done
    assert view.n_combinations + (view.n_excluded or 0) == view.n_points == 24
    assert view.n_failed == 0
    assert view.result_sha256 is not None
    assert len(view.result_sha256) == 64
    assert view.best is not None
    assert view.metrics == view.best.metrics
    assert set(view.best.params) == {"window", "oversold", "overbought", "trigger"}
    assert view.best.trading["fee_rate"] == 0.001
    assert view.plateau is not None
    assert view.chunks.total == view.chunks.done >= 1
    assert view.seconds is not None


def test_constraints_that_no_point_meets_fail_the_sweep_where_points_are_too_many_to_count(
    inline_web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SearchSpace, "count_admitted", lambda *_: None)
    search = {"method": "adaptive", "n": 5}  # a grid is counted up to the limit of combinations
    sweep_id = submit(inline_web, where="window * oversold == 101.5", search=search)
    view = inline_web.client.get(f"{PATH}/{sweep_id}").json
    assert view["state"] == "failed"
    assert view["error"]["code"] == "invalid_input"
    (error,) = view["error"]["errors"]
    assert error["field"] == "where"
    assert error["message"] == "no point that meets all of it was found; widen a range"


def test_an_estimate_counts_and_stores_nothing(web: Web) -> None:
    answer = web.client.post(f"{PATH}?estimate=1", json=SWEEP)
    assert answer.status_code == 200
    estimate = SweepEstimate.model_validate(answer.json)
    assert (estimate.n_points, estimate.n_combinations, estimate.n_excluded) == (24, 24, 0)
    assert estimate.n_bars == 300
    assert estimate.seconds > 0
    assert count_sweeps(web) == 0


def test_only_an_estimate_leaves_no_row_in_the_audit_log(web: Web) -> None:
    web.client.post(f"{PATH}?estimate=1", json=SWEEP)
    ids = [
        web.client.post(f"{PATH}?estimate={text}", json=SWEEP).json["sweep_id"]
        for text in ("0", "")
    ]
    assert [event.object_id for event in web.store.audit.list()] == ids[::-1]


def test_the_same_sweep_is_answered_from_the_store_with_200(inline_web: Web) -> None:
    first = inline_web.client.post(PATH, json=SWEEP)
    written_otherwise = {
        **SWEEP,
        "space": {"overbought": "65,70", "oversold": [25, 30, 35], "window": "3..6:1"},
    }
    again = inline_web.client.post(PATH, json=written_otherwise)
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json["cached"] is True
    assert again.json["sweep_id"] == first.json["sweep_id"]
    forced = inline_web.client.post(PATH, json={**SWEEP, "force": True})
    assert (forced.status_code, forced.json["cached"]) == (202, False)


def test_an_idempotency_key_submits_once_and_refuses_another_body(web: Web) -> None:
    headers = {"Idempotency-Key": "key-1"}
    first = web.client.post(PATH, json=SWEEP, headers=headers)
    again = web.client.post(PATH, json=SWEEP, headers=headers)
    assert first.json["sweep_id"] == again.json["sweep_id"]
    other = web.client.post(PATH, json={**SWEEP, "objective": "cagr"}, headers=headers)
    assert other.status_code == 409
    assert count_sweeps(web) == 1


def test_a_form_submits_the_same_sweep_as_json(inline_web: Web) -> None:
    first = submit(inline_web, where=["window < oversold"], min_trades=1)
    form = {
        "dataset": "WALK",
        "rule": "rsi",
        "window": "3:6",
        "space.oversold": "25:35:5",
        "overbought": "65,70",
        "where": "window < oversold",
        "min_trades": "1",
        "start": "",
    }
    for content_type in ("application/x-www-form-urlencoded", "multipart/form-data"):
        answer = inline_web.client.post(PATH, data=form, content_type=content_type)
        assert (answer.status_code, answer.json["sweep_id"]) == (200, first), answer.json


def test_a_form_field_of_a_sweep_that_comes_twice_is_refused(web: Web) -> None:
    body = "dataset=WALK&rule=rsi&window=3:5&window=7&where=window>3&where=window<9"
    answer = web.client.post(PATH, data=body, content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json["errors"]] == ["window"]
    assert answer.json["errors"][0]["message"] == "give it once"
    assert count_sweeps(web) == 0


@pytest.mark.parametrize(
    "changes", [{}, {"trading": {"stop_loss": 0.1}}, {"params": {"window": 5}}]
)
def test_a_sweep_that_sweeps_nothing_is_refused_with_what_to_do(
    web: Web, changes: dict[str, Any]
) -> None:
    answer = web.client.post(PATH, json={"dataset": "WALK", "rule": "rsi", **changes})
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json["errors"]] == ["space"]
    assert "several values, as 2:50" in answer.json["errors"][0]["message"]
    assert "single backtest" in answer.json["errors"][0]["message"]


@pytest.mark.parametrize("path", [PATH, "/api/v1/runs"])
def test_a_file_among_the_fields_of_a_form_is_refused(web: Web, path: str) -> None:
    form = {"dataset": "WALK", "rule": "rsi", "window": (io.BytesIO(b"3:6"), "window.txt")}
    answer = web.client.post(path, data=form, content_type="multipart/form-data")
    assert answer.status_code == 422
    assert answer.json["errors"] == [
        {"field": "window", "value": "window.txt", "message": "is a file; send it as text"}
    ]


def test_a_range_of_one_value_is_a_sweep_of_one_combination(inline_web: Web) -> None:
    sweep_id = submit(inline_web, space={"window": "14:14"})
    view = SweepView.model_validate(inline_web.client.get(f"{PATH}/{sweep_id}").json)
    assert (view.state, view.n_combinations, view.swept) == ("succeeded", 1, [])


def test_the_list_says_what_was_swept_and_what_won(inline_web: Web) -> None:
    trading = {"stop_loss": "off,0.1"}
    sweep_id = submit(inline_web, trading=trading, space={"oversold": "25:35:5", "window": "3:6"})
    [item] = SweepList.model_validate(inline_web.client.get(PATH).json).sweeps
    view = SweepView.model_validate(inline_web.client.get(f"{PATH}/{sweep_id}").json)
    assert item.swept == view.swept == ["window", "oversold", "stop_loss"]
    assert item.best is not None
    assert item.plateau is not None
    assert view.best is not None
    assert view.plateau is not None
    assert (item.best.index, item.best.metrics) == (view.best.index, view.best.metrics)
    assert (item.plateau.index, item.plateau.metrics) == (view.plateau.index, view.plateau.metrics)


def test_a_sweep_of_the_list_that_has_computed_nothing_has_no_winner(web: Web) -> None:
    submit(web)
    [item] = SweepList.model_validate(web.client.get(PATH).json).sweeps
    assert (item.best, item.plateau) == (None, None)
    assert item.swept == ["window", "oversold", "overbought"]


def test_a_poll_that_knows_the_etag_gets_an_empty_304_until_something_changes(web: Web) -> None:
    path = f"{PATH}/{submit(web)}"
    etag = web.client.get(path).headers["ETag"]
    unchanged = web.client.get(path, headers={"If-None-Match": etag})
    assert (unchanged.status_code, unchanged.data) == (304, b"")
    web.client.patch(path, json={"note": "new"})
    changed = web.client.get(path, headers={"If-None-Match": etag})
    assert (changed.status_code, changed.json["note"]) == (200, "new")


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no dataset": ({"dataset": None}, "dataset"),
    "unknown dataset": ({"dataset": "NOPE"}, "dataset"),
    "unknown rule": ({"rule": "magic"}, "rule"),
    "unknown parameter": ({"space": {"windw": "2:5"}}, "space.windw"),
    "step 0": ({"space": {"window": "2:5:0"}}, "space.window"),
    "wrong sign": ({"space": {"window": "5:2"}}, "space.window"),
    "empty list": ({"space": {"window": []}}, "space.window"),
    "off the rule's range": ({"space": {"window": "0:5"}}, "space.window"),
    "trading setting out of range": (
        {"trading": {"stop_loss": "0.5:1.5:0.5"}},
        "trading.stop_loss",
    ),
    "unknown trading setting": ({"trading": {"stop": 1}}, "trading.stop"),
    "constraint with a call": ({"where": "abs(window) > 2"}, "where"),
    "constraint that nothing meets": ({"where": "window > 10"}, "where"),
    "unknown objective": ({"objective": "happiness"}, "objective"),
    "no number of random ones": ({"search": {"method": "random"}}, "search.n"),
    "unknown search": ({"search": {"method": "psychic"}}, "search.method"),
    "unknown field": ({"colour": "red"}, "colour"),
    "dates without bars": ({"start": "2030-01-01"}, "start"),
}


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize("query", ["", "?estimate=1"])
def test_a_sweep_that_cannot_be_is_refused_by_field_and_nothing_stored(
    web: Web, what: str, query: str
) -> None:
    changes, field = REFUSED[what]
    body = {name: item for name, item in {**SWEEP, **changes}.items() if item is not None}
    answer = web.client.post(PATH + query, json=body)
    assert answer.status_code == 422, answer.json
    assert answer.mimetype == "application/problem+json"
    assert field in [item["field"] for item in answer.json["errors"]]
    assert count_sweeps(web) == 0


def test_more_combinations_than_the_limit_are_refused_with_the_axis_to_thin(tmp_path: Any) -> None:
    small = build_web(tmp_path, max_combinations=10)
    answer = small.client.post(PATH, json=SWEEP)
    assert answer.status_code == 422
    assert answer.json["errors"][0]["field"].startswith("space")
    assert "24" in answer.json["detail"]
    assert "window" in answer.json["detail"]


def test_all_errors_are_named_at_once(web: Web) -> None:
    body = {**SWEEP, "space": {"window": "0:5"}, "trading": {"fee_rate": -1}, "objective": "x"}
    fields = {item["field"] for item in web.client.post(PATH, json=body).json["errors"]}
    assert fields == {"space.window", "trading.fee_rate", "objective"}


def test_a_sweep_is_paused_resumed_and_cancelled(web: Web) -> None:
    path = f"{PATH}/{submit(web)}"

    def post(action: str) -> Any:
        return web.client.post(f"{path}/{action}")

    paused = post("pause")
    assert SweepStateAnswer.model_validate(paused.json).state == "paused"
    assert post("pause").status_code == 200
    resumed = post("resume")
    assert resumed.status_code == 200
    assert resumed.json["state"] in ("queued", "running")
    assert post("retry").status_code == 409
    assert post("cancel").json["state"] == "cancelled"
    assert post("cancel").status_code == 200
    for action in ("pause", "resume", "retry"):
        refused = post(action)
        assert refused.status_code == 409
        assert "cancelled" in refused.json["detail"]
    assert web.client.get(path).json["state"] == "cancelled"


@pytest.mark.parametrize("action", ["pause", "resume", "cancel", "retry"])
def test_what_does_not_apply_to_a_finished_sweep_is_a_conflict(
    inline_web: Web, action: str
) -> None:
    answer = inline_web.client.post(f"{PATH}/{submit(inline_web)}/{action}")
    assert answer.status_code == 409
    assert "succeeded" in answer.json["detail"]


def test_the_list_is_newest_first_filtered_and_paged(web: Web) -> None:
    ids = [submit(web, space={"window": f"3:{stop}"}) for stop in range(5, 9)]
    ids.append(submit(web, rule="macd", space={"fast": "5:8"}, tags=["x"]))
    seen: list[str] = []
    cursor = ""
    while True:
        page = SweepList.model_validate(web.client.get(f"{PATH}?limit=2&cursor={cursor}").json)
        seen += [item.sweep_id for item in page.sweeps]
        if page.next_cursor is None:
            break
        cursor = page.next_cursor
    assert seen == ids[::-1]

    def listed(query: str) -> list[str]:
        return [item["sweep_id"] for item in web.client.get(f"{PATH}?{query}").json["sweeps"]]

    assert listed("rule=macd") == listed("tag=x") == ids[-1:]
    assert listed("state=running") == []
    assert web.client.get(f"{PATH}?state=odd").json["errors"][0]["field"] == "state"


def test_tags_and_notes_change_and_deleting_leaves_nothing(web: Web) -> None:
    path = f"{PATH}/{submit(web)}"
    changed = web.client.patch(path, json={"tags": ["b"], "note": "n"})
    assert SweepView.model_validate(changed.json).tags == ["b"]
    assert web.client.delete(path).status_code == 204
    assert web.client.get(path).status_code == 404
    assert web.client.delete(path).status_code == 404


@pytest.mark.parametrize("sweep_id", [UNKNOWN, "nonsense"])
def test_an_unknown_sweep_is_404_everywhere(web: Web, sweep_id: str) -> None:
    parts = ("ranking", "heatmap", "marginals", "importance", "parallel", "verdict", "chunks")
    exports = ("export.csv", "export.parquet", "combinations/0")
    for part in ("", *(f"/{name}" for name in (*parts, *exports))):
        assert web.client.get(f"{PATH}/{sweep_id}{part}").status_code == 404
    for action in ("pause", "resume", "cancel", "retry"):
        assert web.client.post(f"{PATH}/{sweep_id}/{action}").status_code == 404
    assert web.client.patch(f"{PATH}/{sweep_id}", json={"note": "x"}).status_code == 404


def test_several_datasets_are_one_more_axis(inline_web: Web) -> None:
    from tests.support.web import build_parsed

    inline_web.store.datasets.add(build_parsed(200, seed=2), "OTHER", "other.csv")
    body = {**SWEEP, "datasets": ["WALK", "OTHER"]}
    del body["dataset"]
    sweep_id = inline_web.client.post(PATH, json=body).json["sweep_id"]
    view = SweepView.model_validate(inline_web.client.get(f"{PATH}/{sweep_id}").json)
    assert view.n_combinations == 48
    assert view.best is not None
    assert view.best.dataset in ("WALK", "OTHER")
