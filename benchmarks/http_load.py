"""Requests over kept-alive connections as fast as plain sockets are: what polls are counted with.

A client library spends more time on a 304 than the server does, so the request is bytes that are
made once, and of the answer only the head is read.
"""

from __future__ import annotations

import socket
import threading
import time
from urllib.parse import urlsplit

import numpy as np


class RawClient:
    """One connection that repeats one GET whose answer has no body."""

    def __init__(self, base_url: str, path: str, headers: dict[str, str]) -> None:
        parts = urlsplit(base_url)
        lines = [f"GET {path} HTTP/1.1", f"Host: {parts.netloc}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._request = "\r\n".join([*lines, "", ""]).encode()
        self._socket = socket.create_connection((parts.hostname, parts.port), timeout=10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self) -> None:
        """Send the request and read the head of its answer, which must be a 304."""
        self._socket.sendall(self._request)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            received = self._socket.recv(4096)
            assert received, "the server closed the connection"
            head += received
        assert b" 304 " in head.split(b"\r\n", 1)[0], head

    def close(self) -> None:
        """End the connection."""
        self._socket.close()


def ask_at_full_speed(client: RawClient, seconds: float) -> float:
    """Return how many requests a second are answered to one client that never waits."""
    started = time.perf_counter()
    n = 0
    while time.perf_counter() - started < seconds:
        client.ask()
        n += 1
    return n / (time.perf_counter() - started)


def ask_at_rate(clients: list[RawClient], rate: float, seconds: float) -> np.ndarray:
    """Return the seconds of each request, sent at even distances in turn by several clients.

    Counted from the moment at which a request was due, so that one that had to wait for the one
    before it counts its waiting.
    """
    n_each = int(rate * seconds / len(clients))
    found = np.zeros((len(clients), n_each))
    started = time.perf_counter() + 0.05

    def work(number: int) -> None:
        for i in range(n_each):
            due = started + (i * len(clients) + number) / rate
            while (left := due - time.perf_counter()) > 0:
                time.sleep(left)
            clients[number].ask()
            found[number, i] = time.perf_counter() - due

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(clients))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found.ravel()
