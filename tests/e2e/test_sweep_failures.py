"""Chunks that failed, as the sweep page shows them and computes them again."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import httpx
from playwright.sync_api import Route, expect

from tests.e2e.conftest import ROOT
from tests.e2e.page_helpers import Visit
from tests.e2e.sweep_helpers import (
    open_done_sweep,
    submit_sweep,
    wait_for_results,
    wait_for_sweep,
)


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
    # No worker may hold these bars from before.
    lines = (ROOT / "data" / "IBM.csv").read_text().splitlines(keepends=True)
    file = {"file": ("frail.csv", "".join(lines[:-1]))}
    address = f"{visit.platform.url}/api/v1/datasets"
    httpx.post(address, data={"symbol": "FRAIL"}, files=file, timeout=60).raise_for_status()
    with damaged_bars(visit, "FRAIL"):
        sweep_id = submit_sweep(visit, dataset="FRAIL")
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


def test_a_paused_sweep_is_followed_again_after_an_outage(visit: Visit) -> None:
    visit.allowed = lambda text: "status of 503" in text
    page = visit.page
    stored = wait_for_sweep(visit, submit_sweep(visit))
    outage = {"now": False}

    def answer(route: Route) -> None:
        if outage["now"]:
            route.fulfill(status=503, json={"detail": "away"})
        elif "if-none-match" in route.request.headers:
            route.fulfill(status=304, headers={"ETag": '"same"'})
        else:
            route.fulfill(json={**stored, "state": "paused"}, headers={"ETag": '"same"'})

    page.route(re.compile(f"/api/v1/sweeps/{stored['sweep_id']}$"), answer)
    page.goto(f"/sweep/{stored['sweep_id']}")
    expect(page.locator("#sweep-state")).to_have_text("paused")
    outage["now"] = True
    expect(page.locator("#banner")).to_contain_text("Next try")
    outage["now"] = False
    expect(page.locator("#banner")).to_be_hidden()


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
