"""Two whole platforms that may be killed in any of their parts, and start again by themselves."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from cli.processes import build_web_arguments
from cli.up import find_free_port
from storage.database import create_database
from storage.schema import upgrade_schema
from tasks.process_guard import build_child_guard
from tasks.settings import PREFIX, Settings
from tests.support.mariadb import MariaDbServer
from tests.support.valkey import Valkey
from tests.support.worker import build_service_environ

ROOT = Path(__file__).resolve().parents[3]
# Who dies often is not poison here: what is killed is drawn, whatever it was doing.
MAX_ATTEMPTS = 1000
_START_SECONDS = 300.0


class Embedded:
    """`stock-backtest up` on SQLite; it starts again what dies, and is started again itself."""

    server: MariaDbServer | None = None

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.state.mkdir()
        self._port, self._flower = find_free_port(set()), find_free_port(set())
        self.url = f"http://127.0.0.1:{self._port}"
        self._output = folder / "up.log"
        self.logs = [self._output, self.state / "platform.log"]
        clean = {key: value for key, value in os.environ.items() if not key.startswith(PREFIX)}
        self._environ = clean | {f"{PREFIX}MAX_ATTEMPTS": str(MAX_ATTEMPTS)}
        self.start()
        deadline = time.monotonic() + _START_SECONDS
        while not (up := self._read_up()):
            assert time.monotonic() < deadline, f"`up` does not come up: see {self._output}"
            time.sleep(0.5)
        self.database_url = f"sqlite:///{self.state}/{up['database_url'].rpartition('/')[2]}"

    def start(self) -> None:
        """Start `up`, (again) on its state."""
        with self._output.open("ab") as stream:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "cli.main", "up", "--workers", "2"),
                    *("--state-dir", str(self.state), "--port", str(self._port)),
                    *("--flower-port", str(self._flower)),
                ],
                env=self._environ,
                stdout=stream,
                stderr=stream,
                preexec_fn=build_child_guard(),
            )

    def _read_up(self) -> dict[str, Any]:
        with suppress(OSError, ValueError):
            return dict(json.loads((self.state / "up.json").read_text()))
        return {}

    def pids(self) -> dict[str, int]:
        """Process ids by service; of `up` alone while it starts."""
        found = dict(self._read_up().get("pids", {}))
        return found if found.get("up") == self._process.pid else {"up": self._process.pid}

    def settings(self) -> Settings:
        """What a client of the broker needs; its URL is empty while there is none."""
        broker_url = str(self._read_up().get("broker_url", ""))
        return Settings(database_url=self.database_url, broker_url=broker_url)

    def kill_up(self) -> None:
        """End everything at once, and start it again."""
        self._process.kill()
        self._process.wait(60)
        time.sleep(random.random())
        self.start()

    def stop(self) -> None:
        """End everything in peace."""
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(40)
        self._process.kill()


class Separate:
    """Services on MariaDB and a broker that keeps its data, started again as a supervisor would."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.server: MariaDbServer | None = stack.enter_context(
            MariaDbServer("--innodb-flush-log-at-trx-commit=2")
        )
        self.broker_directory = Path(tempfile.mkdtemp(prefix="vk-", dir=folder))
        self.broker = Valkey(self.broker_directory, persistent=True)
        self.broker.start()
        self.database_url = self._prepare_database()
        bind = f"127.0.0.1:{find_free_port(set())}"
        self.url = f"http://{bind}"
        self._settings = Settings(
            database_url=self.database_url,
            broker_url=self.broker.url,
            bind=bind,
            max_attempts=MAX_ATTEMPTS,
            worker_processes=2,
            log_format="json",
        )
        self._environ, self._folder = build_service_environ(self._settings), folder
        self._argv = self._build_commands()
        self.logs = [folder / f"{name}.log" for name in self._argv]
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._stopping = threading.Event()
        # Children die with the thread that starts them: one thread starts all.
        self._keeper = threading.Thread(target=self._keep)
        self._keeper.start()
        stack.callback(self.stop)

    def _prepare_database(self) -> str:
        assert self.server is not None
        url = self.server.create_database()
        engine = create_database(url)
        upgrade_schema(engine)
        engine.dispose()
        return url

    def _build_commands(self) -> dict[str, list[str]]:
        web = build_web_arguments(self._settings, 1)
        web[-1] = "tests.support.breakable_web:create_app()"
        web.remove("-P")
        command = [sys.executable, "-m", "cli.main"]
        worker = [*command, "worker", "--concurrency", "1", "--name"]
        return {
            "web": [sys.executable, *web],
            "maintenance": [*command, "maintenance"],
            "worker-a": [*worker, "worker-a"],
            "worker-b": [*worker, "worker-b"],
        }

    def _keep(self) -> None:
        while True:
            for name, argv in self._argv.items():
                process = self._processes.get(name)
                if process is None or process.poll() is not None:
                    with (self._folder / f"{name}.log").open("ab") as stream:
                        self._processes[name] = subprocess.Popen(
                            argv,
                            env=self._environ,
                            cwd=ROOT,
                            stdout=stream,
                            stderr=stream,
                            preexec_fn=build_child_guard(),
                        )
            if self._stopping.wait(0.3):
                break
        for process in self._processes.values():
            process.kill()
            process.wait()

    def stop(self) -> None:
        """End everything."""
        self._stopping.set()
        self._keeper.join()
        with suppress(ProcessLookupError):
            self.broker.kill()

    def pids(self) -> dict[str, int]:
        """Process ids by service."""
        return {name: process.pid for name, process in self._processes.items()}

    def settings(self) -> Settings:
        """What a client of the broker needs."""
        return self._settings

    def kill_broker(self, pause: float, *, with_data: bool) -> None:
        """End the broker at once; it comes back after a pause, with its data or without."""
        self.broker.kill()
        time.sleep(pause)
        if not with_data:
            for item in self.broker_directory.rglob("*"):
                if item.is_file() and ("aof" in item.name or item.suffix == ".rdb"):
                    item.unlink()
        self.broker.start()

    def kill_database(self, pause: float) -> None:
        """End the database at once; it comes back after a pause."""
        assert self.server is not None
        self.server.kill()
        time.sleep(pause)
        self.server.start()

    def freezable(self) -> dict[str, int]:
        """Process ids of what is not ours but may fall silent."""
        assert self.server is not None
        return {"broker": self.broker.pid, "database": self.server.pid}


Platform = Embedded | Separate


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> bool:
    """Send a signal; whether there was anybody to get it."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
