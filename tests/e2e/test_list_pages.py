"""Runs and help pages in Chromium, and the run page on a phone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e.page_helpers import Visit


def test_runs_are_searched_tagged_opened_and_deleted(visit: Visit) -> None:
    page, platform = visit.page, visit.platform
    winner = platform.submit(dataset="AAPL", rule="buy_and_hold", tags=["keep"])
    loser = platform.submit(
        dataset="AAPL", rule="rsi", trading={"stop_loss": 0.05, "slippage": 0.001}, note="too tight"
    )
    for run_id in (winner, loser):
        assert platform.wait_for_run(run_id)["state"] == "succeeded"
    page.goto("/runs")
    rows = page.locator("#runs-table tbody tr[data-run]")
    expect(page.locator(f"tr[data-run='{winner}']")).to_contain_text("keep")
    page.fill("#runs-search", "tight")
    expect(rows).to_have_count(1)
    expect(page).to_have_url(re.compile("q=tight"))
    page.fill("#runs-search", "return>500% rule=buy_and_hold")
    expect(page.locator(f"tr[data-run='{winner}']")).to_be_visible()
    expect(page.locator(f"tr[data-run='{loser}']")).to_have_count(0)
    page.fill("#runs-search", "tight")
    page.click(f"tr[data-run='{loser}'] td:nth-child(4)")
    page.keyboard.press("t")
    page.fill("#edit-tags", "bad, slow")
    page.press("#edit-tags", "Enter")
    expect(page.locator(f"tr[data-run='{loser}']")).to_contain_text("bad, slow")
    assert platform.call("GET", f"/api/v1/runs/{loser}")["tags"] == ["bad", "slow"]
    page.click("#action-rerun")
    expect(page.locator("#field-trading-stop_loss")).to_have_value("0.05")
    page.go_back()
    page.click(f"tr[data-run='{loser}'] td:nth-child(4)")
    page.click("#action-delete")
    page.click("dialog .btn-primary")
    expect(rows).to_have_count(0)
    page.fill("#runs-search", "")
    page.focus("#runs-scroll")
    page.click(f"tr[data-run='{winner}'] td:nth-child(4)")
    page.focus("#runs-scroll")
    page.keyboard.press("Enter")
    visit.wait_for_result()
    assert winner in page.url


def test_a_command_on_another_page_runs_on_the_run_page(visit: Visit) -> None:
    visit.page.goto("/help")
    visit.command("MSFT RSI GO")
    visit.wait_for_result()
    expect(visit.page.locator("#run-heading")).to_contain_text("MSFT")


def test_help_defines_every_figure_and_lists_every_rule(visit: Visit) -> None:
    page = visit.page
    page.goto("/help")
    rules = visit.platform.call("GET", "/api/v1/rules")["rules"]
    for rule in rules:
        expect(page.locator(f"#rule-{rule['name']}")).to_contain_text(rule["summary"])
    for name in ("sharpe", "ulcer_index", "information_ratio", "psr"):
        expect(page.locator(f"#help-figures tr#{name} td")).not_to_be_empty()


def test_figures_explain_themselves_on_focus(visit: Visit) -> None:
    page = visit.page
    visit.open_run("stats")
    page.focus("[data-metric=sharpe] .term")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    expect(page.locator("#tooltip")).to_contain_text("risk-free")
    page.keyboard.press("Escape")
    expect(page.locator("#tooltip")).to_be_hidden()


@pytest.mark.parametrize("path", ["/", "/runs", "/data", "/help"])
def test_every_control_has_a_name(visit: Visit, path: str) -> None:
    page = visit.page
    visit.open_run("trades")
    if path != "/":
        page.goto(path)
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button, a[href], input, select, textarea')]
            .filter((node) => node.getClientRects().length
              && !node.getAttribute('aria-label') && !node.textContent.trim()
              && !(node.labels && node.labels.length))
            .map((node) => node.outerHTML.slice(0, 120))"""
    )
    assert nameless == []


def test_long_names_leave_the_pages_inside_the_window(visit: Visit, tmp_path: Path) -> None:
    page = visit.page
    page.set_viewport_size({"width": 1280, "height": 800})
    file = tmp_path / f"{'long name ' * 12}.csv"
    file.write_text("Date,Open,High,Low,Close\n2001-01-01,1,2,1,2\n2001-01-02,2,3,2,3\n")
    page.goto("/data")
    page.set_input_files("#field-file", str(file))
    expect(page.locator("#preview-heading")).to_be_visible(timeout=30_000)
    page.fill("#field-symbol", "A" * 32)
    page.click("#upload-button")
    row = page.locator(f"#datasets [data-symbol={'A' * 32}]")
    expect(row).to_be_visible(timeout=30_000)
    visit.open_run("trades", dataset="A" * 32, rule="rsi_macd")
    for path in ("/data", "/runs"):
        page.goto(path)
        expect(page.locator(".scroll").get_by_text("A" * 32)).to_be_visible()
        box = page.locator("#nav a").last.bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= 1280


def test_the_phone_reads_a_result_without_scrolling_sideways(phone: Visit) -> None:
    page = phone.page
    phone.open_run("equity")
    phone.wait_for_charts("equity")
    for tab in ("stats", "equity", "trades"):
        page.tap(f"#tab-{tab}")
        expect(page.locator(f"#panel-{tab}")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    small = page.evaluate(
        """() => [...document.querySelectorAll('button, .btn, [role=tab]')]
            .filter((node) => node.getClientRects().length)
            .filter((node) => !node.matches('.term, .sort, .btn-small'))
            .map((node) => [node.id || node.textContent, node.getBoundingClientRect().height])
            .filter(([, height]) => height < 43)"""
    )
    assert small == []
    page.tap("#form-toggle")
    expect(page.locator("#field-params-window")).to_be_visible()
    page.fill("#field-params-window", "10")
    page.tap("#phone-run")
    expect(page.locator("#run-heading")).to_contain_text("RSI(10, 30, 70)")
