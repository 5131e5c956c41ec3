"""Keeps a set of processes alive, and takes all of them along when it ends, however it ends.

Single-threaded on purpose: children are tied to the thread that forks them (see
`tasks.process_guard`), and only the supervisor's own thread lives as long as it does.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from tasks.process_guard import build_child_guard

_FIRST_BACKOFF_SECONDS, _MAX_BACKOFF_SECONDS = 0.25, 15.0
# A process that stayed up for this long has recovered: its next death starts the backoff anew.
_STABLE_SECONDS = 10.0
_TICK_SECONDS = 0.25
_MAX_LOG_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One process to keep running.

    Parameters
    ----------
    name : str
        For people and for `Supervisor.pids`.
    argv : sequence of str
        Program and arguments.
    environ : mapping of str to str
        The whole environment.
    stop_seconds : float
        How long it may take to end after SIGTERM.
    stops_last : bool
        Others depend on it, and are stopped before it.
    """

    name: str
    argv: Sequence[str]
    environ: Mapping[str, str]
    stop_seconds: float = 8.0
    stops_last: bool = False


class _Child:
    """A process of one spec through all its lives."""

    def __init__(self, spec: ProcessSpec) -> None:
        self.spec = spec
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0
        self.start_after = 0.0
        self.backoff = _FIRST_BACKOFF_SECONDS

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def schedule_restart(self, now: float) -> float:
        """Decide when to start again; return the pause in seconds."""
        if now - self.started_at > _STABLE_SECONDS:
            self.backoff = _FIRST_BACKOFF_SECONDS
        pause, self.start_after = self.backoff, now + self.backoff
        self.backoff = min(2 * self.backoff, _MAX_BACKOFF_SECONDS)
        return pause


class Supervisor:
    """Starts processes, restarts those that end, stops all of them.

    Parameters
    ----------
    log_file : Path
        Standard output and error of every process are appended here.
    work_dir : Path
        Their working directory.
    report : callable
        Receives one line for each death and restart.
    """

    def __init__(self, log_file: Path, work_dir: Path, report: Callable[[str], None]) -> None:
        self._log_file, self._work_dir, self._report = log_file, work_dir, report
        self._children: list[_Child] = []
        self._stop_signal: int | None = None
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of what is running, by name."""
        return {
            child.spec.name: child.process.pid
            for child in self._children
            if child.process is not None and child.is_running
        }

    @property
    def is_stopping(self) -> bool:
        """Whether a signal asked the supervisor to stop."""
        return self._stop_signal is not None

    def catch_signals(self) -> None:
        """Let SIGINT, SIGTERM and SIGHUP end `watch`, and the death of a child wake it."""
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._request_stop)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)

    def start(self, spec: ProcessSpec) -> None:
        """Start a process and keep it running from now on."""
        child = _Child(spec)
        self._children.append(child)
        self._spawn(child)

    def watch(self, on_tick: Callable[[], bool]) -> None:
        """Supervise until a signal arrives or `on_tick` returns False.

        Parameters
        ----------
        on_tick : callable
            Called a few times a second and after each restart.
        """
        while self._stop_signal is None:
            if self._restart_dead():
                self._limit_log()
            if not on_tick():
                return
            self._sleep(_TICK_SECONDS)

    def wait_for(self, is_ready: Callable[[], bool], seconds: float) -> bool:
        """Supervise until `is_ready`; False if the time is over or a signal arrived."""
        deadline = time.monotonic() + seconds
        ready = False

        def check() -> bool:
            nonlocal ready
            ready = is_ready()
            return not ready and time.monotonic() < deadline

        self.watch(check)
        return ready

    def stop(self) -> None:
        """End all processes, politely, then by force; what others depend on comes last."""
        for last in (False, True):
            self._stop_children(
                [child for child in self._children if child.spec.stops_last == last]
            )
        signal.set_wakeup_fd(-1)
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _stop_children(self, children: Sequence[_Child]) -> None:
        for child in children:
            if child.process is not None and child.is_running:
                child.process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        for child in children:
            if child.process is None:
                continue
            left = max(0.0, child.spec.stop_seconds - (time.monotonic() - started))
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(left)
            # The group holds whatever it forked; most often that is gone already.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.process.pid, signal.SIGKILL)
            child.process.wait()

    def _spawn(self, child: _Child) -> None:
        with self._log_file.open("ab", buffering=0) as log:
            child.process = subprocess.Popen(  # noqa: S603  # our own programs, no shell
                list(child.spec.argv),
                env=dict(child.spec.environ),
                cwd=self._work_dir,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A group of its own: Ctrl-C in the terminal reaches the supervisor alone, which
                # then stops everything in order.
                start_new_session=True,
                preexec_fn=build_child_guard(),  # no threads here
            )
        child.started_at = time.monotonic()

    def _restart_dead(self) -> bool:
        restarted = False
        now = time.monotonic()
        for child in self._children:
            if child.is_running:
                continue
            if child.process is not None:
                code = child.process.returncode
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(child.process.pid, signal.SIGKILL)
                child.process = None
                pause = child.schedule_restart(now)
                self._report(
                    f"{child.spec.name} ended ({_describe_exit(code)}); "
                    f"starting it again in {pause:g} s"
                )
            elif now >= child.start_after:
                self._spawn(child)
                restarted = True
        return restarted

    def _sleep(self, seconds: float) -> None:
        if select.select([self._wake_read], [], [], seconds)[0]:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake_read, 4096)

    def _request_stop(self, number: int, frame: FrameType | None) -> None:
        self._stop_signal = number

    def _limit_log(self) -> None:
        # Children append, so cutting the file under them is safe.
        if self._log_file.stat().st_size > _MAX_LOG_BYTES:
            os.truncate(self._log_file, 0)


def _describe_exit(code: int) -> str:
    if code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"
