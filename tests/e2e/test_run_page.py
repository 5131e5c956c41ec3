"""The run page in Chromium: from the form and the command bar to five filled tabs."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Route, expect

from tests.e2e.page_helpers import RUN_IN_ADDRESS, Visit

# AAPL adjusted, RSI(14, 30, 70), stop 10 %, 0.1 % fee, 0.05 % slippage: as in the mock-ups.
COMMAND = "AAPL RSI 14 30 70 slippage=0.0005 stop_loss=0.10 GO"


@pytest.mark.parametrize("path", ["/", "/sweep", "/runs", "/data", "/help"])
def test_a_page_opens_without_console_error_and_without_a_request_to_another_host(
    visit: Visit, path: str
) -> None:
    visit.page.goto(path)
    expect(visit.page.locator("#strip")).to_contain_text("PLATFORM")
    expect(visit.page.locator("#nav [aria-current]")).to_have_count(1)
    # `visit` asserts at its end that nothing went wrong.


def test_the_form_runs_rsi_on_aapl_and_shows_the_figures(visit: Visit) -> None:
    page = visit.page
    page.goto("/")
    page.select_option("#field-dataset", "AAPL")
    page.select_option("#field-rule", "rsi")
    page.fill("#field-trading-slippage", "0.0005")
    page.fill("#field-trading-stop_loss", "0.10")
    page.click("#run-button")
    visit.wait_for_result()
    assert visit.kpi("total_return") == "−6.49%"
    assert visit.kpi("max_drawdown") == "−46.17%"
    assert visit.kpi("n_trades").startswith("12")
    expect(page.locator("#ribbon [data-metric=total_return] .held")).to_contain_text("+1,238.85%")


def test_a_command_runs_and_fills_the_form(visit: Visit) -> None:
    page = visit.page
    page.goto("/")
    visit.command("IBM MACD 10 20 5 2005-01-01-2010-12-31 direction=long_short GO")
    visit.wait_for_result()
    expect(page.locator("#run-heading")).to_contain_text("MACD(10, 20, 5)")
    expect(page.locator("#run-heading")).to_contain_text("2005-01-03 → 2010-12-31")
    expect(page.locator("#field-params-slow")).to_have_value("20")
    expect(page.locator("#field-start")).to_have_value("2005-01-01")
    expect(page.locator("#field-trading-direction")).to_have_value("long_short")


def test_a_command_with_an_unknown_name_says_what_is_near(visit: Visit) -> None:
    page = visit.page
    page.goto("/")
    visit.command("AAPL RSI stoploss=0.1 GO")
    expect(page.locator("#command-error")).to_contain_text("stop_loss")
    expect(page).not_to_have_url(RUN_IN_ADDRESS)


def test_all_five_tabs_fill(visit: Visit) -> None:
    page = visit.page
    visit.open_run(trading={"stop_loss": 0.1, "slippage": 0.0005})
    for tab in ("equity", "drawdown", "portfolio"):
        page.click(f"#tab-{tab}")
        visit.wait_for_charts(tab)
    expect(page.locator("#panel-drawdown tbody tr")).to_have_count(10)
    page.click("#tab-stats")
    stats = page.locator("#panel-stats")
    expect(stats.locator("[data-metric=sharpe] td").first).to_have_text("0.08")
    expect(stats.locator(".months tbody tr")).to_have_count(14)
    expect(stats.locator(".warnings-table")).to_contain_text("2000-09-29")
    expect(stats.locator(".picture-grid img")).to_have_count(4, timeout=20_000)
    page.click("#tab-trades")
    expect(page.locator("#panel-trades tbody tr[data-at]")).to_have_count(13)
    visit.wait_for_charts("trades")
    expect(page.locator(".histogram svg .bin")).not_to_have_count(0)


def test_every_bad_field_has_its_message_beside_it_and_the_first_has_the_focus(
    visit: Visit,
) -> None:
    page = visit.page
    page.goto("/")
    page.fill("#field-params-window", "1")
    page.fill("#field-params-oversold", "80")
    page.fill("#field-trading-stop_loss", "5")
    page.fill("#field-start", "soon")
    page.click("#run-button")
    for field, words in {
        "params-window": "from 2 to",
        "params-oversold": "below overbought",
        "trading-stop_loss": "below 1",
        "start": "YYYY-MM-DD",
    }.items():
        box = page.locator(f"#field-{field}")
        expect(page.locator(f"#field-{field}-error")).to_contain_text(words)
        expect(box).to_have_attribute("aria-invalid", "true")
        assert f"field-{field}-error" in (box.get_attribute("aria-describedby") or "")
    expect(page.locator("#field-start")).to_be_focused()
    expect(page.locator("#form-errors")).to_contain_text("Nothing was run")
    expect(page).not_to_have_url(RUN_IN_ADDRESS)
    page.fill("#field-params-window", "14")
    page.press("#field-params-window", "Tab")
    expect(page.locator("#field-params-window-error")).to_be_hidden()


def test_percent_size_of_fifty_is_explained_at_its_field(visit: Visit) -> None:
    page = visit.page
    page.goto("/")
    page.fill("#field-trading-size", "50")
    page.click("#run-button")
    expect(page.locator("#field-trading-size-error")).to_contain_text("write 0.5 for 50 %")


def test_a_preset_is_saved_loaded_and_deleted(visit: Visit) -> None:
    page = visit.page
    page.goto("/")
    page.fill("#field-params-window", "21")
    page.fill("#field-trading-take_profit", "0.25")
    page.click("#preset-save")
    page.fill("#preset-name", "twenty-one")
    page.press("#preset-name", "Enter")
    expect(page.locator("#preset-note")).to_contain_text("saved")
    page.reload()
    expect(page.locator("#preset option")).to_have_text(["twenty-one"])
    expect(page.locator("#field-params-window")).to_have_value("14")
    page.click("#preset-load")
    expect(page.locator("#field-params-window")).to_have_value("21")
    expect(page.locator("#field-trading-take_profit")).to_have_value("0.25")
    page.click("#preset-delete")
    page.click("dialog .btn-primary")
    expect(page.locator("#preset-note")).to_contain_text("deleted")
    expect(page.locator("#preset-load")).to_be_disabled()


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


def test_keys_reach_everything(visit: Visit) -> None:
    page = visit.page
    visit.open_run("equity")
    visit.wait_for_charts("equity")
    page.keyboard.press("1")
    expect(page.locator("#tab-stats")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("5")
    expect(page.locator("#tab-trades")).to_have_attribute("aria-selected", "true")
    page.focus(".trade-scroll")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    expect(page.locator(".trade-heading h3")).to_have_text("Trade 2")
    page.keyboard.press("]")
    expect(page.locator(".trade-heading h3")).to_have_text("Trade 3")
    page.keyboard.press("2")
    page.keyboard.press("+")
    expect(page).to_have_url(re.compile("zoom="))
    page.keyboard.press("0")
    expect(page).not_to_have_url(re.compile("zoom="))
    page.keyboard.press("l")
    expect(page.locator("[data-scale=lin]")).to_have_attribute("aria-pressed", "true")
    page.focus("#panel-equity .stack")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#panel-equity .date-tag")).to_be_visible()
    page.keyboard.press("?")
    expect(page.locator("dialog")).to_contain_text("previous and next trade")
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    page.keyboard.press("/")
    expect(page.locator("#command")).to_be_focused()
    page.keyboard.type("/HELP")
    expect(page.locator("#command")).to_have_value("HELP")
    page.keyboard.press("Escape")
    expect(page.locator("#command")).not_to_be_focused()


def test_the_command_bar_completes_and_remembers(visit: Visit) -> None:
    page = visit.page
    page.goto("/")
    page.evaluate("localStorage.setItem('command-history', '{torn')")
    page.reload()
    page.fill("#command", "")
    page.locator("#command").press_sequentially("AA")
    page.keyboard.press("Tab")
    page.locator("#command").press_sequentially("rs")
    expect(page.locator("#command-list [role=option]").first).to_contain_text("RSI")
    page.keyboard.press("Tab")
    page.locator("#command").press_sequentially("14 30 70 sto")
    page.keyboard.press("Tab")
    expect(page.locator("#command")).to_have_value("AAPL RSI 14 30 70 stop_loss=")
    page.locator("#command").press_sequentially("0.2 GO")
    page.keyboard.press("Enter")
    visit.wait_for_result()
    page.keyboard.press("/")
    page.fill("#command", "")
    page.keyboard.press("ArrowUp")
    expect(page.locator("#command")).to_have_value("AAPL RSI 14 30 70 stop_loss=0.2 GO")


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


def test_a_waiting_run_shows_its_place_and_can_be_cancelled(visit: Visit) -> None:
    page = visit.page
    page.goto("/")
    worker = psutil.Process(visit.platform.up["pids"]["worker"])
    stopped = [worker, *worker.children(recursive=True)]
    for process in stopped:
        os.kill(process.pid, signal.SIGSTOP)
    try:
        visit.command("MSFT RSI 9 25 75 GO")
        expect(page.locator("#state-panel h2")).to_have_text("Queued, 1st of 1")
        page.keyboard.press("c")
        expect(page.locator("#cancel-run")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("#state-panel h2")).to_have_text("Cancelled")
        expect(page.locator("[data-status=STATE]")).to_contain_text("poll stopped")
    finally:
        for process in stopped:
            os.kill(process.pid, signal.SIGCONT)


def test_an_unreachable_server_is_named_and_the_result_stays(visit: Visit) -> None:
    visit.allowed = lambda text: "ERR_INTERNET_DISCONNECTED" in text
    page = visit.page
    visit.open_run("stats")
    page.context.set_offline(True)
    page.click("#run-button")
    expect(page.locator("#banner")).to_contain_text("OFFLINE")
    assert visit.kpi("n_trades") != "–"
    page.context.set_offline(False)
    page.click("#banner button")
    expect(page.locator("#banner")).to_be_hidden()


def test_an_unknown_run_is_said_to_be_missing(visit: Visit) -> None:
    visit.page.goto("/?run=123e4567-e89b-42d3-a456-426614174000")
    expect(visit.page.locator("#state-panel h2")).to_contain_text("No such run")


def test_no_desktop_width_scrolls_sideways(visit: Visit) -> None:
    page = visit.page
    visit.open_run("equity")
    for width, height in ((1280, 800), (1440, 900), (2560, 1440), (3840, 2160)):
        page.set_viewport_size({"width": width, "height": height})
        for tab in ("equity", "trades", "stats", "drawdown", "portfolio"):
            page.click(f"#tab-{tab}")
            panel = page.locator(f"#panel-{tab}")
            expect(panel).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (width, tab)
            assert panel.evaluate("node => node.scrollWidth <= node.clientWidth + 1"), (width, tab)


def test_a_ruined_run_says_so_and_gives_the_reason_of_every_dash(visit: Visit) -> None:
    page = visit.page
    visit.open_run("stats", trading={"direction": "long_short"})
    expect(page.locator("#assumptions")).to_contain_text("RUINED")
    assert visit.kpi("cagr") == "–"
    expect(page.locator("#panel-stats [data-metric=cagr]")).to_contain_text("below zero")
    page.hover("#ribbon [data-metric=cagr] .term")
    expect(page.locator("#tooltip")).to_contain_text("UNDEFINED HERE equity ended below zero")
    page.click("#tab-equity")
    expect(page.locator("[data-scale=lin]")).to_have_attribute("aria-pressed", "true")


def test_the_beginning_of_an_id_opens_the_run(visit: Visit) -> None:
    page = visit.page
    run_id = visit.open_run("stats")
    page.goto("/help")
    visit.command(f"RUN {run_id[:8]}")
    visit.wait_for_result()
    assert f"run={run_id}" in page.url


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


def test_a_published_rule_shows_its_source_deviations_and_performance_after_its_sample(
    visit: Visit,
) -> None:
    page = visit.page
    visit.open_run("stats", rule="tsmom")
    split = page.locator("#sample-split")
    expect(split.locator("tr[data-metric=n_bars] td")).to_have_text(["2,475", "795"])
    publication = page.locator(".publication")
    expect(publication).to_contain_text("Journal of Financial Economics 104(2), 2012")
    expect(publication).to_contain_text("exact: the published signal")
    expect(publication).to_contain_text("constant, cash_rate")
    expect(page.locator("#rule-version")).to_have_text("v2 · exact")
    # The 10-day rule's sample ended before these bars begin: a dash, and why.
    visit.open_run("stats", rule="bll_fixed_ma")
    expect(split.locator("tr[data-metric=sharpe] td").first).to_have_text("–")
    expect(split).to_contain_text("no bar of the run lies from 1897-01-01 to 1986-12-31")
    visit.open_run("stats", rule="rsi")
    expect(split).to_have_count(0)
