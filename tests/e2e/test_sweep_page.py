"""The sweep page in Chromium: from the form to a combination opened as a run."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.page_helpers import Visit
from tests.e2e.test_contrast import FAINT_TEXT
from tests.support.processes import wait_until

SWEEP_IN_ADDRESS = re.compile(r"/sweep/[0-9a-f-]{36}")
SPACE = {"window": "5:24", "oversold": "20:40:2", "overbought": "65,75"}
# Larger than the figures on the page show: nothing but the format may differ.
VERDICT_WORDS = re.compile("^(LIKELY LUCK|UNPROVEN|LIKELY REAL)$")
SHOWN_METRICS = ("sharpe", "total_return", "max_drawdown", "win_rate", "n_trades", "cagr")


def submit_sweep(visit: Visit, **request: Any) -> str:
    body = {"dataset": "AAPL", "rule": "rsi", "space": SPACE, "min_trades": 3, **request}
    return str(visit.platform.call("POST", "/api/v1/sweeps", body)["sweep_id"])


def wait_for_sweep(visit: Visit, sweep_id: str, seconds: float = 60.0) -> dict[str, Any]:
    def ended() -> dict[str, Any] | None:
        sweep: dict[str, Any] = visit.platform.call("GET", f"/api/v1/sweeps/{sweep_id}")
        return sweep if sweep["state"] in ("succeeded", "failed", "cancelled") else None

    found = wait_until(ended, seconds, f"sweep {sweep_id} ends")
    assert found is not None
    return found


def open_done_sweep(visit: Visit, query: str = "", **request: Any) -> dict[str, Any]:
    """Compute a sweep through the API, which remembers it, and open it."""
    sweep = wait_for_sweep(visit, submit_sweep(visit, **request))
    assert sweep["state"] == "succeeded", sweep["error"]
    visit.page.goto(f"/sweep/{sweep['sweep_id']}{query}")
    wait_for_results(visit.page)
    return sweep


def wait_for_results(page: Page) -> None:
    expect(page.locator("#sweep-state")).to_have_text("done", timeout=60_000)
    expect(page.locator("#ranking-count")).to_contain_text("of")
    expect(page.locator("#heat-metric")).to_be_visible()
    expect(page.locator("#distribution svg")).to_be_visible()
    # The longest answer: until it is there, the only worker answers nothing else.
    expect(page.locator(".verdict-word")).to_be_visible(timeout=60_000)


def assert_run_equals(visit: Visit, metrics: dict[str, Any]) -> None:
    """The run that is open has the metrics that the sweep has for it."""
    visit.wait_for_result()
    run_id = re.search(r"run=([0-9a-f-]{36})", visit.page.url)
    assert run_id is not None
    run = visit.platform.call("GET", f"/api/v1/runs/{run_id[1]}")
    assert {name: run["metrics"][name] for name in SHOWN_METRICS} == pytest.approx(
        {name: metrics[name] for name in SHOWN_METRICS}, rel=1e-9, abs=1e-12
    )


def test_a_sweep_goes_from_the_form_over_its_heat_map_to_a_run_with_equal_metrics(
    visit: Visit,
) -> None:
    page = visit.page
    page.goto("/sweep")
    page.select_option("#field-rule", "rsi")
    for name, text in SPACE.items():
        page.fill(f"#field-space-{name}", text)
    page.fill("#field-min_trades", "3")
    expect(page.locator("#estimate")).to_contain_text("20 × 11 × 2")
    expect(page.locator("#estimate")).to_contain_text("440 combinations")
    page.click("#sweep-button")
    expect(page).to_have_url(SWEEP_IN_ADDRESS)
    wait_for_results(page)
    expect(page.locator("#sweep-heading")).to_contain_text("440 combinations")
    expect(page.locator("#n-done")).to_have_text("440")
    expect(page.locator(".verdict-word")).to_have_text(VERDICT_WORDS, timeout=30_000)
    expect(page.locator(".ranking tr.is-pinned")).to_contain_text("PLATEAU")

    # By keyboard: the first arrow goes to the raw best, Enter opens what the cell stands for.
    page.focus("#heatmap")
    page.keyboard.press("ArrowRight")
    sweep_id = urlsplit(page.url).path.rsplit("/", 1)[1]
    best = visit.platform.call("GET", f"/api/v1/sweeps/{sweep_id}")
    levels = best["best"]["params"]
    readout = page.locator("#heat-readout")
    expect(readout).to_contain_text(f"window {levels['window']}")
    expect(readout).to_contain_text(f"oversold {levels['oversold']:g}")
    page.keyboard.press("Enter")
    assert_run_equals(visit, best["best"]["metrics"])


def test_a_row_of_the_ranking_opens_as_a_run_and_the_plateau_has_a_button(visit: Visit) -> None:
    page = visit.page
    sweep = open_done_sweep(visit)
    page.click("#open-plateau")
    assert_run_equals(visit, sweep["plateau"]["metrics"])
    page.go_back()
    wait_for_results(page)
    path = f"/api/v1/sweeps/{sweep['sweep_id']}/ranking?metric=calmar&limit=2"
    page.locator(".ranking button.sort", has_text="Calmar").click()
    second = visit.platform.call("GET", path)["rows"][1]
    row = page.locator(f".ranking tr[data-index='{second['index']}']").last
    expect(row).to_be_visible()
    expect(page).to_have_url(re.compile("sort=calmar"))
    row.click()
    assert_run_equals(visit, second["metrics"])


def test_the_verdict_stands_beside_the_winner_and_explains_its_figures(visit: Visit) -> None:
    page = visit.page
    sweep = open_done_sweep(visit)
    expect(page.locator(".verdict-word")).to_have_text(VERDICT_WORDS, timeout=30_000)
    verdict = visit.platform.call("GET", f"/api/v1/sweeps/{sweep['sweep_id']}/verdict")
    assert verdict["complete"]
    assert verdict["best"]["index"] == sweep["best"]["index"]
    assert page.inner_text(".verdict-word") == verdict["word"].replace("_", " ").upper()
    for name in ("psr", "dsr_effective", "dsr_raw"):
        cells = page.locator(f".verdict-table tr[data-figure={name}] td.n")
        expect(cells.nth(0)).to_have_text(f"{verdict['best'][name]:.3f}")
        expect(cells.nth(1)).to_have_text(f"{verdict['plateau'][name]:.3f}")
    pbo = page.locator(".verdict-table tr[data-figure=pbo]")
    expect(pbo.locator("td.n").first).to_have_text(f"{verdict['pbo']['value']:.3f}")
    expect(pbo.locator("svg rect")).to_have_count(1)  # the null band
    reasons = page.locator(".verdict-reasons li")
    expect(reasons).to_have_count(len(verdict["reasons"]))
    signs = reasons.locator("span").evaluate_all("nodes => nodes.map((node) => node.ariaLabel)")
    assert signs == [{"+": "for", "-": "against"}[item["sign"]] for item in verdict["reasons"]]
    expect(page.locator(".verdict-advice")).to_contain_text(verdict["advice"])
    expect(page.locator("#luck-panel header .push")).to_be_empty()  # no longer provisional
    # By keyboard: one stop, arrows from figure to figure, each with its definition.
    page.locator(".verdict-table .term").first.focus()
    for words in ("Deflated Sharpe ratio", "worst case", "backtest overfitting", "neighbours"):
        page.keyboard.press("ArrowDown")
        expect(page.locator("#tooltip")).to_contain_text(words)


def test_the_view_of_a_sweep_is_in_its_address(visit: Visit) -> None:
    page = visit.page
    open_done_sweep(visit)
    page.select_option("#heat-metric", "calmar")
    page.click("#other-median")
    expect(page.locator("#other-median")).to_have_attribute("aria-pressed", "true")
    page.select_option("#heat-x", "overbought")
    expect(page.locator("#heat-x")).to_have_value("overbought")
    page.fill("#ranking-filter", "sharpe>0.1")
    expect(page).to_have_url(re.compile("filter=sharpe"))
    page.locator("#main").focus()  # not by Escape, which empties a field for searching
    page.keyboard.press("2")
    expect(page.locator("#parallel-readout")).to_contain_text("of")
    page.reload()
    expect(page.locator("#heat-metric")).to_have_value("calmar")
    expect(page.locator("#heat-x")).to_have_value("overbought")
    expect(page.locator("#other-median")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#tab-parallel")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#parallel-readout")).to_contain_text("of")
    page.click("#other-fixed")
    expect(page.locator(".heat-fixed select")).to_have_count(1)
    page.keyboard.press("3")
    expect(page.locator("#panel-marginals figure")).to_have_count(3)
    page.keyboard.press("1")
    expect(page.locator("#ranking-filter")).to_have_value("sharpe>0.1")


def test_a_command_sweeps_and_keys_pause_resume_and_cancel(visit: Visit) -> None:
    page = visit.page
    page.goto("/")
    visit.command(
        "SWEEP AAPL RSI window=2..101 oversold=1..40 overbought=60..99"
        " stop_loss=off,0.01:0.2:0.01 GO"
    )
    expect(page).to_have_url(SWEEP_IN_ADDRESS)
    state = page.locator("#sweep-state")
    expect(page.locator("#pause-sweep")).to_be_visible()
    page.keyboard.press("p")
    expect(state).to_have_text("paused")
    expect(page.locator("#resume-sweep")).to_be_visible()
    page.reload()
    expect(state).to_have_text("paused")
    done = page.locator("#n-done").inner_text()
    page.wait_for_timeout(700)
    assert page.locator("#n-done").inner_text() == done
    page.keyboard.press("p")
    expect(page.locator("#pause-sweep")).to_be_visible()
    # It asks, and Enter agrees.
    page.keyboard.press("c")
    expect(page.locator("dialog")).to_contain_text("Cancel sweep")
    page.keyboard.press("Enter")
    expect(state).to_have_text("cancelled")
    expect(page.locator("#cancel-sweep")).to_be_hidden()


def test_sweeps_are_listed_stand_out_and_fit_every_width(visit: Visit) -> None:
    page = visit.page
    sweep = open_done_sweep(visit)
    for width in (1280, 1920, 360):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
    assert page.evaluate(FAINT_TEXT) == []
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto("/sweep")
    row = page.locator(f"#sweeps-table tr[data-sweep='{sweep['sweep_id']}']")
    expect(row).to_contain_text("window × oversold")
    assert page.evaluate(FAINT_TEXT) == []
    row.click()
    wait_for_results(page)


def test_the_axes_of_a_heat_map_stay_when_something_else_changes(visit: Visit) -> None:
    page = visit.page
    space = {"window": "5:24", "oversold": "20,20.5", "overbought": "60:80:2"}
    sweep = open_done_sweep(visit, space=space)
    shown = visit.platform.call("GET", f"/api/v1/sweeps/{sweep['sweep_id']}/heatmap")
    axes = [shown["x"]["name"], shown["y"]["name"]]
    # Otherwise the server's choice for another question would be the same by chance.
    assert axes != ["window", "oversold"]
    page.click("#other-median")
    expect(page.locator("#other-median")).to_have_attribute("aria-pressed", "true")
    for name, axis in zip(("x", "y"), axes, strict=True):
        expect(page.locator(f"#heat-{name}")).to_have_value(axis)
        expect(page).to_have_url(re.compile(f"[?&]{name}={axis}"))


def test_the_list_of_sweeps_is_asked_for_once(visit: Visit) -> None:
    sweep = open_done_sweep(visit)
    asked: list[str] = []
    visit.page.on("request", lambda request: asked.append(urlsplit(request.url).path))
    visit.page.goto("/sweep")
    row = visit.page.locator(f"#sweeps-table tr[data-sweep='{sweep['sweep_id']}']")
    for name in ("best", "plateau"):
        expect(row).to_contain_text(f"{sweep[name]['metrics']['sharpe']:.2f}".replace("-", "−"))
    assert [path for path in asked if path.startswith("/api/v1/sweeps/")] == []


def test_a_stretch_of_an_axis_keeps_its_lines_and_goes_into_address_and_ranking(
    visit: Visit,
) -> None:
    page = visit.page
    sweep = open_done_sweep(visit)
    page.click("#tab-parallel")
    expect(page.locator("#parallel-readout")).to_contain_text("of")
    box = page.locator("#parallel").bounding_box()
    assert box is not None
    # The first axis stands 46 px from the left, its levels between 26 px and 12 px from the ends.
    x, top, height = box["x"] + 46, box["y"] + 26, box["height"] - 38
    page.mouse.move(x, top - 8)
    page.mouse.down()
    page.mouse.move(x, top + height / 2, steps=4)
    page.mouse.up()
    field = page.locator("#brush")
    expect(field).to_have_value("window=15..24")
    expect(page.locator("#brush-count")).to_contain_text(re.compile(r"^\d+ of \d+ lines"))
    # By keyboard the same, in words.
    field.press("End")
    field.press_sequentially(" overbought=65 sharpe=0..")
    expect(page).to_have_url(re.compile("keep=window%3D15..24\\+overbought%3D65\\+sharpe%3D0.."))
    page.reload()
    expect(field).to_have_value("window=15..24 overbought=65 sharpe=0..")
    expect(page.locator("#brush-count")).to_contain_text("lines")
    page.focus("#parallel")
    page.keyboard.press("ArrowDown")
    readout = page.locator("#parallel-readout")
    expect(readout).to_contain_text("overbought 65")
    page.click("#brush-rank")
    path = f"/api/v1/sweeps/{sweep['sweep_id']}/ranking?limit=1&filter=window>=15&filter=window<=24"
    found = visit.platform.call("GET", f"{path}&filter=overbought=65&filter=sharpe>=0")
    expect(page.locator("#ranking-count")).to_contain_text(f"of {found['total']}")
    expect(page.locator(f".ranking tr[data-index='{found['rows'][0]['index']}']")).to_be_visible()


def test_brushes_that_cannot_be_read_say_what_to_write(visit: Visit) -> None:
    page = visit.page
    open_done_sweep(visit)
    page.click("#tab-parallel")
    error = page.locator("#brush-error")
    for text, remedy in {
        "windw=1..2": "no axis windw; there are window, oversold, overbought, sharpe",
        "window": "write name=from..to",
        "window=9..5": "write window=from..to",
    }.items():
        page.fill("#brush", text)
        expect(error).to_contain_text(remedy)
    page.fill("#brush", "window=10..12")
    expect(error).to_be_empty()
    page.click("#brush-clear")
    expect(page.locator("#brush")).to_have_value("")
    expect(page.locator("#brush-count")).to_be_empty()


def test_older_sweeps_are_one_press_away(visit: Visit) -> None:
    page = visit.page
    for window in range(5, 58):
        submit_sweep(visit, space={"window": f"{window}:{window + 1}"})
    page.goto("/sweep")
    rows = page.locator("#sweeps-table tr[data-sweep]")
    expect(rows).to_have_count(50)
    page.click("#older-sweeps")
    wait_until(lambda: rows.count() >= 53, 20, "older sweeps are listed")
    expect(page.locator("#older-sweeps")).to_be_hidden()


def read_near(page: Page) -> list[str]:
    """The neighbourhood of every row of the ranking, as shown."""
    heads = page.locator(".ranking thead th").all_inner_texts()
    column = next(idx for idx, text in enumerate(heads) if text.strip().lower() == "near")
    return page.locator(f".ranking tbody td:nth-child({column + 1})").all_inner_texts()


def test_every_ranking_shows_neighbourhoods_those_of_a_sweep_that_waits_too(visit: Visit) -> None:
    page = visit.page
    open_done_sweep(visit, "?filter=sharpe>0.1")
    assert read_near(page)
    assert "–" not in read_near(page)
    sweep_id = submit_sweep(
        visit, space={"window": "2:101", "oversold": "1:40", "overbought": "60:99"}
    )
    path = f"/api/v1/sweeps/{sweep_id}"
    wait_until(
        lambda: visit.platform.call("GET", path)["chunks"]["done"] > 0, 60, "a chunk is done"
    )
    visit.platform.call("POST", f"{path}/pause")
    page.goto(f"/sweep/{sweep_id}")
    expect(page.locator("#sweep-state")).to_have_text("paused")
    expect(page.locator("#ranking-count")).to_contain_text("so far")
    wait_until(lambda: bool({*read_near(page)} - {"–"}), 30, "a worker looks at neighbours")
    visit.platform.call("POST", f"{path}/cancel")


@contextmanager
def damaged_bars(visit: Visit, symbol: str) -> Iterator[None]:
    """Bars in the database that no worker can read, as after a bad restore."""
    where = "sha256 = (SELECT sha256 FROM datasets WHERE symbol = ?) AND kind = 'close'"
    with closing(sqlite3.connect(visit.platform.state_dir / "stock_backtest.db", timeout=30)) as db:
        query = f"SELECT seq, data FROM dataset_blocks WHERE {where}"
        kept = db.execute(query, (symbol,)).fetchall()
        with db:
            db.execute(f"UPDATE dataset_blocks SET data = x'00' WHERE {where}", (symbol,))
        try:
            yield
        finally:
            with db:
                for seq, data in kept:
                    update = f"UPDATE dataset_blocks SET data = ? WHERE {where} AND seq = ?"
                    db.execute(update, (data, symbol, seq))


def test_a_chunk_that_failed_is_shown_and_computed_again(visit: Visit) -> None:
    page = visit.page
    with damaged_bars(visit, "IBM"):
        sweep_id = submit_sweep(visit, dataset="IBM")
        page.goto(f"/sweep/{sweep_id}")
        expect(page.locator("#sweep-state")).to_have_text("failed")
        expect(page.locator("#state-panel")).to_contain_text("retry")
        expect(page.locator("#retry-sweep")).to_have_text(re.compile("Retry 1"))
    page.locator("#main").focus()
    page.keyboard.press("r")
    wait_for_results(page)
    expect(page.locator("#retry-sweep")).to_be_hidden()
    expect(page.locator("#state-panel")).to_be_hidden()
    expect(page.locator("#n-done")).to_have_text("440")


def test_cells_of_a_failed_chunk_are_marked_as_failed_until_it_is_computed(visit: Visit) -> None:
    page = visit.page
    space = {"window": "2:61", "oversold": "10:40", "overbought": "60:75"}
    sweep = open_done_sweep(visit, space=space)
    sweep_id = sweep["sweep_id"]
    expect(page.locator(".heat-legend")).not_to_contain_text("failed")
    first, stop = fail_last_chunk(visit, sweep_id)
    found = visit.platform.call("GET", f"/api/v1/sweeps/{sweep_id}/heatmap")
    assert 0 < sum(map(sum, found["n_failed"])) <= stop - first
    page.goto(f"/sweep/{sweep_id}?x=window&y=oversold")
    expect(page.locator("#sweep-state")).to_have_text("failed")
    expect(page.locator(".heat-legend")).to_contain_text("failed")
    # The last chunk holds the upper right corner, however the chunks were cut.
    page.focus("#heatmap")
    for key in ("Shift+ArrowRight",) * 7 + ("Shift+ArrowUp",) * 4:
        page.keyboard.press(key)
    expect(page.locator("#heat-readout")).to_contain_text("window 61")
    expect(page.locator("#heat-readout")).to_contain_text(re.compile(r"\d+ failed"))
    page.keyboard.press("r")
    wait_for_results(page)
    expect(page.locator(".heat-legend")).not_to_contain_text("failed")
    assert (
        visit.platform.call("GET", f"/api/v1/sweeps/{sweep_id}")["result_sha256"]
        == (sweep["result_sha256"])
    )


def fail_last_chunk(visit: Visit, sweep_id: str) -> tuple[int, int]:
    """Leave a sweep as it is when its last chunk used up its attempts; returns its positions."""
    path = visit.platform.state_dir / "stock_backtest.db"
    error = json.dumps({"code": "worker_lost", "message": "its process ended", "remedy": "retry"})
    with closing(sqlite3.connect(path, timeout=30)) as db, db:
        query = "SELECT id FROM sweeps WHERE sweep_id = ?"
        number = int(db.execute(query, (sweep_id,)).fetchone()[0])
        query = "SELECT idx, first, stop FROM sweep_chunks WHERE sweep_number = ? ORDER BY idx DESC"
        idx, first, stop = db.execute(query, (number,)).fetchone()
        where = "WHERE sweep_number = ? AND idx = ?"
        change = f"UPDATE sweep_chunks SET state = 'failed', error = ? {where}"
        db.execute(change, (error, number, idx))
        db.execute(f"DELETE FROM sweep_blocks {where}", (number, idx))
        mine = "WHERE sweep_number = ? AND position >= ?"
        db.execute(f"DELETE FROM sweep_best {mine}", (number, first))
        db.execute("DELETE FROM sweep_artifacts WHERE sweep_number = ?", (number,))
        change = "UPDATE sweeps SET state = 'failed', result_sha256 = NULL, error = ?"
        db.execute(f"{change}, version = version + 1 WHERE id = ?", (error, number))
    return int(first), int(stop)
