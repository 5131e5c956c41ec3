"""A slow question that many may ask at once: it is put once, and they get the last answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

# Older than this an answer says nothing of now. [seconds]
_LONGEST_AGE_SECONDS = 10.0


class SharedCheck:
    """Remembers the last answer to one question.

    Whoever asks alone gets a fresh answer. Strangers may ask for the health, and each question
    takes a thread for a second or more: without this a few of them would hold every thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: tuple[float, Any] | None = None

    def ask(self, compute: Callable[[], Any]) -> Any:
        """Return what `compute` finds, or what it found last if somebody is just asking.

        Where that is too old, what somebody is just asking is waited for, and not asked again.
        """
        began = time.monotonic()
        if not self._lock.acquire(blocking=False):
            last = self._last
            if last is not None and began - last[0] < _LONGEST_AGE_SECONDS:
                return last[1]
            self._lock.acquire()
        try:
            last = self._last
            if last is not None and last[0] > began:
                return last[1]
            answer = compute()
            self._last = (time.monotonic(), answer)
            return answer
        finally:
            self._lock.release()
