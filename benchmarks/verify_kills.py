"""Kill a platform at random, many times, and see that nothing was lost and nothing doubled.

    python benchmarks/verify_kills.py [--database sqlite|mariadb] [--kills N] [--seed S]

Starts a platform of its own in a temporary directory: `stock-backtest up` for SQLite, separate
services with a broker that keeps its data for MariaDB. Clients that do not give up submit single
runs (alone and in bursts), sweeps of four kinds over two datasets, one of them of 120,000 bars, and
uploads. Meanwhile whatever the seed draws is killed, silenced or told to stop at instants that the
seed draws too. In the end everything that was accepted is compared with what the command line
computes in one process. Prints the disturbances by kind and one line per check; exit code 0 if all
pass. `--report FILE` adds a section to docs/kills.md or the like. Needs the `test` extra; on a
quiet machine 100 kills take about ten minutes.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
from markets import ROOT

sys.path.insert(0, str(ROOT))

from storage.database import create_database
from storage.store import Store
from tests.support.kills.breaker import Breaker
from tests.support.kills.checks import QueueWatch, check_all, check_logs, wait_for_end
from tests.support.kills.clients import Clients
from tests.support.kills.platforms import Embedded, Platform, Separate
from tests.support.kills.requests import Truth


def log(text: str) -> None:
    """Print a line with its time."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Kill a platform at random, many times.")
    parser.add_argument("--database", choices=("sqlite", "mariadb"), default="sqlite")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pause", type=float, default=2.0, help="mean seconds in between")
    parser.add_argument("--report", type=Path, help="a Markdown file that gets a section more")
    parser.add_argument("--keep", type=Path, help="a directory for what else is thrown away")
    return parser.parse_args()


def count_all(breaker: Breaker, clients: Clients) -> dict[str, int]:
    """Return what was done to the platform, and what it had accepted."""
    counts = {f"SIGKILL of {kind}": times for kind, times in sorted(breaker.kills.items())}
    counts |= dict(sorted(breaker.others.items()))
    accepted = {"runs": clients.accepted, "sweeps": clients.sweeps, "uploads": clients.uploads}
    return counts | {f"{name} accepted": len(items) for name, items in accepted.items()}


def render_section(title: str, counts: dict[str, int], checks: dict[str, bool]) -> str:
    """Return what a campaign did and found, as Markdown."""
    lines = [f"## {title}", "", "| what was done | times |", "| --- | --- |"]
    lines += [f"| {kind} | {times} |" for kind, times in counts.items()]
    lines += ["", "| what was checked | holds |", "| --- | --- |"]
    lines += [f"| {name} | {'yes' if holds else 'NO'} |" for name, holds in checks.items()]
    return "\n" + "\n".join(lines) + "\n"


def open_platform(database: str, folder: Path, stack: ExitStack) -> Platform:
    """Start a platform that ends with the stack."""
    if database == "mariadb":
        return Separate(folder, stack)
    platform = Embedded(folder)
    stack.callback(platform.stop)
    return platform


def main() -> int:
    """Run the campaign."""
    options = parse_arguments()
    with ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        truth = Truth(folder, options.seed)
        platform = open_platform(options.database, folder, stack)
        store = Store(create_database(platform.database_url))
        stack.callback(store.engine.dispose)
        clients = Clients(platform.url, folder, options.seed)
        with httpx.Client(base_url=platform.url, timeout=120, trust_env=False) as client:
            for symbol, path in truth.files.items():
                clients.upload(client, symbol, path).raise_for_status()
        queues = QueueWatch(platform)
        queues.start()
        log("started")
        clients.start()
        breaker = Breaker(platform, clients, store, random.Random(options.seed))
        try:
            breaker.run(options.kills, options.pause, log)
        finally:
            log("no more kills")
            clients.stop()
        log(f"answers {dict(clients.answers)}")
        checks = {"everything ended": wait_for_end(store, clients, log)}
        checks |= check_all(store, clients, truth, log)
        checks["no message is left"] = queues.is_drained(90)
        checks |= check_logs([path for path in platform.logs if path.exists()], log)
        checks["no strange answer"] = not clients.strange
        for text in clients.strange[:10]:
            log(f"  strange: {text}")
        queues.stopping.set()
        log(f"messages waiting at most {dict(queues.most)}")
    counts = count_all(breaker, clients)
    title = f"{sum(breaker.kills.values())} kills on {options.database}, seed {options.seed}"
    log(f"{title}: {counts}")
    if options.report:
        with options.report.open("a") as stream:
            stream.write(render_section(title, counts, checks))
    for name, passed in checks.items():
        print("ok  " if passed else "FAIL", name)
    return 0 if all(checks.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
