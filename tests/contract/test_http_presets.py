"""Presets over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.web import Web, count_rows, web
from webapp.schemas import PresetList, PresetView
from webapp.sweep_preset_schemas import SweepPresetList, SweepPresetView

__all__ = ["web"]

PRESET = {"name": "Fast", "rule": "rsi", "params": {"window": 5}, "dataset": "WALK"}


def test_a_preset_is_saved_listed_and_deleted(web: Web) -> None:
    saved = web.client.post("/api/strategies", json=PRESET)
    assert saved.status_code == 201
    view = PresetView.model_validate(saved.json)
    assert (view.name, view.dataset, view.params["window"]) == ("Fast", "WALK", 5)
    assert view.trading.fee_rate == 0.001
    listed = PresetList.model_validate(web.client.get("/api/strategies").json)
    assert [item.id for item in listed.strategies] == [view.id]
    assert web.client.delete(f"/api/strategies/{view.id}").status_code == 204
    assert web.client.get("/api/strategies").json == {"strategies": []}
    assert web.client.delete(f"/api/strategies/{view.id}").status_code == 404


def test_a_preset_can_be_submitted_as_a_run_as_it_is(web: Web) -> None:
    saved = web.client.post("/api/strategies", json=PRESET).json
    body = {
        name: saved[name]
        for name in saved
        if name not in ("id", "name", "created_at", "updated_at")
    }
    assert web.client.post("/api/v1/runs", json=body).status_code == 202


def test_a_preset_of_the_same_name_is_replaced(web: Web) -> None:
    first = web.client.post("/api/strategies", json=PRESET).json
    second = web.client.post("/api/strategies", json={**PRESET, "params": {"window": 9}}).json
    assert second["id"] == first["id"]
    assert second["params"]["window"] == 9
    assert count_rows(web)[2] == 1


def test_a_preset_needs_no_dataset(web: Web) -> None:
    body = {name: value for name, value in PRESET.items() if name != "dataset"}
    assert web.client.post("/api/strategies", json=body).json["dataset"] is None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": 5}, "name"),
        ({"rule": "nonsense"}, "rule"),
        ({"params": {"window": 0}}, "params.window"),
        ({"trading": {"fee_rate": -1}}, "trading.fee_rate"),
        ({"start": "yesterday"}, "start"),
        ({"colour": "red"}, "colour"),
        ({"force": True}, "force"),
        ({"dataset": 5}, "dataset"),
    ],
)
def test_a_preset_that_could_not_run_is_refused(web: Web, change: Any, field: str) -> None:
    answer = web.client.post("/api/strategies", json={**PRESET, **change})
    assert answer.status_code == 422
    assert field in [item["field"] for item in answer.json["errors"]]
    assert count_rows(web)[2] == 0


SWEEP_PATH = "/api/v1/sweep-presets"
SWEEP_PRESET = {
    "name": "Wide",
    "rule": "rsi",
    "dataset": "WALK",
    "space": {"window": "2:30", "oversold": [10, 20]},
    "trading": {"stop_loss": "off,0.1"},
    "where": ["oversold < overbought"],
    "objective": "calmar",
    "min_trades": 5,
}


def test_a_preset_of_a_sweep_is_saved_listed_replaced_and_deleted(web: Web) -> None:
    saved = web.client.post(SWEEP_PATH, json=SWEEP_PRESET)
    assert saved.status_code == 201, saved.json
    view = SweepPresetView.model_validate(saved.json)
    assert {name: saved.json[name] for name in SWEEP_PRESET} == SWEEP_PRESET
    again = web.client.post(SWEEP_PATH, json={**SWEEP_PRESET, "space": {"window": "5:9"}})
    assert again.json["id"] == view.id
    listed = SweepPresetList.model_validate(web.client.get(SWEEP_PATH).json)
    assert [(item.id, item.space) for item in listed.presets] == [(view.id, {"window": "5:9"})]
    assert web.client.delete(f"{SWEEP_PATH}/{view.id}").status_code == 204
    assert web.client.get(SWEEP_PATH).json == {"presets": []}
    assert web.client.delete(f"{SWEEP_PATH}/{view.id}").status_code == 404


def test_a_preset_of_a_sweep_can_be_submitted_as_it_is(web: Web) -> None:
    saved = web.client.post(SWEEP_PATH, json=SWEEP_PRESET).json
    kept = {"id", "name", "created_at", "updated_at"}
    body = {name: value for name, value in saved.items() if name not in kept}
    answer = web.client.post("/api/v1/sweeps", json=body)
    assert answer.status_code == 202, answer.json


def test_presets_of_runs_and_of_sweeps_are_listed_apart_and_share_no_name(web: Web) -> None:
    web.client.post("/api/strategies", json=PRESET)
    web.client.post(SWEEP_PATH, json=SWEEP_PRESET)
    runs = web.client.get("/api/strategies").json["strategies"]
    sweeps = web.client.get(SWEEP_PATH).json["presets"]
    assert [item["name"] for item in runs] == ["Fast"]
    assert [item["name"] for item in sweeps] == ["Wide"]
    for path, body, name in (
        (SWEEP_PATH, SWEEP_PRESET, "Fast"),
        ("/api/strategies", PRESET, "Wide"),
    ):
        answer = web.client.post(path, json={**body, "name": name})
        assert answer.status_code == 422
        [error] = answer.json["errors"]
        assert (error["field"], error["value"]) == ("name", name)
        assert "choose another" in error["message"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"rule": "nonsense"}, "rule"),
        ({"space": {"window": "9:2"}}, "space.window"),
        ({"space": {}, "trading": {}}, "space"),
        ({"objective": "joy"}, "objective"),
        ({"colour": "red"}, "colour"),
        ({"tags": ["a"]}, "tags"),
    ],
)
def test_a_preset_that_could_not_be_swept_is_refused(web: Web, change: Any, field: str) -> None:
    answer = web.client.post(SWEEP_PATH, json={**SWEEP_PRESET, **change})
    assert answer.status_code == 422
    assert field in [item["field"] for item in answer.json["errors"]]
    assert count_rows(web)[2] == 0


def test_a_preset_of_a_sweep_needs_no_dataset(web: Web) -> None:
    body = {name: value for name, value in SWEEP_PRESET.items() if name != "dataset"}
    assert web.client.post(SWEEP_PATH, json=body).json["dataset"] is None
