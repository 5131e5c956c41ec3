"""A short-lived child process whose output is a response: streamed, bounded, ended with it.

The web tier imports no Parquet and holds no result: a child reads the database and writes to a
pipe, the pipe goes to the client as it fills. Where the client is slow the child waits.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO

from storage.cores import CORES_VARIABLE
from tasks.logs import get_logger

_ROOT = Path(__file__).resolve().parents[1]
_CHUNK = 1 << 16  # what a pipe holds
_KEPT_ERROR_BYTES = 8_192
# The environment holds our secrets; a child gets what an interpreter needs, and its task by pipe.
_KEPT_ENVIRONMENT = (
    *("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZDIR", "PYTHONHOME"),
    CORES_VARIABLE,
)
_CHILD_ENVIRONMENT = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONPATH": str(_ROOT),
}


class ChildFailed(Exception):
    """The child ended before its output was whole, or said nothing for too long."""


class ChildStream:
    """The output of ``python -m MODULE``, given a JSON object on its standard input.

    Parameters
    ----------
    module : str
        Ends with code 0 once everything is written, with another if not.
    config : mapping
        What the child is to do; never on its command line, which others can read.
    stall_seconds : float
        Longest silence.
    wall_seconds : float
        Longest time in all, however slow the client reads.
    on_close : callable, optional
        Called once when the stream is closed, whoever closes it.

    Raises
    ------
    ChildFailed
        From iterating. A server that meets it breaks the connection, so that a client sees that
        the answer is not whole.
    """

    def __init__(
        self,
        module: str,
        config: Mapping[str, object],
        *,
        stall_seconds: float = 60.0,
        wall_seconds: float = 3600.0,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        self._module = module
        self._config = config
        self._stall_seconds = stall_seconds
        self._deadline = time.monotonic() + wall_seconds
        self._on_close = on_close
        self._errors = bytearray()
        self._first = b""
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> ChildStream:
        """Start the child and wait for its first bytes, so that a failure can still be answered.

        Raises
        ------
        ChildFailed
            With the child collected.
        """
        environment = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
        try:
            self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
                [sys.executable, "-P", "-m", self._module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                cwd="/",
                env=environment | _CHILD_ENVIRONMENT,
            )
            stdin = _pipe(self._process.stdin)
            stdin.write(json.dumps(self._config).encode())  # far less than a pipe holds
            stdin.close()
            self._first = self._read()
        except BaseException:
            self.close()
            raise
        return self

    def __iter__(self) -> Iterator[bytes]:
        try:
            chunk = self._first
            while chunk:
                yield chunk
                chunk = self._read()
        finally:
            self.close()

    def close(self) -> None:
        """End the child, whatever it does, and collect it; closing again does nothing."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
            process.wait()
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            on_close()

    def _read(self) -> bytes:
        """Return what the child has written, empty once it has ended well."""
        process = self._process
        if process is None:
            raise ChildFailed("the export was closed")
        output, errors = _pipe(process.stdout).fileno(), _pipe(process.stderr).fileno()
        poll = select.poll()
        poll.register(output, select.POLLIN)
        poll.register(errors, select.POLLIN)
        silent_until = time.monotonic() + self._stall_seconds
        while True:
            left = min(silent_until, self._deadline) - time.monotonic()
            ready = dict(poll.poll(max(0.0, left) * 1000))
            if not ready:
                raise self._fail("took too long")
            if errors in ready:
                said = os.read(errors, _CHUNK)
                if not said:
                    poll.unregister(errors)
                self._errors += said
                del self._errors[:-_KEPT_ERROR_BYTES]
            if output in ready:
                chunk = os.read(output, _CHUNK)
                if chunk:
                    return chunk
                self._errors += _pipe(process.stderr).read(_KEPT_ERROR_BYTES) or b""
                if process.wait(self._stall_seconds) != 0:
                    raise self._fail(f"ended with code {process.returncode}")
                return b""

    def _fail(self, reason: str) -> ChildFailed:
        get_logger(__name__).error(
            "child_failed",
            module=self._module,
            reason=reason,
            errors=self._errors.decode(errors="replace"),
        )
        return ChildFailed(f"{self._module} {reason}")


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None  # noqa: S101  # opened with pipes
    return pipe
