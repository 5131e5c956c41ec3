"""The whole platform, started as `stock-backtest up`: queue, web tier and a distributed sweep.

    python benchmarks/bench_platform.py

Everything is measured over HTTP from this process, which shares the cores with the platform.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from http_load import RawClient, ask_at_full_speed, ask_at_rate
from markets import ROOT
from report import Table

sys.path.insert(0, str(ROOT))

import psutil
from sqlalchemy import func, select

from storage.database import create_database
from storage.sweep_tables import sweep_chunks, sweeps
from tasks.settings import Settings
from tests.support.platform import Platform, run_platform
from tests.support.worker import run_worker

Row = tuple[str, ...]

# 1,000,000 combinations: 40 x 100 x 250.
MILLION = {"window": "3:42", "oversold": "10.25:35:0.25", "overbought": "60.1:85:0.1"}
_HEADINGS = ("work", "best", "median", "p99", "target", "met")
_N_RUNS, _N_WARM = 100, 3
_POLL_SECONDS = 4.0
# Largest resident memory that a process of each service may have. [MB, of 10^6 bytes]
_MEMORY_TARGETS = {"web": 90, "worker": 250}


@contextmanager
def start_noop_worker(broker: str) -> Iterator[Any]:
    """Run a worker with one process on the platform's broker; yield its task."""
    os.environ["NOOP_BROKER"] = broker
    command = [sys.executable, "-m", "celery", "-A", "noop_worker", "worker", "-c", "1"]
    quiet = ["-Q", "noop", "--without-gossip", "--without-mingle", "--loglevel", "error"]
    with subprocess.Popen(
        [*command, *quiet],
        cwd=Path(__file__).parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        from noop_worker import noop

        try:
            noop.delay().get(timeout=30)
            yield noop
        finally:
            process.terminate()


def measure_queue(platform: Platform, client: httpx.Client) -> list[Row]:
    """One run over the queue against a no-op round trip, in turn."""

    def run_once() -> float:
        body = {"dataset": "AAPL", "rule": "rsi", "force": True}
        started = time.time()
        answer = client.post("/api/v1/runs", params={"wait": 10}, json=body).json()
        run = wait_for_charts(client, answer["run_id"])
        # By the same clock: the database is in this machine.
        return datetime.fromisoformat(run["finished_at"]).timestamp() - started

    with start_noop_worker(str(platform.up["broker_url"])) as noop:

        def noop_once() -> float:
            started = time.perf_counter()
            noop.delay().get(timeout=10, interval=0.0005)
            return time.perf_counter() - started

        pairs = [(run_once(), noop_once()) for _ in range(_N_WARM + _N_RUNS)][_N_WARM:]
    runs, floors = np.array(pairs).T * 1e3
    ratio = np.median(runs) / np.median(floors)
    spread = np.percentile(runs, 99) / np.median(runs)
    return [
        build_row("no-op round trip, ms", floors),
        build_row("POST to result persisted, ms", runs),
        (
            "the same, times a no-op",
            f"{runs.min() / floors.min():.1f}",
            f"{ratio:.1f}",
            "",
            "<= 8",
            say(bool(ratio <= 8)),
        ),
        ("its p99 over its p50", "", "", f"{spread:.1f}", "<= 4", say(bool(spread <= 4))),
    ]


def wait_for_charts(client: httpx.Client, run_id: str) -> dict[str, Any]:
    """Return a run that has ended and whose charts are drawn: its worker is idle again."""
    while True:
        run: dict[str, Any] = client.get(f"/api/v1/runs/{run_id}").raise_for_status().json()
        if run["state"] == "succeeded" and run["has_charts"]:
            return run
        assert run["state"] in ("queued", "running", "succeeded"), run
        time.sleep(0.02)


def measure_cache_hits(platform: Platform, client: httpx.Client) -> list[Row]:
    """The server's own time of a POST whose answer is stored, as its log tells it."""
    body = {"dataset": "AAPL", "rule": "macd"}
    answer = client.post("/api/v1/runs", params={"wait": 10}, json=body).json()
    wait_for_charts(client, answer["run_id"])
    start = len(platform.log)
    for _ in range(500):
        assert client.post("/api/v1/runs", json=body).raise_for_status().json()["cached"]
    lines = [json.loads(line) for line in platform.log[start:].splitlines() if '"request"' in line]
    hits = np.array(
        [line["milliseconds"] for line in lines if line.get("path") == "/api/v1/runs"][_N_WARM:]
    )
    return [build_row("POST that is a cache hit, ms in the server", hits, "p50 <= 3", 3.0)]


def measure_polls(platform: Platform, client: httpx.Client) -> list[Row]:
    """Polls of a state that has not changed, the web tier on one core and the clients elsewhere."""
    run_id = client.get("/api/v1/runs").json()["runs"][0]["run_id"]
    path = f"/api/v1/runs/{run_id}"
    headers = {"If-None-Match": client.get(path).headers["ETag"]}
    cores = sorted(os.sched_getaffinity(0))
    web = psutil.Process(platform.up["pids"]["web"])
    family = [web, *web.children(recursive=True)]
    for process in family:
        process.cpu_affinity(cores[:1])
    os.sched_setaffinity(0, cores[1:] or cores)
    clients = [RawClient(platform.url, path, headers) for _ in range(4)]
    try:
        rates = np.array([ask_at_full_speed(clients[0], _POLL_SECONDS / 4) for _ in range(4)])
        delays = 1e3 * ask_at_rate(clients, 500.0, _POLL_SECONDS)
    finally:
        for one in clients:
            one.close()
        os.sched_setaffinity(0, cores)
        for process in family:
            process.cpu_affinity(cores)
    fastest, usual = rates.max(), np.median(rates)
    return [
        (
            "state polls per second, 304, one core",
            f"{fastest:,.0f}",
            f"{usual:,.0f}",
            "",
            ">= 1,000",
            say(bool(usual >= 1000)),
        ),
        build_row("a poll at 500 per second, ms", delays, "p99 <= 20", 20.0, q=99),
    ]


def measure_sweep(platform: Platform, rounds: int) -> tuple[list[Row], list[str], str]:
    """A million combinations in one process and over the queue, in turn."""
    body = {"dataset": "AAPL", "rule": "rsi", "space": MILLION, "force": True}
    bare, local, last, ended, hashes = [], [], [], [], set()
    sweep_id = ""
    for _ in range(rounds):
        document = run_local_sweep()
        bare.append(document["bare"])
        local.append(document["total"])
        hashes.add(document["result_sha256"])
        sweep_id, last_seconds, end_seconds, sha = run_queued_sweep(platform, body)
        last.append(last_seconds)
        ended.append(end_seconds)
        hashes.add(sha)
    whole = np.array(ended)
    name = "1,000,000 combinations"
    rows = [
        build_row(f"{name} in one process, evaluation alone, s", np.array(bare)),
        build_row(f"{name} in one process, hash and ranking too, s", np.array(local)),
        build_row(f"{name} submitted to last chunk stored, s", np.array(last)),
        build_row(f"{name} submitted to all results queryable, s", whole, "<= 10", 10.0),
        build_ratio("the last over the same in one process", whole, local, 1.5),
        build_ratio("last chunk stored over evaluation alone", np.array(last), bare, None),
        build_ratio("all queryable over evaluation alone", whole, bare, None),
    ]
    return rows, [f"One result_sha256 for all of them: {say(len(hashes) == 1)}."], sweep_id


def run_local_sweep() -> dict[str, Any]:
    """Run the sweep in a process of its own, as the command line does it."""
    command = [sys.executable, __file__, "--local"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def print_local_sweep() -> None:
    """Child process: the sweep on all cores from loaded bars, and what the command line prints."""
    from cli.sweep_document import build_sweep_document
    from rules.sweep_spec import parse_sweep_request
    from storage.bar_files import load_bar_file
    from tasks.sweep_compute import build_local_sweep_spec
    from tasks.sweep_local import run_local_sweep

    loaded = load_bar_file(ROOT / "data" / "AAPL.csv")
    request = parse_sweep_request({"dataset": "AAPL", "rule": "rsi", "space": MILLION})
    spec = build_local_sweep_spec(request, [("AAPL", loaded[0])])
    with run_local_sweep(spec, lambda _: loaded) as sweep:
        started = time.perf_counter()
        document = build_sweep_document(sweep, 10)
        total = sweep.seconds + time.perf_counter() - started
    found = {"bare": sweep.seconds, "total": total, "result_sha256": document["result_sha256"]}
    print(json.dumps(found))


def run_queued_sweep(platform: Platform, body: dict[str, Any]) -> tuple[str, float, float, str]:
    """Submit and wait: id, seconds to the last chunk and to the end by the database, hash.

    Asks seldom, because every answer takes time from the workers on the same cores.
    """
    started = time.time()
    sweep_id = platform.call("POST", "/api/v1/sweeps", body)["sweep_id"]
    while True:
        time.sleep(0.2)
        sweep = platform.call("GET", f"/api/v1/sweeps/{sweep_id}")
        if sweep["state"] not in ("queued", "running"):
            break
    assert sweep["state"] == "succeeded", sweep
    engine = create_database(platform.up["database_url"])
    query = (
        select(func.max(sweep_chunks.c.finished_at))
        .join(sweeps, sweeps.c.id == sweep_chunks.c.sweep_number)
        .where(sweeps.c.sweep_id == sweep_id)
    )
    with engine.connect() as connection:
        last = connection.scalar(query)
    engine.dispose()
    assert last is not None
    moments = (last.timestamp(), datetime.fromisoformat(sweep["finished_at"]).timestamp())
    return sweep_id, moments[0] - started, moments[1] - started, str(sweep["result_sha256"])


def measure_pages(client: httpx.Client, sweep_id: str) -> list[Row]:
    """What the page of a sweep asks for, over 1,000,000 combinations; the client's time."""
    views = {
        "state": "",
        "first page of the ranking": "/ranking?limit=100",
        "last stored page by another metric": "/ranking?metric=sortino&offset=900&limit=100",
        "heat map": "/heatmap",
        "marginals": "/marginals",
        "importance": "/importance",
        "parallel coordinates": "/parallel",
        "one combination": "/combinations/777777",
        "the list of sweeps": None,
    }
    rows = []
    for name, tail in views.items():
        path = "/api/v1/sweeps" if tail is None else f"/api/v1/sweeps/{sweep_id}{tail}"
        times = []
        for _ in range(20):
            started = time.perf_counter()
            client.get(path).raise_for_status()
            times.append(time.perf_counter() - started)
        rows.append(build_row(f"{name}, ms", 1e3 * np.array(times), "<= 500", 500.0, q=99))
    return rows


def measure_worker_start(platform: Platform) -> list[Row]:
    """Seconds until one more worker takes messages."""
    settings = Settings(
        database_url=platform.up["database_url"], broker_url=platform.up["broker_url"]
    )
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(3):
            started = time.perf_counter()
            with run_worker(settings, Path(folder), 1):
                seconds.append(time.perf_counter() - started)
            (Path(folder) / "worker.log").unlink()
    return [build_row("worker ready after start, s", np.array(seconds), "<= 2", 2.0)]


def measure_memory(platform: Platform) -> list[Row]:
    """Resident memory of every process of the platform, after all of the above."""
    rows = []
    for name, pid in platform.up["pids"].items():
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        sizes = [one.memory_info().rss / 1e6 for one in family]
        target = _MEMORY_TARGETS.get(name)
        shown = ", ".join(f"{size:.0f}" for size in sizes)
        if target is None:
            rows.append((name, shown, "-", ""))
        else:
            rows.append((name, shown, f"<= {target}", say(max(sizes) <= target)))
    return rows


def build_row(
    work: str, values: np.ndarray, target: str = "-", limit: float | None = None, q: float = 50
) -> Row:
    """Format one line of the table; the `q`-th percentile is held against `limit`."""
    figures = (values.min(), np.median(values), np.percentile(values, 99))
    met = "" if limit is None else say(bool(np.percentile(values, q) <= limit))
    return (work, *(f"{value:.2f}" for value in figures), target, met)


def build_ratio(work: str, ours: np.ndarray, theirs: Sequence[float], limit: float | None) -> Row:
    """Format the ratio of two series whose rounds took turns: best over best, then medians."""
    best, usual = ours.min() / min(theirs), float(np.median(ours) / np.median(theirs))
    shown = "-" if limit is None else f"<= {limit}"
    met = "" if limit is None else say(usual <= limit)
    return (work, f"{best:.2f}", f"{usual:.2f}", "", shown, met)


def say(met: bool) -> str:
    """Return yes or NO."""
    return "yes" if met else "NO"


def run_benchmark(rounds: int) -> list[Table]:
    """Measure, print and return the tables."""
    parts: list[Callable[[Platform, httpx.Client], list[Row]]] = [
        measure_queue,
        measure_cache_hits,
        measure_polls,
    ]
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        with run_platform(Path(folder) / "state", workers=2) as platform:
            ready = time.perf_counter() - started
            with httpx.Client(base_url=platform.url, timeout=120, trust_env=False) as client:
                rows = [row for measure in parts for row in measure(platform, client)]
                sweep_rows, notes, sweep_id = measure_sweep(platform, rounds)
                pages = measure_pages(client, sweep_id)
            memory = measure_memory(platform)
            rows += [*sweep_rows, *measure_worker_start(platform)]
    notes.append(f"`up` from exec to page and worker ready, an empty state: {ready:.1f} s.")
    tables = [
        Table("The platform over HTTP", _HEADINGS, rows, notes),
        Table("A sweep of 1,000,000 combinations over HTTP", _HEADINGS, pages),
        Table(
            "Resident memory after that, MB",
            ("service", "its processes", "target of each", "met"),
            memory,
        ),
    ]
    for table in tables:
        table.show()
    return tables


def main() -> None:
    """Parse the command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description="Benchmark a whole platform.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--local", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.local:
        print_local_sweep()
    else:
        run_benchmark(options.rounds)


if __name__ == "__main__":
    main()
