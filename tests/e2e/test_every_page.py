"""Every page in every state, on a desk and on a phone: accessible, and nothing cut or covered."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import PICTURES
from tests.e2e.page_checks import assert_accessible, assert_fits
from tests.e2e.page_helpers import Visit
from tests.e2e.tours import TOURS, Stock
from tests.support.platform import Platform
from tests.support.processes import wait_until

# A phone shows the page in its own width alone.
WIDTHS = {2560: 1440, 1280: 800}


@pytest.fixture(scope="module")
def stock(platform: Platform) -> Stock:
    plain = {"dataset": "AAPL", "rule": "rsi"}
    runs = [
        platform.submit(
            **plain, trading={"stop_loss": 0.1}, tags=["baseline"], note="as published"
        ),
        platform.submit(**plain, params={"window": 5}),
        platform.submit(dataset="MSFT", rule="macd", start="2008-01-01"),
    ]
    body = {"space": {"window": "5:24", "oversold": "20:40:2", "overbought": "65,75"}}
    sweep_id = platform.call("POST", "/api/v1/sweeps", {**plain, **body, "min_trades": 3})[
        "sweep_id"
    ]
    for run_id in runs:
        assert platform.wait_for_run(run_id)["state"] == "succeeded"
    path = f"/api/v1/sweeps/{sweep_id}"
    wait_until(lambda: platform.call("GET", path)["state"] == "succeeded", 60, "the sweep is done")
    return Stock(runs[0], tuple(runs[1:]), sweep_id)


@pytest.mark.parametrize("tour", TOURS)
def test_every_state_of_a_page_is_accessible_and_fits_its_window(
    either: Visit, stock: Stock, tour: str
) -> None:
    page = either.page
    size = page.viewport_size
    assert size is not None
    widths = WIDTHS if size["width"] > 768 else {size["width"]: size["height"]}
    PICTURES.mkdir(parents=True, exist_ok=True)
    for state in TOURS[tour](either, stock):
        for width, height in widths.items():
            page.set_viewport_size({"width": width, "height": height})
            # Charts are drawn in the frame after the one that brings their new size.
            page.evaluate(
                "() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 50)))"
            )
            page.screenshot(path=PICTURES / f"{tour}-{state}-{width}.png")
            assert_fits(page, f"{tour}, {state}, {width} px")
        assert_accessible(page, f"{tour}, {state}")
