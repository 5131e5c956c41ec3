"""The sweep page in Chromium: from the form to a combination opened as a run."""

from __future__ import annotations

import re
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
    expect(page.locator("#luck-panel")).to_contain_text("440 combinations tried")
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
    page.keyboard.press("Escape")
    page.locator("#main").focus()
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
    page.keyboard.press("c")
    page.keyboard.press("Enter")
    page.click("dialog .btn-primary")
    expect(state).to_have_text("cancelled")
    expect(page.locator("#cancel-sweep")).to_be_hidden()


def test_bad_fields_have_their_messages_beside_them(visit: Visit) -> None:
    page = visit.page
    page.goto("/sweep")
    page.fill("#field-space-window", "2:1:0")
    expect(page.locator("#field-space-window-error")).to_contain_text("step")
    page.fill("#field-space-window", "1..20")
    page.fill("#field-trading-stop_loss", "off,5")
    page.fill("#field-where", "window <")
    page.click("#sweep-button")
    expect(page.locator("#form-errors")).to_contain_text("Nothing was queued")
    for name in ("space-window", "trading-stop_loss", "where"):
        expect(page.locator(f"#field-{name}-error")).to_be_visible()
    expect(page.locator("#field-space-window")).to_be_focused()


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
