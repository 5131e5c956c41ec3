"""What the tests of sweeps share: sweeps through the API, and the wait for their page."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.page_helpers import Visit
from tests.support.processes import wait_until

SWEEP_IN_ADDRESS = re.compile(r"/sweep/[0-9a-f-]{36}")
SPACE = {"window": "5:24", "oversold": "20:40:2", "overbought": "65,75"}
# Larger than the figures on the page show: nothing but the format may differ.
SHOWN_METRICS = ("sharpe", "total_return", "max_drawdown", "win_rate", "n_trades", "cagr")


def submit_sweep(visit: Visit, **request: Any) -> str:
    body = {"dataset": "AAPL", "rule": "rsi", "space": SPACE, "min_trades": 3, **request}
    return str(visit.platform.call("POST", "/api/v1/sweeps", body)["sweep_id"])


def wait_for_sweep(visit: Visit, sweep_id: str, seconds: float = 60.0) -> dict[str, Any]:
    def ended() -> dict[str, Any] | None:
        sweep: dict[str, Any] = visit.platform.call("GET", f"/api/v1/sweeps/{sweep_id}")
        return sweep if sweep["state"] in ("succeeded", "failed", "cancelled") else None

    found = wait_until(ended, seconds, f"sweep {sweep_id} ends")
    assert found is not None
    return found


def open_done_sweep(visit: Visit, query: str = "", **request: Any) -> dict[str, Any]:
    """Compute a sweep through the API, which remembers it, and open it."""
    sweep = wait_for_sweep(visit, submit_sweep(visit, **request))
    assert sweep["state"] == "succeeded", sweep["error"]
    visit.page.goto(f"/sweep/{sweep['sweep_id']}{query}")
    wait_for_results(visit.page)
    return sweep


def wait_for_results(page: Page) -> None:
    expect(page.locator("#sweep-state")).to_have_text("done", timeout=60_000)
    expect(page.locator("#ranking-count")).to_contain_text("of")
    expect(page.locator("#heat-metric")).to_be_visible()
    expect(page.locator("#distribution svg")).to_be_visible()
    # The longest answer: until it is there, the only worker answers nothing else.
    expect(page.locator(".verdict-word")).to_be_visible(timeout=60_000)


def assert_run_equals(visit: Visit, metrics: dict[str, Any]) -> None:
    """The run that is open has the metrics that the sweep has for it."""
    visit.wait_for_result()
    run_id = re.search(r"run=([0-9a-f-]{36})", visit.page.url)
    assert run_id is not None
    run = visit.platform.call("GET", f"/api/v1/runs/{run_id[1]}")
    assert {name: run["metrics"][name] for name in SHOWN_METRICS} == pytest.approx(
        {name: metrics[name] for name in SHOWN_METRICS}, rel=1e-9, abs=1e-12
    )
