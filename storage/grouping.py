"""Work that several threads want at the same moment, done as one."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from storage.errors import StorageUnavailable

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_MAX_GROUP = 64
# Where the group before had several members, the next waits this long for its own: one thread of
# Python runs at a time, and while it works on a group nobody else can come. [seconds]
_GATHER_SECONDS = 0.002


class _Place(Generic[Item, Answer]):
    """One thread's place in the line."""

    def __init__(self, item: Item) -> None:
        self.item = item
        self.answer: Answer | Exception | None = None
        self.is_answered = False
        self._woken = threading.Lock()
        self._woken.acquire()

    def wait(self) -> None:
        self._woken.acquire()

    def wake(self) -> None:
        self._woken.release()


class Grouping(Generic[Item, Answer]):
    """Groups what threads bring while the group before theirs is at work.

    A transaction costs far more than a row in it: sixteen requests at once that each store one row
    pay for two transactions instead of sixteen. Who comes alone waits for nobody.

    Parameters
    ----------
    work : callable
        Takes items and returns an answer for each, in their order; an exception among the answers
        is raised to whoever brought that item. It changes nothing if it raises: each item is then
        tried alone, but for `StorageUnavailable`, which all of them are told.
    """

    def __init__(self, work: Callable[[Sequence[Item]], Sequence[Answer | Exception]]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._line: list[_Place[Item, Answer]] = []
        self._is_working = False
        self._is_crowded = False

    def do(self, item: Item) -> Answer:
        """Have `item` worked on, with those of other threads, and return its answer."""
        place = _Place[Item, Answer](item)
        with self._lock:
            self._line.append(place)
            leads = not self._is_working
            self._is_working = True
        if not leads:
            place.wait()
        if not place.is_answered:  # woken to lead the next group
            self._lead()
        if isinstance(place.answer, Exception):
            raise place.answer
        return place.answer  # type: ignore[return-value]  # answered, and no error

    def _lead(self) -> None:
        if self._is_crowded:
            time.sleep(_GATHER_SECONDS)
        with self._lock:
            group, self._line = self._line[:_MAX_GROUP], self._line[_MAX_GROUP:]
            self._is_crowded = len(group) > 1
        answers: Sequence[Answer | Exception] = [
            StorageUnavailable("interrupted before it was done") for _ in group
        ]
        try:
            answers = self._do_all([place.item for place in group])
        finally:
            for place, answer in zip(group, answers, strict=True):
                place.answer, place.is_answered = answer, True
            for place in group[1:]:  # the first is who leads
                place.wake()
            self._hand_over()

    def _do_all(self, items: Sequence[Item]) -> Sequence[Answer | Exception]:
        try:
            return self._work(items)
        except StorageUnavailable as error:
            # Each thread raises its own: a traceback grows where it is raised.
            return [copy.copy(error) for _ in items]
        except Exception as error:  # noqa: BLE001  # raised to whoever brought what caused it
            if len(items) == 1:
                return [error]
            return [self._do_all([item])[0] for item in items]

    def _hand_over(self) -> None:
        with self._lock:
            successor = self._line[0] if self._line else None
            self._is_working = successor is not None
        if successor is not None:
            successor.wake()
