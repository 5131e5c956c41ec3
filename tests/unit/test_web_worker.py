"""When a request is whole, and how long one that is not may take."""

from __future__ import annotations

import socket

import pytest

from cli.web_worker import PacedUnreader, count_missing

HEAD = b"POST /x HTTP/1.1\r\nHost: a\r\n"


@pytest.mark.parametrize(
    ("seen", "missing", "is_large"),
    [
        (b"", 1, False),
        (b"GET / HTTP/1.1\r\nHost: a\r\n", 1, False),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0, False),
        (HEAD + b"Content-Length: 5\r\n\r\n", 5, False),
        (HEAD + b"content-LENGTH:5 \r\n\r\nabc", 2, False),
        (HEAD + b"Content-Length: 5\r\n\r\nabcde", 0, False),
        (HEAD + b"Content-Length: 5\r\n\r\nabcdeGET", 0, False),
        (HEAD + b"Content-Length: 32769\r\n\r\n", 0, True),
        (HEAD + b"Content-Length: 999999999999\r\n\r\n", 0, True),
        (HEAD + b"Content-Length: " + b"0" * 20 + b"5\r\n\r\n", 0, True),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", 0, True),
        (HEAD + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n", 0, True),
        # What is no length is for gunicorn to refuse, which takes no waiting.
        (HEAD + b"Content-Length: x\r\n\r\n", 0, False),
        (HEAD + b"Content-Length: -5\r\n\r\n", 0, False),
        # In the body it says nothing.
        (HEAD + b"Content-Length: 30\r\n\r\n\r\nContent-Length: 99999\r\n\r\n..", 1, False),
        (b"x" * 65_536, 0, True),
    ],
)
def test_what_a_request_still_lacks(seen: bytes, missing: int, is_large: bool) -> None:
    assert count_missing(seen) == (missing, is_large)


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def receive(sizes: list[int], step: float) -> int:
    """Send pieces `step` seconds apart to whoever grants 0.2 s; return how many are taken."""
    clock = Clock()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        unreader = PacedUnreader(ours, 0.2, clock)
        for n_taken, size in enumerate(sizes):
            theirs.sendall(b"x" * size)
            try:
                assert len(unreader.chunk()) == size
            except TimeoutError:
                return n_taken
            clock.now += step
    return len(sizes)


def test_silence_ends_in_time() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        unreader = PacedUnreader(ours, 0.05)
        with pytest.raises(TimeoutError):
            unreader.chunk()


def test_what_drips_ends_in_time_and_each_request_has_its_own() -> None:
    assert receive([1] * 100, 0.0625) == 4
    clock = Clock()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        unreader = PacedUnreader(ours, 0.2, clock)
        clock.now = 60.0
        theirs.sendall(b"abc")
        with pytest.raises(TimeoutError):
            unreader.chunk()
        unreader.restart()
        assert unreader.chunk() == b"abc"


def test_what_comes_fast_enough_may_take_long() -> None:
    assert receive([1000] * 100, 0.2) == 100
