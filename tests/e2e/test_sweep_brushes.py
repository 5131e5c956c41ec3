"""Parallel coordinates in Chromium: stretches of axes, by mouse and in words."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.e2e.page_helpers import Visit
from tests.e2e.sweep_helpers import open_done_sweep


def test_a_stretch_of_an_axis_keeps_its_lines_and_goes_into_address_and_ranking(
    visit: Visit,
) -> None:
    page = visit.page
    sweep = open_done_sweep(visit)
    page.click("#tab-parallel")
    expect(page.locator("#parallel-readout")).to_contain_text("of")
    box = page.locator("#parallel").bounding_box()
    assert box is not None
    # The first axis stands 46 px from the left, its levels between 26 px and 12 px from the ends.
    x, top, height = box["x"] + 46, box["y"] + 26, box["height"] - 38
    page.mouse.move(x, top - 8)
    page.mouse.down()
    page.mouse.move(x, top + height / 2, steps=4)
    page.mouse.up()
    field = page.locator("#brush")
    expect(field).to_have_value("window=15..24")
    expect(page.locator("#brush-count")).to_contain_text(re.compile(r"^\d+ of \d+ lines"))
    # By keyboard the same, in words.
    field.press("End")
    field.press_sequentially(" overbought=65 sharpe=0..")
    expect(page).to_have_url(re.compile("keep=window%3D15..24\\+overbought%3D65\\+sharpe%3D0.."))
    page.reload()
    expect(field).to_have_value("window=15..24 overbought=65 sharpe=0..")
    expect(page.locator("#brush-count")).to_contain_text("lines")
    page.focus("#parallel")
    page.keyboard.press("ArrowDown")
    readout = page.locator("#parallel-readout")
    expect(readout).to_contain_text("overbought 65")
    page.click("#brush-rank")
    path = f"/api/v1/sweeps/{sweep['sweep_id']}/ranking?limit=1&filter=window>=15&filter=window<=24"
    found = visit.platform.call("GET", f"{path}&filter=overbought=65&filter=sharpe>=0")
    expect(page.locator("#ranking-count")).to_contain_text(f"of {found['total']}")
    expect(page.locator(f".ranking tr[data-index='{found['rows'][0]['index']}']")).to_be_visible()


def test_brushes_that_cannot_be_read_say_what_to_write(visit: Visit) -> None:
    page = visit.page
    open_done_sweep(visit)
    page.click("#tab-parallel")
    error = page.locator("#brush-error")
    for text, remedy in {
        "windw=1..2": "no axis windw; there are window, oversold, overbought, sharpe",
        "window": "write name=from..to",
        "window=9..5": "write window=from..to",
    }.items():
        page.fill("#brush", text)
        expect(error).to_contain_text(remedy)
    page.fill("#brush", "window=10..12")
    expect(error).to_be_empty()
    page.click("#brush-clear")
    expect(page.locator("#brush")).to_have_value("")
    expect(page.locator("#brush-count")).to_be_empty()
