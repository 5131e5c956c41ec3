"""What the page reads piece by piece, and what people save."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.data_commands import run_group
from storage.records import NewRun
from tests.support.web import Web, inline_web, submit
from webapp.definition_schemas import Definitions
from webapp.schemas import PageSeries, PageTrades, PageView, RunCharts, TradeView

__all__ = ["inline_web"]


def test_the_view_holds_everything_of_the_five_tabs_but_series_and_trades(
    inline_web: Web,
) -> None:
    run_id = submit(inline_web)
    answer = inline_web.client.get(f"/api/v1/runs/{run_id}/view")
    view = PageView.model_validate(answer.json)
    assert (view.run_id, view.n_bars, view.spacing) == (run_id, 300, "daily")
    wanted = {"benchmark", "returns", "drawdowns", "warnings", "trade_histogram", "final"}
    assert wanted <= answer.json.keys()


def test_series_are_thinned_to_the_asked_number_of_points(inline_web: Web) -> None:
    run_id = submit(inline_web)
    base = f"/api/v1/runs/{run_id}/series"
    every = inline_web.client.get(f"{base}?names=equity,benchmark&points=2000").json
    PageSeries.model_validate(every)
    assert every["idx"] == list(range(300))
    thin = inline_web.client.get(f"{base}?names=equity&points=50").json
    assert len(thin["idx"]) <= 50
    assert min(thin["equity"]) == min(every["equity"])
    assert max(thin["equity"]) == max(every["equity"])
    part = inline_web.client.get(f"{base}?names=close&start_idx=10&end_idx=19").json
    assert part["idx"] == list(range(10, 20))


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("names=colour", "names"),
        ("names=time", "names"),
        ("names=,", "names"),
        ("names=equity&points=1", "points"),
        ("names=equity&points=1000000", "points"),
        ("names=equity&start_idx=-1", "start_idx"),
        ("names=equity&end_idx=x", "end_idx"),
    ],
)
def test_a_series_that_cannot_be_answered_is_refused(
    inline_web: Web, query: str, field: str
) -> None:
    run_id = submit(inline_web)
    answer = inline_web.client.get(f"/api/v1/runs/{run_id}/series?{query}")
    assert answer.status_code == 422
    assert answer.json["errors"][0]["field"] == field


def test_trades_carry_the_bars_they_belong_to(inline_web: Web) -> None:
    run_id = submit(inline_web)
    page = PageTrades.model_validate(inline_web.client.get(f"/api/v1/runs/{run_id}/trades").json)
    assert page.trades
    assert all(trade.entry_idx <= trade.exit_idx for trade in page.trades)


def test_trades_come_in_columns_of_the_same_numbers(inline_web: Web) -> None:
    base = f"/api/v1/runs/{submit(inline_web)}/trades"
    client = inline_web.client
    trades = client.get(base).json["trades"]
    expected = {name: [trade[name] for trade in trades] for name in trades[0]}
    expected["number"] = list(range(1, len(trades) + 1))
    view = TradeView.model_validate(client.get(f"{base}/view").json)
    assert (view.n_trades, view.n_found, view.trades) == (len(trades), len(trades), expected)
    lines = client.get(f"{base}/lines")
    assert lines.mimetype == "application/x-ndjson"
    assert [json.loads(line) for line in lines.text.splitlines()] == [expected]
    second = trades[1]
    window = f"start_idx={second['exit_idx']}&end_idx={trades[2]['entry_idx']}"
    assert client.get(f"{base}/view?{window}").json["trades"]["number"] == [2, 3]
    thinned = client.get(f"{base}/view?limit=2").json
    assert thinned["n_found"] == len(trades) > len(thinned["trades"]["number"])


def test_the_four_charts_are_pictures(inline_web: Web) -> None:
    run_id = submit(inline_web)
    charts = RunCharts.model_validate(inline_web.client.get(f"/api/v1/runs/{run_id}/charts").json)
    assert all(item.startswith("data:image/png;base64,iVBOR") for item in vars(charts).values())


@pytest.mark.parametrize(
    "path", ["result", "view", "trades", "trades/view", "trades/lines", "charts"]
)
def test_a_result_the_client_holds_is_not_sent_again(inline_web: Web, path: str) -> None:
    url = f"/api/v1/runs/{submit(inline_web)}/{path}"
    etag = inline_web.client.get(url).headers["ETag"]
    assert inline_web.client.get(url, headers={"If-None-Match": etag}).status_code == 304


@pytest.mark.parametrize("table", ["metrics", "equity", "drawdown", "portfolio", "trades"])
def test_each_tab_exports_csv_and_json(inline_web: Web, table: str) -> None:
    base = f"/api/v1/runs/{submit(inline_web)}/export/{table}"
    as_csv, as_json = (inline_web.client.get(f"{base}.{kind}") for kind in ("csv", "json"))
    assert (as_csv.mimetype, as_json.mimetype) == ("text/csv", "application/json")
    assert "WALK_rsi_" in as_csv.headers["Content-Disposition"]
    rows = list(csv.reader(io.StringIO(as_csv.text, newline="")))
    assert len({len(row) for row in rows}) == 1
    data = json.loads(as_json.data)
    n_rows = len(data[{"metrics": "metrics", "trades": "trades"}.get(table, "time")])
    assert len(rows) - 1 == n_rows > 0
    identity = {name: data[name] for name in ("run_id", "fingerprint", "definitions_version")}
    assert identity["run_id"] in base
    assert rows[0][-3:] == list(identity)
    assert rows[1][-3:] == list(identity.values())
    assert all(row[-3:] == ["", "", ""] for row in rows[2:])


def test_the_drawdown_is_exported_with_its_deepest_episodes(inline_web: Web) -> None:
    run_id = submit(inline_web)
    base = f"/api/v1/runs/{run_id}"
    shown = inline_web.client.get(f"{base}/view").json["drawdowns"]
    names = ("depth", "peak_time", "trough_time", "recovery_time", "bars", "days")
    wanted = [{name: found[name] for name in names} for found in shown]
    assert len(wanted) > 1
    listed = json.loads(inline_web.client.get(f"{base}/export/drawdown.json").data)["episodes"]
    numbered = [{"episode": i, **found} for i, found in enumerate(wanted, start=1)]
    assert listed == numbered
    text = inline_web.client.get(f"{base}/export/drawdown.csv").text
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    for found, row in zip(numbered, rows, strict=False):
        assert {name: row[name] for name in found} == {
            name: "" if value is None else str(value) for name, value in found.items()
        }
    assert {row["episode"] for row in rows[len(numbered) :]} == {""}


def test_the_report_is_one_page_under_a_policy_without_scripts(inline_web: Web) -> None:
    run_id = submit(inline_web)
    answer = inline_web.client.get(f"/api/v1/runs/{run_id}/report.html")
    assert (answer.status_code, answer.mimetype) == (200, "text/html")
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "script-src" not in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    page = answer.text
    assert re.findall(r"(?:src|href)=|url\(|@import", page) == [], "needs nothing but itself"
    fingerprint = inline_web.client.get(f"/api/v1/runs/{run_id}").json["fingerprint"]
    for name, value in (("run-id", run_id), ("fingerprint", fingerprint)):
        assert f'<meta name="{name}" content="{value}">' in page
    held = {"If-None-Match": answer.headers["ETag"]}
    again = inline_web.client.get(f"/api/v1/runs/{run_id}/report.html", headers=held)
    assert again.status_code == 304


def test_the_command_line_writes_the_same_report(
    inline_web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = submit(inline_web)
    monkeypatch.setenv("STOCK_BACKTEST_DATABASE_URL", inline_web.settings.database_url)
    file = tmp_path / "report.html"
    done = CliRunner().invoke(run_group, ["show", run_id, "--report", str(file)])
    assert done.exit_code == 0, done.output
    shown = inline_web.client.get(f"/api/v1/runs/{run_id}/report.html").text
    assert file.read_text(encoding="utf-8") == shown


def test_every_metric_of_a_run_is_explained(inline_web: Web) -> None:
    answer = inline_web.client.get("/api/v1/definitions")
    definitions = Definitions.model_validate(answer.json)
    view = inline_web.client.get(f"/api/v1/runs/{submit(inline_web)}/view").json
    shown = {name for name in view["metrics"] if not name.startswith("benchmark_")}
    assert {item.name for item in definitions.metrics} == shown
    assert {item.name for item in definitions.conventions} == set(view["conventions"])
    assert view["definitions_version"] == definitions.definitions_version


@pytest.mark.parametrize("name", ["secrets.csv", "equity.xlsx", "equity", "..%2fequity.csv"])
def test_other_exports_do_not_exist(inline_web: Web, name: str) -> None:
    answer = inline_web.client.get(f"/api/v1/runs/{submit(inline_web)}/export/{name}")
    assert answer.status_code == 404
    assert answer.mimetype == "application/problem+json"


def test_a_symbol_cannot_break_out_of_the_file_name(inline_web: Web) -> None:
    store = inline_web.store
    record = store.runs.get(submit(inline_web))
    assert record is not None
    run_id = "11111111-1111-4111-8111-111111111111"
    store.runs.insert(
        NewRun(run_id, record.fingerprint, record.spec, 'A"\r\nX-Evil: 1/..', record.rule)
    )
    claim = store.runs.claim(run_id, "w", 60, 3)
    assert claim is not None
    summary = store.runs.load_summary(record.run_id)
    columns = store.runs.load_columns(record.run_id)
    assert summary is not None
    assert columns is not None
    assert store.runs.finish(run_id, claim.attempt, summary, [], columns)
    header = inline_web.client.get(f"/api/v1/runs/{run_id}/export/equity.csv").headers[
        "Content-Disposition"
    ]
    assert header == 'attachment; filename="A___X-Evil__1_.._rsi_11111111_equity.csv"'
