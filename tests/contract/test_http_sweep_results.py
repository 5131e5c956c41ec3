"""Results of sweeps over HTTP, held against all combinations as the export writes them."""

from __future__ import annotations

import io
import math
import statistics
from pathlib import Path
from typing import Any

import pyarrow.csv
import pyarrow.parquet
import pytest

from adapters.verdict_version import VERDICT_VERSION
from rules.sweep_spec import SweepSpec
from tasks.sweep_reader import open_columns
from tasks.sweep_verdict import compute_verdict
from tests.contract.test_http_sweeps import PATH, SWEEP
from tests.support.web import Web, build_web, web
from webapp.responses import build_json
from webapp.sweep_schemas import (
    ChunkStates,
    CombinationView,
    Heatmap,
    Importance,
    Marginals,
    Parallel,
    Ranking,
)
from webapp.verdict_schemas import Verdict

__all__ = ["web"]

BODY: dict[str, Any] = {
    **SWEEP,
    "trading": {"stop_loss": "off,0.05:0.1:0.05"},
    "where": "window + oversold < 40",
    "min_trades": 1,
}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Web, str]:
    """An application and the address of a sweep that has succeeded in it."""
    built = build_web(tmp_path_factory.mktemp("sweep"), executor="inline")
    answer = built.client.post(PATH, json=BODY)
    assert answer.status_code == 202, answer.json
    return built, f"{PATH}/{answer.json['sweep_id']}"


@pytest.fixture(scope="module")
def rows(done: tuple[Web, str]) -> list[dict[str, Any]]:
    """Every combination of that sweep."""
    built, path = done
    answer = built.client.get(f"{path}/export.parquet")
    assert answer.status_code == 200
    table = pyarrow.parquet.read_table(io.BytesIO(answer.data))
    return [
        {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in row.items()
        }
        for row in table.to_pylist()
    ]


def rank(rows: list[dict[str, Any]], metric: str, least_trades: int = 1) -> list[dict[str, Any]]:
    eligible = [
        row for row in rows if row[metric] is not None and (row["n_trades"] or 0) >= least_trades
    ]
    return sorted(eligible, key=lambda row: (-row[metric], row["index"]))


def test_the_export_has_every_combination_once(
    done: tuple[Web, str], rows: list[dict[str, Any]]
) -> None:
    built, path = done
    view = built.client.get(path).json
    assert len(rows) == view["n_combinations"] == 60
    assert [row["index"] for row in rows] == sorted({row["index"] for row in rows})
    assert all(row["window"] + row["oversold"] < 40 for row in rows)
    assert {row["stop_loss"] for row in rows} == {None, 0.05, 0.1}
    as_csv = built.client.get(f"{path}/export.csv")
    assert as_csv.mimetype == "text/csv"
    assert as_csv.headers["Content-Disposition"].startswith('attachment; filename="WALK_rsi_')
    table = pyarrow.csv.read_csv(io.BytesIO(as_csv.data))
    assert table.column("sharpe").to_pylist() == [row["sharpe"] for row in rows]


@pytest.mark.parametrize("metric", ["sharpe", "max_drawdown", "n_trades"])
def test_a_ranking_is_that_of_all_combinations(
    done: tuple[Web, str], rows: list[dict[str, Any]], metric: str
) -> None:
    built, path = done
    expected = rank(rows, metric)
    answer = built.client.get(f"{path}/ranking?metric={metric}&offset=5&limit=20")
    page = Ranking.model_validate(answer.json)
    assert (page.total, page.complete, page.metric) == (len(expected), True, metric)
    assert [row.index for row in page.rows] == [row["index"] for row in expected[5:25]]
    assert [row.rank for row in page.rows] == list(range(6, 26))
    assert [row.metrics[metric] for row in page.rows] == [row[metric] for row in expected[5:25]]
    first = page.rows[0]
    assert first.params["window"] == expected[5]["window"]
    assert first.trading["stop_loss"] == expected[5]["stop_loss"]


def test_a_ranking_may_be_filtered_and_turned(
    done: tuple[Web, str], rows: list[dict[str, Any]]
) -> None:
    built, path = done
    query = "metric=cagr&filter=n_trades>=4&filter=max_drawdown>-0.5&order=worst&min_trades=2"
    page = Ranking.model_validate(built.client.get(f"{path}/ranking?{query}").json)
    kept = [
        row
        for row in rank(rows, "cagr", 4)
        if row["max_drawdown"] is not None and row["max_drawdown"] > -0.5
    ]
    assert page.total == len(kept)
    assert sorted(kept, key=lambda row: (row["cagr"], row["index"]))[0]["index"] == (
        page.rows[0].index
    )


def find_near(row: dict[str, Any], rows: list[dict[str, Any]]) -> float:
    """The median over a combination and those one step away on one axis."""
    levels = {
        "window": [3, 4, 5, 6],
        "oversold": [25, 30, 35],
        "overbought": [65, 70],
        "stop_loss": [0.05, 0.1, None],
    }

    def distance(other: dict[str, Any]) -> int:
        return sum(
            abs(values.index(row[name]) - values.index(other[name]))
            for name, values in levels.items()
        )

    around = [
        other["sharpe"] if (other["n_trades"] or 0) >= 1 else -math.inf
        for other in rows
        if distance(other) <= 1
    ]
    return statistics.median(around)


@pytest.mark.parametrize("query", ["", "?filter=window>=1", "?metric=cagr&order=worst"])
def test_every_ranking_shows_the_neighbourhood_of_each_row(
    done: tuple[Web, str], rows: list[dict[str, Any]], query: str
) -> None:
    built, path = done
    by_index = {row["index"]: row for row in rows}
    page = Ranking.model_validate(built.client.get(f"{path}/ranking{query}").json)
    for row in page.rows:
        assert row.near == pytest.approx(find_near(by_index[row.index], rows), rel=1e-12)


def test_a_ranking_the_client_holds_is_not_sent_again(done: tuple[Web, str]) -> None:
    built, path = done
    url = f"{path}/ranking"
    etag = built.client.get(url).headers["ETag"]
    assert built.client.get(url, headers={"If-None-Match": etag}).status_code == 304


@pytest.mark.parametrize("other", ["best", "median"])
@pytest.mark.parametrize("axes", ["", "x=window&y=oversold", "x=oversold&y=stop_loss"])
def test_a_heat_map_shows_the_best_or_the_median_of_each_cell(
    done: tuple[Web, str], rows: list[dict[str, Any]], axes: str, other: str
) -> None:
    built, path = done
    found = Heatmap.model_validate(
        built.client.get(f"{path}/heatmap?{axes}&other={other}&metric=sharpe").json
    )
    eligible = rank(rows, "sharpe")
    for i, upwards in enumerate(found.y.values):
        for j, across in enumerate(found.x.values):
            cell = [
                row["sharpe"]
                for row in eligible
                if row[found.x.name] == across and row[found.y.name] == upwards
            ]
            value = None
            if cell:
                value = max(cell) if other == "best" else statistics.median(cell)
            shown = found.values[i][j]
            assert shown == (None if value is None else pytest.approx(value, rel=1e-12))
            assert found.n[i][j] == len(cell)


def test_a_heat_map_may_hold_the_other_axes(
    done: tuple[Web, str], rows: list[dict[str, Any]]
) -> None:
    built, path = done
    query = "x=window&y=oversold&other=fixed&fixed.stop_loss=0.05&fixed.overbought=70"
    found = Heatmap.model_validate(built.client.get(f"{path}/heatmap?{query}").json)
    expected = {
        (row["window"], row["oversold"]): row["sharpe"]
        for row in rank(rows, "sharpe")
        if row["stop_loss"] == 0.05 and row["overbought"] == 70
    }
    seen = {
        (across, upwards): found.values[i][j]
        for i, upwards in enumerate(found.y.values)
        for j, across in enumerate(found.x.values)
        if found.values[i][j] is not None
    }
    assert seen == expected


@pytest.mark.parametrize(
    ("query", "field", "named"),
    [
        ("ranking?metric=happiness", "metric", "sharpe"),
        ("ranking?filter=happiness>1", "filter", "sharpe"),
        ("ranking?filter=sharpe", "filter", "for example"),
        ("ranking?filter=sharpe>nan", "filter", "number"),
        ("ranking?order=sideways", "order", "best"),
        ("ranking?limit=0", "limit", "at least 1"),
        ("ranking?metric=sharpe&metric=cagr", "metric", "once"),
        ("heatmap?x=colour", "x", "window"),
        ("heatmap?x=window&y=window", "y", "different"),
        ("heatmap?other=worst", "other", "median"),
        ("heatmap?other=fixed&fixed.colour=1", "fixed.colour", "overbought"),
        (
            "heatmap?x=window&y=oversold&other=fixed&fixed.stop_loss=0.07",
            "fixed.stop_loss",
            "values of stop_loss: 0.05, 0.1, off",
        ),
        ("heatmap?fixed.stop_loss=0.05", "fixed.stop_loss", "other=fixed"),
        ("marginals?metric=happiness", "metric", "sharpe"),
        ("importance?min_trades=-1", "min_trades", "at least 0"),
        ("parallel?colour=red", "colour", "unknown"),
    ],
)
def test_a_question_that_has_no_answer_names_what_could_be_asked(
    done: tuple[Web, str], query: str, field: str, named: str
) -> None:
    built, path = done
    answer = built.client.get(f"{path}/{query}")
    assert answer.status_code == 422, answer.json
    assert answer.mimetype == "application/problem+json"
    assert answer.json["errors"][0]["field"] == field
    assert named in answer.json["errors"][0]["message"]


@pytest.mark.parametrize("query", ["", "?metric=cagr"])
@pytest.mark.parametrize(
    ("part", "model"),
    [("marginals", Marginals), ("importance", Importance), ("parallel", Parallel)],
)
def test_each_further_view_is_answered_for_any_metric(
    done: tuple[Web, str], part: str, model: Any, query: str
) -> None:
    built, path = done
    answer = built.client.get(f"{path}/{part}{query}")
    assert answer.status_code == 200, answer.json
    view = model.model_validate(answer.json)
    assert view.metric == ("cagr" if query else "sharpe")
    assert view.complete


def test_the_verdict_is_that_of_the_same_sweep_in_one_process(
    done: tuple[Web, str], rows: list[dict[str, Any]]
) -> None:
    built, path = done
    answer = built.client.get(f"{path}/verdict")
    assert answer.status_code == 200, answer.json
    view = Verdict.model_validate(answer.json)
    best = built.client.get(path).json["best"]
    assert view.complete
    assert view.version == VERDICT_VERSION
    assert view.best is not None
    assert (view.best.index, view.best.score) == (best["index"], best["score"])
    assert view.trials is not None
    assert view.trials.n_raw == len(rank(rows, "sharpe"))
    sweep_id = path.rsplit("/", 1)[1]
    columns = open_columns(built.store, sweep_id)
    record = built.store.sweeps.get(sweep_id)
    assert record is not None
    spec = SweepSpec.from_json(record.spec)
    here = compute_verdict(columns, spec, built.store.datasets.load_bars)
    assert {"sweep_id": sweep_id, "complete": True, **here} == answer.json
    # It is kept: the same question is answered without a worker.
    assert built.client.get(f"{path}/verdict").json == answer.json


def test_a_verdict_before_the_end_is_provisional_and_is_not_taken_for_the_last(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep_id = web.client.post(PATH, json=SWEEP).json["sweep_id"]
    asked: list[dict[str, Any]] = []

    def answer(record: Any, kind: str, args: dict[str, Any]) -> Any:
        asked.append(args)
        return build_json({"sweep_id": record.sweep_id})

    monkeypatch.setattr("webapp.api.sweep_results.answer_by_worker", answer)
    web.client.get(f"{PATH}/{sweep_id}/verdict")
    assert asked == [{"is_final": False, "version": VERDICT_VERSION}]


def test_a_verdict_of_an_earlier_method_is_computed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = build_web(tmp_path, executor="inline")
    path = f"{PATH}/{built.client.post(PATH, json=SWEEP).json['sweep_id']}/verdict"
    n_computed = 0

    def judge(*_: Any, **__: Any) -> dict[str, Any]:
        nonlocal n_computed
        n_computed += 1
        return {"word": "unknown"}

    monkeypatch.setattr("tasks.sweep_verdict.compute_verdict", judge)
    for version, n_wanted in (("old", 1), ("old", 1), ("new", 2), ("new", 2)):
        monkeypatch.setattr("webapp.api.sweep_results.VERDICT_VERSION", version)
        assert built.client.get(path).status_code == 200
        assert n_computed == n_wanted


def test_a_combination_opens_as_a_run_with_equal_metrics(done: tuple[Web, str]) -> None:
    built, path = done
    best = built.client.get(path).json["best"]
    found = CombinationView.model_validate(
        built.client.get(f"{path}/combinations/{best['index']}").json
    )
    assert (found.params, found.trading) == (best["params"], best["trading"])
    assert not found.excluded
    run = built.client.post("/api/v1/runs", json=found.run)
    metrics = built.client.get(f"/api/v1/runs/{run.json['run_id']}").json["metrics"]
    for name, value in best["metrics"].items():
        assert metrics[name] == pytest.approx(value, rel=1e-9), name
    for index in ("72", "-1", "x", "9" * 30):
        assert built.client.get(f"{path}/combinations/{index}").status_code == 404


def test_chunks_are_shown_one_letter_each(done: tuple[Web, str]) -> None:
    built, path = done
    shown = ChunkStates.model_validate(built.client.get(f"{path}/chunks").json)
    assert shown.states == "d" * shown.chunks.total


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_nothing_is_exported_before_everything_is_there(web: Web, ending: str) -> None:
    sweep_id = web.client.post(PATH, json=SWEEP).json["sweep_id"]
    answer = web.client.get(f"{PATH}/{sweep_id}/export.{ending}")
    assert answer.status_code == 409
    assert "queued" in answer.json["detail"]


def test_a_question_that_no_worker_has_answered_yet_is_202(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webapp.sweep_queries._LONGEST_WAIT_SECONDS", 0.1)
    sweep_id = web.client.post(PATH, json=SWEEP).json["sweep_id"]
    answer = web.client.get(f"{PATH}/{sweep_id}/heatmap")
    assert (answer.status_code, answer.json) == (202, {"state": "computing"})
    assert answer.headers["Retry-After"] == "1"
    partial = Ranking.model_validate(web.client.get(f"{PATH}/{sweep_id}/ranking").json)
    assert (partial.rows, partial.complete, partial.total) == ([], False, None)
