"""The list of sweeps in Chromium."""

from __future__ import annotations

from urllib.parse import urlsplit

from playwright.sync_api import expect

from tests.e2e.page_helpers import Visit
from tests.e2e.sweep_helpers import open_done_sweep, submit_sweep, wait_for_results
from tests.support.processes import wait_until


def test_a_sweep_is_listed_and_opened(visit: Visit) -> None:
    page = visit.page
    sweep = open_done_sweep(visit)
    page.goto("/sweep")
    row = page.locator(f"#sweeps-table tr[data-sweep='{sweep['sweep_id']}']")
    expect(row).to_contain_text("window × oversold")
    row.click()
    wait_for_results(page)


def test_the_list_of_sweeps_is_asked_for_once(visit: Visit) -> None:
    sweep = open_done_sweep(visit)
    asked: list[str] = []
    visit.page.on("request", lambda request: asked.append(urlsplit(request.url).path))
    visit.page.goto("/sweep")
    row = visit.page.locator(f"#sweeps-table tr[data-sweep='{sweep['sweep_id']}']")
    for name in ("best", "plateau"):
        expect(row).to_contain_text(f"{sweep[name]['metrics']['sharpe']:.2f}".replace("-", "−"))
    assert [path for path in asked if path.startswith("/api/v1/sweeps/")] == []


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
