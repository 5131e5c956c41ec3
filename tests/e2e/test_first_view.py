"""The first view of a stored run: figures at once, charts when what they need has come."""

from __future__ import annotations

import json
import math
import re
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any

from playwright.sync_api import Route, expect

from tests.e2e.page_helpers import Visit


def test_figures_are_there_before_anything_is_asked_for(visit: Visit) -> None:
    page, held = visit.page, list[Route]()
    run_id = visit.open_run("equity")
    shown = page.locator("[data-metric=total_return] b").inner_text()
    page.goto("/help")
    page.route(re.compile(r"/trades/view"), lambda route: held.append(route))
    page.goto(f"/?run={run_id}&tab=equity")
    expect(page.locator("#ribbon [data-metric=total_return] b")).to_have_text(shown)
    expect(page.locator("#fields-params input").first).to_have_value("14")
    expect(page.locator("#panel-equity .pane")).to_have_count(0)
    page.keyboard.press("3")  # a tab that is asked for meanwhile is the one that opens
    expect(page.locator("#tab-drawdown")).to_have_attribute("aria-selected", "true")
    assert len(held) == 1
    held[0].continue_()
    visit.wait_for_charts("drawdown")
    expect(page.locator("#panel-equity .pane")).to_have_count(0)


def test_the_figures_of_one_run_never_stand_over_the_charts_of_another(visit: Visit) -> None:
    page, held = visit.page, list[Route]()
    other = visit.open_run("equity", params={"window": 9})
    visit.open_run("equity")
    page.route(re.compile(r"/trades/view"), lambda route: held.append(route))
    page.evaluate(
        "id => { history.pushState(null, '', `/?run=${id}`);"
        " window.dispatchEvent(new PopStateEvent('popstate')); }",
        other,
    )
    expect(page.locator("#run-heading")).to_contain_text("9")
    expect(page.locator("#panel-equity .pane")).to_have_count(0)
    for route in held:
        route.continue_()
    visit.wait_for_charts("equity")


def test_a_chart_whose_script_does_not_come_says_so_and_tries_again(visit: Visit) -> None:
    page = visit.page
    run_id = visit.open_run("equity")
    visit.allowed = lambda text: "uPlot" in text or "ERR_FAILED" in text
    page.route("**/uPlot.iife.js*", lambda route: route.abort())
    page.goto(f"/?run={run_id}&tab=equity")
    banner = page.locator("#banner")
    expect(banner).to_contain_text("The server cannot be reached")
    expect(banner).to_contain_text("The script that draws charts did not come.")
    expect(page.locator("#ribbon [data-metric=total_return] b")).not_to_have_text("–")
    page.unroute("**/uPlot.iife.js*")
    page.get_by_role("button", name="Try now").click()
    visit.wait_for_charts("equity")
    expect(banner).to_be_hidden()


def test_the_form_is_there_whatever_becomes_of_the_run(visit: Visit) -> None:
    page = visit.page
    page.goto("/?run=00000000-0000-4000-8000-000000000000")
    expect(page.locator("#fields-params input").first).to_have_value("14")
    page.click("#run-button")
    visit.wait_for_charts("equity")


def test_numbers_are_rounded_exactly_half_up_and_grouped(script: Any) -> None:
    values = [0.0, 0.5, 2.5, 1.005, 999.995, 0.125, 1e15, 1.5e21, 123456789.987654321, 5e-13]
    values += [abs(math.sin(n) * 10) ** (n % 19) for n in range(1500)]
    for digits in (0, 2, 8):
        shown = script(
            "lib/format.js",
            f"{json.dumps(values)}.map((value) => m.formatNumber(value, {digits}))",
        )
        for value, text in zip(values, shown, strict=True):
            step = Decimal(1).scaleb(-digits)
            with localcontext(prec=60):
                exact = Decimal(value).quantize(step, rounding=ROUND_HALF_UP)
            assert text == f"{exact:,.{digits}f}", (value, digits)


def test_a_name_in_another_script_has_the_same_typeface(visit: Visit) -> None:
    page, whole = visit.page, "face.status === 'loaded' && face.unicodeRange === 'U+0-10FFFF'"
    for path in ("/", "/sweep", "/runs", "/data", "/help"):
        page.goto(path)
        page.wait_for_load_state("networkidle")
        # Everything that pages are made of is in the part that comes first.
        assert not page.evaluate(f"() => [...document.fonts].some((face) => {whole})"), path
    page.evaluate("() => document.querySelector('#main').append('Сбербанк')")
    page.wait_for_function(f"() => [...document.fonts].some((face) => {whole})")
