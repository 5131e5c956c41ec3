"""Load on the whole platform: a burst of runs, clients that poll, and the memory over both.

    python benchmarks/bench_load.py

Everything shares the cores with this process and its clients, so each figure comes with the
processor time that the web tier took for it, which a busy machine does not change much.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from markets import ROOT

sys.path.insert(0, str(ROOT))

from tests.support.load import MemoryWatch, measure_cpu, poll, submit_burst
from tests.support.load_stack import LoadStack, run_stack

# Distinct and cheap: AAPL's daily bars, one rule, another fee each time.
BODY = {"dataset": "AAPL", "rule": "rsi", "force": True}


def build_bodies(n: int) -> list[dict[str, object]]:
    """Return `n` different requests."""
    return [
        {**BODY, "params": {"window": 2 + i % 60}, "trading": {"fee_rate": (i // 60) * 1e-6}}
        for i in range(n)
    ]


def measure_burst(stack: LoadStack, n_runs: int, n_clients: int) -> list[str]:
    """Submit everything at once and let it be computed; print what that took."""
    before = measure_cpu(stack.pids["web"])
    burst = submit_burst(stack.url, build_bodies(n_runs), n_clients)
    cpu = measure_cpu(stack.pids["web"]) - before
    p50, p99 = np.percentile(burst.latencies, (50, 99))
    print(
        f"burst of {n_runs:,} runs from {n_clients} clients: {dict(burst.statuses)}, "
        f"{n_runs / burst.seconds:,.0f}/s; p50 {p50 * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms; "
        f"web took {cpu / n_runs * 1e3:.2f} ms of processor time a run "
        f"= {n_runs / cpu:,.0f}/s and core (target 500/s)"
    )
    took = stack.wait_until_done(n_runs, 1800)
    faults = stack.find_faults(burst.run_ids)
    print(
        f"computed {took:.0f} s after the last was accepted; lost, doubled or without a result: "
        f"{len(faults)} {faults[:3]}"
    )
    return burst.run_ids


def measure_polls(stack: LoadStack, run_ids: list[str], n_clients: int, seconds: float) -> None:
    """Poll at half the target and as fast as answers come; print both."""
    for rate in (500.0, None):
        before = measure_cpu(stack.pids["web"])
        polls = poll(stack.url, run_ids, n_clients, seconds, rate)
        cpu = measure_cpu(stack.pids["web"]) - before
        p50, p99 = np.percentile(polls.latencies, (50, 99))
        asked = "as fast as answered" if rate is None else f"at {rate:.0f}/s"
        print(
            f"{n_clients} clients poll {asked}: {dict(polls.statuses)}, {polls.rate:,.0f}/s; "
            f"p50 {p50 * 1e3:.2f} ms, p99 {p99 * 1e3:.2f} ms (target 20 at 500/s); "
            f"{len(polls.latencies) / cpu:,.0f}/s and core (target 1,000)"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--submitters", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--web-processes", type=int, default=1)
    chosen = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as directory,
        run_stack(Path(directory), web_processes=chosen.web_processes) as stack,
        MemoryWatch(stack.pids) as memory,
    ):
        print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
        run_ids = measure_burst(stack, chosen.runs, chosen.submitters)
        measure_polls(stack, run_ids, chosen.clients, chosen.seconds)
        for name in stack.pids:
            print(
                f"{name}: peak {memory.peak(name):.0f} MiB in its largest process, "
                f"{memory.growth_of_last_half(name):+.1f} MiB over the last half"
            )
        print(f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
