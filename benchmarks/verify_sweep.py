"""Disturb a sweep of 10,000,000 combinations in every way, and compare it with an undisturbed one.

    python benchmarks/verify_sweep.py [--database sqlite|mariadb] [--fees N] [--pause SECONDS]

Starts a platform of its own in a temporary directory: `stock-backtest up` for SQLite, separate
services with a broker that keeps its data for MariaDB. During the sweep it pauses and resumes,
kills a worker's child, a whole worker and the broker, and submits single runs all along. Prints
what each phase did to the single runs, the memory of every service, and one line per check; exit
code 0 if all pass. Needs the `test` extra.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
from markets import ROOT

sys.path.insert(0, str(ROOT))

from tasks.settings import Settings
from tests.support.mariadb import MariaDbServer
from tests.support.platform import Platform, run_platform
from tests.support.valkey import Valkey, run_valkey
from tests.support.worker import ServiceProcess

# 1,000,000 signals, each with some fees.
SPACE = {"window": "3:42", "oversold": "10.25:35:0.25", "overbought": "60.1:85:0.1"}
# A run that is submitted while everything is up ends within this long. [s]
RUN_SECONDS = 2.0
_RUN_PAUSE_SECONDS = 2.0
# Of a worker's process, and of the web's. [MB]
WORKER_MB, WEB_MB = 250, 90


class Embedded:
    """`stock-backtest up`; it starts again what dies."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self.url = platform.url

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by service."""
        return {name: pid for name, pid in self._platform.up["pids"].items() if name != "up"}

    def kill(self, name: str) -> None:
        """End a service at once."""
        os.kill(self.pids[name], signal.SIGKILL)


class Separate:
    """Services on MariaDB and a broker with persistence, started again as a supervisor would."""

    def __init__(self, settings: Settings, broker: Valkey, folder: Path, stack: ExitStack) -> None:
        self._settings, self._broker, self._folder, self._stack = settings, broker, folder, stack
        self._services: dict[str, ServiceProcess] = {}
        self.url = f"http://{settings.bind}"
        for name in ("web", "worker", "maintenance"):
            self._start(name)
        stack.callback(self._stop)
        self._stopping = threading.Event()
        self._keeper = threading.Thread(target=self._keep)
        self._keeper.start()

    def _start(self, name: str) -> None:
        options = ("--concurrency", "2") if name == "worker" else ()
        log = self._folder / f"{name}.log"
        self._services[name] = ServiceProcess(self._settings, log, name, *options)

    def _keep(self) -> None:
        while not self._stopping.wait(0.5):
            for name, service in list(self._services.items()):
                if service.process.poll() is not None:
                    self._start(name)

    def _stop(self) -> None:
        self._stopping.set()
        self._keeper.join()
        for service in self._services.values():
            service.kill()

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by service."""
        return {name: service.process.pid for name, service in self._services.items()}

    def kill(self, name: str) -> None:
        """End a service at once; the broker comes back with its data after a second."""
        if name != "broker":
            self._services[name].process.kill()
            return
        self._broker.kill()
        time.sleep(1.0)
        self._broker.start()


@contextmanager
def open_platform(database: str, folder: Path) -> Iterator[Embedded | Separate]:
    """Start a platform with AAPL in it."""
    if database == "sqlite":
        with run_platform(folder / "state", workers=2) as platform:
            yield Embedded(platform)
        return
    from cli.up import find_free_port
    from storage.database import create_database
    from storage.schema import upgrade_schema
    from storage.store import Store
    from tests.support.datasets import add_aapl

    with ExitStack() as stack:
        server = stack.enter_context(MariaDbServer())
        broker = stack.enter_context(run_valkey(persistent=True))
        url = server.create_database()
        engine = create_database(url)
        upgrade_schema(engine)
        add_aapl(Store(engine))
        engine.dispose()
        bind = f"127.0.0.1:{find_free_port(set())}"
        settings = Settings(database_url=url, broker_url=broker.url, bind=bind, secret_key="s" * 32)
        services = Separate(settings, broker, folder, stack)
        wait_for(lambda: is_live(services.url), 60, "the page answers")
        yield services


def is_live(url: str) -> bool:
    """Whether the web tier answers."""
    try:
        return httpx.get(f"{url}/health/live", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def wait_for(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Return when `condition` holds; end the script after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {seconds} s: {what}")
        time.sleep(0.1)


class Runs(threading.Thread):
    """Submits single runs one after the other, and notes how long each took, by phase."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.phase = "warm up"
        self.seconds: dict[str, list[float]] = {}
        self.failed = 0
        self._client = httpx.Client(base_url=url, timeout=60, trust_env=False)
        self._stopping = threading.Event()

    def run(self) -> None:
        """Thread body."""
        while not self._stopping.wait(_RUN_PAUSE_SECONDS):
            phase = self.phase
            body = {"dataset": "AAPL", "rule": "rsi", "force": True}
            answer = self._client.post("/api/v1/runs", params={"wait": 30}, json=body)
            run = self._client.get(answer.raise_for_status().headers["Location"]).json()
            if run["state"] != "succeeded":
                self.failed += 1
                continue
            moments = [datetime.fromisoformat(run[at]) for at in ("submitted_at", "finished_at")]
            # One that was under way when something was killed belongs to what was killed.
            phase = self.phase if self.phase.startswith("after") else phase
            taken = (moments[1] - moments[0]).total_seconds()
            print(f"  {moments[0]:%H:%M:%S} single run {taken:.2f} s ({phase})", flush=True)
            self.seconds.setdefault(phase, []).append(taken)

    def stop(self) -> None:
        """End after the run that is under way."""
        self._stopping.set()
        self.join()


class Memory(threading.Thread):
    """Notes the largest resident memory of each service's processes, in MB."""

    def __init__(self, platform: Embedded | Separate) -> None:
        super().__init__()
        self.peaks: dict[str, float] = {}
        self._platform = platform
        self._stopping = threading.Event()

    def run(self) -> None:
        """Thread body."""
        while not self._stopping.wait(0.5):
            for name, pid in self._platform.pids.items():
                try:
                    process = psutil.Process(pid)
                    sizes = {name: process.memory_info().rss / 1e6}
                    for child in process.children(recursive=True):
                        key = f"{name}'s children"
                        sizes[key] = max(sizes.get(key, 0.0), child.memory_info().rss / 1e6)
                except psutil.NoSuchProcess:
                    continue
                for key, size in sizes.items():
                    self.peaks[key] = max(self.peaks.get(key, 0.0), size)

    def find_most(self, name: str) -> float:
        """Return the peak of a service's largest process."""
        return max(peak for key, peak in self.peaks.items() if key.startswith(name))

    def stop(self) -> None:
        """End."""
        self._stopping.set()
        self.join()


class Sweep:
    """One sweep over HTTP."""

    def __init__(self, client: httpx.Client, body: dict[str, Any]) -> None:
        self._client = client
        answer = client.post("/api/v1/sweeps", json=body).raise_for_status()
        self.path = f"/api/v1/sweeps/{answer.json()['sweep_id']}"

    @property
    def state(self) -> dict[str, Any]:
        """As the API shows it."""
        found: dict[str, Any] = self._client.get(self.path).raise_for_status().json()
        return found

    def wait_for_progress(self, share: float) -> None:
        """Return when so much of it is done."""
        wait_for(lambda: self.state["progress"] >= share, 1200, f"{share:.0%} of the sweep")

    def wait(self) -> dict[str, Any]:
        """Return the state once it has ended."""
        ended = ("succeeded", "failed", "cancelled")
        wait_for(lambda: self.state["state"] in ended, 1200, "the sweep ends")
        return self.state

    def act(self, action: str) -> None:
        """Pause or resume it."""
        self._client.post(f"{self.path}/{action}").raise_for_status()


def run_local(body: dict[str, Any]) -> str:
    """Return the hash of the sweep in one process, by the command line."""
    flags = [f"{name}={spec}" for name, spec in body["space"].items()]
    fees = ",".join(str(fee) for fee in body["trading"]["fee_rate"])
    command = [sys.executable, "-m", "cli.main", "sweep", "AAPL", "--rule", "rsi", "--json"]
    command += [word for flag in flags for word in ("-p", flag)]
    command += ["--fee-rate", fees]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    return str(json.loads(done.stdout)["result_sha256"])


def disturb(platform: Embedded | Separate, sweep: Sweep, runs: Runs, pause: float) -> bool:
    """Pause, kill and resume; return whether nothing completed during the pause."""
    runs.phase = "undisturbed"
    sweep.wait_for_progress(0.1)
    sweep.act("pause")
    runs.phase = "paused"
    before = sweep.state["chunks"]["done"]
    time.sleep(pause)
    stood_still = sweep.state["chunks"]["done"] == before
    sweep.act("resume")
    runs.phase = "undisturbed"
    sweep.wait_for_progress(0.25)
    child = psutil.Process(platform.pids["worker"]).children()[-1]
    runs.phase = "after the death of a child"
    child.kill()
    sweep.wait_for_progress(0.4)
    runs.phase = "after the death of a worker"
    platform.kill("worker")
    sweep.wait_for_progress(0.6)
    runs.phase = "after the death of the broker"
    platform.kill("broker")
    sweep.wait_for_progress(0.75)
    runs.phase = "healed"
    return stood_still


def main() -> int:
    """Parse the command line and run; see the module's docstring."""
    parser = argparse.ArgumentParser(description="Verify a large sweep under disturbance.")
    parser.add_argument("--database", choices=("sqlite", "mariadb"), default="sqlite")
    parser.add_argument("--fees", type=int, default=10, help="millions of combinations")
    parser.add_argument("--pause", type=float, default=10.0, help="seconds")
    options = parser.parse_args()
    fees = [round(0.0001 * number, 4) for number in range(options.fees)]
    body = {
        "dataset": "AAPL",
        "rule": "rsi",
        "space": SPACE,
        "trading": {"fee_rate": fees},
        "force": True,
    }
    expected = run_local(body)
    with (
        tempfile.TemporaryDirectory() as folder,
        open_platform(options.database, Path(folder)) as platform,
        httpx.Client(base_url=platform.url, timeout=60, trust_env=False) as client,
    ):
        runs, memory = Runs(platform.url), Memory(platform)
        runs.start()
        memory.start()
        time.sleep(3)
        started = time.monotonic()
        sweep = Sweep(client, body)
        stood_still = disturb(platform, sweep, runs, options.pause)
        ended = sweep.wait()
        disturbed_seconds = time.monotonic() - started
        runs.phase = "the finaliser and after"
        time.sleep(3)
        runs.stop()
        started = time.monotonic()
        again = Sweep(client, body).wait()
        calm_seconds = time.monotonic() - started
        memory.stop()
    for phase, taken in runs.seconds.items():
        print(f"single runs, {phase}: {len(taken)}, slowest {max(taken):.2f} s")
    print("largest process, MB:", {name: round(peak) for name, peak in memory.peaks.items()})
    print(f"disturbed {disturbed_seconds:.0f} s, undisturbed {calm_seconds:.0f} s")
    calm = [max(taken) for phase, taken in runs.seconds.items() if not phase.startswith("after")]
    checks = {
        "no chunk completed during the pause": stood_still,
        "the disturbed sweep succeeded": ended["state"] == "succeeded",
        "every combination is there": ended["n_combinations"] == options.fees * 1_000_000,
        "its hash is that of the sweep in one process": ended["result_sha256"] == expected,
        "and that of an undisturbed one": again["result_sha256"] == expected,
        "no single run failed": runs.failed == 0,
        f"single runs ended within {RUN_SECONDS:.0f} s while all was up": max(calm) <= RUN_SECONDS,
        f"no worker process above {WORKER_MB} MB": memory.find_most("worker") <= WORKER_MB,
        f"no web process above {WEB_MB} MB": memory.find_most("web") <= WEB_MB,
    }
    for name, passed in checks.items():
        print("ok  " if passed else "FAIL", name)
    return 0 if all(checks.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
