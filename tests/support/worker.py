"""Real worker and maintenance processes against a database and a broker of the test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from storage.records import RunRecord
from storage.store import Store
from tasks.process_guard import build_child_guard
from tasks.settings import PREFIX, Settings
from tests.support.processes import list_descendants, wait_until

TERMINAL = ("succeeded", "failed", "cancelled")


class ServiceProcess:
    """One `stock-backtest` process and its log."""

    def __init__(
        self, settings: Settings, log: Path, *arguments: str, module: str = "cli.main"
    ) -> None:
        self.log = log
        with log.open("ab") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env=build_service_environ(settings),
                stdout=stream,
                stderr=stream,
                preexec_fn=build_child_guard(),
            )

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The objects of the log so far; a line that is no JSON fails the test."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def wait_for_line(self, text: str, seconds: float = 30.0) -> None:
        wait_until(
            lambda: self.process.poll() is not None or text in self.log.read_text(), seconds, text
        )
        assert text in self.log.read_text(), f"ended with {self.process.returncode}"

    @property
    def children(self) -> list[int]:
        return list_descendants(self.process.pid)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


def build_service_environ(settings: Settings) -> dict[str, str]:
    """The environment that makes a process read `settings` back."""
    defaults = Settings()
    clean = {key: value for key, value in os.environ.items() if not key.startswith(PREFIX)}
    for name in Settings.__dataclass_fields__:
        value = getattr(settings, name)
        if value != getattr(defaults, name):
            clean[PREFIX + name.upper()] = str(value)
    return clean


@contextmanager
def run_worker(
    settings: Settings, directory: Path, concurrency: int = 1, module: str = "cli.main"
) -> Iterator[ServiceProcess]:
    settings = replace(settings, log_format="json")
    arguments = ("worker", "--concurrency", str(concurrency))
    worker = ServiceProcess(settings, directory / "worker.log", *arguments, module=module)
    try:
        worker.wait_for_line(" ready.", 90.0)  # on a machine that does much else
        yield worker
    finally:
        worker.kill()


@contextmanager
def run_maintenance(settings: Settings, directory: Path) -> Iterator[ServiceProcess]:
    settings = replace(settings, log_format="json")
    process = ServiceProcess(settings, directory / "maintenance.log", "maintenance")
    try:
        yield process
    finally:
        process.kill()


def wait_for_run(store: Store, run_id: str, seconds: float = 30.0) -> RunRecord:
    """Return the run once it has ended."""

    def ended() -> RunRecord | None:
        record = store.runs.get(run_id)
        assert record is not None
        return record if record.state in TERMINAL else None

    found = wait_until(ended, seconds, f"run {run_id} ends")
    assert found is not None
    return found
