"""The run page in Chromium: from the form and the command bar to five filled tabs."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.e2e.page_helpers import RUN_IN_ADDRESS, Visit

# AAPL adjusted, RSI(14, 30, 70), stop 10 %, 0.1 % fee, 0.05 % slippage: as in the mock-ups.
COMMAND = "AAPL RSI 14 30 70 slippage=0.0005 stop_loss=0.10 GO"


def test_pages_open_without_console_error_and_without_a_request_to_another_host(
    visit: Visit,
) -> None:
    for path in ("/", "/sweep", "/runs", "/data", "/help"):
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
    stats.locator(".pictures").scroll_into_view_if_needed()
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
    visit.command("AAPL NOPE GO")  # what is said of the form was about another try
    expect(page.locator("#command-error")).to_contain_text("no rule NOPE")
    expect(page.locator(".field-error:visible")).to_have_count(0)
    page.click("#run-button")
    expect(page.locator("#command-error")).to_be_hidden()


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
