"""What readers may ask of workers and of this process's memory at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.test_http_sweeps import PATH, SWEEP
from tests.support.web import Web, build_web, submit

QUESTIONS = ("heatmap", "marginals", "importance", "parallel")
PARTS = ("result", "series?names=equity", "trades", "export/equity.csv", "report.html")


def test_only_so_many_questions_wait_for_workers_whoever_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webapp.sweep_queries._LONGEST_WAIT_SECONDS", 0.0)
    web = build_web(tmp_path, max_waiting_questions=3)
    first, second = (
        f"{PATH}/{web.client.post(PATH, json={**SWEEP, 'force': True}).json['sweep_id']}"
        for _ in range(2)
    )
    for question in QUESTIONS[:3]:
        assert web.client.get(f"{first}/{question}").status_code == 202
    for path in (first, second):
        refused = web.client.get(f"{path}/{QUESTIONS[3]}")
        assert refused.status_code == 503
        assert refused.mimetype == "application/problem+json"
        assert "3 questions wait" in refused.json["detail"]
        assert int(refused.headers["Retry-After"]) > 0
    # Whoever waits already goes on waiting, and what is stored is answered.
    assert web.client.get(f"{first}/{QUESTIONS[0]}").status_code == 202
    assert web.client.get(f"{first}/ranking").status_code == 200
    assert web.client.get(first).status_code == 200


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Web, str]:
    """An application and the address of a result in it."""
    built = build_web(tmp_path_factory.mktemp("large"), executor="inline")
    return built, f"/api/v1/runs/{submit(built)}"


@pytest.mark.parametrize("part", PARTS)
def test_a_large_result_waits_its_turn_and_gives_its_place_back(
    large: tuple[Web, str], monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    web, path = large
    monkeypatch.setattr("webapp.result_answers.LARGE_BARS", 100)
    monkeypatch.setattr("webapp.result_answers._READ_WAIT_SECONDS", 0.0)
    reading = web.app.extensions["stock_backtest"].reading
    n_others = reading.most - 300  # as much as leaves room for one of ours
    assert reading.acquire(n_others)
    for _ in range(3):
        assert web.client.get(f"{path}/{part}", buffered=True).status_code == 200
    held = web.client.get(f"{path}/{part}")  # its answer is still being sent
    refused = web.client.get(f"{path}/{part}")
    assert (held.status_code, refused.status_code) == (200, 503)
    assert refused.mimetype == "application/problem+json"
    assert "large results" in refused.json["detail"]
    assert int(refused.headers["Retry-After"]) > 0
    held.close()
    assert web.client.get(f"{path}/{part}", buffered=True).status_code == 200
    reading.release(n_others)


def test_a_refusal_gives_its_place_back(
    large: tuple[Web, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    web, path = large
    monkeypatch.setattr("webapp.result_answers.LARGE_BARS", 100)
    reading = web.app.extensions["stock_backtest"].reading
    assert web.client.get(f"{path}/series?names=colour").status_code == 422
    assert reading.acquire(reading.most)
    reading.release(reading.most)


@pytest.mark.parametrize("part", PARTS)
def test_small_results_are_read_whatever_else_is(large: tuple[Web, str], part: str) -> None:
    web, path = large
    reading = web.app.extensions["stock_backtest"].reading
    assert reading.acquire(reading.most)
    assert web.client.get(f"{path}/{part}", buffered=True).status_code == 200
    reading.release(reading.most)
