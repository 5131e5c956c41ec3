"""The runs page in Chromium: the search expression, pins, the comparison, notes in place."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, Route, expect

from tests.e2e.page_helpers import Visit
from tests.support.platform import Platform

RUNS: dict[str, dict[str, Any]] = {
    "plain": {"dataset": "AAPL", "rule": "rsi", "tags": ["base"]},
    "stopped": {"dataset": "AAPL", "rule": "rsi", "trading": {"stop_loss": 0.1}},
    "fast": {"dataset": "AAPL", "rule": "rsi", "params": {"window": 5}, "note": "too fast"},
    "late": {
        "dataset": "MSFT",
        "rule": "macd",
        "start": "2008-01-01",
        "trading": {"initial_cash": 50_000},
    },
}


@pytest.fixture(scope="module")
def runs(platform: Platform) -> dict[str, str]:
    found = {name: platform.submit(**request) for name, request in RUNS.items()}
    for run_id in found.values():
        assert platform.wait_for_run(run_id)["state"] == "succeeded"
    return found


def row(page: Page, run_id: str) -> Any:
    return page.locator(f"#runs-table tr[data-run='{run_id}']")


def read_setting(page: Page, name: str) -> list[str]:
    line = page.locator(".compare-table tr", has=page.locator(f"th:text-is('{name}')"))
    return line.locator("td").all_inner_texts()


def open_comparison(page: Page, *run_ids: str, query: str = "") -> None:
    page.goto(f"/runs?pins={','.join(run_ids)}{query}")
    expect(page.locator("#compare-chart .pane-readout")).to_contain_text("all")


def test_pinned_runs_stand_side_by_side_with_their_differences(
    visit: Visit, runs: dict[str, str]
) -> None:
    page = visit.page
    open_comparison(page, runs["plain"], runs["stopped"], runs["fast"])
    expect(page.locator("#compare-count")).to_have_text("3 of 5 pinned")
    differing = page.locator(".compare-table tr.differs")
    expect(differing).to_have_count(2)
    expect(differing.first).to_contain_text("≠")
    assert page.locator(".compare-table tr.differs td:not(:empty)").all_inner_texts() == [
        *("14", "14", "5"),
        *("off", "0.1", "off"),
    ]
    views = [
        visit.platform.call("GET", f"/api/v1/runs/{runs[name]}/view")
        for name in ("plain", "stopped", "fast")
    ]
    assert read_setting(page, "Sharpe") == [
        f"{value:.2f}".replace("-", "−")
        for value in (
            *(view["metrics"]["sharpe"] for view in views),
            views[0]["benchmark"]["sharpe"],
        )
    ]
    readout = page.locator("#compare-chart .pane-readout")
    for letter, view in zip("ABC", views, strict=True):
        expect(readout).to_contain_text(f"{letter} {view['final']['equity']:,.0f}")
    expect(readout).to_contain_text("all start at 100,000")
    page.click("#compare-all")
    expect(page).to_have_url(re.compile("show=all"))
    assert read_setting(page, "fee_rate")[:3] == ["0.001"] * 3


def test_the_comparison_is_in_the_address(visit: Visit, runs: dict[str, str]) -> None:
    page = visit.page
    open_comparison(page, runs["plain"], runs["fast"])
    page.click("#compare-rebase")
    page.click("#compare-log")
    page.focus("#compare-chart .stack")
    page.keyboard.press("+")
    expect(page).to_have_url(re.compile(r"zoom=\d+-\d+"))
    readout = page.locator("#compare-chart .pane-readout")
    expect(readout).to_contain_text("all are 100,000 on 20")
    seen = readout.text_content() or ""
    page.reload()
    expect(readout).to_have_text(seen)
    for name, is_on in {"rebase": "true", "log": "false", "differences": "true"}.items():
        expect(page.locator(f"#compare-{name}")).to_have_attribute("aria-pressed", is_on)
    # A run keeps its letter when another one goes.
    page.locator(".slot-head").first.click()
    expect(page.locator("#compare-count")).to_have_text("1 of 5 pinned")
    expect(page.locator(".slot-head")).to_have_text("◆ B")
    page.click("#compare-clear")
    expect(page.locator("#compare")).to_be_hidden()
    assert "pins" not in parse_qs(urlsplit(page.url).query)


def test_runs_of_other_data_and_dates_start_from_the_same_cash(
    visit: Visit, runs: dict[str, str]
) -> None:
    page = visit.page
    open_comparison(page, runs["late"], runs["plain"])
    readout = page.locator("#compare-chart .pane-readout")
    expect(readout).to_contain_text("all start at 50,000, each on its first bar")
    late, plain = (
        visit.platform.call("GET", f"/api/v1/runs/{runs[name]}/view")["final"]["equity"]
        for name in ("late", "plain")
    )
    expect(readout).to_contain_text(f"A {late:,.0f}")
    expect(readout).to_contain_text(f"B {plain / 2:,.0f}")
    # Their buy and hold are two different ones: neither stands for both.
    expect(readout).not_to_contain_text("buy & hold")
    expect(page.locator(".compare-table thead")).not_to_contain_text("B&H")
    assert read_setting(page, "window") == ["–", "14"]


def test_the_keyboard_chooses_pins_writes_and_opens(visit: Visit, runs: dict[str, str]) -> None:
    page = visit.page
    page.goto("/runs?sort=submitted_at:up&q=AAPL")
    expect(row(page, runs["plain"])).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    expect(row(page, runs["stopped"]).locator(".pin")).to_have_text("◆ B")
    expect(page.locator(".slot-head")).to_have_count(2)
    page.keyboard.press("t")
    page.keyboard.type("tried, stops")
    page.keyboard.press("Enter")
    expect(row(page, runs["stopped"])).to_contain_text("tried, stops")
    page.keyboard.press("n")
    page.keyboard.type("thrown away")
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    page.keyboard.type("10 % stop")
    page.keyboard.press("Enter")
    expect(row(page, runs["stopped"]).locator(".col-note")).to_have_text("10 % stop")
    stored = visit.platform.call("GET", f"/api/v1/runs/{runs['stopped']}")
    assert (stored["tags"], stored["note"]) == (["tried", "stops"], "10 % stop")
    page.keyboard.press("f")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("tag=stops")
    expect(page.locator("#runs-table tr[data-run]")).to_have_count(1)
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    visit.wait_for_result()
    assert runs["stopped"] in page.url
    # Pins outlive the look at a run.
    page.click("#nav a[href='/runs']")
    expect(page.locator("#compare-count")).to_have_text("2 of 5 pinned")


def test_toggles_write_the_expression_and_the_expression_presses_toggles(
    visit: Visit, runs: dict[str, str]
) -> None:
    page = visit.page
    page.goto("/runs")
    search, rows = page.locator("#runs-search"), page.locator("#runs-table tr[data-run]")

    def toggle(name: str) -> Any:
        return page.locator(f"[data-toggle='{name}']")

    toggle("rule:macd").click()
    expect(search).to_have_value("rule=macd")
    expect(rows).to_have_count(1)
    toggle("rule:rsi").click()
    toggle("data:AAPL").click()
    expect(search).to_have_value("rule=macd,rsi data=AAPL")
    expect(page).to_have_url(re.compile("q=rule%3Dmacd%2Crsi\\+data%3DAAPL"))
    page.reload()
    for name in ("rule:rsi", "rule:macd", "data:AAPL"):
        expect(toggle(name)).to_have_attribute("aria-pressed", "true")
    search.fill("state=done window=5")
    expect(rows).to_have_count(1)
    expect(row(page, runs["fast"])).to_be_visible()
    expect(toggle("state:done")).to_have_attribute("aria-pressed", "true")
    expect(toggle("rule:")).to_have_attribute("aria-pressed", "true")
    search.fill("shrpe>1")
    expect(page.locator("#runs-error")).to_contain_text("nearest is sharpe")
    search.fill("sharpe>1000")
    expect(page.locator("#runs-table")).to_contain_text("No run fits: take words out")
    # Addresses of earlier versions are read.
    page.goto("/runs?rule=macd&q=MSFT")
    expect(search).to_have_value("MSFT rule=macd")
    expect(row(page, runs["late"])).to_be_visible()


def test_a_search_goes_on_into_older_runs_by_itself(visit: Visit, runs: dict[str, str]) -> None:
    page = visit.page
    stored = visit.platform.call("GET", f"/api/v1/runs/{runs['plain']}")
    asked: list[dict[str, list[str]]] = []

    def answer(route: Route) -> None:
        query = parse_qs(urlsplit(route.request.url).query)
        asked.append(query)
        at = int(query.get("cursor", ["0"])[0])
        page_of_runs = [
            {**stored, "run_id": f"{at * 200 + i:08x}{stored['run_id'][8:]}", "note": f"page {at}"}
            for i in range(200)
        ]
        body = {"runs": page_of_runs, "next_cursor": str(at + 1) if at < 3 else None}
        route.fulfill(status=200, content_type="application/json", body=json.dumps(body))

    page.route("**/api/v1/runs?*", answer)
    page.goto("/runs")
    expect(page.locator("#runs-count")).to_have_text("200 of 200+")
    page.fill("#runs-search", 'note="page 3"')
    expect(page.locator("#runs-count")).to_have_text("200 of 800")
    expect(page.locator("#runs-more")).to_be_hidden()
    assert [query.get("cursor", ["0"])[0] for query in asked] == ["0", "1", "2", "3"]


def test_the_phone_pins_with_a_finger_and_scrolls_down_only(
    small: Visit, runs: dict[str, str]
) -> None:
    page = small.page
    page.goto("/runs")
    for name in ("plain", "late"):
        row(page, runs[name]).locator(".pin").tap()
    expect(page.locator("#compare-chart .pane-readout")).to_contain_text("each on its first bar")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    low = page.evaluate(
        """() => [...document.querySelectorAll('main .btn, .pin')]
            .filter((node) => node.getClientRects().length)
            .map((node) => [node.id || node.textContent, node.getBoundingClientRect().height])
            .filter(([, height]) => height < 43)"""
    )
    assert low == []


def test_an_expression_knows_spans_lists_quotes_and_what_is_off(script: Any) -> None:
    run = {
        "run_id": "a",
        "symbol": "AAPL",
        "rule": "rsi",
        "state": "succeeded",
        "note": "two words",
        "tags": ["Keep"],
        "submitted_at": "2026-11-20T10:00:00Z",
        "spec": {
            "params": {"window": 14},
            "trading": {"stop_loss": None},
            "dataset": {"start": "2000-03-01", "end": "2013-03-01"},
            "start": None,
            "end": None,
        },
        "metrics": {"sharpe": 0.8},
    }
    expected = {
        "span>=8y": True,
        "span<2y": False,
        "-late": True,
        "-keep": False,
        'note="two words"': True,
        "tag=keep,other": True,
        "tag!=keep": False,
        "stop_loss=off": True,
        "stop_loss=0.1,off": True,
        "time>=2026-01": True,
        "state=done,failed": True,
    }
    texts, stored = json.dumps(list(expected)), json.dumps(run)
    call = f"{texts}.map((text) => m.parseRunFilter(text).test({stored}))"
    assert dict(zip(expected, script("runs/filter.js", call), strict=True)) == expected


def test_curves_of_different_bars_meet_on_one_axis_of_time(script: Any) -> None:
    day = 86_400
    found = script(
        "runs/curves.js",
        f"""(() => {{
            const one = {{ idx: [0, 2, 4], equity: [10, 20, 40],
              epoch: [0, {2 * day}, {4 * day}] }};
            const two = {{ idx: [0, 1], epoch: [{day}, {4 * day}], equity: [100, 400] }};
            const axis = new m.SharedAxis([one, two], [5, 2]);
            const view = m.mergeSeries([one, two].map((series, at) => ({{ name: 'AB'[at],
              places: axis.place(series), epoch: series.epoch, values: series.equity }})));
            const curves = [{{ name: 'A', cash: 10 }}, {{ name: 'B', cash: 100 }}];
            return {{ isOfBars: axis.isOfBars, n: axis.nSteps, idx: view.idx, raw: view.raw,
              bars: axis.barsBetween(1, 2, 4, 2),
              absent: [0, 1, 4, 5].map((place) => axis.absenceAt(1, place)),
              start: m.findFactors(curves, view, 10, null),
              later: m.findFactors(curves, view, 10, 2) }};
        }})()""",
    )
    assert found == {
        "isOfBars": False,
        "n": 5,
        "idx": [0, 1, 2, 4],
        "raw": {"A": [10, 15, 20, 40], "B": [None, 100, 200, 400]},
        "bars": [0, 1],
        "absent": [
            {"word": "starts", "epoch": day},
            *(None, None),
            {"word": "ended", "epoch": 4 * day},
        ],
        "start": {"A": 1, "B": 0.1},
        "later": {"A": 0.5, "B": 0.05},
    }


def test_pins_keep_their_letters_and_there_are_five(script: Any) -> None:
    ids = [f"{i}{'0' * 7}-0000-0000-0000-{'0' * 12}" for i in range(6)]
    found = script(
        "runs/pins.js",
        f"""(() => {{
            const ids = {json.dumps(ids)};
            const pins = new m.Pins(`${{ids[0]}},nonsense,${{ids[1]}},${{ids[1]}}`);
            const letters = () => ids.map((id) => pins.slotOf(id)?.letter ?? '');
            const before = letters();
            const full = ids.slice(2).map((id) => pins.toggle(id));
            pins.toggle(ids[0]);
            return [before, full, letters(), pins.toString().startsWith(',')];
        }})()""",
    )
    assert found == [
        ["A", "C", "", "", "", ""],
        [True, True, True, False],
        ["", "C", "B", "D", "E", ""],
        True,
    ]
