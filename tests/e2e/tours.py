"""Ways through the pages that come by every state a person can see.

A tour is a generator: it brings its visitor into a state, names it, and goes on when it has been
looked at. What only a fault would bring about is told to the page in the server's place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from playwright.sync_api import Page, Route, expect

from tests.e2e.page_helpers import Visit
from tests.e2e.sweep_helpers import wait_for_results

TABS = ("stats", "equity", "drawdown", "portfolio", "trades")
GHOST = "123e4567-e89b-42d3-a456-426614174000"
SMALL_CSV = "Date,Open,High,Low,Close\n" + "".join(
    f"2024-01-{day:02d},{100 + day},{102 + day},{99 + day},{101 + day}\n" for day in range(2, 30)
)


@dataclass(frozen=True)
class Stock:
    """What is stored for the tours."""

    run_id: str
    others: tuple[str, ...]
    sweep_id: str


Tour = Callable[[Visit, Stock], Iterator[str]]


def tour_first_visit(visit: Visit, stock: Stock) -> Iterator[str]:
    page = visit.page
    page.goto("/")
    expect(page.locator("#state-panel h2")).to_have_text("No run yet")
    expect(page.locator("#strip")).to_contain_text("PLATFORM")
    yield "first"
    if page.locator("#form-toggle").is_visible():
        page.click("#form-toggle")
        expect(page.locator("#run-form")).to_be_visible()
        yield "form"
    page.fill("#field-params-window", "1")
    page.fill("#field-start", "soon")
    page.evaluate("document.querySelector('#run-form').requestSubmit()")
    expect(page.locator("#form-errors")).to_contain_text("Nothing was run")
    yield "refused"
    page.fill("#command", "")
    page.locator("#command").press_sequentially("AAPL RSI ")
    expect(page.locator("#command-list li").first).to_be_visible()
    yield "suggestions"
    page.fill("#command", "AAPL RSI stoploss=0.1 GO")
    page.press("#command", "Enter")
    expect(page.locator("#command-error")).to_contain_text("stop_loss")
    yield "misspelt"
    page.press("#command", "Escape")
    page.locator("#main").focus()
    page.keyboard.press("?")
    expect(page.locator("dialog")).to_be_visible()
    yield "keys"


def tour_result(visit: Visit, stock: Stock) -> Iterator[str]:
    page = visit.page
    page.goto(f"/?run={stock.run_id}&tab=equity")
    visit.wait_for_result()
    for tab in TABS:
        page.click(f"#tab-{tab}")
        expect(page.locator(f"#panel-{tab}")).to_be_visible()
        if tab == "stats":
            page.locator(".pictures").scroll_into_view_if_needed()
            expect(page.locator(".picture-grid img")).to_have_count(4, timeout=30_000)
        else:
            visit.wait_for_charts(tab)
        yield tab
    page.keyboard.press("1")
    page.click("[data-convention=lean]")
    expect(page.locator(".convention-table")).to_be_visible()
    page.locator("#ribbon .term").first.focus()
    yield "convention"
    page.keyboard.press("t")
    expect(page.locator("dialog")).to_be_visible()
    yield "tags"
    page.keyboard.press("Escape")
    page.keyboard.press("x")
    expect(page.locator("dialog")).to_contain_text("ten deepest episodes")
    yield "exports"


def tour_waiting(visit: Visit, stock: Stock) -> Iterator[str]:
    """A run that waits, is computed, fails, is cancelled, and one that is not there."""
    page = visit.page
    stored = visit.platform.call("GET", f"/api/v1/runs/{stock.run_id}")
    error = {
        "code": "invalid_input",
        "message": "no bar",
        "errors": [{"field": "start", "value": "2031-01-01", "message": "after the last bar"}],
    }
    states: dict[str, dict[str, Any]] = {
        "queued": {"queue_position": 3, "queue_length": 5},
        "running": {"progress": 0.4, "stage": "engine"},
        "failed": {"error": error},
        "cancelled": {},
    }
    for state, changes in states.items():
        run = {**stored, "run_id": GHOST, "state": state, "metrics": None, **changes}
        page.unroute_all()
        page.route(f"**/api/v1/runs/{GHOST}", partial(answer, body=run))
        page.goto(f"/?run={GHOST}")
        title = page.locator("#state-panel h2")
        expect(title).to_contain_text(re.compile(state, re.IGNORECASE))
        yield state
    page.unroute_all()
    page.goto(f"/?run={GHOST}")
    expect(page.locator("#state-panel h2")).to_contain_text("No such run")
    yield "missing"


def answer(route: Route, *, body: Any) -> None:
    route.fulfill(status=200, content_type="application/json", body=json.dumps(body))


def tour_runs(visit: Visit, stock: Stock) -> Iterator[str]:
    page = visit.page
    page.route("**/api/v1/runs?*", partial(answer, body={"runs": [], "next_cursor": None}))
    page.goto("/runs")
    expect(page.locator("#runs-table")).to_contain_text("No run yet")
    yield "empty"
    page.unroute_all()
    page.goto("/runs")
    expect(page.locator("#runs-table tr[data-run]").first).to_be_visible()
    yield "list"
    page.fill("#runs-search", "shrpe>1")
    expect(page.locator("#runs-error")).to_contain_text("nearest is sharpe")
    yield "misspelt"
    page.goto(f"/runs?pins={','.join((stock.run_id, *stock.others))}&show=all")
    expect(page.locator("#compare-chart .pane-readout")).to_contain_text("all")
    yield "compare"


def tour_sweeps(visit: Visit, stock: Stock) -> Iterator[str]:
    page = visit.page
    nothing = {"sweeps": [], "next_cursor": None}
    page.route(re.compile(r"/api/v1/sweeps\?limit="), partial(answer, body=nothing))
    page.goto("/sweep")
    expect(page.locator("#sweeps-table")).to_contain_text("No sweep yet")
    expect(page.locator("#estimate")).to_contain_text("combinations")
    yield "empty"
    page.unroute_all()
    page.goto("/sweep")
    expect(page.locator("#sweeps-table tr[data-sweep]").first).to_be_visible()
    yield "list"
    page.goto(f"/sweep/{stock.sweep_id}")
    wait_for_results(page)
    yield "ranking"
    page.click("#tab-parallel")
    expect(page.locator("#parallel-readout")).to_contain_text("of")
    yield "parallel"
    page.click("#tab-marginals")
    expect(page.locator("#panel-marginals figure").first).to_be_visible()
    yield "marginals"


def tour_data(visit: Visit, stock: Stock) -> Iterator[str]:
    page = visit.page
    page.goto("/data")
    expect(page.locator("#detail .pane-readout")).not_to_be_empty()
    yield "list"
    choose_file(page, "small.csv", SMALL_CSV)
    expect(page.locator("#preview-heading")).to_contain_text("new dataset", timeout=30_000)
    expect(page.locator("#detail .pane-readout")).not_to_be_empty()
    yield "preview"
    choose_file(page, "bad.csv", SMALL_CSV.replace("2024-01-09,109", "2024-01-09,oops"))
    expect(page.locator("#refusal .word")).to_have_text("REFUSED", timeout=30_000)
    yield "refused"


def choose_file(page: Page, name: str, text: str) -> None:
    content = {"name": name, "mimeType": "text/csv", "buffer": text.encode()}
    page.set_input_files("#field-file", files=[content])  # type: ignore[list-item]


def tour_help(visit: Visit, stock: Stock) -> Iterator[str]:
    visit.page.goto("/help")
    expect(visit.page.locator("#help-figures tr").first).to_be_visible()
    yield "all"
    visit.page.goto("/nosuchpage")
    expect(visit.page.locator("h1")).to_contain_text("No such page")
    yield "nowhere"


TOURS: dict[str, Tour] = {
    "first": tour_first_visit,
    "result": tour_result,
    "waiting": tour_waiting,
    "runs": tour_runs,
    "sweep": tour_sweeps,
    "data": tour_data,
    "help": tour_help,
}
