"""Whole stories, from a first visit to a combination of a sweep opened as a run."""

from __future__ import annotations

import csv
import io
import re

from playwright.sync_api import Page, expect

from tests.e2e.conftest import PICTURES
from tests.e2e.page_helpers import Visit
from tests.e2e.sweep_helpers import SPACE, SWEEP_IN_ADDRESS, assert_run_equals, wait_for_results

# The only worker draws the pictures of the run before, and loads Matplotlib for the first.
COMPUTED_MS = 60_000
RUN_ID = re.compile(r"run=([0-9a-f-]{36})")


def keep_picture(page: Page, name: str) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"story-{name}.png")


def read_run_id(page: Page) -> str:
    found = RUN_ID.search(page.url)
    assert found is not None
    return found[1]


def test_a_first_visit_leads_to_a_run_compared_exported_swept_and_judged(visit: Visit) -> None:
    page = visit.page
    page.goto("/")
    # The empty page says what to do, and its example works.
    page.locator("#state-panel .example").first.click()
    page.keyboard.press("Enter")
    visit.wait_for_result()
    visit.wait_for_charts("equity")
    first = read_run_id(page)
    keep_picture(page, "run")
    page.click("#pin-run")
    expect(page.locator("#pin-run")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#pin-run")).to_have_text("◆ Pin A")
    page.fill("#field-trading-stop_loss", "0.1")
    page.click("#run-button")
    expect(page.locator("#run-heading")).to_contain_text("stop 0.1", timeout=COMPUTED_MS)
    visit.wait_for_result()
    expect(page.locator("#pin-run")).to_have_text("Pin")
    page.click("#pin-run")
    page.click("#compare-pins")
    expect(page.locator("#compare-count")).to_have_text("2 of 5 pinned")
    expect(page.locator(".compare-table tr.differs")).to_contain_text("0.1")
    view = visit.platform.call("GET", f"/api/v1/runs/{first}/view")
    equity = f"A {view['final']['equity']:,.0f}"
    expect(page.locator("#compare-chart .pane-readout")).to_contain_text(equity)
    keep_picture(page, "compare")

    page.locator(f"#runs-table tr[data-run='{first}'] .col-symbol").click()
    page.click("#action-open")
    visit.wait_for_result()
    page.click("#export-all")
    with page.expect_download() as download:
        page.get_by_role("link", name="drawdown as CSV").click()
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text())))
    depths = [float(row["depth"]) for row in rows if row["depth"]]
    assert depths == [found["depth"] for found in view["drawdowns"]]
    page.keyboard.press("Escape")

    page.click("#sweep-these")
    expect(page).to_have_url(re.compile("/sweep"))
    for name, text in SPACE.items():
        page.fill(f"#field-space-{name}", text)
    page.fill("#field-min_trades", "3")
    page.click("#sweep-button")
    expect(page).to_have_url(SWEEP_IN_ADDRESS)
    wait_for_results(page)
    verdict = page.locator(".verdict-advice")
    expect(verdict).not_to_be_empty()
    keep_picture(page, "sweep")
    sweep_id = page.url.rpartition("/")[2][:36]
    best = visit.platform.call("GET", f"/api/v1/sweeps/{sweep_id}")["best"]
    page.locator(f".ranking tr[data-index='{best['index']}']").last.click()
    assert_run_equals(visit, best["metrics"])
    keep_picture(page, "combination")


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until an element has the focus, as somebody without a mouse does."""
    for _ in range(120):
        if page.evaluate("(selector) => document.activeElement?.matches(selector)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not reach {selector}")


def test_the_same_story_needs_no_mouse(visit: Visit) -> None:
    page = visit.page
    keys = page.keyboard

    def say(text: str) -> None:
        keys.press("/")
        keys.press("ControlOrMeta+a")
        keys.type(text)
        keys.press("Enter")

    page.goto("/")
    expect(page.locator("#command")).to_be_focused()
    keys.press("ControlOrMeta+a")
    keys.type("AAPL RSI 14 30 70 slippage=0.0005 GO")
    keys.press("Enter")
    visit.wait_for_result()
    keys.press("Escape")
    keys.press("Space")
    expect(page.locator("#pin-run")).to_have_attribute("aria-pressed", "true")
    say("AAPL RSI 14 30 70 slippage=0.0005 stop_loss=0.10 GO")
    expect(page.locator("#run-heading")).to_contain_text("stop 0.1", timeout=COMPUTED_MS)
    visit.wait_for_result()
    keys.press("Escape")
    expect(page.locator("#pin-run")).to_have_attribute("aria-pressed", "false")
    keys.press("Space")
    assert visit.kpi("total_return") == "−6.49%"
    keys.press("5")
    tab_to(page, ".trade-scroll")
    keys.press("Home")
    keys.press("Enter")
    expect(page.locator(".trade-heading h3")).to_have_text("Trade 1")
    keys.press("x")
    expect(page.locator("dialog")).to_be_visible()
    tab_to(page, "[aria-label='trades as JSON']")
    with page.expect_download() as download:
        keys.press("Enter")
    assert download.value.suggested_filename.endswith("trades.json")
    keys.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)

    say("RUNS")
    expect(page.locator("#compare-count")).to_have_text("2 of 5 pinned")
    expect(page.locator("#compare-chart .pane-readout")).to_contain_text("A ")
    tab_to(page, "#compare-all")
    keys.press("Enter")
    expect(page.locator(".compare-table")).to_contain_text("fee_rate")

    say("SWEEP AAPL RSI window=5..24 oversold=20..40:2 overbought=65,75 min_trades=3 GO")
    expect(page).to_have_url(SWEEP_IN_ADDRESS)
    wait_for_results(page)
    keys.press("Escape")
    tab_to(page, "#heatmap")
    keys.press("ArrowRight")  # the first arrow goes to the best
    sweep_id = page.url.rpartition("/")[2][:36]
    best = visit.platform.call("GET", f"/api/v1/sweeps/{sweep_id}")["best"]
    expect(page.locator("#heat-readout")).to_contain_text(f"window {best['params']['window']}")
    keys.press("Enter")
    assert_run_equals(visit, best["metrics"])
