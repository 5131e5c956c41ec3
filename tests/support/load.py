"""Many clients at once, as cheap as plain sockets: they share the cores with what they measure."""

from __future__ import annotations

import json
import selectors
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import psutil


def build_request(url: str, method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """Return the bytes of one request over a connection that is kept."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {urlsplit(url).netloc}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Line:
    """One connection: a request out, an answer in."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url).hostname, urlsplit(url).port
        self._socket: socket.socket | None = None

    def ask(self, request: bytes) -> tuple[int, bytes]:
        """Return status and body; a connection that the server ended is opened once more."""
        for is_last in (False, True):
            try:
                self.open().sendall(request)
                return self._receive()
            except ConnectionError:
                self.close()
                if is_last:
                    raise
        raise AssertionError("the second time returns or raises")

    def open(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.create_connection(self._address, timeout=60)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _receive(self) -> tuple[int, bytes]:
        data = b""
        while (found := split_answer(data)) is None:
            received = self.open().recv(65536)
            if not received:
                raise ConnectionError("the server closed the connection")
            data += received
        return found


def split_answer(data: bytes) -> tuple[int, bytes] | None:
    """Return status and body of an answer that is complete, else None."""
    head, end, body = data.partition(b"\r\n\r\n")
    if not end:
        return None
    status = int(head[9:12])
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length" and len(body) < int(value):
            return None
    return status, body


@dataclass
class Burst:
    """What became of requests sent as fast as they are answered.

    Parameters
    ----------
    run_ids : list of str
        Of those that were accepted.
    seconds : float
        From the first to the last.
    latencies : list of float
        Seconds of each request.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    run_ids: list[str] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    seconds: float = 0.0


def submit_burst(url: str, bodies: Sequence[dict[str, Any]], n_clients: int) -> Burst:
    """Submit runs from several clients at once, each waiting for its answer."""
    requests = deque(
        build_request(url, "POST", "/api/v1/runs", json.dumps(body).encode()) for body in bodies
    )
    burst, lock = Burst(), threading.Lock()

    def work() -> None:
        line = Line(url)
        while True:
            try:
                request = requests.popleft()
            except IndexError:
                break
            began = time.perf_counter()
            status, answer = line.ask(request)
            took = time.perf_counter() - began
            with lock:
                burst.statuses[status] += 1
                burst.latencies.append(took)
                if status == 202:
                    burst.run_ids.append(json.loads(answer)["run_id"])
        line.close()

    started = time.perf_counter()
    _run_threads(work, n_clients)
    burst.seconds = time.perf_counter() - started
    return burst


@dataclass
class Polls:
    """Answers to polls; latencies in seconds from the moment at which each was due."""

    statuses: Counter[int]
    latencies: np.ndarray[Any, Any]
    seconds: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds


def poll(
    url: str, run_ids: Sequence[str], n_clients: int, seconds: float, rate: float | None = None
) -> Polls:
    """Ask for the state of runs with the ETag of the answer before, over one connection a client.

    Parameters
    ----------
    rate : float, optional
        Polls a second of all clients together, at even distances: one that is due while the answer
        before it is still out waits, and its waiting counts. Without it each client asks again as
        soon as it is answered.
    """
    watched = [run_ids[number % len(run_ids)] for number in range(n_clients)]
    etags = {run_id: _read_etag(url, run_id) for run_id in set(watched)}
    requests = [
        build_request(url, "GET", f"/api/v1/runs/{run_id}", If_None_Match=etags[run_id])
        for run_id in watched
    ]
    lines = [Line(url) for _ in requests]
    try:
        return _poll(lines, requests, seconds, rate)
    finally:
        for line in lines:
            line.close()


def _poll(
    lines: Sequence[Line], requests: Sequence[bytes], seconds: float, rate: float | None
) -> Polls:
    selector = selectors.DefaultSelector()
    buffers = [b""] * len(lines)
    waiting: list[deque[float]] = [deque() for _ in lines]  # when each open poll was due
    statuses: Counter[int] = Counter()
    latencies: list[float] = []
    for number, line in enumerate(lines):
        selector.register(line.open(), selectors.EVENT_READ, number)
    started = time.perf_counter()
    due = _list_due(started, rate, seconds)
    upcoming = next(due, None)
    turn = 0
    if rate is None:
        for number, line in enumerate(lines):
            waiting[number].append(time.perf_counter())
            line.open().sendall(requests[number])
    while True:
        now = time.perf_counter()
        while upcoming is not None and upcoming <= now:
            queue = waiting[turn]
            queue.append(upcoming)
            if len(queue) == 1:
                lines[turn].open().sendall(requests[turn])
            turn = (turn + 1) % len(lines)
            upcoming = next(due, None)
        if now - started > seconds and not any(waiting):
            break
        assert now - started < seconds + 60, "answers are missing"
        pause = 0.05 if upcoming is None else max(0.0, upcoming - now)
        for key, _ in selector.select(min(pause, 0.05)):
            number = key.data
            received = lines[number].open().recv(65536)
            assert received, "the server closed a connection"
            found = split_answer(buffers[number] + received)
            if found is None:
                buffers[number] += received
                continue
            buffers[number] = b""
            statuses[found[0]] += 1
            answered = time.perf_counter()
            latencies.append(answered - waiting[number].popleft())
            if rate is None and answered - started < seconds:
                waiting[number].append(answered)
            if waiting[number]:
                lines[number].open().sendall(requests[number])
    selector.close()
    return Polls(statuses, np.array(latencies), time.perf_counter() - started)


def _list_due(started: float, rate: float | None, seconds: float) -> Iterator[float]:
    return (
        iter(()) if rate is None else iter(started + i / rate for i in range(int(rate * seconds)))
    )


def _read_etag(url: str, run_id: str) -> str:
    line = Line(url)
    line.open().sendall(build_request(url, "GET", f"/api/v1/runs/{run_id}", Connection="close"))
    data = b""
    while received := line.open().recv(65536):
        data += received
    line.close()
    for item in data.split(b"\r\n\r\n")[0].split(b"\r\n"):
        name, _, value = item.partition(b":")
        if name.lower() == b"etag":
            return value.strip().decode()
    raise AssertionError(f"no ETag in {data[:500]!r}")


def _run_threads(work: Any, n: int) -> None:
    threads = [threading.Thread(target=work) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class MemoryWatch:
    """Samples the memory of groups of processes until it is left.

    Parameters
    ----------
    roots : dict of str to int
        Process ids by name; what they started belongs to them.
    """

    def __init__(self, roots: dict[str, int], pause_seconds: float = 0.5) -> None:
        self.roots, self._pause = roots, pause_seconds
        self.samples: dict[str, list[float]] = {name: [] for name in roots}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(self._pause):
            for name, pid in self.roots.items():
                self.samples[name].append(measure_largest(pid))

    def peak(self, name: str) -> float:
        """Largest memory of a process of the group. [MiB]"""
        return max(self.samples[name])

    def growth_of_last_half(self, name: str) -> float:
        """How much the group's largest process grew in the second half of the time. [MiB]"""
        half = self.samples[name][len(self.samples[name]) // 2 :]
        return half[-1] - half[0]


def list_group(pid: int) -> Iterable[psutil.Process]:
    """Return a process and all that it started."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def measure_largest(pid: int) -> float:
    """Return the resident memory of the largest process of a group. [MiB]"""
    found = [0.0]
    for process in list_group(pid):
        try:
            found.append(process.memory_info().rss / 2**20)
        except psutil.NoSuchProcess:
            continue
    return max(found)


def measure_cpu(pid: int) -> float:
    """Return the processor time that a group has taken so far. [seconds]"""
    total = 0.0
    for process in list_group(pid):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total
