"""A real Valkey server for tests: a free loopback port, a password, gone afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from cli.up import build_broker_config, find_broker_program, find_free_port
from tasks.process_guard import build_child_guard

PASSWORD = "s3cret-of-the-broker"
_START_SECONDS = 10


class Valkey:
    """One server process that a test may kill, silence and start again on its port."""

    def __init__(self, directory: Path, *, persistent: bool = False) -> None:
        self.port = find_free_port(set())
        self._directory = directory
        self._config = directory / "broker.conf"
        config = build_broker_config(self.port, PASSWORD, directory)
        if persistent:
            config = config.replace("appendonly no", "appendonly yes\nappendfsync always")
        self._config.write_text(config)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url, socket_timeout=5)

    def start(self) -> None:
        with (self._directory / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [find_broker_program(), str(self._config)],
                stdout=log,
                stderr=log,
                preexec_fn=build_child_guard(),
            )
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                with self.client as client:
                    client.ping()
                return
            except redis.ConnectionError:
                assert time.monotonic() < deadline, "the broker does not answer"
                time.sleep(0.02)

    def kill(self) -> None:
        """End it without a chance to save anything; unless persistent it never does."""
        self._signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()

    def pause(self) -> None:
        """Let it accept connections, by its kernel's backlog, and answer nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)


@contextmanager
def run_valkey(*, persistent: bool = False) -> Iterator[Valkey]:
    with tempfile.TemporaryDirectory(prefix="valkey-") as directory:
        server = Valkey(Path(directory), persistent=persistent)
        server.start()
        yield server
        server.kill()
