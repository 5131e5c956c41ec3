"""The run page explains itself: definitions, conventions, assumptions, the report."""

from __future__ import annotations

import json
import re

from playwright.sync_api import Route, expect

from tests.e2e.page_helpers import Visit

TRADING = {"stop_loss": 0.1, "slippage": 0.0005}


def test_a_metric_explains_itself_to_the_keyboard(visit: Visit) -> None:
    page = visit.page
    visit.open_run("stats", trading=TRADING)
    page.locator("#panel-stats [data-metric=total_return] .term").focus()
    page.keyboard.press("ArrowDown")
    tip = page.locator("#tooltip")
    for words in (
        "Growth per year",
        "FORMULA",
        "(E[n] / E[0])^(ppy / n)",
        "CONVENTION",
        "UNDEFINED IF",
    ):
        expect(tip).to_contain_text(words)
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()


def test_a_convention_is_switched_named_and_kept_in_the_address(visit: Visit) -> None:
    page = visit.page
    run_id = visit.open_run("stats", trading=TRADING)
    table = page.locator(".convention-table")
    expect(table).to_have_count(0)
    page.click("[data-convention=backtesting_py]")
    expect(page).to_have_url(re.compile("convention=backtesting_py"))
    cagr = table.locator("[data-metric=cagr]")
    expect(cagr).to_contain_text("365.25 calendar days")
    expect(table.locator("[data-metric=max_drawdown]")).to_contain_text("same")
    page.reload()
    expect(cagr).to_be_visible()
    stored = page.evaluate(
        "id => fetch(`/api/v1/runs/${id}/view`).then((answer) => answer.json())", run_id
    )
    shown = f"{stored['conventions']['backtesting_py']['cagr'] * 100:.2f}%".replace("-", "−")
    expect(cagr.locator("td").nth(1)).to_have_text(shown)
    page.click("[data-convention=ours]")
    expect(table).to_have_count(0)


def test_a_result_of_an_earlier_version_offers_to_run_again(visit: Visit) -> None:
    page = visit.page

    def forget(route: Route) -> None:
        answer = route.fetch()
        head, boot, tail = re.split(
            r"(?<=boot-data\">)(.*?)(?=</script>)", answer.text(), maxsplit=1
        )
        known = json.loads(boot)
        del known["view"]["conventions"], known["view"]["definitions_version"]
        route.fulfill(response=answer, body=f"{head}{json.dumps(known)}{tail}")

    page.route(re.compile(r"/\?run="), forget)
    old = visit.open_run("stats")
    page.unroute(re.compile(r"/\?run="))
    page.click("[data-convention=lean]")
    expect(page.locator(".convention-missing")).to_contain_text("did not compare conventions")
    page.click(".convention-missing button")
    expect(page.locator(".convention-table")).to_contain_text("LEAN", timeout=15_000)
    assert old not in page.url


def test_what_was_assumed_is_copied_as_one_line(visit: Visit) -> None:
    page = visit.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    run_id = visit.open_run("stats", trading=TRADING)
    button = page.locator("#copy-assumptions").bounding_box()
    first = page.locator("#assumptions > span").first.bounding_box()
    assert button is not None
    assert first is not None
    assert button["y"] < first["y"] + first["height"]  # in the first row, however many there are
    page.click("#copy-assumptions")
    expect(page.locator("#announcer")).to_have_text("copied")
    line = page.evaluate("navigator.clipboard.readText()")
    assert "\n" not in line
    for words in (
        "AAPL RSI(14, 30, 70)",
        "fill next open",
        "0.10% fee + 0.05% slip per side",
        "split + dividend adjusted",
        "stop 10.0%",
        "40 %",
        f"run {run_id}",
        "fingerprint ",
    ):
        assert words in line, words


def test_the_report_opens_as_a_page_of_its_own(visit: Visit) -> None:
    page = visit.page
    run_id = visit.open_run("stats", trading=TRADING)
    with page.context.expect_page() as opened:
        page.click("#export-report")
    report = opened.value
    faults = []
    report.on("console", lambda message: faults.append(message.text))
    report.reload()
    expect(report.locator("h1")).to_contain_text("AAPL RSI(14, 30, 70")
    expect(report.locator("svg")).to_have_count(3)
    expect(report.locator("footer")).to_contain_text(run_id)
    assert report.evaluate("getComputedStyle(document.body).maxWidth") == "800px", "styled"
    assert not faults, faults
    report.close()


def test_an_average_is_drawn_on_the_price(visit: Visit) -> None:
    page = visit.page
    visit.open_run("trades", rule="sma_cross")
    visit.wait_for_charts("trades")
    panes = page.locator("#panel-trades .pane")
    expect(panes).to_have_count(1)
    expect(panes.locator(".pane-readout")).to_contain_text(re.compile(r"sma fast \d.*sma slow \d"))


def test_a_trade_that_breaks_even_is_no_loss(visit: Visit) -> None:
    page = visit.page

    def level(route: Route) -> None:
        answer = route.fetch()
        body = answer.json()
        body["trades"]["pnl"][0] = 0.0
        route.fulfill(response=answer, body=json.dumps(body))

    page.route("**/trades/view", level)
    visit.open_run("trades", trading=TRADING)
    for name, count in (("all", 13), ("win", 3), ("loss", 8), ("even", 1), ("open", 1)):
        expect(page.locator(f"[data-show={name}]")).to_have_text(f"{name} {count}")


def test_on_a_phone_a_tap_explains_and_no_read_out_is_cut(phone: Visit) -> None:
    page = phone.page
    phone.open_run("equity", rule="sma_cross")
    page.locator("#ribbon [data-metric=sharpe] .term").tap()
    expect(page.locator("#tooltip")).to_contain_text("mean(r − rf) / std(r − rf) × √ppy")
    for tab in ("equity", "drawdown"):
        page.locator(f"#tab-{tab}").tap()
        phone.wait_for_charts(tab)
        cut = page.evaluate(
            """tab => [...document.querySelectorAll(`#panel-${tab} .pane-head`)].filter((head) => {
              const box = head.getBoundingClientRect();
              return [...head.querySelectorAll("h3, .pane-readout > *")].some((node) => {
                const part = node.getBoundingClientRect();
                return part.width && (part.right > box.right + 1 || part.bottom > box.bottom + 1
                  || part.top < box.top - 1);
              });
            }).map((head) => head.textContent)""",
            tab,
        )
        assert cut == []
