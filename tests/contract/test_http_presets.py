"""Presets over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.web import Web, count_rows, web
from webapp.schemas import PresetList, PresetView

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
