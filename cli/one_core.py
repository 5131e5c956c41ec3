"""A process of many threads on one core at a time.

Python lets one thread run at a time. Threads that hand that right to each other across cores pay
for a wake-up of the other core at each system call: a poll answered by sixteen threads on two cores
took 2.4 ms of processor time, on one core 1.0. So all threads share the core on which the system
has put the first of them, and every few seconds the system may choose again.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import time

from storage.cores import remember_cores

_CHOOSE_AGAIN_SECONDS = 5.0


class OneCore:
    """Keeps the threads of this process together; for the thread that made it to call.

    Where the system knows no such thing, forbids it (as sandboxes may), or gives one core anyway,
    nothing happens.
    """

    def __init__(self) -> None:
        self._allowed = os.sched_getaffinity(0) if sys.platform == "linux" else set[int]()
        self._libc = ctypes.CDLL(None) if len(self._allowed) > 1 else None
        if self._libc is not None:
            remember_cores(self._allowed)
        self._chosen = -_CHOOSE_AGAIN_SECONDS
        self._is_choosing = False

    def turn(self) -> None:
        """Follow the system's choice; called each time after waiting for something to do.

        Waking up is when the system chooses a core: this thread is let go for the length of one
        wait, and then the others follow to where it woke.
        """
        if self._libc is None:
            return
        try:
            self._follow(self._libc)
        except OSError:  # forbidden, or the cores that were given have been taken away since
            self._libc = None

    def _follow(self, libc: ctypes.CDLL) -> None:
        if self._is_choosing:
            self._is_choosing = False
            self._chosen = time.monotonic()
            self._move_to(libc.sched_getcpu())
        elif time.monotonic() - self._chosen >= _CHOOSE_AGAIN_SECONDS:
            self._is_choosing = True
            os.sched_setaffinity(0, self._allowed)

    def _move_to(self, core: int) -> None:
        for thread in os.listdir("/proc/self/task"):
            with contextlib.suppress(ProcessLookupError):  # it has ended since
                os.sched_setaffinity(int(thread), {core})
