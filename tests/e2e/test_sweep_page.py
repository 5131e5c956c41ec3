"""The sweep page in Chromium: from the form to a combination opened as a run."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from playwright.sync_api import Page, expect

from tests.e2e.page_helpers import Visit
from tests.e2e.sweep_helpers import (
    SPACE,
    SWEEP_IN_ADDRESS,
    assert_run_equals,
    open_done_sweep,
    submit_sweep,
    wait_for_results,
)
from tests.support.processes import wait_until

# Reasons that something lies on, or that their panel cuts.
COVERED = """
() => [...document.querySelectorAll(".verdict-reasons li, .verdict-advice")].filter((node) => {
  const box = node.getBoundingClientRect();
  const there = document.elementFromPoint(box.left + 24, (box.top + box.bottom) / 2);
  return !node.contains(there);
}).map((node) => node.textContent)
"""
VERDICT_WORDS = re.compile("^(LIKELY LUCK|UNPROVEN|LIKELY REAL)$")


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
    for width, height in ((1280, 800), (1440, 900), (1920, 1080), (2560, 1440)):
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate(COVERED) == [], "every reason can be read without a scroll"
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
    # What the sweep does not have is as good as not named.
    page.goto(f"{page.url.partition('?')[0]}?x=nothing&y=window&metric=luck")
    expect(page.locator("#heat-y")).to_have_value("window")
    expect(page.locator("#heat-metric")).to_have_value("sharpe")


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
