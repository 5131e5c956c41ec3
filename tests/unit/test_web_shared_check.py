"""Many ask, one waits."""

from __future__ import annotations

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from webapp import shared_check
from webapp.shared_check import SharedCheck


def test_whoever_asks_alone_gets_a_fresh_answer() -> None:
    check = SharedCheck()
    assert [check.ask(iter([number]).__next__) for number in range(3)] == [0, 1, 2]


def test_while_one_waits_the_others_get_the_last_answer_at_once() -> None:
    check = SharedCheck()
    check.ask(lambda: "before")
    asking, answer = threading.Event(), threading.Event()

    def slow() -> str:
        asking.set()
        answer.wait(10)
        return "after"

    thread = threading.Thread(target=lambda: check.ask(slow))
    thread.start()
    assert asking.wait(10)
    started = time.monotonic()
    assert [check.ask(slow) for _ in range(50)] == ["before"] * 50
    assert time.monotonic() - started < 1
    answer.set()
    thread.join()
    assert check.ask(lambda: "fresh") == "fresh"


def test_who_waits_for_want_of_an_answer_shares_the_one_that_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check = SharedCheck()
    asking, all_ask, answer = threading.Event(), threading.Event(), threading.Event()
    ticks = itertools.count()

    def look_at_the_clock() -> int:
        tick = next(ticks)
        if tick == 3:
            all_ask.set()
        return tick

    def slow() -> str:
        asking.set()
        answer.wait(10)
        return threading.current_thread().name

    monkeypatch.setattr(shared_check, "time", SimpleNamespace(monotonic=look_at_the_clock))
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(check.ask, slow)
        assert asking.wait(10)
        others = [pool.submit(check.ask, slow) for _ in range(3)]
        all_ask.wait(5)
        answer.set()
    assert {other.result() for other in others} == {first.result()}


def test_a_question_that_fails_leaves_the_place_to_the_next() -> None:
    check = SharedCheck()

    def fail() -> str:
        raise OSError("gone")

    for _ in range(2):
        with pytest.raises(OSError, match="gone"):
            check.ask(fail)
    assert check.ask(lambda: "back") == "back"
