"""The data page in Chromium: a file is looked at, stored, renamed, run and removed."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.e2e.page_helpers import Visit

HEADER = "Date,Open,High,Low,Close,Volume\n"
ROWS = [
    f"2024-01-{day:02d},{100 + day},{102 + day},{99 + day},{101 + day},1000" for day in range(2, 30)
]
# Puts a file where a person drops it.
DROP = """([name, text]) => {
  const data = new DataTransfer();
  data.items.add(new File([text], name));
  for (const kind of ["dragover", "drop"]) {
    document.querySelector("#main").dispatchEvent(
      new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }));
  }
}"""


# A child process reads the file, on a machine that may be busy.
READ_MS = 30_000


def drop(page: Page, name: str, rows: list[str]) -> None:
    page.evaluate(DROP, [name, HEADER + "\n".join(rows) + "\n"])


def test_a_dropped_file_is_shown_stored_run_renamed_and_removed(visit: Visit) -> None:
    page = visit.page
    page.goto("/data")
    expect(page.locator("#detail h2")).to_have_text("AAPL")
    drop(page, "mine.csv", [*ROWS[:20], "2024-01-22,40,41,39,40,0", *ROWS[21:]])
    heading = page.locator("#preview-heading")
    expect(heading).to_contain_text("would be a new dataset", timeout=READ_MS)
    expect(page.locator("#field-symbol")).to_have_value("MINE")
    detail = page.locator("#detail")
    expect(detail.locator("[data-code=price_jump]")).to_contain_text("more than 40 %")
    expect(detail).to_contain_text("ISO 8601")
    expect(detail.locator(".pane-readout")).to_contain_text("C 130.00")
    expect(detail.locator("table.rows tr", has_text="2024-01-02")).to_contain_text("103.00")
    assert "MINE" not in str(visit.platform.call("GET", "/api/v1/datasets"))
    expect(page.locator("#preview-store")).to_be_focused()
    detail.locator("[data-code=price_jump] .example-bar").first.click()
    expect(detail.locator(".stack")).to_be_focused()

    page.fill("#field-symbol", "IBM")
    expect(heading).to_contain_text("its version 2")
    page.fill("#field-symbol", "MINE")
    page.press("#field-symbol", "Enter")
    expect(page.locator("#upload-note")).to_have_text("MINE version 1 is stored", timeout=READ_MS)
    row = page.locator("#datasets tr[data-symbol=MINE]")
    expect(row).to_have_attribute("aria-selected", "true")
    expect(row).to_contain_text("2024-01-29")
    expect(page).to_have_url(re.compile("symbol=MINE"))

    page.focus("#data-scroll")
    page.keyboard.press("t")
    page.fill("#edit-tags", "own, small")
    page.press("#edit-tags", "Enter")
    expect(row).to_contain_text("own, small")
    page.keyboard.press("e")
    page.fill("#edit-symbol", "AAPL")
    page.press("#edit-symbol", "Enter")
    expect(page.locator("#detail-trouble")).to_contain_text("there is a dataset AAPL already")
    page.click("#action-rename")
    page.fill("#edit-symbol", "OURS")
    page.press("#edit-symbol", "Enter")
    row = page.locator("#datasets tr[data-symbol=OURS]")
    expect(row).to_contain_text("own, small")
    expect(page.locator("#detail h2")).to_have_text("OURS")

    run_id = visit.platform.submit(dataset="OURS", rule="buy_and_hold")
    visit.platform.wait_for_run(run_id)
    page.click("#action-remove")
    page.click("dialog .btn-primary")
    trouble = page.locator("#detail-trouble")
    expect(trouble).to_contain_text("1 run stands on it")
    expect(trouble.locator("a")).to_have_attribute("href", f"/?run={run_id}")
    visit.platform.call("DELETE", f"/api/v1/runs/{run_id}")
    page.click("#action-remove")
    page.click("dialog .btn-primary")
    expect(row).to_have_count(0)


def test_a_run_of_a_dataset_renamed_since_fills_the_form_with_its_name_now(visit: Visit) -> None:
    page, platform = visit.page, visit.platform
    run_id = platform.submit(dataset="IBM", rule="buy_and_hold")
    platform.wait_for_run(run_id)
    platform.call("PATCH", "/api/v1/datasets/IBM", {"symbol": "BLUE"})
    try:
        page.goto(f"/?run={run_id}")
        visit.wait_for_result()
        expect(page.locator("#field-dataset")).to_have_value("BLUE")
        expect(page.locator("#command")).to_have_value(re.compile("^BLUE BUY_AND_HOLD"))
    finally:
        platform.call("PATCH", "/api/v1/datasets/BLUE", {"symbol": "IBM"})


def test_a_bad_file_is_refused_in_words_at_its_field(visit: Visit, tmp_path: Path) -> None:
    page = visit.page
    page.goto("/data")
    page.click("#upload-button")
    error = page.locator("#field-file-error")
    expect(error).to_contain_text("choose a CSV")
    bad = tmp_path / "bad.csv"
    bad.write_text(HEADER + ROWS[0] + "\n" + ROWS[1].replace("102", "oops") + "\n")
    page.set_input_files("#field-file", bad)
    expect(error).to_contain_text("oops", timeout=READ_MS)
    expect(error).to_contain_text("row 3")
    expect(page.locator("#refusal .word")).to_have_text("REFUSED")
    page.fill("#field-symbol", "..")
    drop(page, "good.csv", ROWS)
    expect(page.locator("#field-symbol-error")).to_contain_text("use letters")
    expect(page.locator("#datasets tr[data-symbol]")).to_have_count(3)
    page.fill("#field-symbol", "GOOD")
    page.press("#field-symbol", "Tab")
    expect(page.locator("#preview-heading h2")).to_have_text("GOOD", timeout=READ_MS)
    page.click("#upload-clear")
    expect(page.locator("#detail h2")).to_have_text("AAPL")


def test_an_address_with_an_unknown_symbol_says_what_there_is(visit: Visit) -> None:
    page = visit.page
    page.goto("/data?symbol=NOPE")
    missing = page.locator("#missing")
    expect(missing).to_contain_text("No dataset NOPE")
    expect(page.locator("#datasets tr[aria-selected=true]")).to_have_count(0)
    missing.get_by_role("link", name="MSFT").click()
    expect(page.locator("#detail h2")).to_have_text("MSFT")
    page.goto("/data?symbol=msft")
    expect(page.locator("#detail h2")).to_have_text("MSFT")


def test_the_keyboard_walks_the_list_and_begins_a_command(visit: Visit) -> None:
    page = visit.page
    page.goto("/data?symbol=IBM")
    expect(page.locator("#detail h2")).to_have_text("IBM")
    page.focus("#data-scroll")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#detail h2")).to_have_text("MSFT")
    page.click("#toggle-adjusted")
    expect(page.locator("#detail .pane-head h3")).to_have_text("Close adjusted")
    page.focus("#data-scroll")
    page.keyboard.press("Enter")
    expect(page.locator("#command")).to_have_value("MSFT ")
    expect(page.locator("#command-list li").first).to_be_visible()


def test_the_phone_shows_the_page_without_scrolling_sideways(phone: Visit) -> None:
    page = phone.page
    page.set_viewport_size({"width": 360, "height": 780})
    page.goto("/data")
    expect(page.locator("#detail .pane-readout")).not_to_be_empty()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    drop(page, f"{'long name ' * 12}.csv", ROWS)
    expect(page.locator("#preview-store")).to_be_in_viewport(timeout=READ_MS)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    small = page.evaluate(
        """() => [...document.querySelectorAll('#main button')]
            .filter((node) => node.getClientRects().length && !node.matches('.sort'))
            .map((node) => [node.id || node.textContent, node.getBoundingClientRect().height])
            .filter(([, height]) => height < 43)"""
    )
    assert small == []
