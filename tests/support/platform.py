"""A whole platform, as `stock-backtest up` starts it, for tests: free ports, gone afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.settings import PREFIX
from tests.support.processes import find_processes, wait_until

# A first start compiles kernels, on machines that may be busy.
START_SECONDS = 120
SHIPPED = frozenset({"AAPL", "IBM", "MSFT"})


class Platform:
    """One `stock-backtest up` and what it says of itself."""

    def __init__(self, state_dir: Path, *options: str, workers: int = 1) -> None:
        self.state_dir = state_dir
        self.output = state_dir.with_name(state_dir.name + ".out")
        environ = {key: value for key, value in os.environ.items() if not key.startswith(PREFIX)}
        self._log_start = len(self.log)
        with self.output.open("ab") as stream:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "cli.main", "up"),
                    *("--state-dir", str(state_dir), "--port", "0", "--flower-port", "0"),
                    *("--workers", str(workers), *options),
                ],
                env=environ,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )

    def wait(self) -> Platform:
        """Wait for the page and for the worker."""
        start = self._log_start
        wait_until(
            lambda: self.process.poll() is not None or self.is_announced,
            START_SECONDS,
            "up.json",
        )
        assert self.process.poll() is None, self.output.read_text()
        wait_until(lambda: " ready." in self.log[start:], START_SECONDS, "the worker is ready")
        return self

    @property
    def is_announced(self) -> bool:
        """Whether up.json is there, and not that of a platform that was killed."""
        file = self.state_dir / "up.json"
        return file.exists() and self.up["pids"]["up"] == self.process.pid

    @property
    def up(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.state_dir / "up.json").read_text())
        return content

    @property
    def url(self) -> str:
        return str(self.up["web_url"])

    @property
    def log(self) -> str:
        file = self.state_dir / "platform.log"
        return file.read_text() if file.exists() else ""

    @property
    def processes(self) -> list[int]:
        """Everything alive that this platform started: its state directory is in their
        environment or command line."""
        return find_processes(str(self.state_dir))

    def call(self, method: str, path: str, body: Any = None, *, base: str = "") -> Any:
        """Send JSON, return JSON; an error status fails the test with the problem document."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request((base or self.url) + path, data=data, method=method)
        if data is not None:
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                content = response.read()
                return json.loads(content) if content else None
        except urllib.error.HTTPError as error:
            with error:
                text = f"{method} {path}: {error.code} {error.read()!r}"
            raise AssertionError(text) from error

    def submit(self, **request: Any) -> str:
        return str(self.call("POST", "/api/v1/runs", request)["run_id"])

    def wait_for_run(self, run_id: str, seconds: float = 30.0) -> dict[str, Any]:
        def ended() -> dict[str, Any] | None:
            run: dict[str, Any] = self.call("GET", f"/api/v1/runs/{run_id}")
            return run if run["state"] in ("succeeded", "failed", "cancelled") else None

        found = wait_until(ended, seconds, f"run {run_id} ends")
        assert found is not None
        return found

    def forget_everything(self) -> None:
        """Delete what tests have stored; the data that ships stays."""
        for path, key in (("/api/v1/sweeps", "sweep_id"), ("/api/v1/runs", "run_id")):
            kind = path.rpartition("/")[2]
            while found := self.call("GET", f"{path}?limit=200")[kind]:
                for item in found:
                    self.call("DELETE", f"{path}/{item[key]}")
        for path, kind in (("/api/strategies", "strategies"), ("/api/v1/sweep-presets", "presets")):
            for preset in self.call("GET", path)[kind]:
                self.call("DELETE", f"{path}/{preset['id']}")
        for dataset in self.call("GET", "/api/v1/datasets")["datasets"]:
            if dataset["symbol"] not in SHIPPED:
                self.call("DELETE", f"/api/v1/datasets/{dataset['id']}")

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


@contextmanager
def run_platform(state_dir: Path, *options: str, workers: int = 1) -> Iterator[Platform]:
    platform = Platform(state_dir, *options, workers=workers)
    try:
        yield platform.wait()
    finally:
        if platform.process.poll() is None:
            platform.end(signal.SIGTERM)
