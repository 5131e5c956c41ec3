"""The run page where there is no result, not yet, or one with a catch."""

from __future__ import annotations

import os
import re
import signal

import psutil
import pytest
from playwright.sync_api import Route, expect

from tests.e2e.page_helpers import Visit
from tests.e2e.tours import GHOST


def test_a_waiting_run_shows_its_place_and_can_be_cancelled(visit: Visit) -> None:
    page = visit.page
    page.goto("/")
    worker = psutil.Process(visit.platform.up["pids"]["worker"])
    stopped = [worker, *worker.children(recursive=True)]
    for process in stopped:
        os.kill(process.pid, signal.SIGSTOP)
    try:
        visit.command("MSFT RSI 9 25 75 GO")
        expect(page.locator("#state-panel h2")).to_have_text("Queued, 1st of 1")
        page.keyboard.press("c")
        expect(page.locator("#cancel-run")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("#state-panel h2")).to_have_text("Cancelled")
        expect(page.locator("[data-status=STATE]")).to_contain_text("poll stopped")
    finally:
        for process in stopped:
            os.kill(process.pid, signal.SIGCONT)


def test_an_unreachable_server_is_named_and_the_result_stays(visit: Visit) -> None:
    visit.allowed = lambda text: "ERR_INTERNET_DISCONNECTED" in text
    page = visit.page
    visit.open_run("stats")
    page.context.set_offline(True)
    page.click("#run-button")
    expect(page.locator("#banner")).to_contain_text("OFFLINE")
    assert visit.kpi("n_trades") != "–"
    page.context.set_offline(False)
    page.click("#banner button")
    expect(page.locator("#banner")).to_be_hidden()


@pytest.mark.parametrize("path", ["/runs", "/data", "/sweep", f"/?run={GHOST}", f"/sweep/{GHOST}"])
def test_what_could_not_be_loaded_comes_by_itself_once_the_server_is_back(
    visit: Visit, path: str
) -> None:
    visit.allowed = lambda text: "status of" in text
    page = visit.page
    page.route("**/api/v1/**", lambda route: route.fulfill(status=503, json={"detail": "away"}))
    page.goto(path)
    banner = page.locator("#banner")
    expect(banner).to_contain_text(re.compile(r"Away\. Next try in \d+ s\.(?!.*loaded before)"))
    page.unroute_all()
    expect(banner).to_be_hidden()


def test_a_page_opened_without_the_database_comes_again_with_it(visit: Visit) -> None:
    page = visit.page

    def hide(route: Route) -> None:
        answer = route.fetch()
        body = answer.text().replace('"storage_available":true', '"storage_available":false')
        route.fulfill(response=answer, body=body)

    page.route(re.compile("/data$"), hide, times=1)
    page.goto("/data")
    expect(page.locator("#detail")).to_contain_text("Waiting for the database")
    expect(page.locator("#detail h2")).to_have_text("AAPL")


def test_a_result_that_comes_after_its_address_was_left_is_not_shown(visit: Visit) -> None:
    page = visit.page
    held: list[Route] = []
    page.goto("/")
    page.route("**/view", lambda route: held.append(route))
    with page.expect_request("**/view"):
        visit.command("MSFT RSI 12 GO")
    page.go_back()
    expect(page.locator("#state-panel h2")).to_have_text("No run yet")
    with page.expect_response("**/view"):
        held[0].continue_()
    with page.expect_response("**/health"):  # an answer that was asked for later
        page.evaluate("fetch('/health')")
    expect(page.locator("#state-panel h2")).to_be_visible()
    expect(page.locator("[data-status=RUN]")).to_have_count(0)
    page.unroute_all()


def test_an_unknown_run_is_said_to_be_missing(visit: Visit) -> None:
    visit.page.goto("/?run=123e4567-e89b-42d3-a456-426614174000")
    expect(visit.page.locator("#state-panel h2")).to_contain_text("No such run")


def test_a_ruined_run_says_so_and_gives_the_reason_of_every_dash(visit: Visit) -> None:
    page = visit.page
    visit.open_run("stats", trading={"direction": "long_short"})
    expect(page.locator("#assumptions")).to_contain_text("RUINED")
    assert visit.kpi("cagr") == "–"
    expect(page.locator("#panel-stats [data-metric=cagr]")).to_contain_text("below zero")
    page.hover("#ribbon [data-metric=cagr] .term")
    expect(page.locator("#tooltip")).to_contain_text("UNDEFINED HERE equity ended below zero")
    page.click("#tab-equity")
    expect(page.locator("[data-scale=lin]")).to_have_attribute("aria-pressed", "true")


def test_the_beginning_of_an_id_opens_the_run(visit: Visit) -> None:
    page = visit.page
    run_id = visit.open_run("stats")
    page.goto("/help")
    visit.command(f"RUN {run_id[:8]}")
    visit.wait_for_result()
    assert f"run={run_id}" in page.url
