"""A fork waits for a thread that is in the middle of something, and the child is free of it."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import os, threading, time
from tasks.fork_guard import get_fork_lock

lock = get_fork_lock()
theirs = threading.Lock()
began = threading.Event()

def work():
    with lock, theirs:
        began.set()
        time.sleep(0.5)

threading.Thread(target=work).start()
began.wait()
pid = os.fork()
if pid == 0:
    # Without the guard this lock would be held here, by a thread that is not.
    os._exit(0 if theirs.acquire(timeout=1) and lock.acquire(timeout=1) else 1)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), lock.acquire(timeout=1))
"""


def test_no_lock_of_a_thread_is_held_in_a_forked_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["0", "True"]
