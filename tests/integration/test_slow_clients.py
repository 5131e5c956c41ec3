"""Clients that send half a request, or read nothing, do not keep others from being served."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tasks.settings import PREFIX
from tests.support.processes import wait_until
from tests.support.web import RUN, Web, build_web, submit

HOST = b"Host: 127.0.0.1\r\n"
POST = b"POST /api/v1/runs HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
HALVES = {
    "nothing": b"",
    "half a line": b"GET / HT",
    "half a head": b"GET / HTTP/1.1\r\n" + HOST,
    "half a body": POST + b"Content-Length: 100\r\n\r\n{",
    "half a large body": POST + b"Content-Length: 100000\r\n\r\n{",
    "half a chunk": POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
}
# More than the sixteen threads that serve, of each kind and of all kinds.
N_ALIKE, N_CLIENTS = 20, 60


class Server:
    """The page as `stock-backtest web` serves it."""

    def __init__(self, web: Web) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        own = {key: value for key, value in os.environ.items() if not key.startswith(PREFIX)}
        settings = {
            "DATABASE_URL": web.settings.database_url,
            "BROKER_URL": web.settings.broker_url,
            "BIND": f"127.0.0.1:{self.port}",
            "CLIENT_TIMEOUT_SECONDS": "1",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "cli.main", "web"],
            env=own | {PREFIX + name: value for name, value in settings.items()},
            stderr=subprocess.DEVNULL,
        )

    def connect(self, data: bytes = b"") -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port), 10)
        client.sendall(data)
        return client

    def ask(self, path: str = "/health/live") -> float:
        """Ask for a page; return how long it took. [seconds]"""
        started = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("GET", path)
        assert connection.getresponse().read()
        connection.close()
        return time.monotonic() - started

    def is_up(self) -> bool:
        try:
            return self.ask() >= 0
        except OSError:
            return False


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Web:
    return build_web(tmp_path_factory.mktemp("slow"))


@pytest.fixture(scope="module")
def server(web: Web) -> Iterator[Server]:
    running = Server(web)
    try:
        wait_until(running.is_up, 60, "the page answers")
        yield running
    finally:
        running.process.terminate()
        running.process.wait(20)


def test_half_requests_hold_no_thread_and_are_ended(server: Server) -> None:
    clients = []
    for half, data in HALVES.items():
        clients += [(half, server.connect(data)) for _ in range(N_ALIKE)]
        assert max(server.ask() for _ in range(5)) < 1.5, half
    # Those whose body is for a thread wait for each other, half of the threads at a time.
    deadline = time.monotonic() + 40
    for half, client in clients:
        client.settimeout(max(0.1, deadline - time.monotonic()))
        try:
            while client.recv(4096):
                pass
        except TimeoutError:
            pytest.fail(f"{half} was not ended")
        client.close()


def test_a_request_that_comes_byte_by_byte_is_served(server: Server) -> None:
    client = server.connect()
    for byte in b"GET /health/live HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n":
        client.sendall(bytes([byte]))
        time.sleep(0.002)
    assert client.recv(4096).startswith(b"HTTP/1.1 200")
    client.close()


def test_requests_behind_each_other_on_one_connection_are_served(server: Server) -> None:
    one = b"GET /health/live HTTP/1.1\r\n" + HOST + b"\r\n"
    client = server.connect(one + one + one)
    seen = b""
    while seen.count(b"HTTP/1.1 200") < 3:
        data = client.recv(65536)
        assert data
        seen += data
    client.sendall(one + one[:20])  # half of another behind it
    client.settimeout(5)
    while client.recv(65536):
        pass
    client.close()


def test_bodies_of_every_size_arrive_whole(server: Server) -> None:
    for size in (0, 1000, 30_000, 40_000, 200_000):
        body = json.dumps({**RUN, "note": "x" * size})
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        connection.request("POST", "/api/v1/runs", body, {"Content-Type": "application/json"})
        status = connection.getresponse().status
        assert status == (202 if size <= 2000 else 422), size
        connection.close()


def test_who_waits_for_runs_leaves_threads_to_the_others(server: Server, web: Web) -> None:
    submit(web)
    body = json.dumps({**RUN, "force": True}).encode()
    wait = POST.replace(b"runs", b"runs?wait=30")
    request = wait + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    waiting = [server.connect(request) for _ in range(20)]
    answered = []
    deadline = time.monotonic() + 10
    while len(answered) < 8 and time.monotonic() < deadline:
        for client in waiting:
            client.settimeout(0.05)
            try:
                if client not in answered and client.recv(4096).startswith(b"HTTP/1.1 202"):
                    answered.append(client)
            except TimeoutError:
                continue
    # Twelve of sixteen threads may wait; the others were answered at once.
    assert len(answered) == 8
    assert max(server.ask() for _ in range(5)) < 1.5
    for client in waiting:
        client.close()


def test_who_asks_for_the_health_leaves_threads_to_the_others(server: Server) -> None:
    request = b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n"
    server.ask("/health")  # there is a last answer
    clients = [server.connect(request) for _ in range(N_CLIENTS)]
    assert max(server.ask() for _ in range(5)) < 1.5
    for client in clients:
        assert client.recv(4096).startswith(b"HTTP/1.1 503")  # no broker
        client.close()


def test_a_request_that_the_servers_end_cuts_short_may_come_again(web: Web) -> None:
    ending = Server(web)
    wait_until(ending.is_up, 60, "the page answers")
    client = ending.connect(POST + b"Content-Length: 100\r\n\r\n{")
    ending.ask()  # it is one turn of the loop later: the half is known
    ending.process.terminate()
    answer = client.recv(4096)
    client.close()
    ending.process.wait(20)
    assert answer.startswith(b"HTTP/1.1 503"), answer
    assert b"Retry-After" in answer
