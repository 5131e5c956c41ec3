"""Whether a worker works: idle, busy, waiting for its broker, or connected and yet not consuming.

The last is the one that nobody notices: after a reconnect a worker may answer every ping and never
ask for a message again. Its parent therefore watches its own event loop: when it turned, when it
last asked for messages and had an answer. What it sees it tells whoever connects to a local socket
(`stock-backtest worker --check`), without a file and without the broker; and a worker that stalls
for good ends itself, so that whatever supervises it starts another.
"""

from __future__ import annotations

import hashlib
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import orjson
import redis

from tasks.broker import PULSE, Pulse
from tasks.fork_guard import get_fork_lock
from tasks.logs import get_logger
from tasks.settings import Settings

log = get_logger(__name__)

State = Literal["starting", "idle", "busy", "waiting", "stalled"]

# A worker that can take a message asks for one every second; so long without an answer, from a
# broker that answers others, is no accident.
_STALL_SECONDS = 15.0
# A stalled worker may still recover by itself; after this long it ends.
_GIVE_UP_SECONDS = 45.0
_LOOK_SECONDS = 2.0
_CHECK_SECONDS = 5.0
# Of sysexits.h, "internal software error".
_EXIT_STALLED = 70


@dataclass(frozen=True, slots=True)
class Status:
    """What a worker says of itself.

    Parameters
    ----------
    state : str
        ``starting``; ``idle``: it asks and there is nothing; ``busy``: every process has a task;
        ``waiting``: its broker does not answer anybody; ``stalled``: connected, not consuming.
    seconds : float
        For how long.
    pid : int
        Of the worker's parent.
    """

    state: State
    seconds: float
    pid: int

    @property
    def is_live(self) -> bool:
        """Whether another process in its place would not do better."""
        return self.state != "stalled"

    @property
    def text(self) -> str:
        """One line for a person."""
        told = {
            "starting": "starting",
            "idle": "idle: asks for work and finds none",
            "busy": "busy: every process has a task",
            "waiting": "waiting: the broker does not answer",
            "stalled": "stalled: connected, but not consuming",
        }
        return f"worker {self.pid} is {told[self.state]}, for {self.seconds:.0f} s"


class Watch:
    """Judges from the pulse of the event loop; pure but for the two callables.

    Parameters
    ----------
    count_active : callable
        Tasks that the worker's processes have now.
    is_broker_there : callable
        Whether the broker answers a fresh connection.
    """

    def __init__(
        self,
        pulse: Pulse,
        concurrency: int,
        count_active: Callable[[], int],
        is_broker_there: Callable[[], bool],
        now: float,
    ) -> None:
        self._pulse, self._concurrency = pulse, concurrency
        self._count_active, self._is_broker_there = count_active, is_broker_there
        self._state: State = "starting"
        self._since = now
        # The broker answers others since then; None while it does not.
        self._broker_since: float | None = None

    def look(self, now: float) -> Status:
        """Return the state at a time of `time.monotonic`."""
        state = self._judge(now)
        if state != self._state:
            self._state, self._since = state, now
        return Status(state, now - self._since, os.getpid())

    def _judge(self, now: float) -> State:
        pulse = self._pulse
        turns = pulse.turned_at is not None and now - pulse.turned_at < _STALL_SECONDS
        if turns and self._count_active() >= self._concurrency:
            return "busy"
        asks = pulse.answered_at is not None and now - pulse.answered_at < _STALL_SECONDS
        if turns and asks:
            return "idle"
        if not self._is_broker_there():
            self._broker_since = None
            return "waiting"
        if self._broker_since is None:
            self._broker_since = now
        if now - self._broker_since < _STALL_SECONDS:  # it may be connecting at this moment
            return "starting" if pulse.answered_at is None else "waiting"
        return "stalled"


def build_address(settings: Settings, name: str) -> str:
    """Return the local socket of the worker of that name and broker on this machine.

    An abstract one on Linux, which is no file and is gone with its process.
    """
    key = f"{settings.broker_url} {settings.database_url} {name}"
    digest = hashlib.sha256(key.encode()).hexdigest()[:24]
    address = f"stock-backtest-{os.getuid()}-{digest}"
    if hasattr(socket, "SO_PEERCRED"):  # Linux
        return f"\0{address}"
    return str(Path(tempfile.gettempdir()) / address)


def watch_worker(
    settings: Settings, name: str, concurrency: int, count_active: Callable[[], int]
) -> None:
    """Start watching this process, a worker's parent, and telling whoever asks."""

    def is_broker_there() -> bool:
        timeout = settings.broker_timeout_seconds
        try:
            with redis.Redis.from_url(
                settings.broker_url, socket_timeout=timeout, socket_connect_timeout=timeout
            ) as client:
                client.ping()
        except redis.RedisError:
            return False
        return True

    watch = Watch(PULSE, concurrency, count_active, is_broker_there, time.monotonic())
    get_fork_lock()  # before there is a thread, and a fork
    address = build_address(settings, name)
    threading.Thread(target=_serve, args=(address, watch), name="liveness", daemon=True).start()


def _serve(address: str, watch: Watch) -> None:
    server: socket.socket | None = None
    was_live = True
    while True:
        server = server or _listen(address)
        asker = _accept(server)
        with get_fork_lock():
            was_live = _look(watch, asker, was_live)


def _listen(address: str) -> socket.socket | None:
    """Return a listening socket; None while another worker of that name has the address."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    if not address.startswith("\0"):
        Path(address).unlink(missing_ok=True)
    try:
        server.bind(address)
    except OSError:
        server.close()
        return None
    server.listen()
    server.settimeout(_LOOK_SECONDS)
    return server


def _accept(server: socket.socket | None) -> socket.socket | None:
    """Return whoever asks, or None after a while."""
    if server is None:
        time.sleep(_LOOK_SECONDS)
        return None
    try:
        return server.accept()[0]
    except TimeoutError:
        return None


def _look(watch: Watch, asker: socket.socket | None, was_live: bool) -> bool:
    status = watch.look(time.monotonic())
    if asker is not None:
        try:
            with asker:
                asker.sendall(orjson.dumps(asdict(status)) + b"\n")
        except OSError as error:  # it did not wait for the answer
            log.debug("asker_left", error=str(error))
    if not status.is_live and was_live:
        log.error("worker_stalls", text=status.text)
    if not status.is_live and status.seconds > _GIVE_UP_SECONDS:
        log.error("worker_gives_up", text=status.text)
        os._exit(_EXIT_STALLED)  # its processes go with it
    return status.is_live


def ask_worker(settings: Settings, name: str) -> Status | None:
    """Return what the worker of that name on this machine says; None if it says nothing."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asker:
        asker.settimeout(_CHECK_SECONDS)
        try:
            asker.connect(build_address(settings, name))
            answer = asker.makefile("rb").readline()
        except OSError:
            return None
    return Status(**orjson.loads(answer)) if answer else None
