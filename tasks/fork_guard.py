"""Threads in a process that forks: nothing of them may be half done at that instant.

A lock that a thread holds when its process forks is held in the child for ever, by nobody. So a
thread works under one lock of ours, and every fork waits for it.
"""

from __future__ import annotations

import os
import threading
from functools import cache


@cache
def get_fork_lock() -> threading.Lock:
    """Return the lock under which a thread of this process is never in the way of a fork."""
    lock = threading.Lock()
    os.register_at_fork(
        before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release
    )
    return lock
