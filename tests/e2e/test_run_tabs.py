"""The tabs of a result: zoom, trades, what the address restores, what is exported."""

from __future__ import annotations

import json
import re
from pathlib import Path

from playwright.sync_api import Route, expect

from tests.e2e.page_helpers import Visit


def test_the_address_restores_run_tab_zoom_and_trade(visit: Visit) -> None:
    page = visit.page
    run_id = visit.open_run("drawdown")
    visit.wait_for_charts("drawdown")
    page.click("#panel-drawdown tbody tr:nth-child(2) button")
    expect(page).to_have_url(re.compile(r"zoom=\d+-\d+"))
    page.click("#tab-trades")
    page.click("#panel-trades tbody tr[data-at='2'] td:nth-child(2)")
    expect(page).to_have_url(re.compile(r"trade=3"))
    heading = page.locator(".trade-heading").inner_text()
    address = page.url
    page.goto("/help")
    page.goto(address)
    visit.wait_for_result()
    assert f"run={run_id}" in page.url
    expect(page.locator("#tab-trades")).to_have_attribute("aria-selected", "true")
    expect(page.locator(".trade-heading")).to_have_text(heading, use_inner_text=True)
    expect(page.locator("#panel-trades tbody tr[aria-selected=true] td").first).to_have_text("3")
    page.go_back()
    expect(page.locator("h1")).to_have_text("Help")


def test_a_drag_zooms_every_pane_and_the_other_tabs_follow(visit: Visit) -> None:
    page = visit.page
    visit.open_run("equity")
    visit.wait_for_charts("equity")
    over = page.locator("#panel-equity .u-over").nth(1).bounding_box()
    assert over is not None
    page.mouse.move(over["x"] + over["width"] * 0.25, over["y"] + 20)
    page.mouse.down()
    page.mouse.move(over["x"] + over["width"] * 0.5, over["y"] + 30, steps=5)
    page.mouse.up()
    expect(page).to_have_url(re.compile(r"zoom=\d+-\d+"))
    match = re.search(r"zoom=(\d+)-(\d+)", page.url)
    assert match is not None
    first, last = int(match[1]), int(match[2])
    assert abs(first - 3270 * 0.25) < 40
    assert abs(last - 3270 * 0.5) < 40
    page.click("#tab-portfolio")
    visit.wait_for_charts("portfolio")
    # The read-out without a crosshair is that of the last visible bar.
    page.mouse.move(5, 5)
    series = visit.platform.call(
        "GET",
        f"/api/v1/runs/{page.url.split('run=')[1][:36]}/series?names=cash&start_idx={last}&points=9",
    )
    expect(page.locator("#panel-portfolio .pane-readout").first).to_contain_text(
        f"cash {round(series['cash'][0]):,}".replace("-", "−")
    )
    page.click("#zoom-reset")
    expect(page).not_to_have_url(re.compile("zoom="))


def test_trades_sort_filter_and_count(visit: Visit) -> None:
    page = visit.page
    visit.open_run("trades", trading={"stop_loss": 0.1, "slippage": 0.0005})
    rows = page.locator("#panel-trades tbody tr[data-at]")
    expect(rows).to_have_count(13)
    page.fill("#trade-filter", "return<0 reason=stop_loss")
    expect(rows).to_have_count(9)
    page.fill("#trade-filter", "")
    page.click("[data-show=win]")
    expect(rows).to_have_count(3)
    page.click("[data-show=all]")
    page.click("th button.sort:has-text('Return')")
    expect(rows.first.locator("td").first).to_have_text("2")
    expect(page.locator("th[aria-sort=descending]")).to_have_text(re.compile("Return"))
    page.fill("#trade-filter", "colour=red")
    expect(page.locator(".filter-error").first).to_contain_text("no column colour")


def test_a_zoom_before_the_first_series_has_come_leaves_no_pane_empty(visit: Visit) -> None:
    page = visit.page
    run_id = visit.open_run("stats")
    held: list[Route] = []
    is_holding = True

    # The answers for the price pane are held back; those for its neighbours come at once.
    def hold(route: Route) -> None:
        if is_holding:
            held.append(route)
        else:
            route.continue_()

    page.route(re.compile(r"/series\?names=open"), hold)
    page.goto(f"/?run={run_id}&tab=equity&zoom=1000-1400")
    visit.wait_for_result()
    page.keyboard.press("+")
    page.wait_for_timeout(600)  # longer than the page waits before it asks for the zoomed part
    assert held
    is_holding = False
    for route in held:
        route.continue_()
    visit.wait_for_charts("equity")


def test_each_tab_exports_csv_json_and_a_picture(visit: Visit, tmp_path: Path) -> None:
    page = visit.page
    visit.open_run("equity", trading={"stop_loss": 0.1, "slippage": 0.0005})
    visit.wait_for_charts("equity")
    for button, suffix in (("csv", ".csv"), ("json", ".json"), ("png", ".png")):
        with page.expect_download() as download:
            page.click(f"#export-{button}")
        file = tmp_path / download.value.suggested_filename
        download.value.save_as(file)
        assert file.suffix == suffix
        if suffix == ".csv":
            assert len(file.read_text().splitlines()) == 3271
        elif suffix == ".json":
            assert len(json.loads(file.read_text())["equity"]) == 3270
        else:
            assert file.read_bytes().startswith(b"\x89PNG")
    page.click("#tab-stats")
    with page.expect_download() as download:
        page.click("#export-png")
    assert download.value.path().read_bytes().startswith(b"\x89PNG")


def test_of_many_trades_a_first_view_takes_marks_and_the_table_the_rest(visit: Visit) -> None:
    page, asked = visit.page, []
    page.on("request", lambda request: asked.append(request.url.split("/api/v1/")[-1]))
    # As if the run had more trades than marks have room for.
    page.route("**/trades/view", lambda route: route.continue_(url=f"{route.request.url}?limit=5"))
    visit.open_run("equity", trading={"stop_loss": 0.1})
    visit.wait_for_charts("equity")
    assert len([path for path in asked if path.endswith("/trades/view")]) >= 1
    assert not [path for path in asked if re.search(r"/trades(/lines)?$", path)]
    with page.expect_request(re.compile(r"/trades/view\?start_idx=\d+&end_idx=\d+&limit=\d+")):
        page.keyboard.press("+")
    with page.expect_request("**/trades/lines"):
        page.click("#tab-trades")
    expect(page.locator("#panel-trades tbody tr[data-at]")).to_have_count(13)
    expect(page.locator("[data-show=all]")).to_have_text("all 13")
    visit.wait_for_charts("trades")
    expect(page.locator("#panel-trades .pane-readout").first).to_contain_text("#13 open")
