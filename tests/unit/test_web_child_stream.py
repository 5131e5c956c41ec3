"""A child's output as a response: whole or broken off, and never a process left behind."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import psutil
import pytest

from webapp.child_stream import ChildFailed, ChildStream

MODULE = "tests.support.chatty_child"


@pytest.fixture(autouse=True)
def no_child_is_left() -> Iterator[None]:
    """Each test ends with the children it began with, none more, not even a zombie.

    Another test's server may be around all the time, or end meanwhile.
    """
    before = list_children()
    yield
    assert list_children() <= before


def list_children() -> set[int]:
    return {child.pid for child in psutil.Process(os.getpid()).children()}


def test_all_that_a_child_writes_arrives() -> None:
    stream = ChildStream(MODULE, {"chunks": 50, "errors": "a warning"}).start()
    assert sum(map(len, stream)) == 50 * 65_536


def test_a_child_that_fails_at_once_is_noticed_before_anything_is_sent() -> None:
    closed: list[bool] = []
    with pytest.raises(ChildFailed, match="code 3"):
        ChildStream(MODULE, {"code": 3}, on_close=lambda: closed.append(True)).start()
    assert closed == [True]


def test_a_child_that_fails_half_way_breaks_the_stream_off() -> None:
    stream = ChildStream(MODULE, {"chunks": 20, "code": 1}).start()
    with pytest.raises(ChildFailed):
        for _ in stream:
            pass


def test_a_child_that_falls_silent_is_ended() -> None:
    stream = ChildStream(MODULE, {"chunks": 1, "sleep": 60}, stall_seconds=2.0).start()
    started = time.monotonic()
    with pytest.raises(ChildFailed, match="too long"):
        for _ in stream:
            pass
    assert time.monotonic() - started < 20


def test_closing_ends_the_child_once() -> None:
    closed: list[bool] = []
    stream = ChildStream(
        MODULE, {"chunks": 1, "sleep": 60}, on_close=lambda: closed.append(True)
    ).start()
    chunks = iter(stream)
    assert next(chunks)
    stream.close()
    stream.close()
    assert closed == [True]
    with pytest.raises(ChildFailed):
        list(chunks)
