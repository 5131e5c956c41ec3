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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from markets import ROOT
from report import Table

sys.path.insert(0, str(ROOT))

import psutil

from tests.support.platform import Platform, run_platform

# 1,000,000 combinations: 40 x 100 x 250.
MILLION = {"window": "3:42", "oversold": "10.25:35:0.25", "overbought": "60.1:85:0.1"}
_HEADINGS = ("work", "best", "median", "p99", "target", "met")


def measure_round_trips(call: Callable[[], float], n_calls: int) -> np.ndarray:
    """Return the seconds that each call reports, without the first three."""
    return np.array([call() for _ in range(n_calls + 3)])[3:]


@contextmanager
def start_noop_worker(broker: str) -> Iterator[Any]:
    """Run a worker with one process on the platform's broker; yield its task."""
    os.environ["NOOP_BROKER"] = broker
    command = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "noop_worker",
        "worker",
        "-c",
        "1",
        "-Q",
        "noop",
    ]
    quiet = ["--without-gossip", "--without-mingle", "--loglevel", "error"]
    with subprocess.Popen([*command, *quiet], cwd=Path(__file__).parent) as process:
        from noop_worker import noop

        noop.delay().get(timeout=30)
        try:
            yield noop
        finally:
            process.terminate()


def measure_queue(platform: Platform, client: httpx.Client) -> list[tuple[str, ...]]:
    """One run over the queue against a no-op round trip, in turn."""

    def run_once() -> float:
        body = {"dataset": "AAPL", "rule": "rsi", "force": True}
        answer = client.post("/api/v1/runs", params={"wait": 10}, json=body).json()
        run = client.get(f"/api/v1/runs/{answer['run_id']}").json()
        moments = [datetime.fromisoformat(run[name]) for name in ("submitted_at", "finished_at")]
        return (moments[1] - moments[0]).total_seconds()

    with start_noop_worker(str(platform.up["broker_url"])) as noop:

        def noop_once() -> float:
            started = time.perf_counter()
            noop.delay().get(timeout=10, interval=0.0005)
            return time.perf_counter() - started

        pairs = [(run_once(), noop_once()) for _ in range(103)][3:]
    runs, floors = np.array(pairs).T * 1e3
    ratio = np.median(runs) / np.median(floors)
    spread = np.percentile(runs, 99) / np.median(runs)
    return [
        build_row("no-op round trip, ms", floors, "-", True),
        build_row("POST to result persisted, ms", runs, "<= 8x no-op", bool(ratio <= 8)),
        (
            "ratios",
            f"{runs.min() / floors.min():.1f}x",
            f"{ratio:.1f}x",
            f"p99 {spread:.1f}x p50",
            "p99 <= 4x p50",
            say(bool(spread <= 4)),
        ),
    ]


def measure_web(client: httpx.Client) -> list[tuple[str, ...]]:
    """Cache hits and polls that nothing has changed for, as this client sees them."""
    body = {"dataset": "AAPL", "rule": "macd"}
    run_id = client.post("/api/v1/runs", params={"wait": 10}, json=body).json()["run_id"]

    def time_call(method: str, path: str, status: int, **options: Any) -> float:
        started = time.perf_counter()
        answer = client.request(method, path, **options)
        seconds = time.perf_counter() - started
        assert answer.status_code == status, answer.text
        return seconds

    path = f"/api/v1/runs/{run_id}"
    tag = client.get(path).headers["ETag"]
    hits = 1e3 * measure_round_trips(lambda: time_call("POST", "/api/v1/runs", 200, json=body), 500)
    polls = 1e3 * measure_round_trips(
        lambda: time_call("GET", path, 304, headers={"If-None-Match": tag}), 3000
    )
    return [
        build_row("POST that is a cache hit, ms", hits, "p50 <= 3", bool(np.median(hits) <= 3)),
        build_row(
            "state poll, 304, one client, ms", polls, "p50 <= 1", bool(np.median(polls) <= 1)
        ),
    ]


def measure_sweep(client: httpx.Client, rounds: int) -> tuple[list[tuple[str, ...]], list[str]]:
    """A million combinations in one process and over the queue, in turn."""
    body = {"dataset": "AAPL", "rule": "rsi", "space": MILLION, "force": True}
    local, queued, hashes = [], [], set()
    for _ in range(rounds):
        local_seconds, sha = run_local_sweep()
        local.append(local_seconds)
        hashes.add(sha)
        queued_seconds, sha = run_queued_sweep(client, body)
        queued.append(queued_seconds)
        hashes.add(sha)
    ratios = np.array(queued) / np.array(local)
    met = bool(np.median(ratios) <= 1.5 and min(queued) <= 10)
    rows = [
        build_row("1,000,000 combinations in one process, s", np.array(local), "-", True),
        build_row("submit to last result in the database, s", np.array(queued), "<= 10", True),
        ("ratio", f"{ratios.min():.2f}x", f"{np.median(ratios):.2f}x", "", "<= 1.5x", say(met)),
    ]
    return rows, [f"One result_sha256 for all of them: {say(len(hashes) == 1)}."]


def run_local_sweep() -> tuple[float, str]:
    """Run the command line in a process of its own; seconds as it reports them."""
    flags = [word for name, spec in MILLION.items() for word in ("-p", f"{name}={spec}")]
    command = [sys.executable, "-m", "cli.main", "sweep", "AAPL", "--rule", "rsi", *flags, "--json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    document = json.loads(done.stdout)
    return float(document["seconds"]), str(document["result_sha256"])


def run_queued_sweep(client: httpx.Client, body: dict[str, Any]) -> tuple[float, str]:
    """Submit, wait until every chunk is done and then for the end; seconds to the last chunk."""
    started = time.perf_counter()
    sweep_id = client.post("/api/v1/sweeps", json=body).raise_for_status().json()["sweep_id"]
    seconds = 0.0
    while True:
        sweep = client.get(f"/api/v1/sweeps/{sweep_id}").raise_for_status().json()
        chunks = sweep["chunks"]
        if not seconds and chunks["total"] > 1 and chunks["done"] == chunks["total"]:
            seconds = time.perf_counter() - started
        if sweep["state"] not in ("queued", "running"):
            assert sweep["state"] == "succeeded", sweep
            return seconds or time.perf_counter() - started, str(sweep["result_sha256"])
        time.sleep(0.02)


def measure_memory(platform: Platform) -> list[tuple[str, ...]]:
    """Resident memory of every process of the platform, after all of the above."""
    rows = []
    for name, pid in platform.up["pids"].items():
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        sizes = ", ".join(f"{one.memory_info().rss / 2**20:.0f}" for one in family)
        rows.append((name, sizes))
    return rows


def build_row(work: str, values: np.ndarray, target: str, met: bool) -> tuple[str, ...]:
    """Format one line of the table."""
    figures = (values.min(), np.median(values), np.percentile(values, 99))
    return (work, *(f"{value:.2f}" for value in figures), target, say(met))


def say(met: bool) -> str:
    """Return yes or NO."""
    return "yes" if met else "NO"


def run_benchmark(rounds: int) -> list[Table]:
    """Measure, print and return the tables."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        with run_platform(Path(folder) / "state", workers=2) as platform:
            ready = time.perf_counter() - started
            with httpx.Client(base_url=platform.url, timeout=120, trust_env=False) as client:
                rows = [*measure_queue(platform, client), *measure_web(client)]
                sweep_rows, notes = measure_sweep(client, rounds)
            memory = measure_memory(platform)
    tables = [
        Table(
            "The platform over HTTP",
            _HEADINGS,
            [*rows, *sweep_rows],
            [*notes, f"`up` from exec to page and worker ready: {ready:.1f} s."],
        ),
        Table("Resident memory after that, MiB", ("service", "its processes"), memory),
    ]
    for table in tables:
        table.show()
    return tables


def main() -> None:
    """Parse the command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description="Benchmark a whole platform.")
    parser.add_argument("--rounds", type=int, default=3)
    run_benchmark(parser.parse_args().rounds)


if __name__ == "__main__":
    main()
