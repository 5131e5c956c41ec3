"""gunicorn's threaded worker, with threads for requests that have arrived.

A thread of gunicorn's own worker begins to read as soon as something can be read: sixteen clients
that send half a request each hold all sixteen threads, for ever. Here the loop that accepts
connections looks (without taking anything out of the socket) whether a whole request is there, and
only then a thread gets it. Bodies too large to wait in a socket, which are uploads, take at most
half of the threads, and must keep arriving.

Considered: gevent and eventlet, which replace the sockets of every library by their own; waitress,
which collects requests in files; a proxy in front, which production has, but `stock-backtest up`
and a laptop have not.
"""

from __future__ import annotations

import contextlib
import re
import select
import selectors
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from gunicorn.http.unreader import SocketUnreader  # type: ignore[import-untyped]
from gunicorn.workers.gthread import TConn, ThreadWorker  # type: ignore[import-untyped]

from cli.one_core import OneCore
from tasks.settings import load_settings

# What is looked at of a request that waits in its socket; the kernel holds more than that.
_PEEK_BYTES = 64 * 1024
# A body up to here waits in the socket with its head, a larger one is read by a thread.
_SMALL_BODY_BYTES = 32 * 1024
# A body that a thread reads must come faster than this on the whole. [bytes / s]
_SLOWEST_BODY = 4096
# A client that takes nothing of an answer for this long has gone. [seconds]
_SEND_SECONDS = 15
# An upload waits this long for others to end before it is sent away. [seconds]
_QUEUE_SECONDS = 20.0
_LINGER_SECONDS = 2.0
# A thread stays this long with a client that it has answered, unless others wait for a thread: who
# asks one thing after the other is then served without a turn of the loop. [milliseconds]
_STAY_MILLISECONDS = 2
# How often the main process is told that this one lives. [seconds]
_NOTIFY_SECONDS = 1.0

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)[ \t]*\r\n", re.IGNORECASE)
# Lengths of more digits are of no body that can wait in a socket, or have zeros in front, which
# gunicorn reads: a thread waits for them as for any large body.
_MOST_DIGITS = 18
_STREAMED = re.compile(rb"\r\n(?:transfer-encoding|expect):", re.IGNORECASE)
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
# For who did nothing wrong: too many come at a time, or this process is about to end.
_LATER = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n"
    b"Content-Length: 0\r\n\r\n"
)


def count_missing(seen: bytes) -> tuple[int, bool]:
    """Return how many bytes a request still lacks before a thread may have it.

    Parameters
    ----------
    seen : bytes
        The beginning of a request as far as it has arrived.

    Returns
    -------
    missing : int
        0 if the request is whole, or as much of it as is waited for.
    is_large : bool
        Whether a thread will have to wait for the rest.
    """
    end = seen.find(b"\r\n\r\n")
    if end < 0:
        return (1, False) if len(seen) < _PEEK_BYTES else (0, True)
    head = seen[: end + 2]
    if _STREAMED.search(head):
        return 0, True
    length = _LENGTH.search(head)
    if length and len(length.group(1)) > _MOST_DIGITS:
        return 0, True
    body = int(length.group(1)) if length else 0
    total = end + 4 + body
    if body > _SMALL_BODY_BYTES or total > _PEEK_BYTES:
        return 0, True
    return max(0, total - len(seen)), False


class PacedUnreader(SocketUnreader):  # type: ignore[misc]  # gunicorn has no types
    """Reads a request that must keep arriving.

    Parameters
    ----------
    grace_seconds : float
        Longest silence, and what a request may take whatever its size.
    clock : callable
        Seconds that never run backwards.
    """

    def __init__(
        self,
        sock: socket.socket,
        grace_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(sock)
        self._grace, self._clock = grace_seconds, clock
        self.restart()

    def restart(self) -> None:
        """Begin a request."""
        self._started = self._clock()
        self._n_bytes = 0

    def chunk(self, size_hint: int | None = None) -> bytes:
        """Return the next piece.

        Raises
        ------
        TimeoutError
            If nothing comes, or too little on the whole.
        """
        # [s] + [bytes] / [bytes / s] = [s]
        allowed = self._grace + self._n_bytes / _SLOWEST_BODY
        wait = min(self._grace, allowed - (self._clock() - self._started))
        limit = self.sock.gettimeout()
        if limit is not None:
            wait = min(wait, limit)
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        if wait <= 0 or not poll.poll(wait * 1000):  # [s] * [ms / s] = [ms]
            raise TimeoutError("the client sends too slowly")
        data: bytes = super().chunk(size_hint)
        self._n_bytes += len(data)
        return data


class PatientWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """See the module. All but `handle` and what it calls runs in the worker's one loop."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._grace = load_settings().client_timeout_seconds
        # Connections whose request is not whole, by their deadlines; the oldest is first.
        self._gathering: dict[TConn, float] = {}
        self._seen: dict[TConn, int] = {}
        self._most_large = max(1, self.cfg.threads // 2)
        self._large: set[TConn] = set()
        self._queued: deque[tuple[TConn, float]] = deque()
        # Given to the threads, none of which has taken them yet.
        self._unserved: set[TConn] = set()
        self._notified, self._has_parent = 0.0, True
        # Answered for the last time, until their clients close them.
        self._lingering: dict[TConn, float] = {}

    def run(self) -> None:
        """Serve, from the thread that starts all others."""
        self._one_core = OneCore()
        super().run()

    def notify(self) -> None:
        """Tell the main process that this one lives: not at each turn, it costs system calls."""
        self._one_core.turn()
        now = time.monotonic()
        if now - self._notified >= _NOTIFY_SECONDS:
            self._notified = now
            self._has_parent = super().is_parent_alive()
            super().notify()

    def is_parent_alive(self) -> bool:
        """Return what was seen at most a second ago."""
        return self._has_parent

    def accept(self, listener: socket.socket) -> None:
        """Accept a connection and wait for its first request without a thread."""
        try:
            client, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        self.nr_conns += 1
        # Blocking to us, bounded by the kernel.
        seconds = struct.pack("@ll", _SEND_SECONDS, 0)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, seconds)
        self._gather(TConn(self.cfg, client, address, listener.getsockname()))
        if self.nr_conns >= self.worker_connections:
            self._drop_oldest()

    def on_client_socket_readable(self, conn: TConn, client: socket.socket) -> None:
        """Wait for the whole next request of a connection that was kept."""
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        self._gather(conn)

    def _gather(self, conn: TConn) -> None:
        self._gathering[conn] = time.monotonic() + self._grace
        self._seen[conn] = 0
        self._look(conn, False)

    def _look(self, conn: TConn, is_registered: bool, *_: Any) -> None:
        """See whether a request is whole; wait for the rest, or give it to a thread."""
        try:
            seen = conn.sock.recv(_PEEK_BYTES, socket.MSG_PEEK)
        except BlockingIOError:
            if not is_registered:
                self._wait(conn, 1)
            return
        except OSError:
            seen = b""
        if is_registered:
            self.poller.unregister(conn.sock)
        if not seen:  # the client has gone
            self._drop(conn)
            return
        missing, is_large = count_missing(seen)
        # A kernel short of memory wakes us although no more has come.
        if missing and len(seen) > self._seen[conn]:
            self._seen[conn] = len(seen)
            self._wait(conn, len(seen) + missing)
            return
        self._forget(conn)
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        conn.data_ready = True
        if is_large or missing:
            self._enqueue_large(conn)
        else:
            self.enqueue_req(conn)

    def _wait(self, conn: TConn, n_bytes: int) -> None:
        # The kernel wakes us when that many bytes are there: no turn of the loop for each.
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, n_bytes)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._look, conn, True))

    def enqueue_req(self, conn: TConn) -> None:
        """Give a connection to a thread."""
        self._unserved.add(conn)
        super().enqueue_req(conn)

    def _enqueue_large(self, conn: TConn) -> None:
        if len(self._large) < self._most_large:
            self._large.add(conn)
            self.enqueue_req(conn)
        else:
            self._queued.append((conn, time.monotonic() + _QUEUE_SECONDS))

    def finish_request(self, conn: TConn, future: Any) -> None:
        """Take a connection back from its thread."""
        self._large.discard(conn)
        is_kept = not future.cancelled() and future.exception() is None and future.result()
        # The next request may have been begun behind the last one, and not be whole: a client that
        # does so opens another connection.
        ahead = conn.parser.unreader.buf.getvalue() if is_kept else b""
        if is_kept and (not ahead or count_missing(ahead) == (0, False)):
            super().finish_request(conn, future)
        else:
            self._linger(conn)
        while self._queued and len(self._large) < self._most_large:
            self._enqueue_large(self._queued.popleft()[0])

    def handle(self, conn: TConn) -> Any:
        """Serve a request, and those that follow it at once, in a thread."""
        self._unserved.discard(conn)
        result = self._handle_one(conn)
        while result is True and self._comes_at_once(conn):
            result = self._handle_one(conn)
        return result

    def _comes_at_once(self, conn: TConn) -> bool:
        """Return whether the next request is there, whole and small, and nobody else waits."""
        if self._unserved or conn in self._large or not self.alive:
            return False
        if conn.parser.unreader.buf.getvalue():
            return False
        poll = select.poll()
        poll.register(conn.sock, select.POLLIN)
        if not poll.poll(_STAY_MILLISECONDS):
            return False
        try:
            seen = conn.sock.recv(_PEEK_BYTES, socket.MSG_PEEK)
        except OSError:
            return False
        return bool(seen) and count_missing(seen) == (0, False)

    def _handle_one(self, conn: TConn) -> Any:
        """Serve one request, reading at the pace that it must keep."""
        try:
            conn.sock.setblocking(True)
            conn.init()
        except OSError:
            return False
        unreader = conn.parser.unreader
        if not isinstance(unreader, PacedUnreader):
            conn.parser.unreader = unreader = PacedUnreader(conn.sock, self._grace)
        unreader.restart()
        return super().handle(conn)

    def murder_pending(self) -> None:
        """Send away who did not get a request together in time; called once a second."""
        now = time.monotonic()
        for conn in [
            conn for conn, deadline in self._gathering.items() if deadline <= now or not self.alive
        ]:
            self.poller.unregister(conn.sock)
            answer = _TOO_SLOW if self.alive else _LATER
            self._drop(conn, answer if self._seen[conn] else b"")
        while self._queued and (self._queued[0][1] <= now or not self.alive):
            self._drop(self._queued.popleft()[0], _LATER)
        for conn in [
            conn for conn, deadline in self._lingering.items() if deadline <= now or not self.alive
        ]:
            self._end(conn)
        super().murder_pending()

    def _drop_oldest(self) -> None:
        """Make room for somebody who may have something to say."""
        if self._lingering:
            self._end(next(iter(self._lingering)))
            return
        if self._gathering:
            conn = next(iter(self._gathering))
        elif self.keepalived_conns:
            conn = self.keepalived_conns.popleft()
        else:
            return
        with contextlib.suppress(KeyError):
            self.poller.unregister(conn.sock)
        self._drop(conn)

    def _linger(self, conn: TConn) -> None:
        """Close a connection so that its client still gets the last answer (RFC 9112, 9.6).

        gunicorn waits in its loop for a client to close its side, and meanwhile serves nobody.
        """
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._discard, conn))
        except OSError:
            self._drop(conn)
            return
        self._lingering[conn] = time.monotonic() + _LINGER_SECONDS

    def _discard(self, conn: TConn, *_: Any) -> None:
        try:
            if conn.sock.recv(_PEEK_BYTES):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._end(conn)

    def _end(self, conn: TConn) -> None:
        self._lingering.pop(conn, None)
        self.poller.unregister(conn.sock)
        self._drop(conn)

    def _drop(self, conn: TConn, answer: bytes = b"") -> None:
        self._forget(conn)
        if answer:
            with contextlib.suppress(OSError):
                conn.sock.send(answer)
                # What is left unread when a connection closes would take the answer with it.
                conn.sock.recv(_PEEK_BYTES)
            self._linger(conn)
            return
        self.nr_conns -= 1
        conn.close()

    def _forget(self, conn: TConn) -> None:
        self._gathering.pop(conn, None)
        self._seen.pop(conn, None)
