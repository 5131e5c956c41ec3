"""One process of the platform that tests break."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tasks.process_guard import build_child_guard
from tests.support.processes import is_alive, list_descendants


class Service:
    """One process that is started again when it ends, unless it is to stay away."""

    def __init__(self, name: str, argv: Sequence[str], environ: dict[str, str], log: Path) -> None:
        self.name, self.argv, self.environ, self.log = name, list(argv), environ, log
        self.stays_away = False
        self.extra_environ: dict[str, str] = {}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as stream:
            self.process = subprocess.Popen(
                self.argv,
                env=self.environ | self.extra_environ,
                stdout=stream,
                stderr=stream,
                preexec_fn=build_child_guard(),
            )

    @property
    def has_ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def children(self) -> list[int]:
        return [pid for pid in list_descendants(self.pid) if is_alive(pid)]

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def end(self) -> None:
        if self.process is not None:
            # A stopped process takes its children along only once it is gone.
            self.process.kill()
            self.process.wait()
