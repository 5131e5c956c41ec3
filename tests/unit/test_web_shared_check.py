"""Many ask, one waits."""

from __future__ import annotations

import threading
import time

import pytest

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


def test_a_question_that_fails_leaves_the_place_to_the_next() -> None:
    check = SharedCheck()

    def fail() -> str:
        raise OSError("gone")

    for _ in range(2):
        with pytest.raises(OSError, match="gone"):
            check.ask(fail)
    assert check.ask(lambda: "back") == "back"
