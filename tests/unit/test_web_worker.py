"""When a request is whole, and how long one that is not may take."""

from __future__ import annotations

import socket
import time

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


def test_silence_and_dripping_both_end_in_time() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        unreader = PacedUnreader(ours, 0.3)
        theirs.sendall(b"abc")
        assert unreader.chunk() == b"abc"
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            unreader.chunk()
        assert time.monotonic() - started < 1
        unreader.restart()
        started = time.monotonic()

        def drip() -> None:
            for _ in range(100):
                theirs.sendall(b"x")
                unreader.chunk()
                time.sleep(0.05)

        with pytest.raises(TimeoutError):
            drip()
        assert time.monotonic() - started < 1


def test_what_comes_fast_enough_may_take_long() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        unreader = PacedUnreader(ours, 0.2)
        for _ in range(8):
            theirs.sendall(b"x" * 1000)
            assert len(unreader.chunk()) == 1000
            time.sleep(0.05)
