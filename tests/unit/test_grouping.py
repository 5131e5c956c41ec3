"""Threads that want the same at once: each gets its own answer, and they share the work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from storage.errors import StorageUnavailable
from storage.grouping import Grouping


class Work:
    """Doubles numbers; the first group waits until it is let go."""

    def __init__(self, fail: Callable[[Sequence[int]], None] = lambda items: None) -> None:
        self.groups: list[list[int]] = []
        self.has_begun, self.may_go_on = threading.Event(), threading.Event()
        self._fail = fail

    def __call__(self, items: Sequence[int]) -> list[int | Exception]:
        self.groups.append(list(items))
        if len(self.groups) == 1:
            self.has_begun.set()
            assert self.may_go_on.wait(30)
        self._fail(items)
        return [2 * item for item in items]


def bring(work: Work, items: Sequence[int]) -> list[int | Exception]:
    """Bring the first item, and all others while it is worked on."""
    grouping = Grouping[int, int](work)

    def ask(item: int) -> int | Exception:
        try:
            return grouping.do(item)
        except (ValueError, StorageUnavailable) as error:
            return error

    with ThreadPoolExecutor(len(items)) as pool:
        asked = [pool.submit(ask, items[0])]
        assert work.has_begun.wait(30)
        asked += [pool.submit(ask, item) for item in items[1:]]
        while len(grouping._line) < len(items) - 1:
            pass
        work.may_go_on.set()
        return [future.result(30) for future in asked]


def test_what_comes_during_the_first_group_is_the_second() -> None:
    work = Work()
    assert bring(work, range(9)) == [2 * item for item in range(9)]
    assert [len(group) for group in work.groups] == [1, 8]


def test_who_comes_alone_is_served_alone_each_time() -> None:
    work = Work()
    work.may_go_on.set()
    grouping = Grouping[int, int](work)
    assert [grouping.do(item) for item in range(3)] == [0, 2, 4]
    assert work.groups == [[0], [1], [2]]


def test_one_bad_item_does_not_spoil_the_others() -> None:
    def fail(items: Sequence[int]) -> None:
        if 5 in items:
            raise ValueError("five")

    answers = bring(Work(fail), range(9))
    assert [answer for answer in answers if isinstance(answer, int)] == [
        2 * item for item in range(9) if item != 5
    ]
    assert isinstance(answers[5], ValueError)


def test_a_database_that_is_away_is_told_to_all_after_one_try() -> None:
    def fail(items: Sequence[int]) -> None:
        if len(items) > 1:
            raise StorageUnavailable("away")

    work = Work(fail)
    answers = bring(work, range(9))
    assert answers[0] == 0
    assert all(isinstance(answer, StorageUnavailable) for answer in answers[1:])
    assert len({id(answer) for answer in answers[1:]}) == 8
    assert len(work.groups) == 2


def test_an_answer_may_be_an_error_for_one_only() -> None:
    def halve(items: Sequence[int]) -> list[int | Exception]:
        return [item // 2 if item % 2 == 0 else ValueError("odd") for item in items]

    grouping = Grouping[int, int](halve)
    assert grouping.do(4) == 2
    with pytest.raises(ValueError, match="odd"):
        grouping.do(3)


def test_a_thread_that_is_interrupted_leaves_nobody_waiting() -> None:
    def interrupt(items: Sequence[int]) -> None:
        if len(items) > 1:
            raise KeyboardInterrupt

    grouping = Grouping[int, int](work := Work(interrupt))
    outcomes: list[object] = []

    def ask(item: int) -> None:
        try:
            outcomes.append(grouping.do(item))
        except BaseException as error:  # noqa: BLE001  # an interrupt is the case
            outcomes.append(type(error))

    threads = [threading.Thread(target=ask, args=(item,)) for item in range(4)]
    threads[0].start()
    assert work.has_begun.wait(30)
    for thread in threads[1:]:
        thread.start()
    while len(grouping._line) < 3:
        pass
    work.may_go_on.set()
    for thread in threads:
        thread.join(30)
    assert sorted(map(str, outcomes)) == sorted(
        map(str, [0, KeyboardInterrupt, StorageUnavailable, StorageUnavailable])
    )
    assert grouping.do(7) == 14
