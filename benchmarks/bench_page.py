"""How the run page feels in Chromium, by the browser's own clock: first view, tabs, scroll, zoom.

Run: .venv/bin/python benchmarks/bench_page.py [--url URL] [--chromium PATH]

Starts a platform of its own unless it is told of one, uploads 1,000,000 bars, runs a rule that
trades tens of thousands of times, and prints tables. Needs the `test` extra and a Chromium.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
from markets import ROOT, load_market
from playwright.sync_api import Browser, Page, sync_playwright
from report import Table

sys.path.insert(0, str(ROOT))  # the platform of the tests is started here too

from tests.support.platform import run_platform

N_BARS, N_ROUNDS, N_FRAMES = 1_000_000, 5, 120
CHROMIUM = "/usr/bin/chromium"
TABS = ("stats", "equity", "drawdown", "portfolio", "trades")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
DAILY = {"dataset": "AAPL", "rule": "rsi", "trading": {"stop_loss": 0.1}}
MINUTES = {"dataset": "WALK", "rule": "rsi", "params": {"window": 4}, "trading": {"fee_rate": 0}}

# Before any script of the page: notes when the figures are there and when every chart reads values.
WATCH = """
window.seen = { longest: 0 };
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) seen.longest = Math.max(seen.longest, entry.duration);
}).observe({ type: "longtask", buffered: true });
const look = () => {
  if (!document.body) return;
  const readouts = [...document.querySelectorAll("[role=tabpanel]:not([hidden]) .pane-readout")];
  const hasResult = document.body.classList.contains("has-result");
  if (!seen.figures && hasResult) seen.figures = performance.now();
  if (!seen.charts && readouts.length && readouts.every((node) => node.firstChild)) {
    seen.charts = performance.now();
  }
};
new MutationObserver(look).observe(document, { subtree: true, childList: true, attributes: true });
"""
SIZE = """
() => performance.getEntriesByType("resource").concat(performance.getEntriesByType("navigation"))
  .reduce((sum, entry) => sum + entry.transferSize, 0)
"""
# From the click to the second frame after it: the first is the one that is drawn.
SWITCH = """
(tab) => new Promise((resolve) => {
  const begun = performance.now();
  document.querySelector(`#tab-${tab}`).click();
  requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now() - begun)));
})
"""
FRAMES = """
(count) => new Promise((resolve) => {
  const act = (frame) => { %s };
  const times = [];
  const next = (now) => {
    times.push(now);
    if (times.length > count) {
      resolve(times.slice(1).map((time, idx) => time - times[idx]));
      return;
    }
    act(times.length);
    requestAnimationFrame(next);
  };
  requestAnimationFrame(next);
})
"""
SCROLL = 'document.querySelector(".trade-scroll").scrollTop += 330;'
WHEEL = """
const over = document.querySelector("[role=tabpanel]:not([hidden]) .u-over");
const box = over.getBoundingClientRect();
over.dispatchEvent(new WheelEvent("wheel", { bubbles: true, cancelable: true,
  clientX: box.left + box.width * 0.4, clientY: box.top + 20, %s }));
"""
ZOOM = WHEEL % "deltaY: frame % 60 < 30 ? -60 : 60"
PAN = WHEEL % "deltaX: frame % 60 < 30 ? 60 : -60"


@contextmanager
def open_platform(url: str | None) -> Iterator[str]:
    """Give the address of a platform, one of our own unless `url` names one."""
    if url:
        yield url.rstrip("/")
        return
    with tempfile.TemporaryDirectory() as folder, run_platform(Path(folder) / "state") as running:
        yield running.url


def upload_walk(client: httpx.Client) -> None:
    """Store the walk, unless it is there."""
    market = load_market("walk", N_BARS)
    names = ("Timestamp", "Open", "High", "Low", "Close", "Volume")
    columns = [
        pa.array(market.timestamps.astype("datetime64[ns]")),
        *map(pa.array, market.columns[1:]),
    ]
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
        pq.write_table(pa.table(dict(zip(names, columns, strict=True))), file.name)
        file.seek(0)
        answer = client.post(
            "/api/v1/datasets", data={"symbol": "WALK"}, files={"file": ("walk.parquet", file)}
        )
    answer.raise_for_status()


def submit(client: httpx.Client, request: dict[str, Any]) -> str:
    """Return the id of a finished run."""
    answer = client.post("/api/v1/runs", params={"wait": 30}, json=request)
    answer.raise_for_status()
    run_id = str(answer.json()["run_id"])
    while (run := client.get(f"/api/v1/runs/{run_id}").json())["state"] in ("queued", "running"):
        time.sleep(0.2)
    assert run["state"] == "succeeded", run["error"]
    client.get(f"/api/v1/runs/{run_id}/charts")  # drawn before anything is measured
    return run_id


def visit(page: Page, address: str) -> dict[str, float]:
    """Open an address and return its times in ms, its longest task, and bytes transferred."""
    page.goto(address)
    # Asking at once would run a script of the browser's driver in the middle of what is measured.
    page.wait_for_timeout(1500)
    page.wait_for_function("() => seen.figures && seen.charts")
    return {**page.evaluate("seen"), "bytes": page.evaluate(SIZE)}


def measure_visits(browser: Browser, address: str) -> list[Sequence[str]]:
    """Return rows of first and repeated views."""
    cold, warm = [], []
    for _ in range(N_ROUNDS):
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        context.add_init_script(WATCH)
        cold.append(visit(context.new_page(), address))
        warm.append(visit(context.new_page(), address))
        context.close()
    rows = []
    for name, seen in (("empty cache", cold), ("again", warm)):
        for key, what, target in (
            ("figures", "figures and tabs", "300"),
            ("charts", "charts drawn", ""),
            ("longest", "longest task", "100"),
        ):
            rows.append(show(f"{what}, {name}", [each[key] for each in seen], target))
    rows.append(("transferred, empty cache, kB", f"{cold[0]['bytes'] / 1e3:.0f}", "", "1,600"))
    return rows


def show(name: str, values: list[float], target: str) -> tuple[str, str, str, str]:
    """Return a row: best and median."""
    return name, f"{min(values):.0f}", f"{statistics.median(values):.0f}", target


def measure_tabs(page: Page, address: str) -> list[Sequence[str]]:
    """Return rows of the first and of later openings of every tab."""
    visit(page, address)
    rows = []
    for name in ("first", "again"):
        for tab in TABS:
            times = []
            for _ in range(1 if name == "first" else N_ROUNDS):
                page.evaluate(SWITCH, "stats" if tab == "equity" else "equity")
                page.wait_for_timeout(300)
                times.append(page.evaluate(SWITCH, tab))
                page.wait_for_timeout(300)
            if name == "again" or tab not in ("stats", "equity"):
                rows.append(show(f"{tab}, {name}", times, "50"))
    return rows


def measure_frames(page: Page, name: str, step: str) -> Sequence[str]:
    """Return a row: frames a second, and how long the worst frames took."""
    intervals = sorted(page.evaluate(FRAMES % step, N_FRAMES))
    rate = 1000 * len(intervals) / sum(intervals)
    return (
        name,
        f"{rate:.0f}",
        f"{intervals[int(0.95 * len(intervals))]:.0f}",
        f"{intervals[-1]:.0f}",
    )


def run_benchmark(chromium: str, url: str | None = None) -> list[Table]:
    """Measure a daily run and one over 1,000,000 bars."""
    with open_platform(url) as page_url, sync_playwright() as playwright:
        with httpx.Client(base_url=page_url, timeout=120, trust_env=False) as client:
            upload_walk(client)
            daily, minutes = (f"{page_url}/?run={submit(client, run)}" for run in (DAILY, MINUTES))
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        tables = [
            *measure_run(browser, daily, "3,270 daily bars"),
            *measure_run(browser, minutes, "1,000,000 bars"),
        ]
        browser.close()
    return tables


def measure_run(browser: Browser, run: str, name: str) -> list[Table]:
    """Measure first views, tabs and motion of one run's page."""
    headings = ("ms", "best", "median", "target")
    visits = measure_visits(browser, f"{run}&tab=equity")
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.add_init_script(WATCH)
    tabs = measure_tabs(page, f"{run}&tab=equity")
    visit(page, f"{run}&tab=equity")
    motion = [measure_frames(page, "zoom", ZOOM), measure_frames(page, "pan", PAN)]
    visit(page, f"{run}&tab=trades")
    count = page.locator("[data-show=all]").inner_text()
    motion.append(measure_frames(page, f"scroll of trades ({count})", SCROLL))
    page.close()
    headed = ("motion", "frames/s", "95 %, ms", "worst, ms")
    return [
        Table(f"First view of a stored run, {name}", headings, visits),
        Table(f"Tab switch, {name}", headings, tabs),
        Table(f"Motion, {name}: at least 30 frames/s", headed, motion),
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", help="a platform that runs already")
    parser.add_argument("--chromium", default=CHROMIUM)
    parser.add_argument("--markdown", action="store_true", help="as docs/benchmarks.md has it")
    options = parser.parse_args()
    for table in run_benchmark(options.chromium, options.url):
        if options.markdown:
            print(table.to_markdown())
        else:
            table.show()


if __name__ == "__main__":
    main()
