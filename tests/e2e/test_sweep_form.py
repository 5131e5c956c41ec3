"""The form of the sweep page in Chromium: fields, presets, one combination, refusals."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.e2e.page_helpers import Visit


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


def test_a_sweep_without_a_range_is_refused_in_sight_wherever_it_comes_from(visit: Visit) -> None:
    page = visit.page
    page.goto("/sweep")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url.rpartition("/")[2]))
    visit.command("SWEEP AAPL RSI window=14 GO")
    error = page.locator("#field-space-window-error")
    expect(error).to_contain_text("nothing is swept")
    expect(error).to_contain_text("Run one")
    expect(page.locator("#field-space-window")).to_be_focused()
    # The estimate that comes later does not take the refusal away.
    expect(page.locator("#estimate")).to_contain_text("1 combination")
    page.wait_for_timeout(800)
    expect(error).to_be_visible()
    page.fill("#field-space-window", "14")
    expect(error).to_be_hidden()
    page.click("#sweep-button")
    expect(error).to_be_visible()
    assert "sweeps" not in sent
    page.fill("#field-space-window", "14..15")
    expect(page.locator("#estimate")).to_contain_text("2 combinations")


def test_run_one_runs_what_is_fixed_and_the_default_of_what_is_swept(visit: Visit) -> None:
    page = visit.page
    page.goto("/sweep")
    for name, text in {
        "space-window": "5..25",
        "space-oversold": "31..35:2",
        "space-overbought": "65",
        "trading-stop_loss": "off,0.1",
    }.items():
        page.fill(f"#field-{name}", text)
    page.hover("#run-one")
    tip = page.locator("#tooltip")
    expect(tip).to_contain_text("window 14, oversold 33, stop_loss off")
    page.click("#run-one")
    visit.wait_for_result()
    run_id = re.search(r"run=([0-9a-f-]{36})", page.url)
    assert run_id is not None
    spec = visit.platform.call("GET", f"/api/v1/runs/{run_id[1]}")["spec"]
    # The default where it is among the values, the middle one where it is not.
    assert {**spec["params"], "stop_loss": spec["trading"]["stop_loss"]} == {
        "window": 14,
        "oversold": 33,
        "overbought": 65,
        "trigger": "enter_zone",
        "stop_loss": None,
    }


def test_a_preset_of_a_sweep_is_saved_loaded_and_deleted(visit: Visit) -> None:
    page = visit.page
    page.goto("/sweep")
    page.fill("#field-space-window", "5..24")
    page.fill("#field-trading-stop_loss", "off,0.1")
    page.fill("#field-min_trades", "7")
    page.select_option("#field-objective", "calmar")
    page.click("#preset-save")
    page.fill("#preset-name", "Wide RSI")
    page.press("#preset-name", "Enter")
    expect(page.locator("#preset-note")).to_have_text("preset Wide RSI saved")
    page.goto("/")
    expect(page.locator("#preset")).to_contain_text("none saved")
    page.goto("/sweep")
    expect(page.locator("#preset")).to_contain_text("Wide RSI")
    page.click("#preset-load")
    for name, text in {
        "space-window": "5..24",
        "trading-stop_loss": "off,0.1",
        "min_trades": "7",
        "objective": "calmar",
    }.items():
        expect(page.locator(f"#field-{name}")).to_have_value(text)
    expect(page.locator("#command")).to_have_value(re.compile("window=5..24"))
    page.click("#preset-delete")
    page.click("dialog .btn-primary")
    expect(page.locator("#preset")).to_contain_text("none saved")
